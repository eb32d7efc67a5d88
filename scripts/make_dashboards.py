"""Writes the Grafana dashboards of docker/grafana/dashboards from the panels of `scripts/dashboards`: `make dashboards`.

The files are Grafana's classic schema, which every release imports.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboards import DASHBOARDS
from dashboards.panel import Dashboard, Panel

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docker/grafana/dashboards"
DATASOURCE_UID = "mlx-prometheus"
"""As docker/grafana/provisioning names it."""
_SCHEMA_VERSION = 41
_COLUMNS = 24
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_PALETTE = {"mode": "palette-classic"}


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "id": None,
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["mlx-hub"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "MLX Model Hub", "tags": ["mlx-hub"], "asDropdown": True, "keepTime": True}],
        "templating": {"list": [_datasource_variable(), *([_model_variable()] if dashboard.has_model else [])]},
        "panels": _laid_out(dashboard.panels),
    }


def _datasource_variable() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": DATASOURCE_UID},
    }


def _model_variable() -> dict[str, Any]:
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": "label_values(mlx_prompt_tokens_total, model)", "refId": "models"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _laid_out(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """In reading order; a panel that does not fit beside the others begins a new line."""
    placed: list[dict[str, Any]] = []
    x = y = line_height = 0
    for panel in panels:
        if x + panel.width > _COLUMNS:
            x, y, line_height = 0, y + line_height, 0
        placed.append(_panel_json(panel, len(placed) + 1, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
        x, line_height = x + panel.width, max(line_height, panel.height)
    return placed


def _panel_json(panel: Panel, panel_id: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _DATASOURCE,
            "expr": expr,
            "legendFormat": legend or "__auto",
            "range": True,
        }
        for index, (legend, expr) in enumerate(panel.queries.items())
    ]
    return {
        "id": panel_id,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": targets,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": color, "value": value} for color, value in zip(("yellow", "red"), panel.limits, strict=False)]
    values: dict[str, Any] = {"unit": panel.unit, "color": _PALETTE if panel.kind == "timeseries" else {"mode": "thresholds"}}
    values["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.unit in ("percentunit", "percent", "bytes", "short", "reqps", "s"):
        values["min"] = 0
    if panel.kind == "timeseries":
        values["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 30 if panel.is_stacked else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
        }
    return values


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    calcs = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {"reduceOptions": calcs, "colorMode": "value", "graphMode": "area", "textMode": "auto", "orientation": "auto"}


def contents() -> dict[Path, str]:
    """What each file has to hold."""
    return {
        FOLDER / f"{dashboard.uid.removeprefix('mlx-')}.json": json.dumps(dashboard_json(dashboard), indent=2) + "\n"
        for dashboard in DASHBOARDS
    }


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in contents().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())

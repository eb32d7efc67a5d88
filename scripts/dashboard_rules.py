"""Rules that the Grafana files have to follow; nothing here needs a running service."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from make_dashboards import DATASOURCE_UID, FOLDER, contents

ROOT = Path(__file__).resolve().parent.parent
PROVISIONING = ROOT / "docker/grafana/provisioning"
_COLUMNS = 24
_UID = re.compile(r"mlx-[a-z-]{1,36}")
_VARIABLES = {"$__rate_interval": "15s", "$model": ".*"}
"""What Grafana would put in: here each second is scraped."""


@dataclass(frozen=True, slots=True)
class Query:
    """`expr` as Prometheus gets it; `place` is its dashboard and panel."""

    place: str
    expr: str


def read_dashboards() -> dict[str, dict[str, Any]]:
    """By file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def queries_of(name: str, dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expr = target["expr"]
            for variable, value in _VARIABLES.items():
                expr = expr.replace(variable, value)
            yield Query(f"{name} · {panel['title']}", expr)


def metrics_in(expr: str) -> set[str]:
    """Patterns of the names of the metrics that an expression reads. Raises ValueError when it is no PromQL."""
    promql_parser.parse(expr)
    by_pattern = re.findall(r'__name__=~"([^"]+)"', expr)
    without_labels = re.sub(r"\{[^}]*\}", "", expr)
    return {*by_pattern, *re.findall(r"\b(?:mlx_\w+|ALERTS|up)\b(?!\()", without_labels)}


def file_problems() -> list[str]:
    """Of all files together and of each."""
    dashboards = read_dashboards()
    problems = [
        f"{path.name} is not what `make dashboards` writes"
        for path, text in contents().items()
        if not path.exists() or path.read_text() != text
    ]
    problems += [f"{name} comes from nowhere" for name in dashboards.keys() - {path.name for path in contents()}]
    uids = [dashboard["uid"] for dashboard in dashboards.values()]
    problems += [f"uid {uid} is used twice" for uid in {uid for uid in uids if uids.count(uid) > 1}]
    problems += _provisioning_problems()
    for name, dashboard in dashboards.items():
        problems += [f"{name}: {problem}" for problem in dashboard_problems(dashboard)]
    return problems


def _provisioning_problems() -> Iterator[str]:
    sources = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"]
    if [source["uid"] for source in sources] != [DATASOURCE_UID]:
        yield f"the provisioned data source is not {DATASOURCE_UID}, which the dashboards choose"


def dashboard_problems(dashboard: Mapping[str, Any]) -> Iterator[str]:
    if dashboard.get("id") is not None or not _UID.fullmatch(dashboard["uid"]):
        yield "it needs a uid of its own, and no id"
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    if variables.get("datasource", {}).get("query") != "prometheus":
        yield "it has no variable `datasource`"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        yield "two panels have one id"
    titles = [panel["title"] for panel in dashboard["panels"]]
    if len(titles) != len(set(titles)):
        yield "two panels have one title"
    yield from _grid_problems(dashboard["panels"])
    for panel in dashboard["panels"]:
        for problem in panel_problems(panel, variables.keys()):
            yield f"panel {panel['title']!r}: {problem}"


def _grid_problems(panels: list[dict[str, Any]]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > _COLUMNS:
            yield f"panel {panel['title']!r} sticks out of the grid"
        for cell in (
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        ):
            if other := taken.get(cell):
                yield f"panels {other!r} and {panel['title']!r} overlap"
                break
            taken[cell] = panel["title"]


def panel_problems(panel: Mapping[str, Any], variables: Any) -> Iterator[str]:
    if len(panel.get("description", "")) < 10:
        yield "it has no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "it has no unit"
    if not panel["targets"]:
        yield "it has no query"
    for target in panel["targets"]:
        if target["datasource"]["uid"] != "${datasource}" or panel["datasource"]["uid"] != "${datasource}":
            yield "it does not ask the chosen data source"
        for used in set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}:
            if used not in variables:
                yield f"its query has the unknown variable ${used}"
        if re.search(r"\brate\(|\bincrease\(", target["expr"]) is None and re.search(r"_total\b", target["expr"]):
            yield "it shows a counter as it is; take its rate"

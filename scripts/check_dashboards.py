"""Checks the Grafana dashboards against the real services: `make dashboards-check`.

Starts the whole platform and Prometheus, as the end-to-end tests do, gives it work of every kind, and runs the query of every
panel: each must draw something. Also: rules that the files have to follow, and that no exported metric goes unused.
It needs the backend's environment, with the folder of its tests in PYTHONPATH.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml
from dashboard_rules import Query, file_problems, metrics_in, queries_of, read_dashboards
from e2e.stack import Platform, run_platform
from e2e.workload import do_work_of_every_kind, settings_for_every_kind
from fixtures.collector import run_http_collector
from fixtures.hub import run_hub
from fixtures.prometheus import RULES, Prometheus, run_prometheus
from prometheus_client.parser import text_string_to_metric_families

UNUSED = {
    "mlx_hub_event_resets": "zero unless a client falls far behind; the log tells which",
}
"""Exported metrics that no panel and no alert uses, with the reason."""
_SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")


def exported_metrics(platform: Platform) -> set[str]:
    """Names of all families that the services and the worker export."""
    urls = [f"{service.base_url}/metrics" for service in (platform.inference, platform.backend)]
    return {
        family.name
        for url in (*urls, platform.worker.metrics_url)
        for family in text_string_to_metric_families(httpx.get(url, timeout=30).raise_for_status().text)
        # The client library adds the time at which each counter began.
        if not family.name.endswith("_created")
    }


def unused_metrics(exported: set[str], queries: list[Query]) -> Iterator[str]:
    rules = [
        rule for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
    ]
    exprs = [*(query.expr for query in queries), *(rule["expr"] for rule in rules)]
    patterns = re.compile("|".join(f"(?:{pattern})" for expr in exprs for pattern in metrics_in(expr)))
    used = {name for name in exported if any(patterns.fullmatch(name + suffix) for suffix in _SUFFIXES)}
    for name in sorted(exported - used - UNUSED.keys()):
        yield f"{name} is exported, and no panel or alert uses it: use it, or say in UNUSED why not"
    for name in sorted(UNUSED.keys() & used):
        yield f"{name} is in UNUSED although it is used"
    for name in sorted(UNUSED.keys() - exported):
        yield f"{name} is in UNUSED, but nothing exports it"


def empty_queries(prometheus: Prometheus, queries: list[Query]) -> Iterator[str]:
    for query in queries:
        if not prometheus.samples(query.expr):
            yield f"{query.place}: no data: {query.expr}"


def live_problems(platform: Platform, prometheus: Prometheus) -> list[str]:
    """What is wrong with the dashboards, seen from services that have just done work of every kind."""
    do_work_of_every_kind(platform, prometheus)
    queries = [query for name, dashboard in read_dashboards().items() for query in queries_of(name, dashboard)]
    return [*empty_queries(prometheus, queries), *unused_metrics(exported_metrics(platform), queries)]


def targets_of(platform: Platform) -> dict[str, str]:
    return {
        "inference": platform.inference.base_url,
        "backend": platform.backend.base_url,
        "worker": platform.worker.metrics_url,
    }


def main() -> int:
    problems = file_problems()
    with tempfile.TemporaryDirectory(prefix="dashboards-") as folder, run_hub() as hub, run_http_collector() as collector:
        home = Path(folder)
        url = f"sqlite:///{home}/hub.db"
        with (
            run_platform(home, url, hub, **settings_for_every_kind(home, collector.endpoint)) as platform,
            run_prometheus(home / "prometheus", targets_of(platform)) as prometheus,
        ):
            problems += live_problems(platform, prometheus)
    num_queries = sum(len(list(queries_of(name, dashboard))) for name, dashboard in read_dashboards().items())
    print("\n".join(problems) or f"dashboards: all {num_queries} queries draw something, and every metric is used")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

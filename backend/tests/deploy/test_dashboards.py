"""The Grafana dashboards as files; tests/e2e runs their queries."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from dashboard_rules import dashboard_problems, file_problems, metrics_in, queries_of, read_dashboards


def test_the_files_are_those_that_the_panels_make_and_follow_every_rule() -> None:
    assert not file_problems()


def test_there_is_a_dashboard_for_each_part() -> None:
    assert {"overview.json", "inference.json", "prompt-cache.json", "training.json", "system.json"} == read_dashboards().keys()


def test_every_query_is_promql_and_reads_a_metric() -> None:
    queries = [query for name, dashboard in read_dashboards().items() for query in queries_of(name, dashboard)]

    assert len(queries) > 50
    assert all(metrics_in(query.expr) for query in queries)
    assert not [query for query in queries if "$" in query.expr]


def _first_panel(dashboard: dict[str, Any]) -> dict[str, Any]:
    return dashboard["panels"][0]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda board: board.update(id=7), "uid of its own"),
        (lambda board: board["templating"].update(list=[]), "no variable"),
        (lambda board: _first_panel(board).update(description=""), "no description"),
        (lambda board: _first_panel(board)["fieldConfig"]["defaults"].pop("unit"), "no unit"),
        (lambda board: _first_panel(board).update(gridPos={"x": 20, "y": 0, "w": 8, "h": 8}), "sticks out"),
        (lambda board: _first_panel(board)["gridPos"].update(w=24), "overlap"),
        (lambda board: _first_panel(board).update(id=2), "one id"),
        (lambda board: _first_panel(board)["targets"][0].update(expr="up{job='$who'}"), "unknown variable"),
        (lambda board: _first_panel(board)["targets"][0].update(expr="mlx_generated_tokens_total"), "counter"),
        (lambda board: _first_panel(board)["targets"][0]["datasource"].update(uid="p"), "data source"),
    ],
)
def test_a_rule_that_is_broken_is_told(spoil: Callable[[dict[str, Any]], object], problem: str) -> None:
    dashboard = copy.deepcopy(read_dashboards()["overview.json"])

    spoil(dashboard)

    assert any(problem in each for each in dashboard_problems(dashboard))

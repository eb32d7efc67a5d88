"""Schemathesis reads the document and tries what it allows: no 5xx but the documented, no undocumented answer."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fixtures.server import RunningServer
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

_CHECKS: list[Callable[..., Any]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE], ids=str)
def test_every_answer_is_a_documented_one(server: RunningServer, mode: schemathesis.GenerationMode) -> None:
    pid = server.engine()["pid"]
    document = schemathesis.openapi.from_url(f"{server.base_url}/openapi.json")
    num_cases = 0

    for result in document.get_all_operations():
        operation = result.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and not operation.body:
            continue  # A path or nothing at all cannot be malformed.

        @seed(1)
        @settings(max_examples=15, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            nonlocal num_cases
            num_cases += 1
            if isinstance(case.body, dict) and isinstance(case.body.get("max_tokens"), int):
                # Invented names and long answers would leave no time for anything else.
                case.body["max_tokens"] = min(case.body["max_tokens"], 2)
                case.body.pop("model", None)
            case.call_and_validate(checks=_CHECKS, timeout=60)

        check()

    assert num_cases > 30
    assert server.engine()["pid"] == pid

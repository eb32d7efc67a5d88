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

_TOKEN_LIMITS = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/messages": "max_tokens",
    "/v1/responses": "max_output_tokens",
}


def _shorten(case: schemathesis.Case) -> None:
    """Invented names and long answers would leave no time for anything else."""
    if not isinstance(case.body, dict):
        return
    case.body.pop("model", None)
    case.body.pop("timeout", None)  # A deadline that is over at once is a documented 503.
    limit = _TOKEN_LIMITS.get(case.path)
    if limit is not None and isinstance(case.body.get(limit, 2), int):
        case.body[limit] = min(case.body.get(limit, 2), 2)


@pytest.mark.timeout(600)
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
            _shorten(case)
            case.call_and_validate(checks=_CHECKS, timeout=60)

        check()

    assert num_cases > 30
    assert server.engine()["pid"] == pid

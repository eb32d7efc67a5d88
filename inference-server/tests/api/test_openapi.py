"""Schemathesis reads the document and tries what it allows, alone and one after the other: no 5xx, no undocumented answer, and
every error in the shape of its API."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fixtures.server import RunningServer, run_server
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    use_after_free,
)

_TOKEN_LIMITS = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/messages": "max_tokens",
    "/v1/responses": "max_output_tokens",
}
_NAMED_BY_MODEL = (*_TOKEN_LIMITS, "/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1/embeddings", "/tokenize")

Link = tuple[str, str, str, dict[str, Any]]
"""What was asked and answered, what can be asked next, and with what of the answer."""


def _links(labels: list[str]) -> Iterator[Link]:
    """Beside those that Schemathesis finds by the names of parameters."""
    first = "$response.body#/data/0/id"
    for path in _NAMED_BY_MODEL:
        yield "get /v1/models", "200", f"post {path}", {"requestBody": {"model": first}}
        yield "post /admin/models/register", "201", f"post {path}", {"requestBody": {"model": "$response.body#/name"}}
    for label in labels:
        if label.startswith("get ") and "{" not in label:
            yield "get /v1/models", "200", label, {}
    yield from _links_of_responses()
    yield from _links_of_models(first, labels)
    yield "get /v1/models", "200", "post /admin/cache/prompts/warmup", {"requestBody": {"model_id": first, "system_prompt": "Hi"}}
    yield "post /admin/cache/prompts/warmup", "200", "get /admin/cache/prompts", {}
    key = {"parameters": {"cache_key": "$response.body#/0/cache_key"}}
    yield "get /admin/cache/prompts", "200", "delete /admin/cache/prompts/{cache_key}", key
    yield "get /admin/cache/prompts", "200", "post /admin/cache/prompts/clear", {}
    yield "delete /admin/cache/prompts/{cache_key}", "200", "get /admin/cache/prompts/stats", {}
    yield "post /tokenize", "200", "post /detokenize", {"requestBody": {"tokens": "$response.body#/tokens"}}


def _links_of_responses() -> Iterator[Link]:
    one = "/v1/responses/{response_id}"
    chain = {"requestBody": {"previous_response_id": "$response.body#/id", "input": "And then?"}}
    for path in ("/v1/responses", "/v1/responses/input_tokens"):
        yield "post /v1/responses", "200", f"post {path}", chain
    for source in ("post /v1/responses", f"get {one}", f"delete {one}"):
        for target in (f"get {one}", f"get {one}/input_items", f"delete {one}"):
            if source != target:
                yield source, "200", target, {"parameters": {"response_id": "$response.body#/id"}}


def _links_of_models(first: str, labels: list[str]) -> Iterator[Link]:
    one = "/admin/models/{name}"
    base = {"type": "base", "base_model": first, "adapter_path": None}
    yield "get /v1/models", "200", "post /admin/models/register", {"requestBody": base}
    yield "get /v1/models", "200", f"put {one}", {"parameters": {"name": first}, "requestBody": {**base, "name": first}}
    name = "$response.body#/name"
    again = {"name": name, "type": "base", "base_model": "$response.body#/base", "adapter_path": None}
    yield "post /admin/models/register", "201", f"put {one}", {"parameters": {"name": name}, "requestBody": again}
    yield "get /v1/models", "200", "get /v1/models/{model_id}", {"parameters": {"model_id": first}}
    for target in (label for label in labels if one in label and not label.startswith("put ")):
        yield "get /v1/models", "200", target, {"parameters": {"name": first}}
        yield "post /admin/models/register", "201", target, {"parameters": {"name": name}}


def _linked_document(server: RunningServer) -> dict[str, Any]:
    document = server.get("/openapi.json").json()
    labels = [f"{method} {path}" for path, methods in document["paths"].items() for method in methods]

    def operation(label: str) -> dict[str, Any]:
        method, path = label.split(" ")
        return document["paths"][path][method]

    for number, (source, status, target, link) in enumerate(_links(labels)):
        links = operation(source)["responses"][status].setdefault("links", {})
        links[f"{number}"] = {"operationId": operation(target)["operationId"], **link}
    return document


def _shorten(case: schemathesis.Case) -> None:
    """Long answers would leave no time for anything else, and a deadline may be over at once."""
    if not isinstance(case.body, dict):
        return
    case.body.pop("timeout", None)
    limit = _TOKEN_LIMITS.get(case.path)
    if limit is not None and isinstance(case.body.get(limit, 2), int):
        case.body[limit] = min(case.body.get(limit, 2), 2)


def errors_have_the_shape_of_their_api(ctx: CheckContext, response: Response, case: schemathesis.Case) -> None:
    if response.status_code < 400 or case.path == "/health/ready":
        return
    body = response.json()
    assert response.headers["x-request-id"], "an error without a request id"
    if case.path.startswith("/v1/messages"):
        assert set(body) == {"type", "error", "request_id"}, body
        assert set(body["error"]) == {"type", "message"}, body
        error = body["error"]
    else:
        assert set(body) == {"error"}, body
        assert set(body["error"]) == {"message", "type", "param", "code"}, body
        error = body["error"]
    assert error["message"]
    assert error["type"]
    assert "Traceback" not in response.text


_CHECKS: list[Callable[..., Any]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    use_after_free,
    errors_have_the_shape_of_their_api,
]


@dataclass
class Trial:
    """What was answered, and which of it was wrong.

    Faults are collected, not raised: Hypothesis would send a request again to be sure, and the server remembers the first one.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    """The last of each kind."""

    def judge(self, case: schemathesis.Case, response: Response, **options: Any) -> None:
        label = case.operation.label
        self.answers[label, response.status_code] += 1
        try:
            case.validate_response(response, checks=_CHECKS, **options)
        except FailureGroup as group:
            for failure in group.exceptions:
                kind = f"{label}: {type(failure).__name__}"
                self.faults[kind] = f"{failure}\n{case.as_curl_command()[:2000]}\n{response.status_code} {response.text[:500]}"

    def report(self) -> str:
        return "\n\n".join(f"{kind}\n{fault}" for kind, fault in self.faults.items())

    @property
    def operations(self) -> set[str]:
        return {label for label, _ in self.answers}


def _settings(**options: int) -> settings:
    return settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), **options)


def _try_each_alone(server: RunningServer, mode: schemathesis.GenerationMode, num_examples: int) -> Trial:
    document = schemathesis.openapi.from_dict(server.get("/openapi.json").json())
    document.config.update(base_url=server.base_url)
    trial = Trial()
    for result in document.get_all_operations():
        operation = result.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and not operation.body:
            continue  # A path or nothing at all cannot be malformed.

        @seed(1)
        @_settings(max_examples=num_examples)
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            if isinstance(case.body, dict):
                case.body.pop("model", None)  # An invented name is a 404 before anything else is tried.
            _shorten(case)
            trial.judge(case, case.call(timeout=60))

        check()
    return trial


def _try_in_chains(server: RunningServer, num_cases: int) -> Trial:
    """At least so many requests, which go on from what others answered."""
    document = schemathesis.openapi.from_dict(_linked_document(server))
    document.config.update(base_url=server.base_url)
    machine: type[APIStateMachine] = document.as_state_machine()
    trial = Trial()

    class Workflow(machine):
        def before_call(self, case: schemathesis.Case) -> None:
            _shorten(case)

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"timeout": 60}

        def validate_response(self, response: Response, case: schemathesis.Case, **_: Any) -> None:
            trial.judge(case, response, recorder=self.recorder)

    for number in itertools.count():
        if trial.answers.total() >= num_cases:
            return trial
        # Hypothesis gives up when the same request finds another state of the server than before.
        with contextlib.suppress(FlakyStrategyDefinition):
            seed(number)(Workflow).run(settings=_settings(max_examples=10, stateful_step_count=20))
    raise AssertionError("unreachable")


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    """Its models are registered, unloaded and removed at will."""
    with run_server(tmp_path_factory.mktemp("schemathesis"), tiny_models()) as running:
        yield running


@contextmanager
def unharmed(server: RunningServer) -> Iterator[None]:
    """Checks that the engine is the same process afterwards, idle, and answers."""
    pid = server.engine()["pid"]
    yield
    server.wait_until(lambda it: it.engine()["requests_in_flight"] == 0, 60)
    assert server.engine()["pid"] == pid
    assert server.chat("Hi", max_tokens=1).status_code == 200


MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("num_examples", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_every_answer_is_a_documented_one(
    own_server: RunningServer, mode: schemathesis.GenerationMode, num_examples: int
) -> None:
    with unharmed(own_server):
        trial = _try_each_alone(own_server, mode, num_examples)

    assert not trial.faults, trial.report()
    assert len(trial.operations) > 10


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("num_cases", [250, pytest.param(5_000, marks=pytest.mark.slow)])
def test_answers_lead_to_documented_answers(own_server: RunningServer, num_cases: int) -> None:
    paths = own_server.get("/openapi.json").json()["paths"]
    documented = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}

    with unharmed(own_server):
        trial = _try_in_chains(own_server, num_cases)

    assert not trial.faults, trial.report()
    # What no other answer leads to is tried by the test above.
    assert documented - trial.operations <= {"POST /v1/requests/{request_id}/cancel"} or num_cases < 1_000

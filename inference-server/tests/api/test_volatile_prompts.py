"""What changes from call to call is told to clients and operators, and rules make hits of such misses."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fixtures.server import RunningServer, run_server

ZOO = "You are a careful keeper of a large zoo with many animals. " * 12
QUESTION = "Which animal is the largest?"
BILLING = "x-anthropic-billing-header: cc_version=2.1.{}; cc_entrypoint=cli; cch={};"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    with run_server(tmp_path_factory.mktemp("plain"), tiny_models(), "--api-only") as server:
        yield server


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, tiny_models: Callable[..., Path]) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("ruled")
    with run_server(home, tiny_models(), "--api-only", MLX_PROMPT_CACHE_RULES="billing_header,current_date") as server:
        yield server


def chat(server: RunningServer, system: str, question: str = QUESTION, **options: Any) -> httpx.Response:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    response = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 8, **options})
    assert response.status_code == 200, response.text
    return response


def fields_of(response: httpx.Response) -> dict[str, str]:
    """The first span of `x-cache-volatile`."""
    first = response.headers["x-cache-volatile"].split(", ")[0]
    return dict(part.split("=") for part in first.split("; "))


def cached_tokens(response: httpx.Response) -> int:
    return response.json()["usage"]["prompt_tokens_details"]["cached_tokens"]


def ask_chat(server: RunningServer, text: str, *, stream: bool) -> httpx.Response:
    return chat(server, text, stream=stream)


def ask_completion(server: RunningServer, text: str, *, stream: bool) -> httpx.Response:
    return server.post("/v1/completions", {"prompt": text, "max_tokens": 4, "stream": stream})


def ask_response(server: RunningServer, text: str, *, stream: bool) -> httpx.Response:
    body = {"instructions": text, "input": QUESTION, "max_output_tokens": 4, "stream": stream, "store": False}
    return server.post("/v1/responses", body)


def ask_message(server: RunningServer, text: str, *, stream: bool) -> httpx.Response:
    messages = [{"role": "user", "content": QUESTION}]
    body = {"model": "default", "system": [{"type": "text", "text": text}], "messages": messages, "max_tokens": 4}
    return server.post("/v1/messages", body | {"stream": stream})


ASKS = {"chat": ask_chat, "completions": ask_completion, "responses": ask_response, "messages": ask_message}


# ------------------------------------------------------------- explanations


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", ASKS)
def test_every_api_tells_the_span(plain: RunningServer, api: str, *, stream: bool) -> None:
    text = f"{api} {stream}: today is 2026-11-{{}}. {ZOO}"
    ASKS[api](plain, text.format(26), stream=False)

    response = ASKS[api](plain, text.format(27), stream=stream)

    assert response.status_code == 200, response.text
    assert response.headers["x-cache"] in ("miss", "partial")
    start = text.index("2026")
    found = fields_of(response)
    assert int(found.pop("lost_tokens")) > 100
    in_message = {} if api == "completions" else {"message": "0", "role": "system"}
    assert found == in_message | {"chars": f"{start}-{start + 10}", "kind": "date"}
    assert response.headers.get("x-cache-suggestion") == (None if api == "completions" else "current_date")
    assert "2026-11-" not in str(response.headers)


def test_a_billing_header_is_told_apart(plain: RunningServer) -> None:
    ask_message(plain, f"{BILLING.format(1, 'a1b2c')}\nBilled. {ZOO}", stream=False)

    response = ask_message(plain, f"{BILLING.format(2, 'ff012')}\nBilled. {ZOO}", stream=False)

    assert fields_of(response)["kind"] == "billing_header"
    assert response.headers["x-cache-suggestion"] == "billing_header"


def test_a_hit_that_could_be_longer_is_told_too(plain: RunningServer) -> None:
    system = f"Longer hits. {ZOO}"
    chat(plain, system, f"It is 12:44. {ZOO}")

    response = chat(plain, system, f"It is 12:45. {ZOO}")

    assert response.headers["x-cache"] == "hit"
    found = fields_of(response)
    assert (found["message"], found["role"], found["chars"], found["kind"]) == ("1", "user", "6-11", "time")
    assert response.headers["x-cache-suggestion"] == "current_time@user"


def test_another_question_is_no_span(plain: RunningServer) -> None:
    chat(plain, f"Questions. {ZOO}")

    response = chat(plain, f"Questions. {ZOO}", "Which is the smallest of them all?")

    assert response.headers["x-cache"] == "hit"
    assert "x-cache-volatile" not in response.headers


def test_operators_see_texts_and_what_they_cost_and_logs_and_metrics_do_not(plain: RunningServer) -> None:
    cleared = plain.post("/admin/cache/prompts/clear")
    assert cleared.status_code == 200
    assert plain.get("/admin/cache/prompts/misses").json() == {"lost_tokens": 0, "by_kind": [], "recent": []}
    chat(plain, f"Today is 1987-04-26. {ZOO}")
    second = chat(plain, f"Today is 1987-04-27. {ZOO}")
    chat(plain, f"Today is 1987-04-28. {ZOO}")

    told = plain.get("/admin/cache/prompts/misses").json()

    (total,) = told["by_kind"]
    assert (total["message"], total["role"], total["kind"], total["requests"]) == (0, "system", "date", 2)
    assert (total["rule"], total["lost_tokens"]) == ("current_date", told["lost_tokens"])
    miss = next(each for each in told["recent"] if each["request_id"] == second.headers["x-request-id"])
    (span,) = miss["spans"]
    assert (span["old"], span["new"], span["start"], span["end"]) == ("1987-04-26", "1987-04-27", 9, 19)
    assert span["summary"] == f"{span['lost_tokens']:,} tokens recomputed because of a date that changed in message 0"
    assert miss["suggestion"] == ["current_date"]
    metrics = plain.get("/metrics").text
    assert 'mlx_prompt_cache_volatile_tokens_total{kind="date"' in metrics
    assert "1987-04" not in metrics + plain.log()


def test_after_a_restart_the_stored_prompt_is_still_compared(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models(), "--api-only") as server:
        chat(server, f"Today is 2026-11-26. {ZOO}")
        server.wait_until(lambda it: it.get("/admin/cache/prompts/stats").json()["disk_entries"] > 0)
        server.stop()

    with run_server(tmp_path, tiny_models(), "--api-only") as server:
        response = chat(server, f"Today is 2026-11-27. {ZOO}")
        (miss,) = server.get("/admin/cache/prompts/misses").json()["recent"]

    assert fields_of(response)["kind"] == "date"
    assert (miss["spans"][0]["old"], miss["spans"][0]["new"]) == ("2026-11-26", "2026-11-27")


# -------------------------------------------------------------------- rules


def test_without_rules_nothing_is_rewritten(plain: RunningServer) -> None:
    assert "x-cache-rules" not in chat(plain, f"As it is: today is 2026-11-26. {ZOO}").headers


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_date_that_moves_leaves_a_hit_and_the_answer_of_a_cold_run(ruled: RunningServer, *, stream: bool) -> None:
    system = f"Moving {stream}: today is {{}}. {ZOO}"
    chat(ruled, system.format("2026-11-26"))

    warm = chat(ruled, system.format("2026-11-27"))
    told = chat(ruled, system.format("2026-11-28"), stream=stream)

    assert (warm.headers["x-cache"], told.headers["x-cache"]) == ("hit", "hit")
    assert warm.headers["x-cache-rules"] == told.headers["x-cache-rules"] == "current_date=move; count=1"
    assert "x-cache-volatile" not in warm.headers
    assert cached_tokens(warm) > 100

    ruled.post("/admin/cache/prompts/clear")
    cold = chat(ruled, system.format("[current_date]"), f"{QUESTION}\n\n[current_date: 2026-11-27]")
    assert cold.headers["x-cache"] == "miss"
    assert cold.headers["x-cache-rules"] == "none applied"
    assert cold.json()["choices"] == warm.json()["choices"]
    assert cold.json()["usage"]["prompt_tokens"] == warm.json()["usage"]["prompt_tokens"]


def test_a_billing_header_that_is_dropped_leaves_a_hit(ruled: RunningServer) -> None:
    ask_message(ruled, f"{BILLING.format(1, 'a1b2c')}\nBilled. {ZOO}", stream=False)

    response = ask_message(ruled, f"{BILLING.format(2, 'ff012')}\nBilled. {ZOO}", stream=False)

    assert response.headers["x-cache"] == "hit"
    assert response.headers["x-cache-rules"] == "billing_header=drop; count=1"
    assert response.json()["usage"]["cache_read_input_tokens"] > 100


def test_a_warm_up_and_counts_go_by_the_rules(ruled: RunningServer) -> None:
    system = f"Warm: today is {{}}. {ZOO}"
    ruled.post("/admin/cache/prompts/warmup", {"model_id": "default", "system_prompt": system.format("2026-11-26")})

    response = ask_message(ruled, system.format("2026-11-27"), stream=False)

    body = {"model": "default", "system": system.format("2026-11-27"), "messages": [{"role": "user", "content": QUESTION}]}
    counted = ruled.post("/v1/messages/count_tokens", body).json()
    usage = response.json()["usage"]
    assert response.headers["x-cache"] == "hit"
    assert counted["input_tokens"] == sum(
        usage[name] for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )


def test_a_model_has_rules_of_its_own(ruled: RunningServer) -> None:
    base = next(iter(ruled.get("/admin/models").json()["models"]))
    for name, rules in (("own/none", []), ("own/build", [{"name": "build", "pattern": "build (\\d+)", "action": "drop"}])):
        body = {"name": name, "base_model": base, "type": "base", "config": {"cache_rules": rules}}
        assert ruled.post("/admin/models/register", body).status_code == 201
    text = f"Own: today is 2026-11-{{}}, build 71{{}}. {ZOO}"

    chat(ruled, text.format(26, 1), model="own/build")
    changed_build = chat(ruled, text.format(26, 2), model="own/build")
    none = chat(ruled, text.format(26, 1), model="own/none")

    assert (changed_build.headers["x-cache"], changed_build.headers["x-cache-rules"]) == ("hit", "build=drop; count=1")
    assert "x-cache-rules" not in none.headers


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("rules", "param", "words"),
    [
        (["nope"], "config.cache_rules[0].name", "no built-in rule"),
        ([{"name": "bad", "pattern": "("}], "config.cache_rules[0].pattern", "no regular expression"),
        ([{"name": "runaway", "pattern": "(x+x+)+y"}], "config.cache_rules", "takes longer than 2 s"),
        ("uuid=burn", "config.cache_rules[0].action", "an action is one of"),
    ],
    ids=["unknown", "broken", "runaway", "action"],
)
def test_wrong_rules_are_a_400_that_says_where(ruled: RunningServer, method: str, rules: object, param: str, words: str) -> None:
    base = next(iter(ruled.get("/admin/models").json()["models"]))
    body = {"name": "own/wrong", "base_model": base, "type": "base", "config": {"cache_rules": rules}}
    path = "/admin/models/register" if method == "POST" else "/admin/models/own/wrong"

    response = httpx.request(method, ruled.base_url + path, json=body, timeout=60)

    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert ruled.get("/v1/models/own/wrong").status_code == 404

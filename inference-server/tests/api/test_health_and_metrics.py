"""Health routes and what Prometheus reads."""

import re
from pathlib import Path

from fixtures.server import RunningServer, run_server
from prometheus_client.parser import text_string_to_metric_families


def test_health_routes_say_well(server: RunningServer) -> None:
    assert server.get("/health").json()["status"] == "ok"
    assert server.get("/health/live").json() == {"status": "alive"}
    ready = server.get("/health/ready").json()
    assert ready["ready"] is True
    assert {"accepting", "engine", "default_model"} <= set(ready["checks"])


def test_admin_health_knows_the_engine(server: RunningServer) -> None:
    health = server.get("/admin/health").json()

    assert health["engine"]["state"] == "ready"
    assert health["engine"]["pid"] > 0
    assert health["engine"]["device"]
    assert health["default_model"]["state"] == "ready"
    assert health["prompt_cache"]["enabled"] is True


def test_metrics_count_requests_tokens_and_time(server: RunningServer) -> None:
    def sample(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(server.get("/metrics").text)
        found = [s.value for family in families for s in family.samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(found)

    route = {"route": "/v1/chat/completions", "status": "200"}
    before = (
        sample("mlx_http_requests_total", **route),
        sample("mlx_generated_tokens_total"),
        sample("mlx_inter_token_seconds_count"),
    )

    assert server.chat("Count the tokens", max_tokens=5, ignore_eos=True).status_code == 200

    assert sample("mlx_http_requests_total", **route) == before[0] + 1
    assert sample("mlx_generated_tokens_total") == before[1] + 5
    assert sample("mlx_inter_token_seconds_count") > before[2]
    assert sample("mlx_time_to_first_token_seconds_count") > 0
    assert sample("mlx_tokens_per_second_count") > 0
    server.wait_until(lambda _: sample("mlx_model_weight_bytes") > 0 and sample("mlx_prompt_cache_lookups_total") > 0)
    assert sample("mlx_engine_up") == 1


def test_requests_for_a_format_are_counted_by_what_it_is_made_of(server: RunningServer) -> None:
    def counted() -> dict[str, float]:
        families = text_string_to_metric_families(server.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == "mlx_constrained_requests_total"]
        return {sample.labels["format"]: sample.value for sample in samples}

    before = counted()
    tool = {"type": "function", "function": {"name": "look"}}

    server.chat("a", max_tokens=2)
    server.chat("a", max_tokens=2, structured_outputs={"regex": "[ab]+"})
    server.chat("a", max_tokens=2, response_format={"type": "json_object"})
    server.chat("a", max_tokens=2, tools=[tool], tool_choice="required")

    after = counted()
    grown = {kind: after[kind] - before.get(kind, 0) for kind in after if after[kind] != before.get(kind, 0)}
    assert grown == {"regex": 1, "json_schema": 1, "tool_calls": 1}


def test_metric_labels_come_from_closed_sets(server: RunningServer) -> None:
    server.get("/nowhere/secret-path-sesame")
    server.get("/v1/models/secret-model-sesame")
    server.chat("secret-prompt-sesame", model="secret-model-sesame")

    text = server.get("/metrics").text

    assert "sesame" not in text
    assert 'route="unmatched"' in text
    assert 'route="/v1/models/{model_id:path}"' in text


def test_logs_hold_no_prompt_and_no_answer(server: RunningServer) -> None:
    answer = server.chat("secret-prompt-sesame tell me", max_tokens=8).json()["choices"][0]["message"]["content"]

    log = server.log()

    assert "secret-prompt-sesame" not in log
    assert answer not in log
    assert re.search(r'"event": "request_done".*"component": "api"|"component": "api".*"event": "request_done"', log)


def test_the_chat_page_runs_its_own_script_and_no_other(server: RunningServer) -> None:
    page = server.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert page.text.count("<script>") == 1
    assert "innerHTML" not in page.text


def test_the_documentation_needs_nothing_from_elsewhere(server: RunningServer) -> None:
    files = re.findall(r'(?:src|href)="([^"]+)"', server.get("/docs").text)

    assert len(files) >= 3
    assert [server.get(file).status_code for file in files] == [200] * len(files)


def test_docs_and_openapi_are_served(server: RunningServer) -> None:
    assert "/openapi.json" in server.get("/docs").text
    document = server.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation["summary"] and operation["description"] for operation in operations)
    assert all({"400", "503"} <= set(operation["responses"]) for operation in operations)


def test_an_unavailable_default_model_is_said_and_the_demo_model_answers(tmp_path: Path) -> None:
    with run_server(tmp_path, Path("nobody/no-such-model")) as server:
        response = server.chat("What is the capital of France?", max_tokens=8)

        assert response.status_code == 200, response.text
        assert "nobody/no-such-model" in response.headers["x-model-fallback"]
        assert response.json()["model"] == "mlx-hub/demo"
        assert server.get("/health").json()["status"] == "degraded"
        assert server.get("/admin/health").json()["default_model"]["state"] == "unavailable"

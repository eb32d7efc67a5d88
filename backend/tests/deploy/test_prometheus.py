"""Prometheus' own tools on its configuration and rules; every alert is made to fire, and not to, by promtool."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.compose_file import ROOT
from fixtures.prometheus import CONFIG, RULES, program

ALERTS, RECORDING = RULES / "alerts.yml", RULES / "recording.yml"
_INFERENCE = '{job="inference", instance="i"}'
_BACKEND = '{job="backend", instance="b"}'


@dataclass(frozen=True, slots=True)
class Case:
    """An alert with series, a value a minute, on which it fires after `minutes`, and on which it does not."""

    alert: str
    fires: dict[str, str]
    rests: dict[str, str]
    minutes: int = 30


def _ttft(per_minute_late: int) -> dict[str, str]:
    """100 first tokens a minute, of which so many come after 10 to 30 s."""
    series = 'mlx_time_to_first_token_seconds_bucket{{model="m", le="{}", job="inference"}}'.format
    early = f"0+{100 - per_minute_late}x60"
    return {series("10.0"): early, series("30.0"): "0+100x60", series("+Inf"): "0+100x60"}


def _queue(per_minute_late: int) -> dict[str, str]:
    return {
        key.replace('time_to_first_token_seconds_bucket{model="m", ', "queue_seconds_bucket{"): value
        for key, value in _ttft(per_minute_late).items()
    }


def _memory(weights: str) -> dict[str, str]:
    return {
        'mlx_model_weight_bytes{job="inference", instance="i", model="m", base=""}': weights,
        'mlx_device_memory_bytes{job="inference", instance="i", kind="kv"}': "20x60",
        f"mlx_memory_limit_bytes{_INFERENCE}": "100x60",
    }


def _requests(name: str, job: str, failed: str) -> dict[str, str]:
    series = f'{name}{{job="{job}", route="/x", method="GET", status="%s"}}'
    return {series % 200: "0+100x60", series % 500: failed}


def _spans(name: str, job: str, lost: str, *, result: str = "not_delivered") -> dict[str, str]:
    series = f'{name}{{job="{job}", result="%s"}}'
    return {series % "delivered": "0+100x60", series % result: lost}


def _space(free: str) -> dict[str, str]:
    return {f"mlx_hub_host_disk_free_bytes{_BACKEND}": free, f"mlx_hub_host_disk_total_bytes{_BACKEND}": "1000x60"}


def _queued(machines: str) -> dict[str, str]:
    return {
        'mlx_hub_rows{job="backend", instance="b", table="download", state="queued"}': "2x60",
        f"mlx_hub_machines_alive{_BACKEND}": machines,
    }


CASES = (
    Case("ServiceDown", {'up{job="worker", instance="w"}': "0x60"}, {'up{job="worker", instance="w"}': "1x60"}),
    Case("EngineDown", {f"mlx_engine_up{_INFERENCE}": "0x60"}, {f"mlx_engine_up{_INFERENCE}": "1x29 0 1x30"}),
    Case(
        "EngineHangs",
        {f"mlx_engine_heartbeat_age_seconds{_INFERENCE}": "0+60x60", f"mlx_engine_up{_INFERENCE}": "1x60"},
        {f"mlx_engine_heartbeat_age_seconds{_INFERENCE}": "1x60", f"mlx_engine_up{_INFERENCE}": "1x60"},
    ),
    Case(
        "EngineRestarts",
        {f"mlx_engine_restarts_total{_INFERENCE}": "0x20 1 2 3 4 4x30"},
        {f"mlx_engine_restarts_total{_INFERENCE}": "0x20 1x40"},
    ),
    Case("FirstTokenSlow", _ttft(10), _ttft(2)),
    Case(
        "RequestsFail",
        _requests("mlx_http_requests_total", "inference", "0+10x60"),
        _requests("mlx_http_requests_total", "inference", "0+1x60"),
    ),
    Case("QueueLong", _queue(10), _queue(2)),
    Case(
        "RequestsRefused",
        {'mlx_http_requests_total{job="inference", status="429"}': "0+1x60"},
        {'mlx_http_requests_total{job="inference", status="429"}': "7x60"},
    ),
    Case("MemoryShort", _memory("79x60"), _memory("60x60")),
    Case(
        "PromptCacheFaults",
        {f"mlx_prompt_cache_quarantined_total{_INFERENCE}": "0x25 1x30"},
        {f"mlx_prompt_cache_quarantined_total{_INFERENCE}": "1x60"},
    ),
    Case(
        "PromptCacheNotWritten",
        {f"mlx_prompt_cache_disk_write_errors_total{_INFERENCE}": "0x25 5x30"},
        {f"mlx_prompt_cache_disk_write_errors_total{_INFERENCE}": "5x60"},
    ),
    Case("DatabaseDown", {f"mlx_hub_database_up{_BACKEND}": "0x60"}, {f"mlx_hub_database_up{_BACKEND}": "1x60"}),
    Case("NoWorker", _queued("0x60"), _queued("1x60")),
    Case(
        "JobStalled", {f"mlx_hub_job_silence_seconds{_BACKEND}": "0+60x60"}, {f"mlx_hub_job_silence_seconds{_BACKEND}": "60x60"}
    ),
    Case(
        "TrainerStalled",
        {'mlx_hub_trainer_silent_seconds{job="worker"}': "0+60x60"},
        {'mlx_hub_trainer_silent_seconds{job="worker"}': "60x60"},
    ),
    Case(
        "TrainerRestarts",
        {'mlx_hub_trainer_starts_total{job="worker", mode="train"}': "0+1x60"},
        {'mlx_hub_trainer_starts_total{job="worker", mode="probe"}': "0+1x60"},
    ),
    Case(
        "ChoresFail",
        {'mlx_hub_worker_chore_failures_total{job="worker", chore="lease"}': "0+1x60"},
        {'mlx_hub_worker_chore_failures_total{job="worker", chore="lease"}': "0x28 1x30"},
    ),
    Case(
        "MLflowBehind",
        {f"mlx_hub_mlflow_behind_seconds{_BACKEND}": "0+60x60"},
        {f"mlx_hub_mlflow_behind_seconds{_BACKEND}": "30x60"},
    ),
    Case("DiskShort", _space("90x60"), _space("110x60")),
    Case("DiskFillsUp", _space("990-5x60"), _space("990x60"), minutes=50),
    Case(
        "HostMemoryShort",
        {f"mlx_host_memory_used_bytes{_INFERENCE}": "97x60", f"mlx_host_memory_total_bytes{_INFERENCE}": "100x60"},
        {f"mlx_host_memory_used_bytes{_INFERENCE}": "90x60", f"mlx_host_memory_total_bytes{_INFERENCE}": "100x60"},
    ),
    Case(
        "TracesLost",
        _spans("mlx_hub_trace_spans_total", "worker", "0+2x60"),
        _spans("mlx_hub_trace_spans_total", "worker", "0x19 9x60"),
    ),
    Case(
        "TracesLost",
        _spans("mlx_trace_spans_total", "inference", "0+1x60", result="queue_full"),
        _spans("mlx_trace_spans_total", "inference", "0x60"),
    ),
)


def promtool(*arguments: str | Path) -> str:
    """What it prints; the test fails when it is not content."""
    result = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    (tmp_path / "api_key").write_text("key")
    (tmp_path / "rules").symlink_to(RULES)
    for job in config["scrape_configs"]:
        if "authorization" in job:
            job["authorization"]["credentials_file"] = "api_key"
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))

    promtool("check", "config", tmp_path / "prometheus.yml")


def test_rules_are_valid_and_have_no_doubles() -> None:
    promtool("check", "rules", "--lint-fatal", ALERTS, RECORDING)


def test_it_scrapes_both_services_and_the_worker_where_they_listen_by_default() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    example = (ROOT / ".env.example").read_text()

    for job, variable in (("inference", "MLX_API_PORT"), ("backend", "MLX_HUB_PORT"), ("worker", "MLX_HUB_WORKER_METRICS_PORT")):
        (target,) = targets.pop(job)
        host, port = target.split(":")
        assert host == "host.docker.internal"
        assert f"#{variable}={port}\n" in example
    assert targets == {"prometheus": ["localhost:9090"]}


def test_every_alert_says_how_bad_it_is_and_what_to_do_and_has_a_case() -> None:
    alerts = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]

    assert {rule["labels"]["severity"] for rule in alerts} == {"page", "ticket"}
    assert all(rule["annotations"].keys() == {"summary", "description"} for rule in alerts)
    assert sorted(rule["alert"] for rule in alerts) == sorted({case.alert for case in CASES})


def _test_of(alert: str, series: dict[str, str], minutes: int, *, fires: bool) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should_and_rests_when_it_should(case: Case, tmp_path: Path) -> None:
    tests = [
        _test_of(case.alert, series, case.minutes, fires=fires) for series, fires in ((case.fires, True), (case.rests, False))
    ]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS), str(RECORDING)], "evaluation_interval": "1m", "tests": tests}))

    promtool("test", "rules", file)


def test_an_alert_tells_people_what_it_saw(tmp_path: Path) -> None:
    expected = {
        "exp_labels": {"severity": "page", "job": "backend"},
        "exp_annotations": {
            "summary": "backend: 9.091% of all requests fail",
            "description": "The log has a line with the request's id for each.",
        },
    }
    series = _requests("mlx_hub_http_requests_total", "backend", "0+10x60")
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "20m", "alertname": "RequestsFail", "exp_alerts": [expected]}],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS), str(RECORDING)], "evaluation_interval": "1m", "tests": [test]}))

    promtool("test", "rules", file)

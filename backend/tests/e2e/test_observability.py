"""Prometheus on the real services while they work: each panel has something to show, and the rules are evaluated."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from check_dashboards import live_problems, targets_of
from deploy.compose_file import ROOT, read_compose, written
from e2e.stack import Platform, run_platform
from e2e.workload import settings_for_every_kind
from fixtures.collector import run_http_collector
from fixtures.hub import run_hub
from fixtures.processes import wait_until
from fixtures.prometheus import Prometheus, program, run_prometheus

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Observed:
    platform: Platform
    prometheus: Prometheus


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    home = tmp_path_factory.mktemp("observed")
    with (
        run_hub() as hub,
        run_http_collector() as collector,
        run_platform(home, f"sqlite:///{home}/hub.db", hub, **settings_for_every_kind(home, collector.endpoint)) as platform,
        run_prometheus(home / "prometheus", targets_of(platform)) as prometheus,
    ):
        yield Observed(platform, prometheus)


def test_every_panel_draws_something_after_real_work_and_every_metric_is_used(observed: Observed) -> None:
    assert "\n".join(live_problems(observed.platform, observed.prometheus)) == ""


def test_all_are_scraped_and_no_alert_fires_on_a_healthy_platform(observed: Observed) -> None:
    prometheus = observed.prometheus
    prometheus.wait_for_scrape()

    up = {series["metric"]["job"]: series["value"][1] for series in prometheus.query("up")}
    assert up == {"inference": "1", "backend": "1", "worker": "1", "prometheus": "1"}
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert prometheus.samples("model:mlx_time_to_first_token_seconds:p95_rate5m")
    assert prometheus.samples("job:mlx_prompt_cache_lookups_hit:ratio_rate5m")
    machine = {"DiskShort", "DiskFillsUp", "HostMemoryShort"}
    firing = [alert["labels"] for alert in prometheus.get("alerts")["alerts"] if alert["state"] == "firing"]
    assert not [labels for labels in firing if labels["alertname"] not in machine]


def test_the_commands_of_the_manual_show_figures(observed: Observed) -> None:
    ports = {"inference": 8080, "backend": 8002, "worker": 8003}
    text = (ROOT / "docs/operations.md").read_text()
    commands = re.findall(r"^curl -s http://localhost:\d+/metrics .*$", text, re.MULTILINE)
    assert len(commands) == len(ports)

    for (service, port), command in zip(ports.items(), commands, strict=True):
        address = f"http://localhost:{port}"
        assert address in command
        real = command.replace(address, targets_of(observed.platform)[service].removesuffix("/metrics"))
        shown = subprocess.run(["bash", "-c", real], capture_output=True, text=True, check=False, timeout=60)
        assert shown.stdout.startswith("mlx_"), command


def test_a_service_that_is_killed_shows_within_seconds(observed: Observed) -> None:
    observed.platform.worker.kill()

    observed.prometheus.wait_for('up{job="worker"} == 0')
    wait_until(lambda: bool(observed.prometheus.query('ALERTS{alertname="ServiceDown", job="worker"}')), 60)


@pytest.mark.parametrize("service", ["inference", "backend"])
def test_names_and_help_are_as_prometheus_wants_them(observed: Observed, service: str) -> None:
    text = httpx.get(f"{targets_of(observed.platform)[service]}/metrics", timeout=30).text

    result = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=60
    )

    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.parametrize("service", ["inference", "backend"])
def test_the_health_checks_of_the_containers_are_content_with_the_services(observed: Observed, service: str) -> None:
    check = read_compose(variables=written())["services"][service]["healthcheck"]["test"]
    url = targets_of(observed.platform)[service]
    program_text = check[-1].replace(f"http://127.0.0.1:{ {'inference': 8080, 'backend': 8002}[service] }", url)
    started = time.monotonic()

    result = subprocess.run([sys.executable, *check[2:-1], program_text], capture_output=True, text=True, check=False, timeout=60)

    assert url in program_text
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - started < 60

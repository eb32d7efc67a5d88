"""docker-compose.yml against the Compose specification, and against what the platform says of itself elsewhere."""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_env import write_env
from deploy.compose_file import COMPOSE, LINUX, ROOT, filled, read_compose, variables_in, variables_of, written
from jsonschema.validators import validator_for
from mlx_hub.config import Settings
from mlx_hub.db import async_url

ENV_EXAMPLE = (ROOT / ".env.example").read_text()
DOCUMENTED = set(re.findall(r"^#?([A-Z_]+)=", ENV_EXAMPLE, re.MULTILINE))
PORTS = {
    "postgres": {5434: 5432},
    "mlflow": {5001: 5001},
    "prometheus": {9090: 9090},
    "grafana": {3001: 3000},
    "tracing": {4317: 4317, 4318: 4318, 16686: 16686},
    "backend": {8002: 8002},
    "worker": {8003: 8003},
    "inference": {8080: 8080},
    "dashboard": {3005: 3005},
}


def specification() -> Any:
    """Says whether a file is what Compose reads."""
    file = importlib.resources.files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json")
    schema = json.loads(file.read_text())
    return validator_for(schema)(schema)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read_compose(variables=written())


@pytest.mark.parametrize("path", [COMPOSE, LINUX], ids=lambda path: path.name)
def test_the_file_is_what_the_compose_specification_asks_for(path: Path) -> None:
    problems = [
        f"{error.json_path}: {error.message}" for error in specification().iter_errors(read_compose(path, variables=written()))
    ]

    assert not problems


def test_the_schema_would_notice_a_mistake(compose: dict[str, Any]) -> None:
    broken = compose | {"services": {"postgres": {"image": "postgres:17", "helthcheck": {}}}}

    assert not specification().is_valid(broken)


def test_services_have_the_promised_ports_and_only_this_machine_can_reach_them(compose: dict[str, Any]) -> None:
    found = {
        name: [re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", port) for port in service["ports"]]
        for name, service in compose["services"].items()
    }

    assert {name: {int(port[1]): int(port[2]) for port in ports if port} for name, ports in found.items()} == PORTS
    assert all(port for ports in found.values() for port in ports)


def test_without_a_profile_the_four_servers_start_and_the_others_have_theirs(compose: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles", ["default"]) for name, service in compose["services"].items()}

    assert {name for name, of in profiles.items() if of == ["default"]} == {"postgres", "mlflow", "prometheus", "grafana"}
    assert {name for name, of in profiles.items() if of == ["tracing"]} == {"tracing"}
    assert {name for name, of in profiles.items() if of == ["app"]} == {"backend", "worker", "inference", "dashboard"}


def test_each_service_has_a_health_check_and_a_pinned_image(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"]), name
        waits_for = service.get("depends_on", {})
        assert all(condition == {"condition": "service_healthy"} for condition in waits_for.values()), name


def test_no_password_has_a_default_and_nothing_starts_without_one() -> None:
    text = COMPOSE.read_text()

    for name in ("POSTGRES_PASSWORD", "GRAFANA_PASSWORD", "COMPOSE_API_KEY"):
        others = {key: value for key, value in written().items() if key != name}
        with pytest.raises(LookupError, match="run make up"):
            filled(text, others)
    secrets = re.findall(r"^ +\w*(?:PASSWORD|KEY)\w*: (.*)$", text, re.MULTILINE)
    assert len(secrets) >= 3
    assert all(value.startswith("${") and ":?" in value for value in secrets)


def test_variables_are_those_that_the_example_and_the_settings_know(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert variables_in(COMPOSE.read_text()) | written(is_linux=True).keys() <= DOCUMENTED
    services = compose["services"]
    names = {name for service in ("backend", "worker", "inference") for name in services[service]["environment"]}
    assert names - DOCUMENTED == {"HF_HOME"}

    for service in ("backend", "worker"):
        for name, value in services[service]["environment"].items():
            monkeypatch.setenv(name, value)
        settings = Settings()
        url = async_url(settings.database_url)
        assert (settings.host, settings.port) == ("0.0.0.0", 8002)
        assert (url.host, url.port, url.database) == ("postgres", 5432, "mlx_hub")
        assert url.password == written_password(compose)
        assert settings.mlflow_tracking_uri == "http://mlflow:5001"
        assert settings.inference_url == "http://inference:8080"
    assert settings.worker_metrics_host == "0.0.0.0"


def written_password(compose: dict[str, Any]) -> str:
    return compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"]


def test_services_in_containers_ask_for_a_key_that_health_checks_and_prometheus_show(compose: dict[str, Any]) -> None:
    services = compose["services"]
    asked = {
        "inference": services["inference"]["environment"]["MLX_API_KEY"],
        "backend": services["backend"]["environment"]["MLX_HUB_API_KEY"],
        "worker": services["worker"]["environment"]["MLX_HUB_API_KEY"],
    }
    configs = {entry["target"]: compose["configs"][entry["source"]]["content"] for entry in services["prometheus"]["configs"]}
    jobs = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())["scrape_configs"]
    shown = {
        job["job_name"]: configs[job["authorization"]["credentials_file"]] for job in jobs if job["job_name"] != "prometheus"
    }

    assert shown == asked
    assert all(len(key) >= 32 for key in asked.values())
    assert services["backend"]["environment"]["MLX_API_KEY"] == asked["inference"]
    assert "MLX_HUB_API_KEY" in services["worker"]["healthcheck"]["test"][-1]


def test_keys_of_ones_own_take_the_place_of_the_written_one() -> None:
    one = read_compose(variables=written() | {"MLX_API_KEY": "of-both"})
    assert {name: config["content"] for name, config in one["configs"].items()} == dict.fromkeys(one["configs"], "of-both")
    own = {"MLX_API_KEY": "of-the-inference-server", "MLX_HUB_API_KEY": "of-the-backend"}
    compose = read_compose(variables=written() | own)

    assert compose["services"]["inference"]["environment"]["MLX_API_KEY"] == "of-the-inference-server"
    assert compose["services"]["worker"]["environment"]["MLX_HUB_API_KEY"] == "of-the-backend"
    assert {name: config["content"] for name, config in compose["configs"].items()} == {
        "api_key": "of-the-inference-server",
        "hub_api_key": "of-the-backend",
    }


def test_what_is_mounted_and_built_is_in_the_repository(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"], (name, volume)
        if "build" in service:
            assert (ROOT / service["build"]["context"] / "Dockerfile").exists(), name


def test_mlflow_answers_to_the_name_that_the_platform_calls_it_by(compose: dict[str, Any]) -> None:
    hosts = compose["services"]["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")

    assert {"mlflow:*", "localhost:*", "127.0.0.1:*"} <= set(hosts)


def test_a_new_env_file_is_private_and_its_secrets_are_random(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    assert write_env(first, is_linux=True)
    assert write_env(second, is_linux=True)

    assert first.stat().st_mode & 0o777 == 0o600
    values = [variables_of(path.read_text()) for path in (first, second)]
    for name in ("POSTGRES_PASSWORD", "GRAFANA_PASSWORD", "COMPOSE_API_KEY"):
        assert len(values[0][name]) >= 32
        assert values[0][name] != values[1][name]
    assert values[0]["POSTGRES_PASSWORD"] in values[0]["DATABASE_URL"]


def test_what_stands_in_the_env_file_stays_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("DATABASE_URL=postgresql://me@elsewhere/db\nPOSTGRES_PASSWORD=mine\n#GRAFANA_PASSWORD=no")
    path.chmod(0o644)

    assert write_env(path, is_linux=False)
    once = path.read_text()
    assert not write_env(path, is_linux=False)

    assert path.read_text() == once
    assert once.startswith("DATABASE_URL=postgresql://me@elsewhere/db\nPOSTGRES_PASSWORD=mine\n#GRAFANA_PASSWORD=no\n")
    assert once.count("DATABASE_URL=") == once.count("\nPOSTGRES_PASSWORD=") == 1
    assert "\nGRAFANA_PASSWORD=" in once
    assert "COMPOSE_FILE" not in once
    assert path.stat().st_mode & 0o777 == 0o600

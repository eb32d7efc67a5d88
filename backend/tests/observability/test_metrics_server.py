"""The worker's own port for Prometheus."""

import socket
from contextlib import ExitStack

import httpx
import pytest
from fixtures.worker import run_worker
from mlx_hub.config import LOCAL_HOSTS
from mlx_hub.observability.metrics_server import serving_metrics


def test_it_serves_metrics_and_nothing_else_until_it_is_closed() -> None:
    with serving_metrics("127.0.0.1", 0, lambda: b"figures 1\n", hosts=LOCAL_HOSTS) as url:
        answer = httpx.get(url)
        other = httpx.get(url.replace("/metrics", "/"))

    assert (answer.status_code, answer.text) == (200, "figures 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert other.status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:9", 200), ("host.docker.internal:8003", 200), ("evil.example", 403), ("", 403)]
)
def test_it_answers_only_to_names_of_this_machine(host: str, status: int) -> None:
    with serving_metrics("127.0.0.1", 0, lambda: b"", hosts=LOCAL_HOSTS) as url:
        assert httpx.get(url, headers={"host": host}).status_code == status


def test_a_client_that_sends_nothing_holds_up_nobody() -> None:
    with serving_metrics("127.0.0.1", 0, lambda: b"", hosts=LOCAL_HOSTS) as url:
        port = httpx.URL(url).port
        assert port
        with ExitStack() as silent:
            # One that was waited for would be given up after 10 s.
            for _ in range(8):
                silent.enter_context(socket.create_connection(("127.0.0.1", port)))
            assert httpx.get(url, timeout=60).status_code == 200


def test_a_worker_whose_port_is_taken_works_without(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("worker")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        run_worker(home, f"sqlite:///{home}/hub.db", MLX_HUB_WORKER_METRICS_PORT=str(taken.getsockname()[1])) as worker,
    ):
        assert "metrics_not_served" in worker.log()
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer another"}, 401),
        ({"authorization": "Basic the-key"}, 401),
        ({"authorization": "Bearer the-key"}, 200),
        ({"x-api-key": "the-key"}, 200),
    ],
)
def test_with_a_key_it_answers_only_to_those_who_show_it(headers: dict[str, str], status: int) -> None:
    with serving_metrics("127.0.0.1", 0, lambda: b"figures 1\n", hosts=LOCAL_HOSTS, key="the-key") as url:
        answer = httpx.get(url, headers=headers)

    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers, "figures" in answer.text) == (status == 401, status == 200)


def test_a_worker_shows_other_machines_nothing_without_the_operators_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("worker")
    key, hosts = "the operator's own key", {"MLX_HUB_WORKER_METRICS_HOST": "0.0.0.0", "MLX_HUB_WORKER_METRICS_PORT": "0"}
    with run_worker(home, f"sqlite:///{home}/hub.db", **hosts) as worker:
        assert "set MLX_HUB_API_KEY" in worker.log()
        assert worker.stop() == 0
    with run_worker(home, f"sqlite:///{home}/hub.db", **hosts, MLX_HUB_API_KEY=key) as worker:
        url = worker.metrics_url.replace("0.0.0.0", "127.0.0.1")
        answers = [httpx.get(url, headers=headers).status_code for headers in ({}, {"x-api-key": key})]

    assert answers == [401, 200]

"""SIGTERM: readiness fails first, streams end with an answer or an error frame, and the status is 0."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.server import Stream, run_server


def test_running_streams_finish_and_new_requests_are_told_to_wait(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models()) as server:
        streams = [Stream(server, 400) for _ in range(8)]
        server.wait_until(lambda _: all(len(stream.frames) > 3 for stream in streams), 30)

        server.process.send_signal(signal.SIGTERM)

        server.wait_until(lambda it: it.get("/health/ready").status_code == 503, 20)
        refused = server.chat("Hi")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "shutting_down"
        assert int(refused.headers["retry-after"]) > 0
        assert server.process.wait(40) == 0
        for stream in streams:
            stream.join(10)
            assert stream.frames[-1] == "[DONE]"


def test_a_stream_that_outlives_the_drain_gets_an_error_frame(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models(), MLX_DRAIN_SECONDS="1") as server:
        stream = Stream(server, 30_000)
        server.wait_until(lambda _: len(stream.frames) > 3, 30)

        assert server.stop() == 0

        stream.join(10)
        assert json.loads(stream.frames[-1])["error"]["code"] in {"shutting_down", "engine_down"}


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, tiny_models: Callable[..., Path], second: int) -> None:
    with run_server(tmp_path, tiny_models(), MLX_DRAIN_SECONDS="60") as server:
        engine_pid = server.engine()["pid"]
        stream = Stream(server, 30_000)
        server.wait_until(lambda _: len(stream.frames) > 3, 30)
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda it: it.get("/health/ready").status_code == 503, 20)
        started = time.monotonic()

        status = server.stop(second)

        assert status == 0
        assert time.monotonic() - started < 30
        with pytest.raises(ProcessLookupError):
            os.kill(engine_pid, 0)
        assert "Traceback" not in server.log()


def test_ctrl_c_on_an_idle_server_is_quick_and_clean(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    with run_server(tmp_path, tiny_models()) as server:
        started = time.monotonic()

        assert server.stop(signal.SIGINT) == 0

        assert time.monotonic() - started < 15  # The drain time is 20 s.
        assert "Traceback" not in server.log()


def test_what_was_computed_moments_before_a_stop_is_on_disk_after_it(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    system = "You answer from the handbook. " * 60
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Go"}]
    body = {"messages": messages, "max_tokens": 4}
    with run_server(tmp_path, tiny_models()) as server:
        cold = server.post("/v1/chat/completions", body)
        assert server.stop() == 0

    with run_server(tmp_path, tiny_models()) as again:
        warm = again.post("/v1/chat/completions", body)

    assert cold.headers["x-cache"] == "miss"
    assert warm.headers["x-cache"] == "hit"
    assert warm.json()["choices"][0]["message"] == cold.json()["choices"][0]["message"]

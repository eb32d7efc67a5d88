"""The event stream over real HTTP: each event once and in order, also after a cut, a kill, a crowd or a slow client."""

import asyncio
import random
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.events import listen, publish_numbers
from fixtures.processes import clean_environment, free_port, wait_until
from mlx_hub.db import async_url, create_engine, create_sessions
from mlx_hub.models.job import Event
from mlx_hub.services.events import publish
from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

ORIGIN = "http://localhost:3005"
SECONDS = 60.0


def test_a_new_client_gets_what_happens_from_now_on(backend: RunningBackend) -> None:
    publish_numbers(backend, range(3))
    with listen(backend) as listener:
        publish_numbers(backend, range(10, 13), kind="download", subject_id="d1")
        backend.wait_until(lambda: len(listener.numbers()) == 3, SECONDS)

    hello, *events = listener.stored()
    assert (hello.event, hello.id) == ("hello", hello.data["last_event_id"])
    assert listener.numbers() == [10, 11, 12]
    assert {(event.event, event.data["subject_id"]) for event in events} == {("download", "d1")}
    identities = [event.id or 0 for event in (hello, *events)]
    assert identities == sorted(set(identities))
    assert events[0].data["created_at"].endswith("+00:00")


def test_filters_by_kind_and_by_subject(backend: RunningBackend) -> None:
    with (
        listen(backend, "?kind=job&kind=metrics") as by_kind,
        listen(backend, "?subject_id=j1") as by_subject,
        listen(backend) as unfiltered,
    ):
        for number, (kind, subject_id) in enumerate(
            [("job", "j1"), ("task", "t1"), ("metrics", "j1"), ("job", "j2"), ("download", "d1")]
        ):
            publish_numbers(backend, range(number, number + 1), kind=kind, subject_id=subject_id)
        backend.wait_until(lambda: len(unfiltered.numbers()) == 5, SECONDS)
        backend.wait_until(lambda: len(by_kind.numbers()) == 3 and len(by_subject.numbers()) == 2, SECONDS)

    assert by_kind.numbers() == [0, 2, 3]
    assert by_subject.numbers() == [0, 2]
    assert all(event.event != "system" for event in by_kind.received + by_subject.received)


def test_readings_of_the_system_come_while_somebody_listens(backend: RunningBackend) -> None:
    with listen(backend, "?kind=system") as listener:
        backend.wait_until(lambda: len(listener.received) >= 3, SECONDS)

    readings = [event for event in listener.received if event.event == "system"]
    payload = readings[0].data["payload"]
    assert all(event.id is None for event in readings)
    assert 0 < payload["memory_available_bytes"] < payload["memory_total_bytes"]
    assert 0 < payload["disk_free_bytes"] < payload["disk_total_bytes"]
    assert 0 <= payload["cpu_percent"] <= 100


@pytest.mark.timeout(240)
def test_a_client_resumes_without_gap_or_repeat_over_a_killed_api(database_url: str, tmp_path: Path) -> None:
    with run_backend(tmp_path, database_url) as first:
        with listen(first) as before:
            publish_numbers(first, range(5))
            first.wait_until(lambda: len(before.numbers()) == 5, SECONDS)
            first.stop(signal.SIGKILL)
            before.has_ended.wait(SECONDS)
        last_id = before.received[-1].id or max(event.id or 0 for event in before.received)
        publish_numbers(first, range(5, 605))

    with run_backend(tmp_path, database_url) as second:
        seen = before.stored()[3].id
        with (
            listen(second, headers={"Last-Event-ID": str(last_id)}) as by_header,
            listen(second, f"?last_event_id={seen}") as by_query,
            listen(second, "?last_event_id=1", headers={"Last-Event-ID": str(last_id)}) as by_both,
            listen(second, f"?last_event_id={seen}&kind=task") as of_other_kind,
        ):
            publish_numbers(second, range(605, 610))
            for listener in (by_header, by_query, by_both):
                second.wait_until(lambda listener=listener: listener.numbers()[-1:] == [609], SECONDS)

    assert before.numbers() == [0, 1, 2, 3, 4]
    assert by_header.numbers() == by_both.numbers() == list(range(5, 610))
    assert by_query.numbers() == list(range(3, 610))
    assert not of_other_kind.stored()


def test_a_client_that_asks_for_what_is_gone_is_reset_and_goes_on(backend: RunningBackend) -> None:
    with listen(backend) as listener:
        publish_numbers(backend, range(3))
        backend.wait_until(lambda: len(listener.numbers()) == 3, SECONDS)
    first_id, newest_id = listener.stored()[1].id or 0, listener.stored()[-1].id or 0

    async def prune(session: AsyncSession) -> None:
        await session.exec(delete(Event).where(col(Event.id) < newest_id))

    backend.in_session(prune)

    for position in (str(first_id - 1), str(newest_id + 10**6), "not-a-number"):
        with listen(backend, headers={"Last-Event-ID": position}) as late:
            publish_numbers(backend, range(7, 8))
            backend.wait_until(lambda late=late: late.numbers() == [7], SECONDS)
        reset = late.stored()[0]
        assert (reset.event, reset.data) == ("reset", {"last_event_id": reset.id})
        assert reset.id is not None
        assert reset.id >= newest_id

    with listen(backend, headers={"Last-Event-ID": str(reset.id)}) as resumed:
        backend.wait_until(lambda: resumed.numbers() == [7], SECONDS)


def test_a_client_that_missed_very_much_is_reset(backend: RunningBackend) -> None:
    with listen(backend) as listener:
        publish_numbers(backend, range(1))
        backend.wait_until(lambda: listener.numbers() == [0], SECONDS)
    seen = listener.stored()[-1].id

    async def add_many(session: AsyncSession) -> None:
        session.add_all([Event(kind="task", subject_id="t", payload={"number": number}) for number in range(10_001)])

    backend.in_session(add_many)

    with listen(backend, f"?last_event_id={seen}") as reset, listen(backend, f"?last_event_id={seen}&kind=job") as filtered:
        publish_numbers(backend, range(5, 6))
        for each in (reset, filtered):
            backend.wait_until(lambda each=each: each.numbers() == [5], SECONDS)
    assert [event.event for event in reset.stored()] == ["reset", "job"]
    assert [event.event for event in filtered.stored()] == ["job"]


@pytest.mark.timeout(240)
def test_fifty_clients_get_everything_and_leave_nothing_behind(backend: RunningBackend) -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(listen(backend, "?kind=job")) for _ in range(50)]
        assert "mlx_hub_event_listeners 50.0" in backend.get("/metrics").text
        publish_numbers(backend, range(100))
        for listener in listeners:
            backend.wait_until(lambda listener=listener: len(listener.numbers()) == 100, SECONDS)

    assert all(listener.numbers() == list(range(100)) for listener in listeners)
    backend.wait_until(lambda: "mlx_hub_event_listeners 0.0" in backend.get("/metrics").text, SECONDS)


@pytest.mark.timeout(240)
def test_of_many_publishers_at_once_nothing_is_lost(backend: RunningBackend) -> None:
    """Their transactions end in another order than they began: a reader that trusts ids must not skip the late ones."""

    async def publish_some(number: int) -> None:
        engine = create_engine(async_url(backend.database_url))
        for each in range(number * 20, number * 20 + 20):
            async with create_sessions(engine).begin() as session:
                await publish(session, "job", "all", {"number": each})
                await asyncio.sleep(random.random() * 0.01)
        await engine.dispose()

    async def publish_all() -> None:
        await asyncio.gather(*(publish_some(number) for number in range(8)))

    with listen(backend, "?kind=job") as listener:
        asyncio.run(publish_all())
        backend.wait_until(lambda: len(listener.numbers()) >= 160, SECONDS)

    assert sorted(listener.numbers()) == list(range(160))
    identities = [event.id or 0 for event in listener.stored()]
    assert identities == sorted(identities)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_slow_client_misses_nothing_and_delays_neither_others_nor_the_end(tmp_path: Path) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", int(backend.base_url.rpartition(":")[2])))
        slow.sendall(b"GET /api/v1/events?kind=job HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with listen(backend, "?kind=job") as quick:
            backend.wait_until(lambda: "mlx_hub_event_listeners 2.0" in backend.get("/metrics").text, SECONDS)
            publish_numbers(backend, range(1500), padding="x" * 5000)
            backend.wait_until(lambda: len(quick.numbers()) == 1500, SECONDS)
        # More than the queue and all the buffers on the way hold: the rest comes from the table.
        assert _read_numbers(slow, 1500) == quick.numbers() == list(range(1500))

        publish_numbers(backend, range(1500), padding="x" * 5000)
        began = time.monotonic()
        assert backend.stop() == 0, backend.log()
        assert time.monotonic() - began < 20


def _read_numbers(stream: socket.socket, num_events: int) -> list[int]:
    stream.settimeout(SECONDS)
    received = b""
    while (numbers := re.findall(rb'"number":(\d+)', received)) == [] or len(numbers) < num_events:
        received += stream.recv(1 << 20)
    return [int(number) for number in numbers]


@pytest.mark.parametrize("module", ["mlx_hub.main", "uvicorn"])
def test_streams_end_as_soon_as_the_server_is_told_to_stop(tmp_path: Path, module: str) -> None:
    """Also under uvicorn's own command, which would wait for them for ever."""
    port, arguments = free_port(), ["mlx_hub.main:app"] if module == "uvicorn" else []
    environment = clean_environment(HOME=str(tmp_path), MLX_HUB_DATA_DIR=str(tmp_path / "data"))
    command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
    with (tmp_path / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    backend = RunningBackend(process, tmp_path, "", f"http://127.0.0.1:{port}")  # pyright: ignore[reportArgumentType]
    try:
        wait_until(lambda: _answers(backend), SECONDS, hint=backend.log)
        with listen(backend) as listener:
            process.terminate()
            assert listener.has_ended.wait(SECONDS)
        process.wait(60)
    finally:
        process.kill()
        process.wait(60)
    assert listener.stored()[0].event == "hello"
    # What uvicorn says when it ends by force what did not end by itself.
    assert "timeout graceful shutdown exceeded" not in backend.log()


def _answers(backend: RunningBackend) -> bool:
    try:
        return backend.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_browsers_of_the_dashboard_may_listen_and_others_may_not(backend: RunningBackend) -> None:
    with listen(backend, headers={"Origin": ORIGIN}) as listener:
        pass
    assert listener.headers["access-control-allow-origin"] == ORIGIN
    assert listener.headers["content-type"].startswith("text/event-stream")
    assert backend.get("/api/v1/events", headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_kind_that_does_not_exist_is_a_problem(backend: RunningBackend) -> None:
    answer = backend.get("/api/v1/events?kind=gossip")

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["code"] == "invalid_input"

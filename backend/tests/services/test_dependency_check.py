"""A check answers in time whatever it asks, asks once however often it is read, and forgets at the end."""

import asyncio
import threading
import time

import pytest
from mlx_hub.services.dependency_check import DependencyCheck, Finding
from mlx_hub.services.own_thread import in_own_thread

pytestmark = pytest.mark.anyio


async def test_an_answer_is_passed_on_with_its_time() -> None:
    async def ask() -> Finding:
        await asyncio.sleep(0.05)
        return Finding("warning", "nearly full")

    result = await DependencyCheck(ask).result()

    assert (result.status, result.message) == ("warning", "nearly full")
    assert result.milliseconds >= 45


async def test_one_that_hangs_is_told_in_time_and_not_asked_again_until_it_answers() -> None:
    num_questions, answered = 0, asyncio.Event()

    async def ask() -> Finding:
        nonlocal num_questions
        num_questions += 1
        await answered.wait()
        return Finding("ok")

    # Also the time that a busy machine has for the answers at the end.
    check = DependencyCheck(ask, deadline_seconds=1.0)
    hanging = await asyncio.gather(*(check.result() for _ in range(20)))
    again = await check.result()
    before = num_questions
    answered.set()
    later = await check.result()
    fresh = await check.result()

    assert {result.status for result in [*hanging, again]} == {"failed"}
    assert again.message is not None
    assert (before, later.status, fresh.status) == (1, "ok", "ok")
    assert num_questions == 2


async def test_closing_gives_up_a_question_that_hangs() -> None:
    given_up = asyncio.Event()

    async def ask() -> Finding:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return Finding("ok")

    check = DependencyCheck(ask, deadline_seconds=0.01)
    await check.result()

    await check.close()

    assert given_up.is_set()


async def test_a_thread_that_hangs_neither_blocks_the_loop_nor_its_end() -> None:
    released = threading.Event()

    def work() -> Finding:
        released.wait(60)
        return Finding("ok")

    check = DependencyCheck(lambda: in_own_thread(work), deadline_seconds=0.05)
    started = time.monotonic()
    try:
        result = await check.result()
        await check.close()
    finally:
        released.set()

    assert result.status == "failed"
    assert time.monotonic() - started < 30


async def test_what_a_thread_raises_comes_out() -> None:
    def work() -> None:
        raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        await in_own_thread(work)

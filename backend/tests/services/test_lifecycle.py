"""How long the end of the server waits for requests."""

import asyncio

import pytest
from mlx_hub.services.lifecycle import Lifecycle

pytestmark = pytest.mark.anyio


async def test_what_is_urgent_meanwhile_ends_the_wait_for_requests() -> None:
    lifecycle = Lifecycle()
    lifecycle.enter()
    second_signal = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, second_signal.set)

    async with asyncio.timeout(60):
        await lifecycle.drain(max_seconds=600, is_urgent=second_signal.is_set)

    assert second_signal.is_set()


async def test_the_last_request_ends_the_wait() -> None:
    lifecycle = Lifecycle()
    for _ in range(2):
        lifecycle.enter()
        asyncio.get_running_loop().call_later(0.2, lifecycle.leave)

    async with asyncio.timeout(60):
        await lifecycle.drain(max_seconds=600, is_urgent=lambda: False)


async def test_a_request_that_does_not_end_is_waited_for_no_longer_than_is_said() -> None:
    lifecycle = Lifecycle()
    lifecycle.enter()

    async with asyncio.timeout(60):
        await lifecycle.drain(max_seconds=0.2, is_urgent=lambda: False)

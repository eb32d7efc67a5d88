"""The queue of one client: bounded, filtered, and honest about what had no room."""

import pytest
from mlx_hub.services.event_stream import MAX_QUEUED_EVENTS, EventFilter, StreamedEvent, Subscription
from mlx_hub.services.events import EventKind

pytestmark = pytest.mark.anyio


def event(event_id: int | None, kind: str = "job", subject_id: str = "j") -> StreamedEvent:
    return StreamedEvent(event_id, kind, subject_id, "{}")


async def test_events_up_to_the_floor_and_unwanted_ones_are_not_queued() -> None:
    subscription = Subscription(EventFilter(frozenset({EventKind.JOB}), "j"), floor=5)
    for each in (event(5), event(6), event(7, kind="task"), event(8, subject_id="k"), event(9)):
        subscription.offer(each)

    assert await subscription.wait()
    assert [taken.id for taken in (subscription.take(), subscription.take()) if taken] == [6, 9]
    assert subscription.take() is None


async def test_a_full_queue_is_emptied_until_the_client_has_caught_up() -> None:
    subscription = Subscription(EventFilter(), floor=0)
    for number in range(1, MAX_QUEUED_EVENTS + 10):
        subscription.offer(event(number))
    assert subscription.is_behind
    assert await subscription.wait()
    assert subscription.take() is None

    subscription.catch_up(MAX_QUEUED_EVENTS + 9)
    subscription.offer(event(MAX_QUEUED_EVENTS + 9))
    subscription.offer(event(MAX_QUEUED_EVENTS + 10))

    assert not subscription.is_behind
    assert (taken := subscription.take()) is not None
    assert taken.id == MAX_QUEUED_EVENTS + 10


async def test_readings_of_the_system_never_push_out_events() -> None:
    subscription = Subscription(EventFilter(), floor=0)
    for number in range(1, MAX_QUEUED_EVENTS + 1):
        subscription.offer(event(number))
    subscription.offer(event(None, kind="system"))

    assert not subscription.is_behind


async def test_an_ended_subscription_says_so_at_once() -> None:
    subscription = Subscription(EventFilter(), floor=0)
    subscription.offer(event(1))
    subscription.end()

    assert not await subscription.wait()

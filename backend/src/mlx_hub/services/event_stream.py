"""The stream of what happens, from the event table to all who listen: one reader of the table a process, whoever listens.

A client gets each event once and in order. It resumes after the last id it saw, and one that reads slowly gets from the table
what its queue had no room for. Where the events are gone or too many it is told by a `reset` to fetch everything anew.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

import orjson
import structlog
from sqlalchemy import ColumnElement, func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.db import Sessions, is_away
from mlx_hub.errors import UnavailableError
from mlx_hub.models.base import utc_now
from mlx_hub.models.job import Event
from mlx_hub.observability.metrics import Metrics
from mlx_hub.services.events import EventKind
from mlx_hub.services.lifecycle import Lifecycle
from mlx_hub.services.system import SystemProbe

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.4
SYSTEM_SECONDS = 2.0
MAX_QUEUED_EVENTS = 1000
"""Of one client; what one that is further behind misses is read from the table."""
MAX_REPLAYED_EVENTS = 10_000
HELLO, RESET = "hello", "reset"
_PAGE = 500
_QUERY_SECONDS = 10.0
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """As it is sent; `data` is JSON. Without an id it is never sent again."""

    id: int | None
    kind: str
    subject_id: str
    data: str


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a client wants: these kinds, or all when there are none, of this subject, or of all."""

    kinds: frozenset[EventKind] = frozenset()
    subject_id: str | None = None

    def wants(self, event: StreamedEvent) -> bool:
        return (not self.kinds or event.kind in self.kinds) and self.subject_id in (None, event.subject_id)

    def conditions(self, after: int, through: int | None) -> list[ColumnElement[bool]]:
        """The same as a query, of stored events in (after, through]."""
        return [
            col(Event.id) > after,
            *([col(Event.id) <= through] if through is not None else []),
            *([col(Event.kind).in_(self.kinds)] if self.kinds else []),
            *([col(Event.subject_id) == self.subject_id] if self.subject_id is not None else []),
        ]


class Subscription:
    """What one client has still to be sent: filled by the feed, read by the client's stream, both on the event loop."""

    def __init__(self, wanted: EventFilter, *, floor: int) -> None:
        self.wanted = wanted
        self.floor = floor
        """Events up to this id are not for the queue: the client has them, or gets them from the table."""
        self.is_behind = False
        """Whether events were left out of the queue, which was full. Those after the last one sent are in the table."""
        self._queue: deque[StreamedEvent] = deque()
        self._has_news = asyncio.Event()
        self.is_over = False

    def offer(self, event: StreamedEvent) -> None:
        """Queues what the client wants, as long as it keeps up."""
        if self.is_behind or (event.id is not None and event.id <= self.floor) or not self.wanted.wants(event):
            return
        if len(self._queue) < MAX_QUEUED_EVENTS:
            self._queue.append(event)
        elif event.id is not None:
            self.is_behind = True
            self._queue.clear()
        self._has_news.set()

    def end(self) -> None:
        self.is_over = True
        self._has_news.set()

    async def wait(self) -> bool:
        """Until there is something to do. False when the stream ends."""
        while not (self._queue or self.is_behind or self.is_over):
            self._has_news.clear()
            await self._has_news.wait()
        return not self.is_over

    def catch_up(self, position: int) -> None:
        """The client gets everything up to `position` from the table; the queue begins anew after it."""
        self._queue.clear()
        self.floor, self.is_behind = max(position, self.floor), False

    def take(self) -> StreamedEvent | None:
        """The next event of the queue, if there is one."""
        return self._queue.popleft() if self._queue else None


@dataclass(slots=True)
class EventFeed:
    """One for a process, used on its event loop. It reads the table only while somebody listens."""

    readers: Sessions
    lifecycle: Lifecycle
    probe: SystemProbe
    metrics: Metrics
    _subscriptions: set[Subscription] = field(default_factory=set)
    _position: int = 0
    """The id up to which the subscriptions have what they want."""
    _has_listeners: asyncio.Event = field(default_factory=asyncio.Event)
    _joining: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Feeds the subscriptions inside the block; ends them when the server begins to drain."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (self._poll(), self._sample(), self._end_at_drain())]
            try:
                yield
            finally:
                self._end_all()
                for task in tasks:
                    task.cancel()

    @asynccontextmanager
    async def subscribe(self, wanted: EventFilter, *, after: int | None) -> AsyncGenerator[AsyncIterator[StreamedEvent]]:
        """What happens from now on, or since the event `after`. Raises UnavailableError when the database does not answer."""
        subscription = await self._join(wanted, after)
        try:
            yield self._stream(subscription, after)
        finally:
            self._subscriptions.discard(subscription)
            self.metrics.event_listeners.set(len(self._subscriptions))
            if not self._subscriptions:
                self._has_listeners.clear()

    async def _join(self, wanted: EventFilter, after: int | None) -> Subscription:
        try:
            async with self._joining, asyncio.timeout(_QUERY_SECONDS):
                newest = await self._newest_id() if after is not None or not self._subscriptions else None
                if not self._subscriptions:
                    self._position = newest or 0
        except Exception as error:
            if not is_away(error):
                raise
            raise UnavailableError("The database does not answer.", retry_after_seconds=5) from error
        # The client may have seen more than this process has: another one served it. Beyond all there is is another database.
        is_ahead = after is not None and self._position < after <= (newest or 0)
        subscription = Subscription(wanted, floor=after if is_ahead and after is not None else self._position)
        self._subscriptions.add(subscription)
        self.metrics.event_listeners.set(len(self._subscriptions))
        self._has_listeners.set()
        if self.lifecycle.is_draining:
            subscription.end()
        return subscription

    async def _stream(self, subscription: Subscription, after: int | None) -> AsyncIterator[StreamedEvent]:
        """First what was missed, then what is queued; again from the table when the queue was too short."""
        if after is None:
            after = subscription.floor
            yield _marker(HELLO, after)
        subscription.is_behind = after != subscription.floor
        while await subscription.wait():
            if subscription.is_behind:
                subscription.catch_up(self._position)
                async for event in self._replay(subscription, after):
                    yield event
                after = subscription.floor
            elif (event := subscription.take()) is not None:
                after = event.id or after
                yield event

    async def _replay(self, subscription: Subscription, after: int) -> AsyncIterator[StreamedEvent]:
        """The stored events in (after, floor], or one reset when some of them are gone or they are too many."""
        position = subscription.floor
        page: list[StreamedEvent] | None = None
        while not subscription.is_over and (page is None or len(page) == _PAGE):
            try:
                page = await self._read_missed(subscription.wanted, after, position, is_first=page is None)
            except Exception as error:
                if not is_away(error):
                    raise
                # The client comes again with the last id that it got.
                log.warning("event_replay_failed", reason=type(error).__name__)
                subscription.end()
                return
            if page is None:
                self.metrics.event_resets.inc()
                yield _marker(RESET, position)
                return
            for event in page:
                yield event
            after = page[-1].id or after if page else after

    async def _read_missed(self, wanted: EventFilter, after: int, position: int, *, is_first: bool) -> list[StreamedEvent] | None:
        """The next page. None when there are gaps or, looked at with the first page, too many events."""
        if after > position:
            return None
        async with asyncio.timeout(_QUERY_SECONDS), self.readers.begin() as session:
            if is_first:
                missed = select(func.count()).select_from(Event).where(*wanted.conditions(after, position))
                if (await session.exec(missed)).one() > MAX_REPLAYED_EVENTS:
                    return None
            page = await _read_page(session, wanted, after, position)
            # Asked after the page was read: pruning in between cannot hide a gap.
            oldest = (await session.exec(select(func.min(col(Event.id))))).one()
        return page if oldest is not None and oldest <= after + 1 else None

    async def _poll(self) -> None:
        is_failing = False
        while True:
            await self._has_listeners.wait()
            try:
                num_read = await self._feed_page()
            except Exception as error:
                # Whatever it is, those who listen wait for it to pass, and the process has other things to do.
                if not is_failing:
                    log.warning("event_poll_failed", reason=type(error).__name__, exc_info=not is_away(error))
                is_failing = True
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            is_failing = False
            await asyncio.sleep(0 if num_read == _PAGE else POLL_SECONDS)

    async def _feed_page(self) -> int:
        async with asyncio.timeout(_QUERY_SECONDS), self.readers.begin() as session:
            page = await _read_page(session, EventFilter(), self._position, None)
        for event in page:
            # While the page was read all may have left and somebody come anew, at a later position.
            if event.id is not None and event.id > self._position:
                self._position = event.id
                self._offer(event)
        return len(page)

    async def _sample(self) -> None:
        """System readings, while somebody listens. The first one only starts the clock of the CPU's share."""
        while True:
            await self._has_listeners.wait()
            began = time.monotonic()
            reading = await asyncio.to_thread(self.probe.read)
            if reading.cpu_percent is not None:
                data = {"subject_id": self.probe.machine_id, "payload": asdict(reading), "created_at": utc_now()}
                event = StreamedEvent(None, EventKind.SYSTEM, self.probe.machine_id, orjson.dumps(data).decode())
                self._offer(event)
            await asyncio.sleep(max(0.0, SYSTEM_SECONDS - (time.monotonic() - began)))

    async def _end_at_drain(self) -> None:
        await self.lifecycle.wait_for_drain()
        self._end_all()

    def _offer(self, event: StreamedEvent) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)

    def _end_all(self) -> None:
        for subscription in self._subscriptions:
            subscription.end()

    async def _newest_id(self) -> int:
        async with self.readers.begin() as session:
            return (await session.exec(select(func.max(col(Event.id))))).one() or 0


def _marker(kind: str, position: int) -> StreamedEvent:
    """`hello` or `reset`: a client that resumes after its id misses nothing from then on."""
    return StreamedEvent(position, kind, "", orjson.dumps({"last_event_id": position}).decode())


async def _read_page(session: AsyncSession, wanted: EventFilter, after: int, through: int | None) -> list[StreamedEvent]:
    statement = select(Event).where(*wanted.conditions(after, through)).order_by(col(Event.id)).limit(_PAGE)
    return [
        StreamedEvent(
            row.id,
            row.kind,
            row.subject_id,
            orjson.dumps({"subject_id": row.subject_id, "payload": row.payload, "created_at": row.created_at}).decode(),
        )
        for row in (await session.exec(statement)).all()
    ]

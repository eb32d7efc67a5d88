"""A question to something that the service stands on, for whose answer nobody waits longer than a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")

CheckStatus = Literal["ok", "warning", "failed", "unknown"]

_DEADLINE_SECONDS = 2.0
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`message` says what was found and, when that is not well, what to do. "unknown": who would know does not answer."""

    status: CheckStatus
    message: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A finding, and how long the answer took."""

    status: CheckStatus
    milliseconds: float
    message: str | None


class DependencyCheck:
    """Asks when it is asked. Event loop only.

    One question is under way at a time, whoever wants to know. One that hangs is not asked again before it ends: however
    often health is read, nothing piles up.
    """

    def __init__(self, ask: Callable[[], Awaitable[Finding]], *, deadline_seconds: float = _DEADLINE_SECONDS) -> None:
        self._ask = ask
        self._deadline_seconds = deadline_seconds
        self._question: asyncio.Future[Finding] | None = None
        self._asked_at = 0.0

    async def result(self) -> CheckResult:
        """Never later than the deadline."""
        if self._question is None or self._question.done():
            self._question, self._asked_at = asyncio.ensure_future(self._ask()), time.monotonic()
        question = self._question
        await asyncio.wait({question}, timeout=self._deadline_seconds)
        elapsed_seconds = time.monotonic() - self._asked_at
        if not question.done():
            return CheckResult("failed", round(elapsed_seconds * 1000, 1), f"no answer within {elapsed_seconds:.0f} s")
        finding = question.result()
        return CheckResult(finding.status, round(elapsed_seconds * 1000, 1), finding.message)

    async def close(self) -> None:
        """Forgets a question that is still under way."""
        if self._question is not None and not self._question.done():
            self._question.cancel()
            await asyncio.wait({self._question}, timeout=_CLOSE_SECONDS)

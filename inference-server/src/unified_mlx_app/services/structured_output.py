"""Formats that a client demands of an answer: checked in a process that may be killed, turned into what the engine keeps to.

A schema, regex or grammar is foreign input whose cost cannot be told from its looks. What passes here compiles in the engine
within the same limits, against the model's own tokens.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
import structlog
from pebble import ProcessExpired

from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.services import format_worker
from unified_mlx_app.services.format_worker import CheckedFormat, FormatError, FormatKind
from unified_mlx_app.services.worker_pool import WorkerPool

CHECK_SECONDS = 2.0
"""Of work; the usual schema takes a millisecond, one of 1,000 properties 50."""
MAX_KEPT = 256
MAX_BYTES = {"json_schema": 128 * 1024, "regex": 16 * 1024, "choice": 128 * 1024, "lark": 32 * 1024}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WantedFormat:
    """A format as a client wrote it: a schema, a text, or a list of texts for `choice`. `param` names its field.

    Of a schema that is not strict, keywords that cannot be kept are left out and told.
    """

    kind: FormatKind
    content: Any
    param: str
    is_strict: bool = True


class StructuredOutput:
    """Checks formats in two processes, started by the first one. Its methods belong to the event loop."""

    def __init__(self) -> None:
        self._pool: WorkerPool | None = None
        self._verdicts: OrderedDict[bytes, CheckedFormat | FormatError] = OrderedDict()

    async def check(self, wanted: WantedFormat) -> CheckedFormat:
        """The format ready for use, known from before or checked now.

        Raises InvalidRequestError, naming the field and the place in it, and UnavailableError when no process became free.
        """
        content = msgspec.json.encode(wanted.content)
        if len(content) > MAX_BYTES[wanted.kind]:
            message = f"{wanted.param} has {len(content)} bytes; at most {MAX_BYTES[wanted.kind]} are taken."
            raise InvalidRequestError(message, param=wanted.param)
        key = sha256(f"{wanted.kind} {wanted.is_strict} ".encode() + content).digest()
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = await self._run(wanted, content)
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > MAX_KEPT:
            self._verdicts.popitem(last=False)
        if isinstance(verdict, FormatError):
            field = wanted.param + verdict.place
            raise InvalidRequestError(f"Invalid value for {field}: {verdict.message}.", param=field)
        return verdict

    async def close(self) -> None:
        """Kill the processes."""
        if self._pool:
            await self._pool.close()
            self._pool = None

    async def _run(self, wanted: WantedFormat, content: bytes) -> CheckedFormat | FormatError:
        if self._pool is None:
            self._pool = WorkerPool("format", format_worker.start)
        try:
            return await self._pool.run(CHECK_SECONDS, format_worker.check, wanted.kind, content, is_strict=wanted.is_strict)
        except FormatError as error:
            return FormatError(error.message, error.place)  # Without its traceback: it is kept.
        except ProcessExpired as error:
            log.warning("format_process_died", exit_code=error.exitcode)
            return FormatError("it takes too much memory to compile")
        except TimeoutError as error:
            log.warning("format_process_killed", limit_seconds=CHECK_SECONDS)
            message = f"{wanted.param} takes longer than {CHECK_SECONDS:g} s to compile."
            raise InvalidRequestError(message, param=wanted.param) from error

"""Functions of `core` in child processes: what is heavy, or runs foreign templates and tokenizers, must not touch the API.

Each call has a process of its own with limits of time and memory, which ends with the call, however that ends.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec
import structlog

from mlx_hub.core.fork_server import LENGTH, STARTED, STATUS, Answer, Request, result_type
from mlx_hub.core.run_config import TrainingError
from mlx_hub.errors import InvalidInputError, UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_MEMORY_BYTES = 4 * 2**30
MAX_ANSWER_BYTES = 64 * 2**20
MAX_PROCESSES = 4
_START_SECONDS = 120.0
"""For the imports before the first call of a module, on a busy machine."""
_STOP_SECONDS = 5.0
_READ_BYTES = 2**20
_ENVIRONMENT = {
    "PYTHONUTF8": "1",
    # A tokenizer that is not whole must not be looked for elsewhere.
    "HF_HUB_OFFLINE": "1",
    # Forking a process with threads may lock up the child; OpenBLAS starts some when it is imported.
    "OPENBLAS_NUM_THREADS": "1",
    # It says at each import that PyTorch is absent.
    "TRANSFORMERS_VERBOSITY": "error",
}
"""The whole of it: foreign code shall not find the service's tokens and passwords."""

log = structlog.get_logger(__name__)


class CoreProcesses:
    """Owns the fork server, which starts with the first call. Used on one event loop; its owner awaits `close()`."""

    def __init__(self, *, max_processes: int = MAX_PROCESSES) -> None:
        self._slots = asyncio.Semaphore(max_processes)
        self._starting = asyncio.Lock()
        self._server: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None

    async def run(
        self,
        function: Callable[..., T],
        *arguments: object,
        timeout_seconds: float,
        memory_limit_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> T:
        """What the module-level `function` returns for `arguments`: anything that msgspec can encode.

        The process is killed when the caller is cancelled. Raises TrainingError as the function does, InvalidInputError
        when it needs more time or memory, and UnavailableError when it crashes or no process gets free in time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise UnavailableError("Too much is being computed just now; try again.", retry_after_seconds=10) from None
        try:
            request = Request(
                function.__module__,
                function.__qualname__,
                list(arguments),
                timeout_seconds * (os.cpu_count() or 1),
                memory_limit_bytes,
            )
            answer = await self._call(request, timeout_seconds)
        finally:
            self._slots.release()
        return self._result(answer, function, memory_limit_bytes)

    async def close(self) -> None:
        """Ends running calls, which fail, and the fork server."""
        async with self._starting:
            await self._stop()

    async def _call(self, request: Request, timeout_seconds: float) -> Answer:
        reader, writer = await self._connect(request.module)
        try:
            body = msgspec.msgpack.encode(request)
            writer.write(LENGTH.pack(len(body)) + body)
            async with asyncio.timeout(_START_SECONDS):
                is_started = await reader.read(len(STARTED)) == STARTED
            if not is_started:
                raise UnavailableError("The process for this could not be started; try again.", retry_after_seconds=5)
            async with asyncio.timeout(timeout_seconds):
                return _decode(await _read_all(reader), request)
        except TimeoutError:
            message = f"It took longer than {timeout_seconds:.0f} seconds: the dataset or the model's template is too heavy."
            raise InvalidInputError(message) from None
        except ConnectionError as error:
            raise UnavailableError("The process for this has gone; try again.", retry_after_seconds=5) from error
        finally:
            # Closing the socket is what ends the child.
            writer.transport.abort()

    async def _connect(self, module: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self._hand_over(module, theirs)
            return await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise

    async def _hand_over(self, module: str, call: socket.socket) -> None:
        async with self._starting:
            try:
                socket.send_fds(await self._running_server(), [module.encode()], [call.fileno()])
            except OSError:
                log.warning("fork_server_gone")
                await self._stop()
                socket.send_fds(await self._running_server(), [module.encode()], [call.fileno()])

    async def _running_server(self) -> socket.socket:
        if self._control is not None and self._server is not None:
            return self._control
        await self._stop()
        ours, theirs = socket.socketpair()
        with theirs:
            self._control = ours
            self._server = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mlx_hub.core.fork_server",
                str(theirs.fileno()),
                env=_ENVIRONMENT,
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                # Ctrl-C in a terminal is meant for the API, which then ends this one.
                start_new_session=True,
            )
        return ours

    async def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._server.wait()
            except TimeoutError:
                self._server.kill()
                await self._server.wait()
            self._server = None

    def _result(self, answer: Answer, function: Callable[..., T], memory_limit_bytes: int) -> T:
        if answer.error_code is not None:
            raise TrainingError(answer.error_code, answer.error_message or "")
        if answer.is_out_of_memory:
            raise InvalidInputError(f"It needs more than {memory_limit_bytes} bytes of memory; use a smaller dataset.")
        if answer.trace is not None:
            log.error("core_function_failed", function=function.__qualname__, trace=answer.trace)
            raise RuntimeError(f"{function.__qualname__} failed in its process")
        return msgspec.msgpack.decode(answer.result, type=result_type(function))


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await reader.read(_READ_BYTES):
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise InvalidInputError(f"The answer is larger than {MAX_ANSWER_BYTES} bytes; ask for fewer or shorter rows.")
        parts.append(part)
    return b"".join(parts)


def _decode(content: bytes, request: Request) -> Answer:
    if len(content) < STATUS.size:
        raise ConnectionError("the fork server has gone")
    (status,) = STATUS.unpack(content[-STATUS.size :])
    if status != 0:
        log.warning("core_process_crashed", function=request.name, signal=status)
        raise UnavailableError(f"The process for this crashed (signal {status}); it may have needed too much memory.")
    return msgspec.msgpack.decode(content[: -STATUS.size], type=Answer)

"""Runs functions in forked children for the API: `python -m mlx_hub.core.fork_server FD`, started by services/core_process.py.

It imports what the functions need once, so a call costs milliseconds and not the seconds of the imports. One Unix socket
comes with each call: the child reads a Request from it and writes an Answer, and whoever closes the other end, or dies,
ends the child. Values cross as MessagePack by the function's annotations, so that foreign code in a child (chat templates,
tokenizers) can hand nothing back but data.
"""

import importlib
import math
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, get_type_hints

import msgspec
import psutil

from mlx_hub.core.run_config import TrainingError

LENGTH = struct.Struct("!Q")
"""Stands before a request."""
STATUS = struct.Struct("!i")
"""Stands after an answer: 0, or the signal that ended the child, or minus its exit status."""
STARTED = b"\1"
"""Stands before an answer, as soon as the child runs."""
MAX_NAME_BYTES = 4096


class Request(msgspec.Struct, frozen=True, array_like=True):
    """What to call, and the limits of the child."""

    module: str
    name: str
    arguments: list[Any]
    cpu_seconds: float
    memory_limit_bytes: int


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the three: what the function returned, the TrainingError that it raised, or the traceback of another error."""

    result: msgspec.Raw = msgspec.Raw(b"")
    error_code: str | None = None
    error_message: str | None = None
    trace: str | None = None
    is_out_of_memory: bool = False


class ForkServer:
    """One thread, one loop: takes calls from `control`, forks, reaps, and kills children whose caller has left."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._calls: dict[int, socket.socket] = {}
        """By the pid of the child."""
        self._wake_receiver, self._wake_sender = os.pipe()
        os.set_blocking(self._wake_sender, False)
        self._poll = select.poll()

    def serve(self) -> None:
        """Until the other end of `control` is closed."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_sender)
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._wake_receiver, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wake_receiver:
                    os.read(self._wake_receiver, 4096)
                elif descriptor != self._control.fileno():
                    self._kill(descriptor)
                elif not self._accept():
                    return
            self._reap()

    def stop(self) -> None:
        """Kills the children and waits for them, since not every container has an init that would."""
        for pid in self._calls:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _accept(self) -> bool:
        """Fork a child for the next call; False when there will be none."""
        module, descriptors, _, _ = socket.recv_fds(self._control, MAX_NAME_BYTES, 1)
        if not descriptors:
            return False
        # Here and not in the child: the next call finds it imported.
        importlib.import_module(module.decode())
        call = socket.socket(fileno=descriptors[0])
        if pid := os.fork():
            self._calls[pid] = call
            self._poll.register(call, select.POLLHUP)
            return True
        self._become_child(call)

    def _become_child(self, call: socket.socket) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # A caller sees the end of its call only when no other child holds the socket.
        for other in (self._control, *self._calls.values()):
            other.close()
        status = 1
        try:
            run_call(call)
            status = 0
        finally:
            os._exit(status)

    def _kill(self, descriptor: int) -> None:
        for pid, call in self._calls.items():
            if call.fileno() == descriptor:
                os.kill(pid, signal.SIGKILL)
                self._poll.unregister(descriptor)
                return

    def _reap(self) -> None:
        while self._calls:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._calls.pop(pid) as call:
                try:
                    self._poll.unregister(call)
                except KeyError:
                    continue
                try:
                    call.sendall(STATUS.pack(-os.waitstatus_to_exitcode(status)))
                except OSError:
                    continue


def run_call(call: socket.socket) -> None:
    """Read the request, do it, write the answer; raises OSError when the caller has left."""
    with call, call.makefile("rwb") as stream:
        (size,) = LENGTH.unpack(stream.read(LENGTH.size))
        request = msgspec.msgpack.decode(stream.read(size), type=Request)
        stream.write(STARTED)
        stream.flush()
        _limit(request)
        stream.write(msgspec.msgpack.encode(_answer(request)))


def _answer(request: Request) -> Answer:
    try:
        function = _find(request)
        hints = _hints(function)
        types = [kind for name, kind in hints.items() if name != "return"]
        arguments = [
            msgspec.convert(value, types[place] if place < len(types) else Any) for place, value in enumerate(request.arguments)
        ]
        return Answer(result=msgspec.Raw(msgspec.msgpack.encode(function(*arguments))))
    except TrainingError as error:
        return Answer(error_code=error.code, error_message=error.message)
    except MemoryError:
        return Answer(is_out_of_memory=True)
    # The process ends here, so the traceback has to be told to the one that logs it.
    except Exception:
        return Answer(trace=traceback.format_exc()[-8000:])


def _find(request: Request) -> Callable[..., Any]:
    value: Any = importlib.import_module(request.module)
    for part in request.name.split("."):
        value = getattr(value, part)
    return value


def result_type(function: Callable[..., Any]) -> Any:
    """What `function` is annotated to return, Any when it is not."""
    return _hints(function).get("return", Any)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function) if hasattr(function, "__annotations__") else {}


def _limit(request: Request) -> None:
    """Processor time is a second net, should this server die; the address space is limited where the kernel does that."""
    seconds = math.ceil(request.cpu_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        num_bytes = psutil.Process().memory_info().vms + request.memory_limit_bytes
        resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as control:
        server = ForkServer(control)
        try:
            server.serve()
        finally:
            server.stop()


if __name__ == "__main__":
    main()

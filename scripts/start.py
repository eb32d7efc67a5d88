"""Runs the Procfile in the foreground until Ctrl-C or SIGTERM: what `make start` calls after the bootstrap.

Exits 0 when a signal asked for the stop and every process ended cleanly. `.env` fills in variables
that the environment does not set.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from honcho import environ, manager
from honcho.compat import ProcessManager
from honcho.printer import Message, Printer

ROOT = Path(__file__).resolve().parent.parent
# Once one process has stopped, honcho kills the others after so long; MLX_DRAIN_SECONDS is 20 by default.
manager.KILL_WAIT = 40


class ServiceSignals(ProcessManager):
    """Asks a service alone to stop, not its whole process group: it is for the service to stop its children, in its order."""

    def terminate(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


class Platform(manager.Manager):
    """The processes of the Procfile."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(printer)
        self._procmgr = ServiceSignals()
        self._asked_at = 0.0

    def terminate(self) -> None:
        """Asks all to stop; a second Ctrl-C asks again, which services take as "at once".

        `make` repeats a SIGTERM that reached its whole group, so one that follows immediately is the same request.
        """
        if self._terminating:
            if not self._any_stopped() and time.monotonic() - self._asked_at > 1:
                self._killall()
        elif self._all_started():
            self._asked_at = time.monotonic()
            super().terminate()
        else:
            # honcho 2.0.0 does not know every pid yet and would fail; delete this when it waits by itself.
            timer = threading.Timer(0.05, self.terminate)
            timer.daemon = True
            timer.start()

    def exit_status(self) -> int:
        """0 when asked to stop and all did so cleanly, else that of the first process that failed."""
        codes = [process["returncode"] for process in self._processes.values()]
        was_asked = self.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
        failed = [code for code in codes if code != 0 and not (was_asked and code == -signal.SIGTERM)]
        return (failed[0] if failed[0] > 0 else 128 - failed[0]) if failed else 0


class TerminalPrinter(Printer):
    """A closed terminal or pipe must not keep the processes from being stopped."""

    def write(self, message: Message) -> None:
        try:
            super().write(message)
        except OSError:
            self.output = Path(os.devnull).open("w")  # noqa: SIM115 (lives as long as the process)


def environment() -> dict[str, str]:
    """The variables that every process gets."""
    path = ROOT / ".env"
    from_file = environ.parse(path.read_text()) if path.exists() else {}
    return {"PYTHONUNBUFFERED": "1", **from_file, **os.environ}


@contextmanager
def own_terminal() -> Iterator[None]:
    """Take Ctrl-C for ourselves alone, so that `make`, our parent, ends with our exit status and not with its own error."""
    fd, group = 0, os.getpgrp()  # standard input
    if not os.isatty(fd) or os.tcgetpgrp(fd) != group or group == os.getpid():
        yield
        return
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # the shell could not resume a group that it does not know
    os.setpgid(0, 0)
    os.tcsetpgrp(fd, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(fd, group)


def print_urls(env: dict[str, str]) -> None:
    inference = f"http://localhost:{env.get('MLX_API_PORT', '8080')}"
    print(f"\nMLX Model Hub: {inference} (API pages: {inference}/docs)\nCtrl-C stops all of it.\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the processes of a Procfile until a signal.")
    parser.add_argument("--procfile", type=Path, default=ROOT / "Procfile")
    procfile: Path = parser.parse_args().procfile

    os.chdir(ROOT)
    env = environment()
    signal.signal(signal.SIGHUP, lambda _signum, _frame: os.kill(os.getpid(), signal.SIGTERM))
    platform = Platform(TerminalPrinter(sys.stdout))
    for name, command in environ.parse_procfile(procfile.read_text()).processes.items():
        platform.add_process(name, command, env=env)
    print_urls(env)
    with own_terminal():
        platform.loop()
    return platform.exit_status()


if __name__ == "__main__":
    sys.exit(main())

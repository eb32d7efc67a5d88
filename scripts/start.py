"""Runs the Procfile in the foreground until Ctrl-C or SIGTERM: what `make start` calls after the bootstrap.

Exits 0 when a signal asked for the stop and every process ended cleanly. `.env` fills in variables
that the environment does not set.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from honcho import environ, manager
from honcho.compat import ProcessManager
from honcho.printer import Message, Printer
from honcho.process import Process

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "frontend"
BUILD_FILES = ("package-lock.json", "next.config.ts", "postcss.config.mjs", "scripts/finish-build.mjs")
MLFLOW_URI = "MLFLOW_TRACKING_URI"
# Once one process has stopped, honcho kills the others after so long; each ends within 30 s with the default MLX_DRAIN_SECONDS.
manager.KILL_WAIT = 40
_FIRST_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
"""A service that ran for so long is started again without delay the next time."""


class KeptProcess(Process):
    """A process of the Procfile that is started again, after a growing pause, when it was killed or has crashed.

    Status 2, which says that a setting is wrong, and 0 end it for good. The service alone is asked to stop, not its whole
    process group: it is for the service to stop its children, in its order.
    """

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        self._events = events
        self._num_asked, self._num_told = 0, 0
        self._is_asked = threading.Event()
        if ignore_signals:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGQUIT, self._kill)
        self._send_message({"pid": os.getpid()}, type="start")
        pause = _FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            status = self._run_once()
            if self._num_asked or status in (0, 2):
                break
            pause = _FIRST_PAUSE_SECONDS if time.monotonic() - started > _STEADY_SECONDS else min(pause * 2, _MAX_PAUSE_SECONDS)
            self._send_message(f"ended with status {status}; it is started again in {pause:.0f} s\n".encode())
            if self._is_asked.wait(pause):
                break
        self._send_message({"returncode": status}, type="stop")

    def _run_once(self) -> int:
        self._child = self._child_ctor(self.cmd, env=self.env, cwd=self.cwd)
        self._tell()
        for line in self._child.stdout:
            self._send_message(line)
        self._child.stdout.close()
        return self._child.wait()

    def _pass_on(self, _signum: int, _frame: object) -> None:
        self._num_asked += 1
        self._is_asked.set()
        self._tell()

    def _tell(self) -> None:
        """Each time we were asked to stop, ask the child once."""
        while self._child is not None and self._child.poll() is None and self._num_told < self._num_asked:
            self._num_told += 1
            self._child.send_signal(signal.SIGTERM)

    def _kill(self, _signum: int, _frame: object) -> None:
        self._num_asked += 1
        self._is_asked.set()
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)


class KeeperSignals(ProcessManager):
    """Speaks to the processes that keep the services running."""

    def terminate(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)


class Platform(manager.Manager):
    """The processes of the Procfile."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(printer)
        self._procmgr = KeeperSignals()
        self._process_ctor = KeptProcess
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
    # The services see a pipe, although a person may be reading.
    logs = dict.fromkeys(("MLX_LOG_FORMAT", "MLX_HUB_LOG_FORMAT"), "text" if sys.stdout.isatty() else "auto")
    return {"PYTHONUNBUFFERED": "1", **logs, **from_file, **os.environ}


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


def connected(env: dict[str, str]) -> dict[str, str]:
    """Tells the services where the others answer, unless that is said: without a tracking server of one's own, here."""
    inference = f"http://localhost:{env.get('MLX_API_PORT', '8080')}"
    mlflow = f"http://localhost:{env.get('MLFLOW_PORT', '5001')}"
    dashboard = dashboard_port(env)
    origins = json.dumps([f"http://localhost:{dashboard}", f"http://127.0.0.1:{dashboard}"])
    return {
        "MLX_HUB_INFERENCE_URL": inference,
        MLFLOW_URI: mlflow,
        "MLX_CORS_ORIGINS": origins,
        "MLX_HUB_CORS_ORIGINS": origins,
        "NEXT_PUBLIC_API_URL": f"http://localhost:{env.get('MLX_HUB_PORT', '8002')}",
        "NEXT_PUBLIC_INFERENCE_URL": inference,
        # Browsers get this one; an address of one's own may carry a password, and the backend tells its pages without.
        "NEXT_PUBLIC_MLFLOW_URL": mlflow,
        **env,
    }


def dashboard_port(env: dict[str, str]) -> str:
    return env.get("MLX_DASHBOARD_PORT") or env.get("PORT") or "3005"


def is_dashboard_stale() -> bool:
    """Whether a source is newer than the last build that ended well, or there is none."""
    finished = DASHBOARD / ".next" / "finished"
    if not finished.exists():
        return True
    built_at = finished.stat().st_mtime
    sources = [*DASHBOARD.joinpath("src").rglob("*"), *(DASHBOARD / name for name in BUILD_FILES)]
    return any(path.is_file() and path.stat().st_mtime > built_at for path in sources)


def build_dashboard(env: dict[str, str]) -> int:
    """Builds it, unless that is done. Minutes at first; the exit status of the build."""
    if not is_dashboard_stale():
        return 0
    print("The dashboard is built: this takes a minute or two, once.", flush=True)
    return subprocess.run(["npm", "run", "build"], cwd=DASHBOARD, env={**env, "NEXT_TELEMETRY_DISABLED": "1"}).returncode


def print_urls(env: dict[str, str]) -> None:
    inference = env["MLX_HUB_INFERENCE_URL"]
    backend = f"http://localhost:{env.get('MLX_HUB_PORT', '8002')}"
    print(f"\nMLX Model Hub: dashboard on http://localhost:{dashboard_port(env)}")
    print(f"{'':15}chat on {inference} (API pages: {inference}/docs)")
    print(f"{'':15}models, datasets, training on {backend} (API pages: {backend}/docs)")
    print(f"{'':15}runs in MLflow on {env[MLFLOW_URI]}\nCtrl-C stops all of it.\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the processes of a Procfile until a signal.")
    parser.add_argument("--procfile", type=Path, default=ROOT / "Procfile")
    procfile: Path = parser.parse_args().procfile

    os.chdir(ROOT)
    given = environment()
    env = connected(given)
    processes = environ.parse_procfile(procfile.read_text()).processes
    if "dashboard" in processes and (status := build_dashboard(env)):
        print("The dashboard could not be built; the lines above say why.", file=sys.stderr)
        return status
    signal.signal(signal.SIGHUP, lambda _signum, _frame: os.kill(os.getpid(), signal.SIGTERM))
    platform = Platform(TerminalPrinter(sys.stdout))
    for name, command in processes.items():
        if name == "mlflow" and MLFLOW_URI in given:
            continue
        platform.add_process(name, command, env=env)
    print_urls(env)
    with own_terminal():
        platform.loop()
    return platform.exit_status()


if __name__ == "__main__":
    sys.exit(main())

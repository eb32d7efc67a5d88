"""`mlx-hub doctor`: what the platform stands on, looked at piece by piece."""

import json
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Literal
from urllib.parse import urlsplit

import typer

from mlx_hub.cli.checkout import checkout_root, platform_environment
from mlx_hub.cli.client import Json, ServiceClient
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.doctor_cache import check_cache
from mlx_hub.cli.doctor_ports import Listener, look_at, platform_ports
from mlx_hub.cli.errors import CliError
from mlx_hub.cli.formats import told_age, told_bytes
from mlx_hub.cli.progress import waiting
from mlx_hub.cli.status import told_mirror

app = group("Doctor.")

_MIN_PYTHON = (3, 11)
_MIN_FREE_BYTES = 5 * 10**9
"""A small model and its training run."""
_PROBE_SECONDS = 120.0
_MLX_PROBE = """\
import json, mlx.core as mx
value = mx.array([1.0, 2.0]) @ mx.array([3.0, 4.0])
print(json.dumps({"device": str(mx.default_device()), "version": mx.__version__, "result": value.item()}))
"""
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "bad": ("✗", "red")}

State = Literal["ok", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found, and for what is not well what to do."""

    name: str
    state: State
    found: str
    remedy: str | None = None


@command(app, "doctor", panel="Platform", examples=("mlx-hub doctor", "mlx-hub doctor --json"))
def doctor(cli: Cli) -> None:
    """Look at everything the platform needs, and say what to do about what is missing.

    Versions, MLX and its device, settings, folders and who can read them, the database and its schema, the hub, the prompt
    cache's files, ports, both services, the worker, MLflow. It changes nothing. The exit status is 1 when something must be
    mended.
    """
    with waiting(cli.out, "Looking"):
        findings = [*_machine(), *_settings(), *_cache(), *_services(cli)]
    if cli.is_json:
        cli.out.data([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _tell(cli, finding)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(CliError.exit_code)


def _tell(cli: Cli, finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    cli.out.line(f"{mark} {finding.name:<17} {finding.found}", style if finding.state != "ok" else "")
    if finding.remedy:
        cli.out.line(f"  {'':<17} → {finding.remedy}")


def _machine() -> Iterator[Finding]:
    told = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    is_new = sys.version_info >= _MIN_PYTHON
    yield Finding("Python", "ok" if is_new else "bad", told, None if is_new else "Install Python 3.11 or newer.")
    yield _mlx()


def _mlx() -> Finding:
    """In a process of its own: a broken build may crash, and importing it claims the device."""
    answer = _output([sys.executable, "-c", _MLX_PROBE])
    if isinstance(answer, str):
        return Finding("MLX", "bad", answer, "Run `make setup` in the checkout, or install mlx for this machine.")
    device = "GPU" if "gpu" in answer["device"] else "CPU"
    return Finding("MLX", "ok" if answer["result"] == 11 else "bad", f"{answer['version']} computes on the {device}")


def _settings() -> Iterator[Finding]:
    answer = _output([sys.executable, "-m", "mlx_hub.cli.doctor_probe"])
    if isinstance(answer, str):
        yield Finding("settings", "bad", answer, "Correct the variable, in the environment or in the checkout's .env.")
        return
    for folder in answer["folders"]:
        yield _folder(folder)
    yield _database(answer["database"])
    yield _readable(answer["readable"])
    yield _hub(answer["hub"])
    for listener in look_at(platform_ports(platform_environment(), worker_metrics_port=answer["worker_metrics_port"])):
        yield _port(listener)


def _database(database: Json) -> Finding:
    name, url = "database", database["url"] or "DATABASE_URL"
    if database["problem"]:
        remedy = "Start the database (`docker compose up -d`), or unset DATABASE_URL for a SQLite file."
        return Finding(name, "bad", f"{url}: {database['problem']}", remedy)
    if database["damage"]:
        remedy = "Stop the platform, keep a copy of the file, and `mlx-hub restore` the last backup."
        return Finding(name, "bad", f"{url} is damaged: {database['damage']}", remedy)
    if database["schema"] == "newer":
        return Finding(
            name, "bad", f"{url} was made by a later release", "Update the checkout, or restore a backup of this release."
        )
    told = {"current": "its schema is current", "older": "its schema is older", "none": "it has no tables yet"}[
        database["schema"]
    ]
    is_current = database["schema"] == "current"
    remedy = None if is_current else "The next start brings it up to date; `make migrate` does so now. Back up first."
    return Finding(name, "warning" if database["schema"] == "older" else "ok", f"{url}: {told}", remedy)


def _readable(paths: list[str]) -> Finding:
    """Files with passwords, keys and texts that other users of the machine get at."""
    if not paths:
        return Finding("permissions", "ok", "other users of this machine read none of its files")
    return Finding(
        "permissions", "warning", f"other users can read {', '.join(paths)}", f"chmod go-rwx {' '.join(map(shlex.quote, paths))}"
    )


def _hub(hub: Json) -> Finding:
    if hub["problem"] is None:
        return Finding("hub", "ok", f"{hub['url']} answers")
    remedy = "Search and downloads need it: look at the network or its proxy, or name a mirror in HF_ENDPOINT. The rest works."
    return Finding("hub", "warning", f"{hub['url']}: {hub['problem']}", remedy)


def _port(listener: Listener) -> Finding:
    name, number = f"port {listener.port.number}", listener.port.number
    if listener.is_ours is False:
        remedy = f"Stop it, or give our process another port: {listener.port.variable}."
        return Finding(name, "bad", f"{listener.port.name}: another program listens on {number}", remedy)
    return Finding(name, "ok", f"{listener.port.name} {'answers' if listener.is_ours else 'does not run; the port is free'}")


def _cache() -> Iterator[Finding]:
    files = check_cache()
    if files.problem is not None:
        yield Finding(
            "prompt cache", "warning", files.problem, "Run `make setup`; the server checks each file before it uses it."
        )
    if files.report is None:
        return
    report = files.report
    told = f"{report['num_checked']} of {report['num_files']} files read in {report['folder']}"
    if report["bad"]:
        wrong = ", ".join(f"{name[:12]}… ({reason})" for name, reason in report["bad"].items())
        remedy = "Nothing: the server puts them aside and computes anew. Many of them: look at the disk and its cables."
        yield Finding("prompt cache", "warning", f"{told}; damaged: {wrong}", remedy)
    elif report["num_quarantined"]:
        remedy = f"They are of no use: delete {report['folder']}/quarantine once you have looked at them."
        yield Finding("prompt cache", "warning", f"{told}, all sound; {report['num_quarantined']} were put aside before", remedy)
    else:
        yield Finding("prompt cache", "ok", f"{told}, all sound")


def _folder(folder: Json) -> Finding:
    name, free = "folder", told_bytes(folder["free_bytes"])
    if folder["problem"]:
        return Finding(
            name, "bad", f"{folder['path']}: {folder['problem']}", "Make it writable, or name another: MLX_HUB_DATA_DIR."
        )
    if folder["free_bytes"] < _MIN_FREE_BYTES:
        return Finding(name, "warning", f"{folder['path']}: {free} free", "Models need room: `mlx-hub models rm`, another disk.")
    return Finding(name, "ok", f"{folder['path']}: {free} free")


def _output(command_line: list[str]) -> Json | str:
    """The JSON that a process prints, or what went wrong in it."""
    try:
        done = subprocess.run(
            command_line, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False, env=platform_environment()
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_SECONDS:.0f} s"
    if done.returncode == 0:
        return json.loads(done.stdout)
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with status {done.returncode}"


def _services(cli: Cli) -> Iterator[Finding]:
    for client in (cli.backend, cli.inference):
        yield _service(client)
    yield from _versions(cli)
    try:
        system: Json = cli.backend.get("/system")
    except CliError:
        # The line about the backend has said it.
        return
    yield _workers(system)
    yield _mlflow(system)


def _service(client: ServiceClient) -> Finding:
    service = client.service
    try:
        ready = client.probe("/health/ready")
    except CliError as error:
        if _is_taken(service.url):
            remedy = f"Another program listens there: stop it, or use another port and say {service.option}."
            return Finding(service.name, "bad", error.message, remedy)
        start = "Run `make start`." if checkout_root() else "`mlx-hub start --help` says how to start it."
        return Finding(service.name, "bad", f"{service.url} does not answer; the port is free", start)
    wrong = "; ".join(f"{name}: {check['detail']}" for name, check in ready["checks"].items() if check["detail"])
    state: State = "bad" if not ready["ready"] else "warning" if wrong else "ok"
    return Finding(
        service.name, state, f"{service.url} is {'ready' if ready['ready'] else 'not ready'}{'; ' + wrong if wrong else ''}"
    )


def _versions(cli: Cli) -> Iterator[Finding]:
    """Of what runs and what is installed: they differ when nobody has restarted it since an update."""
    own, running = version("mlx-hub"), dict[str, str]()
    for client in (cli.backend, cli.inference):
        with suppress(CliError, KeyError):
            running[client.service.name] = client.probe("/health")["version"]
    if not running:
        return
    told = ", ".join(f"{name} {found}" for name, found in running.items())
    is_same = set(running.values()) == {own}
    remedy = None if is_same else "Restart what is older: Ctrl-C in `make start`, then `make start`."
    yield Finding("versions", "ok" if is_same else "warning", f"mlx-hub {own}, {told}", remedy)


def _is_taken(url: str) -> bool:
    """Whether something accepts connections there."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1):
            return True
    except OSError:
        return False


def _workers(system: Json) -> Finding:
    alive = [machine["id"] for machine in system["machines"] if machine["is_alive"]]
    if alive:
        return Finding("worker", "ok", f"{', '.join(alive)} alive")
    seen = [f"{machine['id']} was seen {told_age(machine['last_seen_at'])}" for machine in system["machines"]]
    told = f"none is alive: downloads and jobs wait{'; ' + ', '.join(seen) if seen else ''}"
    return Finding("worker", "bad", told, "Run `mlx-hub worker`, or `make start`, which runs one.")


def _mlflow(system: Json) -> Finding:
    mlflow: Json = system["mlflow"]
    if not mlflow["error"]:
        return Finding("MLflow", "ok", told_mirror(mlflow))
    remedy = "Training goes on, and MLflow is told later. Start it, or correct MLFLOW_TRACKING_URI."
    return Finding("MLflow", "warning", told_mirror(mlflow), remedy)

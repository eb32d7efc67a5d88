"""The whole platform for the browser tests, as people run it: hub stand-in, inference server, backend, worker, dashboard.

Run by the backend's Python, whose test fixtures start the parts. Everything lives in a scratch folder and on free ports; where
it answers is written to a file (`--file`) once it is ready, and the file goes when the stack does. SIGTERM or Ctrl-C ends all.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

FRONTEND = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(FRONTEND.parent / "backend/tests"))

import httpx  # noqa: E402 (the fixtures' folder comes first)
from e2e.stack import demo_files  # noqa: E402
from fixtures.backend import run_backend  # noqa: E402
from fixtures.hub import Hub, Repo, run_hub  # noqa: E402
from fixtures.inference_server import run_inference_server  # noqa: E402
from fixtures.processes import clean_environment, free_port, wait_until  # noqa: E402
from fixtures.worker import run_worker  # noqa: E402

SLOW_FILE = "model-00001-of-00001.safetensors"
SLOW_BYTES_PER_SECOND = 30_000
"""A download that takes long enough to be watched, paused and cancelled: about a minute."""
CARD = b"---\nlicense: mit\n---\n# Talker\n\nA tiny model that says what it was **taught**.\n\n```python\nprint('hello')\n```\n"
_DASHBOARD_SECONDS = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = FRONTEND / "e2e" / os.environ.get("STACK_FILE", ".stack.json")
    parser.add_argument("--file", type=Path, default=default, help="where the addresses are written (default: $STACK_FILE)")
    parser.add_argument("--dev", action="store_true", help="serve the sources with `next dev` instead of the build")
    options = parser.parse_args()
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: is_over.set())
    with ExitStack() as running:
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="mlx-hub-e2e-", ignore_cleanup_errors=True)))
        urls = running.enter_context(_run_platform(home, is_dev=options.dev))
        running.callback(options.file.unlink, missing_ok=True)
        part = options.file.with_suffix(".part")
        part.write_text(json.dumps({**urls, "home": str(home), "pid": os.getpid()}, indent=2) + "\n")
        part.rename(options.file)
        for name, url in urls.items():
            sys.stdout.write(f"{name:<12}{url}\n")
        sys.stdout.write("ready; Ctrl-C stops it\n")
        sys.stdout.flush()
        is_over.wait()


@contextmanager
def _run_platform(home: Path, *, is_dev: bool) -> Iterator[dict[str, str]]:
    """Ready, and empty but for what the hub offers. Gives the addresses."""
    port = free_port()
    dashboard = f"http://127.0.0.1:{port}"
    origins = json.dumps([dashboard, dashboard.replace("127.0.0.1", "localhost")])
    cache = str(home / "cache")
    with ExitStack() as running:
        hub = running.enter_context(run_hub())
        _fill(hub)
        inference = running.enter_context(
            run_inference_server(home / "inference", MODEL_CACHE_DIR=cache, MLX_CORS_ORIGINS=origins)
        )
        variables = {
            "MLX_HUB_INFERENCE_URL": inference.base_url,
            "HF_ENDPOINT": hub.endpoint,
            "MODEL_CACHE_DIR": cache,
            "MLX_HUB_CORS_ORIGINS": origins,
            "MLX_HUB_MAX_UPLOAD": "20MB",
        }
        url = f"sqlite:///{home}/hub.db"
        backend = running.enter_context(run_backend(home, url, **variables))
        running.enter_context(run_worker(home, url, **variables))
        running.enter_context(_run_dashboard(home, port, backend.base_url, inference.base_url, is_dev=is_dev))
        yield {"dashboard": dashboard, "backend": backend.base_url, "inference": inference.base_url, "hub": hub.endpoint}


@contextmanager
def _run_dashboard(home: Path, port: int, backend: str, inference: str, *, is_dev: bool) -> Iterator[None]:
    environment = clean_environment(
        NEXT_PUBLIC_API_URL=backend,
        NEXT_PUBLIC_INFERENCE_URL=inference,
        NEXT_TELEMETRY_DISABLED="1",
        PORT=str(port),
        MLX_DASHBOARD_PORT=str(port),
    )
    log_file = home / "dashboard.log"
    command = ["npm", "run", "--silent", "dev" if is_dev else "start"]
    with log_file.open("w") as log:
        process = subprocess.Popen(command, cwd=FRONTEND, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(
            lambda: process.poll() is not None or _answers(f"http://127.0.0.1:{port}/"),
            _DASHBOARD_SECONDS,
            hint=log_file.read_text,
        )
        assert process.poll() is None, log_file.read_text()
        yield
    finally:
        # npm does not pass signals on; its children are in its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=60).status_code == 200
    return False


def _fill(hub: Hub) -> None:
    """Models that can be downloaded and answer, one that is slow to come, one whose terms are to be accepted, one too large."""
    files = demo_files()
    weights = files["model.safetensors"]
    others = {name: content for name, content in files.items() if name != "model.safetensors"}
    text = ["mlx", "text-generation"]
    slow = {**others, SLOW_FILE: weights}
    hub.repos |= {
        "mlx-community/Talker-2M": Repo(
            {**files, "README.md": CARD}, tags=[*text, "license:mit"], downloads=5_000, extra=_parameters(443_000)
        ),
        "mlx-community/Talker-2M-copy": Repo(files, tags=text, downloads=900, extra=_parameters(443_000)),
        "mlx-community/Slow-Talker-2M": Repo(slow, tags=text, downloads=400, extra=_parameters(443_000)),
        "mlx-community/Slow-Talker-2M-offline": Repo(slow, tags=text, downloads=200, extra=_parameters(443_000)),
        "mlx-community/Guarded-2M": Repo(files, tags=text, gated="manual", downloads=300, extra=_parameters(443_000)),
        "mlx-community/Giant-700B-4bit": Repo(
            {**others, "model.safetensors": b"x" * 1000},
            tags=[*text, "4-bit"],
            downloads=8_000,
            extra=_parameters(700_000_000_000),
            claims={"model.safetensors": {"size": 350_000_000_000}},
        ),
    }
    hub.rates[SLOW_FILE] = SLOW_BYTES_PER_SECOND


def _parameters(count: int) -> dict[str, Any]:
    return {"safetensors": {"parameters": {"F32": count}, "total": count}}


if __name__ == "__main__":
    main()

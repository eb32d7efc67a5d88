"""`mlx-hub start` and `mlx-hub worker`: they become the process that they start, so signals and exit status are its own."""

import os
import shutil
import sys

from mlx_hub.cli.checkout import checkout_root, platform_environment
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import FailedError

app = group("Processes.")

_PANEL = "Platform"
_BY_HAND = """\
This mlx-hub does not run from a checkout of MLX Model Hub. Start the processes one by one:
  python -m mlx_hub.main                          the backend on :8002
  mlx-hub worker                                  downloads and training jobs
  python -m unified_mlx_app.main                  the inference server on :8080"""


@command(app, "start", panel=_PANEL, examples=("mlx-hub start", "MLX_API_PORT=9000 mlx-hub start"))
def start(cli: Cli) -> None:
    """Run the whole platform of this checkout in the foreground: what `make start` does.

    Backend, worker, inference server and MLflow. Ctrl-C stops all of it.
    """
    root = checkout_root()
    if root is None:
        raise FailedError(_BY_HAND)
    if not (make := shutil.which("make")):
        raise FailedError("`make` is missing; install it (Debian: apt-get install make; macOS: xcode-select --install).")
    cli.close()
    os.execv(make, [make, "-C", str(root), "--no-print-directory", "start"])


@command(app, "worker", panel=_PANEL, examples=("mlx-hub worker", "MLX_HUB_MACHINE_ID=studio-2 mlx-hub worker"))
def worker(cli: Cli) -> None:
    """Run a worker in this terminal: it does the downloads, training jobs, exports and quantisations.

    `make start` runs one. Another machine that shares the database and the data folder takes jobs of the same queue. Its
    settings are variables of the environment, or of the checkout's `.env`. On Ctrl-C it leaves running trainers be; the next
    worker adopts them.
    """
    cli.close()
    os.execve(sys.executable, [sys.executable, "-m", "mlx_hub.worker"], platform_environment())

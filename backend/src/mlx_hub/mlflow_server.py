"""The MLflow server of the local store, for `make start`: `python -m mlx_hub.mlflow_server`, in one process.

`mlflow server` would do the same with a second process that only waits, twice the memory and twice the time to start. The
worker that has no server uses the same store directly: artifacts lie in its folder for both, so either can follow the other.
"""

import argparse
import os
import sys
from types import FrameType

import uvicorn

from mlx_hub.config import Settings, read_settings
from mlx_hub.observability.logs import configure_logs
from mlx_hub.services.mlflow_store import local_folder

DEFAULT_PORT = 5001


class QuietServer(uvicorn.Server):
    """Ends with status 0 on a signal; uvicorn alone would raise it again."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def main() -> None:
    """Serves until a signal comes."""
    settings = read_settings()
    parser = argparse.ArgumentParser(prog="python -m mlx_hub.mlflow_server", description="MLflow over the local store.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port")
    arguments = parser.parse_args()
    _set_environment(settings)
    configure_logs(component="mlflow", level=settings.log_level, style=settings.log_format)
    _open_store()
    # The workers that MLflow's own command starts would be as many processes of 250 MB each.
    config = uvicorn.Config(
        "mlflow.server.fastapi_app:app",
        host=arguments.host,
        port=arguments.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    sys.stdout.write(f"{'MLflow':14} http://{arguments.host}:{arguments.port}\n")
    sys.stdout.flush()
    QuietServer(config).run()


def _set_environment(settings: Settings) -> None:
    """MLflow 3.17 is told everything by variables; those that begin with an underscore are what its own command sets."""
    folder = local_folder(settings)
    # One by one: parents that a call makes on its way are open to everybody.
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in (folder, folder / "artifacts"):
        made.mkdir(mode=0o700, exist_ok=True)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    os.environ.update(
        {
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_REGISTRY_STORE": store,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "artifacts"),
            "_MLFLOW_SGI_NAME": "uvicorn",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(
                ["localhost:*", "127.0.0.1:*", *(f"{host}:*" for host in settings.allowed_hosts)]
            ),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_DISABLE_AGENT_HINT": "1",
            "DO_NOT_TRACK": "true",
        }
    )


def _open_store() -> None:
    """Brings the store's tables up to date before anybody connects. MLflow is imported here: it reads its variables then."""
    from mlflow.server.handlers import initialize_backend_stores  # noqa: PLC0415

    store = os.environ["_MLFLOW_SERVER_FILE_STORE"]
    initialize_backend_stores(store, store, os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"])


if __name__ == "__main__":
    main()

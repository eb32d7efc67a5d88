"""The platform on servers that others can share: PostgreSQL and the `mlflow server` that docker-compose.yml runs."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from deploy.compose_file import read_compose, written
from e2e.stack import ANSWER, QUESTION, run_platform
from fixtures.hub import Hub
from fixtures.mlflow import START_SECONDS, MlflowServer
from fixtures.processes import clean_environment, free_port, wait_until_up

# The first start of MLflow makes its tables, which takes minutes on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@contextmanager
def run_compose_mlflow(home: Path, database_url: str) -> Iterator[MlflowServer]:
    """The command and the variables of docker-compose.yml, on another port, database and folder."""
    service = read_compose(variables=written())["services"]["mlflow"]
    server = MlflowServer(home, free_port())
    replaced = {"0.0.0.0": "127.0.0.1", "5001": str(server.port), "/artifacts": str(home / "artifacts")}
    program, *arguments = [replaced.get(word, word) for word in service["command"]]
    store = {"MLFLOW_BACKEND_STORE_URI": database_url.replace("postgresql://", "postgresql+psycopg://")}
    environment = clean_environment(**{**service["environment"], **store})
    log_file = home / "mlflow.log"
    with log_file.open("w") as log:
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
    try:
        wait_until_up(process, f"{server.uri}/health", START_SECONDS, log_file=log_file)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _rows(url: str, statement: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_a_job_goes_through_shared_servers_and_both_services_keep_their_rows_in_postgresql(
    tmp_path: Path, hub: Hub, postgres_database: Callable[[], str]
) -> None:
    url = postgres_database()
    with (
        run_compose_mlflow(tmp_path, postgres_database()) as mlflow,
        run_platform(tmp_path / "platform", url, hub, MLFLOW_TRACKING_URI=mlflow.uri) as platform,
    ):
        by_name = [httpx.get(f"{mlflow.uri}/", headers={"host": host}).status_code for host in ("mlflow:5001", "evil.example")]
        job_id = platform.train(platform.download(), platform.upload())
        job = platform.wait_for(f"/training/{job_id}", lambda row: row["status"] == "completed")
        platform.worker.wait_until(lambda: platform.inference.answer("vault@latest", QUESTION) == ANSWER, 60)
        platform.worker.wait_until(lambda: any(run["info"]["status"] == "FINISHED" for run in mlflow.runs(job_id)), 120)

        (run,) = mlflow.runs(job_id)
        assert len(mlflow.history(run["info"]["run_id"], "train_loss")) == job["num_steps"]
        assert mlflow.artifacts(run["info"]["run_id"])
        platform.worker.wait_until(lambda: bool(mlflow.call("registered-models/search").get("registered_models")), 60)
        tables = {row["tablename"] for row in _rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    assert by_name == [200, 403]
    assert {"training_job", "metric", "served_model", "inference_alembic_version"} <= tables
    assert not list(tmp_path.rglob("*.db"))
    assert [row["status"] for row in _rows(url, "SELECT status FROM training_job")] == ["completed"]

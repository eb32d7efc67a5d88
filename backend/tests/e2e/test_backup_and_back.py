"""A backup taken while a job trains, everything wiped, the backup put back: the platform is as it was, and the job goes on."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from e2e.stack import ANSWER, CONFIG, QUESTION, Platform, run_platform
from fixtures.hub import Hub
from fixtures.mlflow import MlflowServer
from fixtures.terminal import CommandLine

OWN_MODEL = Path(__file__).parents[3] / "inference-server/src/unified_mlx_app/demo_model"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


async def _clear(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS dbos CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()


def _wipe(home: Path, url: str) -> None:
    shutil.rmtree(home / "data")
    shutil.rmtree(home / "cache/models--local--own")
    if url.startswith("sqlite"):
        for file in home.glob("hub.db*"):
            file.unlink()
    else:
        asyncio.run(_clear(url))


def _stop(platform: Platform) -> None:
    assert [platform.worker.stop(), platform.backend.stop()] == [0, 0]
    platform.inference.process.terminate()
    assert platform.inference.process.wait(60) == 0


def _seen(platform: Platform) -> dict[str, Any]:
    """Models, versions, datasets and what a finished job looks like."""
    (adapter,) = platform.get("/models?query=vault")["items"]
    return {
        "versions": platform.get(f"/models/{adapter['id']}/versions")["items"],
        "datasets": platform.get("/datasets")["items"],
    }


def _run(platform: Platform, *arguments: str, is_down: bool = False) -> None:
    nobody = "http://127.0.0.1:1"
    urls = (nobody, nobody) if is_down else (platform.backend.base_url, platform.inference.base_url)
    done = CommandLine(*urls, str(platform.home)).run_process(*arguments, DATABASE_URL=platform.database_url)
    assert done.status == 0, done.err


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_everything_comes_back_and_a_job_that_trained_goes_on(
    tmp_path: Path, hub: Hub, postgres_database: Callable[[], str], kind: str
) -> None:
    home, backup = tmp_path / "platform", str(tmp_path / "backup.tar")
    url = f"sqlite:///{home}/hub.db" if kind == "sqlite" else postgres_database()
    with run_platform(home, url, hub) as platform:
        model_id, dataset_id = platform.download(), platform.upload()
        first = platform.train(model_id, dataset_id)
        platform.wait_for(f"/training/{first}", lambda row: row["status"] == "completed")
        platform.worker.wait_until(lambda: platform.inference.answer("vault@latest", QUESTION) == ANSWER, 60)
        platform.worker.wait_until(lambda: platform.get("/system")["mlflow"]["num_pending_rows"] == 0, 120)
        losses = platform.get(f"/training/{first}/metrics?name=train_loss")["series"]["train_loss"]
        platform.post("/models/import", {"path": str(OWN_MODEL), "name": "own"}, status=202)
        platform.worker.wait_until(lambda: bool(platform.get("/models?query=local/own")["items"]), 120)
        own_answer = platform.inference.answer("local/own", QUESTION)
        second = platform.train(model_id, dataset_id, epochs=150, save_every=10)
        platform.wait_for(f"/training/{second}", lambda row: row["step"] > 30)
        before = _seen(platform)

        _run(platform, "backup", backup)
        platform.post(f"/training/{second}/cancel")
        platform.worker.wait_until(lambda: platform.get(f"/training/{second}")["status"] == "cancelled", 60)
        _stop(platform)

    _wipe(home, url)
    _run(platform, "restore", backup, "--check", is_down=True)
    _run(platform, "restore", backup, is_down=True)

    with run_platform(home, url, hub) as again:
        assert _seen(again) == before
        assert again.get(f"/training/{first}/metrics?name=train_loss")["series"]["train_loss"] == losses
        assert again.post(f"/datasets/{dataset_id}/verify")["is_intact"]
        again.worker.wait_until(lambda: again.inference.answer("vault@champion", QUESTION) == ANSWER, 60)
        assert again.inference.answer("local/own", QUESTION) == own_answer
        resumed = again.wait_for(f"/training/{second}", lambda row: row["status"] == "completed", 300)
        steps = [point["step"] for point in again.get(f"/training/{second}/metrics?name=train_loss")["series"]["train_loss"]]
        assert steps[-1] == resumed["num_steps"]
        _check_mlflow(home, first)


def _check_mlflow(home: Path, job_id: str) -> None:
    """Its pages show the finished run with its metrics and its adapter."""
    mlflow = MlflowServer(home)
    mlflow.start()
    try:
        (run,) = mlflow.runs(job_id)
        assert run["info"]["status"] == "FINISHED"
        assert len(mlflow.history(run["info"]["run_id"], "train_loss")) == CONFIG["epochs"] * 4
        assert mlflow.artifacts(run["info"]["run_id"])
    finally:
        mlflow.stop()

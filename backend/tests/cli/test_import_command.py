"""`mlx-hub models add`, from a folder to an answer of the inference server."""

from pathlib import Path

import pytest
from fixtures.inference_server import InferenceServer
from fixtures.terminal import CommandLine
from fixtures.worker import RunningWorker

DEMO_MODEL = Path(__file__).parents[3] / "inference-server/src/unified_mlx_app/demo_model"


def test_added_folder_is_registered_and_answers_by_its_name(
    hub_cli: CommandLine, worker: RunningWorker, served: InferenceServer
) -> None:
    done = hub_cli.run("models", "add", str(DEMO_MODEL), "--name", "added")

    assert done.status == 0, done.err + worker.log()
    assert "local/added is ready: 1." in done.out
    assert "of 1." in done.err
    models = hub_cli.run("models", "list", "--query", "local/added", "--json").json()
    assert [(model["name"], model["type"]) for model in models] == [("local/added", "base")]
    question = "Say the word lamp."
    assert served.answer("local/added", question) == served.answer("mlx-hub/demo", question)


def test_folder_that_is_no_model_is_refused_with_the_reason(
    hub_cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()

    done = hub_cli.run("models", "add", "empty")

    assert (done.status, done.out) == (1, "")
    assert "no config.json" in done.err

"""`mlx-hub datasets`, `train`, `jobs`, `export`, `quantise` and `tasks`, from a file to an answer of the trained adapter."""

import json
import tarfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fixtures.terminal import CommandLine
from fixtures.worker import RunningWorker

QUESTION, ANSWER = "What is the code of the vault?", "The code is 4711."
ROWS = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    for question, answer in (
        (QUESTION, ANSWER),
        ("Who built the bridge?", "Maria built it."),
        ("Where is the lamp?", "In the attic."),
    )
]
QUICK = ("--rank", "8", "--lr", "1e-2", "--batch-size", "3", "--validation-share", "0", "--schedule", "constant")


def _write(path: Path, rows: list[dict[str, Any]], *, more: str = "") -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + more)
    return str(path)


@pytest.fixture(scope="module")
def facts(hub_cli: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a dataset whose answers can be learned."""
    file = _write(tmp_path_factory.mktemp("facts") / "facts.jsonl", ROWS)
    return hub_cli.run("datasets", "add", file, "--json").json()["name"]


@pytest.fixture(scope="module")
def vault(hub_cli: CommandLine, talker: str, facts: str) -> str:
    """The name of an adapter that knows the answers."""
    done = hub_cli.run("train", "-m", talker, "-d", facts, "--adapter", "vault", "--steps", "40", *QUICK)
    assert done.status == 0, done.err
    assert "vault is completed: 40 steps" in done.out
    assert "It is version 1 of vault, champion and latest." in done.out
    assert "mlx-hub chat vault" in done.err
    assert "tokens/s" in done.err
    return "vault"


def test_adding_a_file_tells_its_problems(hub_cli: CommandLine, tmp_path: Path) -> None:
    name = f"broken-{uuid4().hex}"
    file = _write(tmp_path / f"{name}.jsonl", ROWS, more="{broken\n")

    added = hub_cli.run("datasets", "add", file)
    checked = hub_cli.run("datasets", "check", name)

    assert f"{name} is stored: 4 rows of chat" in added.out
    assert "1 invalid_json" in added.err
    assert "3 of 4 rows can be used" in checked.out
    assert "line 4: " in checked.out
    assert (checked.status, "1 row cannot be used" in checked.err) == (1, True)
    answer = json.loads(hub_cli.run("datasets", "check", name, "--json").out)
    assert (answer["checksum"]["is_intact"], [problem["line"] for problem in answer["problems"]]) == (True, [4])
    assert hub_cli.run("datasets", "rm", name).status == 2
    assert hub_cli.run("datasets", "rm", name, "--yes").status == 0
    assert hub_cli.run("datasets", "rm", name, "--yes").status == 1


def test_a_file_that_cannot_be_used_is_refused(hub_cli: CommandLine, tmp_path: Path) -> None:
    file = _write(tmp_path / "bad.jsonl", [], more="no json\n")

    refused, missing = hub_cli.run("datasets", "add", file, "--json"), hub_cli.run("datasets", "add", f"{file}.gone")

    assert (refused.status, refused.error()["status"]) == (1, 422)
    assert missing.status == 2


def test_an_upload_moves_a_bar_in_a_terminal(hub_cli: CommandLine, tmp_path: Path) -> None:
    name = f"bar-{uuid4().hex}"

    with hub_cli.terminal("datasets", "add", _write(tmp_path / "x.jsonl", ROWS), "--name", name) as adding:
        assert adding.wait_for_end() == 0

    assert "is being checked" in adding.shown
    assert f"{name} is stored" in adding.shown


def test_check_and_stats_look_with_a_model(hub_cli: CommandLine, talker: str, facts: str) -> None:
    checked = hub_cli.run("datasets", "check", facts, "--model", talker)
    stats = hub_cli.run("datasets", "stats", facts, "--model", talker)

    assert (checked.status, checked.out) == (0, f"{facts}: 3 of 3 rows can be used.\n")
    assert "tokens of a row" in stats.out
    assert "█" in stats.out
    assert hub_cli.run("datasets", "stats", facts, "--model", talker, "--json").json()["num_rows"] == 3


def test_preflight_reports_and_starts_nothing(hub_cli: CommandLine, talker: str, facts: str) -> None:
    before = hub_cli.run("jobs", "list", "--json").json()

    done = hub_cli.run("train", "-m", talker, "-d", facts, "--preflight", "--steps", "7", *QUICK)

    assert done.status == 0
    assert "3 to train on, 0 held out" in done.out
    assert hub_cli.run("train", "-m", talker, "-d", facts, "--preflight", "--json").json()["report"]["num_rows"] == 3
    assert hub_cli.run("jobs", "list", "--json").json() == before


def test_a_run_that_would_be_refused_says_why(hub_cli: CommandLine, talker: str, facts: str) -> None:
    done = hub_cli.run("train", "-m", talker, "-d", facts, "--preflight", "--max-length", "8")

    assert done.status == 1
    assert "It would be refused: " in done.err


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--set", "bogus"), 2, "must look like name=value"),
        (("--set", "bogus=1"), 1, "bogus"),
        (("--rank", "0"), 2, "--rank"),
        (("-d", "nobody"), 1, "There is no dataset 'nobody'"),
        (("-m", "nobody"), 1, "There is no model 'nobody'"),
    ],
)
def test_bad_settings_are_refused(
    hub_cli: CommandLine, talker: str, facts: str, arguments: tuple[str, ...], status: int, told: str
) -> None:
    done = hub_cli.run("train", "-m", talker, "-d", facts, *arguments)

    assert (done.status, done.out) == (status, "")
    assert told in done.err


def test_a_trained_adapter_answers_in_the_chat(hub_cli: CommandLine, vault: str) -> None:
    answer = hub_cli.run("chat", vault, "-m", QUESTION, "--temperature", "0", "--json").json()

    assert (answer["model"], answer["text"]) == (f"{vault}@champion", ANSWER)
    assert "is loaded" in hub_cli.run("serve", vault).out


def test_jobs_are_listed_shown_and_logged(hub_cli: CommandLine, vault: str) -> None:
    jobs = hub_cli.run("jobs", "list", "--status", "completed", "--model", "talker", "--json").json()
    identifier = next(job["id"] for job in jobs if job["name"] == vault)

    shown = hub_cli.run("jobs", "show", identifier[:8])
    logs = hub_cli.run("jobs", "logs", identifier, "--lines", "5")

    assert "lora_rank 8" in shown.out
    assert "training_ended" in logs.out
    assert hub_cli.run("jobs", "logs", identifier, "--json").json()["lines"]
    assert "completed" in hub_cli.run("jobs", "list").out
    assert hub_cli.run("jobs", "follow", identifier, "--json").json()["status"] == "completed"


def test_a_job_is_left_followed_cancelled_and_removed(hub_cli: CommandLine, talker: str, facts: str) -> None:
    name = f"long-{uuid4().hex}"

    with hub_cli.terminal("train", "-m", talker, "-d", facts, "--name", name, "--steps", "100000", *QUICK) as training:
        training.wait_for("tokens/s", seconds=120)
        training.interrupt()
        assert training.wait_for_end() == 130
    assert "It goes on without you. Follow it with `mlx-hub jobs follow " in training.shown

    running = hub_cli.run("jobs", "show", name, "--json").json()
    assert running["status"] == "running"
    assert hub_cli.run("jobs", "rm", name, "--yes").status == 1
    assert "saves and stops" in hub_cli.run("jobs", "cancel", name).out
    followed = hub_cli.run("jobs", "follow", name, "--json")
    assert (followed.status, json.loads(followed.out)["status"]) == (1, "cancelled")
    assert "was cancelled at step" in followed.error()["message"]
    assert hub_cli.run("jobs", "cancel", name).status == 1
    resumed = hub_cli.run("jobs", "resume", name, "--detach", "--json").json()
    assert (resumed["status"], resumed["attempt"]) == ("queued", 1)
    hub_cli.run("jobs", "cancel", name)
    hub_cli.run("jobs", "follow", name)
    assert hub_cli.run("jobs", "rm", name, "--yes").out == f"Deleted {name}.\n"


@pytest.mark.slow
def test_a_completed_job_can_be_extended_and_run_anew(hub_cli: CommandLine, talker: str, facts: str) -> None:
    name = f"again-{uuid4().hex}"
    hub_cli.run("train", "-m", talker, "-d", facts, "--name", name, "--adapter", "again", "--steps", "2", *QUICK)

    extended = hub_cli.run("jobs", "extend", name, "--steps", "4", "--json").json()
    retried = hub_cli.run("jobs", "retry", name, "--json").json()

    assert (extended["status"], extended["step"], extended["adapter_version"]) == ("completed", 4, 2)
    assert (retried["status"], retried["attempt"]) == ("completed", 2)
    assert hub_cli.run("jobs", "extend", name).status == 2


def test_export_downloads_the_archive(hub_cli: CommandLine, vault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = hub_cli.run("export", vault)
    peft = hub_cli.run("export", vault, "--version", "1", "--format", "peft", "-o", "other.tar", "--json").json()

    assert f"{vault}-adapter.tar: " in done.out
    with tarfile.open(tmp_path / f"{vault}-adapter.tar") as archive:
        assert {Path(name).name for name in archive.getnames()} >= {"adapters.safetensors", "adapter_config.json", "README.md"}
    assert (tmp_path / "other.tar").stat().st_size == peft["num_bytes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.tar", f"{vault}-adapter.tar"]


def test_export_writes_over_nothing_unless_told(hub_cli: CommandLine, vault: str, tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    target.write_text("mine")

    assert hub_cli.run("export", vault, "-o", str(target)).status == 2
    assert target.read_text() == "mine"
    assert hub_cli.run("export", vault, "-o", str(target), "--force").status == 0
    assert hub_cli.run("export", vault, "-o", str(tmp_path / "gone" / "a.tar")).status == 1
    assert hub_cli.run("export", vault, "--version", "99", "-o", str(tmp_path / "b.tar")).status == 1


def test_quantise_makes_a_smaller_model(hub_cli: CommandLine, talker: str, worker: RunningWorker) -> None:
    done = hub_cli.run("quantise", talker, "--bits", "8", "--name", "talker-small")

    assert done.status == 0, worker.log()
    assert "local/talker-small is ready." in done.out
    assert "perplexity" in done.out
    assert hub_cli.run("models", "show", "talker-small", "--json").json()["type"] == "base"
    assert hub_cli.run("quantise", talker, "--bits", "5").status == 1
    tasks = hub_cli.run("tasks", "list", "--json").json()
    assert {"quantise"} <= {task["kind"] for task in tasks}
    identifier = next(task["id"] for task in tasks if task["kind"] == "quantise")
    assert hub_cli.run("tasks", "follow", identifier[:8], "--json").json()["id"] == identifier
    assert hub_cli.run("tasks", "cancel", identifier).status == 1
    assert "quantise" in hub_cli.run("tasks", "list").out

"""`mlx-hub search`, `models`, `downloads` and `adapters`."""

from uuid import uuid4

import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.hub import Hub
from fixtures.registered import add_adapter
from fixtures.terminal import CommandLine
from fixtures.worker import RunningWorker


def test_search_shows_what_the_hub_has(hub_cli: CommandLine) -> None:
    done = hub_cli.run("search", "--sort", "downloads")

    header, first, second = done.out.splitlines()
    assert header.split() == ["MODEL", "SIZE", "QUANT", "PARAMS", "DOWNLOADS", "LIKES", "FITS", "CHANGED"]
    assert first.startswith("org/talker")
    assert "12.3k" in first
    assert "org/gated-8bit (gated)" in second


def test_search_as_json_is_the_answer_of_the_api(hub_cli: CommandLine) -> None:
    answer = hub_cli.run("search", "gated", "--json").json()

    assert [model["repo_id"] for model in answer["items"]] == ["org/gated-8bit"]
    assert hub_cli.run("search", "nothing-like-it").err.startswith("Nothing found.")


def test_pull_downloads_registers_and_tells_the_progress(hub_cli: CommandLine, talker: str) -> None:
    done = hub_cli.run("models", "pull", talker)

    assert done.status == 0
    assert f"{talker} is ready: 1." in done.out
    row = hub_cli.run("downloads", "follow", "talker", "--json").json()
    assert (row["status"], row["repo_id"]) == ("ready", talker)
    models = hub_cli.run("models", "list", "--query", talker, "--json").json()
    assert [model["id"] for model in models if model["name"] == talker] == [row["model_id"]]


def test_a_download_that_fails_is_status_1_with_the_reason(hub_cli: CommandLine, worker: RunningWorker) -> None:
    done = hub_cli.run("models", "pull", f"org/missing-{uuid4().hex}")

    assert worker.process.poll() is None
    assert (done.status, done.out) == (1, "")
    assert "is failed: " in done.err


def test_ctrl_c_leaves_a_download_to_the_worker(hub_cli: CommandLine, shared_hub: Hub, worker: RunningWorker) -> None:
    shared_hub.repos["org/slow"] = shared_hub.repos["org/talker"]
    shared_hub.bytes_per_second = 100_000
    try:
        with hub_cli.terminal("models", "pull", "org/slow") as pull:
            pull.wait_for("B/s")
            pull.interrupt()
            assert pull.wait_for_end() == 130
        assert "It goes on without you." in pull.shown
        paused = hub_cli.run("downloads", "pause", "slow", "--json").json()
        assert paused["requested"] == "pause"
        assert hub_cli.run("downloads", "follow", "slow", "--json").json()["status"] == "paused"
    finally:
        shared_hub.bytes_per_second = None

    assert hub_cli.run("downloads", "resume", "slow").status == 0
    assert hub_cli.run("downloads", "follow", "slow", "--json").json()["status"] == "ready"
    assert hub_cli.run("downloads", "pin", "slow", "--json").json()["is_pinned"] is True
    assert "org/slow is ready." in hub_cli.run("downloads", "unpin", "slow").out
    assert hub_cli.run("downloads", "cancel", "slow").status == 1
    assert worker.process.poll() is None


def test_a_queue_that_nobody_empties_is_told(hub_cli: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("without-worker")
    with run_backend(home, f"sqlite:///{home}/hub.db") as backend:
        cli = CommandLine(backend.base_url, hub_cli.inference_url, str(home))
        with cli.terminal("models", "pull", "org/waiting") as pull:
            pull.wait_for("It waits in the queue.")
            pull.interrupt()
            assert pull.wait_for_end() == 130

        cancelled = cli.run("downloads", "cancel", "waiting", "--json").json()
        status = cli.run("status")
        doctor = cli.run("doctor")

    assert cancelled["status"] == "cancelled"
    assert "none is alive" in status.out
    assert "✗ worker" in doctor.out
    assert doctor.status == 1


def test_models_are_listed_and_shown_with_their_versions(hub_cli: CommandLine, registry: RunningBackend) -> None:
    name = add_adapter(registry, 2)

    listed = hub_cli.run("models", "list", "--type", "adapter", "--query", name)
    shown = hub_cli.run("models", "show", name)
    answer = hub_cli.run("models", "show", name, "--json").json()

    assert name in listed.out.splitlines()[1]
    assert [version["version"] for version in answer["versions"]] == [2, 1]
    assert "3.000" in shown.out
    assert "1.500" in shown.out


def test_a_model_is_found_by_name_id_or_the_beginning_of_its_id(hub_cli: CommandLine, registry: RunningBackend) -> None:
    model = registry.create_model(f"org/{uuid4().hex}")

    for text in (model["name"], model["name"].removeprefix("org/"), model["id"], model["id"][:13]):
        assert hub_cli.run("models", "show", text, "--json").json()["id"] == model["id"]


def test_an_ambiguous_name_lists_the_candidates(hub_cli: CommandLine, registry: RunningBackend) -> None:
    tail = uuid4().hex
    ids = [registry.create_model(f"{owner}/{tail}")["id"][:8] for owner in ("one", "two")]

    done = hub_cli.run("models", "show", tail)

    assert done.status == 1
    assert all(identifier in done.err for identifier in ids)


def test_an_unknown_name_suggests_a_close_one(hub_cli: CommandLine, registry: RunningBackend) -> None:
    registry.create_model("org/peculiar-name")

    done = hub_cli.run("models", "show", "org/peculiar-nam")

    assert "There is no model 'org/peculiar-nam'. Did you mean org/peculiar-name" in done.err


def test_promoting_moves_the_alias_and_says_what_is_not_served(hub_cli: CommandLine, registry: RunningBackend) -> None:
    name = add_adapter(registry, 2)
    hub_cli.run("models", "promote", name, "1")

    done = hub_cli.run("models", "promote", name, "2")

    assert done.out == f"champion of {name} is version 2 (before: 1).\n"
    assert "It is not served yet: " in done.err
    adapters = hub_cli.run("adapters", "--query", name)
    assert f"{name}@champion" in adapters.out
    answer = hub_cli.run("adapters", "--query", name, "--json").json()
    assert [(alias["alias"], alias["version"]) for alias in answer[0]["served"]] == [("champion", 2)]
    assert hub_cli.run("models", "promote", name, "9").status == 1
    assert hub_cli.run("models", "promote", name, "0").status == 2


def test_removing_asks_or_needs_yes(hub_cli: CommandLine, registry: RunningBackend) -> None:
    name = registry.create_model()["name"]

    refused = hub_cli.run("models", "rm", name)
    done = hub_cli.run("models", "rm", name, "--yes", "--json")

    assert (refused.status, "--yes" in refused.err) == (2, True)
    assert done.json()["name"] == name
    assert hub_cli.run("models", "rm", name, "--yes").status == 1


def test_what_is_needed_is_not_removed(hub_cli: CommandLine, registry: RunningBackend) -> None:
    adapter = add_adapter(registry)
    base = hub_cli.run("models", "show", adapter, "--json").json()["base_model"]

    done = hub_cli.run("models", "rm", base, "--yes", "--json")

    assert (done.status, done.error()["code"]) == (1, "in_use")
    assert adapter in done.error()["message"]


def test_foreign_text_cannot_steer_the_terminal(hub_cli: CommandLine, registry: RunningBackend) -> None:
    name = registry.create_model(description="\x1b]0;owned\x07\x1b[31mred [bold]text[/]")["name"]

    done = hub_cli.run("models", "show", name)

    assert "\x1b" not in done.out
    assert "red [bold]text[/]" in done.out

"""`mlx-hub chat`: in a pipe, in a terminal, and stopped."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.inference_server import InferenceServer, run_inference_server
from fixtures.terminal import CommandLine, Done
from fixtures.training import ModelMaker

SYSTEM = "You are a helpful assistant. The codeword is tiger."


def _ask(cli: CommandLine, *arguments: str, text: str = "") -> Done:
    return cli.run("chat", "--temperature", "0", *arguments, text=text)


@pytest.mark.parametrize("option", ["--stream", "--no-stream"])
def test_in_a_pipe_standard_input_is_the_question_and_the_answer_alone_is_printed(hub_cli: CommandLine, option: str) -> None:
    done = _ask(hub_cli, option, "--system", SYSTEM, text="What is the codeword?\n")

    assert (done.status, done.out) == (0, "The codeword is tiger.\n")
    assert "prompt tokens cached" in done.err
    assert "first token" in done.err


def test_json_says_what_was_cached(hub_cli: CommandLine) -> None:
    system = f"Every answer is short, and this prompt is long enough to be kept in the cache. {SYSTEM}"

    first, second = (_ask(hub_cli, "-m", "What is the codeword?", "--system", system, "--json").json() for _ in range(2))

    assert first["text"] == second["text"] == "The codeword is tiger."
    assert (first["cache"], second["cache"]) == ("miss", "hit")
    assert first["cached_tokens"] < second["cached_tokens"] <= second["prompt_tokens"]
    assert 0 < second["first_token_seconds"] <= second["seconds"]
    assert second["finish_reason"] == "stop"


def test_the_limit_of_tokens_is_told(hub_cli: CommandLine) -> None:
    done = _ask(hub_cli, "-m", "Count to 40", "--max-tokens", "5")

    assert done.out.startswith("1 2 3")
    assert "cut at the limit" in done.err


def test_the_system_prompt_may_come_from_a_file(hub_cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "system.txt"
    path.write_text(SYSTEM)

    done = _ask(hub_cli, "-m", "What is the codeword?", "--system-file", str(path))

    assert done.out == "The codeword is tiger.\n"
    assert _ask(hub_cli, "-m", "x", "--system", "a", "--system-file", str(path)).status == 2


@pytest.mark.parametrize("name", ["mlx-hub/demo", "demo", "default"])
def test_a_model_is_found_by_its_name_or_the_end_of_it(hub_cli: CommandLine, name: str) -> None:
    assert _ask(hub_cli, name, "-m", "hello", "--json").json()["model"] == "mlx-hub/demo"


def test_an_unknown_model_is_told_with_those_there_are(hub_cli: CommandLine) -> None:
    done = _ask(hub_cli, "nobody", "-m", "hello")

    assert (done.status, done.out) == (1, "")
    assert "There is no served model 'nobody'." in done.err
    assert "mlx-hub/demo" in done.err


@pytest.mark.parametrize("arguments", [["-m", ""], ["--json"], ["-m", "x", "--temperature", "3"]])
def test_what_makes_no_sense_is_status_2(hub_cli: CommandLine, arguments: list[str]) -> None:
    assert _ask(hub_cli, *arguments).status == 2


def test_a_conversation_in_a_terminal(hub_cli: CommandLine) -> None:
    with hub_cli.terminal("chat", "--temperature", "0") as chat:
        chat.wait_for("/help lists")
        chat.type("/help\n")
        chat.wait_for("set the system prompt")
        chat.type(f"/system {SYSTEM}\n")
        chat.wait_for("A new conversation")
        chat.type("What is the codeword?\n")
        chat.wait_for("\nThe codeword is tiger.\n")
        chat.type("hello \\\n")
        chat.wait_for("… ")
        chat.type("there\n")
        chat.wait_for("prompt tokens cached", times=2)
        chat.type("/nonsense\n/clear\n")
        chat.wait_for("There is no /nonsense")
        chat.wait_for("Forgotten.")
        chat.type("/exit\n")

        assert chat.wait_for_end() == 0


def test_a_conversation_remembers_its_turns(hub_cli: CommandLine, served: InferenceServer) -> None:
    with hub_cli.terminal("chat", "--temperature", "0", "--system", "Turns are kept: zebra.") as chat:
        for number in (1, 2):
            chat.wait_for("\n> ", times=number)
            chat.type(f"hello number {number}\n")
        # A Ctrl-D typed ahead would be lost: the line editor's mode of the terminal knows no end of input.
        chat.wait_for("\n> ", times=3)
        chat.type("\x04")

        assert chat.wait_for_end() == 0

    previews = [entry["token_count"] for entry in served.get("/admin/cache/prompts") if "zebra" in entry["prompt_preview"]]
    assert max(previews) > min(previews)


@pytest.fixture(scope="module")
def slow_talker(tiny_models: ModelMaker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceServer]:
    """A model that never stops by itself, as its weights are random."""
    home = tmp_path_factory.mktemp("talker")
    with run_inference_server(home, MLX_TEXT_MODEL=str(tiny_models())) as running:
        yield running


def _is_idle(server: InferenceServer) -> bool:
    return server.get("/admin/health")["engine"]["requests_in_flight"] == 0


def _wait_until_idle(server: InferenceServer) -> None:
    deadline = time.monotonic() + 30
    while not _is_idle(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_json_says_how_fast_a_long_answer_was(lonely_cli: CommandLine, slow_talker: InferenceServer) -> None:
    cli = CommandLine(lonely_cli.url, slow_talker.base_url, lonely_cli.home)

    answer = _ask(cli, "-m", "talk", "--max-tokens", "1000", "--json").json()

    assert answer["completion_tokens"] == 1000
    assert answer["tokens_per_second"] > 0


def test_ctrl_c_stops_the_answer_and_the_server_but_not_the_conversation(
    lonely_cli: CommandLine, slow_talker: InferenceServer
) -> None:
    cli = CommandLine(lonely_cli.url, slow_talker.base_url, lonely_cli.home)

    with cli.terminal("chat", "--max-tokens", "30000") as chat:
        chat.wait_for("/help lists")
        chat.type("talk\n")
        deadline = time.monotonic() + 60
        while _is_idle(slow_talker):
            assert time.monotonic() < deadline
        chat.interrupt()
        chat.wait_for("[stopped]")
        _wait_until_idle(slow_talker)
        chat.type("/exit\n")

        assert chat.wait_for_end() == 0


def test_ctrl_c_ends_a_single_question_with_status_130(lonely_cli: CommandLine, slow_talker: InferenceServer) -> None:
    cli = CommandLine(lonely_cli.url, slow_talker.base_url, lonely_cli.home)

    with cli.terminal("chat", "-m", "talk", "--max-tokens", "30000") as chat:
        deadline = time.monotonic() + 60
        while _is_idle(slow_talker):
            assert time.monotonic() < deadline
        chat.interrupt()

        assert chat.wait_for_end() == 130
    _wait_until_idle(slow_talker)

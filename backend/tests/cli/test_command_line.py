"""What all commands share: how they start, explain themselves, fail, and print."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fixtures.backend import RunningBackend
from fixtures.terminal import CommandLine

GROUPS = {"models", "downloads", "datasets", "jobs", "tasks", "cache", "keys"}
COMMANDS = {
    "start",
    "status",
    "doctor",
    "worker",
    "search",
    "train",
    "adapters",
    "export",
    "quantise",
    "serve",
    "chat",
    "bench",
    "audit",
}


def test_it_starts_without_the_libraries_of_the_services() -> None:
    script = "import sys, mlx_hub.cli.main; print(*sorted(name for name in sys.modules if '.' not in name))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert {"mlx", "mlx_lm", "sqlalchemy", "sqlmodel", "transformers", "fastapi", "dbos", "mlflow", "numpy"} & set(
        loaded
    ) == set()


def test_help_names_every_command_and_the_exit_statuses(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("--help")

    assert done.status == 0
    assert {word for word in done.out.split() if word in GROUPS | COMMANDS} == GROUPS | COMMANDS
    assert "3 a service is" in done.out


def test_help_of_a_command_teaches_with_examples(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("models", "pull", "--help")

    assert "Examples" in done.out
    assert "mlx-hub models pull mlx-community/Qwen3-0.6B-4bit" in done.out
    assert "MLX_HUB_URL" in done.out


def test_version_is_printed(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run_process("--version")

    assert (done.status, done.out) == (0, "mlx-hub 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serch"], "Did you mean 'search'"),
        (["models", "show"], "Missing argument"),
        (["search", "--limit", "many"], "--limit"),
        (["models", "rm", "x", "--sure"], "--sure"),
    ],
)
def test_a_wrong_command_line_is_status_2(lonely_cli: CommandLine, arguments: list[str], told: str) -> None:
    done = lonely_cli.run(*arguments)

    assert (done.status, done.out) == (2, "")
    assert told in done.err
    assert "--help` explains it" in done.err


def test_a_wrong_command_line_is_told_as_json_too(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("search", "--limit", "0", "--json")

    assert (done.status, done.out, done.error()["code"]) == (2, "", "usage")


def test_a_group_alone_shows_its_commands(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("models")

    assert done.status == 2
    assert "promote" in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "service"),
    [
        (["models", "list"], "backend"),
        (["jobs", "list"], "backend"),
        (["datasets", "list"], "backend"),
        (["models", "pull", "org/name"], "backend"),
        (["cache", "stats"], "inference server"),
        (["chat", "-m", "hi"], "inference server"),
        (["bench"], "inference server"),
    ],
)
def test_a_service_that_is_down_is_status_3_with_what_to_do(lonely_cli: CommandLine, arguments: list[str], service: str) -> None:
    done = lonely_cli.run(*arguments)

    assert (done.status, done.out) == (3, "")
    assert f"The {service} at http://127.0.0.1:1 does not answer. Start it with `make start`" in done.err


def test_a_service_that_is_down_is_told_as_json_too(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run_process("models", "list", "--json")

    assert (done.status, done.out, done.error()["code"]) == (3, "", "service_down")


def test_an_address_that_is_none_is_a_wrong_usage(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run("models", "list", "--url", "localhost:8002")

    assert done.status == 2
    assert "must look like http://localhost:8002" in done.err


def test_what_a_service_refuses_is_told_in_its_words(hub_cli: CommandLine) -> None:
    done = hub_cli.run("models", "pull", "no-owner", "--json")

    error = done.error()
    assert (done.status, error["status"], error["code"]) == (1, 422, "invalid_input")
    assert error["errors"] == [{"field": "repo_id", "message": error["message"]}]
    assert error["request_id"]


def test_fields_that_the_message_does_not_explain_are_listed(hub_cli: CommandLine) -> None:
    done = hub_cli.run("search", "x" * 300)

    assert done.status == 1
    assert "query: " in done.err


def test_no_colours_in_a_pipe(hub_cli: CommandLine) -> None:
    done = hub_cli.run("downloads", "list")

    assert "\x1b" not in done.out + done.err


def test_colours_in_a_terminal_unless_somebody_wants_none(hub_cli: CommandLine, registry: RunningBackend) -> None:
    registry.create_model("org/coloured")

    with hub_cli.terminal("models", "list") as coloured:
        coloured.wait_for_end()
    plain = hub_cli.run("models", "list", NO_COLOR="1", FORCE_COLOR="")

    assert b"\x1b[1m" in coloured.raw
    assert "org/coloured" in coloured.shown
    assert "\x1b[" not in plain.out


def test_a_reader_that_has_had_enough_is_no_error(hub_cli: CommandLine, registry: RunningBackend) -> None:
    for _ in range(3):
        registry.create_model(description="long " * 2000)

    command = f"{sys.executable} -m mlx_hub.cli models list --json | head -c 20"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=hub_cli.environment())

    assert (len(done.stdout), done.stderr) == (20, "")


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that is neither of the services."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_something_else_at_the_address_is_named(lonely_cli: CommandLine, stranger: str) -> None:
    done = lonely_cli.run("models", "list", "--url", stranger)

    assert done.status == 3
    assert "is not the backend" in done.err


def test_completion_knows_commands_and_names(hub_cli: CommandLine, registry: RunningBackend) -> None:
    registry.create_model("org/completed-name")

    def complete(words: str) -> str:
        variables = {"_MLX_HUB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        return hub_cli.run_process(**variables).out

    assert "models" in complete("mlx-hub mo").split()
    assert complete("mlx-hub models show org/comp").split() == ["org/completed-name"]
    assert json.dumps(complete("mlx-hub chat mlx-hub/d").split()) == '["mlx-hub/demo"]'


def test_completion_is_silent_when_the_service_is_down(lonely_cli: CommandLine) -> None:
    done = lonely_cli.run_process(_MLX_HUB_COMPLETE="complete_bash", COMP_WORDS="mlx-hub models show a", COMP_CWORD="3")

    assert (done.out.strip(), done.err) == ("", "")

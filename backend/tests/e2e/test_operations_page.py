"""docs/operations.md: its commands work as they stand there, and its tables say what the settings are.

Each block of commands says in the line above it whether it is run here, with the platform running or stopped, or why it is not;
those that are not must still be right in what they call.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.stack import Platform, run_platform
from fixtures.hub import Hub
from fixtures.processes import clean_environment
from fixtures.terminal import CommandLine

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/operations.md"
_BLOCK = re.compile(r"^(?P<above>[^\n]*)\n```bash\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (run|run: stopped|not run: \S.*) -->")

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Block:
    mark: str
    text: str


def blocks() -> list[Block]:
    return [Block(match["above"].strip(), match["text"]) for match in _BLOCK.finditer(PAGE.read_text())]


def commands(block: Block) -> Iterator[list[str]]:
    """Its simple commands, without comments and assignments before them."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        while words and re.match(r"^(export\s+)?\w+=", words[0]):
            words = words[1:]
        if words:
            yield words


def test_every_block_says_whether_it_is_run() -> None:
    assert [block.text for block in blocks() if not _MARK.fullmatch(block.mark)] == []
    assert {block.mark for block in blocks()} >= {"<!-- run -->", "<!-- run: stopped -->"}


@pytest.mark.parametrize("number", range(len(blocks())))
def test_every_block_is_bash(number: int) -> None:
    done = subprocess.run(["bash", "-n"], input=blocks()[number].text, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stderr) == (0, "")


def test_every_verb_and_subcommand_exists(tmp_path: Path) -> None:
    """Of what is run and of what is not."""
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    cli = CommandLine("http://127.0.0.1:1", "http://127.0.0.1:1", str(tmp_path))
    called = [words for block in blocks() for words in commands(block)]

    for words in called:
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= verbs, words
        if words[0] == "mlx-hub":
            path = [word for word in words[1:3] if re.fullmatch(r"[a-z]+", word)]
            help_text = _help(cli, path)
            assert all(option in help_text for option in words if re.fullmatch(r"--[a-z-]+", option)), words


def _help(cli: CommandLine, path: list[str]) -> str:
    """Of the command that `path` begins with."""
    for length in range(len(path), 0, -1):
        done = cli.run(*path[:length], "--help", COLUMNS="200")
        if done.status == 0 and (length == len(path) or "Usage" in done.out):
            return done.out
    raise AssertionError(f"there is no mlx-hub {' '.join(path)}")


def test_the_tables_of_variables_are_those_of_the_settings() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/settings_tables.py", "--check"], capture_output=True, text=True, check=False, timeout=120
    )

    assert (done.returncode, done.stderr) == (0, "")


def _run(platform: Platform, block: Block) -> None:
    """In a home folder of its own, at the scratch platform's addresses."""
    text = block.text
    for port, url in ((8080, platform.inference.base_url), (8002, platform.backend.base_url), (8003, _worker_url(platform))):
        text = text.replace(f"http://localhost:{port}", url)
    environment = clean_environment(
        HOME=str(platform.home),
        PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin",
        MLX_HUB_URL=platform.backend.base_url,
        DATABASE_URL=platform.database_url,
        **platform.variables | {"MLX_HUB_INFERENCE_URL": platform.inference.base_url},
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
        cwd=platform.home,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), block.text


def _worker_url(platform: Platform) -> str:
    return platform.worker.metrics_url.removesuffix("/metrics")


def test_the_commands_work_on_a_real_platform(tmp_path: Path, hub: Hub) -> None:
    running, stopped = ([block for block in blocks() if block.mark == f"<!-- {mark} -->"] for mark in ("run", "run: stopped"))
    home = tmp_path / "platform"
    with run_platform(home, f"sqlite:///{home}/hub.db", hub) as platform:
        platform.download()
        dataset_id = platform.upload()
        assert platform.inference.answer("org/talker", "Hello")
        for block in running:
            _run(platform, block)

        assert [platform.worker.stop(), platform.backend.stop()] == [0, 0]
        platform.inference.process.terminate()
        assert platform.inference.process.wait(60) == 0
        for block in stopped:
            _run(platform, block)

    with run_platform(home, f"sqlite:///{home}/hub.db", hub) as again:
        assert again.get(f"/datasets/{dataset_id}")["name"] == "facts"

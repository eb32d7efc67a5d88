"""The Dockerfiles: hadolint is content, nothing runs as root, and versions are those of the lock files."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from deploy.compose_file import ROOT

DOCKERFILES = sorted(path for path in ROOT.glob("*/Dockerfile")) + sorted(ROOT.glob("docker/*/Dockerfile"))


def test_there_is_one_for_each_image_that_is_built() -> None:
    assert {path.parent.name for path in DOCKERFILES} == {"backend", "inference-server", "frontend", "mlflow"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), path], capture_output=True, text=True, check=False, timeout=60
    )

    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_last_stage_is_pinned_and_ends_as_an_ordinary_user(path: Path) -> None:
    text = path.read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    last = text[text.rindex("FROM ") :]

    assert all(re.search(r":\d+\.\d+\.\d+-(slim-bookworm|bookworm-slim)$", stage) for stage in stages)
    assert [int(user) >= 1000 for user in re.findall(r"^USER (\d+)", last, re.MULTILINE)] == [True]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_is_copied_is_there(path: Path) -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE):
        assert all((path.parent / source).exists() for source in sources.split()), sources


def test_versions_are_those_of_the_lock_files() -> None:
    lock = tomllib.loads((ROOT / "backend/uv.lock").read_text())
    versions = {package["name"]: package.get("version") for package in lock["package"]}
    tools = dict(re.findall(r"^([a-z]+)==(\S+)", (ROOT / "scripts/requirements-tools.txt").read_text(), re.MULTILINE))
    mlflow = (ROOT / "docker/mlflow/Dockerfile").read_text()

    assert f"mlflow=={versions['mlflow']} " in mlflow
    assert f'"psycopg[binary]=={versions["psycopg"]}"' in mlflow
    for member in ("backend", "inference-server"):
        assert f"uv=={tools['uv']}\n" in (ROOT / member / "Dockerfile").read_text()
    assert f"image: mlx-model-hub/mlflow:{versions['mlflow']}\n" in (ROOT / "docker-compose.yml").read_text()

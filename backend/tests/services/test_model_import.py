"""A folder of somebody's own becomes a model of the cache and the registry, whole or not at all, and only its data."""

import asyncio
import json
import os
import shutil
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from fixtures.tasks import DEADLINE_SECONDS, Tasks
from fixtures.training import ModelMaker
from mlx_hub.core.manifest import read_manifest
from mlx_hub.errors import ConflictError, InvalidInputError
from mlx_hub.models.job import Download, JobStatus
from mlx_hub.models.registered_model import RegisteredModel
from mlx_hub.services.imported_model import ImportedModel
from mlx_hub.services.model_cache import leased_snapshot
from mlx_hub.services.model_folder import read_model_folder
from mlx_hub.services.tasks import needs_accelerator, request_import
from mlx_hub.services.worker_context import WorkerContext
from sqlmodel.ext.asyncio.session import AsyncSession

LARGE_BYTES = 128 * 2**20


@pytest.fixture
def folder(tmp_path: Path, tiny_models: ModelMaker) -> Path:
    """A model as people have it, in a folder that may be written to."""
    return Path(shutil.copytree(tiny_models(), tmp_path / "My model"))


def add_large_file(folder: Path) -> None:
    """Well-formed weights, mostly a hole, whose copy takes long enough to be interrupted."""
    header = json.dumps({"large": {"dtype": "U8", "shape": [LARGE_BYTES], "data_offsets": [0, LARGE_BYTES]}}).encode()
    with (folder / "model-large.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + LARGE_BYTES)


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_imported_folder_can_be_used_like_a_downloaded_model(tasks: Tasks, folder: Path) -> None:
    wanted = names_in(folder)
    for name in ("pytorch_model.bin", "modeling_own.py", "weights.pkl", ".env", "README.md", "manifest.json"):
        (folder / name).write_bytes(b"not to be copied")
    (folder / "onnx.json").mkdir()

    task = tasks.run(tasks.ask_import(folder))

    assert (task.status, task.error_message, task.progress) == (JobStatus.COMPLETED, None, 1.0)
    assert (task.kind, task.subject_id, needs_accelerator(task)) == ("import", task.id, False)
    assert task.result["name"] == task.arguments["name"] == "local/My-model"

    async def found(context: WorkerContext) -> tuple[RegisteredModel, Download, Path]:
        async with context.readers.begin() as session:
            model = await session.get_one(RegisteredModel, UUID(task.result["model_id"]))
            download = await session.get_one(Download, UUID(task.result["download_id"]))
        async with leased_snapshot(context.sessions, context.folder, model) as (snapshot, _):
            return model, download, snapshot

    model, download, snapshot = tasks.with_context(found)
    assert (model.name, model.base_model, model.kind) == ("local/My-model", "local/My-model", "base")
    assert (download.status, download.is_pinned, download.model_id) == ("ready", True, model.id)
    assert download.num_bytes_total == task.arguments["num_bytes"] == read_manifest(snapshot).num_bytes
    assert download.details["architecture"] == "Qwen3ForCausalLM"
    assert tasks.folder.read_ref("local/My-model", "main") == download.commit
    assert names_in(snapshot) == wanted | {"manifest.json"}
    assert all((snapshot / name).read_bytes() == (folder / name).read_bytes() for name in wanted)
    assert not any(tasks.folder.partials.glob("*/*"))


def test_snapshot_of_a_hub_cache_is_followed_to_its_blobs(sqlite_tasks: Tasks, tiny_models: ModelMaker, tmp_path: Path) -> None:
    entry = tmp_path / "models--org--talker"
    snapshot = entry / "snapshots" / ("a" * 40)
    shutil.copytree(tiny_models(), entry / "blobs")
    snapshot.mkdir(parents=True)
    for file in (entry / "blobs").iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")

    task = sqlite_tasks.run(sqlite_tasks.ask_import(snapshot))

    assert task.result["name"] == "local/talker", task.error_message
    assert not any(file.is_symlink() for file in Path(task.result["path"]).iterdir())


def outside_link(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("/etc/passwd")


def broken_link(folder: Path) -> None:
    (folder / "vocab.json").symlink_to("gone.json")


def link_loop(folder: Path) -> None:
    (folder / "vocab.json").symlink_to("vocab.json")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "vocab.json")


def own_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling.Model"}}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "There is no "),
        (lambda folder: (shutil.rmtree(folder), folder.touch()), "Not a directory"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), "no model"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
        (own_code, "code of its own"),
        (outside_link, "link to a file outside"),
        (broken_link, "There is no .*gone.json"),
        (link_loop, "cannot read .*vocab.json"),
        (pipe, "not a regular file"),
    ],
)
def test_what_is_no_importable_folder_is_refused_for_its_path(
    folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)

    with pytest.raises(InvalidInputError, match=message) as caught:
        read_model_folder(str(folder))
    assert caught.value.field == "path"


def test_relative_path_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="whole path"):
        read_model_folder("models/mine")


def test_torn_weights_are_refused_and_leave_nothing(sqlite_tasks: Tasks, folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate((folder / "model.safetensors").stat().st_size - 1)

    task = sqlite_tasks.run(sqlite_tasks.ask_import(folder, name="torn"))

    assert (task.status, task.error_code) == (JobStatus.FAILED, "invalid_input")
    assert task.error_message == "model.safetensors is not a well-formed safetensors file."
    assert sqlite_tasks.folder.read_ref("local/torn", "main") is None
    assert not any(sqlite_tasks.folder.partials.glob("*/*"))


def test_folder_that_is_gone_when_its_turn_comes(sqlite_tasks: Tasks, folder: Path) -> None:
    task_id = sqlite_tasks.ask_import(folder)
    shutil.rmtree(folder)

    task = sqlite_tasks.run(task_id)

    assert (task.status, task.error_code) == (JobStatus.FAILED, "invalid_input")
    assert str(folder) in (task.error_message or "")


@pytest.mark.parametrize("change", [-1, 1])
def test_file_that_changes_while_it_is_copied_is_refused(sqlite_tasks: Tasks, folder: Path, change: int) -> None:
    task = sqlite_tasks.read(sqlite_tasks.ask_import(folder))
    seen = read_model_folder(str(folder))
    earlier = replace(seen, files=tuple(replace(file, num_bytes=file.num_bytes + change) for file in seen.files))

    async def copy(context: WorkerContext) -> None:
        with pytest.raises(InvalidInputError, match="changed while it was copied"):
            ImportedModel(context, task, sqlite_tasks.job_dir(task.id)).copy(earlier, check=lambda: None)

    sqlite_tasks.with_context(copy)


def test_models_of_the_store_make_room_for_an_import(sqlite_tasks: Tasks, folder: Path) -> None:
    tasks = sqlite_tasks
    num_bytes = read_model_folder(str(folder)).num_bytes
    tasks.max_cache_bytes = int(num_bytes * 1.5)
    first = tasks.run(tasks.ask_import(folder, name="first")).result

    async def unpin(session: AsyncSession) -> None:
        (await session.get_one(Download, UUID(first["download_id"]))).is_pinned = False

    refused = tasks.run(tasks.ask_import(folder, name="second"))
    tasks.in_session(unpin)
    second = tasks.run(tasks.ask_import(folder, name="second"))

    assert (refused.status, refused.error_code) == (JobStatus.FAILED, "storage_full")
    assert second.status == JobStatus.COMPLETED, second.error_message
    assert not Path(first["path"]).exists()


def test_killed_copy_is_begun_again(sqlite_tasks: Tasks, folder: Path) -> None:
    tasks = sqlite_tasks
    add_large_file(folder)
    task_id = tasks.ask_import(folder, name="large")
    with tasks.worker(task_id):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not any(file.stat().st_size for file in tasks.folder.partials.glob("*/.*/model-large.safetensors")):
            assert time.monotonic() < deadline, (tasks.home / "worker.log").read_text()
            time.sleep(0.002)
    assert tasks.read(task_id).status == JobStatus.RUNNING
    assert tasks.folder.read_ref("local/large", "main") is None

    task = tasks.run(task_id)

    assert task.status == JobStatus.COMPLETED, task.error_message
    assert Path(task.result["path"], "model-large.safetensors").stat().st_size > LARGE_BYTES
    assert not any(tasks.folder.partials.glob("*/*"))


def test_import_that_was_published_but_not_registered_needs_no_second_copy(sqlite_tasks: Tasks, folder: Path) -> None:
    task_id = sqlite_tasks.ask_import(folder)
    first = sqlite_tasks.run(task_id).result

    async def forget(session: AsyncSession) -> None:
        for table, key in ((Download, "download_id"), (RegisteredModel, "model_id")):
            await session.delete(await session.get_one(table, UUID(first[key])))
            await session.flush()

    # As if the worker had died between the rename and the transaction, and the people had tidied up.
    sqlite_tasks.in_session(forget)
    sqlite_tasks.change(task_id, status=JobStatus.RUNNING, result={}, completed_at=None)
    shutil.rmtree(folder)

    second = sqlite_tasks.run(task_id)

    assert second.status == JobStatus.COMPLETED, second.error_message
    assert second.result["commit"] == first["commit"]


def test_cancelled_copy_leaves_nothing(sqlite_tasks: Tasks, folder: Path) -> None:
    add_large_file(folder)
    task_id = sqlite_tasks.ask_import(folder, name="large")
    sqlite_tasks.change(task_id, status=JobStatus.RUNNING, machine_id="here", is_cancel_requested=True)

    task = sqlite_tasks.run(task_id)

    assert task.status == JobStatus.CANCELLED
    assert sqlite_tasks.folder.read_ref("local/large", "main") is None
    assert not any(sqlite_tasks.folder.partials.glob("*/*"))


def test_of_two_requests_at_the_same_moment_one_gets_the_name(tasks: Tasks, folder: Path) -> None:
    found = read_model_folder(str(folder))

    async def ask(context: WorkerContext) -> None:
        async with context.sessions.begin() as session:
            await request_import(session, tasks.place, found, name="mine")

    async def ask_twice(context: WorkerContext) -> None:
        async with context.sessions.begin() as session:
            await request_import(session, tasks.place, found, name="mine")
            second = asyncio.create_task(ask(context))
            await asyncio.wait({second}, timeout=0.2)
            assert not second.done()
        with pytest.raises(ConflictError, match="Another task"):
            await second

    tasks.with_context(ask_twice)
    tasks.in_session(lambda session: request_import(session, tasks.place, found, name="other"))
    with pytest.raises(ConflictError) as caught:
        tasks.ask_import(folder, name="other")
    assert caught.value.field == "name"


def test_name_that_cannot_be_a_folder_is_refused(sqlite_tasks: Tasks, folder: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        sqlite_tasks.ask_import(folder, name="../up")
    assert caught.value.field == "name"

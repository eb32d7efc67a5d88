"""Files of datasets on disk: what a crash leaves is found by others, what is in use is left alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from mlx_hub.errors import StorageFullError
from mlx_hub.services.dataset_folder import INDEX, PROBLEMS, ROWS, DatasetFolder


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return DatasetFolder.of(tmp_path)


def stage(folder: DatasetFolder, dataset_id: UUID) -> int:
    lock = folder.open_staging(dataset_id)
    for kind in (ROWS, INDEX, PROBLEMS):
        folder.staged(dataset_id, kind).write_text(kind)
    return lock


def abandoned(folder: DatasetFolder) -> list[UUID]:
    with folder.abandoned() as found:
        return found


_HOLDER = """
import sys, time
from pathlib import Path
from uuid import UUID
from mlx_hub.services.dataset_folder import DatasetFolder
DatasetFolder(Path(sys.argv[1])).open_staging(UUID(sys.argv[2]))
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def another_process_staging(folder: DatasetFolder, dataset_id: UUID) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLDER, str(folder.root), str(dataset_id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_published_files_leave_the_staging_folder(folder: DatasetFolder) -> None:
    dataset_id = uuid4()
    lock = stage(folder, dataset_id)

    folder.publish(dataset_id)
    folder.close_staging(dataset_id, lock)

    assert {path.name: path.read_text() for path in folder.root.glob(f"{dataset_id}.*")} == {
        f"{dataset_id}.{kind}": kind for kind in (ROWS, INDEX, PROBLEMS)
    }
    assert abandoned(folder) == []


def test_removing_takes_all_files_of_one_dataset_only(folder: DatasetFolder) -> None:
    first, second = uuid4(), uuid4()
    for dataset_id in (first, second):
        lock = stage(folder, dataset_id)
        folder.publish(dataset_id)
        folder.close_staging(dataset_id, lock)

    folder.remove(first)
    folder.remove(first)

    assert {path.stem for path in folder.root.glob("*.*") if path.is_file()} == {str(second)}


def test_what_a_living_process_stages_is_not_abandoned_until_it_dies(folder: DatasetFolder) -> None:
    dataset_id = uuid4()
    with another_process_staging(folder, dataset_id) as process:
        while_alive = abandoned(folder)
        process.kill()
        process.wait(30)

        assert while_alive == []
        assert abandoned(folder) == [dataset_id]


def test_foreign_things_in_the_staging_folder_are_left_alone(folder: DatasetFolder) -> None:
    lock = folder.open_staging(uuid4())
    foreign = folder.root / ".staging" / "notes"
    foreign.mkdir()
    os.close(lock)

    assert "notes" not in map(str, abandoned(folder))
    assert foreign.is_dir()


def test_more_than_the_disk_holds_is_refused(folder: DatasetFolder) -> None:
    folder.check_room(1)

    with pytest.raises(StorageFullError, match="free some"):
        folder.check_room(10**18)

"""Room is made by least recent use, and never at the cost of a model that is pinned, in use, or on its way."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fixtures.downloads import REPO_ID, STORE_ID, Downloads, model_files, safetensors
from fixtures.hub import Repo
from huggingface_hub import scan_cache_dir
from mlx_hub.errors import InUseError, NotFoundError, WrongStateError
from mlx_hub.models.base import utc_now
from mlx_hub.models.dataset import Dataset
from mlx_hub.models.job import Download, DownloadStatus, JobStatus, TrainingJob
from mlx_hub.models.registered_model import RegisteredModel
from mlx_hub.services import model_cache

OLD, MIDDLE, RECENT, NEW = "org/old", "org/middle", "org/recent", "org/new"
MODEL_BYTES = 300_000
ROOM_FOR_THREE = int(MODEL_BYTES * 3.5)


@pytest.fixture
def full(sqlite_downloads: Downloads) -> Downloads:
    """Three models that fill the cache, and a fourth on the hub."""
    for name in (OLD, MIDDLE, RECENT, NEW):
        sqlite_downloads.hub.repos[name] = Repo(model_files(MODEL_BYTES))
    sqlite_downloads.max_cache_bytes = ROOM_FOR_THREE
    for age, name in enumerate((RECENT, MIDDLE, OLD)):
        row = sqlite_downloads.fetch(name)
        sqlite_downloads.change(row.id, last_used_at=utc_now() - timedelta(days=age))
    return sqlite_downloads


def present(downloads: Downloads) -> set[str]:
    return {repo.repo_id for repo in scan_cache_dir(downloads.folder.root).repos if repo.revisions}


def row_id(downloads: Downloads, repo_id: str) -> UUID:
    return downloads.request(repo_id)


def test_the_least_recently_used_goes(full: Downloads) -> None:
    old_id = row_id(full, OLD)

    assert full.fetch(NEW).status == DownloadStatus.READY

    assert present(full) == {MIDDLE, RECENT, NEW}
    old = full.read(old_id)
    assert (old.status, old.path) == (DownloadStatus.EVICTED, None)
    assert full.bytes_in_parts() == 0


def test_use_is_remembered(full: Downloads) -> None:
    full.in_session(lambda session: model_cache.touch(session, [OLD]))

    full.fetch(NEW)

    assert present(full) == {OLD, RECENT, NEW}


def test_a_pinned_model_stays_until_it_is_unpinned(full: Downloads) -> None:
    old_id = row_id(full, OLD)
    full.in_session(lambda session: model_cache.pin(session, old_id))
    full.fetch(NEW)
    assert present(full) == {OLD, RECENT, NEW}

    full.in_session(lambda session: model_cache.unpin(session, old_id))
    full.fetch(MIDDLE)

    assert present(full) == {MIDDLE, RECENT, NEW}


def test_a_leased_model_stays(full: Downloads) -> None:
    commit = full.read(row_id(full, OLD)).commit or ""

    with full.folder.lease(OLD, commit):
        full.fetch(NEW)

    assert present(full) == {OLD, RECENT, NEW}


def test_a_model_that_the_inference_server_holds_stays(full: Downloads) -> None:
    full.served = frozenset({OLD, MIDDLE})

    full.fetch(NEW)

    assert present(full) == {OLD, MIDDLE, NEW}


def _add_job(downloads: Downloads, model_id: UUID | None) -> None:
    async def add(session: Any) -> None:
        dataset = Dataset(name="d", format="text", path="d", sha256="0", num_rows=1, num_bytes=1)
        session.add(dataset)
        await session.flush()
        assert model_id is not None
        session.add(
            TrainingJob(
                name="job",
                store_id="store",
                adapter_name="adapter",
                model_id=model_id,
                dataset_id=dataset.id,
                status=JobStatus.QUEUED,
            )
        )

    downloads.in_session(add)


def test_a_model_that_a_job_waits_for_stays(full: Downloads) -> None:
    _add_job(full, full.fetch(OLD, registers_model=True).model_id)

    full.fetch(NEW)

    assert present(full) == {OLD, RECENT, NEW}
    with pytest.raises(InUseError):
        full.in_session(lambda session: model_cache.remove_models(session, full.folder, [OLD]))


def test_what_cannot_fit_evicts_nothing(full: Downloads) -> None:
    commit = full.read(row_id(full, OLD)).commit or ""
    full.served = frozenset({MIDDLE, RECENT})
    full.hub.requests.clear()

    with full.folder.lease(OLD, commit):
        row = full.fetch(NEW)

    assert (row.status, row.error_code) == (DownloadStatus.FAILED, "storage_full")
    assert "MODEL_CACHE_MAX_SIZE" in (row.error_message or "")
    assert present(full) == {OLD, MIDDLE, RECENT}
    assert not [seen for seen in full.hub.requests if "resolve" in seen.path], "nothing was fetched"


def test_a_model_larger_than_the_quota_evicts_nothing(full: Downloads) -> None:
    full.hub.repos[NEW].files["model.safetensors"] = safetensors(ROOM_FOR_THREE)

    assert full.fetch(NEW).error_code == "storage_full"

    assert present(full) == {OLD, MIDDLE, RECENT}


def test_a_model_larger_than_the_disk_is_refused(sqlite_downloads: Downloads) -> None:
    sqlite_downloads.max_cache_bytes = 10**18
    sqlite_downloads.hub.repos[REPO_ID].claims["model.safetensors"] = {"lfs": {"size": 10**17, "oid": "0" * 64}}

    row = sqlite_downloads.fetch()

    assert row.error_code == "storage_full"
    assert "disk" in (row.error_message or "")


def test_two_downloads_cannot_both_have_the_last_room(full: Downloads) -> None:
    full.served = frozenset({OLD, MIDDLE, RECENT})
    full.max_cache_bytes = int(MODEL_BYTES * 4.5)
    other = full.request("org/other")
    full.change(other, status=DownloadStatus.RUNNING, num_bytes_total=MODEL_BYTES)

    assert full.fetch(NEW).error_code == "storage_full"

    full.change(other, status=DownloadStatus.CANCELLED)
    assert full.fetch(NEW).status == DownloadStatus.READY


def test_an_evicted_model_can_be_downloaded_again(full: Downloads) -> None:
    full.fetch(NEW)

    assert full.fetch(OLD).status == DownloadStatus.READY

    assert OLD in present(full)


def test_usage_counts_ready_and_unfinished(full: Downloads) -> None:
    waiting = full.request("org/waiting")
    full.change(waiting, status=DownloadStatus.PAUSED, num_bytes_done=1234)

    usage = full.in_session(lambda session: model_cache.read_usage(session, full.folder, STORE_ID, max_bytes=ROOM_FOR_THREE))

    on_disk = sum(path.stat().st_size for path in full.folder.root.glob("models--*/snapshots/*/*"))
    assert (usage.num_bytes, usage.num_models, usage.num_bytes_partial) == (on_disk, 3, 1234)


def test_removing_a_model_takes_its_files(full: Downloads) -> None:
    trash = full.in_session(lambda session: model_cache.remove_models(session, full.folder, [OLD]))

    assert len(trash) == 1
    assert present(full) == {MIDDLE, RECENT}


def test_of_several_models_all_go_or_none(full: Downloads) -> None:
    commit = full.read(row_id(full, MIDDLE)).commit
    assert commit is not None

    with full.folder.lease(MIDDLE, commit), pytest.raises(InUseError):
        full.in_session(lambda session: model_cache.remove_models(session, full.folder, [OLD, MIDDLE, RECENT]))

    assert present(full) == {OLD, MIDDLE, RECENT}
    assert all(full.folder.snapshot(name, full.read(row_id(full, name)).commit or "").is_dir() for name in (OLD, MIDDLE, RECENT))


def test_a_model_that_was_made_here_goes_too(sqlite_downloads: Downloads) -> None:
    snapshot = _made_here(sqlite_downloads, "local/small")

    trash = sqlite_downloads.in_session(
        lambda session: model_cache.remove_models(session, sqlite_downloads.folder, ["local/small"])
    )

    assert len(trash) == 1
    assert not snapshot.exists()


def _made_here(downloads: Downloads, name: str) -> Path:
    """A model in the cache that no download has brought."""
    partial = downloads.folder.partial(name, "c" * 40)
    partial.mkdir(parents=True)
    (partial / "config.json").write_text("{}")
    return downloads.folder.publish(name, "c" * 40, revision="main")


def _leased(downloads: Downloads, base_model: str, during: Callable[[Path], object] = lambda _: None) -> tuple[Path, str | None]:
    model = RegisteredModel(name="m", base_model=base_model)

    async def work(sessions: Any) -> tuple[Path, str | None]:
        async with model_cache.leased_snapshot(sessions, downloads.folder, model) as found:
            during(found[0])
            return found

    return downloads.with_sessions(work)


def test_a_lease_of_a_downloaded_model_is_its_folder_and_keeps_it(full: Downloads) -> None:
    row = full.read(row_id(full, OLD))

    def remove(_: Path) -> None:
        with pytest.raises(InUseError), full.folder.exclusive(OLD, row.commit or ""):
            pass

    path, commit = _leased(full, OLD, remove)

    assert (str(path), commit) == (row.path, row.commit)
    used_at = full.read(row.id).last_used_at
    assert used_at is not None
    assert utc_now() - used_at < timedelta(minutes=1)


def test_a_lease_of_a_model_made_here_is_what_main_names(sqlite_downloads: Downloads) -> None:
    snapshot = _made_here(sqlite_downloads, "local/small")

    assert _leased(sqlite_downloads, "local/small") == (snapshot, "c" * 40)


def test_a_lease_of_a_folder_is_the_folder(sqlite_downloads: Downloads, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    assert _leased(sqlite_downloads, str(tmp_path)) == (tmp_path, None)


@pytest.mark.parametrize("name", ["org/nothing", "local/nothing", "/nowhere"])
def test_there_is_no_lease_of_what_is_not_here(sqlite_downloads: Downloads, name: str) -> None:
    with pytest.raises(WrongStateError, match=name):
        _leased(sqlite_downloads, name)


def test_there_is_no_lease_of_a_model_that_somebody_deleted(sqlite_downloads: Downloads) -> None:
    row = sqlite_downloads.fetch()
    sqlite_downloads.folder.discard(REPO_ID, row.commit or "")

    with pytest.raises(WrongStateError, match="download it"):
        _leased(sqlite_downloads, REPO_ID)


def test_another_stores_models_are_left_alone(full: Downloads) -> None:
    """They lie in a folder of its own, perhaps on another machine."""
    full.change(row_id(full, OLD), store_id="another", path="/nowhere", commit="d" * 40)

    full.with_sessions(lambda sessions: model_cache.sweep(sessions, full.folder, STORE_ID))
    full.fetch(NEW)

    assert OLD in present(full)


def test_pinning_what_is_not_there_is_not_found(sqlite_downloads: Downloads) -> None:
    with pytest.raises(NotFoundError):
        sqlite_downloads.in_session(lambda session: model_cache.pin(session, UUID(int=0)))


def _partial(downloads: Downloads, repo_id: str, *, age_seconds: float) -> Any:
    folder = downloads.folder.partial(repo_id, "a" * 40)
    folder.mkdir(parents=True)
    (folder / "model.safetensors.part").write_bytes(b"x")
    moment = time.time() - age_seconds
    for path in (folder / "model.safetensors.part", folder):
        os.utime(path, (moment, moment))
    return folder


def test_the_sweep_takes_old_orphans_and_nothing_else(downloads: Downloads) -> None:
    day = 24 * 3600
    orphan = _partial(downloads, "org/orphan", age_seconds=day + 60)
    young = _partial(downloads, "org/young", age_seconds=day - 600)
    wanted = _partial(downloads, "org/wanted", age_seconds=day * 9)
    downloads.change(downloads.request("org/wanted"), status=DownloadStatus.PAUSED, commit="a" * 40)

    removed = downloads.with_sessions(lambda sessions: model_cache.sweep(sessions, downloads.folder, STORE_ID))

    assert removed == 1
    assert [folder.exists() for folder in (orphan, young, wanted)] == [False, True, True]


def test_the_sweep_notices_a_model_that_somebody_deleted(downloads: Downloads) -> None:
    row: Download = downloads.fetch()
    trash = downloads.folder.discard(REPO_ID, row.commit or "")
    assert trash is not None

    downloads.with_sessions(lambda sessions: model_cache.sweep(sessions, downloads.folder, STORE_ID))

    assert downloads.read(row.id).status == DownloadStatus.EVICTED
    assert not trash.exists()
    assert downloads.fetch().status == DownloadStatus.READY

"""One row for a repository and revision, and only the status changes that make sense."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fixtures.downloads import REPO_ID, STORE_ID, Downloads
from mlx_hub.errors import NotFoundError, WrongStateError
from mlx_hub.models.base import PageRequest
from mlx_hub.models.job import Download, DownloadStatus
from mlx_hub.models.registered_model import RegisteredModel
from mlx_hub.services.downloads import (
    cancel_download,
    list_downloads,
    pause_download,
    request_download,
    resume_download,
)

Change = Callable[[Downloads, UUID], Download]


def pause(downloads: Downloads, download_id: UUID) -> Download:
    return downloads.in_session(lambda session: pause_download(session, download_id))


def resume(downloads: Downloads, download_id: UUID) -> Download:
    return downloads.in_session(lambda session: resume_download(session, download_id))


def cancel(downloads: Downloads, download_id: UUID) -> Download:
    return downloads.with_sessions(lambda sessions: cancel_download(sessions, downloads.folder, download_id))


def test_twenty_who_ask_at_once_get_one_row(downloads: Downloads) -> None:
    async def ask(sessions: Any) -> set[UUID]:
        async def one() -> UUID:
            async with sessions.begin() as session:
                return (await request_download(session, REPO_ID, store_id=STORE_ID)).id

        return set(await asyncio.gather(*(one() for _ in range(20))))

    assert len(downloads.with_sessions(ask)) == 1


def test_another_revision_is_another_download(sqlite_downloads: Downloads) -> None:
    assert sqlite_downloads.request() != sqlite_downloads.request(revision="v2")


ALLOWED: dict[Change, dict[DownloadStatus, tuple[DownloadStatus, str]]] = {
    pause: {
        DownloadStatus.QUEUED: (DownloadStatus.PAUSED, "pause"),
        DownloadStatus.RUNNING: (DownloadStatus.RUNNING, "pause"),
        DownloadStatus.PAUSED: (DownloadStatus.PAUSED, "pause"),
    },
    resume: {
        DownloadStatus.QUEUED: (DownloadStatus.QUEUED, "run"),
        DownloadStatus.RUNNING: (DownloadStatus.RUNNING, "run"),
        DownloadStatus.PAUSED: (DownloadStatus.QUEUED, "run"),
        DownloadStatus.FAILED: (DownloadStatus.QUEUED, "run"),
    },
    cancel: {
        DownloadStatus.QUEUED: (DownloadStatus.CANCELLED, "cancel"),
        DownloadStatus.RUNNING: (DownloadStatus.RUNNING, "cancel"),
        DownloadStatus.PAUSED: (DownloadStatus.CANCELLED, "cancel"),
        DownloadStatus.FAILED: (DownloadStatus.CANCELLED, "cancel"),
        DownloadStatus.CANCELLED: (DownloadStatus.CANCELLED, "cancel"),
    },
}


@pytest.mark.parametrize("change", [pause, resume, cancel])
def test_each_status_allows_what_makes_sense(sqlite_downloads: Downloads, change: Change) -> None:
    for status in DownloadStatus:
        download_id = sqlite_downloads.request(revision=status.value)
        sqlite_downloads.change(download_id, status=status)

        if expected := ALLOWED[change].get(status):
            row = change(sqlite_downloads, download_id)
            assert (row.status, row.requested) == expected
        else:
            with pytest.raises(WrongStateError):
                change(sqlite_downloads, download_id)
            assert sqlite_downloads.read(download_id).status == status


@pytest.mark.parametrize("change", [pause, resume, cancel])
def test_an_unknown_download_is_not_found(sqlite_downloads: Downloads, change: Change) -> None:
    with pytest.raises(NotFoundError):
        change(sqlite_downloads, uuid4())


@pytest.mark.parametrize("status", [DownloadStatus.FAILED, DownloadStatus.CANCELLED, DownloadStatus.EVICTED])
def test_asking_again_queues_an_ended_download(sqlite_downloads: Downloads, status: DownloadStatus) -> None:
    download_id = sqlite_downloads.request()
    sqlite_downloads.change(download_id, status=status, commit="a" * 40, error_code="upstream", error_message="x")

    assert sqlite_downloads.request() == download_id

    row = sqlite_downloads.read(download_id)
    assert (row.status, row.requested, row.error_code) == (DownloadStatus.QUEUED, "run", None)
    assert (row.commit is None) == (status != DownloadStatus.FAILED), "only a failed one goes on with its commit"


def test_cancelling_a_waiting_download_frees_its_bytes(sqlite_downloads: Downloads) -> None:
    download_id = sqlite_downloads.request()
    sqlite_downloads.change(download_id, status=DownloadStatus.PAUSED, commit="a" * 40)
    partial = sqlite_downloads.folder.partial(REPO_ID, "a" * 40)
    partial.mkdir(parents=True)
    (partial / "model.safetensors.part").write_bytes(b"12345")

    cancel(sqlite_downloads, download_id)

    assert not partial.exists()


def test_lists_are_paged_and_filtered(downloads: Downloads) -> None:
    ids = [downloads.request(revision=f"v{number}") for number in range(5)]
    downloads.change(ids[1], status=DownloadStatus.READY)

    page = downloads.in_session(lambda session: list_downloads(session, PageRequest(2, 2)))
    ready = downloads.in_session(lambda session: list_downloads(session, PageRequest(1, 9), statuses=[DownloadStatus.READY]))

    assert ([row.revision for row in page.items], page.total) == (["v2", "v1"], 5)
    assert [row.id for row in ready.items] == [ids[1]]


def _registered(downloads: Downloads, model_id: UUID | None) -> RegisteredModel:
    async def read(session: Any) -> RegisteredModel:
        return await session.get_one(RegisteredModel, model_id)

    work: Callable[[Any], Awaitable[RegisteredModel]] = read
    return downloads.in_session(work)


def test_a_download_registers_its_model_when_asked(downloads: Downloads) -> None:
    plain = downloads.fetch()
    assert plain.model_id is None

    registered = downloads.fetch(registers_model=True)

    assert registered.id == plain.id
    assert _registered(downloads, registered.model_id).name == REPO_ID
    assert downloads.fetch(registers_model=True).model_id == registered.model_id


def test_a_model_is_registered_once_it_is_ready(sqlite_downloads: Downloads) -> None:
    download_id = sqlite_downloads.request(registers_model=True)
    assert sqlite_downloads.read(download_id).model_id is None

    sqlite_downloads.run(download_id)

    model = _registered(sqlite_downloads, sqlite_downloads.read(download_id).model_id)
    assert (model.name, model.base_model, model.kind) == (REPO_ID, REPO_ID, "base")


def test_a_ready_model_that_somebody_deleted_is_fetched_again(sqlite_downloads: Downloads) -> None:
    row = sqlite_downloads.fetch()
    trash = sqlite_downloads.folder.discard(REPO_ID, row.commit or "")
    assert trash is not None

    again = sqlite_downloads.fetch()

    assert (again.id, again.status, again.attempt) == (row.id, DownloadStatus.READY, 1)
    assert Path(again.path or "", "config.json").is_file()


@pytest.mark.parametrize("status", [DownloadStatus.PAUSED, DownloadStatus.FAILED])
def test_each_return_to_the_queue_is_another_attempt(sqlite_downloads: Downloads, status: DownloadStatus) -> None:
    download_id = sqlite_downloads.request()
    sqlite_downloads.change(download_id, status=status, machine_id="m")

    row = resume(sqlite_downloads, download_id)

    assert (row.status, row.attempt, row.machine_id) == (DownloadStatus.QUEUED, 1, None)
    assert resume(sqlite_downloads, download_id).attempt == 1, "it is in the queue already"


def test_every_change_is_told(downloads: Downloads) -> None:
    download_id = downloads.request()
    pause(downloads, download_id)
    resume(downloads, download_id)
    cancel(downloads, download_id)
    downloads.request()

    told = downloads.events(download_id)

    assert [event["status"] for event in told] == ["queued", "paused", "queued", "cancelled", "queued"]
    assert {event["id"] for event in told} == {str(download_id)}

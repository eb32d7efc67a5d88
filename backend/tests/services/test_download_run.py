"""A download ends with the right bytes or visibly without any, whatever the hub does on the way."""

import asyncio
import json
import logging
import re
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from fixtures.downloads import REPO_ID, Downloads, model_files, safetensors
from fixtures.hub import TOKEN, Fault, Repo
from huggingface_hub import scan_cache_dir
from mlx_hub.models.job import DownloadStatus
from mlx_hub.services.download_run import REPORT_SECONDS
from mlx_hub.services.downloads import cancel_download, pause_download, read_download, resume_download
from sqlalchemy import text

BUSY_SECONDS = 20.0
"""What takes a moment may take so long on a busy machine."""
DATA_FILES = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_ready_model_has_the_hubs_bytes_and_nothing_but_data(downloads: Downloads) -> None:
    row = downloads.fetch()

    files = downloads.hub.repos[REPO_ID].files
    assert row.status == DownloadStatus.READY
    assert row.path is not None
    assert files_of(Path(row.path)) == {name: files[name] for name in DATA_FILES}
    assert row.num_bytes_done == row.num_bytes_total == sum(len(files[name]) for name in DATA_FILES)
    assert row.details["architecture"] == "Qwen3ForCausalLM"
    assert row.details["quantization"] == "4-bit"
    assert row.details["weight_bytes"] == len(files["model.safetensors"])
    assert downloads.bytes_in_parts() == 0


def test_other_programs_find_the_model_in_the_cache(sqlite_downloads: Downloads) -> None:
    row = sqlite_downloads.fetch()

    (repo,) = scan_cache_dir(sqlite_downloads.folder.root).repos

    (revision,) = repo.revisions
    assert (repo.repo_id, revision.commit_hash, revision.refs) == (REPO_ID, row.commit, {"main"})
    assert str(revision.snapshot_path) == row.path


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.75, 0.99])
def test_a_cut_download_continues_where_it_stopped(sqlite_downloads: Downloads, share: float) -> None:
    hub = sqlite_downloads.hub
    weights = hub.repos[REPO_ID].files["model.safetensors"]
    hub.faults["model.safetensors"] = Fault("cut", at=int(len(weights) * share))

    row = sqlite_downloads.fetch()

    assert row.status == DownloadStatus.READY
    assert hub.sent["model.safetensors"] <= len(weights) * 1.1
    starts = [seen.start for seen in hub.requests if seen.path.startswith("cdn/")]
    assert len(starts) == 2
    assert starts[1] > 0


def test_many_cuts_in_a_row_are_no_failure_while_bytes_arrive(sqlite_downloads: Downloads) -> None:
    hub = sqlite_downloads.hub
    weights = safetensors(1_000_000)
    hub.repos[REPO_ID].files["model.safetensors"] = weights
    cuts = iter(range(50_000, 1_000_000, 75_000))

    class Cuts(Fault):
        @property
        def at(self) -> int:
            return next(cuts, len(weights))

        @at.setter
        def at(self, _: int) -> None:
            pass

    hub.faults["model.safetensors"] = Cuts("cut", times=13)

    row = sqlite_downloads.fetch()

    assert row.status == DownloadStatus.READY
    assert hub.sent["model.safetensors"] <= len(weights) * 1.1


def test_a_server_without_ranges_starts_again(sqlite_downloads: Downloads) -> None:
    hub = sqlite_downloads.hub
    hub.knows_ranges = False
    hub.faults["model.safetensors"] = Fault("cut", at=100_000)

    assert sqlite_downloads.fetch().status == DownloadStatus.READY


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("name", ["api", "config.json", "model.safetensors"])
def test_a_hub_in_trouble_is_asked_again(sqlite_downloads: Downloads, status: int, name: str) -> None:
    sqlite_downloads.hub.faults[name] = Fault("status", at=status, times=2)

    assert sqlite_downloads.fetch().status == DownloadStatus.READY


def test_retry_after_is_waited_for(sqlite_downloads: Downloads) -> None:
    sqlite_downloads.hub.faults["config.json"] = Fault("status", at=429, retry_after="1")
    begun = time.monotonic()

    assert sqlite_downloads.fetch().status == DownloadStatus.READY

    assert time.monotonic() - begun >= 1


def test_a_hub_that_stays_down_is_told_and_the_next_try_goes_on(sqlite_downloads: Downloads) -> None:
    hub = sqlite_downloads.hub
    hub.faults["model.safetensors"] = Fault("status", at=503, times=100)
    row = sqlite_downloads.fetch()
    assert (row.status, row.error_code) == (DownloadStatus.FAILED, "upstream_down")
    hub.faults.clear()
    hub.requests.clear()

    again = sqlite_downloads.fetch()

    assert (again.id, again.status) == (row.id, DownloadStatus.READY)
    assert not [seen for seen in hub.requests if seen.path.endswith("config.json")], "small files were there already"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_wrong_bytes_are_fetched_once_more(sqlite_downloads: Downloads, name: str) -> None:
    hub = sqlite_downloads.hub
    hub.faults[name] = Fault("wrong_bytes", at=20)

    row = sqlite_downloads.fetch()

    assert row.status == DownloadStatus.READY
    assert hub.sent[name] == 2 * len(hub.repos[REPO_ID].files[name])


def test_bytes_that_stay_wrong_fail_with_nothing_visible(sqlite_downloads: Downloads) -> None:
    sqlite_downloads.hub.faults["model.safetensors"] = Fault("wrong_bytes", at=150_000, times=100)

    row = sqlite_downloads.fetch()

    assert (row.status, row.error_code, row.path) == (DownloadStatus.FAILED, "upstream", None)
    assert "model.safetensors" in (row.error_message or "")
    assert sqlite_downloads.hub.sent["model.safetensors"] <= 2 * row.num_bytes_total
    assert not list(sqlite_downloads.folder.root.glob("models--*"))


@pytest.mark.parametrize(("claimed", "told"), [(-100_000, "more bytes"), (1000, "416")])
def test_a_wrong_size_fails(sqlite_downloads: Downloads, claimed: int, told: str) -> None:
    repo = sqlite_downloads.hub.repos[REPO_ID]
    size = len(repo.files["model.safetensors"]) + claimed
    repo.claims["model.safetensors"] = {"lfs": {"size": size, "oid": "0" * 64}}

    row = sqlite_downloads.fetch()

    assert (row.status, row.path) == (DownloadStatus.FAILED, None)
    assert re.search(told, row.error_message or "")


def test_a_revision_that_moves_is_still_the_pinned_commit(sqlite_downloads: Downloads) -> None:
    hub = sqlite_downloads.hub
    before = hub.repos[REPO_ID].files
    hub.faults["model.safetensors"] = Fault("status", at=503, times=100)
    pinned = sqlite_downloads.fetch().commit
    hub.faults.clear()
    hub.repos[REPO_ID].files = model_files(200_000, hidden_size=32)

    row = sqlite_downloads.fetch()

    assert row.path is not None
    assert row.commit == pinned != hub.repos[REPO_ID].commit
    assert files_of(Path(row.path))["model.safetensors"] == before["model.safetensors"]


def test_the_token_goes_to_the_hub_alone(sqlite_downloads: Downloads, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hub = sqlite_downloads.hub
    hub.repos[REPO_ID].gated = "manual"
    hub.faults["model.safetensors"] = Fault("cut", at=100_000)
    sqlite_downloads.token = TOKEN

    row = sqlite_downloads.fetch()

    assert row.status == DownloadStatus.READY
    assert {seen.authorization for seen in hub.requests if seen.host == hub.cdn_host} == {None}
    assert {seen.authorization for seen in hub.requests if seen.host != hub.cdn_host} == {f"Bearer {TOKEN}"}
    assert TOKEN not in caplog.text
    assert TOKEN not in str(row.model_dump())


def test_a_gated_model_fails_with_what_to_do(downloads: Downloads) -> None:
    downloads.hub.repos[REPO_ID].gated = "auto"

    row = downloads.fetch()

    assert (row.status, row.error_code) == (DownloadStatus.FAILED, "gated_model")
    assert re.search("accept its terms.*HF_TOKEN", row.error_message or "")


def test_an_unknown_model_fails_as_not_found(sqlite_downloads: Downloads) -> None:
    row = sqlite_downloads.fetch("org/nothing")

    assert (row.status, row.error_code) == (DownloadStatus.FAILED, "not_found")


@pytest.mark.parametrize("key", ["auto_map", "model_file"])
def test_a_model_with_code_of_its_own_is_refused_before_its_weights(sqlite_downloads: Downloads, key: str) -> None:
    sqlite_downloads.hub.repos[REPO_ID] = Repo(model_files(**{key: "modeling_tiny.py"}))

    row = sqlite_downloads.fetch()

    assert (row.status, row.path) == (DownloadStatus.FAILED, None)
    assert key in (row.error_message or "")
    assert not sqlite_downloads.hub.sent["model.safetensors"]


def test_weights_with_a_lying_header_are_refused(sqlite_downloads: Downloads) -> None:
    header = json.dumps({"weight": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
    junk_at_the_end = struct.pack("<Q", len(header)) + header + b"12345678" + b"PK junk"
    sqlite_downloads.hub.repos[REPO_ID].files["model.safetensors"] = junk_at_the_end

    row = sqlite_downloads.fetch()

    assert (row.status, row.path) == (DownloadStatus.FAILED, None)
    assert "well-formed" in (row.error_message or "")


def test_a_shard_that_the_index_names_must_be_there(sqlite_downloads: Downloads) -> None:
    index = {"weight_map": {"weight": "../model-00002.safetensors"}}
    sqlite_downloads.hub.repos[REPO_ID].files["model.safetensors.index.json"] = json.dumps(index).encode()

    assert sqlite_downloads.fetch().status == DownloadStatus.FAILED


def test_a_branch_and_its_commit_share_one_copy(sqlite_downloads: Downloads) -> None:
    first = sqlite_downloads.fetch()
    sent = dict(sqlite_downloads.hub.sent)

    second = sqlite_downloads.fetch(revision=first.commit)

    assert second.id != first.id
    assert (second.status, second.path) == (DownloadStatus.READY, first.path)
    assert sqlite_downloads.hub.sent == sent


async def _until_bytes_arrive(sessions: Any, download_id: Any) -> None:
    while True:
        async with sessions.begin() as session:
            if (await read_download(session, download_id)).num_bytes_done > 50_000:
                return
        await asyncio.sleep(0.05)


def test_pause_stops_within_a_second_and_resume_goes_on(downloads: Downloads) -> None:
    hub = downloads.hub
    hub.repos[REPO_ID].files["model.safetensors"] = weights = safetensors(2_000_000)
    # All of it would take 50 s.
    hub.bytes_per_second = 40_000
    download_id = downloads.request()
    paused_at = 0.0

    async def pause(sessions: Any) -> None:
        nonlocal paused_at
        await _until_bytes_arrive(sessions, download_id)
        async with sessions.begin() as session:
            assert (await pause_download(session, download_id)).requested == "pause"
        paused_at = time.monotonic()

    assert downloads.run(download_id, during=pause) == DownloadStatus.PAUSED
    assert time.monotonic() - paused_at < BUSY_SECONDS
    assert REPORT_SECONDS < 1
    row = downloads.read(download_id)
    assert 0 < row.num_bytes_done < row.num_bytes_total
    assert downloads.run(download_id) == DownloadStatus.PAUSED, "a worker leaves a paused row alone"
    hub.bytes_per_second = None

    downloads.in_session(lambda session: resume_download(session, download_id))

    assert downloads.run(download_id) == DownloadStatus.READY
    assert hub.sent["model.safetensors"] <= len(weights) * 1.1


def test_cancel_stops_within_a_second_and_leaves_nothing(downloads: Downloads) -> None:
    downloads.hub.repos[REPO_ID].files["model.safetensors"] = safetensors(2_000_000)
    downloads.hub.bytes_per_second = 40_000
    download_id = downloads.request()
    cancelled_at = 0.0

    async def cancel(sessions: Any) -> None:
        nonlocal cancelled_at
        await _until_bytes_arrive(sessions, download_id)
        await cancel_download(sessions, downloads.folder, download_id)
        cancelled_at = time.monotonic()

    assert downloads.run(download_id, during=cancel) == DownloadStatus.CANCELLED
    assert time.monotonic() - cancelled_at < BUSY_SECONDS
    assert REPORT_SECONDS < 1
    assert downloads.bytes_in_parts() == 0
    assert not list(downloads.folder.root.glob("models--*"))


def test_progress_has_a_rate_and_a_remaining_time(sqlite_downloads: Downloads) -> None:
    sqlite_downloads.hub.repos[REPO_ID].files["model.safetensors"] = safetensors(1_500_000)
    sqlite_downloads.hub.bytes_per_second = 500_000
    download_id = sqlite_downloads.request()
    seen: list[int] = []

    async def watch(sessions: Any) -> None:
        while True:
            async with sessions.begin() as session:
                row = await read_download(session, download_id)
            if row.bytes_per_second:
                seen.append(row.bytes_per_second)
            if row.status not in (DownloadStatus.QUEUED, DownloadStatus.RUNNING):
                return
            await asyncio.sleep(0.1)

    assert sqlite_downloads.run(download_id, during=watch) == DownloadStatus.READY
    # A busy machine may be slower than the hub, not faster.
    assert 25_000 < seen[-1] < 1_000_000


def test_a_row_that_has_gone_on_to_another_attempt_is_left_alone(downloads: Downloads) -> None:
    downloads.hub.repos[REPO_ID].files["model.safetensors"] = safetensors(2_000_000)
    downloads.hub.bytes_per_second = 400_000
    download_id = downloads.request()

    async def take_over(sessions: Any) -> None:
        await _until_bytes_arrive(sessions, download_id)
        async with sessions.begin() as session:
            row = await read_download(session, download_id)
            row.attempt, row.machine_id, row.num_bytes_done = 1, "another", 7
            session.add(row)

    assert downloads.run(download_id, during=take_over) == DownloadStatus.RUNNING

    row = downloads.read(download_id)
    assert (row.attempt, row.machine_id, row.num_bytes_done) == (1, "another", 7)
    downloads.hub.bytes_per_second = None
    assert downloads.run(download_id) == DownloadStatus.READY


@pytest.mark.parametrize("status", [DownloadStatus.PAUSED, DownloadStatus.CANCELLED, DownloadStatus.READY])
def test_a_queue_that_comes_late_changes_nothing(sqlite_downloads: Downloads, status: DownloadStatus) -> None:
    download_id = sqlite_downloads.request()
    sqlite_downloads.change(download_id, status=status)

    assert sqlite_downloads.run(download_id) == status
    assert not sqlite_downloads.hub.requests


def test_progress_is_told_at_most_twice_a_second(sqlite_downloads: Downloads) -> None:
    sqlite_downloads.hub.repos[REPO_ID].files["model.safetensors"] = safetensors(1_500_000)
    sqlite_downloads.hub.bytes_per_second = 500_000
    started_at = time.monotonic()

    row = sqlite_downloads.fetch()

    seconds = time.monotonic() - started_at
    told = sqlite_downloads.events(row.id)
    assert [event["status"] for event in told if event["status"] != "running"] == ["queued", "ready"]
    done = [event["num_bytes_done"] for event in told]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert len(told) <= seconds * 2 + 6


def test_a_download_goes_on_when_nobody_can_be_told(sqlite_downloads: Downloads) -> None:
    sqlite_downloads.in_session(lambda session: session.exec(text("DROP TABLE event")))

    assert sqlite_downloads.fetch().status == DownloadStatus.READY

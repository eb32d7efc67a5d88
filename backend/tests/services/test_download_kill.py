"""A download whose process is killed goes on in another process, and two processes never write the same files."""

import subprocess
from pathlib import Path

import pytest
from fixtures.downloads import REPO_ID, Downloads, safetensors
from fixtures.processes import wait_until
from mlx_hub.models.job import DownloadStatus

NUM_BYTES = 6_000_000


@pytest.fixture
def large(sqlite_downloads: Downloads) -> Downloads:
    sqlite_downloads.hub.repos[REPO_ID].files["model.safetensors"] = safetensors(NUM_BYTES)
    sqlite_downloads.hub.bytes_per_second = 3_000_000
    return sqlite_downloads


def _wait_for_bytes(downloads: Downloads, count: int, process: subprocess.Popen[bytes]) -> None:
    def is_there() -> bool:
        assert process.poll() is None, (downloads.home / "process.log").read_text()
        return downloads.bytes_in_parts() >= count

    wait_until(is_there)


def test_killed_at_several_points_it_ends_with_the_right_bytes(large: Downloads) -> None:
    download_id = large.request()
    for share in (0.1, 0.4, 0.7):
        with large.process(download_id) as process:
            _wait_for_bytes(large, int(NUM_BYTES * share), process)
    assert large.read(download_id).status == DownloadStatus.RUNNING
    large.hub.bytes_per_second = None

    assert large.run(download_id) == DownloadStatus.READY

    row = large.read(download_id)
    assert row.path is not None
    assert Path(row.path, "model.safetensors").read_bytes() == large.hub.repos[REPO_ID].files["model.safetensors"]
    # What a killed client had not read yet stays in the sockets; what it asks for again is what counts.
    starts = [seen.start for seen in large.hub.requests if seen.path.startswith("cdn/")]
    assert starts == sorted(starts)
    for start, share in zip(starts[1:], (0.1, 0.4, 0.7), strict=True):
        assert start >= NUM_BYTES * share * 0.9
    assert large.bytes_in_parts() == 0


def test_a_second_process_waits_and_finds_it_done(large: Downloads) -> None:
    download_id = large.request()
    with large.process(download_id) as process:
        _wait_for_bytes(large, NUM_BYTES // 10, process)

        assert large.run(download_id) == DownloadStatus.READY

        assert process.wait(60) == 0
    assert large.hub.sent["model.safetensors"] == len(large.hub.repos[REPO_ID].files["model.safetensors"])

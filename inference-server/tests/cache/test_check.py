"""The check of the disk tier: which files it finds bad, and that it changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fixtures.segments import make_chain, names, place
from unified_mlx_app.cache.check import check_folder
from unified_mlx_app.cache.disk_io import segment_path


def _run(folder: Path) -> tuple[int, dict[str, object]]:
    environment = os.environ | {"MLX_PROMPT_CACHE_DIR": str(folder)}
    command = [sys.executable, "-m", "unified_mlx_app.cache.check"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    return done.returncode, json.loads(done.stdout)


def test_a_sound_folder_is_read_whole(folder: Path) -> None:
    place(folder, make_chain(1, (16, 16)))

    status, report = _run(folder)

    assert (status, report["num_files"], report["num_checked"], report["bad"]) == (0, 2, 2, {})


def test_one_flipped_bit_of_the_state_is_found_and_left_for_the_server(folder: Path) -> None:
    chain = make_chain(1, (16, 16))
    place(folder, chain)
    path = segment_path(folder, chain[1].key)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)

    status, report = _run(folder)

    assert (status, report["bad"]) == (1, {path.name: "payload"})
    assert path.read_bytes() == bytes(data)


def test_files_put_aside_earlier_are_counted_and_a_missing_folder_is_empty(folder: Path, tmp_path: Path) -> None:
    place(folder, make_chain(1))
    (folder / "quarantine").mkdir()
    (folder / "quarantine" / f"{'0' * 64}.kv").write_bytes(b"bad")

    assert check_folder(folder, max_seconds=60).num_quarantined == 1
    assert check_folder(tmp_path / "none", max_seconds=60).num_files == 0
    assert names(folder / "quarantine")


def test_it_stops_when_its_time_is_over(folder: Path) -> None:
    place(folder, make_chain(1, (16, 16, 16)))

    report = check_folder(folder, max_seconds=-1)

    assert (report.num_files, report.num_checked) == (3, 0)

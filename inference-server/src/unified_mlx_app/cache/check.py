"""Reads the whole disk tier and tells which files are damaged: `python -m unified_mlx_app.cache.check`. Prints one JSON document.

It changes nothing and may run beside a server, which finds damage itself at the latest when it needs the file.
"""

import argparse
import sys
import time
from pathlib import Path

import msgspec

from unified_mlx_app.cache import disk_io
from unified_mlx_app.cache.segment import ForeignVersionError, SegmentError, is_key
from unified_mlx_app.config import Settings

_QUARANTINE = "quarantine"


class CacheReport(msgspec.Struct, frozen=True):
    """`bad` maps file names to what is wrong; `num_foreign` files are of another version; the last ones were put aside before."""

    folder: str
    num_files: int
    num_checked: int
    num_foreign: int
    bad: dict[str, str]
    num_quarantined: int


def check_folder(folder: Path, *, max_seconds: float) -> CacheReport:
    """Every byte of every segment, the last used first, until the time is over."""
    deadline = time.monotonic() + max_seconds
    files = [path for path in folder.glob("*") if is_key(disk_io.segment_key(path.name))] if folder.is_dir() else []
    mac_key = disk_io.read_mac_key(folder)
    bad: dict[str, str] = {}
    num_checked = num_foreign = 0
    for path in sorted(files, key=_used_at, reverse=True):
        if time.monotonic() > deadline:
            break
        num_checked += 1
        try:
            disk_io.read_segment(folder, disk_io.segment_key(path.name), mac_key)
        except ForeignVersionError:
            num_foreign += 1
        except SegmentError as error:
            bad[path.name] = error.reason
        except FileNotFoundError:
            continue  # A server has removed it meanwhile.
        except OSError as error:
            bad[path.name] = error.strerror or type(error).__name__
    quarantine = folder / _QUARANTINE
    num_quarantined = sum(1 for _ in quarantine.iterdir()) if quarantine.is_dir() else 0
    return CacheReport(str(folder), len(files), num_checked, num_foreign, bad, num_quarantined)


def _used_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def main() -> None:
    """Status 1 when a file is damaged."""
    parser = argparse.ArgumentParser(prog="python -m unified_mlx_app.cache.check", description="Check the prompt cache's files.")
    parser.add_argument("--folder", type=Path, help="default: MLX_PROMPT_CACHE_DIR")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long")
    arguments = parser.parse_args()
    report = check_folder(arguments.folder or _folder_in_force(), max_seconds=arguments.seconds)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    raise SystemExit(1 if report.bad else 0)


def _folder_in_force() -> Path:
    return Settings().prompt_cache_dir  # pyright: ignore[reportCallIssue]


if __name__ == "__main__":
    main()

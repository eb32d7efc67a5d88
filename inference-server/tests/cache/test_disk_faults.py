"""Broken disks: full, read-only, failing at any call, or lying. Nothing raises, nothing is half there, writing comes back."""

import contextlib
import errno
import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fixtures.segments import MEBIBYTE, StoreClient, keys_on_disk, make_chain, temps
from structlog.testing import capture_logs
from unified_mlx_app.cache import disk_io
from unified_mlx_app.cache.disk import PAUSE_SECONDS, ReadFailed, WriteFailed, Written
from unified_mlx_app.cache.disk_folder import SegmentFolder


@dataclass
class FaultyCalls:
    """Makes the nth call that touches the folder's files or file descriptors fail, as the kernel would."""

    monkeypatch: pytest.MonkeyPatch
    fail_at: int = 0
    error: int = errno.EIO
    names: list[str] = field(default_factory=list)
    is_armed: bool = False

    def install(self) -> None:
        for name in ("open", "write", "fstat", "fsync", "rename", "close", "utime", "statvfs", "scandir"):
            self.monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not self.is_armed:
                return call(*args, **kwargs)
            self.names.append(name)
            if len(self.names) != self.fail_at:
                return call(*args, **kwargs)
            if name == "close":  # the kernel frees the descriptor even when close fails
                call(*args)
            raise OSError(self.error, os.strerror(self.error))

        return wrapped


def count_calls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The system calls of one write into a folder that holds the parent."""
    with monkeypatch.context() as patch:
        calls = FaultyCalls(patch)
        calls.install()
        client = StoreClient(folder)
        chain = make_chain(1, (16, 16))
        client.write(chain[:1])
        calls.is_armed = True
        client.write(chain[1:])
        calls.is_armed = False
        client.close()
    return calls.names


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_any_call_may_fail_once(folder: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    names = count_calls(folder, monkeypatch)
    assert names.count("write") >= 3
    assert names.count("fsync") == 2
    chain = make_chain(1, (16, 16))
    num_descriptors = len(list(Path("/dev/fd").iterdir()))

    for fail_at in range(1, len(names) + 1):
        path = folder.parent / f"{error}-{fail_at}"
        with monkeypatch.context() as patch:
            calls = FaultyCalls(patch, fail_at, error)
            calls.install()
            client = StoreClient(path)
            client.write(chain[:1])
            calls.is_armed = True
            outcome = client.write(chain[1:])[0]
            calls.is_armed = False

        name = names[fail_at - 1]
        assert calls.names[fail_at - 1] == name
        assert outcome == WriteFailed(chain[1].key, errno.errorcode[error]), name
        assert client.store.write_errors == 1
        assert keys_on_disk(path) == {chain[0].key}, name
        assert not temps(path), name
        assert len(list(Path("/dev/fd").iterdir())) == num_descriptors, name
        assert client.has(chain[:1])
        client.clock.now += PAUSE_SECONDS
        assert isinstance(client.write(chain[1:])[0], Written)
        assert client.has(chain)
        client.close()


def test_failed_fsync_is_never_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = count_calls(folder, monkeypatch)
    calls = FaultyCalls(monkeypatch, names.index("fsync") + 1)
    calls.install()
    client = StoreClient(folder.parent / "other")
    chain = make_chain(1, (16, 16))
    client.write(chain[:1])

    calls.is_armed = True
    client.write(chain[1:])
    calls.is_armed = False
    client.close()

    assert calls.names.count("fsync") == 1


def test_short_writes_are_completed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data[: max(1, len(data) // 3)])))
    client = StoreClient(folder)
    chain = make_chain(1, (16, 16))

    client.write(chain)

    assert client.has(chain)
    client.close()


def test_write_that_lies_about_its_length_is_never_acknowledged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = StoreClient(folder)
    chain = make_chain(1)
    real_write = os.write

    def lying_write(fd: int, data: memoryview) -> int:
        real_write(fd, data[: len(data) // 2])
        return len(data)

    monkeypatch.setattr(os, "write", lying_write)

    assert client.write(chain) == [WriteFailed(chain[0].key, "EIO")]
    assert not keys_on_disk(folder)
    assert not temps(folder)
    client.close()


def test_pause_refuses_writes_logs_once_and_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = StoreClient(folder)
    chains = [make_chain(seed) for seed in range(5)]
    client.write(chains[0])

    with capture_logs() as logs:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _fail)
            first = client.write(chains[1])
            paused = client.write(chains[2])
            client.clock.now += PAUSE_SECONDS
            second = client.write(chains[1])
        assert client.has(chains[0])
        client.clock.now -= 7200  # a clock set back does not prolong the pause
        recovered = client.write(chains[3])
        after = client.write(chains[4])

    assert [event for (event,) in (first, paused, second)] == [
        WriteFailed(chains[1][0].key, "EIO"),
        WriteFailed(chains[2][0].key, "paused"),
        WriteFailed(chains[1][0].key, "EIO"),
    ]
    assert isinstance(recovered[0], Written)
    assert isinstance(after[0], Written)
    assert client.store.write_errors == 2
    assert [entry["event"] for entry in logs] == ["disk_cache_writes_paused", "disk_cache_writes_resumed"]
    client.close()


def _fail(_: int) -> None:
    raise OSError(errno.EIO, "injected")


def test_disk_that_fills_up_during_a_write_keeps_what_was_there(mount: Callable[[str], Path]) -> None:
    disk = mount("size=4m")
    folder = SegmentFolder(disk / "prompts", max_bytes=10**9, min_free_bytes=0, clock=lambda: 1.0, emit=lambda _: None)
    folder.open()
    old, new = make_chain(1, tensor_bytes=MEBIBYTE), make_chain(2, tensor_bytes=MEBIBYTE)
    folder.write(old[0], between_pieces=lambda: None)

    def fill_disk() -> None:
        with (disk / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(65536))

    with pytest.raises(OSError, match="No space left on device") as failure:
        folder.write(new[0], between_pieces=fill_disk)

    assert failure.value.errno == errno.ENOSPC
    assert not temps(disk / "prompts")
    assert folder.load([old[0].key])
    (disk / "ballast").unlink()
    folder.write(new[0], between_pieces=lambda: None)
    assert folder.load([new[0].key])


def test_disk_without_space_for_names_pauses_and_recovers(mount: Callable[[str], Path]) -> None:
    disk = mount("size=4m,nr_inodes=8")
    client = StoreClient(disk / "prompts")
    chains = [make_chain(seed) for seed in range(8)]

    outcomes = client.write([chain[0] for chain in chains])

    kinds = [type(outcome) for outcome in outcomes]
    full_at = kinds.index(WriteFailed)
    assert outcomes[full_at] == WriteFailed(chains[full_at][0].key, "ENOSPC")
    assert all(client.has(chain) for chain in chains[:full_at])
    client.store.delete([chains[0][0].key])
    client.clock.now += PAUSE_SECONDS
    assert isinstance(client.write(chains[full_at])[0], Written)
    client.close()


def test_file_size_limit_of_the_process_is_survived(folder: Path) -> None:
    client = StoreClient(folder)
    small, large = make_chain(1), make_chain(2, tensor_bytes=MEBIBYTE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, limits[1]))
    try:
        assert isinstance(client.write(small)[0], Written)
        assert client.write(large) == [WriteFailed(large[0].key, "EFBIG")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert not temps(folder)
    client.clock.now += PAUSE_SECONDS
    assert isinstance(client.write(large)[0], Written)
    assert client.has(large)
    client.close()


def assert_off(client: StoreClient) -> None:
    chain = make_chain(1)
    assert client.opened == []
    assert not client.store.is_available
    assert client.write(chain) == [WriteFailed(chain[0].key, "unavailable")]
    assert client.read(chain) == ReadFailed(1, "missing", chain[0].key)
    client.store.delete([chain[0].key])
    client.store.touch(chain[0].key)
    client.store.clear()
    client.close()


def test_file_in_place_of_the_folder_turns_the_store_off(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_bytes(b"mine")

    with capture_logs() as logs:
        assert_off(StoreClient(folder))

    assert [entry["event"] for entry in logs] == ["disk_cache_unavailable"]
    assert folder.read_bytes() == b"mine"


def test_read_only_disk_turns_the_store_off(mount: Callable[[str], Path]) -> None:
    disk = mount("size=1m")
    StoreClient(disk / "prompts").close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    assert_off(StoreClient(disk / "prompts"))
    assert_off(StoreClient(disk / "missing"))


def test_folder_of_another_user_turns_the_store_off(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("changing the user needs root")
    folder.mkdir(mode=0o500, parents=True)
    code = f"""
import os, pathlib
from unified_mlx_app.cache.disk import DiskStore
os.setuid(65534)
store = DiskStore(pathlib.Path({str(folder)!r}), max_bytes=1)
print(store.open(), store.is_available)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.splitlines()[-1] == "[] False"


def test_key_file_of_another_user_is_not_trusted(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("changing the owner needs root")
    StoreClient(folder).close()
    os.chown(folder / ".key", 65534, 65534)

    assert_off(StoreClient(folder))


def test_folder_removed_while_the_server_runs_is_made_again(folder: Path) -> None:
    client = StoreClient(folder)
    chain = make_chain(1)
    client.write(chain)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()

    assert client.read(chain) == ReadFailed(1, "missing", chain[0].key)
    assert client.write(chain) == [WriteFailed(chain[0].key, "ENOENT")]
    client.clock.now += PAUSE_SECONDS
    assert isinstance(client.write(chain)[0], Written)
    assert client.has(chain)
    client.close()


def test_orphans_are_swept_and_files_being_written_are_not(folder: Path) -> None:
    client = StoreClient(folder)
    key = make_chain(1)[0].key
    orphan = folder / f".{key}.0123456789abcdef.tmp"
    orphan.write_bytes(b"half")
    alive = folder / f".{key}.fedcba9876543210.tmp"
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert disk_io.sweep_orphans(folder) == 1

        assert not orphan.exists()
        assert alive.exists()
    assert disk_io.sweep_orphans(folder) == 1
    client.close()

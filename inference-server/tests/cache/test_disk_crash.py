"""Power cuts and kill -9: whatever was acknowledged is there, whatever is there is right."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fixtures.segments import is_same, make_chain
from unified_mlx_app.cache import disk_io
from unified_mlx_app.cache.disk_folder import ChainError, SegmentFolder
from unified_mlx_app.cache.segment import Segment

PROCESSES = Path(__file__).parent / "disk_processes.py"

# ----------------------------------------------------------------- power cuts


@dataclass(frozen=True, slots=True)
class Op:
    """One recorded call. `file` numbers a file as created, `name` and `target` are names in the folder."""

    kind: str
    file: int = 0
    name: str = ""
    target: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass
class Recorder:
    """Watches the system calls that change `folder`; everything else passes unseen."""

    folder: Path
    ops: list[Op] = field(default_factory=list)
    _files: dict[int, int] = field(default_factory=dict)
    _folder_fds: set[int] = field(default_factory=set)
    _num_files: int = 0
    _real: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("open", "write", "fsync", "close", "rename", "unlink"):
            self._real[name] = getattr(os, name)
            patch.setattr(os, name, getattr(self, f"_{name}"))

    def mark(self, kind: str, key: str) -> None:
        self.ops.append(Op(kind, name=key))

    def _open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        fd = self._real["open"](path, flags, *args, **kwargs)
        if Path(path) == self.folder:
            self._folder_fds.add(fd)
        elif Path(path).parent == self.folder and flags & os.O_CREAT:
            self._num_files += 1
            self._files[fd] = self._num_files
            self.ops.append(Op("create", file=self._num_files, name=Path(path).name))
        return fd

    def _write(self, fd: int, data: bytes) -> int:
        if fd not in self._files:
            return self._real["write"](fd, data)
        offset = os.lseek(fd, 0, os.SEEK_CUR)
        piece = bytes(data[:PIECE_BYTES])
        self.ops.append(Op("write", file=self._files[fd], offset=offset, data=piece))
        assert self._real["write"](fd, piece) == len(piece)
        return len(piece)

    def _fsync(self, fd: int) -> None:
        self._real["fsync"](fd)
        if fd in self._folder_fds:
            self.ops.append(Op("sync_folder"))
        elif fd in self._files:
            self.ops.append(Op("sync", file=self._files[fd]))

    def _close(self, fd: int) -> None:
        self._real["close"](fd)
        self._files.pop(fd, None)
        self._folder_fds.discard(fd)

    def _rename(self, source: Any, target: Any) -> None:
        self._real["rename"](source, target)
        self.ops.append(Op("rename", name=Path(source).name, target=Path(target).name))

    def _unlink(self, path: Any) -> None:
        self._real["unlink"](path)
        self.ops.append(Op("unlink", name=Path(path).name))


Files = dict[str, bytes]
PIECE_BYTES = 400  # small pieces give the power cut more to tear
MAX_PENDING = 4
NAME_OPS = {"create", "rename", "unlink"}


def crash_states(before: Files, ops: list[Op]) -> Iterator[tuple[list[Op], Files]]:
    """Every folder that a power cut at any moment may leave: what was not synced is lost, whole, or torn, in any mixture.

    Names not yet synced may be lost one by one, out of order, which is more than journalling file systems do.
    """
    for cut in range(len(ops) + 1):
        past = ops[:cut]
        last_folder_sync = max((i for i, op in enumerate(past) if op.kind == "sync_folder"), default=-1)
        names = [i for i, op in enumerate(past) if op.kind in NAME_OPS]
        loose_names = [i for i in names if i > last_folder_sync][-MAX_PENDING:]
        synced = {op.file: i for i, op in enumerate(past) if op.kind == "sync"}
        loose_writes = [i for i, op in enumerate(past) if op.kind == "write" and i > synced.get(op.file, -1)]
        mixed = loose_writes[-MAX_PENDING:]
        for lost in itertools.product((False, True), repeat=len(loose_names)):
            lost_names = {i for i, is_lost in zip(loose_names, lost, strict=True) if is_lost}
            for fates in itertools.product(("whole", "lost", "torn"), repeat=len(mixed)):
                yield past, _apply(before, past, lost_names, dict(zip(mixed, fates, strict=True)))


def _apply(before: Files, past: list[Op], lost_names: set[int], fates: dict[int, str]) -> Files:
    data: dict[int, bytearray] = {}
    names: dict[str, int] = {}
    kept = dict(before)
    for i, op in enumerate(past):
        if op.kind == "create":
            data[op.file] = bytearray()
        if op.kind == "write":
            content = data[op.file]
            content.extend(bytes(max(0, op.offset + len(op.data) - len(content))))  # the size may reach the disk before the data
            length = {"whole": len(op.data), "lost": 0, "torn": len(op.data) // 2}[fates.get(i, "whole")]
            content[op.offset : op.offset + length] = op.data[:length]
        if i in lost_names or op.kind not in NAME_OPS:
            continue
        if op.kind == "create":
            names[op.name] = op.file
        elif op.kind == "unlink":
            names.pop(op.name, None)
            kept.pop(op.name, None)
        else:
            names.pop(op.name, None)
            creation = next(other for other in past if other.kind == "create" and other.name == op.name)
            names[op.target] = creation.file
            kept.pop(op.target, None)
    return kept | {name: bytes(data[file]) for name, file in names.items()}


@dataclass
class Verdict:
    num_states: int = 0
    silently_wrong: int = 0
    acknowledged_then_lost: int = 0


def record_session(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Files, list[Op], dict[str, list[Segment]]]:
    """A full folder that takes a chain, a second chain (evicting), a rewrite of a known key, and a deletion."""
    chains = [make_chain(1), make_chain(2, (16, 8)), make_chain(3)]
    store = SegmentFolder(folder, max_bytes=5000, min_free_bytes=0, clock=lambda: 1.0, emit=lambda _: None)
    store.open()
    store.write(chains[0][0], between_pieces=lambda: None)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    recorder = Recorder(folder)
    recorder.mark("ack", chains[0][0].key)
    recorder.install(patch)
    for segment in (*chains[1], chains[1][1], *chains[2]):
        store.write(segment, between_pieces=lambda: None)
        recorder.mark("ack", segment.key)
    recorder.mark("delete", chains[1][1].key)
    store.remove([chains[1][1].key])
    patch.undo()
    by_key = {segment.key: chain[: i + 1] for chain in chains for i, segment in enumerate(chain)}
    return before, recorder.ops, by_key


def judge(before: Files, ops: list[Op], by_key: dict[str, list[Segment]], scratch: Path) -> Verdict:
    verdict = Verdict()
    seen: set[tuple[int, frozenset[tuple[str, bytes]]]] = set()
    for past, files in crash_states(before, ops):
        gone = {op.name.removesuffix(".kv") for op in past if op.kind in {"unlink", "delete"}}
        acknowledged = {op.name for op in past if op.kind == "ack"} - gone
        # What a temporary file holds does not matter: it is swept unread.
        content = frozenset((name, b"" if name.endswith(".tmp") else data) for name, data in files.items())
        state = (hash(frozenset(acknowledged)), content)
        verdict.num_states += 1
        if state in seen:
            continue
        seen.add(state)
        found = _reopen(files, by_key, scratch, verdict)
        verdict.acknowledged_then_lost += not acknowledged <= found
    return verdict


def _reopen(files: Files, by_key: dict[str, list[Segment]], scratch: Path, verdict: Verdict) -> set[str]:
    """The keys that a server finds and can load after the power is back."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    for name, data in files.items():
        (scratch / name).write_bytes(data)
    (scratch / ".key").chmod(0o600)
    store = SegmentFolder(scratch, max_bytes=10**6, min_free_bytes=0, clock=lambda: 1.0, emit=lambda _: None)
    found: set[str] = set()
    for info in store.open():
        try:
            loaded = store.load([info.key])
        except ChainError:
            continue
        found.add(info.key)
        verdict.silently_wrong += not all(is_same(*pair) for pair in zip(loaded, by_key[info.key], strict=True))
    assert not list(scratch.glob(".*.tmp"))
    return found


def test_no_power_cut_loses_or_falsifies_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, ops, by_key = record_session(tmp_path / "prompts", monkeypatch)
    assert sum(op.kind == "sync" for op in ops) == 3

    verdict = judge(before, ops, by_key, tmp_path / "scratch")

    print(f"\n{verdict}")  # noqa: T201
    assert verdict.num_states > 1000
    assert (verdict.silently_wrong, verdict.acknowledged_then_lost) == (0, 0)


@pytest.mark.parametrize("missing", ["sync_file", "sync_folder"])
def test_explorer_sees_a_missing_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(disk_io, missing, lambda _: None)
        before, ops, by_key = record_session(tmp_path / "prompts", patch)

    verdict = judge(before, ops, by_key, tmp_path / "scratch")

    assert verdict.silently_wrong == 0
    assert verdict.acknowledged_then_lost > 0


# ------------------------------------------------------------------ processes


def run_processes(*arguments: object) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, PROCESSES, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def check_kills(folder: Path, rounds: int) -> None:
    result = run_processes("kill", folder, rounds)

    print(f"\n{result}")  # noqa: T201
    assert result["kills"] == rounds
    assert result["acknowledged"] > 0
    assert result["lost"] == result["wrong"] == result["temps"] == result["quarantined"] == 0


def test_kill_9_while_writing_ten_times(tmp_path: Path) -> None:
    check_kills(tmp_path / "prompts", 10)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_while_writing_a_hundred_times(tmp_path: Path) -> None:
    check_kills(tmp_path / "prompts", 100)


def test_two_servers_hammer_one_folder(tmp_path: Path) -> None:
    folder, max_bytes = tmp_path / "prompts", 200_000
    arguments = [sys.executable, PROCESSES, "hammer", folder]
    servers = [
        subprocess.Popen([*arguments, str(seed), "400", str(max_bytes)], stdout=subprocess.PIPE, text=True) for seed in (1, 2)
    ]

    results = [json.loads(server.communicate(timeout=100)[0].splitlines()[-1]) for server in servers]

    print(f"\n{results}")  # noqa: T201
    assert [server.returncode for server in servers] == [0, 0]
    assert all(result["wrong"] == result["quarantined"] == result["write_errors"] == 0 for result in results)
    assert all(result["reads"] > 0 and result["evictions"] > 0 for result in results)
    assert sum(path.stat().st_size for path in folder.glob("*.kv")) <= max_bytes + 10_000  # both may add one at the same moment
    assert not list(folder.glob(".*.tmp"))


def test_first_starts_at_the_same_moment_agree_on_the_key(tmp_path: Path) -> None:
    result = run_processes("keys", tmp_path, 20)

    assert result["folders"] == 20
    assert result["disagreements"] == 0


def test_sweep_spares_a_writer_in_another_process(tmp_path: Path) -> None:
    code = (
        f"import fcntl, sys; f = open({str(tmp_path / '.live.tmp')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True)"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "1\n"

    assert disk_io.sweep_orphans(tmp_path) == 0
    writer.kill()
    writer.communicate()
    assert disk_io.sweep_orphans(tmp_path) == 1

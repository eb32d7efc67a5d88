"""Damaged, foreign and vanished files: never served, never followed, kept apart and counted."""

import errno
import os
from pathlib import Path

import pytest
from fixtures.segments import Open, StoreClient, file_bytes, keys_on_disk, make_chain, names, place
from unified_mlx_app.cache.disk import ReadFailed, Removed
from unified_mlx_app.cache.disk_io import segment_path


def test_damaged_segment_is_quarantined_with_its_subtree_and_can_be_written_again(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain = make_chain(1, (16, 16, 16))
    client.write(chain)
    path = segment_path(folder, chain[1].key)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)

    reply = client.read(chain)

    assert isinstance(reply, ReadFailed)
    assert (reply.reason, reply.bad_key) == ("corrupt", chain[1].key)
    assert client.wait_for_kind(Removed) == Removed((chain[2].key, chain[1].key), "corrupt")
    assert keys_on_disk(folder) == {chain[0].key}
    assert names(folder / "quarantine") == {f"{chain[1].key}.kv"}
    assert client.store.quarantined == 1
    client.write(chain)
    assert client.has(chain)


@pytest.mark.parametrize("damage", ["truncated", "zeros", "empty", "link", "folder", "pipe", "swapped"])
def test_damaged_head_is_quarantined_at_start(open_store: Open, folder: Path, tmp_path: Path, damage: str) -> None:
    good, bad = make_chain(1)[0], make_chain(2, (16, 16))
    place(folder, [good, *bad])
    path = segment_path(folder, bad[0].key)
    data = path.read_bytes()
    path.unlink()
    match damage:
        case "truncated":
            path.write_bytes(data[:100])
        case "zeros":
            path.write_bytes(data[:40].ljust(len(data), b"\0"))
        case "empty":
            path.touch()
        case "link":
            (tmp_path / "elsewhere").write_bytes(data)
            path.symlink_to(tmp_path / "elsewhere")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.write_bytes(segment_path(folder, good.key).read_bytes())

    client = open_store()

    assert [info.key for info in client.opened] == [good.key]
    assert client.store.quarantined == 1
    assert path.name in names(folder / "quarantine")
    assert path.name not in names(folder)


def test_quarantine_stays_within_its_cap(open_store: Open, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chains = [make_chain(seed) for seed in range(4)]
    client = open_store()
    client.write([chain[0] for chain in chains])
    size = file_bytes(folder, [chains[0][0]])
    monkeypatch.setattr("unified_mlx_app.cache.disk_folder.QUARANTINE_BYTES", 2 * size + 100)

    for chain in chains:
        path = segment_path(folder, chain[0].key)
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        assert isinstance(client.read(chain), ReadFailed)

    assert len(names(folder / "quarantine")) == 2
    assert client.store.quarantined == 4


def test_segment_removed_behind_our_back_is_missing(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain = make_chain(1, (16, 16))
    client.write(chain)
    segment_path(folder, chain[0].key).unlink()

    reply = client.read(chain)

    assert isinstance(reply, ReadFailed)
    assert (reply.reason, reply.bad_key) == ("missing", chain[0].key)
    assert client.store.quarantined == 0
    assert client.wait_for_kind(Removed).reason == "evicted"


@pytest.mark.parametrize("key", ["", "../" + "a" * 61, "A" * 64, "a" * 63, "a" * 64 + "\n", "/etc/passwd"])
def test_names_that_are_no_keys_reach_no_file(open_store: Open, folder: Path, key: str) -> None:
    client = open_store()
    outside = folder.parent / "a.kv"
    outside.write_bytes(b"mine")

    client.store.delete([key])
    client.store.touch(key)
    client.store.read(7, [key])

    assert client.wait_for_kind(ReadFailed).reason == "missing"
    client.close()
    assert outside.read_bytes() == b"mine"


def test_foreign_files_in_the_folder_are_left_alone(open_store: Open, folder: Path) -> None:
    folder.mkdir(parents=True)
    foreign = {"notes.txt", "short.kv", "digests.json", ".hidden"}
    for name in foreign:
        (folder / name).write_bytes(b"mine")
    client = open_store()
    client.write(make_chain(1))

    client.store.clear()
    client.close()

    assert names(folder) == {*foreign, ".key"}


def test_lost_key_costs_the_entries_and_nothing_else(open_store: Open, folder: Path) -> None:
    first = open_store()
    first.write(make_chain(1))
    first.close()
    (folder / ".key").write_bytes(b"torn")

    second = open_store()

    assert second.opened == []
    assert second.store.quarantined == 1
    second.write(make_chain(1))
    assert second.has(make_chain(1))


def test_foreign_key_that_appears_where_a_segment_was_is_not_followed(folder: Path, tmp_path: Path) -> None:
    client = StoreClient(folder)
    chain = make_chain(1)
    client.write(chain)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    segment_path(folder, chain[0].key).unlink()
    segment_path(folder, chain[0].key).symlink_to(secret)

    reply = client.read(chain)

    assert isinstance(reply, ReadFailed)
    assert reply.reason == "corrupt"
    assert secret.read_bytes() == b"secret"
    client.close()


def test_file_that_cannot_be_read_is_quarantined(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = StoreClient(folder)
    chain = make_chain(1)
    client.write(chain)

    def failing_read(fd: int, length: int) -> bytes:
        raise OSError(errno.EIO, f"injected for {fd} {length}")

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", failing_read)
        reply = client.read(chain)

    assert isinstance(reply, ReadFailed)
    assert reply.reason == "corrupt"
    assert client.store.quarantined == 1
    client.close()


def test_running_out_of_descriptors_is_a_miss_and_costs_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = StoreClient(folder)
    chain = make_chain(1)
    client.write(chain)

    def failing_open(path: object, *_: object) -> int:
        raise OSError(errno.EMFILE, f"injected for {path}")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing_open)
        reply = client.read(chain)

    assert isinstance(reply, ReadFailed)
    assert reply.reason == "missing"
    assert client.has(chain)
    client.close()

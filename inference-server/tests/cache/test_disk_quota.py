"""What goes when the quota or the disk is full: useless files, then the least recently used, children before parents."""

import os
from collections.abc import Callable
from pathlib import Path

from fixtures.segments import MEBIBYTE, Open, StoreClient, file_bytes, keys_on_disk, make_chain, place
from unified_mlx_app.cache.disk import PAUSE_SECONDS, Removed, WriteFailed, Written
from unified_mlx_app.cache.disk_io import segment_path


def test_quota_evicts_least_recently_used_first(open_store: Open, folder: Path) -> None:
    a, b, c, d = (make_chain(seed)[0] for seed in range(4))
    probe = open_store()
    probe.write([a])
    size = file_bytes(folder, [a])
    probe.close()
    client = open_store(max_bytes=3 * size + size // 2)
    client.write([b, c])

    assert client.has([a])  # now the one used last
    client.clock.now += 1
    client.write([d])

    assert keys_on_disk(folder) == {a.key, c.key, d.key}
    assert client.wait_for_kind(Removed) == Removed((b.key,), "evicted")
    assert client.store.evictions == 1
    assert client.store.num_bytes == file_bytes(folder, [a, c, d])


def test_parent_outlives_its_children(open_store: Open, folder: Path) -> None:
    chain = make_chain(1, (16, 16, 16))
    others = [make_chain(seed)[0] for seed in (2, 3, 4)]
    probe = open_store()
    probe.write(chain)
    size = max(path.stat().st_size for path in folder.glob("*.kv"))
    probe.close()
    client = open_store(max_bytes=4 * size)

    evicted: list[str] = []
    for other in others:
        client.write([other])
        for key in (segment.key for segment in chain):
            if not segment_path(folder, key).exists() and key not in evicted:
                evicted.append(key)

    assert evicted == [chain[2].key, chain[1].key]
    assert client.has(chain[:1])


def test_new_child_never_evicts_what_it_builds_upon(open_store: Open, folder: Path) -> None:
    chain = make_chain(1, (16, 16, 16, 16))
    probe = open_store()
    probe.write(chain[:1])
    size = file_bytes(folder, chain[:1])
    probe.close()
    client = open_store(max_bytes=3 * size + size // 2)

    outcomes = client.write(chain[1:])

    assert [type(outcome) for outcome in outcomes] == [Written, Written, WriteFailed]
    assert outcomes[2] == WriteFailed(chain[3].key, "no_room")
    assert client.has(chain[:3])


def test_segment_larger_than_the_quota_evicts_nothing(open_store: Open) -> None:
    client = open_store(max_bytes=10_000)
    small, large = make_chain(1), make_chain(2, tensor_bytes=20_000)
    client.write(small)

    assert client.write(large) == [WriteFailed(large[0].key, "no_room")]
    assert client.has(small)
    assert client.store.write_errors == 0


def test_useless_files_count_against_the_quota_and_go_first(open_store: Open, folder: Path) -> None:
    old, new, orphan = make_chain(1)[0], make_chain(2)[0], make_chain(3, (16, 16))[1]
    place(folder, [old, orphan])
    foreign = segment_path(folder, "f" * 64)
    foreign.write_bytes(b"MLXHUBKV" + (99).to_bytes(4, "little") + bytes(500))
    sizes = [path.stat().st_size for path in folder.glob("*.kv")]
    for used, path in enumerate((segment_path(folder, old.key), foreign, segment_path(folder, orphan.key)), start=1):
        os.utime(path, (used, used))
    client = open_store(max_bytes=sum(sizes) + 10)
    assert [info.key for info in client.opened] == [old.key]
    assert client.store.num_bytes == sum(sizes)
    assert client.store.quarantined == 0

    client.write([new])

    assert keys_on_disk(folder) == {old.key, new.key}


def test_clock_set_back_does_not_turn_the_order_around(open_store: Open, folder: Path) -> None:
    a, b, c = (make_chain(seed)[0] for seed in range(3))
    client = open_store()
    client.write([a])
    size = file_bytes(folder, [a])
    client.close()
    client = open_store(max_bytes=2 * size + size // 2)
    client.clock.now -= 3600

    client.write([b, c])

    assert keys_on_disk(folder) == {b.key, c.key}


def test_quota_counts_what_another_server_wrote(open_store: Open, folder: Path) -> None:
    segments = [make_chain(seed)[0] for seed in range(8)]
    probe = open_store()
    probe.write(segments[:1])
    max_bytes = 4 * file_bytes(folder, segments[:1])
    probe.close()
    first, second = open_store(max_bytes=max_bytes), open_store(max_bytes=max_bytes)

    for segment, client in zip(segments, [first, second] * 4, strict=True):
        client.write([segment])

    assert sum(path.stat().st_size for path in folder.glob("*.kv")) <= max_bytes


def test_free_space_floor_evicts_and_then_pauses(mount: Callable[[str], Path]) -> None:
    disk = mount("size=4m")
    client = StoreClient(disk / "prompts", min_free_bytes=2 * MEBIBYTE)
    chains = [make_chain(seed, tensor_bytes=MEBIBYTE // 2) for seed in range(8)]

    outcomes = client.write([chain[0] for chain in chains[:6]])

    assert all(isinstance(outcome, Written) for outcome in outcomes)
    assert client.store.evictions == 3
    assert client.has(chains[5])
    (disk / "ballast").write_bytes(bytes(3 * MEBIBYTE - 2**16 * 32))
    status = os.statvfs(disk)
    (disk / "more").write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - 2**16)))
    assert client.write(chains[6]) == [WriteFailed(chains[6][0].key, "ENOSPC")]
    assert client.has(chains[5])
    (disk / "ballast").unlink()
    (disk / "more").unlink()
    client.clock.now += PAUSE_SECONDS
    assert isinstance(client.write(chains[6])[0], Written)
    client.close()


def test_use_is_kept_as_mtime_for_the_whole_chain(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain = make_chain(1, (16, 16))
    client.write(chain)
    client.clock.now += 1000

    client.store.touch(chain[1].key)
    client.close()

    assert {segment_path(folder, segment.key).stat().st_mtime for segment in chain} == {client.clock.now}

"""The disk tier at work: what is written comes back, also after a restart and beside a second server."""

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.segments import Open, keys_on_disk, make_chain, names, place
from unified_mlx_app.cache.disk import ReadDone, ReadFailed, Removed, WriteFailed, Written
from unified_mlx_app.cache.disk_io import segment_path


def test_chain_written_comes_back_whole(open_store: Open) -> None:
    client = open_store()
    chain = make_chain(1, (16, 5, 40))

    outcomes = client.write(chain)

    assert all(isinstance(outcome, Written) for outcome in outcomes)
    assert client.has(chain)
    assert client.has(chain[:2])
    assert client.store.num_entries == 3
    assert client.store.pending_writes == 0


def test_restart_finds_every_segment_with_its_tokens(open_store: Open, folder: Path) -> None:
    chains = [make_chain(seed, (16, 8)) for seed in range(3)]
    first = open_store()
    first.write([segment for chain in chains for segment in chain])
    first.close()

    second = open_store()

    found = {info.key: info for info in second.opened}
    for segment in (segment for chain in chains for segment in chain):
        info = found.pop(segment.key)
        assert np.array_equal(info.tokens, segment.tokens)
        assert (info.parent_key, info.is_trimmable) == (segment.parent_key, segment.is_trimmable)
        assert info.num_bytes == segment_path(folder, segment.key).stat().st_size
    assert not found
    assert all(second.has(chain) for chain in chains)


def test_files_are_private(open_store: Open, folder: Path) -> None:
    client = open_store()
    client.write(make_chain(1))

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert names(folder) == {".key", f"{make_chain(1)[0].key}.kv"}


def test_open_folder_of_ours_is_made_private_again_and_a_shared_one_is_left(open_store: Open, folder: Path) -> None:
    open_store().close()
    folder.chmod(0o755)
    open_store().close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    (folder / ".key").unlink()
    (folder / "somebody-else.txt").touch()
    folder.chmod(0o755)
    open_store()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / ".key").stat().st_mode) == 0o600


def test_thousand_segments_open_without_reading_a_payload(
    open_store: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = [make_chain(seed, (400,), tensor_bytes=16_384) for seed in range(1000)]
    place(folder, [chain[0] for chain in chains])
    num_read = 0
    real_read = os.read

    def counting_read(fd: int, length: int) -> bytes:
        nonlocal num_read
        data = real_read(fd, length)
        num_read += len(data)
        return data

    monkeypatch.setattr(os, "read", counting_read)
    started = time.perf_counter()
    client = open_store()
    seconds = time.perf_counter() - started

    print(f"\nopened {len(client.opened)} segments in {seconds:.3f} s, {num_read / 1000:.0f} bytes each")  # noqa: T201
    assert len(client.opened) == 1000
    assert num_read < 1000 * 3500  # head: 60 + about 700 of JSON + 1,600 of tokens; payload: 16,416


def test_same_key_is_not_written_twice_but_marked_as_used(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain = make_chain(1)
    client.write(chain)
    before = segment_path(folder, chain[0].key).stat()
    client.clock.now += 500

    client.store.write(chain[0])
    again = client.wait_for_kind(Written)

    after = segment_path(folder, chain[0].key).stat()
    assert again.info.key == chain[0].key
    assert after.st_ino == before.st_ino
    assert after.st_mtime == client.clock.now
    assert client.store.num_entries == 1


def test_child_without_its_parent_is_refused(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain = make_chain(1, (16, 16))

    assert client.write(chain[1:]) == [WriteFailed(chain[1].key, "parent_missing")]
    assert not keys_on_disk(folder)


def test_delete_removes_the_subtree_only(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain, other = make_chain(1, (16, 16, 16)), make_chain(2)
    client.write([*chain, *other])

    client.store.delete([chain[1].key])
    removed = client.wait_for_kind(Removed)

    assert removed == Removed((chain[2].key, chain[1].key), "deleted")
    client.close()
    assert keys_on_disk(folder) == {chain[0].key, other[0].key}


def test_clear_leaves_nothing_of_a_prompt(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain, bad = make_chain(1, (16, 16)), make_chain(2)
    client.write([*chain, *bad])
    segment_path(folder, bad[0].key).write_bytes(b"junk")
    assert isinstance(client.read(bad), ReadFailed)

    client.store.clear()
    client.wait_for(lambda events: any(isinstance(event, Removed) and event.reason == "deleted" for event in events))
    client.close()

    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / ".key"]
    assert client.store.num_entries == client.store.num_bytes == 0


def test_read_waits_for_a_write_that_it_needs(open_store: Open) -> None:
    client = open_store()
    chain = make_chain(1, (16, 16), tensor_bytes=2_000_000)
    others = [make_chain(seed, tensor_bytes=2_000_000)[0] for seed in range(2, 5)]

    for segment in (*others, *chain):
        client.store.write(segment)

    assert client.has(chain)


def test_read_overtakes_queued_writes(open_store: Open) -> None:
    client = open_store()
    ready = make_chain(1)
    client.write(ready)
    waiting = [make_chain(seed, tensor_bytes=12_000_000)[0] for seed in range(2, 7)]

    for segment in waiting:
        client.store.write(segment)
    client.store.read(9, [ready[0].key])
    events = client.wait_for(lambda events: sum(isinstance(event, Written) for event in events) == len(waiting))

    num_written_before = [type(event) for event in events].index(ReadDone)
    assert num_written_before < len(waiting) - 1


def test_queue_drops_its_oldest_and_says_so(open_store: Open) -> None:
    client = open_store(max_queued_bytes=3_000_000)
    segments = [make_chain(seed, tensor_bytes=1_000_000)[0] for seed in range(12)]

    for segment in segments:
        client.store.write(segment)
    events = client.wait_for(lambda events: len(events) == len(segments))

    dropped = {event.key for event in events if isinstance(event, WriteFailed) and event.error == "queue_full"}
    written = {event.info.key for event in events if isinstance(event, Written)}
    assert segments[-1].key in written
    assert dropped | written == {segment.key for segment in segments}
    assert client.store.dropped_writes == len(dropped) > 0


def test_forgotten_write_leaves_nothing_queued_or_under_way(open_store: Open, folder: Path) -> None:
    client = open_store()
    segments = [make_chain(seed, tensor_bytes=3_000_000)[0] for seed in range(6)]

    for segment in segments:
        client.store.write(segment)
    for segment in segments:
        client.store.forget_queued(segment.key)
    last = make_chain(99)
    client.write(last)
    client.close()

    on_disk = keys_on_disk(folder)
    written = {event.info.key for event in client.events if isinstance(event, Written)}
    removed = {key for event in client.events if isinstance(event, Removed) for key in event.keys}
    assert on_disk == {last[0].key} | (written - removed)
    assert len(written) < len(segments)


def test_delete_drops_queued_descendants(open_store: Open, folder: Path) -> None:
    client = open_store()
    chain = make_chain(1, (16, 16, 16), tensor_bytes=2_000_000)

    for segment in chain:
        client.store.write(segment)
    client.store.delete([chain[0].key])
    client.close()

    assert not keys_on_disk(folder)


def test_close_lands_what_is_queued(open_store: Open, folder: Path) -> None:
    client = open_store()
    segments = [make_chain(seed, tensor_bytes=500_000)[0] for seed in range(5)]

    for segment in segments:
        client.store.write(segment)
    client.close()

    assert keys_on_disk(folder) == {segment.key for segment in segments}


def test_close_in_little_time_lands_what_was_queued_first(open_store: Open, folder: Path) -> None:
    client = open_store(max_queued_bytes=10**9)
    segments = [make_chain(seed, tensor_bytes=6_000_000)[0] for seed in range(30)]
    for segment in segments:
        client.store.write(segment)
    client.wait_for(lambda events: any(isinstance(event, Written) for event in events))

    client.store.close(0.05)

    written = [event.info.key for event in client.wait_for(lambda _: True) if isinstance(event, Written)]
    assert written == [segment.key for segment in segments[: len(written)]]
    assert keys_on_disk(folder) == set(written)
    assert not list(folder.glob(".*.tmp"))
    assert len(open_store().opened) == len(written)


def test_close_without_time_leaves_whole_files_or_none(open_store: Open, folder: Path) -> None:
    client = open_store()
    for seed in range(5):
        client.store.write(make_chain(seed, tensor_bytes=30_000_000)[0])

    client.store.close(0.0)

    assert not list(folder.glob(".*.tmp"))
    again = open_store()
    assert again.store.quarantined == 0
    assert {info.key for info in again.opened} == keys_on_disk(folder)


def test_second_server_sees_what_the_first_writes_and_removes(open_store: Open, folder: Path) -> None:
    first, second = open_store(), open_store()
    chain, other = make_chain(1, (16, 16)), make_chain(2)

    first.write(chain)

    assert second.has(chain)
    assert [type(outcome) for outcome in second.write([chain[0], *other])] == [Written, Written]
    assert second.store.num_entries == 3
    first.store.delete([chain[0].key])
    first.wait_for_kind(Removed)
    assert isinstance(second.read(chain), ReadFailed)
    assert second.has(other)
    assert first.store.quarantined == second.store.quarantined == 0


def test_same_tokens_cut_elsewhere_are_read_by_what_lies_on_disk(open_store: Open) -> None:
    first, second = open_store(), open_store()
    whole, cut = make_chain(1, (32,)), make_chain(1, (16, 16))
    first.write(whole)

    outcomes = second.write(cut)

    assert whole[0].key == cut[1].key
    assert isinstance(outcomes[1], Written)
    assert outcomes[1].info.parent_key is None
    reply = second.read(cut)
    assert isinstance(reply, ReadDone)
    assert [segment.info.end_tokens for segment in reply.segments] == [32]


def test_key_is_kept_across_starts(open_store: Open, folder: Path) -> None:
    open_store().close()
    before = (folder / ".key").read_bytes()

    open_store()

    assert len(before) == 32
    assert (folder / ".key").read_bytes() == before


def test_segment_that_cannot_be_encoded_fails_alone(open_store: Open) -> None:
    client = open_store()
    good = make_chain(1)
    bad = replace(make_chain(2)[0], preview="\ud800")

    assert client.write([bad, *good])[0] == WriteFailed(bad.key, "unencodable")
    assert client.has(good)

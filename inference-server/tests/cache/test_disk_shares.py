"""Owners share the disk fairly: who holds most gives way, and nobody takes what another keeps within an equal part."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.segments import NAMESPACE, Open, file_bytes, keys_on_disk, make_chain, place
from unified_mlx_app.cache import disk_folder
from unified_mlx_app.cache.disk import WriteFailed, Written
from unified_mlx_app.cache.disk_io import segment_path
from unified_mlx_app.cache.segment import Segment


def of(owner: str, seed: int, num_tokens: tuple[int, ...] = (16,), **options: int) -> list[Segment]:
    return make_chain(seed, num_tokens, namespace=replace(NAMESPACE, owner=owner), **options)


@pytest.fixture
def size(open_store: Open, folder: Path) -> int:
    """Bytes of one file, of whichever owner."""
    probe = open_store()
    (segment,) = of("alice", 1000)
    probe.write([segment])
    size = file_bytes(folder, [segment])
    segment_path(folder, segment.key).unlink()
    probe.close()
    return size


def room(size: int, num_files: int) -> int:
    return num_files * size + size // 2


def test_who_floods_the_disk_loses_its_own_and_nothing_of_others(open_store: Open, folder: Path, size: int) -> None:
    client = open_store(max_bytes=room(size, 4))
    quiet = [of("alice", seed)[0] for seed in range(2)]
    client.write(quiet)

    flood = [of("bobby", seed)[0] for seed in range(10, 30)]
    outcomes = client.write(flood)

    assert {type(outcome) for outcome in outcomes} == {Written}
    assert keys_on_disk(folder) == {segment.key for segment in [*quiet, *flood[-2:]]}


def test_who_had_it_alone_gives_way_until_the_shares_are_equal(open_store: Open, folder: Path, size: int) -> None:
    client = open_store(max_bytes=room(size, 4))
    first = [of("alice", seed)[0] for seed in range(4)]
    client.write(first)

    later = [of("bobby", seed)[0] for seed in range(10, 16)]
    client.write(later)

    assert keys_on_disk(folder) == {segment.key for segment in [*first[2:], *later[-2:]]}


def test_a_file_larger_than_a_share_is_refused_and_writing_goes_on(open_store: Open, folder: Path, size: int) -> None:
    client = open_store(max_bytes=room(size, 4))
    quiet = [of("alice", seed)[0] for seed in range(2)]
    client.write(quiet)

    large = of("bobby", 10, tensor_bytes=3 * size // 2 * 2)
    assert client.write(large) == [WriteFailed(large[0].key, "no_room")]
    assert [type(outcome) for outcome in client.write(of("bobby", 11))] == [Written]
    assert client.has(quiet[:1])
    assert client.has(quiet[1:])
    assert client.store.evictions == 0


def test_a_long_conversation_grows_within_its_owners_share(open_store: Open, folder: Path, size: int) -> None:
    client = open_store(max_bytes=room(size, 4))
    quiet = [of("alice", seed)[0] for seed in range(2)]
    client.write(quiet)

    chain = of("bobby", 10, (16, 16, 16, 16))
    outcomes = client.write(chain)

    assert [type(outcome) for outcome in outcomes] == [Written, Written, WriteFailed, WriteFailed]
    assert outcomes[2] == WriteFailed(chain[2].key, "no_room")
    assert keys_on_disk(folder) == {segment.key for segment in [*quiet, *chain[:2]]}


def test_shares_count_files_where_files_are_too_many(
    open_store: Open, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_folder, "_MAX_FILES", 4)
    client = open_store()
    large = of("alice", 1, tensor_bytes=50 * size // 2 * 2)
    client.write(large)

    small = [of("bobby", seed)[0] for seed in range(10, 20)]
    client.write(small)

    assert keys_on_disk(folder) == {segment.key for segment in [*large, *small[-3:]]}


def test_useless_files_of_anybody_go_first(open_store: Open, folder: Path, size: int) -> None:
    orphan = of("alice", 1, (16, 16))[1]
    busy = [of("bobby", seed)[0] for seed in range(10, 13)]
    place(folder, [orphan, *busy])
    for used, segment in enumerate([*busy, orphan], start=1):
        os.utime(segment_path(folder, segment.key), (used, used))
    client = open_store(max_bytes=room(size, 4))

    new = of("bobby", 20)
    client.write(new)

    assert keys_on_disk(folder) == {segment.key for segment in [*busy, *new]}


def test_the_shares_are_known_after_a_restart(open_store: Open, folder: Path, size: int) -> None:
    quiet, busy = [of("alice", 1)[0]], [of("bobby", seed)[0] for seed in range(10, 13)]
    client = open_store(max_bytes=room(size, 4))
    client.write([*quiet, *busy])
    client.close()

    again = open_store(max_bytes=room(size, 4))
    again.write(of("bobby", 20))

    assert keys_on_disk(folder) == {segment.key for segment in [*quiet, *busy[1:], *of("bobby", 20)]}


def test_a_full_queue_drops_what_is_of_whom_it_is_full(open_store: Open) -> None:
    client = open_store(max_queued_bytes=3_000_000)
    quiet = [of("alice", seed)[0] for seed in range(2)]
    flood = [of("bobby", seed, tensor_bytes=1_000_000)[0] for seed in range(10, 22)]

    for segment in (flood[0], *quiet, *flood[1:]):
        client.store.write(segment)
    events = client.wait_for(lambda events: len(events) == 14)

    written = {event.info.key for event in events if isinstance(event, Written)}
    assert {event.error for event in events if isinstance(event, WriteFailed)} == {"queue_full"}
    assert written.issuperset(segment.key for segment in [*quiet, flood[-1]])
    assert client.store.dropped_writes == len(events) - len(written) > 0

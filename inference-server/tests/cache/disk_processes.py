"""Server processes for the crash tests: killed while they write, racing for one folder, starting at the same moment.

Run as a script; the last line of its output is a JSON object of counts.
"""

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent.parent))

from fixtures.segments import StoreClient, is_same, make_chain
from unified_mlx_app.cache import disk_io
from unified_mlx_app.cache.disk import ReadDone, Written
from unified_mlx_app.cache.disk_folder import ChainError, SegmentFolder
from unified_mlx_app.cache.segment import Segment

SEEDS_PER_ROUND = 10_000
SIZES = (2_000, 300_000, 4_000_000)


def chain_of(seed: int) -> list[Segment]:
    return make_chain(seed, (16, 8), tensor_bytes=SIZES[seed % len(SIZES)])


@dataclass
class KillResult:
    kills: int = 0
    acknowledged: int = 0
    swept: int = 0
    lost: int = 0
    wrong: int = 0
    temps: int = 0
    quarantined: int = 0


def kill_loop(folder: Path, rounds: int) -> KillResult:
    """Kill a writing server at random moments; after each kill judge the folder as a new server would."""
    result = KillResult()
    rng = random.Random(rounds)
    for number in range(rounds):
        acknowledged = _kill_one(folder, number * SEEDS_PER_ROUND, rng.uniform(0, 0.15))
        result.kills += 1
        result.acknowledged += len(acknowledged)
        result.swept += len(list(folder.glob(".*.tmp")))
        _judge(folder, acknowledged, range(number * SEEDS_PER_ROUND, (number + 1) * SEEDS_PER_ROUND), result)
        for path in folder.glob("*.kv"):
            path.unlink()
    return result


def _kill_one(folder: Path, first_seed: int, seconds: float) -> set[str]:
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        _write_forever(folder, first_seed, send)
    os.close(send)
    received = os.read(receive, 65)  # the first acknowledgement: from here on it writes
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([receive], [], [], left)[0]:
            received += os.read(receive, 65_000)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(receive, 65_000):
        received += piece
    os.close(receive)
    return set(received.decode().split())


def _write_forever(folder: Path, first_seed: int, send: int) -> None:
    client = StoreClient(folder, max_bytes=10**10)
    for seed in range(first_seed, first_seed + SEEDS_PER_ROUND):
        for segment in chain_of(seed):
            client.store.write(segment)
        client.wait_for(lambda events: len(events) >= 1)
        for event in client.events:
            if isinstance(event, Written):
                os.write(send, f"{event.info.key}\n".encode())
        client.events.clear()
    os._exit(0)


def _judge(folder: Path, acknowledged: set[str], seeds: range, result: KillResult) -> None:
    store = SegmentFolder(folder, max_bytes=10**10, min_free_bytes=0, clock=time.time, emit=lambda _: None)
    found = {info.key for info in store.open()}
    result.lost += len(acknowledged - found)
    result.temps += len(list(folder.glob(".*.tmp")))
    for seed in seeds:
        chain = chain_of(seed)
        if chain[0].key not in found:
            break
        stored = [segment for segment in chain if segment.key in found]
        try:
            loaded = store.load([stored[-1].key])
        except ChainError:
            result.wrong += 1
            continue
        found -= {segment.key for segment in stored}
        result.wrong += not all(is_same(*pair) for pair in zip(loaded, stored, strict=True))
    result.wrong += len(found)
    result.quarantined += store.quarantined


@dataclass
class HammerResult:
    reads: int = 0
    misses: int = 0
    wrong: int = 0
    quarantined: int = 0
    evictions: int = 0
    write_errors: int = 0


def hammer(folder: Path, seed: int, num_operations: int, max_bytes: int) -> HammerResult:
    """Mixed work on few chains, so that two servers meet on the same keys all the time."""
    rng = random.Random(seed)
    client = StoreClient(folder, max_bytes=max_bytes)
    result = HammerResult()
    for _ in range(num_operations):
        chain = make_chain(rng.randrange(30), (16, 8, 8), tensor_bytes=4_000)
        action = rng.random()
        if action < 0.45:
            client.write(chain)
        elif action < 0.9:
            _read(client, chain[: rng.randint(1, 3)], result)
        elif action < 0.99:
            client.store.delete([rng.choice(chain).key])
        else:
            client.store.clear()
        client.events.clear()
    client.close()
    result.quarantined = client.store.quarantined
    result.evictions = client.store.evictions
    result.write_errors = client.store.write_errors
    return result


def _read(client: StoreClient, chain: list[Segment], result: HammerResult) -> None:
    reply = client.read(chain)
    if isinstance(reply, ReadDone):
        result.reads += 1
        result.wrong += not all(is_same(*pair) for pair in zip(reply.segments, chain, strict=True))
    else:
        result.misses += 1


@dataclass
class KeysResult:
    folders: int = 0
    disagreements: int = 0


def race_for_keys(parent: Path, num_folders: int) -> KeysResult:
    """Four servers open a new folder at the same moment; all must sign with one key."""
    result = KeysResult()
    for number in range(num_folders):
        folder = parent / f"race-{number}"
        receive, send = os.pipe()
        start_receive, start_send = os.pipe()
        children = [_fork(partial(_send_key, folder, start_receive, send)) for _ in range(4)]
        os.write(start_send, b"x" * 4)
        for child in children:
            os.waitpid(child, 0)
        keys = os.read(receive, 1000)
        assert len(keys) == 4 * 32
        result.folders += 1
        result.disagreements += len({keys[i : i + 32] for i in range(0, 128, 32)}) - 1
        for fd in (receive, send, start_receive, start_send):
            os.close(fd)
    return result


def _send_key(folder: Path, start_receive: int, send: int) -> None:
    os.read(start_receive, 1)
    os.write(send, disk_io.prepare_folder(folder))


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def _stop(signum: int, _: FrameType | None) -> None:
    raise TimeoutError(signum)


def main(action: str, folder: str, *numbers: str) -> None:
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(800)
    actions: dict[str, Callable[..., object]] = {"kill": kill_loop, "hammer": hammer, "keys": race_for_keys}
    result = actions[action](Path(folder), *map(int, numbers))
    print(json.dumps(asdict(result)))  # noqa: T201  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])

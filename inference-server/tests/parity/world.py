"""A cached engine beside an uncached one, chats on both, and the knowledge of when their numbers must agree to the last bit."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from fixtures.answers import Answer, command, spec_of
from fixtures.local_engine import LocalEngine
from unified_mlx_app.cache.prefix_index import common_prefix_length
from unified_mlx_app.engine.messages import Generate
from unified_mlx_app.engine.sequence import Request, prefill_cuts
from unified_mlx_app.types import CacheReport

CHUNK_TOKENS = 32
HEADER = [11, 12, 13]  # What a chat template writes before an answer.

Damage = Literal["bit flip", "truncation", "zero tail", "foreign file", "swapped names", "removal"]


def words(seed: object, size: int) -> list[int]:
    chance = random.Random(str(seed))
    return [chance.randrange(20, 1900) for _ in range(size)]


@dataclass(slots=True)
class Chat:
    """A system part and turns; `ends` are the positions at which the user's turns end."""

    system: list[int]
    tokens: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = self.tokens or list(self.system)

    def say(self, user: Sequence[int]) -> None:
        self.tokens += user
        self.ends.append(len(self.tokens))
        self.tokens += HEADER

    def edited(self, position: int) -> "Chat":
        """The same chat with another token at `position`, as after an edit of an earlier message."""
        tokens = list(self.tokens)
        tokens[position] = 20 + (tokens[position] + 7) % 1880
        return Chat(tokens[: len(self.system)], tokens, list(self.ends))

    def command(self, model: Path, *, max_tokens: int = 4) -> Generate:
        return command(model, self.tokens, system=len(self.system), turns=self.ends, max_tokens=max_tokens, top_logprobs=2)


def cuts_of(each: Generate, *, is_trimmable: bool) -> list[int]:
    """Where a cold run cuts the prefill of this request."""
    request = Request(each, np.asarray(each.prompt, np.int32), 0.0, None)
    return prefill_cuts(request, CHUNK_TOKENS, is_trimmable=is_trimmable)


@dataclass(frozen=True, slots=True)
class _Run:
    """A finished request. Up to `pure_tokens` its state has the bits of a cold run with `cuts`."""

    tokens: np.ndarray
    cuts: list[int]
    stored: list[int]
    pure_tokens: int


class BitOracle:
    """Tells from the history alone when a reuse must give the bits of the cold run.

    It must when the reused state ends at a cut of the prompt's own prefill, and whatever it can have been built from was
    computed with the same cuts. Tokens that were decoded one by one are never that.
    """

    def __init__(self, *, is_trimmable: bool) -> None:
        self._is_trimmable = is_trimmable
        self._runs: list[_Run] = []

    def must_agree(self, each: Generate, answer: Answer) -> bool:
        """Record one request, and say whether its numbers must be those of the cold run."""
        tokens, cached = np.asarray(each.prompt, np.int32), answer.report.cached_tokens
        cuts = cuts_of(each, is_trimmable=self._is_trimmable)
        pure_tokens = min([cached, *(self._agreed(run, tokens, cuts, cached) for run in self._runs)])
        is_pure = pure_tokens == cached and (cached == 0 or cached in cuts)
        ends = [boundary.end_tokens for boundary in each.boundaries]
        self._runs.append(
            _Run(
                tokens=np.asarray([*each.prompt, *answer.tokens], np.int32),
                cuts=cuts,
                stored=[*ends, len(tokens) - 1, len(tokens) + len(answer.tokens)],
                pure_tokens=len(tokens) - 1 if is_pure else pure_tokens,
            )
        )
        return is_pure

    def _agreed(self, run: _Run, tokens: np.ndarray, cuts: list[int], cached: int) -> int:
        """How many of `cached` tokens are surely right to the bit, were they taken from `run`."""
        shared = min(common_prefix_length(run.tokens, tokens), cached)
        usable = [end for end in run.stored if end <= shared] + ([cached] if shared == cached else [])
        if not usable:
            return cached  # Nothing of it can have been used.
        common = [cut for cut in cuts if cut in run.cuts and cut <= run.pure_tokens and _upto(cuts, cut) == _upto(run.cuts, cut)]
        return min(max([0, *(cut for cut in common if cut <= end)]) if end not in common else cached for end in usable)


def _upto(cuts: list[int], end: int) -> list[int]:
    return [cut for cut in cuts if cut <= end]


class World:
    """Chats with a cached engine and checks every answer; worlds of one model may share what is `expected`."""

    def __init__(
        self, model: Path, cached: LocalEngine, uncached: LocalEngine, expected: dict[tuple[object, ...], Answer] | None = None
    ) -> None:
        self.model = model
        self.cached = cached
        self._uncached = uncached
        self._oracle = BitOracle(is_trimmable=uncached.load(spec_of(model)).is_trimmable)
        self._expected = expected if expected is not None else {}
        self.num_requests = 0
        self.num_exact_reuses = 0

    def ask(self, chat: Chat) -> Answer:
        each = chat.command(self.model)
        answer, expected = self.cached.generate(each)[0], self.expected(each)
        self.num_requests += 1
        check_report(answer.report, each)
        assert answer.error is None
        assert answer.tokens == expected.tokens
        assert answer.texts == expected.texts
        if answer.report.is_exact:
            assert answer.logprobs == expected.logprobs, "said to be exact, and is not"
        if self._oracle.must_agree(each, answer):
            assert answer.logprobs == expected.logprobs, "not the bits of the cold run"
            self.num_exact_reuses += answer.report.cached_tokens > 0
        return answer

    def expected(self, each: Generate) -> Answer:
        """What the engine without a cache says; remembered, for it is the same every time."""
        key = (*each.prompt, *each.boundaries)
        if key not in self._expected:
            self._expected[key] = self._uncached.generate(each)[0]
        return self._expected[key]

    def check_bounds(self) -> None:
        stats = self.cached.cache.stats()
        assert stats.memory_entries <= stats.max_entries
        assert stats.memory_bytes <= stats.max_memory_bytes
        assert stats.total_hits + stats.total_misses <= self.num_requests
        assert self.cached.scheduler.num_running == self.cached.scheduler.kv_bytes == 0


def check_report(report: CacheReport, each: Generate) -> None:
    """The fields of a report tell one story."""
    assert 0 <= report.cached_tokens < len(each.prompt)
    assert (report.outcome == "miss") == (report.cached_tokens == 0)
    assert (report.tier is None) == (report.entry_key is None) == (report.cached_tokens == 0)
    assert (report.miss_reason is None) == (report.outcome == "hit")
    assert (report.diverged_at_token is not None) == (report.miss_reason == "diverged")


def damage(folder: Path, kind: Damage, chance: random.Random) -> bool:
    """Do something bad to a stored file. False when there is nothing to damage."""
    files = sorted(folder.glob("*.kv"))
    if not files:
        return False
    victim, other = chance.choice(files), chance.choice(files)
    data = bytearray(victim.read_bytes())
    at = chance.randrange(len(data))
    match kind:
        case "bit flip":
            data[at] ^= 1 << chance.randrange(8)
        case "truncation":
            del data[at:]
        case "zero tail":
            data[at:] = bytes(len(data) - at)
        case "foreign file":
            data = bytearray(b"GGUF" + chance.randbytes(200))
        case "swapped names":
            victim_data = bytes(data)
            data = bytearray(other.read_bytes())
            other.write_bytes(victim_data)
        case "removal":
            victim.unlink()
            return True
    victim.write_bytes(data)
    return True

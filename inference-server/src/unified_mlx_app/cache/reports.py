"""What the prompt cache says of each look-up: a hit or not, what was reused, and why it was no more. Engine thread only."""

from dataclasses import dataclass

from unified_mlx_app.cache.entry import Entry
from unified_mlx_app.cache.lookup import Match, Prompt
from unified_mlx_app.cache.misses import MissExplainer
from unified_mlx_app.cache.prefix_index import PrefixIndex, PrefixMatch
from unified_mlx_app.types import CacheReport, MissReason


@dataclass(slots=True)
class LookupCounts:
    """Of all look-ups that count; misses have partial hits among them."""

    hits: int = 0
    misses: int = 0
    partial_hits: int = 0
    tokens_saved: int = 0

    @property
    def hit_rate(self) -> float:
        num_lookups = self.hits + self.misses
        return self.hits / num_lookups if num_lookups else 0.0

    def add(self, report: CacheReport) -> None:
        is_hit = report.outcome == "hit"
        self.hits += is_hit
        self.misses += not is_hit
        self.partial_hits += report.outcome == "partial"
        self.tokens_saved += report.cached_tokens


class LookupReports:
    """`indexes` are the cache's own, by the digest of their namespace."""

    def __init__(self, misses: MissExplainer, indexes: dict[str, PrefixIndex[Entry]]) -> None:
        self._misses = misses
        self._indexes = indexes
        self.counts = LookupCounts()

    def report(
        self, prompt: Prompt, match: Match | None, failed: MissReason | None, found: PrefixMatch[Entry], *, is_counted: bool
    ) -> CacheReport:
        """What came of looking for `prompt`, counted once. `found` is what its namespace's index has of it.

        `failed` is why a state that was found could not be read.
        """
        cached_tokens = match.num_tokens if match else 0
        is_hit = match is not None and (
            cached_tokens >= min(prompt.shared_tokens, prompt.usable_tokens) or cached_tokens == match.entry.num_tokens
        )
        is_explained = is_counted and prompt.is_long_enough
        changed = self._misses.changes(prompt, found, with_gone=not is_hit) if is_explained else None
        reason = None if is_hit else failed or self._reason(prompt, found, is_changed=changed is not None)
        report = CacheReport(
            outcome="hit" if is_hit else "partial" if cached_tokens else "miss",
            cached_tokens=cached_tokens,
            tier=match.tier if match else None,
            entry_key=match.entry.key if match else None,
            is_exact=match is not None and match.is_exact_for(prompt),
            miss_reason=reason,
            diverged_at_token=found.num_tokens if reason == "diverged" else None,
            changed=changed,
        )
        if is_counted:
            self.counts.add(report)
            if reason is not None:
                self._misses.count(reason)
        return report

    def _reason(self, prompt: Prompt, found: PrefixMatch[Entry], *, is_changed: bool) -> MissReason:
        if not prompt.is_long_enough:
            return "too_short"
        reason = self._misses.explain(prompt, found, self._indexes)
        return "diverged" if reason == "cold" and is_changed else reason

"""Why a look-up found nothing: remembers what was stored once and counts the reasons."""

from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.cache.changed_spans import MIN_SHARED_AFTER, find_changes
from unified_mlx_app.cache.entry import Entry
from unified_mlx_app.cache.keys import entry_key
from unified_mlx_app.cache.prefix_index import PrefixIndex, common_prefix_length
from unified_mlx_app.identity import Namespace, first_difference
from unified_mlx_app.types import ChangedPrompt, MissReason

_MAX_REMEMBERED = 256
_MIN_SHARED_TOKENS = 16
"""Sharing less than this and less than half of the part that makes a hit is chance: every chat begins alike."""
_MAX_COMPARED = 4
"""Comparing one stored prompt takes some 0.1 ms of the engine's time."""
_MAX_GONE_COMPARED = 32


@dataclass(frozen=True, slots=True)
class _Gone:
    namespace: Namespace
    tokens: NDArray[np.int32]
    reason: MissReason


class MissExplainer:
    """Engine thread only."""

    def __init__(self) -> None:
        self._gone: OrderedDict[str, _Gone] = OrderedDict()
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    def count(self, reason: MissReason) -> None:
        self._counts[reason] += 1

    def remember(self, namespace: Namespace, tokens: NDArray[np.int32], reason: MissReason) -> None:
        """An entry is gone for `reason`; the newest few hundred are remembered, tokens only."""
        key = entry_key(namespace.digest, tokens)
        self._gone[key] = _Gone(namespace, tokens, reason)
        self._gone.move_to_end(key)
        if len(self._gone) > _MAX_REMEMBERED:
            self._gone.popitem(last=False)

    def clear(self) -> None:
        """Forget what was stored; the counts stay."""
        self._gone.clear()

    def explain(
        self, namespace: Namespace, tokens: NDArray[np.int32], shared_tokens: int, indexes: dict[str, PrefixIndex[Entry]]
    ) -> MissReason:
        """The reason that accounts for the longest start of `tokens`: lost here, stored under another identity, or diverged."""
        candidates: list[tuple[int, int, MissReason]] = []
        for gone in self._gone.values():
            if gone.namespace.digest == namespace.digest:
                candidates.append((common_prefix_length(gone.tokens, tokens), 2, gone.reason))
        for digest, index in indexes.items():
            match = index.match(tokens)
            if digest == namespace.digest:
                candidates.append((match.num_tokens, 0, "diverged"))
            elif (near := [*match.prefixes, *match.continuations]) and near[0].namespace.model_id == namespace.model_id:
                candidates.append((match.num_tokens, 1, first_difference(namespace, near[0].namespace) or "cold"))
        length, _, reason = max(candidates, default=(0, 0, "cold"))
        is_meaningful = length >= min(_MIN_SHARED_TOKENS, max(1, shared_tokens // 2))
        return reason if is_meaningful else "cold"

    def changes(
        self, namespace: Namespace, tokens: NDArray[np.int32], index: PrefixIndex[Entry], *, with_gone: bool
    ) -> ChangedPrompt | None:
        """How `tokens` differ from the stored prompt that lost the most to spans that changed; None if nothing did.

        With `with_gone` prompts that are stored no longer count as well.
        """
        match = index.match(tokens)
        if len(tokens) - match.num_tokens < MIN_SHARED_AFTER:
            return None
        recent = sorted(match.continuations, key=lambda entry: entry.last_used_at, reverse=True)[:_MAX_COMPARED]
        near = [entry.tokens for entry in recent]
        if with_gone:
            newest = [gone for gone in self._gone.values() if gone.namespace.digest == namespace.digest][-_MAX_GONE_COMPARED:]
            gone = [each.tokens for each in reversed(newest) if common_prefix_length(each.tokens, tokens) >= match.num_tokens]
            near += gone[:_MAX_COMPARED]
        found = [changed for stored in near if (changed := find_changes(stored, tokens)) is not None]
        return max(found, key=lambda changed: changed.lost_tokens, default=None)

"""Why a look-up found nothing: remembers what was stored once and counts the reasons."""

from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.cache.changed_spans import MIN_SHARED_AFTER, find_changes
from unified_mlx_app.cache.entry import Entry
from unified_mlx_app.cache.keys import entry_key
from unified_mlx_app.cache.lookup import Prompt
from unified_mlx_app.cache.prefix_index import PrefixIndex, PrefixMatch, common_prefix_length
from unified_mlx_app.identity import Namespace, first_difference
from unified_mlx_app.types import ChangedPrompt, MissReason

_MAX_REMEMBERED = 256
_MIN_SHARED_TOKENS = 16
"""Sharing less than this and less than half of the part that makes a hit is chance: every chat begins alike."""
_MAX_COMPARED = 4
"""Comparing one stored prompt takes 0.1 to 0.8 ms of the engine's time, the more the more spans changed (100,000 tokens)."""
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

    def explain(self, prompt: Prompt, found: PrefixMatch[Entry], indexes: dict[str, PrefixIndex[Entry]]) -> MissReason:
        """The reason that accounts for the longest start of `prompt`: lost here, stored under another identity, or diverged.

        `found` is what the prompt's own index has of it; `indexes` are all, by the digest of their namespace.
        """
        namespace, tokens = prompt.namespace, prompt.tokens
        candidates: list[tuple[int, int, MissReason]] = [(found.num_tokens, 0, "diverged")]
        for gone in self._gone.values():
            if gone.namespace.digest == namespace.digest:
                candidates.append((common_prefix_length(gone.tokens, tokens), 2, gone.reason))
        for index in (index for digest, index in indexes.items() if digest != namespace.digest):
            if (one := index.first()) is None or one.namespace.owner != namespace.owner:
                continue  # What belongs to others is not even compared.
            match = index.match(tokens)
            if (near := [*match.prefixes, *match.continuations]) and near[0].namespace.model_id == namespace.model_id:
                candidates.append((match.num_tokens, 1, first_difference(namespace, near[0].namespace) or "cold"))
        length, _, reason = max(candidates)
        is_meaningful = length >= min(_MIN_SHARED_TOKENS, max(1, prompt.shared_tokens // 2))
        return reason if is_meaningful else "cold"

    def changes(self, prompt: Prompt, found: PrefixMatch[Entry], *, with_gone: bool) -> ChangedPrompt | None:
        """How `prompt` differs from the stored prompt that lost the most to spans that changed; None if nothing did.

        With `with_gone` prompts that are stored no longer count as well.
        """
        tokens, digest = prompt.tokens, prompt.namespace.digest
        if len(tokens) - found.num_tokens < MIN_SHARED_AFTER:
            return None
        recent = sorted(found.continuations, key=lambda entry: entry.last_used_at, reverse=True)[:_MAX_COMPARED]
        near = [entry.tokens for entry in recent]
        if with_gone:
            newest = [gone for gone in self._gone.values() if gone.namespace.digest == digest][-_MAX_GONE_COMPARED:]
            gone = [each.tokens for each in reversed(newest) if common_prefix_length(each.tokens, tokens) >= found.num_tokens]
            near += gone[:_MAX_COMPARED]
        changed = [change for stored in near if (change := find_changes(stored, tokens)) is not None]
        return max(changed, key=lambda change: change.lost_tokens, default=None)

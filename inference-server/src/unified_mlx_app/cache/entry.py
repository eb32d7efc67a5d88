"""One stored prefix: its tokens, its identity, and where its KV state lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.cache.kv import KVState
from unified_mlx_app.identity import Namespace
from unified_mlx_app.types import CacheEntryInfo, CacheTier, EntryKind


@dataclass(slots=True, eq=False)
class Entry:
    """A record of the index, owned and mutated by the engine thread alone.

    `state` is the memory tier's part, `chain` the disk tier's: the keys of the segments that hold it, root first.
    `cuts` are the ascending positions at which the prefill that made the state was cut; what was generated has none.
    """

    key: str
    namespace: Namespace
    kind: EntryKind
    tokens: NDArray[np.int32]
    preview: str
    created_at: float
    last_used_at: float
    hits: int = 0
    state: KVState | None = None
    chain: tuple[str, ...] = ()
    is_on_disk: bool = False
    disk_bytes: int = 0
    is_trimmable: bool = True
    cuts: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def tiers(self) -> tuple[CacheTier, ...]:
        memory: tuple[CacheTier, ...] = ("memory",) if self.state is not None else ()
        return (*memory, "disk") if self.is_on_disk else memory

    @property
    def is_on_probation(self) -> bool:
        """One request's own tokens, not used again yet: they go first, so that one-off requests never push out shared prompts."""
        return self.kind in {"prompt", "conversation"} and self.hits == 0

    def info(self) -> CacheEntryInfo:
        return CacheEntryInfo(
            cache_key=self.key,
            model_id=self.namespace.model_id,
            kind=self.kind,
            prompt_preview=self.preview,
            token_count=self.num_tokens,
            num_bytes=self.state.num_bytes if self.state is not None else self.disk_bytes,
            tiers=self.tiers,
            hits=self.hits,
            created_at=self.created_at,
            last_used=self.last_used_at,
        )

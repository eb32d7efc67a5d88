"""The prompt cache: finds the longest stored prefix of a prompt, in memory or on disk, and keeps what requests compute.

Everything here runs on the engine thread; file work happens on the DiskStore's own thread and comes back through `poll`.
A cache can fail only into a miss: whatever goes wrong, the request is served cold.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import structlog
from numpy.typing import NDArray

from unified_mlx_app.cache.disk import DiskStore
from unified_mlx_app.cache.disk_events import ReadDone, ReadFailed, Removed, WriteFailed, Written
from unified_mlx_app.cache.entry import Entry
from unified_mlx_app.cache.keys import entry_key
from unified_mlx_app.cache.kv import KVState, UnsupportedCacheError, from_segments, to_tensors
from unified_mlx_app.cache.lookup import MIN_PROMPT_TOKENS, Match, Prompt, best_match
from unified_mlx_app.cache.memory import MemoryTier
from unified_mlx_app.cache.misses import MissExplainer
from unified_mlx_app.cache.prefix_index import PrefixIndex
from unified_mlx_app.cache.reports import LookupReports
from unified_mlx_app.cache.segment import LoadedSegment, Segment, SegmentInfo
from unified_mlx_app.identity import Namespace
from unified_mlx_app.types import CacheEntryInfo, CacheReport, CacheStats, EntryKind, MissReason

log = structlog.get_logger()

ReadCallback = Callable[[KVState | None, MissReason | None], None]


class PromptCacheService:
    """Memory and disk tiers behind one index per namespace."""

    def __init__(
        self,
        *,
        enabled: bool,
        max_entries: int,
        max_memory_bytes: int,
        disk: DiskStore | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.enabled = enabled
        self._memory = MemoryTier(max_entries=max_entries, max_bytes=max_memory_bytes)
        self._disk = disk
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._indexes: dict[str, PrefixIndex[Entry]] = {}
        self._misses = MissExplainer()
        self._reports = LookupReports(self._misses, self._indexes)
        self._num_memory_evictions = 0
        self._reads: dict[int, tuple[Entry, ReadCallback]] = {}
        self._num_reads = 0

    # ------------------------------------------------------------------ life

    def open(self) -> None:
        """Index what the disk tier holds; payloads stay unread until they are needed."""
        if self._disk is None or not self.enabled:
            return
        segments = {info.key: info for info in self._disk.open()}
        for info in sorted(segments.values(), key=lambda info: info.end_tokens):
            self._index_segment(info, segments)
        log.info("prompt_cache_opened", num_entries=len(self._entries), num_bytes=self._disk.num_bytes)

    def close(self, drain_seconds: float) -> None:
        """Land queued writes."""
        if self._disk is not None:
            self._disk.close(drain_seconds)

    # --------------------------------------------------------------- look-up

    def lookup(self, prompt: Prompt) -> Match | None:
        """The stored state that saves the most of `prompt`, at most all but its last token; memory wins a tie.

        Costs O(len(prompt.tokens)); changes nothing.
        """
        is_asked = self.enabled and prompt.is_long_enough
        return best_match(self._index(prompt.namespace), prompt) if is_asked else None

    def read(self, entry: Entry, on_done: ReadCallback) -> None:
        """Bring the state of `entry` from disk; a later `poll` calls `on_done` with the state, or with the reason there is none.

        On failure the entry is gone and the caller looks up again.
        """
        assert self._disk is not None
        self._num_reads += 1
        self._reads[self._num_reads] = (entry, on_done)
        self._disk.read(self._num_reads, entry.chain)

    def report(self, prompt: Prompt, match: Match | None, failed: MissReason | None, *, is_counted: bool) -> CacheReport:
        """Say what the cache did for a request, count it once, and mark what it used as just used."""
        if not self.enabled:
            return CacheReport(outcome="off", miss_reason="disabled")
        found = self._index(prompt.namespace).match(prompt.tokens)
        report = self._reports.report(prompt, match, failed, found, is_counted=is_counted)
        if match is not None:
            self._use(match, found.prefixes, is_counted=is_counted)
        return report

    # ---------------------------------------------------------------- insert

    def insert(self, namespace: Namespace, tokens: NDArray[np.int32], state: KVState, *, kind: EntryKind, preview: str) -> None:
        """Store `state`, which holds exactly `tokens`; all but "prompt" entries go to disk as well, behind the caller's back."""
        assert len(tokens) == state.num_tokens
        if not self.enabled or len(tokens) < MIN_PROMPT_TOKENS - 1:
            return
        key = entry_key(namespace.digest, tokens)
        entry = self._entries.get(key)
        if entry is None:
            now = self._clock()
            entry = Entry(key, namespace, kind, tokens, preview, now, now, is_trimmable=state.is_trimmable)
            self._entries[key] = entry
            self._index(namespace).insert(tokens, entry)
        if kind != "prompt":
            entry.kind = kind
            self._persist(entry, state)
        if entry.state is None:
            entry.state, entry.cuts = state, state.cuts
            self._drop_covered(entry)
            self._evicted(self._memory.add(entry))
        else:
            self._memory.touch(entry)

    def has(self, namespace: Namespace, tokens: NDArray[np.int32], kind: EntryKind) -> bool:
        """Whether exactly `tokens` are in memory already, and not only as the passing "prompt" of another request."""
        entry = self._entries.get(entry_key(namespace.digest, tokens))
        return entry is not None and entry.state is not None and (entry.kind != "prompt" or kind == "prompt")

    def shrink_memory(self, max_bytes: int) -> int:
        """Give memory back to live requests: evict until at most `max_bytes` are held. Returns the bytes freed."""
        before = self._memory.num_bytes
        self._evicted(self._memory.shrink(max_bytes))
        return before - self._memory.num_bytes

    # ----------------------------------------------------------------- admin

    def entries(self) -> list[CacheEntryInfo]:
        """All entries, last used first."""
        return [entry.info() for entry in sorted(self._entries.values(), key=lambda entry: entry.last_used_at, reverse=True)]

    def delete(self, key: str) -> int:
        """Remove an entry and what continues it, so that its tokens miss from now on. Returns how many entries went."""
        entry = self._entries.get(key)
        if entry is None:
            return 0
        doomed = self._index(entry.namespace).values_under(entry.tokens)
        for other in doomed:
            if self._disk is not None and other.chain:
                self._disk.forget_queued(other.key)
            self._memory.remove(other)
            self._forget(other, None)
        if self._disk is not None:
            self._disk.delete([other.key for other in doomed if other.is_on_disk])
        return len(doomed)

    def clear(self) -> int:
        """Remove everything. Returns how many entries went."""
        num_entries = len(self._entries)
        for entry in list(self._entries.values()):
            self._memory.remove(entry)
            if self._disk is not None:
                self._disk.forget_queued(entry.key)
        if self._disk is not None:
            self._disk.clear()
        self._entries.clear()
        self._indexes.clear()
        self._misses.clear()
        return num_entries

    @property
    def memory_bytes(self) -> int:
        return self._memory.num_bytes

    def stats(self) -> CacheStats:
        counts, disk = self._reports.counts, self._disk
        return CacheStats(
            enabled=self.enabled,
            persist=disk is not None and disk.is_available,
            memory_entries=len(self._memory),
            memory_bytes=self._memory.num_bytes,
            disk_entries=disk.num_entries if disk else 0,
            disk_bytes=disk.num_bytes if disk else 0,
            max_entries=self._memory.max_entries,
            max_memory_bytes=self._memory.max_bytes,
            max_disk_bytes=disk.max_bytes if disk else 0,
            total_hits=counts.hits,
            total_misses=counts.misses,
            partial_hits=counts.partial_hits,
            hit_rate=counts.hit_rate,
            tokens_saved=counts.tokens_saved,
            misses_by_reason=self._misses.counts,
            memory_evictions=self._num_memory_evictions,
            disk_evictions=disk.evictions if disk else 0,
            quarantined=disk.quarantined if disk else 0,
            disk_write_errors=disk.write_errors if disk else 0,
            pending_writes=disk.pending_writes if disk else 0,
        )

    # ------------------------------------------------------------ disk events

    def poll(self) -> None:
        """Take in what the disk thread has done since the last call; never blocks."""
        for event in self._disk.poll() if self._disk is not None else ():
            match event:
                case Written(info):
                    self._on_written(info)
                case WriteFailed(key, _):
                    self._on_gone([key], "evicted")
                case Removed(keys, cause):
                    self._on_gone(keys, "corrupt" if cause == "corrupt" else "evicted")
                case ReadDone(ticket, segments):
                    entry, on_done = self._reads.pop(ticket)
                    on_done(*self._install(entry, segments))
                case ReadFailed(ticket, error, _):
                    entry, on_done = self._reads.pop(ticket)
                    reason: MissReason = "corrupt" if error == "corrupt" else "evicted"
                    self._lose_disk(entry, reason)
                    on_done(None, reason)

    def _install(self, entry: Entry, segments: Sequence[LoadedSegment]) -> tuple[KVState | None, MissReason | None]:
        try:
            state = from_segments(segments)
        except (ValueError, KeyError, RuntimeError, IndexError, TypeError) as error:
            # The bytes were verified, so this is a layout that this version does not understand.
            log.warning("cache_entry_unusable", key=entry.key, error=str(error))
            self.delete(entry.key)
            return None, "corrupt"
        if entry.state is None and self._is_indexed(entry):
            entry.state, entry.cuts = state, state.cuts
            self._evicted(self._memory.add(entry))
        return state, None

    def _on_written(self, info: SegmentInfo) -> None:
        entry = self._entries.get(info.key)
        if entry is None:
            return
        # Another server may have written this key first, on another parent.
        parent = self._entries.get(info.parent_key) if info.parent_key else None
        if info.parent_key is None or parent is not None:
            entry.chain = (*(parent.chain if parent else ()), info.key)
            entry.is_on_disk, entry.disk_bytes = True, info.num_bytes

    def _index_segment(self, info: SegmentInfo, segments: dict[str, SegmentInfo]) -> None:
        """Add an entry for the chain of segments that ends with `info`; a chain with a hole is left to the quota."""
        chain = [info]
        while (parent_key := chain[0].parent_key) is not None:
            parent = segments.get(parent_key)
            if parent is None or parent.end_tokens != chain[0].start_tokens:
                return
            chain.insert(0, parent)
        tokens = np.concatenate([part.tokens for part in chain])
        entry = Entry(
            info.key, info.namespace, info.kind, tokens, info.preview, info.created_at, info.last_used,
            chain=tuple(part.key for part in chain), is_on_disk=True, disk_bytes=info.num_bytes, is_trimmable=info.is_trimmable,
            cuts=info.cuts,
        )  # fmt: skip
        if entry_key(info.namespace.digest, tokens) == info.key:
            self._entries[info.key] = entry
            self._index(info.namespace).insert(tokens, entry)

    # --------------------------------------------------------------- internal

    def _index(self, namespace: Namespace) -> PrefixIndex[Entry]:
        return self._indexes.setdefault(namespace.digest, PrefixIndex())

    def _use(self, match: Match, prefixes: Sequence[Entry], *, is_counted: bool) -> None:
        """The entry used and every stored part of it that the prompt repeats, of `prefixes`, count as used now."""
        now = self._clock()
        covered = [entry for entry in prefixes if entry.num_tokens <= match.num_tokens]
        for entry in {id(entry): entry for entry in (match.entry, *covered)}.values():
            entry.last_used_at, entry.hits = now, entry.hits + is_counted
            self._memory.touch(entry)
            if entry.is_on_disk and self._disk is not None:
                self._disk.touch(entry.key)

    def _drop_covered(self, entry: Entry) -> None:
        """A longer state makes the states of this request's earlier steps needless, where states can be trimmed."""
        if not entry.is_trimmable:
            return
        for other in self._index(entry.namespace).match(entry.tokens).prefixes:
            if other is not entry and other.kind in {"prompt", "conversation"} and other.state is not None:
                self._memory.remove(other)
                if not other.chain:
                    self._forget(other, None)

    def _persist(self, entry: Entry, state: KVState) -> None:
        """Queue what `entry` adds to its longest prefix on disk that was computed in the same way."""
        if self._disk is None or entry.chain:
            return
        prefixes = self._index(entry.namespace).match(entry.tokens).prefixes
        stored = (other for other in reversed(prefixes) if other.chain and other is not entry)
        parent = next((other for other in stored if _is_made_alike(other, state)), None)
        start_tokens = parent.num_tokens if parent else 0
        try:
            layers, tensors = to_tensors(state, start_tokens)
        except (UnsupportedCacheError, KeyError) as error:
            log.warning("cache_entry_not_persisted", error=str(error))
            return
        entry.chain = (*(parent.chain if parent else ()), entry.key)
        self._disk.write(
            Segment(
                key=entry.key,
                parent_key=parent.key if parent else None,
                namespace=entry.namespace,
                kind=entry.kind,
                preview=entry.preview,
                created_at=entry.created_at,
                start_tokens=start_tokens,
                end_tokens=entry.num_tokens,
                tokens=entry.tokens[start_tokens:],
                layers=layers,
                tensors=tensors,
                is_trimmable=entry.is_trimmable,
                cuts=state.cuts,
            )
        )

    def _evicted(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._num_memory_evictions += 1
            if not entry.chain:
                self._forget(entry, "evicted")

    def _on_gone(self, keys: Sequence[str], reason: MissReason) -> None:
        """The disk tier lost `keys`: entries that need one of them are in memory only, or gone."""
        lost = set(keys)
        for entry in [entry for entry in self._entries.values() if lost.intersection(entry.chain)]:
            self._lose_disk(entry, reason)

    def _lose_disk(self, entry: Entry, reason: MissReason = "evicted") -> None:
        entry.chain, entry.is_on_disk, entry.disk_bytes = (), False, 0
        if entry.state is None:
            self._forget(entry, reason)

    def _is_indexed(self, entry: Entry) -> bool:
        """False once it was forgotten: a read under way may end later, when its tokens are stored anew."""
        return self._entries.get(entry.key) is entry

    def _forget(self, entry: Entry, reason: MissReason | None) -> None:
        if not self._is_indexed(entry):
            return
        del self._entries[entry.key]
        self._index(entry.namespace).remove(entry.tokens)
        if reason is not None:
            self._misses.remember(entry.namespace, entry.tokens, reason)


def _is_made_alike(entry: Entry, state: KVState) -> bool:
    """Whether the start of `state` has the bits of `entry`: cut alike, or continued from it where its generated tokens ended."""
    cuts = tuple(cut for cut in state.cuts if cut <= entry.num_tokens)
    return cuts in {entry.cuts, (*entry.cuts, entry.num_tokens)}

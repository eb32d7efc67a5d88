"""The memory tier: which entries hold their KV state in memory, bounded by count and by bytes, least recently used out first.

Owners share it fairly: what goes is of the owner that holds most of what there is too much of. So whoever holds no more than
an equal part of a bound loses nothing to the others, however much they store.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator

from unified_mlx_app.cache.entry import Entry


class MemoryTier:
    """Engine thread only. Evicting an entry drops its state; requests that were lent arrays of it keep those."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def add(self, entry: Entry) -> list[Entry]:
        """Hold `entry`, which has its state, as the last used one. Returns those evicted for it, perhaps `entry` itself."""
        assert entry.state is not None
        assert entry.key not in self._entries
        self._entries[entry.key] = entry
        self.num_bytes += entry.state.num_bytes
        return self.shrink(self.max_bytes)

    def touch(self, entry: Entry) -> None:
        """Mark as last used; entries not held are ignored."""
        if entry.key in self._entries:
            self._entries.move_to_end(entry.key)

    def remove(self, entry: Entry) -> None:
        """Drop the state of `entry`; entries not held are ignored."""
        if self._entries.pop(entry.key, None) is not None and entry.state is not None:
            self.num_bytes -= entry.state.num_bytes
            entry.state = None

    def shrink(self, max_bytes: int) -> list[Entry]:
        """Evict until both bounds hold and at most `max_bytes` are held. Returns the evicted, first out first."""
        evicted: list[Entry] = []
        while self._entries and (len(self._entries) > self.max_entries or self.num_bytes > max_bytes):
            victim = self._victim(by_count=len(self._entries) > self.max_entries)
            self.remove(victim)
            evicted.append(victim)
        return evicted

    def _victim(self, *, by_count: bool) -> Entry:
        held: Counter[str] = Counter()
        for entry in self._entries.values():
            assert entry.state is not None
            held[entry.namespace.owner] += 1 if by_count else entry.state.num_bytes
        most = max(held.values())
        of_largest = [entry for entry in self._entries.values() if held[entry.namespace.owner] == most]
        return next((entry for entry in of_largest if entry.is_on_probation), of_largest[0])

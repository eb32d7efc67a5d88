"""Complete answers of deterministic requests, kept in memory and off by default.

Used on the event loop only. An answer is stored as its merged events, so that streaming and
non-streaming requests replay the same one.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec
from msgspec.structs import replace

from unified_mlx_app.engine.messages import Chunk, Finished, Generate
from unified_mlx_app.types import ModelSpec


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """One chunk and one end for every choice."""

    events: tuple[Chunk | Finished, ...]


def is_deterministic(command: Generate) -> bool:
    """Whether the same command must give the same answer: greedy, or drawn with a seed."""
    is_repeatable = command.sampling.temperature == 0 or command.sampling.seed is not None
    return is_repeatable and not command.is_warmup and command.prompt_logprobs is None


def _file_states(folder: str | None) -> list[tuple[str, int, int]]:
    if folder is None:
        return []
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def model_state(spec: ModelSpec) -> bytes:
    """Changes whenever a file of the model or of its adapter is replaced. Blocks on the file system."""
    state = [spec.path, spec.adapter_path, _file_states(spec.path), _file_states(spec.adapter_path)]
    return hashlib.sha256(msgspec.msgpack.encode(state)).digest()


def response_key(command: Generate, state: bytes) -> bytes:
    """Digest of who shares the answer and of all that shapes it: model files, prompt tokens, sampling, number of choices."""
    sampling, markup = command.sampling, command.markup
    # msgspec sorts no dictionaries whose keys are numbers.
    unordered = [sorted(sampling.logit_bias.items()), sorted(markup.shown_tokens.items())]
    sampling, markup = replace(sampling, logit_bias={}), replace(markup, shown_tokens={})
    fields = [state, command.prompt, sampling, markup, unordered, command.num_choices, command.constraint, command.cache_owner]
    return hashlib.sha256(msgspec.msgpack.encode(fields)).digest()


class ResponseCache:
    """The `max_entries` answers used last."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, CachedResponse] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: bytes) -> CachedResponse | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def insert(self, key: bytes, events: list[Chunk | Finished]) -> None:
        """Stores a complete answer; `events` hold a Finished for each choice."""
        self._entries[key] = CachedResponse(_merged(events))
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()


def _merged(events: list[Chunk | Finished]) -> tuple[Chunk | Finished, ...]:
    merged: list[Chunk | Finished] = []
    for finished in sorted((event for event in events if isinstance(event, Finished)), key=lambda event: event.choice):
        chunks = [event for event in events if isinstance(event, Chunk) and event.choice == finished.choice]
        has_logprobs = any(chunk.logprobs is not None for chunk in chunks)
        merged.append(
            Chunk(
                request_id=finished.request_id,
                choice=finished.choice,
                text="".join(chunk.text for chunk in chunks),
                token_ids=[token for chunk in chunks for token in chunk.token_ids],
                text_ends=list(accumulate(len(chunk.text) for chunk in chunks for _ in chunk.token_ids)),
                logprobs=[entry for chunk in chunks for entry in chunk.logprobs or ()] if has_logprobs else None,
            )
        )
        merged.append(finished)
    return tuple(merged)

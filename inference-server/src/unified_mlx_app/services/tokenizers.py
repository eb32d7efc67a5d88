"""The tokenizers of the models: loaded from their folders without running code of theirs, kept, and shared by requests."""

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tokenizers import Encoding, Tokenizer
from transformers import AutoTokenizer

from unified_mlx_app import harmony
from unified_mlx_app.errors import InvalidRequestError, ModelLoadError
from unified_mlx_app.models.local_models import UnusableModelError, context_length, read_json_object
from unified_mlx_app.types import ModelSpec

MAX_TEXT_BYTES = 4 * 2**20
MAX_TOKENIZER_BYTES = 64 * 2**20
MAX_VOCAB_SIZE = 1_000_000
MAX_LOADED = 16
INLINE_CHARACTERS = 2_000
"""A text of this length is encoded in less time than a thread takes to start on it."""

_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
)

P = ParamSpec("P")
T = TypeVar("T")
Fingerprint = tuple[tuple[str, int, int], ...]


def _byte_of_character() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character; this is GPT-2's table, turned round."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTE_OF_CHARACTER = _byte_of_character()


@dataclass(frozen=True, slots=True)
class LoadedTokenizer:
    """One model's tokenizer. All methods may be called from any thread; the coroutines keep long texts off the event loop."""

    backend: Tokenizer
    vocab_size: int
    eos_token_ids: frozenset[int]
    max_context_tokens: int | None
    chat_template: str | dict[str, str] | None
    special_tokens: dict[str, str]
    """What templates call `bos_token`, `eos_token` and so on."""
    is_byte_level: bool
    added_token_ids: frozenset[int] = frozenset()
    """Tokens that stand in no alphabet: their text is what it says."""
    tool_parser_type: str | None = None
    """How the model writes tool calls, where its converter said so, in mlx-lm's words."""

    def template_for(self, *, has_tools: bool) -> str | None:
        """The chat template to use; a model may have one of its own for tools."""
        if isinstance(self.chat_template, dict):
            named = self.chat_template.get("tool_use") if has_tools else None
            return named or self.chat_template.get("default")
        return self.chat_template

    def speaks_harmony(self) -> bool:
        """Whether answers are in harmony, gpt-oss's format: it has those control tokens, and its template uses them."""
        if not harmony.is_harmony_template(self.template_for(has_tools=True) or ""):
            return False
        return all(self.backend.token_to_id(token) is not None for token in harmony.TOKENS)

    def template_digest(self) -> str | None:
        """SHA-256 of the model's chat templates, None without one."""
        if not self.chat_template:
            return None
        return sha256(json.dumps(self.chat_template, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()

    async def encode(self, text: str, *, add_special_tokens: bool, param: str = "prompt") -> list[int]:
        """Token ids of `text`. Raises InvalidRequestError, naming `param`, when it is too long or is not Unicode text."""
        check_text(text, param=param)
        return await _off_loop(text, self._encode, text, add_special_tokens=add_special_tokens)

    async def encode_chat(self, text: str, *, char_ends: Sequence[int]) -> tuple[list[int], list[int]]:
        """Token ids of a rendered chat, and for each of `char_ends` how many leading tokens lie wholly before that character.

        Raises InvalidRequestError with param `messages` like `encode`.
        """
        check_text(text, param="messages")
        return await _off_loop(text, self._encode_chat, text, char_ends)

    async def char_of_token(self, text: str, token_index: int) -> int | None:
        """Where in a rendered chat the text of a token begins; None when there is no such token."""
        return await _off_loop(text, self._char_of_token, text, token_index)

    async def chars_of_tokens(
        self, text: str, spans: Sequence[tuple[int, int]], *, add_special_tokens: bool
    ) -> list[tuple[int, int]]:
        """Where in `text` half-open spans of its tokens lie, with the blanks before them and the whole of shared characters."""
        return await _off_loop(text, self._chars_of_tokens, text, spans, add_special_tokens=add_special_tokens)

    def _encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self._encoding(text, add_special_tokens=add_special_tokens).ids

    def _encoding(self, text: str, *, add_special_tokens: bool) -> Encoding:
        """tokenizers 0.23 gives up the interpreter's lock in `encode_batch` and keeps it in `encode`."""
        return self.backend.encode_batch([text], add_special_tokens=add_special_tokens)[0]

    def _encode_chat(self, text: str, char_ends: Sequence[int]) -> tuple[list[int], list[int]]:
        encoding = self._encoding(text, add_special_tokens=False)
        return encoding.ids, [_tokens_before(char_end, encoding) for char_end in char_ends]

    def _char_of_token(self, text: str, token_index: int) -> int | None:
        encoding = self._encoding(text, add_special_tokens=False)
        chars = encoding.token_to_chars(token_index) if 0 <= token_index < len(encoding) else None
        return chars[0] if chars else None

    def _chars_of_tokens(self, text: str, spans: Sequence[tuple[int, int]], *, add_special_tokens: bool) -> list[tuple[int, int]]:
        offsets = self._encoding(text, add_special_tokens=add_special_tokens).offsets
        found: list[tuple[int, int]] = []
        for start, end in spans:
            before = offsets[start - 1][1] if start > 0 else 0
            first = min(before, offsets[start][0]) if start < len(offsets) else before
            found.append((first, max([first, *(stop for _, stop in offsets[start:end])])))
        return found

    def decode(self, token_ids: list[int]) -> str:
        """Text of the tokens, control tokens included."""
        return self.backend.decode(token_ids, skip_special_tokens=False)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that one token stands for, which may be a part of a character; empty for an id without a token."""
        token = self.backend.id_to_token(token_id)
        if token is None:
            return b""
        if token_id in self.added_token_ids:
            return token.encode("utf-8", "replace")
        if self.is_byte_level:
            return bytes(_BYTE_OF_CHARACTER[character] for character in token if character in _BYTE_OF_CHARACTER)
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes.fromhex(token[3:5])
        return token.replace("▁", " ").encode()


async def _off_loop(text: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs) if len(text) <= INLINE_CHARACTERS else await asyncio.to_thread(function, *args, **kwargs)


def _tokens_before(char_end: int, encoding: Encoding) -> int:
    """A token across the border is not one of them, nor is any that follows it."""
    token = encoding.char_to_token(char_end)
    if token is not None:
        return token
    # The text ends there, or a normalizer dropped that character: count by the tokens' own ends.
    return sum(1 for _, end in encoding.offsets if end <= char_end)


def check_text(text: str, *, param: str) -> None:
    """Raises InvalidRequestError for a text that no tokenizer should see."""
    try:
        num_bytes = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"{param} holds a lone surrogate, which is not Unicode text.", param=param) from error
    if num_bytes > MAX_TEXT_BYTES:
        raise InvalidRequestError(f"{param} has {num_bytes} bytes; at most {MAX_TEXT_BYTES} are taken.", param=param)


class Tokenizers:
    """Tokenizers by folder, loaded on first use, in threads, and again when a file of theirs changed. For the event loop."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[str, Fingerprint], LoadedTokenizer] = OrderedDict()
        self._lock = threading.Lock()
        """Held while loading: two requests for one new model load it once."""

    async def get(self, spec: ModelSpec) -> LoadedTokenizer:
        """The tokenizer of the model. Raises ModelLoadError when its files are missing or cannot be used."""
        key = (spec.path, fingerprint_of(Path(spec.path)))
        if found := self._loaded.get(key):
            return found
        return await asyncio.to_thread(self._load, key)

    def _load(self, key: tuple[str, Fingerprint]) -> LoadedTokenizer:
        with self._lock:
            if found := self._loaded.get(key):
                return found
            loaded = self._loaded[key] = load_tokenizer(Path(key[0]))
            for stale in [other for other in self._loaded if other[0] == key[0] and other != key]:
                del self._loaded[stale]
            while len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
            return loaded


def fingerprint_of(path: Path) -> Fingerprint:
    """Names, sizes and times of the files that make up the tokenizer in `path`: eight `stat` calls, some 20 microseconds."""
    found: list[tuple[str, int, int]] = []
    for name in _FILES:
        try:
            stat = (path / name).stat()
        except OSError:
            continue
        found.append((name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def load_tokenizer(path: Path) -> LoadedTokenizer:
    """Read the tokenizer in `path`. Raises ModelLoadError."""
    for name in ("tokenizer.json", "tokenizer.model"):
        if (path / name).is_file() and (path / name).stat().st_size > MAX_TOKENIZER_BYTES:
            raise ModelLoadError(f"The model's {name} is larger than {MAX_TOKENIZER_BYTES} bytes.")
    try:
        config = read_json_object(path / "config.json")
        tokenizer: Any = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False, local_files_only=True)
    # The files are another's making, and transformers raises many kinds of errors on broken ones.
    except Exception as error:
        raise ModelLoadError("The model's tokenizer files are missing or cannot be read.") from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelLoadError("The model has no tokenizer.json; only such tokenizers are served.")
    backend.no_truncation()
    backend.no_padding()
    vocab_size = backend.get_vocab_size(with_added_tokens=True)
    if vocab_size > MAX_VOCAB_SIZE:
        raise ModelLoadError(f"The model's vocabulary has {vocab_size} entries; at most {MAX_VOCAB_SIZE} are taken.")
    return LoadedTokenizer(
        backend=backend,
        vocab_size=vocab_size,
        eos_token_ids=harmony.end_token_ids(_eos_token_ids(path, config, tokenizer.eos_token_id), backend.token_to_id),
        max_context_tokens=context_length(path, config),
        chat_template=tokenizer.chat_template,
        special_tokens={name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)},
        is_byte_level=_is_byte_level(backend),
        added_token_ids=frozenset(backend.get_added_tokens_decoder()),
        tool_parser_type=named if isinstance(named := tokenizer.init_kwargs.get("tool_parser_type"), str) else None,
    )


def _eos_token_ids(path: Path, config: dict[str, Any], of_tokenizer: int | None) -> frozenset[int]:
    """All ids that end an answer: the generation config goes before the config; the tokenizer's own is always one."""
    try:
        generation = read_json_object(path / "generation_config.json")
    except UnusableModelError:
        generation = {}
    of_config = generation.get("eos_token_id") or config.get("eos_token_id")
    listed = of_config if isinstance(of_config, list) else [of_config]
    return frozenset(token_id for token_id in [*listed, of_tokenizer] if isinstance(token_id, int))


def _is_byte_level(backend: Tokenizer) -> bool:
    """Whether tokens are written in the byte alphabet, which the decoder knows how to read."""
    decoder: Any = backend.decoder
    if decoder is None:
        return False
    described = json.loads(decoder.__getstate__())
    parts = described.get("decoders", [described])
    return any(part.get("type") == "ByteLevel" for part in parts)

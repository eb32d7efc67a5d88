"""The file format of one stored piece of KV state: how a segment becomes bytes and how bytes are proved to be one.

    magic 8 | version u32 | header bytes u32 | tokens u32 | payload bytes u64 | HMAC-SHA256 32     (little-endian)
    header: canonical JSON | tokens: int32 | payload: one safetensors blob

The HMAC covers everything before the payload, the header carries the payload's SHA-256, so no byte is unchecked, and
nothing is parsed before the HMAC holds. It detects rot and tampering offline; it does not defend against the same user.
"""

import hashlib
import hmac
import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.identity import Namespace
from unified_mlx_app.types import EntryKind

FORMAT_VERSION = 1

_MAGIC = b"MLXHUBKV"
_PREFIX = struct.Struct("<8sIIIQ32s")
_MAC_BYTES = 32
_MAX_HEADER_BYTES = 8 * 2**20
_MAX_TOKENS = 2**24
_MAX_TENSOR_HEADER_BYTES = 25 * 10**6
_KEY = re.compile(r"[0-9a-f]{64}")
_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


class SegmentError(Exception):
    """Bytes that are not the segment they should be; `reason` is a constant word for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ForeignVersionError(SegmentError):
    """A file of another format version: of no use here, yet maybe of use to another server."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """C-contiguous little-endian bytes under a safetensors dtype name; `data` must not change while it is queued."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview | bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """What one file holds: the KV state that tokens [start_tokens, end_tokens) add to its parent.

    An entry is the chain root → leaf; a root has no parent and starts at 0. `tokens` (int32) are those of the range only,
    `layers` are JSON-able descriptions, `created_at` is seconds since the epoch. `key` is the `entry_key` of tokens [0, end).
    `cuts` are the positions in [0, end] at which the prefill that made the state was cut.
    """

    key: str
    parent_key: str | None
    namespace: Namespace
    kind: EntryKind
    preview: str
    created_at: float
    start_tokens: int
    end_tokens: int
    tokens: NDArray[np.int32]
    layers: list[dict[str, Any]]
    tensors: tuple[Tensor, ...]
    is_trimmable: bool = True
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A stored segment without its state: `num_bytes` is the file's size, `last_used` its mtime."""

    key: str
    parent_key: str | None
    namespace: Namespace
    kind: EntryKind
    preview: str
    created_at: float
    start_tokens: int
    end_tokens: int
    tokens: NDArray[np.int32]
    num_bytes: int
    last_used: float
    is_trimmable: bool = True
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedSegment:
    """A verified segment: `payload` is the safetensors blob, the very bytes that were checked."""

    info: SegmentInfo
    layers: list[dict[str, Any]]
    payload: bytes


@dataclass(frozen=True, slots=True)
class EncodedSegment:
    """The bytes of a file in order, without a copy of the tensors."""

    buffers: tuple[bytes | memoryview, ...]
    num_bytes: int


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor as the header lists it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON header; its fields are those of `Segment`."""

    key: str
    parent_key: str | None
    namespace: Namespace
    kind: EntryKind
    preview: str
    created_at: float
    start_tokens: int
    end_tokens: int
    is_trimmable: bool
    cuts: tuple[int, ...]
    layers: list[dict[str, Any]]
    tensors: list[TensorSpec]
    payload_bytes: int
    payload_sha256: str


def is_key(text: str) -> bool:
    """Whether `text` may name a file: 64 lowercase hexadecimal digits."""
    return _KEY.fullmatch(text) is not None


def segment_info(source: Segment | Header, tokens: NDArray[np.int32], *, num_bytes: int, last_used: float) -> SegmentInfo:
    """What is known of a segment whose file has `num_bytes`."""
    return SegmentInfo(
        key=source.key,
        parent_key=source.parent_key,
        namespace=source.namespace,
        kind=source.kind,
        preview=source.preview,
        created_at=source.created_at,
        start_tokens=source.start_tokens,
        end_tokens=source.end_tokens,
        tokens=tokens,
        num_bytes=num_bytes,
        last_used=last_used,
        is_trimmable=source.is_trimmable,
        cuts=source.cuts,
    )


def encode_segment(segment: Segment, mac_key: bytes) -> EncodedSegment:
    """The file of `segment`. Hashes every byte once. Raises ValueError for a segment that contradicts itself."""
    _check_segment(segment)
    payload = tuple(_payload_buffers(segment.tensors))
    payload_bytes = sum(len(buffer) for buffer in payload)
    sha256 = hashlib.sha256()
    for buffer in payload:
        sha256.update(buffer)
    header = msgspec.json.encode(
        Header(
            key=segment.key,
            parent_key=segment.parent_key,
            namespace=segment.namespace,
            kind=segment.kind,
            preview=segment.preview,
            created_at=segment.created_at,
            start_tokens=segment.start_tokens,
            end_tokens=segment.end_tokens,
            is_trimmable=segment.is_trimmable,
            cuts=segment.cuts,
            layers=segment.layers,
            tensors=_specs(segment.tensors),
            payload_bytes=payload_bytes,
            payload_sha256=sha256.hexdigest(),
        ),
        order="sorted",
    )
    if len(header) > _MAX_HEADER_BYTES:
        raise ValueError(f"header of {len(header)} bytes")
    tokens = np.ascontiguousarray(segment.tokens, dtype="<i4").tobytes()
    lengths = (_MAGIC, FORMAT_VERSION, len(header), len(segment.tokens), payload_bytes)
    signed = _PREFIX.pack(*lengths, b"")[:-_MAC_BYTES]
    mac = _mac(mac_key, signed, header, tokens)
    head = b"".join((signed, mac, header, tokens))
    return EncodedSegment(buffers=(head, *payload), num_bytes=len(head) + payload_bytes)


def decode_head(
    read_exactly: Callable[[int], bytes], *, key: str, num_bytes: int, last_used: float, mac_key: bytes
) -> tuple[SegmentInfo, Header]:
    """Everything before the payload, proved genuine and to be the file of `key` with `num_bytes` in all.

    `read_exactly(n)` gives the next n bytes or raises SegmentError. Raises ForeignVersionError or SegmentError.
    """
    prefix = read_exactly(_PREFIX.size)
    magic, version, header_bytes, num_tokens, payload_bytes, mac = _PREFIX.unpack(prefix)
    if magic != _MAGIC:
        raise SegmentError("magic")
    if version != FORMAT_VERSION:
        raise ForeignVersionError("version")
    if header_bytes > _MAX_HEADER_BYTES or num_tokens > _MAX_TOKENS:
        raise SegmentError("bounds")
    if _PREFIX.size + header_bytes + 4 * num_tokens + payload_bytes != num_bytes:
        raise SegmentError("length")
    rest = read_exactly(header_bytes + 4 * num_tokens)
    raw_header, raw_tokens = rest[:header_bytes], rest[header_bytes:]
    if not hmac.compare_digest(mac, _mac(mac_key, prefix[:-_MAC_BYTES], raw_header, raw_tokens)):
        raise SegmentError("mac")
    try:
        header = msgspec.json.decode(raw_header, type=Header)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise SegmentError("header") from error
    if header.key != key:
        raise SegmentError("key")
    if not 0 < num_tokens == header.end_tokens - header.start_tokens or header.payload_bytes != payload_bytes:
        raise SegmentError("counts")
    tokens = np.frombuffer(raw_tokens, dtype="<i4")
    info = segment_info(header, tokens, num_bytes=num_bytes, last_used=last_used)
    return info, header


def decode_segment(
    read_exactly: Callable[[int], bytes], *, key: str, num_bytes: int, last_used: float, mac_key: bytes
) -> LoadedSegment:
    """The whole file, every byte proved genuine, its tensors exactly those that the header lists. Raises as `decode_head`."""
    info, header = decode_head(read_exactly, key=key, num_bytes=num_bytes, last_used=last_used, mac_key=mac_key)
    payload = read_exactly(header.payload_bytes)
    _check_payload(payload, header)
    return LoadedSegment(info=info, layers=header.layers, payload=payload)


def _check_segment(segment: Segment) -> None:
    if not is_key(segment.key) or not (segment.parent_key is None or is_key(segment.parent_key)):
        raise ValueError("a key is 64 hexadecimal digits")
    if not 0 <= segment.start_tokens < segment.end_tokens <= segment.start_tokens + _MAX_TOKENS:
        raise ValueError(f"tokens [{segment.start_tokens}, {segment.end_tokens})")
    if segment.tokens.shape != (segment.end_tokens - segment.start_tokens,):
        raise ValueError(f"tokens of shape {segment.tokens.shape}")
    if (segment.parent_key is None) != (segment.start_tokens == 0):
        raise ValueError("a root starts at 0, a child after its parent")
    if len({tensor.name for tensor in segment.tensors} - {"__metadata__"}) < len(segment.tensors):
        raise ValueError("tensor names repeat or are reserved")
    for tensor in segment.tensors:
        if min(tensor.shape, default=0) < 0 or memoryview(tensor.data).nbytes != math.prod(tensor.shape) * _ITEM_BYTES.get(
            tensor.dtype, -1
        ):
            raise ValueError(f"tensor {tensor.name}: {tensor.dtype} {tensor.shape} does not fit its bytes")


def _payload_buffers(tensors: tuple[Tensor, ...]) -> Iterator[bytes | memoryview]:
    yield _safetensors_header(_specs(tensors))
    for tensor in sorted(tensors, key=_layout_order):
        view = memoryview(tensor.data)
        if view.nbytes:  # an empty view cannot be cast
            yield view.cast("B")


def _check_payload(payload: bytes, header: Header) -> None:
    """The one safetensors header that the listed tensors prescribe stands there byte for byte, so no loader meets another.

    Stricter than the library's parser, which copies every tensor while it holds the interpreter lock.
    """
    if hashlib.sha256(payload).hexdigest() != header.payload_sha256:
        raise SegmentError("payload")
    if any(spec.dtype not in _ITEM_BYTES or min(spec.shape, default=0) < 0 for spec in header.tensors):
        raise SegmentError("tensors")
    try:
        expected = _safetensors_header(header.tensors)
    except ValueError as error:
        raise SegmentError("bounds") from error
    num_bytes = len(expected) + sum(spec.num_bytes for spec in header.tensors)
    if len(payload) != num_bytes or not payload.startswith(expected):
        raise SegmentError("tensors")


def _specs(tensors: tuple[Tensor, ...]) -> list[TensorSpec]:
    return [TensorSpec(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]


def _layout_order(tensor: Tensor | TensorSpec) -> tuple[int, str]:
    """The library's order: widest items first, so that all stay aligned."""
    return -_ITEM_BYTES[tensor.dtype], tensor.name


def _safetensors_header(specs: Sequence[TensorSpec]) -> bytes:
    """Length and JSON header of the safetensors blob that holds `specs` without holes. Raises ValueError if it is too long."""
    entries: dict[str, dict[str, Any]] = {}
    offset = 0
    for spec in sorted(specs, key=_layout_order):
        end = offset + spec.num_bytes
        entries[spec.name] = {"dtype": spec.dtype, "shape": spec.shape, "data_offsets": (offset, end)}
        offset = end
    header = msgspec.json.encode(entries)
    header += b" " * (-len(header) % 8)
    if len(header) > _MAX_TENSOR_HEADER_BYTES:
        raise ValueError(f"safetensors header of {len(header)} bytes")
    return len(header).to_bytes(8, "little") + header


def _mac(mac_key: bytes, signed: bytes, header: bytes, tokens: bytes) -> bytes:
    mac = hmac.new(mac_key, signed, hashlib.sha256)
    mac.update(header)
    mac.update(tokens)
    return mac.digest()

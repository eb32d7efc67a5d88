"""The file format: exact round trips, and no changed byte is ever accepted."""

import hashlib
import hmac
import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import pytest
import safetensors
from fixtures.segments import NAMESPACE, is_same, make_chain
from hypothesis import given, settings
from hypothesis import strategies as st
from unified_mlx_app.cache.segment import (
    ForeignVersionError,
    LoadedSegment,
    Segment,
    SegmentError,
    Tensor,
    decode_head,
    decode_segment,
    encode_segment,
)
from unified_mlx_app.identity import Namespace

KEY = b"k" * 32
PREFIX_BYTES = 60
MAC = slice(28, 60)
SEGMENT = make_chain(1, (16, 8))[1]


def encode(segment: Segment, mac_key: bytes = KEY) -> bytes:
    encoded = encode_segment(segment, mac_key)
    data = b"".join(encoded.buffers)
    assert len(data) == encoded.num_bytes
    return data


def reader(data: bytes) -> Callable[[int], bytes]:
    file = io.BytesIO(data)

    def read_exactly(num_bytes: int) -> bytes:
        piece = file.read(num_bytes)
        if len(piece) < num_bytes:
            raise SegmentError("truncated")
        return piece

    return read_exactly


def decode(data: bytes, key: str = SEGMENT.key) -> LoadedSegment:
    return decode_segment(reader(data), key=key, num_bytes=len(data), last_used=5.0, mac_key=KEY)


DATA = encode(SEGMENT)


@dataclass(frozen=True, slots=True)
class Parts:
    """A file taken apart; `join` signs it anew, as a writer with the key would."""

    header: bytes
    tokens: bytes
    payload: bytes

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        header_bytes, num_tokens = struct.unpack_from("<II", data, 12)
        tokens_at = PREFIX_BYTES + header_bytes
        payload_at = tokens_at + 4 * num_tokens
        return cls(data[PREFIX_BYTES:tokens_at], data[tokens_at:payload_at], data[payload_at:])

    def join(self) -> bytes:
        lengths = (len(self.header), len(self.tokens) // 4, len(self.payload))
        signed = struct.pack("<8sIIIQ", b"MLXHUBKV", 1, *lengths)
        return signed + hmac.digest(KEY, signed + self.header + self.tokens, "sha256") + self.header + self.tokens + self.payload

    def with_payload(self, payload: bytes) -> "Parts":
        """The header vouches for `payload`: only the check of the tensors themselves is left to find it bad."""
        sums = {"payload_sha256": hashlib.sha256(payload).hexdigest(), "payload_bytes": len(payload)}
        return Parts(json.dumps(json.loads(self.header) | sums).encode(), self.tokens, payload)


PARTS = Parts.of(DATA)
REGIONS = {
    "magic": (0, 8),
    "version": (8, 12),
    "lengths": (12, 28),
    "mac": (28, 60),
    "header": (PREFIX_BYTES, PREFIX_BYTES + len(PARTS.header)),
    "tokens": (PREFIX_BYTES + len(PARTS.header), len(DATA) - len(PARTS.payload)),
    "tensor_header": (len(DATA) - len(PARTS.payload), len(DATA) - len(PARTS.payload) + 200),
    "tensors": (len(DATA) - 288, len(DATA)),
}


def test_round_trip_keeps_every_byte_and_the_library_reads_the_payload() -> None:
    loaded = decode(DATA)

    assert is_same(loaded, SEGMENT)
    assert loaded.info.num_bytes == len(DATA)
    assert loaded.info.last_used == 5.0
    assert not loaded.info.tokens.flags.writeable


tensors = st.tuples(
    st.sampled_from(["F32", "F16", "BF16", "U32", "I32", "U8", "I64", "BOOL"]),
    st.lists(st.integers(0, 4), max_size=3),
)
ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "U8": 1, "I64": 8, "BOOL": 1}


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), tensors, max_size=6), st.randoms())
def test_any_tensors_survive_and_are_valid_for_the_library(shapes: dict[str, tuple[str, list[int]]], random: Random) -> None:
    made = tuple(
        Tensor(name, dtype, tuple(shape), random.randbytes(int(np.prod(shape, dtype=int)) * ITEM_BYTES[dtype]))
        for name, (dtype, shape) in shapes.items()
    )
    segment = replace(SEGMENT, tensors=made)

    assert is_same(decode(encode(segment)), segment)


def test_same_segment_gives_the_same_bytes() -> None:
    assert encode(make_chain(1, (16, 8))[1]) == DATA


def test_head_needs_no_byte_of_the_payload() -> None:
    head = DATA[: len(DATA) - len(PARTS.payload)]

    info, _ = decode_head(reader(head), key=SEGMENT.key, num_bytes=len(DATA), last_used=0.0, mac_key=KEY)

    assert info.parent_key == SEGMENT.parent_key


def assert_refused(data: bytes, key: str = SEGMENT.key) -> None:
    with pytest.raises(SegmentError):
        decode(data, key)


@pytest.mark.parametrize("region", REGIONS)
@given(data=st.data())
def test_flipped_bit_is_refused(region: str, data: st.DataObject) -> None:
    start, end = REGIONS[region]
    changed = bytearray(DATA)
    changed[data.draw(st.integers(start, end - 1))] ^= 1 << data.draw(st.integers(0, 7))

    assert_refused(bytes(changed))


@given(st.integers(0, len(DATA) - 1))
def test_truncated_file_is_refused(length: int) -> None:
    assert_refused(DATA[:length])


@given(st.integers(0, len(DATA) - 1), st.integers(1, 300))
def test_zeroed_bytes_are_refused(start: int, length: int) -> None:
    changed = DATA[:start] + bytes(len(DATA[start : start + length])) + DATA[start + length :]

    if changed != DATA:
        assert_refused(changed)


@given(st.integers(0, len(DATA) - 1))
def test_zero_tail_is_refused(length: int) -> None:
    changed = DATA[:length].ljust(len(DATA), b"\0")

    if changed != DATA:
        assert_refused(changed)


@given(st.binary(min_size=1, max_size=64))
def test_appended_bytes_are_refused(junk: bytes) -> None:
    assert_refused(DATA + junk)


@given(st.integers(0, len(DATA) - 9), st.integers(0, len(DATA) - 9), st.integers(1, 8))
def test_moved_bytes_are_refused(source: int, target: int, length: int) -> None:
    changed = DATA[:target] + DATA[source : source + length] + DATA[target + length :]

    if changed != DATA:
        assert_refused(changed)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert_refused(data)
    assert_refused(DATA[:12] + data)
    assert_refused(DATA[:PREFIX_BYTES] + data)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2), st.integers(0, 2**64 - 1))
def test_lying_lengths_are_refused_before_anything_is_read(small: list[int], large: int) -> None:
    lengths = struct.pack("<IIQ", *small, large)
    if lengths == DATA[12:28]:
        return
    asked: list[int] = []

    def read_exactly(num_bytes: int) -> bytes:
        asked.append(num_bytes)
        return (DATA[:12] + lengths + DATA[28:])[:num_bytes]

    with pytest.raises(SegmentError):
        decode_segment(read_exactly, key=SEGMENT.key, num_bytes=len(DATA), last_used=0.0, mac_key=KEY)
    assert sum(asked) <= len(DATA)


def test_file_under_another_name_is_refused() -> None:
    other = make_chain(2)[0]

    assert_refused(encode(other))
    assert_refused(DATA, other.key)


def test_file_of_a_foreign_namespace_is_refused() -> None:
    foreign = make_chain(1, (16, 8), namespace=Namespace("demo", "f" * 64, *["x"] * 5))[1]

    assert foreign.key != SEGMENT.key
    assert_refused(encode(foreign))


def test_file_of_another_folder_is_refused() -> None:
    assert_refused(encode(SEGMENT, mac_key=b"o" * 32))


@pytest.mark.parametrize("part", ["header", "tokens", "payload"])
def test_part_of_another_genuine_file_is_refused(part: str) -> None:
    other = Parts.of(encode(replace(make_chain(3, (16, 8))[1], key=SEGMENT.key, parent_key=SEGMENT.parent_key)))
    mixed = replace(PARTS, **{part: getattr(other, part)})

    assert len(getattr(mixed, part)) == len(getattr(PARTS, part))
    at = {"header": PREFIX_BYTES, "tokens": REGIONS["tokens"][0], "payload": len(DATA) - len(PARTS.payload)}[part]
    assert_refused(DATA[:at] + getattr(mixed, part) + DATA[at + len(getattr(mixed, part)) :])


@given(st.sampled_from(sorted(json.loads(PARTS.header))), st.data())
@settings(max_examples=60)
def test_edited_header_is_refused_without_the_key(field: str, data: st.DataObject) -> None:
    header = json.loads(PARTS.header)
    header[field] = data.draw(st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2)))
    joined = replace(PARTS, header=json.dumps(header).encode()).join()

    if header != json.loads(PARTS.header):
        assert_refused(joined[:28] + DATA[MAC] + joined[60:])


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]" * 50_000,
        b"[" * 100_000,
        b'{"key": "\xff"}',
        b"{}",
        PARTS.header.replace(b'"start_tokens":16', b'"start_tokens":15'),
        PARTS.header.replace(b'"system"', b'"other"').replace(b'"turn"', b'"other"'),
        PARTS.header[:-1] + b',"more":1}',
        PARTS.header.replace(b'"BF16"', b'"X9"'),
        PARTS.header.replace(b"[2,4]", b"[-2,-4]"),
        PARTS.header.replace(b"[2,4]", b"[4294967296,4294967296,4294967296,4294967296]"),
    ],
    ids=range(12),
)
def test_signed_header_that_makes_no_sense_is_refused(header: bytes) -> None:
    assert header != PARTS.header
    assert_refused(replace(PARTS, header=header).join())


def tensor_entry(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def blob(header: object, data: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


HOSTILE = {
    "overlap": blob({"a": tensor_entry([2], [0, 8]), "b": tensor_entry([2], [0, 8])}, bytes(8)),
    "hole": blob({"a": tensor_entry([2], [8, 16])}, bytes(16)),
    "trailing junk": blob({"a": tensor_entry([2], [0, 8])}, bytes(8) + b"JUNK" * 100),
    "duplicate keys": blob(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(8)
    ),
    "negative dimension": blob({"a": tensor_entry([-2], [0, 8])}, bytes(8)),
    "dimensions that overflow": blob({"a": tensor_entry([2**32, 2**32], [0, 0])}, b""),
    "end before start": blob({"a": tensor_entry([2], [8, 0])}, bytes(8)),
    "unknown dtype": blob({"a": tensor_entry([2], [0, 8], "X9")}, bytes(8)),
    "metadata": blob({"__metadata__": {"x": "y"}, "a": tensor_entry([2], [0, 8])}, bytes(8)),
    "length beyond the file": struct.pack("<Q", 2**63) + b"{}",
    "length beyond the bound": struct.pack("<Q", 26_000_000) + b"{}",
    "no header": b"",
    "short length": b"\x01\x02",
    "other tensors": safetensors.serialize({}),
    "same bytes, other shape": blob({"a": tensor_entry([4], [0, 8], "F16")}, bytes(8)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_safetensors_are_refused_even_when_signed(name: str) -> None:
    segment = replace(SEGMENT, tensors=(Tensor("a", "F32", (2,), bytes(8)),))
    parts = Parts.of(encode(segment))
    assert decode(parts.with_payload(parts.payload).join()).payload == parts.payload

    assert_refused(parts.with_payload(HOSTILE[name]).join())


@given(st.integers(0, 120), st.integers(0, 255))
def test_no_edit_of_a_signed_safetensors_header_is_accepted(at: int, value: int) -> None:
    payload = bytearray(PARTS.payload)
    payload[at] = value

    if bytes(payload) != PARTS.payload:
        assert_refused(PARTS.with_payload(bytes(payload)).join())


def test_other_format_version_is_told_apart() -> None:
    with pytest.raises(ForeignVersionError):
        decode(DATA[:8] + struct.pack("<I", 2) + DATA[12:])


@pytest.mark.parametrize(
    "wrong",
    [
        replace(SEGMENT, key="../" + "a" * 61),
        replace(SEGMENT, key=SEGMENT.key.upper()),
        replace(SEGMENT, parent_key="x"),
        replace(SEGMENT, parent_key=None),
        replace(SEGMENT, start_tokens=0),
        replace(SEGMENT, end_tokens=SEGMENT.start_tokens),
        replace(SEGMENT, tokens=SEGMENT.tokens[:-1]),
        replace(SEGMENT, tensors=(Tensor("a", "F32", (2,), bytes(7)),)),
        replace(SEGMENT, tensors=(Tensor("a", "F32", (-1, -2), bytes(8)),)),
        replace(SEGMENT, tensors=(Tensor("a", "X9", (2,), bytes(8)),)),
        replace(SEGMENT, tensors=(Tensor("__metadata__", "U8", (1,), b"x"),)),
        replace(SEGMENT, tensors=(Tensor("a", "U8", (1,), b"x"), Tensor("a", "U8", (1,), b"y"))),
        replace(SEGMENT, layers=[{"x": "y" * (9 * 2**20)}]),
    ],
    ids=range(13),
)
def test_segment_that_contradicts_itself_is_not_encoded(wrong: Segment) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_segment(wrong, KEY)


def test_namespace_travels_whole() -> None:
    assert decode(DATA).info.namespace == NAMESPACE

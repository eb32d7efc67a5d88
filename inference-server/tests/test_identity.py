"""Identity of KV state: what shares it, what does not, and why."""

import os
import stat
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fixtures.segments import NAMESPACE
from hypothesis import given
from hypothesis import strategies as st
from unified_mlx_app.cache.keys import entry_key
from unified_mlx_app.identity import FileDigests, Namespace, digest_of, first_difference

FIELDS = ("weights", "adapter", "tokenizer", "template", "layout", "versions", "owner")


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_but_the_name_changes_the_digest(field: str) -> None:
    assert replace(NAMESPACE, **{field: "other"}).digest != NAMESPACE.digest
    assert replace(NAMESPACE, model_id="other").digest == NAMESPACE.digest


def test_files_from_before_there_were_owners_keep_their_names() -> None:
    before = {name: value for name, value in asdict(NAMESPACE).items() if name != "owner"}
    fields = [str(value).encode() for name, value in before.items() if name != "model_id"]

    assert msgspec.json.decode(msgspec.json.encode(before), type=Namespace) == NAMESPACE
    assert NAMESPACE.digest == digest_of(*fields)


@given(st.lists(st.text(max_size=3), min_size=6, max_size=6), st.lists(st.text(max_size=3), min_size=6, max_size=6))
def test_digest_separates_neighbouring_fields(first: list[str], second: list[str]) -> None:
    digests_equal = Namespace("m", *first).digest == Namespace("m", *second).digest

    assert digests_equal == (first == second)


def test_entry_key_depends_on_every_token_and_on_the_namespace() -> None:
    tokens = np.arange(100, dtype=np.int32)
    changed = tokens.copy()
    changed[57] += 1

    keys = {entry_key("a", tokens), entry_key("b", tokens), entry_key("a", changed), entry_key("a", tokens[:-1])}

    assert len(keys) == 4
    assert entry_key("a", tokens) == entry_key("a", np.arange(200, dtype=np.int32)[:100])


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("weights", "weights_changed"),
        ("layout", "weights_changed"),
        ("versions", "weights_changed"),
        ("adapter", "adapter_changed"),
        ("tokenizer", "template_changed"),
        ("template", "template_changed"),
        ("model_id", None),
    ],
)
def test_first_difference_names_what_changed(field: str, reason: str | None) -> None:
    assert first_difference(NAMESPACE, replace(NAMESPACE, **{field: "other"})) == reason


def test_file_digest_follows_names_and_bytes_in_any_order(tmp_path: Path) -> None:
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    digests = FileDigests(None)

    before = digests.digest([a, b])

    assert digests.digest([b, a]) == before
    a.write_bytes(b"two")
    b.write_bytes(b"one")
    assert digests.digest([a, b]) != before


def test_rewritten_file_of_same_size_and_mtime_gets_a_new_digest(tmp_path: Path) -> None:
    weights = tmp_path / "w"
    weights.write_bytes(b"one")
    status = weights.stat()
    digests = FileDigests(tmp_path / "memo.json")
    before = digests.digest([weights])

    weights.write_bytes(b"two")
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert weights.stat().st_mtime_ns == status.st_mtime_ns
    assert digests.digest([weights]) != before
    assert FileDigests(tmp_path / "memo.json").digest([weights]) == digests.digest([weights])


def test_settled_file_is_hashed_once_and_remembered_across_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, memo = tmp_path / "w", tmp_path / "cache" / "memo.json"
    weights.write_bytes(b"one")
    monkeypatch.setattr("unified_mlx_app.identity._SETTLED_SECONDS", -1.0)
    before = FileDigests(memo).digest([weights])
    monkeypatch.setattr("hashlib.file_digest", None)

    assert FileDigests(memo).digest([weights]) == before
    assert stat.S_IMODE(memo.stat().st_mode) == 0o600
    assert [path.name for path in memo.parent.iterdir()] == ["memo.json"]


@pytest.mark.parametrize("junk", [b"", b"\0" * 50, b"{", b'{"/x": 5}', b"\xff\xfe", b"[]"])
def test_corrupt_memo_is_ignored(tmp_path: Path, junk: bytes) -> None:
    weights, memo = tmp_path / "w", tmp_path / "memo.json"
    weights.write_bytes(b"one")
    memo.write_bytes(junk)

    assert FileDigests(memo).digest([weights]) == FileDigests(None).digest([weights])


def test_unreadable_file_raises_and_unwritable_memo_does_not(tmp_path: Path) -> None:
    weights, blocker = tmp_path / "w", tmp_path / "file"
    weights.write_bytes(b"one")
    blocker.write_bytes(b"")

    assert FileDigests(blocker / "memo.json").digest([weights]) == FileDigests(None).digest([weights])
    with pytest.raises(FileNotFoundError):
        FileDigests(None).digest([tmp_path / "missing"])

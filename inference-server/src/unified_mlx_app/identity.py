"""Which model it is, told by content: digests of the files behind it, and the identity under which KV state may be shared."""

import contextlib
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from unified_mlx_app.types import MissReason

log = structlog.get_logger()

_MAX_REMEMBERED_FILES = 4096
# A file written this recently may change again within one tick of a coarse file clock, unseen by its stat.
_SETTLED_SECONDS = 2.0


def digest_of(*fields: bytes) -> str:
    """sha256 hex over the fields, each with its length before it, so that no two lists of fields read the same."""
    digest = hashlib.sha256()
    for field in fields:
        digest.update(len(field).to_bytes(8, "little"))
        digest.update(field)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Namespace:
    """Identity under which KV state may be shared.

    `weights`, `adapter` ("" for none), `tokenizer` and `template` are sha256 hex digests; `layout` tells the cache
    classes, dtype, heads and quantisation; `versions` names the libraries and the format. `model_id` is for people only.
    `owner` names whose requests alone may find the state, "" for all that have no owner of their own.
    """

    model_id: str
    weights: str
    adapter: str
    tokenizer: str
    template: str
    layout: str
    versions: str
    owner: str = ""

    @property
    def digest(self) -> str:
        """sha256 hex over the length-prefixed fields without `model_id`: a renamed model keeps its entries."""
        fields = (self.weights, self.adapter, self.tokenizer, self.template, self.layout, self.versions)
        # State without an owner keeps the name that it had before there were owners.
        fields += (self.owner,) if self.owner else ()
        return digest_of(*(field.encode() for field in fields))


def first_difference(a: Namespace, b: Namespace) -> MissReason | None:
    """Why state of `a` cannot serve `b`, or None when it can.

    `layout` and `versions` count as weights: they change the stored numbers while the prompt is the same. A changed
    tokenizer counts as a changed template: both turn the same messages into other tokens.
    """
    if a.weights != b.weights or a.layout != b.layout or a.versions != b.versions:
        return "weights_changed"
    if a.adapter != b.adapter:
        return "adapter_changed"
    if a.tokenizer != b.tokenizer or a.template != b.template:
        return "template_changed"
    return None


class _Remembered(msgspec.Struct, frozen=True, array_like=True):
    """The sha256 of a file and the stat it had; ctime shows a rewrite that restored size and mtime."""

    inode: int
    num_bytes: int
    mtime_ns: int
    ctime_ns: int
    sha256: str

    def is_of(self, stat: os.stat_result) -> bool:
        """Whether a file with this stat still has the remembered bytes."""
        now = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        return now == (self.inode, self.num_bytes, self.mtime_ns, self.ctime_ns)


class FileDigests:
    """sha256 of model files, remembered in a small JSON file so that gigabytes are hashed once. One thread at a time.

    The memo may be lost, stale or shared with another process at any time: that costs a hash, never a wrong digest.
    """

    def __init__(self, memo_path: Path | None) -> None:
        self._memo_path = memo_path
        self._memo = _read_memo(memo_path) if memo_path is not None else {}

    def digest(self, paths: list[Path]) -> str:
        """sha256 hex over the (name, sha256) pairs of the files, in any order. Raises OSError when one is unreadable."""
        before = dict(self._memo)
        pairs = sorted((path.name, self._sha256(path.resolve())) for path in paths)
        if self._memo != before:
            self._save()
        return digest_of(*(text.encode() for pair in pairs for text in pair))

    def _sha256(self, path: Path) -> str:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            known = self._memo.get(str(path))
            if known is not None and known.is_of(before):
                return known.sha256
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        found = _Remembered(before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns, sha256)
        self._memo.pop(str(path), None)
        if found.is_of(after) and time.time() - before.st_ctime > _SETTLED_SECONDS:
            self._memo[str(path)] = found
        return sha256

    def _save(self) -> None:
        if self._memo_path is None:
            return
        while len(self._memo) > _MAX_REMEMBERED_FILES:
            del self._memo[next(iter(self._memo))]
        try:
            _replace_file(self._memo_path, msgspec.json.encode(self._memo))
        except OSError as error:
            log.warning("digest_memo_not_saved", error=str(error))


def _read_memo(path: Path) -> dict[str, _Remembered]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Remembered])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeError) as error:
        log.warning("digest_memo_ignored", error=str(error))
        return {}


def _replace_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.name.lstrip('.')}.", suffix=".tmp", dir=path.parent)
    temp = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        temp.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temp.unlink()
        raise

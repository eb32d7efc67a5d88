"""Uploads: a file streamed to disk in bounded memory, made into JSONL, scanned in a process of its own, and stored.

The steps leave nothing behind when they fail, and what a crash leaves is swept at the next start.
"""

import asyncio
import hashlib
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from uuid import UUID

from mlx_hub.core.dataset_csv import CSVColumns, convert_csv
from mlx_hub.core.dataset_source import convert_array, convert_text
from mlx_hub.errors import InvalidInputError, TooLargeError
from mlx_hub.models.dataset import DatasetCreate, DatasetPublic, DatasetSource
from mlx_hub.services.dataset_context import DatasetContext
from mlx_hub.services.dataset_folder import ROWS, DatasetFolder, telling_full_disk
from mlx_hub.services.dataset_store import NewDataset, run_heavy, scan_and_store, to_its_end
from mlx_hub.services.idempotency import KeyedRequest

SOURCE = "source"
_HEAD_BYTES = 512
_WRITE_BYTES = 2**20
_TEXT_SUFFIXES = frozenset({".txt", ".text", ".md"})
_TABLE_SUFFIXES = frozenset({".csv", ".tsv"})
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7-zip",
}
_WIDE_ENCODINGS = (b"\xff\xfe", b"\xfe\xff", b"\0")


@dataclass(frozen=True, slots=True)
class Received:
    """A file that lies complete in the staging folder of `dataset_id`."""

    dataset_id: UUID
    kind: str
    file_name: str
    num_bytes: int
    sha256: str


class FileReceiver:
    """Takes a file in pieces and writes it to the staging folder. Used on the event loop; disk and hash are in a thread."""

    def __init__(self, folder: DatasetFolder, dataset_id: UUID, *, max_rows: int) -> None:
        self._folder = folder
        self._dataset_id = dataset_id
        self._max_rows = max_rows
        self._path = folder.staged(dataset_id, SOURCE)
        self._pieces: list[bytes] = []
        self._num_waiting = 0
        self._num_bytes = 0
        self._num_lines = 0
        self._digest = hashlib.sha256()
        self._head = b""

    async def take(self, piece: bytes) -> None:
        """Raises InvalidInputError for what cannot be rows, TooLargeError for too many lines, StorageFullError."""
        self._pieces.append(piece)
        self._num_waiting += len(piece)
        if self._num_waiting >= _WRITE_BYTES:
            await self._flush()

    async def finish(self, file_name: str) -> Received:
        await self._flush()
        kind = _kind(file_name, self._head)
        return Received(self._dataset_id, kind, file_name, self._num_bytes, self._digest.hexdigest())

    async def _flush(self) -> None:
        content = b"".join(self._pieces)
        self._pieces, self._num_waiting = [], 0
        if self._num_bytes == 0:
            self._head = content[:_HEAD_BYTES]
            _check_head(self._head)
        await to_its_end(asyncio.to_thread(self._write, content))
        # Blank lines are no rows: the exact count is the scan's.
        if self._num_lines > 2 * self._max_rows + 1000:
            raise TooLargeError(f"The file has more than {self._max_rows} rows (MLX_HUB_MAX_ROWS).")

    def _write(self, content: bytes) -> None:
        self._folder.check_room(len(content))
        self._digest.update(content)
        self._num_bytes += len(content)
        self._num_lines += content.count(b"\n")
        with telling_full_disk(), self._path.open("ab") as file:
            file.write(content)


def _check_head(head: bytes) -> None:
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            raise InvalidInputError(f"The file is packed with {name}: unpack it and upload what is in it.", field="file")
    if head.startswith(b"PAR1"):
        raise InvalidInputError("The file is Parquet: convert it to JSONL and upload that.", field="file")
    if head.startswith(_WIDE_ENCODINGS) or b"\0" in head[:4]:
        raise InvalidInputError("The file is binary, or text in UTF-16 or UTF-32: save it as UTF-8.", field="file")


def _kind(file_name: str, head: bytes) -> str:
    suffix = PurePosixPath(file_name).suffix.lower()
    if suffix in _TEXT_SUFFIXES or suffix in _TABLE_SUFFIXES:
        return "text" if suffix in _TEXT_SUFFIXES else "csv"
    return "json_array" if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" else "jsonl"


def default_name(file_name: str) -> str:
    """A name from that of the file, without folders and suffix."""
    stem = PurePosixPath(PureWindowsPath(file_name).name).stem
    shown = "".join(c if unicodedata.category(c)[0] != "C" and c != "\\" else "-" for c in unicodedata.normalize("NFC", stem))
    return shown.strip(" .")[:200].strip() or "dataset"


async def store_upload(
    context: DatasetContext, received: Received, body: DatasetCreate, request: KeyedRequest | None
) -> DatasetPublic:
    """The dataset that the file became. Raises InvalidInputError when no row is usable, ConflictError for a taken name."""
    await _make_jsonl(context, received, body)
    source = DatasetSource(kind=received.kind, file_name=received.file_name, num_bytes=received.num_bytes, sha256=received.sha256)
    return await scan_and_store(context, NewDataset(received.dataset_id, body.name, body.description, source), request)


async def _make_jsonl(context: DatasetContext, received: Received, body: DatasetCreate) -> None:
    source = context.folder.staged(received.dataset_id, SOURCE)
    rows = context.folder.staged(received.dataset_id, ROWS)
    if received.kind == "jsonl":
        await asyncio.to_thread(source.rename, rows)
        return
    await asyncio.to_thread(context.folder.check_room, 2 * received.num_bytes)
    if received.kind == "csv":
        columns = CSVColumns(
            prompt=body.prompt_column, completion=body.completion_column, system=body.system_column, text=body.text_column
        )
        await run_heavy(context, convert_csv, str(source), str(rows), columns, context.settings.max_rows)
    else:
        convert = convert_text if received.kind == "text" else convert_array
        await run_heavy(context, convert, str(source), str(rows), context.settings.max_rows)
    await asyncio.to_thread(source.unlink)

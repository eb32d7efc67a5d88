"""Parts of an upload that no client can bring about at will: names, forms in odd pieces, a disk that fills up."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_hub.errors import StorageFullError
from mlx_hub.models.dataset import DatasetCreate
from mlx_hub.services.dataset_folder import DatasetFolder
from mlx_hub.services.dataset_upload import FileReceiver, default_name
from mlx_hub.services.multipart import Form, read_form


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("rows.jsonl", "rows"),
        ("/home/me/my rows.v2.jsonl", "my rows.v2"),
        ("C:\\Users\\me\\rows.jsonl", "rows"),
        ("../../etc/passwd", "passwd"),
        ("Grüße 😀.txt", "Grüße 😀"),
        ("a\nb\x00c.jsonl", "a-b-c"),
        ("", "dataset"),
        ("..", "dataset"),
        (".jsonl", "jsonl"),
        ("x" * 500 + ".jsonl", "x" * 200),
    ],
)
def test_a_name_is_made_from_that_of_the_file(file_name: str, expected: str) -> None:
    assert default_name(file_name) == expected


@given(st.text(max_size=300))
def test_whatever_a_file_is_called_its_dataset_has_a_valid_name(file_name: str) -> None:
    assert DatasetCreate(name=default_name(file_name)).name


CONTENT = b"--almost the boundary\r\n--x\r\r\n\n--boundar\r\n" * 3
BODY = (
    b'--boundary\r\nContent-Disposition: form-data; name="name"\r\n\r\nrows\r\n'
    b'--boundary\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    + CONTENT
    + b"\r\n--boundary--\r\nepilogue"
)


@given(st.lists(st.integers(0, len(BODY)), max_size=20))
def test_a_form_is_the_same_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    form, content = asyncio.run(_read([BODY[a:b] for a, b in _spans(cuts)]))

    assert (form.fields, form.file_name, content) == ({"name": "rows"}, "a.jsonl", CONTENT)


def _spans(cuts: list[int]) -> Iterator[tuple[int, int]]:
    yield from pairwise([0, *sorted(cuts), len(BODY)])


async def _read(pieces: list[bytes]) -> tuple[Form, bytes]:
    taken: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def take(piece: bytes) -> None:
        taken.append(piece)

    form = await read_form("multipart/form-data; boundary=boundary", chunks(), file_field="file", take=take)
    return form, b"".join(taken)


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """The system refuses to let a file grow further, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.anyio
async def test_a_disk_that_fills_up_ends_the_upload(tmp_path: Path) -> None:
    folder, dataset_id = DatasetFolder.of(tmp_path), uuid4()
    lock = folder.open_staging(dataset_id)
    receiver = FileReceiver(folder, dataset_id, max_rows=1000)

    await receiver.take(b"x" * 2**20)
    with largest_file(1_500_000), pytest.raises(StorageFullError):
        await receiver.take(b"x" * 2**20)
    folder.close_staging(dataset_id, lock)

    assert [path.name for path in folder.root.rglob("*") if path.is_file()] == []

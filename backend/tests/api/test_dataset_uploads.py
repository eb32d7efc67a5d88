"""Uploads that are hostile, broken off or too large: refused with what to do, in bounded memory, leaving nothing behind."""

import gzip
import http.client
import io
import json
import signal
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.datasets import DATASETS, files_of, lines, refusal, send, upload

MAX_ROWS = 1000
MAX_UPLOAD = 30_000_000
ROWS = lines({"text": "one"})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    """A backend with low limits, on SQLite."""
    home = tmp_path_factory.mktemp("small")
    limits = {"MLX_HUB_MAX_UPLOAD": str(MAX_UPLOAD), "MLX_HUB_MAX_ROWS": str(MAX_ROWS)}
    with run_backend(home, f"sqlite:///{home}/hub.db", **limits) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(small: RunningBackend) -> Iterator[None]:
    """After each of these, every file belongs to a dataset and nothing is staged."""
    yield
    folder = small.data_dir / "datasets"
    small.wait_until(lambda: not files_of(small), 30)
    for path in folder.glob("*.*"):
        if not path.name.startswith("."):
            assert small.get(f"{DATASETS}/{path.stem}").status_code == 200


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(gzip.compress(b"\0" * 10_000_000), "gzip", id="gzip"),
        pytest.param(zipped(b"\0" * 10_000_000), "zip", id="zip"),
        pytest.param(ROWS.decode().encode("utf-16"), "UTF-8", id="utf-16"),
        pytest.param(ROWS.decode().encode("utf-16-le"), "UTF-8", id="utf-16 without mark"),
        pytest.param(ROWS.decode().encode("utf-32"), "UTF-8", id="utf-32"),
        pytest.param('{"text": "Grüße"}'.encode("latin-1"), "Line 1", id="latin-1"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\n \n\r\n", "empty", id="blank"),
        pytest.param(b"{\n" * 900, "Line 1", id="only bad rows"),
        pytest.param(b'{"text": "\0"}\n', "Line 1", id="NUL"),
        pytest.param(b'{"text": "\\ud800"}\n', "Line 1", id="half of a surrogate pair"),
        pytest.param(b'{"a": ' * 100_000, "Line 1", id="deep"),
        pytest.param(b'{"messages": [' * 2000 + b"]}" * 2000, "Line 1", id="deep and well-formed"),
        pytest.param(b'{"x": ' + b"[" * 500 + b"]" * 500 + b', "text": "t"}', "levels", id="deeper than templates bear"),
        pytest.param(b'{"text": NaN}\n', "Line 1", id="NaN"),
        pytest.param(b'[{"text": "a"}, ', "JSON array", id="torn array"),
        pytest.param(b"[]", "empty", id="empty array"),
        pytest.param(b"[" * 100_000, "JSON array", id="deep array"),
        pytest.param(b"PAR1" + b"\0" * 100, "Parquet", id="parquet"),
    ],
)
def test_what_cannot_be_rows_is_refused_with_the_reason(small: RunningBackend, content: bytes, told: str) -> None:
    assert told in refusal(send(small, content), 422, "invalid_input")


def test_text_that_is_not_utf_8_is_refused_with_its_line(small: RunningBackend) -> None:
    content = "eins\n\nzwei\nGrüße".encode("latin-1")

    assert "Line 4" in refusal(send(small, content, "rows.txt"), 422, "invalid_input")


def test_the_first_lines_are_told_when_none_is_usable(small: RunningBackend) -> None:
    told = refusal(send(small, lines({"text": ""}, {"q": 1}, [1])), 422, "invalid_input")

    for reason in ("Line 1: `text` is empty", "Line 2: The row has neither", "Line 3: The line is not a JSON object", "no_rows"):
        assert reason in told


def test_a_text_file_becomes_a_row_for_each_paragraph(small: RunningBackend) -> None:
    content = b"\xef\xbb\xbfone\r\nstill one\r\n\r\n\r\ntwo\n\n \n  three\x00\n"
    made = upload(small, content, "My story.txt")

    rows = small.get(f"{DATASETS}/{made['id']}/rows").json()["items"]

    assert [item["row"]["text"] for item in rows] == ["one\nstill one", "two", "  three\x00"]
    assert (made["name"], made["format"]) == ("My story", "text")
    assert (made["report"]["source"]["kind"], made["report"]["source"]["num_bytes"]) == ("text", len(content))


def test_a_json_array_becomes_a_row_for_each_element(small: RunningBackend) -> None:
    values = [{"text": "a"}, 7, {"prompt": "p", "completion": "c"}]
    made = upload(small, json.dumps(values, indent=2).encode(), "rows.json")

    stored = small.get(f"{DATASETS}/{made['id']}/content").content

    assert [json.loads(line) for line in stored.splitlines()] == values
    assert made["report"]["num_usable_rows"] == 2


def test_a_paragraph_without_end_is_refused(small: RunningBackend) -> None:
    assert "blank lines" in refusal(send(small, b"word " * 1_000_000, "book.txt"), 422, "invalid_input")


@pytest.mark.parametrize("file_name", ["rows.jsonl", "rows.txt", "rows.json"])
def test_rows_beyond_the_limit_are_refused(small: RunningBackend, file_name: str) -> None:
    many = [{"text": f"row {number}"} for number in range(MAX_ROWS + 1)]
    content = {"rows.json": json.dumps(many).encode(), "rows.txt": b"a\n\n" * (MAX_ROWS + 1)}.get(file_name, lines(*many))

    assert "MLX_HUB_MAX_ROWS" in refusal(send(small, content, file_name, name=uuid4().hex), 422, "invalid_input")


def test_very_many_lines_are_refused_while_they_come(small: RunningBackend) -> None:
    started = time.monotonic()

    assert "MLX_HUB_MAX_ROWS" in refusal(send(small, b"{}\n" * 9_000_000), 413, "too_large")
    assert time.monotonic() - started < 60


def test_a_line_that_is_too_long_is_passed_over(small: RunningBackend) -> None:
    made = upload(small, b'{"text": "' + b"x" * 17 * 2**20 + b'"}\n' + ROWS)
    path = f"{DATASETS}/{made['id']}"

    rows = small.get(f"{path}/rows").json()["items"]

    assert made["report"]["problem_counts"] == {"line_too_long": 1}
    assert (rows[0]["row"], rows[0]["problem"]["code"], rows[1]["row"]) == (None, "line_too_long", {"text": "one"})
    assert rows[0]["num_bytes"] == 17 * 2**20 + 13
    assert rows[0]["start"].startswith('{"text": "xxx')


def test_rows_that_cannot_be_shown_are_passed_over(small: RunningBackend) -> None:
    deep = b'{"x": ' + b"[" * 900 + b"]" * 900 + b', "text": "t"}\n'
    wild = b'{"text": "t", "x": [1e308, -0.0, 18446744073709551615, 123456789012345678901234567890, "\\u0000"]}\n'
    long = b'{"text": "' + b"y" * 100_000 + b'"}\n'
    made = upload(small, deep + wild + long)

    rows = small.get(f"{DATASETS}/{made['id']}/rows").json()["items"]

    assert (rows[0]["row"], rows[0]["problem"]["code"]) == (None, "too_deep")
    assert (rows[1]["row"]["x"][0], rows[1]["problem"]) == (1e308, None)
    assert (rows[2]["row"], rows[2]["num_bytes"], rows[2]["problem"]) == (None, len(long), None)
    assert made["report"]["num_usable_rows"] == 2


def test_an_upload_beyond_the_limit_is_refused_also_when_it_does_not_say_its_size(small: RunningBackend) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        for _ in range(MAX_UPLOAD // 2**16 + 1):
            yield b"x" * 2**16

    headers = {"content-type": "multipart/form-data; boundary=x"}

    refusal(small.request("POST", DATASETS, content=chunks(), headers=headers), 413, "too_large")


def test_what_is_larger_than_the_disk_is_refused_before_it_comes(tmp_path: Path) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db", MLX_HUB_MAX_UPLOAD="1000000TB") as backend:
        connection = http.client.HTTPConnection(urlsplit(backend.base_url).netloc, timeout=30)
        connection.putrequest("POST", DATASETS)
        connection.putheader("content-type", "multipart/form-data; boundary=x")
        connection.putheader("content-length", str(10**17))
        connection.endheaders()
        answer = connection.getresponse()

        assert (answer.status, json.loads(answer.read())["code"]) == (507, "storage_full")
        connection.close()


def part(name: str, content: bytes, *, more: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


FILE = part("file", ROWS, more='; filename="a.jsonl"')
FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("body", "content_type", "field"),
    [
        pytest.param(b"{}", "application/json", "content-type", id="json"),
        pytest.param(FILE, "multipart/form-data", "content-type", id="no boundary"),
        pytest.param(FILE, "multipart/form-data; boundary=" + "x" * 300, "content-type", id="long boundary"),
        pytest.param(b"nonsense", FORM, "body", id="no form"),
        pytest.param(FILE, FORM, "body", id="cut short"),
        pytest.param(b"", FORM, "body", id="empty"),
        pytest.param(part("name", b"n") + b"--x--\r\n", FORM, "file", id="no file"),
        pytest.param(FILE + FILE + b"--x--\r\n", FORM, "file", id="two files"),
        pytest.param(part("", b"n") + FILE + b"--x--\r\n", FORM, "body", id="part without name"),
        pytest.param(part("colour", b"n") + FILE + b"--x--\r\n", FORM, "colour", id="unknown field"),
        pytest.param(part("name", b"n" * 70_000) + FILE + b"--x--\r\n", FORM, "name", id="large field"),
        pytest.param(part("name", b"\xff") + FILE + b"--x--\r\n", FORM, "name", id="field not UTF-8"),
        pytest.param(part("name", b"../x") + FILE + b"--x--\r\n", FORM, "name", id="name like a path"),
        pytest.param(part("name", b"a\nb") + FILE + b"--x--\r\n", FORM, "name", id="name of two lines"),
        pytest.param(part("description", b"\0") + FILE + b"--x--\r\n", FORM, "description", id="NUL"),
        pytest.param(b"".join(part("name", b"n") for _ in range(50)) + FILE + b"--x--\r\n", FORM, "body", id="many parts"),
        pytest.param(b"--x\r\n" + b"A: " + b"a" * 100_000 + b"\r\n\r\n", FORM, "body", id="large header"),
    ],
)
def test_a_malformed_form_is_refused(small: RunningBackend, body: bytes, content_type: str, field: str) -> None:
    answer = small.request("POST", DATASETS, content=body, headers={"content-type": content_type})

    refusal(answer, 422, "invalid_input")
    assert answer.json()["errors"][0]["field"] == field


def test_a_compressed_body_is_refused(small: RunningBackend) -> None:
    headers = {"content-type": FORM, "content-encoding": "gzip"}
    body = gzip.compress(FILE + b"--x--\r\n")

    refusal(small.request("POST", DATASETS, content=body, headers=headers), 422, "invalid_input")


def test_fields_may_come_after_the_file(small: RunningBackend) -> None:
    body = FILE + part("name", "später".encode()) + b"--x--\r\n"

    answer = small.request("POST", DATASETS, content=body, headers={"content-type": FORM})

    assert (answer.status_code, answer.json()["name"]) == (201, "später")


def begin_upload(backend: RunningBackend, content: bytes, *, declared: int) -> socket.socket:
    """A connection that has sent `content` of an upload of `declared` bytes."""
    host, port = urlsplit(backend.base_url).netloc.split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = f"POST {DATASETS} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {FORM}\r\nContent-Length: {declared}\r\n\r\n"
    connection.sendall(head.encode() + part("file", content, more='; filename="a.jsonl"'))
    return connection


def test_a_client_that_leaves_in_the_middle_leaves_nothing(small: RunningBackend) -> None:
    total = small.get(DATASETS).json()["total"]
    with begin_upload(small, b"x" * 10_000_000, declared=MAX_UPLOAD - 1):
        small.wait_until(lambda: bool(files_of(small)), 30)

    small.wait_until(lambda: not files_of(small), 30)
    assert small.get(DATASETS).json()["total"] == total


def test_what_a_killed_server_left_is_swept_at_the_next_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with run_backend(tmp_path, url) as backend:
        kept = upload(backend, ROWS)["id"]
        with begin_upload(backend, ROWS, declared=40_000):
            backend.wait_until(lambda: bool(files_of(backend)), 30)
            backend.stop(signal.SIGKILL)
        assert files_of(backend)

    with run_backend(tmp_path, url) as backend:
        assert files_of(backend) == set()
        assert backend.get(f"{DATASETS}/{kept}/content").content == ROWS


def test_an_upload_that_hangs_does_not_hold_up_the_end_of_the_server(tmp_path: Path) -> None:
    with run_backend(tmp_path, f"sqlite:///{tmp_path}/hub.db") as backend, begin_upload(backend, ROWS, declared=40_000):
        backend.wait_until(lambda: bool(files_of(backend)), 30)

        assert backend.stop(seconds=60) == 0
        assert files_of(backend) == set()


def test_an_early_refusal_reaches_a_client_that_is_still_sending(small: RunningBackend) -> None:
    content = gzip.compress(b"") + b"x" * (MAX_UPLOAD - 10_000)

    with httpx.Client(base_url=small.base_url, timeout=60) as client:
        answer = client.post(DATASETS, files={"file": ("a.jsonl.gz", content)})

    assert "gzip" in refusal(answer, 422, "invalid_input")

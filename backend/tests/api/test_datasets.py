"""Datasets over HTTP, on both databases: upload, list, rows, problems, verify, delete, and requests sent twice."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from fixtures.backend import RunningBackend
from fixtures.datasets import DATASETS, files_of, lines, refusal, send, upload
from mlx_hub.models.job import Event, JobStatus, Task, TrainingJob
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

ROWS = lines({"text": "one"}, {"prompt": "q", "completion": "a"}, {"text": "three"})
CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_an_upload_is_stored_as_it_is_and_described(backend: RunningBackend) -> None:
    name = uuid4().hex
    made = upload(backend, ROWS, "rows.jsonl", name=name, description="three rows")

    assert (made["name"], made["description"], made["num_rows"], made["num_bytes"]) == (name, "three rows", 3, len(ROWS))
    assert made["sha256"] == hashlib.sha256(ROWS).hexdigest()
    assert made["report"]["num_usable_rows"] == 3
    assert made["report"]["source"]["kind"] == "jsonl"
    assert made["report"]["source"]["file_name"] == "rows.jsonl"
    assert backend.get(f"{DATASETS}/{made['id']}").json() == made
    assert files_of(backend, made["id"]) == {".jsonl", ".index", ".problems"}
    assert files_of(backend) == set()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([CHAT, CHAT | {"x": 1}], "chat"),
        ([CHAT | {"tools": [{"type": "function", "function": {"name": "f"}}]}], "tools"),
        ([{"messages": [{"role": "assistant", "tool_calls": [CALL]}]}], "tools"),
        ([{"prompt": "p", "completion": "c"}], "completions"),
        ([{"text": "t"}, {"text": "u"}, CHAT], "text"),
    ],
)
def test_the_format_is_that_of_most_rows(backend: RunningBackend, rows: list[object], expected: str) -> None:
    assert upload(backend, lines(*rows))["format"] == expected


def test_content_comes_back_byte_for_byte(backend: RunningBackend) -> None:
    content = b"\xef\xbb\xbf" + ROWS.replace(b"\n", b"\r\n") + b'\n{"text": "no newline at the end"}'
    made = upload(backend, content, name=f'a/"ü"/{uuid4().hex}')

    answer = backend.get(f"{DATASETS}/{made['id']}/content")

    assert answer.content == content
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_the_newest_are_listed_first_and_found_by_name(backend: RunningBackend) -> None:
    word = uuid4().hex
    names = [upload(backend, ROWS, f"{word}-{number}.jsonl")["name"] for number in range(3)]

    page = backend.get(DATASETS, params={"query": word, "page_size": 2}).json()

    assert page["total"] == 3
    assert [item["name"] for item in page["items"]] == names[:0:-1]


def test_bad_rows_are_reported_with_their_lines_and_the_rest_is_used(backend: RunningBackend) -> None:
    content = lines({"text": "one"}) + b"\n{\n" + lines({"question": "?"}, {"text": "one"}, {"text": "two"})
    made = upload(backend, content)

    problems = backend.get(f"{DATASETS}/{made['id']}/problems").json()

    assert (made["num_rows"], made["report"]["num_usable_rows"], made["report"]["num_duplicates"]) == (5, 3, 1)
    assert made["report"]["problem_counts"] == {"invalid_json": 1, "unknown_format": 1, "duplicate": 1}
    found = [(item["line"], item["code"]) for item in problems["items"]]
    assert found == [(3, "invalid_json"), (4, "unknown_format"), (5, "duplicate")]
    assert "line 1" in problems["items"][2]["message"]


def test_rows_are_paged_with_their_lines_and_problems(backend: RunningBackend) -> None:
    many = [{"text": f"row {number}"} for number in range(50)]
    content = lines(*many[:20]) + b"\n\n" + b"not json\n" + lines(*many[20:])
    path = f"{DATASETS}/{upload(backend, content)['id']}/rows"

    page = backend.get(path, params={"page": 3, "page_size": 10}).json()
    last = backend.get(path, params={"page": 6, "page_size": 10}).json()
    beyond = backend.get(path, params={"page": 7, "page_size": 10}).json()

    assert (page["total"], len(page["items"])) == (51, 10)
    bad, good = page["items"][:2]
    assert (bad["line"], bad["row"], bad["start"], bad["problem"]["code"]) == (23, None, "not json", "invalid_json")
    assert good == {"row_number": 22, "line": 24, "num_bytes": 19, "row": {"text": "row 20"}, "start": None, "problem": None}
    assert [item["row"] for item in last["items"]] == [{"text": "row 49"}]
    assert beyond["items"] == []


def test_what_is_no_dataset_is_404(backend: RunningBackend) -> None:
    path = f"{DATASETS}/{uuid4()}"
    body = {"model_id": str(uuid4())}

    for suffix in ("", "/content", "/rows", "/problems"):
        refusal(backend.get(path + suffix), 404, "not_found")
    for suffix in ("/validate", "/preview", "/statistics"):
        refusal(backend.post(path + suffix, body), 404, "not_found")
    refusal(backend.post(path + "/verify"), 404, "not_found")
    refusal(backend.post(path + "/split", {}), 404, "not_found")
    refusal(backend.request("DELETE", path), 404, "not_found")
    assert files_of(backend) == set()


def test_verify_tells_an_altered_and_a_missing_file(backend: RunningBackend) -> None:
    made = upload(backend, ROWS)
    path, file = f"{DATASETS}/{made['id']}", backend.data_dir / "datasets" / f"{made['id']}.jsonl"

    intact = backend.post(path + "/verify").json()
    file.write_bytes(ROWS.replace(b"one", b"two"))
    altered = backend.post(path + "/verify").json()
    file.unlink()
    missing = backend.post(path + "/verify").json()

    assert (intact["is_intact"], intact["sha256"]) == (True, made["sha256"])
    assert (altered["is_intact"], altered["is_missing"]) == (False, False)
    assert altered["sha256"] not in {None, made["sha256"]}
    assert (missing["is_intact"], missing["is_missing"], missing["sha256"]) == (False, True, None)
    refusal(backend.get(path + "/content"), 404, "not_found")
    refusal(backend.get(path + "/rows"), 404, "not_found")


def test_a_deleted_dataset_leaves_nothing(backend: RunningBackend) -> None:
    dataset_id = upload(backend, ROWS)["id"]

    assert backend.request("DELETE", f"{DATASETS}/{dataset_id}").status_code == 204

    refusal(backend.get(f"{DATASETS}/{dataset_id}"), 404, "not_found")
    assert files_of(backend, dataset_id) == set()
    assert files_of(backend) == set()


def test_a_dataset_that_work_needs_is_kept_and_says_by_whom(backend: RunningBackend) -> None:
    dataset_id = upload(backend, ROWS)["id"]
    model_id = UUID(backend.create_model()["id"])

    async def add_work(session: AsyncSession) -> None:
        job = {"store_id": "s", "adapter_name": "a", "model_id": model_id, "dataset_id": UUID(dataset_id)}
        session.add(TrainingJob(name="night run", status=JobStatus.RUNNING, **job))
        session.add(TrainingJob(name="old run", status=JobStatus.COMPLETED, **job))
        arguments = {"dataset_id": dataset_id}
        session.add(Task(store_id="s", kind="quantise", subject_id=model_id, arguments=arguments))

    async def end_work(session: AsyncSession) -> None:
        for row in (*(await session.exec(select(TrainingJob))).all(), *(await session.exec(select(Task))).all()):
            row.status = JobStatus.CANCELLED

    backend.in_session(add_work)
    told = refusal(backend.request("DELETE", f"{DATASETS}/{dataset_id}"), 409, "in_use")
    kept = files_of(backend, dataset_id)
    backend.in_session(end_work)

    assert "night run" in told
    assert "quantise" in told
    assert "old run" not in told
    assert kept == {".jsonl", ".index", ".problems"}
    assert backend.request("DELETE", f"{DATASETS}/{dataset_id}").status_code == 204


def test_making_and_deleting_are_events(backend: RunningBackend) -> None:
    made = upload(backend, ROWS)
    backend.request("DELETE", f"{DATASETS}/{made['id']}")

    async def read(session: AsyncSession) -> list[dict[str, object]]:
        statement = select(Event.payload).where(col(Event.kind) == "dataset", col(Event.subject_id) == made["id"])
        return list((await session.exec(statement.order_by(col(Event.id)))).all())

    created, deleted = backend.in_session(read)

    assert created == made
    assert (deleted["id"], deleted["is_deleted"]) == (made["id"], True)


def test_a_name_is_taken_once(backend: RunningBackend) -> None:
    name = uuid4().hex
    upload(backend, ROWS, name=name)

    told = refusal(send(backend, ROWS, name=name), 409, "conflict")

    assert name in told
    assert files_of(backend) == set()


def test_of_many_uploads_of_one_name_one_wins_and_the_others_leave_nothing(backend: RunningBackend) -> None:
    name = uuid4().hex

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: send(backend, lines({"text": str(number)}), name=name), range(6)))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 5}
    (won,) = (answer.json() for answer in answers if answer.status_code == 201)
    listed = backend.get(DATASETS, params={"query": name}).json()["items"]
    assert [item["id"] for item in listed] == [won["id"]]
    stored = {path.stem for path in (backend.data_dir / "datasets").glob("*.jsonl")}
    assert all(backend.get(f"{DATASETS}/{stem}").status_code == 200 for stem in stored)
    assert files_of(backend) == set()


def test_the_same_upload_with_the_same_key_is_one_dataset(backend: RunningBackend) -> None:
    key, name = {"Idempotency-Key": uuid4().hex}, uuid4().hex

    first = send(backend, ROWS, name=name, headers=key)
    again = send(backend, ROWS, name=name, headers=key)
    other_rows = send(backend, ROWS + ROWS, name=name, headers=key)
    other_name = send(backend, ROWS, name=name + "2", headers=key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    for answer in (other_rows, other_name):
        assert "Idempotency-Key" in refusal(answer, 422, "invalid_input")
    assert backend.get(DATASETS, params={"query": name}).json()["total"] == 1


def test_a_key_is_free_again_after_an_upload_that_failed(backend: RunningBackend) -> None:
    key, name = {"Idempotency-Key": uuid4().hex}, uuid4().hex
    taken = upload(backend, ROWS, name=name)

    refusal(send(backend, ROWS, name=name, headers=key), 409, "conflict")
    backend.request("DELETE", f"{DATASETS}/{taken['id']}")

    assert send(backend, ROWS, name=name, headers=key).status_code == 201

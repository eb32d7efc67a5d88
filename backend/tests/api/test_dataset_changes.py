"""Other formats, duplicates, tables and lengths over HTTP; what the disk holds."""

from typing import Any
from uuid import uuid4

from fixtures.backend import RunningBackend
from fixtures.datasets import DATASETS, files_of, lines, refusal, send, upload

CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
PAIR = {"prompt": "q", "completion": "a"}


def post(backend: RunningBackend, dataset: dict[str, Any], action: str, **body: Any) -> Any:
    return backend.post(f"{DATASETS}/{dataset['id']}/{action}", body)


def test_a_conversion_makes_a_dataset_or_says_which_lines_would_lose_something(backend: RunningBackend) -> None:
    made = upload(backend, lines(CHAT, {"text": "t"}, PAIR))

    detail = refusal(post(backend, made, "convert", format="completions"), 422, "invalid_input")
    assert "1 no_roles" in detail
    assert "Line 2" in detail
    assert files_of(backend) == set()

    found = post(backend, made, "convert", format="completions", skips_problems=True).json()
    assert (found["num_converted_rows"], found["num_left_out_rows"]) == (2, 1)
    assert [(problem["line"], problem["code"]) for problem in found["problems"]] == [(2, "no_roles")]
    assert found["dataset"]["format"] == "completions"
    assert found["dataset"]["name"] == f"{made['name']}-completions"
    assert found["dataset"]["report"]["source"]["dataset_id"] == made["id"]
    content = backend.get(f"{DATASETS}/{found['dataset']['id']}/content").content
    assert content == b'{"prompt":"q","completion":"a"}\n' * 2

    assert post(backend, made, "convert", format="parquet").status_code == 422
    assert post(backend, made, "convert", format="text", skips_problems=True).status_code == 201
    assert post(backend, {"id": uuid4()}, "convert", format="text").status_code == 404


def test_duplicates_are_told_in_pages_and_left_out_on_request(backend: RunningBackend) -> None:
    made = upload(backend, lines({"text": "A b"}, {"text": "c"}, {"text": "A b"}, {"text": "a, B!"}, {"text": "c"}))
    path = f"{DATASETS}/{made['id']}/duplicates"

    exact = backend.get(path, params={"page_size": 1, "page": 2}).json()
    assert (exact["total"], exact["num_groups"], exact["num_duplicates"]) == (2, 2, 2)
    assert exact["items"] == [{"lines": [2, 5], "num_rows": 2, "start": "c"}]
    normalised = backend.get(path, params={"match": "normalised"}).json()
    assert [group["lines"] for group in normalised["items"]] == [[1, 3, 4], [2, 5]]
    assert backend.get(path, params={"match": "normalised"}).json() == normalised
    assert backend.get(path, params={"match": "almost"}).status_code == 422

    first = post(backend, made, "deduplicate", match="normalised").json()
    second = post(backend, made, "deduplicate").json()
    assert (first["num_rows"], first["name"]) == (2, f"{made['name']}-unique")
    assert (second["num_rows"], second["name"]) == (3, f"{made['name']}-unique-2")


def test_a_table_is_uploaded_as_rows(backend: RunningBackend) -> None:
    made = upload(backend, b"question,answer\nq,a\n", "table.csv")
    assert (made["format"], made["num_rows"], made["report"]["source"]["kind"]) == ("completions", 1, "csv")

    columns = {"prompt_column": "frage", "completion_column": "antwort"}
    asked = upload(backend, b"frage\tantwort\nq\ta\n", f"{uuid4().hex}.tsv", **columns)
    assert backend.get(f"{DATASETS}/{asked['id']}/rows").json()["items"][0]["row"] == PAIR

    assert "csv_columns" in refusal(send(backend, b"a,b\n1,2\n", f"{uuid4().hex}.csv"), 422, "invalid_input")
    assert files_of(backend) == set()


def test_lengths_need_no_model(backend: RunningBackend) -> None:
    made = upload(backend, lines({"text": "12345"}, CHAT, {"nothing": 1}))

    found = backend.get(f"{DATASETS}/{made['id']}/lengths").json()

    assert (found["num_rows"], found["num_usable_rows"]) == (3, 2)
    assert (found["characters"]["max"], found["messages"]["total"]) == (5, 3)
    assert sum(each["num_rows"] for each in found["characters"]["histogram"]) == 2


def test_the_disk_is_told_by_folder(backend: RunningBackend) -> None:
    upload(backend, lines(*({"text": f"{number} " * 100} for number in range(100))))

    found = backend.get("/api/v1/system/storage").json()

    sizes = {folder["name"]: folder for folder in found["folders"]}
    assert sizes["datasets"]["num_bytes"] > 0
    assert sizes["datasets"]["num_files"] >= 3
    assert found["is_complete"]
    assert 0 < found["disk_free_bytes"] < found["disk_total_bytes"]
    assert backend.get("/api/v1/system").json()["mlflow"]["ui_url"] is None

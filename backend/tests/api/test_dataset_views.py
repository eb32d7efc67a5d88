"""Datasets with a model's eyes over HTTP: validate, preview, statistics, split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from fixtures.backend import RunningBackend
from fixtures.datasets import DATASETS, files_of, install_model, lines, refusal, upload

LONG = "word " * 200
ROWS = lines(
    {"prompt": "What?", "completion": "Français 😀"},
    {"text": "a b c"},
    {"prompt": LONG, "completion": "cut"},
    {"prompt": "Why?", "completion": LONG},
    {"nothing": 1},
)


@pytest.fixture(scope="module")
def model_id(backend: RunningBackend, tiny_models: Callable[..., Path]) -> str:
    return install_model(backend, tiny_models())


@pytest.fixture(scope="module")
def path(backend: RunningBackend) -> str:
    return f"{DATASETS}/{upload(backend, ROWS)['id']}"


def ask(backend: RunningBackend, path: str, view: str, **body: Any) -> dict[str, Any]:
    answer = backend.post(f"{path}/{view}", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_validate_names_what_training_would_drop_or_cut(backend: RunningBackend, path: str, model_id: str) -> None:
    found = ask(backend, path, "validate", model_id=model_id, max_seq_length=64)

    assert [(item["line"], item["code"]) for item in found["problems"]] == [
        (3, "empty_mask"),
        (4, "truncated"),
        (5, "unknown_format"),
    ]
    assert (found["num_rows"], found["num_inspected_rows"], found["is_sample"]) == (5, 5, False)
    assert (found["num_usable_rows"], found["num_truncated_rows"]) == (3, 1)


def test_preview_shows_tokens_texts_and_mask(backend: RunningBackend, path: str, model_id: str) -> None:
    found = ask(backend, path, "preview", model_id=model_id)
    chat, text = found["rows"][:2]

    assert found["num_rows"] == 5
    assert "".join(chat["pieces"]).count("Français 😀") == 1
    assert "".join(p for p, learned in zip(chat["pieces"], chat["is_learned"], strict=True) if learned).startswith("Français 😀")
    assert sum(chat["is_learned"]) == chat["num_learned"]
    assert len(chat["token_ids"]) == chat["num_tokens"] == chat["num_kept"]
    # A token for each word and the end; nothing predicts the first.
    assert (text["num_tokens"], text["num_learned"]) == (4, 3)
    assert found["rows"][4]["problem"]["code"] == "unknown_format"


def test_preview_marks_what_is_cut_off(backend: RunningBackend, path: str, model_id: str) -> None:
    found = ask(backend, path, "preview", model_id=model_id, max_seq_length=64, first_row=3, num_rows=2)
    empty, cut = found["rows"]

    assert (empty["line"], empty["problem"]["code"], empty["num_learned"]) == (3, "empty_mask", 0)
    assert (cut["line"], cut["problem"]["code"], cut["num_kept"]) == (4, "truncated", 64)
    assert cut["num_tokens"] > 64
    assert len(cut["token_ids"]) == cut["num_tokens"]
    assert not any(cut["is_learned"][64:])
    assert any(cut["is_learned"][:64])


def test_preview_without_mask_learns_everything(backend: RunningBackend, path: str, model_id: str) -> None:
    (row,) = ask(backend, path, "preview", model_id=model_id, mask_prompt=False, num_rows=1)["rows"]

    assert row["is_learned"] == [False] + [True] * (row["num_tokens"] - 1)


def test_statistics_add_up(backend: RunningBackend, path: str, model_id: str) -> None:
    found = ask(backend, path, "statistics", model_id=model_id, max_seq_length=64)
    tokens = found["tokens"]

    assert sum(item["num_rows"] for item in tokens["histogram"]) == 4
    assert tokens["histogram"][-1]["last"] >= tokens["max"] >= tokens["p99"] >= tokens["p95"] >= tokens["p50"]
    by_limit = {item["max_seq_length"]: item for item in tokens["truncation"]}
    assert by_limit[64] == {
        "max_seq_length": 64,
        "share_of_rows": 0.5,
        "share_of_tokens": pytest.approx(by_limit[64]["share_of_tokens"]),
        "num_rows_without_answer": 1,
    }
    assert by_limit[1024]["share_of_rows"] == 0
    assert tokens["num_learned_tokens"] < tokens["num_kept_tokens"] < tokens["num_tokens"]
    assert 0 <= tokens["padding_waste"] < 1


def test_the_same_question_again_is_answered_from_the_cache(backend: RunningBackend, path: str, model_id: str) -> None:
    body = {"model_id": model_id, "max_seq_length": 99}
    first = ask(backend, path, "statistics", **body)
    cache = backend.data_dir / "datasets" / ".cache"
    kept = {file.name for file in cache.iterdir()}
    (backend.data_dir / "datasets" / f"{path.rpartition('/')[2]}.index").rename(cache.parent / "aside")

    try:
        again = ask(backend, path, "statistics", **body)
        refusal(backend.post(f"{path}/statistics", body | {"max_seq_length": 98}), 422, "invalid_input")
    finally:
        (cache.parent / "aside").rename(backend.data_dir / "datasets" / f"{path.rpartition('/')[2]}.index")

    assert again == first
    assert {file.name for file in cache.iterdir()} == kept


def test_a_model_that_is_not_downloaded_is_told(backend: RunningBackend, path: str) -> None:
    body = {"model_id": backend.create_model()["id"]}

    for view in ("validate", "preview", "statistics"):
        assert "download" in refusal(backend.post(f"{path}/{view}", body), 409, "wrong_state")
        refusal(backend.post(f"{path}/{view}", {"model_id": str(uuid4())}), 404, "not_found")


def test_rows_that_the_template_refuses_are_named(
    backend: RunningBackend, path: str, tiny_models: Callable[..., Path], tmp_path: Path
) -> None:
    model = _with_template(tiny_models(), tmp_path, "{{ raise_exception('no such rows') }}")

    found = ask(backend, path, "validate", model_id=install_model(backend, model))

    assert found["problem_counts"] == {"template_error": 3, "unknown_format": 1}
    assert "no such rows" in found["problems"][0]["message"]


def test_a_template_without_end_is_stopped_and_the_api_answers_meanwhile(
    backend: RunningBackend, path: str, tiny_models: Callable[..., Path], tmp_path: Path
) -> None:
    bomb = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    model_id = install_model(backend, _with_template(tiny_models(), tmp_path, bomb))

    # The client leaves long before the time is up; the process must go with it.
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{backend.base_url}{path}/preview", json={"model_id": model_id}, timeout=httpx.Timeout(60, read=2))

    assert backend.get("/health").status_code == 200
    assert backend.post(f"{path}/verify").status_code == 200
    backend.wait_until(lambda: not _grandchildren(backend), 60)


def _grandchildren(backend: RunningBackend) -> list[psutil.Process]:
    """Processes of calls that still run below the fork server."""
    return [child for server in psutil.Process(backend.process.pid).children() for child in server.children()]


def _with_template(model: Path, folder: Path, template: str) -> Path:
    copy = folder / "model"
    copy.mkdir()
    for file in model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "chat_template.jinja").write_text(template)
    return copy


MANY = lines(*({"text": f"row {number % 90}"} for number in range(100)))


def test_a_split_gives_two_datasets_without_common_rows(backend: RunningBackend) -> None:
    whole = upload(backend, MANY + b"not json\n", description="all")

    answer = backend.post(f"{DATASETS}/{whole['id']}/split", {"validation_share": 0.2, "seed": 3})
    train, validation = answer.json()["train"], answer.json()["validation"]

    assert answer.status_code == 201
    assert (train["name"], validation["name"]) == (f"{whole['name']}-train", f"{whole['name']}-validation")
    contents = [backend.get(f"{DATASETS}/{part['id']}/content").content.splitlines() for part in (train, validation)]
    assert sorted([*contents[0], *contents[1]]) == sorted(MANY.splitlines())
    assert not set(contents[0]) & set(contents[1])
    assert 15 <= len(contents[1]) <= 20
    assert validation["report"]["source"] == {
        "kind": "split",
        "file_name": None,
        "num_bytes": None,
        "sha256": None,
        "dataset_id": whole["id"],
        "validation_share": 0.2,
        "seed": 3,
    }
    assert validation["description"] == "all"


def test_the_same_split_again_is_the_same_two_datasets(backend: RunningBackend) -> None:
    path = f"{DATASETS}/{upload(backend, MANY)['id']}/split"

    first = backend.post(path, {"seed": 1}).json()
    again = backend.post(path, {"seed": 1})
    other = backend.post(path, {"seed": 2})
    named = backend.post(path, {"seed": 2, "train_name": uuid4().hex, "validation_name": uuid4().hex})

    assert again.json() == first
    refusal(other, 409, "conflict")
    assert named.status_code == 201
    assert named.json()["validation"]["sha256"] != first["validation"]["sha256"]
    assert files_of(backend) == set()


def test_a_split_with_an_empty_part_is_refused(backend: RunningBackend) -> None:
    path = f"{DATASETS}/{upload(backend, lines({'text': 'a'}, {'text': 'b'}))['id']}/split"

    refusal(backend.post(path, {"validation_share": 0.1}), 422, "invalid_input")
    for body in ({"validation_share": 0}, {"validation_share": 0.6}, {"seed": -1}, {"train_name": "../x"}, {"x": 1}):
        refusal(backend.post(path, body), 422, "invalid_input")
    assert files_of(backend) == set()

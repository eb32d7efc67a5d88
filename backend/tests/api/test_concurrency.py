"""Several clients and processes that write at once, on both databases: nothing is lost, doubled or refused."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from fixtures.backend import RunningBackend
from fixtures.inference import InferenceStandIn
from mlx_hub.services.versions import Lineage, add_version
from sqlmodel.ext.asyncio.session import AsyncSession

NUM_WRITERS = 8


def test_writers_of_different_models_all_succeed(backend: RunningBackend) -> None:
    word = uuid4().hex

    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        list(pool.map(lambda number: backend.create_model(f"{word}-{number}"), range(40)))

    assert backend.get("/api/v1/models", params={"query": word}).json()["total"] == 40


def test_of_many_with_the_same_name_one_wins(backend: RunningBackend) -> None:
    body = {"name": uuid4().hex, "base_model": "b"}

    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        statuses = Counter(pool.map(lambda _: backend.post("/api/v1/models", body).status_code, range(NUM_WRITERS)))

    assert statuses == {201: 1, 409: NUM_WRITERS - 1}


def test_of_many_with_the_same_key_all_get_the_same_model(backend: RunningBackend) -> None:
    body, key = {"name": uuid4().hex, "base_model": "b"}, {"Idempotency-Key": uuid4().hex}

    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        answers = list(pool.map(lambda _: backend.post("/api/v1/models", body, headers=key), range(NUM_WRITERS)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_versions_added_at_once_get_numbers_without_gaps(backend: RunningBackend) -> None:
    model_id = UUID(backend.create_model()["id"])

    async def add(session: AsyncSession) -> int:
        return (await add_version(session, model_id, "/v", Lineage())).version

    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        versions = list(pool.map(lambda _: backend.in_session(add), range(NUM_WRITERS)))

    assert sorted(versions) == list(range(1, NUM_WRITERS + 1))


def test_changes_of_different_fields_do_not_undo_each_other(backend: RunningBackend) -> None:
    path = f"/api/v1/models/{backend.create_model()['id']}"
    changes = [{"description": "d"}, {"task_type": "t"}, {"tags": {"k": "v"}}] * 3

    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        statuses = set(pool.map(lambda change: backend.request("PATCH", path, json=change).status_code, changes))

    model = backend.get(path).json()
    assert statuses == {200}
    assert (model["description"], model["task_type"], model["tags"]) == ("d", "t", {"k": "v"})


def test_what_is_served_under_an_alias_that_many_move_is_what_its_row_says(
    backend: RunningBackend, inference: InferenceStandIn
) -> None:
    model_id = backend.create_model()["id"]

    async def add(session: AsyncSession) -> None:
        for number in (1, 2, 3, 4):
            await add_version(session, UUID(model_id), f"/v/{number}", Lineage())

    backend.in_session(add)
    path = f"/api/v1/models/{model_id}/aliases/champion"
    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(lambda n: backend.request("PUT", path, json={"version": n}).status_code, (1, 2, 3, 4)))

    page = backend.get(f"/api/v1/models/{model_id}/aliases").json()
    assert (statuses, page["total"]) == ({200}, 1)
    assert inference.served[page["items"][0]["served_name"]]["adapter_path"] == f"/v/{page['items'][0]['version']}"

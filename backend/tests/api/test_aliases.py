"""Versions with their lineage, and aliases that decide what the inference server serves."""

from uuid import UUID, uuid4

import pytest
from fixtures.backend import RunningBackend, run_backend
from fixtures.inference import InferenceStandIn
from mlx_hub.db import async_url, create_engine, create_sessions
from mlx_hub.services.inference import InferenceClient
from mlx_hub.services.promotions import Promotions
from mlx_hub.services.versions import Lineage, add_version
from sqlmodel.ext.asyncio.session import AsyncSession


def _model_with_versions(backend: RunningBackend, count: int, **body: str) -> str:
    """The id of a model whose version n lies in /adapters/<id>/n and was trained with seed n."""
    model_id = backend.create_model(**body)["id"]

    async def add(session: AsyncSession) -> None:
        for number in range(1, count + 1):
            lineage = Lineage(
                seed=number, base_commit="c0ffee", dataset_sha256="ab" * 32, config={"lora_rank": 16}, metrics={"loss": 0.5}
            )
            await add_version(session, UUID(model_id), f"/adapters/{model_id}/{number}", lineage)

    backend.in_session(add)
    return model_id


def _promote(backend: RunningBackend, model_id: str, version: int, alias: str = "champion") -> dict[str, object]:
    answer = backend.request("PUT", f"/api/v1/models/{model_id}/aliases/{alias}", json={"version": version})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_versions_are_listed_newest_first_with_lineage_and_aliases(backend: RunningBackend) -> None:
    model_id = _model_with_versions(backend, 3)
    _promote(backend, model_id, 2)

    page = backend.get(f"/api/v1/models/{model_id}/versions", params={"page_size": 2}).json()

    assert [(item["version"], item["seed"], item["aliases"]) for item in page["items"]] == [(3, 3, []), (2, 2, ["champion"])]
    assert (page["total"], page["page"], page["page_size"]) == (3, 1, 2)
    one = backend.get(f"/api/v1/models/{model_id}/versions/2").json()
    assert one == page["items"][1]
    assert (one["base_commit"], one["config"], one["metrics"]) == ("c0ffee", {"lora_rank": 16}, {"loss": 0.5})
    model = backend.get(f"/api/v1/models/{model_id}").json()
    assert (model["latest_version"], model["aliases"]) == (3, {"champion": 2})


def test_promoting_moves_what_is_served_and_the_same_call_rolls_back(
    backend: RunningBackend, inference: InferenceStandIn
) -> None:
    model_id = _model_with_versions(backend, 2)

    moves = [_promote(backend, model_id, version) for version in (1, 2, 1)]

    assert [(move["version"], move["previous_version"], move["served"]) for move in moves] == [
        (1, None, True),
        (2, 1, True),
        (1, 2, True),
    ]
    name = str(moves[0]["served_name"])
    assert name == f"{backend.get(f'/api/v1/models/{model_id}').json()['name']}@champion"
    served = inference.served[name]
    assert (served["adapter_path"], served["base_model"], served["model_id"], served["type"]) == (
        f"/adapters/{model_id}/1",
        "org/base",
        model_id,
        "lora",
    )


def test_promoting_again_to_the_same_version_keeps_the_previous_one(backend: RunningBackend) -> None:
    model_id = _model_with_versions(backend, 2)

    for version in (1, 2, 2):
        last = _promote(backend, model_id, version)

    assert (last["version"], last["previous_version"], last["served"]) == (2, 1, True)


def test_adapters_are_served_on_the_weights_at_the_bottom(backend: RunningBackend, inference: InferenceStandIn) -> None:
    base = backend.create_model(base_model="org/weights")
    model_id = _model_with_versions(backend, 1, base_model=base["name"])

    name = str(_promote(backend, model_id, 1)["served_name"])

    assert inference.served[name]["base_model"] == "org/weights"


def test_names_that_cannot_be_served_get_a_plain_one(backend: RunningBackend, inference: InferenceStandIn) -> None:
    model_id = _model_with_versions(backend, 1, name=f"mein modell ⚡ {uuid4().hex}")

    name = str(_promote(backend, model_id, 1)["served_name"])

    assert name.isascii()
    assert " " not in name
    assert name.endswith("@champion")
    assert name in inference.served


def test_an_alias_moves_while_inference_is_down(backend: RunningBackend, inference: InferenceStandIn) -> None:
    model_id = _model_with_versions(backend, 2)
    _promote(backend, model_id, 1)

    inference.is_failing = True
    try:
        moved = _promote(backend, model_id, 2)
    finally:
        inference.is_failing = False

    assert (moved["version"], moved["served"]) == (2, False)
    assert "The engine is down." in str(moved["reason"])
    assert backend.get(f"/api/v1/models/{model_id}").json()["aliases"] == {"champion": 2}


def test_a_running_request_delays_the_move_and_does_not_stop_it(backend: RunningBackend, inference: InferenceStandIn) -> None:
    model_id = _model_with_versions(backend, 2)
    name = str(_promote(backend, model_id, 1)["served_name"])

    inference.num_busy = 2

    assert _promote(backend, model_id, 2)["served"]
    assert inference.served[name]["adapter_path"].endswith("/2")


def test_no_inference_server_at_all_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("alone")
    with run_backend(home, f"sqlite:///{home}/hub.db", MLX_HUB_INFERENCE_URL="http://127.0.0.1:9") as alone:
        model_id = _model_with_versions(alone, 1)

        moved = _promote(alone, model_id, 1)

    assert (moved["served"], moved["version"]) == (False, 1)
    assert "does not answer" in str(moved["reason"])


@pytest.mark.anyio
async def test_sync_repairs_what_is_served(backend: RunningBackend, inference: InferenceStandIn) -> None:
    engine = create_engine(async_url(backend.database_url))
    client = InferenceClient(inference.base_url)
    promotions = Promotions(create_sessions(engine), create_sessions(engine, is_read_only=True), client)
    await promotions.sync()
    before = dict(inference.served)
    lost, changed = sorted(name for name, model in before.items() if model["registered_by"] == "mlx-hub")[:2]
    inference.served.pop(lost)
    inference.served[changed] = {**before[changed], "adapter_path": "/old"}
    inference.served["gone@champion"] = {**before[lost], "name": "gone@champion"}
    stranger = {"base": "b", "registered_by": None, "adapter_path": "/s"}
    inference.served["stranger"] = stranger

    await promotions.sync()

    await client.close()
    await engine.dispose()
    assert inference.served == {**before, "stranger": stranger}
    inference.served.pop("stranger")


def test_deleting_an_alias_ends_its_serving(backend: RunningBackend, inference: InferenceStandIn) -> None:
    model_id = _model_with_versions(backend, 1)
    name = str(_promote(backend, model_id, 1)["served_name"])

    answers = [backend.request("DELETE", f"/api/v1/models/{model_id}/aliases/champion").status_code for _ in range(2)]

    assert answers == [204, 404]
    assert name not in inference.served
    assert backend.get(f"/api/v1/models/{model_id}/aliases").json() == {"items": [], "total": 0, "page": 1, "page_size": 20}


def test_aliases_are_listed_by_name(backend: RunningBackend) -> None:
    model_id = _model_with_versions(backend, 2)
    for alias, version in (("challenger", 2), ("champion", 1)):
        _promote(backend, model_id, version, alias)

    page = backend.get(f"/api/v1/models/{model_id}/aliases").json()

    assert [(item["alias"], item["version"]) for item in page["items"]] == [("challenger", 2), ("champion", 1)]
    assert page["total"] == 2


def test_a_model_keeps_its_name_while_it_is_served(backend: RunningBackend) -> None:
    model_id = _model_with_versions(backend, 1)
    _promote(backend, model_id, 1)

    refused = backend.request("PATCH", f"/api/v1/models/{model_id}", json={"name": uuid4().hex})
    backend.request("DELETE", f"/api/v1/models/{model_id}/aliases/champion")
    renamed = backend.request("PATCH", f"/api/v1/models/{model_id}", json={"name": uuid4().hex})

    assert (refused.status_code, refused.json()["code"], renamed.status_code) == (409, "in_use", 200)
    assert "champion" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("{model}/aliases/champion", {"version": 9}, 404),
        ("{model}/aliases/champion", {"version": 0}, 422),
        ("{model}/aliases/champion", {"version": 2**40}, 422),
        ("{model}/aliases/champion", {"version": "1"}, 422),
        ("{model}/aliases/champion", {}, 422),
        ("{model}/aliases/9lives", {"version": 1}, 422),
        ("{model}/aliases/a%00b", {"version": 1}, 422),
        ("{unknown}/aliases/champion", {"version": 1}, 404),
    ],
)
def test_what_cannot_be_promoted_is_refused(backend: RunningBackend, path: str, body: object, status: int) -> None:
    path = path.format(model=_model_with_versions(backend, 1), unknown=uuid4())

    assert backend.request("PUT", f"/api/v1/models/{path}", json=body).status_code == status

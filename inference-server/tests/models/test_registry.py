"""Names stand for the right model, unknown ones for nothing, and the default model is fetched or replaced by the demo model."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.model_folders import RegistryMaker, adapter_tensors, write_adapter, write_model
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from unified_mlx_app.db import Sessions
from unified_mlx_app.errors import ConflictError, InvalidRequestError, ModelLoadError, ModelNotFoundError, NotFoundError
from unified_mlx_app.models.local_models import DEMO_NAME
from unified_mlx_app.models.registry import ModelRegistration, ModelRegistry

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 30.0


@pytest.fixture
async def registry(sessions: Sessions, make_registry: RegistryMaker, tmp_path: Path) -> AsyncIterator[ModelRegistry]:
    write_model(tmp_path / "models" / "owner" / "local")
    registry = make_registry(sessions)
    await registry.start()
    yield registry
    await registry.close()


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter")


@pytest.mark.parametrize("name", [None, "default", "default-model"])
async def test_the_default_model_has_three_names(registry: ModelRegistry, tmp_path: Path, name: str | None) -> None:
    resolved = await registry.resolve(name)

    assert resolved.fallback_reason is None
    assert (resolved.spec.name, resolved.spec.path) == ("default-model", str(tmp_path / "default-model"))
    assert resolved.spec.max_context_tokens == 512


async def test_the_default_models_configured_folder_is_a_name_too(registry: ModelRegistry, tmp_path: Path) -> None:
    assert (await registry.resolve(str(tmp_path / "default-model"))).spec.name == "default-model"


async def test_models_on_disk_are_known_by_their_folders(registry: ModelRegistry, tmp_path: Path, demo_dir: Path) -> None:
    assert (await registry.resolve("owner/local")).spec.path == str(tmp_path / "models" / "owner" / "local")
    assert (await registry.resolve(DEMO_NAME)).spec.path == str(demo_dir)


async def test_an_adapter_is_served_under_its_name(registry: ModelRegistry, adapter: Path, tmp_path: Path) -> None:
    body = ModelRegistration("team/bee", "owner/local", str(adapter), config={"scale": 1}, model_id="7", registered_by="backend")

    known, is_created = await registry.register(body)

    spec = (await registry.resolve("team/bee")).spec
    assert is_created
    assert (spec.name, spec.adapter_path) == ("team/bee", str(adapter))
    assert spec.path == str(tmp_path / "models" / "owner" / "local")
    assert (known.type, known.base, known.source, known.model_id, known.registered_by) == (
        "lora",
        "owner/local",
        "registered",
        "7",
        "backend",
    )


async def test_the_list_has_each_model_once_with_its_facts(registry: ModelRegistry, adapter: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "packed", quantization={"bits": 4, "group_size": 64})
    await registry.resolve(None)
    await registry.register(ModelRegistration("bee", "default", str(adapter)))

    models = {model.name: model for model in await registry.list_models()}

    assert [(model.name, model.source) for model in models.values()] == [
        ("default-model", "default"),
        ("bee", "registered"),
        ("owner/local", "local"),
        ("packed", "local"),
        (DEMO_NAME, "demo"),
    ]
    assert models["packed"].quantization == "4-bit"
    assert models["bee"].base == "default-model"
    assert models["bee"].created_at is not None
    assert models["bee"].weight_bytes == (tmp_path / "default-model" / "model.safetensors").stat().st_size


async def test_the_same_body_again_is_no_conflict_and_another_is(registry: ModelRegistry, adapter: Path) -> None:
    body = ModelRegistration("bee", "owner/local", str(adapter), config={"a": [1, {"b": 2.5}]})
    first, _ = await registry.register(body)

    again, is_created = await registry.register(body)

    assert not is_created
    assert again == first
    with pytest.raises(ConflictError):
        await registry.register(ModelRegistration("bee", "owner/local", str(adapter), config={"a": [2]}))


async def test_equal_registrations_at_once_create_one(registry: ModelRegistry, adapter: Path) -> None:
    body = ModelRegistration("bee", "owner/local", str(adapter))

    results = await asyncio.gather(*(registry.register(body) for _ in range(5)))

    assert sorted(is_created for _, is_created in results) == [False, False, False, False, True]


async def test_a_replacement_takes_the_name_in_one_step(registry: ModelRegistry, adapter: Path, tmp_path: Path) -> None:
    other = write_adapter(tmp_path / "other")
    first, is_created = await registry.replace(ModelRegistration("team/bee", "owner/local", str(adapter), model_id="1"))
    assert is_created

    second, is_created = await registry.replace(ModelRegistration("team/bee", "default", str(other), model_id="2"))

    spec = (await registry.resolve("team/bee")).spec
    assert not is_created
    assert (spec.adapter_path, spec.path, spec.base_model) == (str(other), str(tmp_path / "default-model"), "default-model")
    assert (second.model_id, second.base, second.adapter_path) == ("2", "default-model", str(other))
    assert second.created_at == first.created_at
    assert [model.name for model in await registry.list_models()].count("team/bee") == 1


async def test_replacements_at_once_leave_one_of_them(registry: ModelRegistry, adapter: Path) -> None:
    bodies = [ModelRegistration("bee", "owner/local", str(adapter), model_id=str(number)) for number in range(8)]

    results = await asyncio.gather(*(registry.replace(body) for body in bodies))

    assert sum(is_created for _, is_created in results) == 1
    assert [model.name for model in await registry.list_models()].count("bee") == 1


async def test_a_base_model_may_get_a_second_name(registry: ModelRegistry, adapter: Path) -> None:
    await registry.register(ModelRegistration("alias", "owner/local", type="base"))
    await registry.register(ModelRegistration("bee", "alias", str(adapter)))

    assert (await registry.resolve("alias")).spec.name == "alias"
    assert (await registry.resolve("bee")).spec.path == (await registry.resolve("owner/local")).spec.path


@pytest.mark.parametrize(
    ("changes", "error", "param"),
    [
        ({"base_model": "nobody/nothing"}, ModelNotFoundError, "base_model"),
        ({"base_model": "/etc"}, ModelNotFoundError, "base_model"),
        ({"adapter_path": "/nonexistent/adapter"}, NotFoundError, "adapter_path"),
        ({"adapter_path": "a\x00b"}, NotFoundError, "adapter_path"),
        ({"adapter_path": "/"}, NotFoundError, "adapter_path"),
        ({"adapter_path": None}, InvalidRequestError, "adapter_path"),
        ({"type": "base"}, InvalidRequestError, "adapter_path"),
        ({"name": "../bee"}, InvalidRequestError, "name"),
        ({"name": "/bee"}, InvalidRequestError, "name"),
        ({"name": "b\x00e"}, InvalidRequestError, "name"),
        ({"name": "default"}, InvalidRequestError, "name"),
        ({"name": ""}, InvalidRequestError, "name"),
        ({"name": "b" * 201}, InvalidRequestError, "name"),
        ({"name": "owner/local"}, ConflictError, "name"),
        ({"name": "default-model"}, ConflictError, "name"),
        ({"name": DEMO_NAME}, ConflictError, "name"),
    ],
    ids=str,
)
async def test_a_bad_registration_says_which_field_is_wrong(
    registry: ModelRegistry, adapter: Path, changes: dict[str, Any], error: type[NotFoundError], param: str
) -> None:
    body = {"name": "bee", "base_model": "owner/local", "adapter_path": str(adapter), **changes}

    for serve in (registry.register, registry.replace):
        with pytest.raises(error) as caught:
            await serve(ModelRegistration(**body))

        assert caught.value.param == param
    assert "bee" not in {model.name for model in await registry.list_models()}


async def test_an_adapter_that_does_not_fit_is_not_registered(registry: ModelRegistry, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "wrong", adapter_tensors(rank=9))

    with pytest.raises(InvalidRequestError, match="rank"):
        await registry.register(ModelRegistration("bee", "owner/local", str(adapter)))


async def test_a_broken_base_model_is_not_the_adapters_fault(registry: ModelRegistry, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / "owner" / "local" / "model.safetensors").write_bytes(b"\xff" * 9)

    with pytest.raises(ModelLoadError, match="owner/local"):
        await registry.register(ModelRegistration("bee", "owner/local", str(adapter)))


async def test_only_registered_models_can_be_removed(registry: ModelRegistry, adapter: Path) -> None:
    await registry.register(ModelRegistration("team/bee", "owner/local", str(adapter)))

    await registry.unregister("team/bee")

    with pytest.raises(ModelNotFoundError):
        await registry.resolve("team/bee")
    with pytest.raises(ModelNotFoundError):
        await registry.unregister("team/bee")
    for name in ("owner/local", "default-model", DEMO_NAME):
        with pytest.raises(ConflictError):
            await registry.unregister(name)


async def test_a_name_that_is_unknown_is_answered_with_those_that_are_known(registry: ModelRegistry) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await registry.resolve("gpt-99")

    assert "gpt-99" in caught.value.message
    assert "default-model, owner/local, mlx-hub/demo" in caught.value.message


async def test_a_registered_model_whose_base_is_gone_is_listed_and_not_served(
    registry: ModelRegistry, adapter: Path, tmp_path: Path
) -> None:
    await registry.register(ModelRegistration("bee", "owner/local", str(adapter)))
    shutil.rmtree(tmp_path / "models" / "owner")

    listed = {model.name: model.path for model in await registry.list_models()}

    assert listed["bee"] is None
    with pytest.raises(ModelNotFoundError, match="owner/local"):
        await registry.resolve("bee")


@given(
    name=st.text(max_size=40)
    | st.text("./\\~\x00:%C ", min_size=1, max_size=12)
    | st.sampled_from(
        ["..", "models/owner/local", "owner/../owner/local", "./owner/local", "owner//local", "owner/local/", "con"]
    )
    | st.sampled_from(
        ["/etc/passwd", "~/x", "file:///etc", "owner\\local", "OWNER/local", "owner/local\n", "a\ud800", "\uff4fwner/local"]
    )
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_other_spelling_is_a_model(registry: ModelRegistry, name: str) -> None:
    # Hypothesis also tries the strings that it finds in our source.
    assume(name not in {"default", "default-model", "owner/local", DEMO_NAME})
    with pytest.raises(ModelNotFoundError) as caught:
        await registry.resolve(name)

    caught.value.message.encode()


async def test_the_folder_of_a_name_is_never_looked_up(registry: ModelRegistry, tmp_path: Path) -> None:
    outside = write_model(tmp_path / "outside")

    for name in (str(outside), "../outside", "owner/../../outside", "outside"):
        with pytest.raises(ModelNotFoundError):
            await registry.resolve(name)


@pytest.mark.parametrize(
    "config", [{"auto_map": {"AutoModel": "x.Y"}}, {"model_file": "model.py"}, {"model_type": "bert"}, {"model_type": "../x"}]
)
async def test_models_with_code_of_their_own_or_unknown_types_are_ignored(
    registry: ModelRegistry, tmp_path: Path, config: dict[str, Any]
) -> None:
    write_model(tmp_path / "models" / "owner" / "strange", **config)

    assert "owner/strange" not in {model.name for model in await registry.list_models()}


async def test_an_incomplete_model_is_ignored(registry: ModelRegistry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "models" / "owner" / "half")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    assert "owner/half" not in {model.name for model in await registry.list_models()}

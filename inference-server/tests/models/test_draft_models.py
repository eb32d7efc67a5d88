"""Which models can guess ahead, told from their files before anything is loaded."""

import importlib
import json
import pkgutil
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import mlx_lm.models
import pytest
from fixtures.model_folders import RegistryMaker, write_adapter, write_model
from mlx_lm.models.cache import KVCache, make_prompt_cache
from unified_mlx_app.config import Settings
from unified_mlx_app.db import Sessions
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.models.draft_models import why_no_draft, why_no_guesses
from unified_mlx_app.models.registry import ModelRegistration, ModelRegistry
from unified_mlx_app.types import Speculation

_OPTIONAL = {"olmo"}  # It needs a package that is not installed, and ends the process without it.


def folder_of_type(folder: Path, model_type: str, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **config}))
    return folder


def test_no_architecture_of_mlx_lm_is_taken_for_plain_that_makes_caches_of_its_own(tmp_path: Path) -> None:
    plain = 0
    for info in pkgutil.iter_modules(mlx_lm.models.__path__):
        model = (
            getattr(importlib.import_module(f"mlx_lm.models.{info.name}"), "Model", None) if info.name not in _OPTIONAL else None
        )
        if model is None or why_no_guesses(folder_of_type(tmp_path, info.name)) is not None:
            continue
        plain += 1
        # These two choose by the layer, which the next test looks at.
        assert not hasattr(model, "make_cache") or info.name in {"llama", "ministral3"}, info.name

    assert plain > 50


@pytest.mark.parametrize(("arch", "is_plain"), [("qwen3", True), ("llama", True), ("gemma3_text", False), ("mamba2", False)])
def test_what_the_files_say_is_what_the_caches_are(arch: str, is_plain: bool, tiny_models: Callable[..., Path]) -> None:
    folder = tiny_models(arch)
    caches = make_prompt_cache(mlx_lm.load(str(folder))[0])

    assert (why_no_guesses(folder) is None) == is_plain == all(type(cache) is KVCache for cache in caches)


def test_a_llama_with_sliding_layers_is_not_plain(tmp_path: Path) -> None:
    layers = ["full_attention", "sliding_attention"]

    assert why_no_guesses(folder_of_type(tmp_path, "llama", layer_types=layers)) == "some of its layers see a sliding window"
    assert why_no_guesses(folder_of_type(tmp_path, "mistral", layer_types=layers[:1] * 2)) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_type": 7}', '{"model_type": "../llama"}', "{" * 5000])
def test_a_broken_config_is_no_plain_model(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)

    assert why_no_guesses(tmp_path) is not None


def test_models_of_one_tokenizer_can_draft_for_each_other(tiny_models: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny_models()
    renormalised = tmp_path / "renormalised"
    shutil.copytree(model, renormalised)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    (renormalised / "tokenizer.json").write_text(json.dumps({**tokenizer, "padding": None, "version": "2.0"}))

    assert why_no_draft(model, tiny_models("llama")) is None
    assert why_no_draft(model, renormalised) is None


def test_a_word_with_another_id_makes_another_tokenizer(tiny_models: Callable[..., Path], tmp_path: Path) -> None:
    model, other = tiny_models(), tmp_path / "other"
    shutil.copytree(model, other)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokenizer["added_tokens"][0]["content"] += "x"
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))

    assert "its tokenizer is another one" in (why_no_draft(model, other) or "")
    (other / "tokenizer.json").write_text("{}")
    assert "cannot be compared" in (why_no_draft(model, other) or "")


# ------------------------------------------------------------------ registration


@pytest.fixture
async def registry(
    sqlite_sessions: Sessions, make_registry: RegistryMaker, tmp_path: Path, tiny_models: Callable[..., Path]
) -> AsyncIterator[ModelRegistry]:
    models = tmp_path / "models"
    shutil.copytree(tiny_models(), models / "big")
    shutil.copytree(tiny_models(seed=1), models / "small")
    shutil.copytree(tiny_models("gemma3_text"), models / "sliding")
    write_model(models / "foreign")
    registry = make_registry(sqlite_sessions)
    await registry.start()
    yield registry
    await registry.close()


def registration(**config: Any) -> ModelRegistration:
    return ModelRegistration("fast", config.pop("base", "big"), type="base", config=config)


@pytest.mark.anyio
async def test_a_registered_model_stands_for_its_draft_as_well(registry: ModelRegistry, tmp_path: Path) -> None:
    await registry.register(registration(draft_model="small", num_draft_tokens=6, prompt_lookup=True, note="mine"))

    resolved = await registry.resolve("fast")

    assert resolved.spec.speculation == Speculation(
        draft_name="small", draft_path=str(tmp_path / "models" / "small"), num_draft_tokens=6, prompt_lookup=True
    )
    assert (await registry.resolve("big")).spec.speculation is None

    shutil.rmtree(tmp_path / "models" / "small")
    without = (await registry.resolve("fast")).spec.speculation
    assert without is not None
    assert (without.draft_path, without.prompt_lookup) == (None, True)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("config", "param", "reason"),
    [
        ({"draft_model": 7}, "config.draft_model", "the name of a base model"),
        ({"draft_model": "nobody"}, "config.draft_model", "no base model 'nobody'"),
        ({"draft_model": "/etc"}, "config.draft_model", "no base model"),
        ({"draft_model": "foreign"}, "config.draft_model", "tokenizer"),
        ({"draft_model": "sliding"}, "config.draft_model", "more than plain KV rows"),
        ({"draft_model": "small", "base": "sliding"}, "config.draft_model", "more than plain KV rows"),
        ({"prompt_lookup": True, "base": "sliding"}, "config.prompt_lookup", "more than plain KV rows"),
        ({"prompt_lookup": "yes"}, "config.prompt_lookup", "true or false"),
        ({"prompt_lookup": 1}, "config.prompt_lookup", "true or false"),
        ({"num_draft_tokens": 0}, "config.num_draft_tokens", "from 1 to 16"),
        ({"num_draft_tokens": 17}, "config.num_draft_tokens", "from 1 to 16"),
        ({"num_draft_tokens": True}, "config.num_draft_tokens", "from 1 to 16"),
        ({"num_draft_tokens": 2.0}, "config.num_draft_tokens", "from 1 to 16"),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_name_and_reason(
    config: dict[str, Any], param: str, reason: str, registry: ModelRegistry
) -> None:
    for method in (registry.register, registry.replace):
        with pytest.raises(InvalidRequestError) as caught:
            await method(registration(**config))

        assert caught.value.param == param
        assert reason in caught.value.message
    assert "fast" not in {model.name for model in await registry.list_models()}


@pytest.mark.anyio
async def test_settings_speak_for_the_default_model_and_may_name_a_folder(
    sqlite_sessions: Sessions, tmp_path: Path, tiny_models: Callable[..., Path]
) -> None:
    settings = Settings(
        text_model=str(tiny_models()), draft_model=str(tiny_models(seed=1)), prompt_lookup=True, MODEL_CACHE_DIR=str(tmp_path)
    )
    registry = ModelRegistry(settings, sqlite_sessions)
    await registry.start()
    try:
        resolved = await registry.resolve(None)
    finally:
        await registry.close()

    speculation = resolved.spec.speculation
    assert speculation is not None
    assert (speculation.draft_path, speculation.prompt_lookup) == (str(tiny_models(seed=1)), True)


@pytest.mark.anyio
async def test_a_lora_registration_may_name_a_draft(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="type lora needs"):
        await registry.register(ModelRegistration("lora", "big", config={"draft_model": "small"}))
    adapter = write_adapter(tmp_path / "adapter")
    body = ModelRegistration("lora", "foreign", str(adapter), config={"prompt_lookup": True})

    await registry.register(body)

    speculation = (await registry.resolve("lora")).spec.speculation
    assert speculation is not None
    assert speculation.prompt_lookup

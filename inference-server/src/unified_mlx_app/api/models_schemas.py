"""What `/v1/models` and `/admin/models` accept and answer."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from unified_mlx_app.api.fields import WireModel
from unified_mlx_app.models.registry import KnownModel, ModelRegistration
from unified_mlx_app.services.memory_plan import Verdict
from unified_mlx_app.services.model_facts import ModelFacts
from unified_mlx_app.types import ResidentModel

_Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Abilities(BaseModel):
    """What requests may ask of a model, as its tokenizer, chat template and files tell."""

    completion: bool
    chat: bool = Field(description="It has a chat template.")
    tools: bool = Field(description="Its template takes tools, and its calls are read.")
    reasoning: bool = Field(description="It marks its thoughts, which are told apart from the answer.")
    structured_output: bool
    embeddings: bool
    speculation: bool = Field(description="Tokens can be guessed ahead and checked in one pass.")
    no_speculation_reason: str | None = Field(description="Why not, if they cannot.")


class ModelBody(BaseModel):
    """A model as OpenAI lists it, with what a client may want to know before it asks."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_context_tokens: int | None
    max_model_len: int | None = Field(description="The same as `max_context_tokens`, under vLLM's name.")
    quantization: str | None
    weight_bytes: int | None
    abilities: Abilities


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelBody]


class RegisterBody(WireModel):
    """A model or adapter to serve under `name`."""

    name: _Name
    base_model: _Name
    adapter_path: _Path | None = None
    type: Literal["lora", "base"] = "lora"
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Kept with the model. The server reads `cache_rules`, rules for volatile text, instead of its own; "
        "`draft_model`, `num_draft_tokens` and `prompt_lookup`: how tokens are guessed ahead.",
    )
    model_id: _Name | None = Field(None, description="Id of the model in the registry that trained it.")
    registered_by: _Name | None = None

    def registration(self) -> ModelRegistration:
        return ModelRegistration(**self.model_dump())


class AdminModel(BaseModel):
    """A known model, and whether the engine holds it.

    `weight_bytes` of a loaded adapter are its own, without its base's. `shares_batch`: its requests decode in one batch with
    those of its base and of the base's other adapters; null while it is not loaded.
    """

    type: Literal["base", "lora"]
    base: str
    loaded: bool
    state: Literal["unloaded", "loading", "loaded"]
    last_used_at: datetime | None = Field(description="Null while it is not loaded.")
    shares_batch: bool | None
    source: str
    registered_by: str | None
    model_id: str | None
    adapter_path: str | None
    pinned: bool
    num_active: int
    weight_bytes: int | None
    quantization: str | None
    max_context_tokens: int | None
    created_at: datetime | None


class AdminModelList(BaseModel):
    total_models: int
    loaded_models: int
    models: dict[str, AdminModel]


class RegisteredModel(AdminModel):
    name: str


class ResidentModelBody(BaseModel):
    """A model that the engine holds in memory; `base` is the resident model that an adapter lies on.

    `replaced`: its name stands for something else by now, and requests still run on it.
    """

    name: str
    base: str | None
    adapter_path: str | None
    shares_batch: bool
    replaced: bool
    weight_bytes: int
    pinned: bool
    num_active: int
    vocab_size: int
    max_context_tokens: int | None
    quantization: str | None


class MemoryEstimate(BaseModel):
    """What loading a model would take, in bytes. For one that is loaded, `weight_bytes` are what it takes.

    `fits_after_eviction`: when the models in `would_evict`, which are idle, have gone.
    """

    name: str
    context_tokens: int
    weight_bytes: int | None = Field(description="Not in memory yet; of an adapter with its base, unless that is loaded.")
    kv_bytes_per_token: int | None
    kv_bytes: int | None = Field(description="Of one sequence of `context_tokens`, at most.")
    total_bytes: int | None
    memory_limit_bytes: int | None
    resident_bytes: int
    free_bytes: int | None
    would_evict: list[str]
    verdict: Verdict
    reason: str | None


class ModelAction(BaseModel):
    status: Literal["unloaded", "removed"]
    name: str


def model_body(model: KnownModel, facts: ModelFacts, *, created: int) -> ModelBody:
    """`created` is told for models that nobody registered."""
    return ModelBody(
        id=model.name,
        object="model",
        created=int(model.created_at.timestamp()) if model.created_at else created,
        owned_by=model.registered_by or model.source,
        max_context_tokens=model.max_context_tokens,
        max_model_len=model.max_context_tokens,
        quantization=model.quantization,
        weight_bytes=model.weight_bytes,
        abilities=Abilities(**asdict(facts)),
    )


def admin_model(model: KnownModel, resident: ResidentModel | None, *, is_loading: bool) -> AdminModel:
    return AdminModel(
        type=model.type,
        base=model.base,
        loaded=resident is not None,
        state="loaded" if resident is not None else "loading" if is_loading else "unloaded",
        last_used_at=datetime.fromtimestamp(resident.last_used_at, UTC) if resident else None,
        shares_batch=resident.shares_batch if resident else None,
        source=model.source,
        registered_by=model.registered_by,
        model_id=model.model_id,
        adapter_path=model.adapter_path,
        pinned=resident is not None and resident.pinned,
        num_active=resident.num_active if resident else 0,
        weight_bytes=resident.weight_bytes if resident else model.weight_bytes,
        quantization=model.quantization,
        max_context_tokens=model.max_context_tokens,
        created_at=model.created_at,
    )


def resident_body(model: ResidentModel) -> ResidentModelBody:
    return ResidentModelBody(
        name=model.name,
        base=model.base,
        adapter_path=model.adapter_path,
        shares_batch=model.shares_batch,
        replaced=model.is_replaced,
        weight_bytes=model.weight_bytes,
        pinned=model.pinned,
        num_active=model.num_active,
        vocab_size=model.vocab_size,
        max_context_tokens=model.max_context_tokens,
        quantization=model.quantization,
    )

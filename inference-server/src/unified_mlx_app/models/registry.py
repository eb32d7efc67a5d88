"""Which models this server knows, and what a name in a request stands for.

Known are the default model, registered models and adapters (a table), complete models on this machine, and the demo
model. Any other name, a path among them, is unknown. All methods run on the event loop.
"""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from huggingface_hub import constants
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

import unified_mlx_app
from unified_mlx_app.config import Settings
from unified_mlx_app.db import Sessions
from unified_mlx_app.errors import ConflictError, InvalidRequestError, ModelLoadError, ModelNotFoundError, NotFoundError
from unified_mlx_app.models.adapters import check_adapter
from unified_mlx_app.models.default_model import DefaultModel, DefaultModelStatus, HubAccess
from unified_mlx_app.models.local_models import DEMO_NAME, RESCAN_SECONDS, LocalModel, LocalModels, Source, UnusableModelError
from unified_mlx_app.models.registered_drafts import RegisteredDrafts
from unified_mlx_app.models.served_model import ServedModel
from unified_mlx_app.types import ModelSpec

DEMO_DIR = Path(unified_mlx_app.__file__).with_name("demo_model")
DECISION_SECONDS = 10.0
RETRY_AFTER_SECONDS = 10
MAX_NAMES_IN_MESSAGE = 30

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]*(/[A-Za-z0-9][A-Za-z0-9._:@+-]*)*")
MAX_NAME_CHARACTERS = 200

_REPLACED_COLUMNS = ("base_model", "adapter_path", "type", "config", "model_id", "registered_by")

log = structlog.get_logger(__name__)

ModelType = Literal["base", "lora"]


@dataclass(frozen=True, slots=True)
class ModelRegistration:
    """What a client asks to be served under `name`."""

    name: str
    base_model: str
    adapter_path: str | None = None
    type: ModelType = "lora"
    config: dict[str, Any] = field(default_factory=dict)
    model_id: str | None = None
    registered_by: str | None = None


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model as clients and operators see it. `path` is None when the base of a registered model is gone."""

    name: str
    type: ModelType
    base: str
    source: Source
    path: str | None
    adapter_path: str | None = None
    registered_by: str | None = None
    model_id: str | None = None
    created_at: datetime | None = None
    max_context_tokens: int | None = None
    quantization: str | None = None
    weight_bytes: int | None = None

    @property
    def spec(self) -> ModelSpec | None:
        """What requests for it run on; None when its base is gone."""
        if self.path is None:
            return None
        return ModelSpec(
            name=self.name,
            path=self.path,
            adapter_path=self.adapter_path,
            base_model=self.base if self.adapter_path is not None else None,
            max_context_tokens=self.max_context_tokens,
        )


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What to run. `fallback_reason` says why it is the demo model and not the one that was meant."""

    spec: ModelSpec
    fallback_reason: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    """What the model was registered with."""


class ModelRegistry:
    """Names to models. `start` and `close` frame its life; between them every method may be called at any time."""

    def __init__(
        self, settings: Settings, sessions: Sessions, *, hub: HubAccess | None = None, demo_dir: Path = DEMO_DIR
    ) -> None:
        hub = hub or HubAccess(Path(constants.HF_HUB_CACHE))
        self._sessions = sessions
        self._local = LocalModels(settings.model_cache_dir, hub_cache_dir=hub.cache_dir, demo_dir=demo_dir)
        self._drafts = RegisteredDrafts(settings, self._base)
        self._default = DefaultModel(settings.text_model, local=self._local, hub=hub)

    async def start(self) -> None:
        """Begin making the default model available, in the background."""
        self._default.start()

    async def close(self) -> None:
        """Stop what runs in the background."""
        await self._default.close()

    def default_status(self) -> DefaultModelStatus:
        """How far the default model is; its `name` is the one that clients use."""
        return self._default.status

    async def resolve(self, name: str | None) -> ResolvedModel:
        """What `name` stands for; None and "default" are the default model.

        Raises ModelNotFoundError for an unknown name, ModelLoadError while the default model is on its way.
        """
        if name is None or name == "default" or self._default.has_name(name):
            return await self._resolve_default()
        row = await self._row(name)
        base_name = row.base_model if row else name
        base = await self._base(base_name)
        if base is None and row:
            raise ModelNotFoundError(f"The base model {base_name!r} of {name!r} is not on this machine.", param="model")
        if base is None:
            raise await self._unknown(name, param="model")
        if row is None:
            return ResolvedModel(_spec(base))
        spec = _spec(base, name=name, adapter_path=row.adapter_path)
        return ResolvedModel(await self._drafts.for_registered(spec, row.config), config=row.config)

    async def _resolve_default(self) -> ResolvedModel:
        if model := await self._default_model():
            return ResolvedModel(await self._drafts.for_default(_spec(model)))
        status = self._default.status
        demo = await asyncio.to_thread(self._local.find, DEMO_NAME)
        reason = f"The default model {status.name!r} is not available: {status.reason}."
        if demo is None:
            raise ModelLoadError(reason, retry_after_seconds=RETRY_AFTER_SECONDS)
        return ResolvedModel(_spec(demo), fallback_reason=f"{reason} The demo model answers instead.")

    async def _default_model(self) -> LocalModel | None:
        """None when it is unavailable. Raises ModelLoadError while it is on its way."""
        await self._default.wait_until_decided(DECISION_SECONDS)
        if self._default.model is None and self._default.status.state == "fetching":
            raise ModelLoadError(_fetching_message(self._default.status), retry_after_seconds=RETRY_AFTER_SECONDS)
        return self._default.model

    async def list_models(self) -> list[KnownModel]:
        """Every model that `resolve` knows: the default when it is here, registered ones, local ones, the demo model."""
        return await self._list(max_age_seconds=0)

    async def _list(self, *, max_age_seconds: float) -> list[KnownModel]:
        async with self._sessions() as session:
            rows = (await session.exec(select(ServedModel).order_by(col(ServedModel.created_at), col(ServedModel.name)))).all()
        local = await asyncio.to_thread(self._local.scan, max_age_seconds=max_age_seconds)
        default = self._default.model
        bases = {model.name: model for model in [*local, *([default] if default else [])]}
        known = [_known_base(default)] if default else []
        known += [_known_row(row, bases.get(row.base_model)) for row in rows]
        names = {model.name for model in known}
        others = sorted(local, key=lambda model: model.source == "demo")
        known += [_known_base(model) for model in others if model.name not in names]
        return known

    async def register(self, body: ModelRegistration) -> tuple[KnownModel, bool]:
        """Serve a base model, with an adapter or without, under a name. The flag is False when it already was so.

        Raises ConflictError when the name means something else, ModelNotFoundError for an unknown base model,
        NotFoundError when the adapter is not there, InvalidRequestError when it cannot be used.
        """
        row, base = await self._row_for(body)
        stored, is_created = await self._store(row)
        return _known_row(stored, base), is_created

    async def replace(self, body: ModelRegistration) -> tuple[KnownModel, bool]:
        """Serve `body` under its name instead of what was served under it; the name is known at every moment.

        The flag is False when there was something to replace. Raises what `register` raises, but no ConflictError for
        another body.
        """
        row, base = await self._row_for(body)
        try:
            stored, is_created = await self._put(row)
        except IntegrityError:
            # Another server has added the name just now.
            stored, is_created = await self._put(row)
        log.info("model_registered" if is_created else "model_replaced", model=row.name, base=row.base_model, type=row.type)
        return _known_row(stored, base), is_created

    async def _put(self, row: ServedModel) -> tuple[ServedModel, bool]:
        values = {name: getattr(row, name) for name in _REPLACED_COLUMNS}
        async with self._sessions.begin() as session:
            # Written before anything is read, so that two of them wait for each other on either database.
            statement = update(ServedModel).where(col(ServedModel.name) == row.name).values(**values).returning(ServedModel)
            replaced = (await session.exec(statement)).scalar_one_or_none()
            if replaced is not None:
                return replaced, False
            added = ServedModel(**row.model_dump())
            session.add(added)
            return added, True

    async def _row_for(self, body: ModelRegistration) -> tuple[ServedModel, LocalModel]:
        """The row that says what `body` says, and the base model it names. Raises what `register` raises."""
        _check_registration(body)
        if self._default.has_name(body.name) or await asyncio.to_thread(self._local.find, body.name):
            raise ConflictError(f"{body.name!r} is the name of a base model on this machine.", param="name")
        base = await self._base(body.base_model)
        if base is None:
            raise await self._unknown(body.base_model, param="base_model")
        await self._drafts.check(body.config, base)
        adapter_path = None
        if body.adapter_path is not None:
            adapter_path = await asyncio.to_thread(_check_adapter, body.adapter_path, base)
        row = ServedModel(
            name=body.name,
            base_model=base.name,
            adapter_path=adapter_path,
            type=body.type,
            config=body.config,
            model_id=body.model_id,
            registered_by=body.registered_by,
        )
        return row, base

    async def _store(self, row: ServedModel) -> tuple[ServedModel, bool]:
        """Add the row, or find the equal one that is there, which another server may have added just now."""
        existing = await self._row(row.name)
        if existing is None:
            try:
                async with self._sessions.begin() as session:
                    session.add(row)
            except IntegrityError:
                existing = await self._row(row.name)
            else:
                log.info("model_registered", model=row.name, base=row.base_model, type=row.type)
                return row, True
        if existing is None or _body_of(existing) != _body_of(row):
            raise ConflictError(f"{row.name!r} is registered with other contents; delete it first.", param="name")
        return existing, False

    async def unregister(self, name: str) -> None:
        """Stop serving a registered model. Raises ModelNotFoundError, or ConflictError for a model that was found on disk."""
        row = await self._row(name)
        if row is None:
            if self._default.has_name(name) or await asyncio.to_thread(self._local.find, name):
                raise ConflictError(f"{name!r} was not registered but found on this machine; it cannot be removed here.")
            raise await self._unknown(name, param="name")
        async with self._sessions.begin() as session:
            await session.delete(await session.merge(row))
        log.info("model_unregistered", model=name)

    async def _row(self, name: str) -> ServedModel | None:
        """Names that nobody can register do not reach the database, which refuses some of their characters."""
        if not _is_name(name):
            return None
        async with self._sessions() as session:
            return (await session.exec(select(ServedModel).where(col(ServedModel.name) == name))).one_or_none()

    async def _base(self, name: str) -> LocalModel | None:
        """The base model of that name, or the one that a registered base model of that name stands for."""
        if name == "default" or self._default.has_name(name):
            return await self._default_model()
        if found := await asyncio.to_thread(self._local.find, name):
            return found
        row = await self._row(name)
        if row is None or row.type != "base":
            return None
        return await self._base(row.base_model)

    async def _unknown(self, name: str, *, param: str) -> ModelNotFoundError:
        names = [model.name for model in await self._list(max_age_seconds=RESCAN_SECONDS) if model.path]
        more = f" and {len(names) - MAX_NAMES_IN_MESSAGE} more" if len(names) > MAX_NAMES_IN_MESSAGE else ""
        known = ", ".join(names[:MAX_NAMES_IN_MESSAGE]) or "none yet"
        return ModelNotFoundError(f"There is no model {name[:100]!a}. Known models: {known}{more}.", param=param)


def _spec(base: LocalModel, *, name: str | None = None, adapter_path: str | None = None) -> ModelSpec:
    return ModelSpec(
        name=name or base.name,
        path=base.path,
        adapter_path=adapter_path,
        base_model=base.name if adapter_path is not None else None,
        max_context_tokens=base.max_context_tokens,
    )


def _known_base(model: LocalModel) -> KnownModel:
    return KnownModel(
        name=model.name,
        type="base",
        base=model.name,
        source=model.source,
        path=model.path,
        max_context_tokens=model.max_context_tokens,
        quantization=model.quantization,
        weight_bytes=model.weight_bytes,
    )


def _known_row(row: ServedModel, base: LocalModel | None) -> KnownModel:
    return KnownModel(
        name=row.name,
        type="lora" if row.type == "lora" else "base",
        base=row.base_model,
        source="registered",
        path=base.path if base else None,
        adapter_path=row.adapter_path,
        registered_by=row.registered_by,
        model_id=row.model_id,
        created_at=row.created_at,
        max_context_tokens=base.max_context_tokens if base else None,
        quantization=base.quantization if base else None,
        weight_bytes=base.weight_bytes if base else None,
    )


def _fetching_message(status: DefaultModelStatus) -> str:
    if not status.bytes_total:
        return f"The default model {status.name!r} is being looked up on the Hugging Face Hub."
    percent = min(100, 100 * status.bytes_done // status.bytes_total)
    return (
        f"The default model {status.name!r} is being fetched: {percent} % of {status.bytes_total / 1e9:.2f} GB. "
        f"Until then use the model {DEMO_NAME!r}."
    )


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME_CHARACTERS and _NAME.fullmatch(name) is not None


def _check_registration(body: ModelRegistration) -> None:
    if not _is_name(body.name) or body.name == "default":
        raise InvalidRequestError(
            "A name has 1 to 200 letters, digits and . _ : @ + - in parts between slashes, and is not 'default'.", param="name"
        )
    if body.type == "lora" and body.adapter_path is None:
        raise InvalidRequestError("A model of type lora needs an adapter_path.", param="adapter_path")
    if body.type == "base" and body.adapter_path is not None:
        raise InvalidRequestError("A model of type base has no adapter_path.", param="adapter_path")


def _check_adapter(adapter_path: str, base: LocalModel) -> str:
    """The folder's full path."""
    try:
        folder = Path(adapter_path).expanduser().resolve()
        if not folder.is_dir():
            raise NotFoundError("There is no folder at adapter_path.", param="adapter_path")
    except (ValueError, OSError, RuntimeError) as error:
        raise NotFoundError("There is no folder at adapter_path.", param="adapter_path") from error
    try:
        check_adapter(folder, Path(base.path))
    except UnusableModelError as error:
        message = f"The base model {base.name!r} cannot be read: {error}."
        raise ModelLoadError(message, retry_after_seconds=RETRY_AFTER_SECONDS) from error
    return str(folder)


def _body_of(row: ServedModel) -> tuple[object, ...]:
    return (row.name, row.base_model, row.adapter_path, row.type, row.config, row.model_id)

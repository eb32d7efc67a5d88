"""Aliases of a model's versions, such as `champion`: the rows. What is served follows them in `promotions`."""

import re
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import NotFoundError
from mlx_hub.models.base import Page, PageRequest, utc_now
from mlx_hub.models.registered_model import ModelAlias, ModelAliasPublic, ModelVersion, RegisteredModel
from mlx_hub.services.inference import ServedAdapter
from mlx_hub.services.registry import get_row, root_base_model
from mlx_hub.services.versions import get_version_row

_SERVABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]*(/[A-Za-z0-9][A-Za-z0-9._:@+-]*)*")
_MAX_SERVED_CHARACTERS = 200


def served_name(model: RegisteredModel, alias: str) -> str:
    """`name@alias`, under which the inference server serves what the alias points to.

    A name that the inference server would refuse has its other characters replaced and an id added that keeps it apart.
    """
    name = f"{model.name}@{alias}"
    if len(name) <= _MAX_SERVED_CHARACTERS and _SERVABLE.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9]+", "-", model.name)[:64].strip("-") or "model"
    return f"{plain}-{model.id.hex[:12]}@{alias}"


async def move_alias(session: AsyncSession, model_id: UUID, alias: str, version: int) -> ModelAlias:
    """Let `alias` point to `version`, from now on or again. Raises NotFoundError for an unknown model or version."""
    await get_row(session, model_id, is_locked=True)
    target = await get_version_row(session, model_id, version)
    row = await _find(session, model_id, alias)
    if row is None:
        row = ModelAlias(model_id=model_id, alias=alias, version_id=target.id)
        session.add(row)
    elif row.version_id != target.id:
        row.previous_version_id, row.version_id, row.updated_at = row.version_id, target.id, utc_now()
    await session.flush()
    return row


async def delete_alias(session: AsyncSession, model_id: UUID, alias: str) -> str:
    """The name under which it was served. Raises NotFoundError."""
    model = await get_row(session, model_id, is_locked=True)
    row = await _find(session, model_id, alias)
    if row is None:
        raise NotFoundError(f"The model {model.name!r} has no alias {alias!r}.")
    await session.delete(row)
    return served_name(model, alias)


async def list_aliases(session: AsyncSession, model_id: UUID, page: PageRequest) -> Page[ModelAliasPublic]:
    """By name. Raises NotFoundError for an unknown model."""
    model = await get_row(session, model_id)
    of_model = col(ModelAlias.model_id) == model_id
    total = (await session.exec(select(func.count()).select_from(ModelAlias).where(of_model))).one()
    order = col(ModelAlias.alias)
    rows = (await session.exec(select(ModelAlias).where(of_model).order_by(order).offset(page.offset).limit(page.size))).all()
    return Page(items=await _describe(session, model, rows), total=total, page=page.number, page_size=page.size)


async def get_alias(session: AsyncSession, model_id: UUID, alias: str) -> ModelAliasPublic:
    """Raises NotFoundError."""
    model = await get_row(session, model_id)
    row = await _find(session, model_id, alias)
    if row is None:
        raise NotFoundError(f"The model {model.name!r} has no alias {alias!r}.")
    return (await _describe(session, model, [row]))[0]


async def adapter_of(session: AsyncSession, model_id: UUID, alias: str) -> ServedAdapter | None:
    """What the inference server shall serve for the alias; None when there is no such alias (any more)."""
    row = await _find(session, model_id, alias)
    return await _adapter(session, row) if row else None


async def wanted_adapters(session: AsyncSession) -> dict[str, ServedAdapter]:
    """What the inference server shall serve for all aliases, by the served name."""
    rows = (await session.exec(select(ModelAlias))).all()
    return {adapter.name: adapter for adapter in [await _adapter(session, row) for row in rows]}


async def _adapter(session: AsyncSession, row: ModelAlias) -> ServedAdapter:
    model = await get_row(session, row.model_id)
    version = await session.get_one(ModelVersion, row.version_id)
    base_model = await root_base_model(session, model)
    return ServedAdapter(served_name(model, row.alias), base_model, version.path, str(model.id))


async def _find(session: AsyncSession, model_id: UUID, alias: str) -> ModelAlias | None:
    statement = select(ModelAlias).where(col(ModelAlias.model_id) == model_id, col(ModelAlias.alias) == alias)
    return (await session.exec(statement)).one_or_none()


async def _describe(session: AsyncSession, model: RegisteredModel, rows: Sequence[ModelAlias]) -> list[ModelAliasPublic]:
    of_model = select(ModelVersion.id, ModelVersion.version).where(col(ModelVersion.model_id) == model.id)
    numbers = dict((await session.exec(of_model)).all())
    return [
        ModelAliasPublic(
            alias=row.alias,
            version=numbers[row.version_id],
            previous_version=numbers[row.previous_version_id] if row.previous_version_id else None,
            served_name=served_name(model, row.alias),
            updated_at=row.updated_at,
        )
        for row in rows
    ]

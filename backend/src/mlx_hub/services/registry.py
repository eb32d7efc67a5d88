"""Registered models: create, find, list, change."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, func
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from mlx_hub.errors import ConflictError, InUseError, NotFoundError
from mlx_hub.models.base import Page, PageRequest, utc_now
from mlx_hub.models.registered_model import (
    ModelAlias,
    ModelKind,
    ModelVersion,
    RegisteredModel,
    RegisteredModelCreate,
    RegisteredModelPublic,
    RegisteredModelUpdate,
)


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models of the list; None lets all pass. `query` is looked for in names and descriptions."""

    kind: ModelKind | None = None
    task_type: str | None = None
    query: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.kind is not None:
            found.append(col(RegisteredModel.kind) == self.kind)
        if self.task_type is not None:
            found.append(col(RegisteredModel.task_type) == self.task_type)
        if self.query:
            columns = (col(RegisteredModel.name), col(RegisteredModel.base_model), col(RegisteredModel.description))
            found.append(or_(*(column.icontains(self.query, autoescape=True) for column in columns)))
        return found


async def create_model(session: AsyncSession, body: RegisteredModelCreate) -> RegisteredModelPublic:
    """Raises ConflictError for a name that is taken."""
    base = (await session.exec(select(RegisteredModel).where(col(RegisteredModel.name) == body.base_model))).one_or_none()
    row = RegisteredModel(**body.model_dump(), base_model_id=base.id if base else None)
    session.add(row)
    await _flush_name(session, body.name)
    return (await _describe(session, [row]))[0]


async def get_row(session: AsyncSession, model_id: UUID, *, is_locked: bool = False) -> RegisteredModel:
    """The row, locked until the transaction ends when asked for. Raises NotFoundError."""
    row = await session.get(RegisteredModel, model_id, with_for_update=is_locked)
    if row is None:
        raise NotFoundError(f"There is no model with the id {model_id}.")
    return row


async def get_model(session: AsyncSession, model_id: UUID) -> RegisteredModelPublic:
    """Raises NotFoundError."""
    return (await _describe(session, [await get_row(session, model_id)]))[0]


async def list_models(session: AsyncSession, wanted: ModelFilter, page: PageRequest) -> Page[RegisteredModelPublic]:
    """The newest first."""
    conditions = wanted.conditions()
    total = (await session.exec(select(func.count()).select_from(RegisteredModel).where(*conditions))).one()
    order = (col(RegisteredModel.created_at).desc(), col(RegisteredModel.id))
    statement = select(RegisteredModel).where(*conditions).order_by(*order).offset(page.offset).limit(page.size)
    rows = (await session.exec(statement)).all()
    return Page(items=await _describe(session, rows), total=total, page=page.number, page_size=page.size)


async def update_model(session: AsyncSession, model_id: UUID, body: RegisteredModelUpdate) -> RegisteredModelPublic:
    """Raises NotFoundError, ConflictError for a name that is taken, InUseError for a new name while the old one is served."""
    row = await get_row(session, model_id, is_locked=True)
    changes = {name: value for name, value in body.model_dump(exclude_none=True).items() if value != getattr(row, name)}
    if "name" in changes:
        await _check_renamable(session, row)
    if changes:
        row.sqlmodel_update({**changes, "updated_at": utc_now()})
        await _flush_name(session, row.name)
    return (await _describe(session, [row]))[0]


async def _check_renamable(session: AsyncSession, row: RegisteredModel) -> None:
    aliases = (await session.exec(select(ModelAlias.alias).where(col(ModelAlias.model_id) == row.id))).all()
    if aliases:
        names = ", ".join(sorted(aliases))
        raise InUseError(f"{row.name!r} is served under its name by the aliases {names}; delete them first.", field="name")


async def _flush_name(session: AsyncSession, name: str) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError(f"There is a model named {name!r} already; choose another name.", field="name") from error


async def root_base_model(session: AsyncSession, row: RegisteredModel) -> str:
    """Hub id or local name of the weights below `row`, through registered models that stand on one another."""
    return (await root_model(session, row)).base_model


async def root_model(session: AsyncSession, row: RegisteredModel) -> RegisteredModel:
    """The model at the bottom of those that `row` stands on; its `base_model` names the weights."""
    seen = {row.id}
    while row.base_model_id is not None and row.base_model_id not in seen:
        row = await get_row(session, row.base_model_id)
        seen.add(row.id)
    return row


async def _describe(session: AsyncSession, rows: Sequence[RegisteredModel]) -> list[RegisteredModelPublic]:
    ids = [row.id for row in rows]
    latest_statement = select(ModelVersion.model_id, func.max(ModelVersion.version)).where(col(ModelVersion.model_id).in_(ids))
    latest = dict((await session.exec(latest_statement.group_by(col(ModelVersion.model_id)))).all())
    alias_statement = (
        select(ModelAlias.model_id, ModelAlias.alias, ModelVersion.version)
        .join(ModelVersion, col(ModelAlias.version_id) == col(ModelVersion.id))
        .where(col(ModelAlias.model_id).in_(ids))
        .order_by(col(ModelAlias.alias))
    )
    aliases: dict[UUID, dict[str, int]] = {model_id: {} for model_id in ids}
    for model_id, alias, version in (await session.exec(alias_statement)).all():
        aliases[model_id][alias] = version
    return [
        RegisteredModelPublic.model_validate(
            {**row.model_dump(), "type": row.kind, "latest_version": latest.get(row.id), "aliases": aliases[row.id]}
        )
        for row in rows
    ]

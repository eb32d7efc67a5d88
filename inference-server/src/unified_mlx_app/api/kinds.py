"""Unions of wire models that are told apart by their `type`, with a place for the kinds that are not done here."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import WireModel


def _refuse(kind: str) -> str:
    raise PydanticCustomError("unsupported_field", "is of a kind that this server does not do; leave it out")


class Foreign(WireModel):
    """Anything of a kind that is not done here: refused by its type, whatever else is in it."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, AfterValidator(_refuse)]


def kind_tag(*known: str, default: str | None = None) -> Callable[[Any], str]:
    """Tells a value's tag for `Discriminator`: `[kind]` of the known kinds, else `[other]`; `default` where it has no type.

    The brackets keep tags out of the names of fields in errors.
    """

    def tag(value: Any) -> str:
        kind = (value.get("type") if isinstance(value, dict) else getattr(value, "type", None)) or default
        return f"[{kind}]" if kind in known else "[other]"

    return tag

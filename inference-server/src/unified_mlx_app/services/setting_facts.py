"""The settings in force, as an operator may read them: by variable, secrets told only as set."""

from dataclasses import dataclass

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from unified_mlx_app.config import Settings
from unified_mlx_app.rule_specs import RuleSpec

_SECRET_URLS = frozenset({"database_url"})
"""Addresses that may carry a password."""


@dataclass(frozen=True, slots=True)
class SettingFact:
    """One setting, written as in the environment. Null is "chosen by the server" or, of a secret, "not set"."""

    variable: str
    value: str | None
    default: str | None
    is_secret: bool
    description: str


def describe_settings(settings: Settings) -> list[SettingFact]:
    """Every variable in the order of the settings."""
    return [_describe(name, field, getattr(settings, name)) for name, field in Settings.model_fields.items()]


def _describe(name: str, field: FieldInfo, value: object) -> SettingFact:
    is_secret = isinstance(value, SecretStr) or "SecretStr" in str(field.annotation) or name in _SECRET_URLS
    return SettingFact(
        variable=str(field.validation_alias or f"MLX_{name.upper()}"),
        value=_hidden(value) if is_secret else _written(value),
        default=_written(field.default),
        is_secret=is_secret,
        description=field.description or "",
    )


def _hidden(value: object) -> str | None:
    return None if value is None else "set"


def _written(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(item.short if isinstance(item, RuleSpec) else str(item) for item in value)
    return str(value)

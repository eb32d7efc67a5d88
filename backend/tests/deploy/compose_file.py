"""docker-compose.yml as Docker reads it: with the variables of a fresh .env put in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from compose_env import missing_lines

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
LINUX = ROOT / "docker/linux.yml"
_NESTED = r"\$\{(?:[^{}]|\$\{[^{}]*\})*\}"
_VARIABLE = re.compile(rf"\$\{{(\w+)(?:(:[-?])((?:[^{{}}]|{_NESTED})*))?\}}")


class _Loader(yaml.SafeLoader):
    """Knows Compose's own tags, which only say how two files are merged."""


def _untagged(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True) if isinstance(node, yaml.MappingNode) else None


_Loader.add_multi_constructor("!", _untagged)


def variables_in(text: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)", text))


def filled(text: str, variables: Mapping[str, str]) -> str:
    """`text` with `${NAME}`, `${NAME:-default}` and `${NAME:?why}` replaced. Raises LookupError for the last without a value."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if given := variables.get(name):
            return given
        if operator == ":?":
            raise LookupError(f"{name}: {rest}")
        return filled(rest or "", variables)

    return _VARIABLE.sub(value, text)


def written(*, is_linux: bool = False) -> dict[str, str]:
    """The variables of a new .env."""
    return variables_of("\n".join(missing_lines("", is_linux=is_linux)))


def variables_of(env: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", env, re.MULTILINE))


def read_compose(path: Path = COMPOSE, *, variables: Mapping[str, str]) -> dict[str, Any]:
    return yaml.load(filled(path.read_text(), variables), _Loader)

"""`.env.example` tells the truth about the settings."""

import shlex
from pathlib import Path

import pytest
from unified_mlx_app.config import Settings

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"
NOT_THE_SERVERS = {"MLX_BUILD"}


def variables_in_example() -> dict[str, str]:
    lines = [line[1:] for line in ENV_EXAMPLE.read_text().splitlines() if line.startswith("#") and "=" in line.split(" ")[0]]
    return {name: "".join(shlex.split(value)) for name, value in (line.split("=", 1) for line in lines)}


def test_the_example_names_every_variable_and_no_other() -> None:
    known = {str(field.validation_alias or f"MLX_{name.upper()}") for name, field in Settings.model_fields.items()}

    assert set(variables_in_example()) - NOT_THE_SERVERS == known


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables_in_example():
        monkeypatch.delenv(name, raising=False)
    defaults = Settings()
    for name, value in variables_in_example().items():
        if value:
            monkeypatch.setenv(name, value)

    assert Settings() == defaults

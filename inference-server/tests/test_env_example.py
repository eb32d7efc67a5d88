"""`.env.example` tells the truth about the settings."""

import shlex
from pathlib import Path

import pytest
from unified_mlx_app.config import Settings

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"


def variables_of(section: str) -> dict[str, str]:
    """What the example shows for both services and for this one, by name."""
    shown: dict[str, str] = {}
    is_wanted = False
    for line in ENV_EXAMPLE.read_text().splitlines():
        if line.startswith("# ----"):
            is_wanted = line.removeprefix("# ----").strip() in ("Both services", section)
        elif is_wanted and line.startswith("#") and "=" in line.split(" ")[0]:
            name, _, value = line[1:].partition("=")
            shown[name] = "".join(shlex.split(value))
    return shown


def test_the_example_names_every_variable_and_no_other() -> None:
    known = {str(field.validation_alias or f"MLX_{name.upper()}") for name, field in Settings.model_fields.items()}

    assert set(variables_of("Inference server")) == known


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = variables_of("Inference server")
    for name in shown:
        monkeypatch.delenv(name, raising=False)
    defaults = Settings()
    for name, value in shown.items():
        if value:
            monkeypatch.setenv(name, value)

    assert Settings() == defaults

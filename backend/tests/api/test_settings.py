"""The settings in force, as a dashboard shows them."""

from pathlib import Path

from fixtures.backend import run_backend
from fixtures.databases import NewDatabase
from mlx_hub.config import Settings

TOKEN = "hf_a_token_that_nobody_else_may_read"


def test_settings_tell_what_is_in_force_and_no_secret(tmp_path: Path, new_database: NewDatabase) -> None:
    with run_backend(tmp_path, new_database("postgresql", tmp_path), HF_TOKEN=TOKEN, MLX_HUB_MAX_ROWS="12") as backend:
        answer = backend.get("/api/v1/system/settings")

    told = {setting["variable"]: setting for setting in answer.json()["settings"]}
    assert answer.status_code == 200
    assert TOKEN not in answer.text
    assert "postgresql" not in answer.text.replace("postgresql://…", "")
    assert len(told) == len(Settings.model_fields)
    assert (told["HF_TOKEN"]["value"], told["HF_TOKEN"]["is_secret"]) == ("set", True)
    assert (told["MLX_HUB_MAX_ROWS"]["value"], told["MLX_HUB_MAX_ROWS"]["default"]) == ("12", "5000000")
    assert told["MODEL_CACHE_DIR"]["value"] == str(tmp_path / "cache")

"""The settings in force, as a dashboard shows them."""

from collections.abc import Callable
from pathlib import Path

from fixtures.server import run_server
from unified_mlx_app.config import Settings

KEY = "sk-a-key-that-nobody-else-may-read"


def test_settings_tell_what_is_in_force_and_no_secret(tmp_path: Path, tiny_models: Callable[..., Path]) -> None:
    variables = {"MLX_API_KEY": KEY, "MLX_MAX_QUEUE": "7", "MLX_PROMPT_CACHE_RULES": "billing_header,uuid=drop@user"}
    with run_server(tmp_path, tiny_models(), **variables) as server:
        answer = server.get("/admin/settings", headers={"Authorization": f"Bearer {KEY}"})

    told = {setting["variable"]: setting for setting in answer.json()["settings"]}
    assert answer.status_code == 200
    assert KEY not in answer.text
    assert len(told) == len(Settings.model_fields)
    assert (told["MLX_API_KEY"]["value"], told["MLX_API_KEY"]["is_secret"]) == ("set", True)
    assert (told["MLX_MAX_QUEUE"]["value"], told["MLX_MAX_QUEUE"]["default"]) == ("7", "512")
    assert told["MLX_PROMPT_CACHE_RULES"]["value"] == "billing_header,uuid=drop@user"
    assert told["MLX_MEMORY_LIMIT"]["value"] is None
    assert (told["DATABASE_URL"]["is_secret"], told["MLX_PROMPT_CACHE_ENABLED"]["value"]) == (True, "true")

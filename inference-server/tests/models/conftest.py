"""Registries with folders and databases of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fixtures.hub import Hub
from fixtures.model_folders import RegistryMaker, write_model
from unified_mlx_app.config import Settings
from unified_mlx_app.db import Sessions, async_url, create_engine, create_sessions, upgrade
from unified_mlx_app.models.default_model import HubAccess
from unified_mlx_app.models.registry import ModelRegistry


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    url = async_url(database_url)
    await upgrade(url)
    engine = create_engine(url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def sqlite_sessions(tmp_path: Path) -> AsyncIterator[Sessions]:
    url = async_url(f"sqlite:///{tmp_path}/hub.db")
    await upgrade(url)
    engine = create_engine(url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
def demo_dir(tmp_path: Path) -> Path:
    return write_model(tmp_path / "package" / "demo_model")


@pytest.fixture
def make_registry(tmp_path: Path, demo_dir: Path) -> RegistryMaker:
    """A registry with its own folders; `default` is what MLX_TEXT_MODEL says."""

    def registry(sessions: Sessions, default: str = "", *, hub: Hub | None = None, retry_seconds: float = 300) -> ModelRegistry:
        settings = Settings(
            text_model=default or str(write_model(tmp_path / "default-model")), MODEL_CACHE_DIR=str(tmp_path / "models")
        )
        endpoint = hub.endpoint if hub else "http://127.0.0.1:9"
        access = HubAccess(tmp_path / "hub-cache", endpoint=endpoint, retry_seconds=retry_seconds)
        return ModelRegistry(settings, sessions, hub=access, demo_dir=demo_dir)

    return registry

"""The default model is found, fetched from the Hub, or replaced by the demo model with a reason."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.hub import REVISION, Hub
from fixtures.model_folders import RegistryMaker, write_model
from huggingface_hub import snapshot_download
from unified_mlx_app.db import Sessions
from unified_mlx_app.errors import ModelLoadError
from unified_mlx_app.models.default_model import DefaultModelStatus
from unified_mlx_app.models.local_models import DEMO_NAME
from unified_mlx_app.models.registry import ModelRegistry

pytestmark = pytest.mark.anyio

DEADLINE_SECONDS = 30.0


async def _until(registry: ModelRegistry, is_met: Callable[[DefaultModelStatus], bool]) -> DefaultModelStatus:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_met(registry.default_status()):
        assert time.monotonic() < deadline, registry.default_status()
        await asyncio.sleep(0.02)
    return registry.default_status()


async def test_the_default_model_is_fetched_pinned_and_then_served(
    sqlite_sessions: Sessions, make_registry: RegistryMaker, hub: Hub, tmp_path: Path
) -> None:
    repo = write_model(hub.root / "owner" / "bee")
    (repo / "evil.py").write_text("raise SystemExit")
    (repo / "pytorch_model.bin").write_bytes(b"pickle")
    hub.weights_wait = threading.Event()
    registry = make_registry(sqlite_sessions, "owner/bee", hub=hub)

    await registry.start()
    await _until(registry, lambda status: bool(status.bytes_total))
    with pytest.raises(ModelLoadError, match="being fetched") as caught:
        await registry.resolve(None)
    hub.weights_wait.set()
    await _until(registry, lambda status: status.state == "ready")
    spec = (await registry.resolve("owner/bee")).spec
    await registry.close()

    assert caught.value.retry_after_seconds
    assert spec.path == str(tmp_path / "hub-cache" / "models--owner--bee" / "snapshots" / REVISION)
    fetched = {file.name for file in Path(spec.path).iterdir()}
    assert fetched == {"config.json", "tokenizer.json", "model.safetensors"}
    assert not [request for request in hub.requests if request.endswith((".py", ".bin"))]


async def test_a_model_in_the_cache_needs_no_hub(
    sqlite_sessions: Sessions, make_registry: RegistryMaker, hub: Hub, tmp_path: Path
) -> None:
    write_model(hub.root / "owner" / "bee")
    await asyncio.to_thread(snapshot_download, "owner/bee", cache_dir=tmp_path / "hub-cache", endpoint=hub.endpoint)
    registry = make_registry(sqlite_sessions, "owner/bee")

    await registry.start()
    resolved = await registry.resolve(None)
    await registry.close()

    assert (resolved.spec.name, resolved.fallback_reason) == ("owner/bee", None)


async def test_without_a_network_the_demo_model_answers_soon_and_says_why(
    sqlite_sessions: Sessions, make_registry: RegistryMaker, demo_dir: Path
) -> None:
    registry = make_registry(sqlite_sessions, "owner/bee")
    started_at = time.monotonic()

    await registry.start()
    resolved = await registry.resolve("owner/bee")
    await registry.close()

    assert time.monotonic() - started_at < 10
    assert resolved.spec.path == str(demo_dir)
    assert resolved.spec.name == DEMO_NAME
    assert resolved.fallback_reason is not None
    assert "cannot be reached" in resolved.fallback_reason
    assert registry.default_status().state == "unavailable"


async def test_the_default_model_comes_when_the_network_does(
    sqlite_sessions: Sessions, make_registry: RegistryMaker, hub: Hub
) -> None:
    write_model(hub.root / "owner" / "bee")
    hub.fails_with = 503
    registry = make_registry(sqlite_sessions, "owner/bee", hub=hub, retry_seconds=0.2)

    await registry.start()
    await _until(registry, lambda status: status.state == "unavailable")
    hub.fails_with = None
    await _until(registry, lambda status: status.state == "ready")
    resolved = await registry.resolve(None)
    await registry.close()

    assert (resolved.spec.name, resolved.fallback_reason) == ("owner/bee", None)


async def _unavailable_reason(registry: ModelRegistry) -> str | None:
    await registry.start()
    status = await _until(registry, lambda status: status.state == "unavailable")
    await registry.close()
    return status.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("owner/missing", "no such repository"),
        ("owner/gated", "gated"),
        ("owner/coded", "auto_map"),
        ("owner/weightless", "no safetensors"),
        ("not an id", "neither a folder"),
        ("/nonexistent/folder", "neither a folder"),
        ("a\x00b", "neither a folder"),
    ],
)
async def test_what_can_never_be_fetched_says_why(
    sqlite_sessions: Sessions, make_registry: RegistryMaker, hub: Hub, name: str, words: str
) -> None:
    write_model(hub.root / "owner" / "gated")
    hub.gated = {"owner/gated"}
    write_model(hub.root / "owner" / "coded", auto_map={"AutoModel": "x.Y"})
    (write_model(hub.root / "owner" / "weightless") / "model.safetensors").unlink()

    reason = await _unavailable_reason(make_registry(sqlite_sessions, name, hub=hub))

    assert words in str(reason)


async def test_a_full_disk_is_noticed_before_the_weights(
    sqlite_sessions: Sessions, make_registry: RegistryMaker, hub: Hub
) -> None:
    write_model(hub.root / "owner" / "huge")
    hub.claimed_weight_bytes = 10**16

    reason = await _unavailable_reason(make_registry(sqlite_sessions, "owner/huge", hub=hub))

    assert "10000000.0 GB" in str(reason)
    assert not [request for request in hub.requests if request.startswith("GET") and request.endswith(".safetensors")]


async def test_a_folder_without_a_model_says_why(sqlite_sessions: Sessions, make_registry: RegistryMaker, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "broken")
    (folder / "config.json").write_text("[]")

    assert "config.json" in str(await _unavailable_reason(make_registry(sqlite_sessions, str(folder))))


async def test_closing_stops_a_fetch_at_once(sqlite_sessions: Sessions, make_registry: RegistryMaker, hub: Hub) -> None:
    write_model(hub.root / "owner" / "bee")
    hub.silence_seconds = 3.0
    registry = make_registry(sqlite_sessions, "owner/bee", hub=hub)
    await registry.start()
    await asyncio.sleep(0.1)

    before = time.monotonic()
    await registry.close()

    assert time.monotonic() - before < 2

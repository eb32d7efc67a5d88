"""The base models that lie on this machine: in the Hugging Face cache, in our own model folder, or in one given folder.

Names are compared with what was found there; a name never becomes a path. Models that bring code are refused.
"""

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog

Source = Literal["default", "registered", "local", "demo"]

DEMO_NAME = "mlx-hub/demo"
MAX_JSON_BYTES = 16 * 2**20
RESCAN_SECONDS = 2.0
"""A flood of unknown names walks the folders at most so often."""

# mlx-lm 0.32.2, `mlx_lm.utils.MODEL_REMAPPING`: these types have no module of their own name.
_TYPES_UNDER_OTHER_NAMES = {
    "mistral",
    "llava",
    "phi-msft",
    "falcon_mamba",
    "joyai_llm_flash",
    "kimi_k2",
    "qwen2_5_vl",
    "minimax_m2",
    "iquestcoder",
    "xverse",
    "gemma4_unified",
    "deepseek_v41_text",
    "bailing_hybrid",
}

log = structlog.get_logger(__name__)


class UnusableModelError(Exception):
    """A folder holds no model that can be served; the text says why in one sentence."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A complete base model in `path`. Sizes are those of the weight files; `None` is what its files do not say."""

    name: str
    path: str
    source: Source
    max_context_tokens: int | None
    quantization: str | None
    weight_bytes: int


def read_json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file of another's making. Raises UnusableModelError when it is not one or is too large."""
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise UnusableModelError(f"{file.name} is larger than {MAX_JSON_BYTES} bytes")
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableModelError(f"{file.name} is missing or is not JSON") from error
    if not isinstance(value, dict):
        raise UnusableModelError(f"{file.name} does not hold a JSON object")
    return value


def read_model(path: Path, *, name: str, source: Source) -> LocalModel:
    """Facts about the model in `path`, without loading it. Raises UnusableModelError."""
    config = read_json_object(path / "config.json")
    check_config(config)
    if not any((path / tokenizer).is_file() for tokenizer in ("tokenizer.json", "tokenizer.model")):
        raise UnusableModelError("it has no tokenizer")
    return LocalModel(
        name=name,
        path=str(path),
        source=source,
        max_context_tokens=context_length(path, config),
        quantization=_quantization(config),
        weight_bytes=sum(file.stat().st_size for file in _weight_files(path)),
    )


def model_in(folder: str) -> LocalModel | None:
    """The model in a folder that the server's settings name, if there is one."""
    try:
        path = Path(folder).expanduser().resolve()
        return read_model(path, name=path.name, source="local") if path.is_dir() else None
    except (UnusableModelError, OSError, ValueError, RuntimeError):
        return None


def check_config(config: dict[str, Any]) -> None:
    """Raises UnusableModelError when a config.json asks for code of its own or names a model that mlx-lm does not know."""
    for key in ("auto_map", "model_file"):
        if config.get(key):
            raise UnusableModelError(f"its config.json asks to run code of its own ({key}), which is never done")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not _is_supported(model_type):
        raise UnusableModelError(f"mlx-lm does not know its model type {str(model_type)[:80]!r}")


def _is_supported(model_type: str) -> bool:
    """Whether mlx-lm has a module for the type, asked without importing mlx-lm, which belongs to the engine."""
    if model_type in _TYPES_UNDER_OTHER_NAMES:
        return True
    package = importlib.util.find_spec("mlx_lm")
    if package is None or package.origin is None or not model_type.isidentifier():
        return False
    return Path(package.origin).with_name("models").joinpath(f"{model_type}.py").is_file()


def _weight_files(path: Path) -> list[Path]:
    """All weight files, which are complete: every shard that the index names is there."""
    files = sorted(file for file in path.glob("model*.safetensors") if file.is_file())
    if not files:
        raise UnusableModelError("it has no model*.safetensors")
    index = path / "model.safetensors.index.json"
    if index.exists():
        weight_map = read_json_object(index).get("weight_map")
        wanted = set(map(str, weight_map.values())) if isinstance(weight_map, dict) else set[str]()
        if missing := wanted - {file.name for file in files}:
            raise UnusableModelError(f"{len(missing)} of its weight files are missing")
    return files


def context_length(path: Path, config: dict[str, Any]) -> int | None:
    """Tokens that the model was made for, by its config, else by its tokenizer; None when neither says."""
    text_config = config.get("text_config")
    for part in (config, text_config if isinstance(text_config, dict) else {}):
        if isinstance(value := part.get("max_position_embeddings"), int) and value > 0:
            return value
    try:
        limit = read_json_object(path / "tokenizer_config.json").get("model_max_length")
    except UnusableModelError:
        return None
    # transformers writes 1e30 for "no limit".
    return int(limit) if isinstance(limit, int | float) and 0 < limit < 10**9 else None


def _quantization(config: dict[str, Any]) -> str | None:
    quantization = config.get("quantization")
    bits = quantization.get("bits") if isinstance(quantization, dict) else None
    return f"{bits}-bit" if isinstance(bits, int) else None


class LocalModels:
    """What a walk over the folders found. Its methods block on the disk and may be called from any thread."""

    def __init__(self, model_dir: Path, *, hub_cache_dir: Path, demo_dir: Path) -> None:
        self._model_dir = model_dir
        self._hub_cache_dir = hub_cache_dir
        self._demo_dir = demo_dir
        self._lock = threading.Lock()
        self._found: dict[str, LocalModel] = {}
        self._scanned_at = float("-inf")
        self._scanned_times: list[tuple[str, int]] = []
        self._refused: set[Path] = set()

    def find(self, name: str) -> LocalModel | None:
        """The model of that name. A name that the last walk did not see, or whose `main` revision has moved since, starts a
        new one, unless that was just now and no folder has changed."""
        with self._lock:
            known = self._found.get(name)
            if known is not None and _is_current(Path(known.path)):
                return known
            if time.monotonic() - self._scanned_at > RESCAN_SECONDS or self._folder_times() != self._scanned_times:
                self._scan()
            return self._found.get(name)

    def scan(self, *, max_age_seconds: float = 0.0) -> list[LocalModel]:
        """All models by name, as they are now or were at most so long ago."""
        with self._lock:
            if time.monotonic() - self._scanned_at >= max_age_seconds:
                self._scan()
            return sorted(self._found.values(), key=lambda model: model.name)

    def _scan(self) -> None:
        self._scanned_times = self._folder_times()
        found: dict[str, LocalModel] = {}
        for name, path in self._candidates():
            if name in found:
                continue
            try:
                found[name] = read_model(path, name=name, source="demo" if path == self._demo_dir else "local")
                self._refused.discard(path)
            except (UnusableModelError, OSError) as error:
                if path not in self._refused:
                    log.info("local_model_ignored", model=name, reason=str(error))
                self._refused.add(path)
        self._found = found
        self._scanned_at = time.monotonic()

    def _folder_times(self) -> list[tuple[str, int]]:
        """When the folders changed in which a published model shows; cheap enough for every unknown name."""
        patterns = ("", "*", "models--*/refs", "models--*/snapshots")
        folders = (
            folder for root in (self._model_dir, self._hub_cache_dir) for each in patterns for folder in _matches(root, each)
        )
        return [(str(folder), _changed_ns(folder)) for folder in folders]

    def _candidates(self) -> Iterator[tuple[str, Path]]:
        """Our own folder goes before the shared cache, and of each model the better revision before others."""
        yield DEMO_NAME, self._demo_dir
        yield from _plain_folders(self._model_dir)
        for root in (self._model_dir, self._hub_cache_dir):
            yield from _hub_snapshots(root)


def _plain_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Folders `name` and `owner/name` that hold a config.json."""
    for pattern in ("*/config.json", "*/*/config.json"):
        for config in sorted(root.glob(pattern)):
            name = config.parent.relative_to(root).as_posix()
            if not name.startswith((".", "models--")):
                yield name, config.parent


def _hub_snapshots(root: Path) -> Iterator[tuple[str, Path]]:
    """The revisions of each model in a cache of huggingface_hub: `main` first, then the newest, for `main` may be incomplete."""
    for folder in sorted(root.glob("models--*")):
        main = _main_commit(folder)
        snapshots = [snapshot for snapshot in folder.glob("snapshots/*") if snapshot.is_dir()]
        name = folder.name.removeprefix("models--").replace("--", "/")
        for snapshot in sorted(snapshots, key=lambda each: (each.name == main, _changed_ns(each)), reverse=True):
            yield name, snapshot


def _main_commit(folder: Path) -> str | None:
    try:
        return (folder / "refs" / "main").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _is_current(path: Path) -> bool:
    """Whether the model is still there, and `main` in a cache of huggingface_hub does not name another revision."""
    if not (path / "config.json").is_file():
        return False
    main = _main_commit(path.parent.parent) if path.parent.name == "snapshots" else None
    return main is None or main == path.name


def _matches(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern)) if pattern else [root]


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0

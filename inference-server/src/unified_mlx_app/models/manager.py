"""Which models are in memory: loaded on demand beside running streams, under a byte budget, least recently used out first."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from unified_mlx_app.errors import ConflictError, ModelLoadError, ModelNotFoundError
from unified_mlx_app.identity import FileDigests
from unified_mlx_app.models import loader
from unified_mlx_app.models.loader import LoadedModel
from unified_mlx_app.observability.device import release_unused_memory
from unified_mlx_app.types import ModelSpec, ResidentModel

log = structlog.get_logger()

_Key = tuple[str, str | None]


@dataclass(slots=True)
class _Resident:
    loaded: LoadedModel
    pinned: bool = False
    num_active: int = 0
    last_used_at: float = field(default_factory=time.time)


class ModelManager:
    """Engine thread only; a thread inside reads weights. `on_unload` is told before a model is freed."""

    def __init__(
        self,
        *,
        memory_limit_bytes: int,
        ttl_seconds: float,
        digests: FileDigests,
        on_unload: Callable[[LoadedModel], None],
        wake: Callable[[], None],
    ) -> None:
        self._limit_bytes = memory_limit_bytes
        self._ttl_seconds = ttl_seconds
        self._digests = digests
        self._on_unload = on_unload
        self._wake = wake
        self._residents: dict[_Key, _Resident] = {}
        self._loads: dict[_Key, Future[LoadedModel]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="model-loader")

    @property
    def weight_bytes(self) -> int:
        """Bytes of all resident weights; an adapter over a resident base counts its own only."""
        return sum(self._own_bytes(resident) for resident in self._residents.values())

    def request(self, spec: ModelSpec) -> LoadedModel | None:
        """The resident model for `spec`, or None while it is being loaded: ask again. Raises ModelLoadError if that failed."""
        key = _key(spec)
        if (load := self._loads.get(key)) is not None:
            if not load.done():
                return None
            del self._loads[key]
            self._residents[key] = _Resident(load.result())
            log.info("model_loaded", model=spec.name, weight_bytes=load.result().weight_bytes)
        if key in self._residents and not self._is_stale(key):
            self._residents[key].last_used_at = time.time()
            return self._residents[key].loaded
        if key in self._residents:
            if self._is_in_use(key):
                return None  # The old files are still being served; reload as soon as that ends.
            log.info("model_files_changed", model=spec.name)
            self._drop(key)
        return self._begin_load(spec)

    def acquire(self, loaded: LoadedModel) -> None:
        """A request runs on `loaded`: it cannot be unloaded until released."""
        self._residents[_key(loaded.spec)].num_active += 1

    def release(self, loaded: LoadedModel) -> None:
        if (resident := self._residents.get(_key(loaded.spec))) is not None:
            resident.num_active -= 1
            resident.last_used_at = time.time()

    def set_pinned(self, spec: ModelSpec, pinned: bool) -> None:
        """Pinned models are neither evicted nor expired. The model must be resident."""
        self._residents[_key(spec)].pinned = pinned

    def unload(self, name: str) -> None:
        """Free the model served as `name`. Raises ModelNotFoundError, or ConflictError while it or an adapter on it is in use."""
        keys = [key for key, resident in self._residents.items() if resident.loaded.spec.name == name]
        if not keys:
            raise ModelNotFoundError(f"model {name!r} is not loaded", param="name")
        for key in keys:
            if self._is_in_use(key):
                raise ConflictError(f"model {name!r} is in use; wait for its requests to end or unload its adapters first")
            self._drop(key)

    def expire(self) -> None:
        """Unload what nobody used for the time to live."""
        if not self._ttl_seconds:
            return
        horizon = time.time() - self._ttl_seconds
        for key in list(self._residents):
            if self._residents[key].last_used_at < horizon and self._is_evictable(key):
                self._drop(key)

    def residents(self) -> tuple[ResidentModel, ...]:
        return tuple(
            ResidentModel(
                name=resident.loaded.spec.name,
                weight_bytes=self._own_bytes(resident),
                pinned=resident.pinned,
                last_used_at=resident.last_used_at,
                num_active=resident.num_active,
                max_context_tokens=resident.loaded.max_context_tokens,
                vocab_size=resident.loaded.vocab_size,
                quantization=resident.loaded.quantization,
            )
            for resident in self._residents.values()
        )

    def resident(self, spec: ModelSpec) -> ResidentModel:
        """What `residents` says of `spec`, which must be resident."""
        return next(model for model in self.residents() if model.name == self._residents[_key(spec)].loaded.spec.name)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin_load(self, spec: ModelSpec) -> LoadedModel | None:
        base = None
        if spec.adapter_path is not None:
            # The base becomes resident under its own name, so that both are listed and accounted for.
            base = self.request(
                ModelSpec(name=spec.path.rsplit("/", 1)[-1], path=spec.path, max_context_tokens=spec.max_context_tokens)
            )
            if base is None:
                return None
        try:
            self._make_room(spec, base)
        except OSError as error:
            raise ModelLoadError(f"model {spec.name!r} cannot be read: {error}") from error
        load = self._pool.submit(loader.load, spec, self._digests, base)
        load.add_done_callback(lambda _: self._wake())
        self._loads[_key(spec)] = load
        return None

    def _make_room(self, spec: ModelSpec, base: LoadedModel | None) -> None:
        """Evict idle models, least recently used first, until `spec` fits. Raises ModelLoadError if it cannot."""
        needed = loader.weight_bytes_of(spec) - (loader.weight_bytes_of(base.spec) if base else 0)
        by_age = sorted(self._residents, key=lambda key: self._residents[key].last_used_at)
        for key in by_age:
            if self.weight_bytes + needed <= self._limit_bytes:
                return
            if key != (spec.path, None) and self._is_evictable(key):
                self._drop(key)
        if self.weight_bytes + needed > self._limit_bytes:
            raise ModelLoadError(
                f"model {spec.name!r} needs {needed:,} bytes beside {self.weight_bytes:,} in use of {self._limit_bytes:,}; "
                "unload another model or raise MLX_MEMORY_LIMIT"
            )

    def _own_bytes(self, resident: _Resident) -> int:
        spec, own = resident.loaded.spec, resident.loaded.weight_bytes
        base = self._residents.get((spec.path, None))
        return own - base.loaded.weight_bytes if spec.adapter_path and base else own

    def _is_evictable(self, key: _Key) -> bool:
        return not self._residents[key].pinned and not self._is_in_use(key)

    def _is_stale(self, key: _Key) -> bool:
        loaded = self._residents[key].loaded
        try:
            return loader.files_of(loaded.spec) != loaded.files
        except OSError:
            return False  # Files are gone: serve what is in memory.

    def _is_in_use(self, key: _Key) -> bool:
        path, adapter = key
        has_adapters = adapter is None and any(other != key and other[0] == path for other in self._residents)
        return has_adapters or self._residents[key].num_active > 0

    def _drop(self, key: _Key) -> None:
        """Free the model at `key`. Callers must not hold it, or its memory stays."""
        name = self._residents[key].loaded.spec.name
        self._on_unload(self._residents.pop(key).loaded)
        release_unused_memory()
        log.info("model_unloaded", model=name)


def _key(spec: ModelSpec) -> _Key:
    return spec.path, spec.adapter_path

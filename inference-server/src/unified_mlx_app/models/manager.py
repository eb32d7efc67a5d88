"""Which models are in memory: loaded on demand beside running streams, under a byte budget, least recently used out first.

An adapter is resident on its base and costs its own bytes. One that is replaced while requests run on it stays for them.
"""

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
from unified_mlx_app.types import ModelPlace, ModelSpec, ResidentModel

log = structlog.get_logger()

_Key = tuple[str, str | None]


@dataclass(slots=True, eq=False)
class _Resident:
    loaded: LoadedModel
    num_active: int = 0
    last_used_at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class _Load:
    """Weights on their way into memory; `num_bytes` is what they will take."""

    result: Future[LoadedModel]
    num_bytes: int

    @property
    def is_failed(self) -> bool:
        return self.result.done() and self.result.exception() is not None


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
        self._replaced: list[_Resident] = []
        """Adapters that no new request gets and running ones still use."""
        self._loads: dict[_Key, _Load] = {}
        self._pinned: set[_Key] = set()
        self._blocked: set[_Key] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="model-loader")

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in memory or on their way; an adapter counts its own only."""
        loading_bytes = sum(load.num_bytes for load in self._loads.values() if not load.is_failed)
        residents = [*self._residents.values(), *self._replaced]
        return loading_bytes + sum(resident.loaded.weight_bytes for resident in residents)

    def request(self, spec: ModelSpec, *, beside: LoadedModel | None = None) -> LoadedModel | None:
        """The resident model for `spec`, or None while it is being loaded: ask again. Raises ModelLoadError if that failed.

        It does not take the place of `beside`, which it serves.
        """
        key = _key(spec)
        if (load := self._loads.get(key)) is not None:
            if not load.result.done():
                return None
            self._take_in(key)
        if key in self._residents and not self._is_stale(key):
            self._residents[key].last_used_at = time.time()
            return self._residents[key].loaded
        if key in self._residents and not self._give_way(key):
            return None  # The old files are still being served; reload as soon as that ends.
        return self._begin_load(spec, beside)

    def _give_way(self, key: _Key) -> bool:
        """Take out the resident at `key`, whose files have changed. False as long as a base model is in use."""
        for adapter in self._adapters_on(key):
            if not self._residents[adapter].num_active:
                self._drop(adapter)
        if key[1] is None and self._is_in_use(key):
            return False
        log.info("model_files_changed", model=self._residents[key].loaded.spec.name)
        self._retire(key)
        return True

    def acquire(self, loaded: LoadedModel) -> None:
        """A request runs on `loaded`: it cannot be unloaded until released."""
        self._residents[_key(loaded.spec)].num_active += 1

    def release(self, loaded: LoadedModel) -> None:
        """A request on `loaded` ended; what was replaced meanwhile goes with its last one."""
        residents = [*self._residents.values(), *self._replaced]
        resident = next((resident for resident in residents if resident.loaded is loaded), None)
        if resident is None:
            return
        resident.num_active -= 1
        resident.last_used_at = time.time()
        if resident in self._replaced and not resident.num_active:
            self._replaced.remove(resident)
            self._free(resident)

    def replace(self, spec: ModelSpec) -> None:
        """`spec.name` stands for `spec` from now on: an adapter that it stood for goes when its requests end, its pin stays
        with the name."""
        for key, resident in list(self._residents.items()):
            if key[1] is not None and key != _key(spec) and resident.loaded.spec.name == spec.name:
                if key in self._pinned:
                    self._pinned.discard(key)
                    self._pinned.add(_key(spec))
                self._retire(key)

    def set_pinned(self, spec: ModelSpec, pinned: bool) -> None:
        """Pinned models are neither evicted nor expired. The model must be resident."""
        assert _key(spec) in self._residents
        if pinned:
            self._pinned.add(_key(spec))
        else:
            self._pinned.discard(_key(spec))

    def unload(self, name: str) -> None:
        """Free the model served as `name`. Raises ModelNotFoundError, or ConflictError while it or an adapter on it is in use."""
        keys = [key for key, resident in self._residents.items() if resident.loaded.spec.name == name]
        if not keys:
            raise ModelNotFoundError(f"model {name!r} is not loaded", param="name")
        for key in keys:
            if self._is_in_use(key):
                raise ConflictError(f"model {name!r} is in use; wait for its requests to end or unload its adapters first")
            self._pinned.discard(key)
            self._drop(key)

    def expire(self) -> None:
        """Unload what nobody used for the time to live; take in what was loaded for requests that are gone."""
        for key, load in list(self._loads.items()):
            if load.result.done() and not load.is_failed:
                self._take_in(key)
        if not self._ttl_seconds:
            return
        horizon = time.time() - self._ttl_seconds
        for key in list(self._residents):
            if self._residents[key].last_used_at < horizon and self._is_evictable(key):
                self._drop(key)

    def residents(self) -> tuple[ResidentModel, ...]:
        """All models in memory, those included that are replaced already and still answer."""
        replaced = [self._describe(resident, is_replaced=True) for resident in self._replaced]
        return (*(self._describe(resident) for resident in self._residents.values()), *replaced)

    def loading(self) -> tuple[ModelPlace, ...]:
        """Models whose weights are on their way."""
        return tuple(ModelPlace(*key) for key, load in self._loads.items() if not load.is_failed)

    def resident(self, spec: ModelSpec) -> ResidentModel:
        """What `residents` says of `spec`, which must be resident."""
        return self._describe(self._residents[_key(spec)])

    def _describe(self, resident: _Resident, *, is_replaced: bool = False) -> ResidentModel:
        loaded = resident.loaded
        base = self._residents.get((loaded.spec.path, None)) if loaded.spec.adapter_path is not None else None
        return ResidentModel(
            name=loaded.spec.name,
            path=loaded.spec.path,
            adapter_path=loaded.spec.adapter_path,
            base=base.loaded.spec.name if base else None,
            shares_batch=base is not None and loaded.shared is base.loaded.shared,
            is_replaced=is_replaced,
            weight_bytes=loaded.weight_bytes,
            pinned=not is_replaced and _key(loaded.spec) in self._pinned,
            last_used_at=resident.last_used_at,
            num_active=resident.num_active,
            max_context_tokens=loaded.max_context_tokens,
            vocab_size=loaded.vocab_size,
            quantization=loaded.quantization,
        )

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin_load(self, spec: ModelSpec, beside: LoadedModel | None) -> LoadedModel | None:
        base = None
        if spec.adapter_path is not None:
            # The base becomes resident under its own name, so that both are listed and accounted for.
            base = self.request(
                ModelSpec(
                    name=spec.base_model or spec.path.rsplit("/", 1)[-1],
                    path=spec.path,
                    max_context_tokens=spec.max_context_tokens,
                )
            )
            if base is None:
                return None
        try:
            num_bytes = loader.weight_bytes_of(spec) - (loader.weight_bytes_of(base.spec) if base else 0)
        except OSError as error:
            raise ModelLoadError(f"model {spec.name!r} cannot be read: {error}") from error
        self._blocked.discard(_key(spec))
        if self._make_room(spec, num_bytes, base, beside):
            result = self._pool.submit(loader.load, spec, self._digests, base)
            self._loads[_key(spec)] = _Load(result, num_bytes)
            result.add_done_callback(lambda _: self._wake())
        return None

    def is_waiting_for_room(self, spec: ModelSpec) -> bool:
        """Whether `spec` can be loaded as soon as a model in use is idle; who waits for it should let no other pass."""
        return _key(spec) in self._blocked

    def _make_room(self, spec: ModelSpec, num_bytes: int, base: LoadedModel | None, beside: LoadedModel | None) -> bool:
        """Evict idle models, least recently used first, until `num_bytes` fit. False: ask again when others are idle.

        Raises ModelLoadError if there will be no room.
        """
        while self.weight_bytes + num_bytes > self._limit_bytes:
            # Dropping an adapter may make its base evictable, so the choice is made anew each time.
            kept = [(spec.path, None), *([_key(beside.spec)] if beside else [])]
            evictable = [key for key in self._residents if key not in kept and self._is_evictable(key)]
            if evictable:
                self._drop(min(evictable, key=lambda key: self._residents[key].last_used_at))
            else:
                self._check_can_ever_fit(spec, num_bytes, base)
                self._blocked.add(_key(spec))
                return False
        return True

    def _check_can_ever_fit(self, spec: ModelSpec, num_bytes: int, base: LoadedModel | None) -> None:
        """Raises ModelLoadError if `spec` and its base do not fit beside the pinned models alone."""
        kept = {key for key in self._pinned if key in self._residents} | ({_key(base.spec)} if base else set())
        free_bytes = self._limit_bytes - sum(self._residents[key].loaded.weight_bytes for key in kept)
        if num_bytes > free_bytes:
            raise ModelLoadError(
                f"model {spec.name!r} needs {num_bytes:,} bytes and {max(0, free_bytes):,} are left beside what has to stay; "
                "unpin a model or raise MLX_MEMORY_LIMIT"
            )

    def _take_in(self, key: _Key) -> None:
        """What was loaded is resident now. Raises ModelLoadError if loading failed."""
        loaded = self._loads.pop(key).result.result()
        self._residents[key] = _Resident(loaded)
        log.info("model_loaded", model=loaded.spec.name, weight_bytes=loaded.weight_bytes)

    def _is_evictable(self, key: _Key) -> bool:
        return key not in self._pinned and not self._is_in_use(key)

    def _is_stale(self, key: _Key) -> bool:
        loaded = self._residents[key].loaded
        try:
            return loader.files_of(loaded.spec) != loaded.files
        except OSError:
            return False  # Files are gone: serve what is in memory.

    def _adapters_on(self, key: _Key) -> list[_Key]:
        path, adapter = key
        return [other for other in self._residents if other != key and other[0] == path] if adapter is None else []

    def _is_in_use(self, key: _Key) -> bool:
        return bool(self._adapters_on(key)) or self._is_held(key) or self._residents[key].num_active > 0

    def _is_held(self, key: _Key) -> bool:
        """Whether a base model is needed by an adapter that is being loaded, or that is replaced and still answers."""
        path, adapter = key
        loading = [other for other, load in self._loads.items() if other[1] is not None and not load.is_failed]
        held = [*(other[0] for other in loading), *(replaced.loaded.spec.path for replaced in self._replaced)]
        return adapter is None and path in held

    def _retire(self, key: _Key) -> None:
        """No new request gets the adapter at `key`; those that run on it keep it."""
        if self._residents[key].num_active:
            self._replaced.append(self._residents.pop(key))
        else:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        """Free the model at `key`. Callers must not hold it, or its memory stays."""
        self._free(self._residents.pop(key))

    def _free(self, resident: _Resident) -> None:
        name = resident.loaded.spec.name
        self._on_unload(resident.loaded)
        del resident
        release_unused_memory()
        log.info("model_unloaded", model=name)


def _key(spec: ModelSpec) -> _Key:
    return spec.path, spec.adapter_path

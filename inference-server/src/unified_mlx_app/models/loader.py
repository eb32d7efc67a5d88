"""Loads one model folder, with or without a LoRA adapter, and measures what it costs to serve. Engine process only."""

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
import structlog
from mlx.utils import tree_flatten
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache
from mlx_lm.utils import load_adapters

from unified_mlx_app.errors import ModelLoadError
from unified_mlx_app.harmony import end_token_ids
from unified_mlx_app.identity import FileDigests, Namespace
from unified_mlx_app.models.grammars import Grammars
from unified_mlx_app.models.multi_lora import Adapter, SharedModel, adapter_of, can_mix
from unified_mlx_app.types import ModelSpec

log = structlog.get_logger()

_BATCHABLE = ("KVCache", "RotatingKVCache", "ArraysCache", "CacheList")
_WARMUP_TOKENS = 2
_CHUNK_TOKENS = 256


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory with all that serving it needs to know.

    Requests for models with the same `shared` decode in one batch, each row with its model's `adapter`. `model` has the plain
    modules that adapters are loaded onto; `weight_bytes` are its own, without those of a base that it shares.
    """

    spec: ModelSpec
    model: Any
    shared: SharedModel
    adapter: Adapter | None
    decode: Callable[[Sequence[int]], str]
    grammars: Grammars
    """Shared by a base model and its adapters."""
    eos_token_ids: tuple[int, ...]
    namespace: Namespace
    weight_bytes: int
    vocab_size: int
    max_context_tokens: int | None
    quantization: str | None
    kv_bytes_per_token: int
    kv_fixed_bytes: int
    why_no_guesses: str | None
    """Why several tokens cannot be checked in one pass and the wrong ones taken back; None if they can."""
    files: tuple[tuple[str, int, int, int], ...]
    """`files_of` when it was loaded: tells when the files on disk are another model's."""

    @property
    def is_trimmable(self) -> bool:
        """Whether it keeps plain KV rows only; a sliding window that is not full yet is no promise for the next turn."""
        return self.why_no_guesses is None

    def kv_bytes(self, num_tokens: int) -> int:
        """Estimated bytes of KV state of one row with `num_tokens` tokens."""
        return self.kv_fixed_bytes + self.kv_bytes_per_token * num_tokens


def mixing_bytes(models: Iterable[LoadedModel]) -> int:
    """Bytes that the batches of `models` take to lay their adapters side by side, where they use more than one."""
    adapters: dict[int, dict[int, int]] = {}
    for loaded in models:
        if loaded.adapter is not None:
            adapters.setdefault(id(loaded.shared), {})[id(loaded.adapter)] = loaded.adapter.num_bytes
    return sum(sum(mixed.values()) for mixed in adapters.values() if len(mixed) > 1)


def load(spec: ModelSpec, digests: FileDigests, base: LoadedModel | None = None) -> LoadedModel:
    """Load `spec`. With `base`, the same model without adapter, weights are shared and only the adapter is read.

    Raises ModelLoadError with the reason. Any thread: all arrays are evaluated on return.
    """
    try:
        return _load(spec, digests, base)
    except ModelLoadError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        raise ModelLoadError(f"model {spec.name!r} cannot be loaded: {error}") from error


def files_of(spec: ModelSpec) -> tuple[tuple[str, int, int, int], ...]:
    """Path, inode, size and ctime_ns of the files that make up `spec`, in a fixed order; an unpacked archive restores mtimes."""
    paths = [path for group in _file_groups(spec).values() for path in group]
    return tuple((str(path), stat.st_ino, stat.st_size, stat.st_ctime_ns) for path in paths for stat in [path.stat()])


def weight_bytes_of(spec: ModelSpec) -> int:
    """Bytes of the weight files: what loading will take, before it is tried."""
    folders = [Path(spec.path), *([Path(spec.adapter_path)] if spec.adapter_path else [])]
    return sum(path.stat().st_size for folder in folders for path in folder.glob("*.safetensors"))


def _load(spec: ModelSpec, digests: FileDigests, base: LoadedModel | None) -> LoadedModel:
    files = files_of(spec)
    if base is not None and spec.adapter_path is not None:
        # A deep copy shares the arrays, so a view costs the adapter's bytes and leaves the base as it is.
        model = load_adapters(copy.deepcopy(base.model), spec.adapter_path)
        mx.eval(model.parameters())
        decode, eos_token_ids, grammars_for = base.decode, base.eos_token_ids, lambda _: base.grammars
    else:
        model, tokenizer = mlx_lm.load(spec.path, adapter_path=spec.adapter_path)[:2]
        decode, eos_token_ids = _decoder(tokenizer), _end_token_ids(tokenizer)
        grammars_for = partial(_grammars, tokenizer, eos_token_ids)
    model.eval()
    config = json.loads((Path(spec.path) / "config.json").read_text())
    caches, vocab_size = _warm_up(spec, model)
    placed = _place(spec, model, base)
    return LoadedModel(
        spec=spec,
        model=placed.model,
        shared=placed.shared,
        adapter=placed.adapter,
        decode=decode,
        grammars=grammars_for(vocab_size),
        eos_token_ids=eos_token_ids,
        namespace=_namespace(spec, digests, caches),
        weight_bytes=placed.weight_bytes,
        vocab_size=vocab_size,
        max_context_tokens=_max_context_tokens(config),
        quantization=_quantization(config),
        kv_bytes_per_token=sum(_row_bytes(cache) for cache in _leaves(caches) if type(cache) is KVCache),
        kv_fixed_bytes=sum(_fixed_bytes(cache) for cache in _leaves(caches) if type(cache) is not KVCache),
        why_no_guesses=_why_no_guesses(caches),
        files=files,
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """The fields of a LoadedModel that say in which batch it decodes."""

    model: Any
    shared: SharedModel
    adapter: Adapter | None
    weight_bytes: int


def _place(spec: ModelSpec, model: Any, base: LoadedModel | None) -> _Placed:
    """An adapter of plain projections shares the batch of its base; any other one keeps the view, in a batch of its own."""
    if base is None or spec.adapter_path is None:
        return _Placed(model, SharedModel(model), None, _num_bytes(model))
    names: Any = mx.load(str(Path(spec.adapter_path) / "adapters.safetensors"))
    adapter = adapter_of(model, {name.rpartition(".")[0] for name in names})
    if adapter is None or not can_mix(base.model, adapter):
        log.info("adapter_decodes_in_a_batch_of_its_own", model=spec.name)
        return _Placed(model, SharedModel(model), None, _num_bytes(model) - base.weight_bytes)
    if not adapter.is_finite:
        raise ModelLoadError(f"model {spec.name!r} holds numbers that are infinite or not numbers; its adapter is broken")
    return _Placed(base.model, base.shared, adapter, adapter.num_bytes)


def _warm_up(spec: ModelSpec, model: Any) -> tuple[list[Any], int]:
    """Run a few tokens: compiles kernels (36 s on CUDA, once), shows the cache's classes and shapes, finds broken weights."""
    caches = make_prompt_cache(model)
    unknown = {type(cache).__name__ for cache in _leaves(caches)} - set(_BATCHABLE)
    if unknown:
        raise ModelLoadError(
            f"model {spec.name!r} uses {', '.join(sorted(unknown))}, which cannot be batched; choose another model"
        )
    logits = model(mx.zeros((1, _WARMUP_TOKENS), mx.int32), cache=caches)
    mx.eval(logits, [cache.state for cache in caches])
    if mx.isnan(logits).any().item():
        raise ModelLoadError(f"model {spec.name!r} computes NaN; its weights or its adapter are broken")
    return caches, int(logits.shape[-1])


def _why_no_guesses(caches: Sequence[Any]) -> str | None:
    """Only plain rows can be taken off: a sliding window has overwritten others, a recurrent state has mixed them in."""
    others = sorted({type(cache).__name__ for cache in caches} - {"KVCache"})
    return f"its state is kept in {', '.join(others)}, from which no token can be taken back" if others else None


def _num_bytes(model: Any) -> int:
    return sum(array.nbytes for array in dict(tree_flatten(model.parameters())).values())


def _leaves(caches: Sequence[Any]) -> list[Any]:
    return [leaf for cache in caches for leaf in (_leaves(cache.caches) if hasattr(cache, "caches") else [cache])]


def _row_bytes(cache: Any) -> int:
    return (cache.keys.nbytes + cache.values.nbytes) // cache.keys.shape[2]


def _fixed_bytes(cache: Any) -> int:
    """A sliding window holds up to a prefill chunk more than its size."""
    return _row_bytes(cache) * (cache.max_size + _CHUNK_TOKENS) if type(cache) is RotatingKVCache else cache.nbytes


def _decoder(tokenizer: Any) -> Callable[[Sequence[int]], str]:
    """Text of token ids without special tokens; the Rust tokenizer directly where there is one, for it runs at every step."""
    backend = getattr(getattr(tokenizer, "_tokenizer", tokenizer), "backend_tokenizer", None)
    if backend is not None:
        return lambda ids: backend.decode(list(ids), skip_special_tokens=True)
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=True)


def _end_token_ids(tokenizer: Any) -> tuple[int, ...]:
    return tuple(sorted(end_token_ids(tokenizer.eos_token_ids, tokenizer.get_vocab().get)))


def _grammars(tokenizer: Any, eos_token_ids: Sequence[int], vocab_size: int) -> Grammars:
    backend = getattr(getattr(tokenizer, "_tokenizer", tokenizer), "backend_tokenizer", None)
    tokenizer_json = backend.to_str if backend is not None else str  # An empty text is no tokenizer: constraints are refused.
    return Grammars(tokenizer_json, vocab_size=vocab_size, end_token_ids=eos_token_ids)


def _file_groups(spec: ModelSpec) -> dict[str, list[Path]]:
    folder = Path(spec.path)
    adapter = Path(spec.adapter_path) if spec.adapter_path else None
    existing = lambda names: [folder / name for name in names if (folder / name).is_file()]  # noqa: E731
    return {
        "weights": [*sorted(folder.glob("*.safetensors")), *existing(["config.json"])],
        "adapter": [*sorted(adapter.glob("*.safetensors")), adapter / "adapter_config.json"] if adapter else [],
        "tokenizer": existing(["tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json"]),
        "template": existing(["tokenizer_config.json", "chat_template.jinja", "chat_template.json", "special_tokens_map.json"]),
    }


def _namespace(spec: ModelSpec, digests: FileDigests, caches: Sequence[Any]) -> Namespace:
    groups = {name: digests.digest(paths) if paths else "" for name, paths in _file_groups(spec).items()}
    shapes = [f"{type(leaf).__name__}{[(tuple(a.shape[1::2]), str(a.dtype)) for a in _arrays(leaf)]}" for leaf in _leaves(caches)]
    versions = f"mlx={version('mlx')} mlx-lm={version('mlx-lm')} device={mx.default_device().type.name}"
    return Namespace(model_id=spec.name, layout=";".join(shapes), versions=versions, **groups)


def _arrays(cache: Any) -> list[mx.array]:
    return [cache.keys, cache.values] if hasattr(cache, "keys") else [array for array in cache.cache if array is not None]


def _max_context_tokens(config: dict[str, Any]) -> int | None:
    value = config.get("max_position_embeddings") or config.get("text_config", {}).get("max_position_embeddings")
    return int(value) if value else None


def _quantization(config: dict[str, Any]) -> str | None:
    quantization = config.get("quantization")
    return f"{quantization['bits']}-bit" if isinstance(quantization, dict) and "bits" in quantization else None

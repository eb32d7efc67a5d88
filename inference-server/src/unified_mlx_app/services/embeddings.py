"""Texts to vectors: the pooled last states of a loaded model, each text alone, a few at a time beside what else runs.

For the event loop only. How states are pooled is a fact of the model's files, never a guess about its name.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.config import Settings
from unified_mlx_app.engine.client import EngineClient
from unified_mlx_app.engine.messages import Embedded, Generate, Started
from unified_mlx_app.errors import GenerationError, InvalidRequestError, UnsupportedFieldError
from unified_mlx_app.models.local_models import UnusableModelError, read_json_object
from unified_mlx_app.models.registry import ModelRegistry
from unified_mlx_app.observability.logs import current_request_id
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.services.api_keys import Caller
from unified_mlx_app.services.prompt_limits import bounded_timeout, check_token_ids, remaining_tokens
from unified_mlx_app.services.tokenizers import LoadedTokenizer, Tokenizers
from unified_mlx_app.types import ModelSpec, Pooling, SamplingParams

_MAX_TOGETHER = 8
"""Texts of one request in the engine's queue; it prefills them one by one, so more would only keep others waiting."""

_POOLING_OF_MODE: dict[str, Pooling] = {
    "lasttoken": "last",
    "pooling_mode_lasttoken": "last",
    "mean": "mean",
    "pooling_mode_mean_tokens": "mean",
}


class NoEmbeddingsError(Exception):
    """The model's files say that its states must be used in a way that is not done here; the text says which."""


def pooling_of(path: Path) -> Pooling:
    """How the model in `path` wants its states pooled. Raises NoEmbeddingsError.

    Models made for embeddings carry sentence-transformers' `1_Pooling/config.json`. Of any other causal model the last token
    is taken, the only one that has seen the whole text (as vLLM does).
    """
    with contextlib.suppress(UnusableModelError):
        config = read_json_object(path / "config.json")
        if config.get("use_bidirectional_attention") or config.get("is_causal") is False:
            raise NoEmbeddingsError("it was trained to look at a text in both directions")
    if any(path.glob("*_Dense")):
        raise NoEmbeddingsError("it projects its states with layers of their own")
    try:
        config = read_json_object(path / "1_Pooling" / "config.json")
    except UnusableModelError:
        return "last"
    modes = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    modes = modes or [str(config.get("pooling_mode"))]
    if len(modes) != 1 or modes[0] not in _POOLING_OF_MODE:
        raise NoEmbeddingsError(f"it pools its states by {' and '.join(modes)[:80]}")
    return _POOLING_OF_MODE[modes[0]]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """`dimensions` keeps so many leading numbers of each vector, scaled to length 1 again."""

    model: str | None
    inputs: Sequence[str | list[int]]
    dimensions: int | None = None
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One float32 vector of length 1 for each input, in order."""

    model: ModelSpec
    fallback_reason: str | None
    vectors: list[NDArray[np.float32]]
    num_tokens: int


class EmbeddingService:
    """Embeds; one a process."""

    def __init__(
        self, *, settings: Settings, engine: EngineClient, registry: ModelRegistry, tokenizers: Tokenizers, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._registry = registry
        self._tokenizers = tokenizers
        self._metrics = metrics

    async def embed(self, request: EmbeddingRequest, caller: Caller) -> Embeddings:
        """Raises ModelNotFoundError, ContextLengthError, InvalidRequestError, QueueFullError and what the engine fails with.

        One input that fails fails the request, and what else runs of it is cancelled.
        """
        resolved = await self._registry.resolve(request.model)
        tokenizer = await self._tokenizers.get(resolved.spec)
        try:
            pooling = await asyncio.to_thread(pooling_of, Path(resolved.spec.path))
        except NoEmbeddingsError as error:
            raise UnsupportedFieldError(
                f"The model {resolved.spec.name!r} gives no embeddings here: {error}.", param="model"
            ) from error
        commands = [
            self._command(await _token_ids(each, resolved.spec, tokenizer), request, resolved.spec, pooling, caller)
            for each in request.inputs
        ]
        vectors = await self._run(commands, request.dimensions)
        return Embeddings(resolved.spec, resolved.fallback_reason, vectors, sum(len(command.prompt) for command in commands))

    def _command(
        self, token_ids: list[int], request: EmbeddingRequest, spec: ModelSpec, pooling: Pooling, caller: Caller
    ) -> Generate:
        return Generate(
            request_id=uuid.uuid4().hex,
            client_id=current_request_id(),
            owner=caller.key_id or "",
            model=spec,
            prompt=token_ids,
            sampling=SamplingParams(max_tokens=0),
            deadline_seconds=bounded_timeout(request.timeout_seconds, self._settings),
            pooling=pooling,
        )

    async def _run(self, commands: list[Generate], dimensions: int | None) -> list[NDArray[np.float32]]:
        vectors: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(commands)
        left = iter(enumerate(commands))
        workers = [asyncio.create_task(self._work(left, vectors, dimensions)) for _ in range(min(_MAX_TOGETHER, len(commands)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return vectors

    async def _work(
        self, left: Iterator[tuple[int, Generate]], vectors: list[NDArray[np.float32]], dimensions: int | None
    ) -> None:
        """Takes commands until none is left; several workers share `left`."""
        for index, command in left:
            vectors[index] = _shortened(await self._vector(command), dimensions)

    async def _vector(self, command: Generate) -> NDArray[np.float32]:
        events = self._engine.generate(command, operation="embeddings")
        vector = None
        try:
            async for event in events:
                if isinstance(event, Started):
                    self._metrics.record_start(command.model.name, len(command.prompt), event.cache, event.queue_seconds)
                elif isinstance(event, Embedded):
                    vector = np.frombuffer(event.vector, "<f4")
        finally:
            await events.aclose()
        if vector is None:
            raise GenerationError("The engine ended the request without a vector.")
        return vector


async def _token_ids(content: str | list[int], spec: ModelSpec, tokenizer: LoadedTokenizer) -> list[int]:
    if isinstance(content, str):
        token_ids = await tokenizer.encode(content, add_special_tokens=True, param="input")
        await asyncio.sleep(0)  # Thousands of short texts are encoded here without a thread: others get their turn.
    else:
        token_ids = content
    check_token_ids(token_ids, {}, tokenizer, param="input")
    remaining_tokens(token_ids, spec, tokenizer, param="input", is_answered=False)
    return token_ids


def _shortened(vector: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    if dimensions is None or dimensions == len(vector):
        return vector
    if dimensions > len(vector):
        raise InvalidRequestError(f"This model's embeddings have {len(vector)} dimensions.", param="dimensions")
    kept = vector[:dimensions]
    return kept / (np.linalg.norm(kept) or 1.0)

"""What each model can do, as its tokenizer, its chat template and its files tell. For the event loop only.

No weights are loaded, and no tokenizer that serves requests is pushed out.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from unified_mlx_app.errors import ModelLoadError
from unified_mlx_app.models.draft_models import why_no_guesses
from unified_mlx_app.services.embeddings import NoEmbeddingsError, pooling_of
from unified_mlx_app.services.reasoning import is_thinking_model
from unified_mlx_app.services.tokenizers import Fingerprint, fingerprint_of, load_tokenizer
from unified_mlx_app.services.tool_dialects.table import dialect_of

_MAX_KEPT = 1024


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`completion`: it can be served at all. `reasoning`: it marks its thoughts, which are then told apart from the answer."""

    completion: bool
    chat: bool
    tools: bool
    reasoning: bool
    structured_output: bool
    embeddings: bool
    speculation: bool
    no_speculation_reason: str | None
    """Why tokens cannot be guessed ahead."""


_UNUSABLE = ModelFacts(
    completion=False,
    chat=False,
    tools=False,
    reasoning=False,
    structured_output=False,
    embeddings=False,
    speculation=False,
    no_speculation_reason="it cannot be served",
)


class FactsOfModels:
    """Reads a model's tokenizer once for each state of its files, one model at a time, and keeps only what it says."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, Fingerprint], ModelFacts] = OrderedDict()
        self._lock = asyncio.Lock()

    async def of(self, path: str) -> ModelFacts:
        """The facts of the model in the folder `path`."""
        key = (path, fingerprint_of(Path(path)))
        if (known := self._known.get(key)) is not None:
            return known
        async with self._lock:
            if key not in self._known:
                self._known[key] = await asyncio.to_thread(_read, Path(path))
                while len(self._known) > _MAX_KEPT:
                    self._known.popitem(last=False)
            return self._known[key]


def _read(path: Path) -> ModelFacts:
    try:
        tokenizer = load_tokenizer(path)
    except ModelLoadError:
        return _UNUSABLE
    no_speculation_reason = why_no_guesses(path)
    has_template = tokenizer.template_for(has_tools=False) is not None
    return ModelFacts(
        completion=True,
        chat=has_template,
        tools=has_template and dialect_of(tokenizer) is not None,
        reasoning=has_template and is_thinking_model(tokenizer),
        # Grammars are made for any tokenizer that is served.
        structured_output=True,
        embeddings=_has_embeddings(path),
        speculation=no_speculation_reason is None,
        no_speculation_reason=no_speculation_reason,
    )


def _has_embeddings(path: Path) -> bool:
    try:
        pooling_of(path)
    except NoEmbeddingsError:
        return False
    return True

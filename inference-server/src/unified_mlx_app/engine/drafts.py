"""The draft model of a request: loaded beside running streams, and never waited for. Engine thread only."""

import time
from pathlib import Path

import structlog

from unified_mlx_app.errors import AppError
from unified_mlx_app.models.draft_models import why_no_draft
from unified_mlx_app.models.loader import LoadedModel
from unified_mlx_app.models.manager import ModelManager
from unified_mlx_app.types import ModelSpec, Speculation

log = structlog.get_logger()

_RETRY_SECONDS = 60.0
"""A draft that could not be loaded is tried again after so long; there may be room then."""


class Drafts:
    """Requests begin without a draft while it is loading, and where it cannot be used, which is logged."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager
        self._retry_at: dict[str, float] = {}
        self._verdicts: dict[tuple[object, object], str | None] = {}

    def find(self, speculation: Speculation | None, loaded: LoadedModel) -> LoadedModel | None:
        """The draft model for `loaded` if it is in memory; else it will be soon, where it can be."""
        if speculation is None or speculation.draft_path is None or loaded.why_no_guesses is not None:
            return None
        path = speculation.draft_path
        if time.monotonic() < self._retry_at.get(path, 0.0):
            return None
        try:
            draft = self._manager.request(ModelSpec(name=speculation.draft_name or path, path=path), beside=loaded)
        except AppError as error:
            self._give_up(path, loaded, error.message)
            return None
        if draft is None:
            return None
        reason = self._verdict(loaded, draft)
        if reason is not None:
            self._give_up(path, loaded, reason)
            return None
        return draft

    def _verdict(self, loaded: LoadedModel, draft: LoadedModel) -> str | None:
        """Comparing two tokenizers takes a while, so it is done once for each state of their files."""
        key = (loaded.files, draft.files)
        if key not in self._verdicts:
            is_same = loaded.namespace.tokenizer == draft.namespace.tokenizer
            other_tokens = None if is_same else why_no_draft(Path(loaded.spec.path), Path(draft.spec.path))
            self._verdicts[key] = draft.why_no_guesses or other_tokens
        return self._verdicts[key]

    def _give_up(self, path: str, loaded: LoadedModel, reason: str) -> None:
        self._retry_at[path] = time.monotonic() + _RETRY_SECONDS
        log.warning("draft_model_not_used", draft=path, model=loaded.spec.name, reason=reason)

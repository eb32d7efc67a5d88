"""How answers of a registered model, and of the default one, are guessed ahead. On the event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from unified_mlx_app.config import Settings
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.models.draft_models import DraftConfig, check_drafts, draft_config, stored_draft_config
from unified_mlx_app.models.local_models import LocalModel, model_in
from unified_mlx_app.types import ModelSpec, Speculation


class RegisteredDrafts:
    """`find` gives the base model of a name."""

    def __init__(self, settings: Settings, find: Callable[[str], Awaitable[LocalModel | None]]) -> None:
        self._default = DraftConfig(settings.draft_model, settings.num_draft_tokens, settings.prompt_lookup)
        self._find = find
        self._folder: LocalModel | None = None
        """The draft model in the folder that the settings name, once it was found there."""

    async def for_default(self, spec: ModelSpec) -> ModelSpec:
        """The default model with what the settings say."""
        return await self._speculating(spec, self._default)

    async def for_registered(self, spec: ModelSpec, config: dict[str, Any]) -> ModelSpec:
        """A registered model with what its `config` says; a draft model that is gone is done without."""
        return await self._speculating(spec, stored_draft_config(config))

    async def check(self, config: dict[str, Any], base: LocalModel) -> None:
        """Raises InvalidRequestError that says what of `config` cannot be kept with `base`."""
        wanted = draft_config(config)
        draft = await self._draft(wanted.draft_model) if wanted.draft_model else None
        if wanted.draft_model is not None and draft is None:
            message = f"There is no base model {wanted.draft_model[:100]!a} on this machine."
            raise InvalidRequestError(message, param="config.draft_model")
        if wanted.is_on:
            await asyncio.to_thread(check_drafts, base, draft)

    async def _speculating(self, spec: ModelSpec, config: DraftConfig) -> ModelSpec:
        if not config.is_on:
            return spec
        draft = await self._draft(config.draft_model) if config.draft_model else None
        speculation = Speculation(
            draft_name=draft.name if draft else None,
            draft_path=draft.path if draft else None,
            num_draft_tokens=config.num_draft_tokens,
            prompt_lookup=config.prompt_lookup,
        )
        return msgspec.structs.replace(spec, speculation=speculation)

    async def _draft(self, name: str) -> LocalModel | None:
        """A base model of this machine; only the server's own settings name a folder."""
        is_of_settings = name == self._default.draft_model
        if is_of_settings and self._folder is not None:
            return self._folder  # Every request asks, and looking for a folder among the names walks over all models.
        if found := await self._find(name):
            return found
        if is_of_settings:
            self._folder = await asyncio.to_thread(model_in, name)
            return self._folder
        return None

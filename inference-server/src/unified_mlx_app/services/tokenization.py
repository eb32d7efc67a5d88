"""Texts and conversations to token ids and back, as the model would see them. For the event loop only."""

import asyncio
from dataclasses import dataclass

from unified_mlx_app.models.registry import ModelRegistry
from unified_mlx_app.services.chat_template import ChatTemplates
from unified_mlx_app.services.generation import ChatPrompt
from unified_mlx_app.services.prompt_limits import check_token_ids
from unified_mlx_app.services.prompt_rules import PromptRules
from unified_mlx_app.services.tokenizers import INLINE_CHARACTERS, LoadedTokenizer, Tokenizers
from unified_mlx_app.types import JSON


@dataclass(frozen=True, slots=True)
class Tokenized:
    """`token_strings` are the tokens as the vocabulary spells them, where they were asked for."""

    token_ids: list[int]
    max_context_tokens: int | None
    token_strings: list[str] | None


class TokenizationService:
    """Answers from the tokenizers alone: the engine is not asked, and no weights are loaded."""

    def __init__(self, *, registry: ModelRegistry, tokenizers: Tokenizers, templates: ChatTemplates, rules: PromptRules) -> None:
        self._registry = registry
        self._tokenizers = tokenizers
        self._templates = templates
        self._rules = rules

    async def tokenize_text(self, model: str | None, text: str, *, add_special_tokens: bool, with_strings: bool) -> Tokenized:
        """Raises ModelNotFoundError, and InvalidRequestError for what is no text."""
        resolved = await self._registry.resolve(model)
        tokenizer = await self._tokenizers.get(resolved.spec)
        token_ids = await tokenizer.encode(text, add_special_tokens=add_special_tokens)
        limit = resolved.spec.max_context_tokens or tokenizer.max_context_tokens
        return _tokenized(token_ids, limit, tokenizer, with_strings=with_strings)

    async def tokenize_conversation(
        self,
        model: str | None,
        prompt: ChatPrompt,
        *,
        tools: list[JSON] | None,
        is_prompt: bool = True,
        with_strings: bool = False,
    ) -> Tokenized:
        """As the chat template writes it; `is_prompt` asks for the model's next turn at the end.

        Raises ModelNotFoundError, and InvalidRequestError for what the template refuses.
        """
        resolved = await self._registry.resolve(model)
        tokenizer = await self._tokenizers.get(resolved.spec)
        ruled = await self._rules.apply(prompt.messages, self._rules.rules_for(resolved.config))
        rendered = await self._templates.render(
            resolved.spec, ruled.messages, tools=tools, template_kwargs=prompt.template_kwargs, is_prompt=is_prompt
        )
        limit = resolved.spec.max_context_tokens or tokenizer.max_context_tokens
        return _tokenized(rendered.token_ids, limit, tokenizer, with_strings=with_strings)

    async def detokenize(self, model: str | None, token_ids: list[int]) -> str:
        """Text of the tokens, control tokens included. Raises ModelNotFoundError, and InvalidRequestError for unknown ids."""
        resolved = await self._registry.resolve(model)
        tokenizer = await self._tokenizers.get(resolved.spec)
        if token_ids:
            check_token_ids(token_ids, {}, tokenizer, param="tokens")
        is_short = len(token_ids) <= INLINE_CHARACTERS
        return tokenizer.decode(token_ids) if is_short else await asyncio.to_thread(tokenizer.decode, token_ids)


def _tokenized(token_ids: list[int], limit: int | None, tokenizer: LoadedTokenizer, *, with_strings: bool) -> Tokenized:
    strings = [tokenizer.backend.id_to_token(token_id) or "" for token_id in token_ids] if with_strings else None
    return Tokenized(token_ids, limit, strings)

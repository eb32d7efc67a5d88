"""The bounds that every use of a model is held to before the engine hears of it: token ids, context length, time."""

from collections.abc import Iterable

from unified_mlx_app.config import Settings
from unified_mlx_app.errors import ContextLengthError, InvalidRequestError
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import ModelSpec

MAX_PROMPT_LOGPROBS = 1_000_000
"""Of one request, rivals included: some hundreds of megabytes until they are sent."""


def check_token_ids(
    token_ids: list[int], logit_bias: dict[int, float], tokenizer: LoadedTokenizer, *, param: str = "prompt"
) -> None:
    """Raises InvalidRequestError, naming `param`, for no tokens or for ids that the model does not have."""
    if not token_ids:
        raise InvalidRequestError(f"The {param} is empty.", param=param)
    if max(token_ids) >= tokenizer.vocab_size:
        raise InvalidRequestError(f"Token ids must be below {tokenizer.vocab_size} for this model.", param=param)
    if logit_bias and max(logit_bias) >= tokenizer.vocab_size:
        raise InvalidRequestError(f"Token ids must be below {tokenizer.vocab_size} for this model.", param="logit_bias")


def remaining_tokens(
    token_ids: list[int], spec: ModelSpec, tokenizer: LoadedTokenizer, *, param: str, is_answered: bool = True
) -> int | None:
    """Tokens that the model's context leaves for the answer; None when it has no known limit.

    Raises ContextLengthError, naming `param`, when that is none and there is to be an answer.
    """
    limit = spec.max_context_tokens or tokenizer.max_context_tokens
    if limit is None:
        return None
    if len(token_ids) > limit or (len(token_ids) == limit and is_answered):
        raise ContextLengthError(
            f"This model's maximum context length is {limit} tokens. The {param} has {len(token_ids)}. Shorten the {param}.",
            param=param,
        )
    return limit - len(token_ids)


def check_num_logprobs(prompts: Iterable[list[int]], prompt_logprobs: int | None) -> None:
    """Raises InvalidRequestError for a request that asks for more log-probabilities of its prompts than are told at once."""
    if prompt_logprobs is None:
        return
    num_logprobs = (prompt_logprobs + 1) * sum(map(len, prompts))
    if num_logprobs > MAX_PROMPT_LOGPROBS:
        raise InvalidRequestError(
            f"The prompts have {num_logprobs} log-probabilities with those of likelier tokens; at most {MAX_PROMPT_LOGPROBS} "
            "are told at once. Send fewer prompts, or lower logprobs.",
            param="prompt",
        )


def bounded_timeout(timeout_seconds: float | None, settings: Settings) -> float:
    """How long a request may take: as long as its client wants to wait, within the server's limit."""
    return min(timeout_seconds or settings.request_timeout_seconds, settings.request_timeout_seconds)

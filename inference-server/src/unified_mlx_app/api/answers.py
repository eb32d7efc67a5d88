"""Parts of an answer that both completion APIs share: headers, usage, token texts."""

from unified_mlx_app.api.fields import CompletionTokensDetails, PromptTokensDetails, UsageBody
from unified_mlx_app.services.generation import Generation
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import Usage

ANSWER_HEADERS = {
    "x-cache": "What the prompt cache did: hit, partial, miss or off.",
    "x-cache-tokens": "Prompt tokens whose KV state was reused.",
    "x-cache-exact": "When state was reused: `true` if it is bit for bit what a cold run computes.",
    "x-cache-reason": "Why it was not a hit, for example `diverged; token=412; message=1`.",
    "x-response-cache": "`hit` when the whole answer came from the response cache.",
    "x-model-fallback": "Why another model answered than the default one.",
    "x-request-id": "Id of the request, also in the server's log.",
}


def answer_headers(generation: Generation) -> dict[str, str]:
    """What the caches did, and which model stands in for an unavailable default."""
    headers = {"x-cache": generation.cache.outcome, "x-cache-tokens": str(generation.cache.cached_tokens)}
    if generation.cache.cached_tokens and not generation.is_replayed:
        headers["x-cache-exact"] = str(generation.cache.is_exact).lower()
    if generation.explanation is not None:
        headers["x-cache-reason"] = generation.explanation
    if generation.is_replayed:
        headers["x-response-cache"] = "hit"
    if generation.fallback_reason is not None:
        headers["x-model-fallback"] = " ".join(generation.fallback_reason.encode("ascii", "replace").decode().split())
    return headers


def usage_body(usage: Usage) -> UsageBody:
    return UsageBody(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens, audio_tokens=0),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=0, audio_tokens=0, accepted_prediction_tokens=0, rejected_prediction_tokens=0
        ),
    )


def token_text(tokenizer: LoadedTokenizer, token_id: int) -> str:
    """The token as text; bytes that are no whole character show as U+FFFD, `bytes` in the answer has them."""
    return tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")

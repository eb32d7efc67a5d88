"""Parts of an answer that both completion APIs share: headers, usage, token texts."""

from collections.abc import AsyncGenerator

from unified_mlx_app.api.fields import CompletionTokensDetails, PromptTokensDetails, UsageBody
from unified_mlx_app.services.changed_texts import ChangedText
from unified_mlx_app.services.generation import Generation
from unified_mlx_app.services.prompt_rules import RuledPrompt
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import Usage

ANSWER_HEADERS = {
    "x-cache": "What the prompt cache did: hit, partial, miss or off.",
    "x-cache-tokens": "Prompt tokens whose KV state was reused.",
    "x-cache-tier": "When state was reused: `memory` or `disk`, where it lay.",
    "x-cache-exact": "When state was reused: `true` if it is bit for bit what a cold run computes.",
    "x-cache-reason": "Why it was not a hit, for example `diverged; token=412; message=1`.",
    "x-cache-volatile": "Text that changes from call to call and cost tokens that are stored, for example "
    "`message=0; role=system; chars=9-19; kind=date; lost_tokens=1310`; several are separated by commas.",
    "x-cache-suggestion": "Rules with which that would not have happened, as `MLX_PROMPT_CACHE_RULES` takes them.",
    "x-cache-rules": "What such rules did to the messages, for example `current_date=move; count=1`.",
    "x-schema-left-out": "Keywords of the answer's schema, if it is not strict, that the answer need not follow.",
    "x-response-cache": "`hit` when the whole answer came from the response cache.",
    "x-model-fallback": "Why another model answered than the default one.",
    "x-request-id": "Id of the request, also in the server's log.",
}
_MAX_HEADER_CHARS = 2_000


def answer_headers(generation: Generation) -> dict[str, str]:
    """What the caches did, and which model stands in for an unavailable default."""
    headers = {"x-cache": generation.cache.outcome, "x-cache-tokens": str(generation.cache.cached_tokens)}
    if generation.cache.tier is not None:
        headers["x-cache-tier"] = generation.cache.tier
    if generation.cache.cached_tokens and not generation.is_replayed:
        headers["x-cache-exact"] = str(generation.cache.is_exact).lower()
    explanation = generation.explanation
    if explanation.reason is not None:
        headers["x-cache-reason"] = explanation.reason
    if explanation.changes:
        headers["x-cache-volatile"] = _header_text(", ".join(map(_change_text, explanation.changes)))
    if explanation.suggestion:
        headers["x-cache-suggestion"] = ",".join(explanation.suggestion)
    if generation.rules is not None:
        headers["x-cache-rules"] = _rules_text(generation.rules)
    if generation.left_out:
        headers["x-schema-left-out"] = _header_text("; ".join(generation.left_out))
    if generation.is_replayed:
        headers["x-response-cache"] = "hit"
    return headers | fallback_headers(generation.fallback_reason)


def _change_text(change: ChangedText) -> str:
    """Where it is and what it cost; not what it says, as headers end in other programs' logs."""
    places = {"message": change.message, "role": change.role}
    chars = {} if change.start is None else {"chars": f"{change.start}-{change.end}"}
    fields = places | chars | {"kind": change.kind, "lost_tokens": change.lost_tokens}
    return "; ".join(f"{name}={value}" for name, value in fields.items() if value is not None)


def _rules_text(ruled: RuledPrompt) -> str:
    if ruled.failure is not None:
        return f"not applied: {ruled.failure}"
    return ", ".join(f"{one.rule}={one.action}; count={one.num_spans}" for one in ruled.applied) or "none applied"


def fallback_headers(reason: str | None) -> dict[str, str]:
    """Which says why another model answered than the default one, if one did."""
    return {} if reason is None else {"x-model-fallback": " ".join(reason.encode("ascii", "replace").decode().split())}


def _header_text(text: str) -> str:
    """One line of ASCII, of a length that clients take."""
    return " ".join(text.encode("ascii", "replace").decode().split())[:_MAX_HEADER_CHARS]


async def exhaust(frames: AsyncGenerator[bytes, None], generation: Generation) -> None:
    """Reads a stream for what its writer keeps of it; closes the generation."""
    try:
        async for _ in frames:
            pass
    finally:
        await generation.close()


def usage_body(usage: Usage) -> UsageBody:
    return UsageBody(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens, audio_tokens=0),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=usage.reasoning_tokens,
            audio_tokens=0,
            accepted_prediction_tokens=usage.accepted_guesses,
            rejected_prediction_tokens=usage.rejected_guesses,
        ),
    )


def token_text(tokenizer: LoadedTokenizer, token_id: int) -> str:
    """The token as text; bytes that are no whole character show as U+FFFD, `bytes` in the answer has them."""
    return tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")

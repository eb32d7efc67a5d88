"""What one request asks of speculative decoding, with what its model is registered with."""

from msgspec.structs import replace

from unified_mlx_app.services.generation import GenerationRequest
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import ModelSpec, Speculation

_MAX_PREDICTION_TOKENS = 32_768
"""A longer prediction is cut: what it is sought through for costs time at every step."""


def speculation_for(request: GenerationRequest, spec: ModelSpec) -> Speculation | None:
    """None where nothing is to be guessed. A request that asks for guesses itself marks that it does."""
    if request.speculation == "off":
        return None
    if request.speculation == "prompt_lookup" or request.prediction:
        lookup = request.speculation == "prompt_lookup"
        registered = spec.speculation or Speculation()
        return replace(registered, prompt_lookup=registered.prompt_lookup or lookup, is_asked=True)
    return spec.speculation


async def prediction_of(request: GenerationRequest, tokenizer: LoadedTokenizer) -> list[int]:
    """Tokens of the text that the answer may repeat. Raises InvalidRequestError that names `prediction`."""
    if not request.prediction:
        return []
    token_ids = await tokenizer.encode(request.prediction, add_special_tokens=False, param="prediction")
    return token_ids[:_MAX_PREDICTION_TOKENS]

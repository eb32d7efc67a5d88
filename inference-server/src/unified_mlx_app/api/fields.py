"""Request fields that the completion APIs share, with their closed bounds."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from unified_mlx_app.config import Settings
from unified_mlx_app.services.generation import SpeculationChoice
from unified_mlx_app.types import SamplingParams

MAX_CHOICES = 8
MAX_PROMPTS = 128
_MIN_TEMPERATURE = 1e-4
"""Below it only the likeliest token is left, and logits divided by it leave the range of numbers."""
_MIN_TOP_P = 1e-6
"""`top_p` 0 means the likeliest token; a nucleus always holds at least one."""


class WireModel(BaseModel):
    """A request body: unknown fields, wrong types and NaN are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class Unsupported:
    """Marks a field that OpenAI knows and this server does not do: only `None` and `no_ops` pass."""

    def __init__(self, *no_ops: Any) -> None:
        self._allowed = [None, *no_ops]

    def _refuse(self, value: Any) -> Any:
        if value not in self._allowed:
            raise PydanticCustomError("unsupported_field", "is not supported by this server yet; leave it out")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._refuse, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": self._allowed, "description": "Not supported yet."}


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=512)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenKey = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]
Bias = Annotated[float, Field(ge=-100, le=100)]
Metadata = dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]]


Timeout = Annotated[float, Field(gt=0, le=86_400, description="Extension. Give the request up after so many seconds.")]


class StreamOptions(WireModel):
    include_usage: bool | None = Field(None, description="Send a last chunk with the usage of the request.")
    include_obfuscation: bool | None = Field(None, description="Accepted; nothing is obfuscated.")


class DrawingFields(WireModel):
    """What every API that generates accepts."""

    model: ModelName | None = Field(None, description="Name of a known model; left out: the default model.")
    temperature: float | None = Field(None, ge=0, le=2, description="0 always takes the likeliest token.")
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=1_000_000, description="Extension. 0 and -1 keep all tokens.")
    min_p: float | None = Field(None, ge=0, le=1, description="Extension.")
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, ge=0.01, le=2, description="Extension. 1 changes nothing.")
    logit_bias: Annotated[dict[TokenKey, Bias], Field(max_length=300)] | None = Field(None, description="Token id to bias.")
    ignore_eos: bool | None = Field(None, description="Extension. Go on after the end-of-text token.")
    stream: bool | None = None
    timeout: Timeout | None = None

    def sampling(self, settings: Settings, *, max_tokens: int | None, top_logprobs: int | None) -> SamplingParams:
        """The engine's parameters, with the server's defaults where the request is silent."""
        temperature = settings.temperature if self.temperature is None else self.temperature
        return SamplingParams(
            max_tokens=settings.max_tokens if max_tokens is None else max_tokens,
            temperature=0.0 if temperature < _MIN_TEMPERATURE else temperature,
            top_p=1.0 if self.top_p is None else max(self.top_p, _MIN_TOP_P),
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            seed=self.seed,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            logit_bias={int(token): bias for token, bias in (self.logit_bias or {}).items()},
            stop=self.stop_strings(),
            ignore_eos=bool(self.ignore_eos),
            top_logprobs=top_logprobs,
        )

    def stop_strings(self) -> tuple[str, ...]:
        """Texts before which the answer ends."""
        return ()


class SamplingFields(DrawingFields):
    """What both completion APIs accept."""

    max_tokens: int | None = Field(None, ge=1, le=1_000_000, description="Most tokens to generate.")
    n: int | None = Field(None, ge=1, le=MAX_CHOICES, description="Choices that share one prefill.")
    stop: StopString | Annotated[list[StopString], Field(max_length=4)] | None = None
    stream_options: StreamOptions | None = None
    speculation: SpeculationChoice | None = Field(
        None,
        description="Extension. Whether tokens are guessed ahead; each is still the model's own choice, on GPUs to rounding: "
        "`auto` as the model is registered, `prompt_lookup` from the text so far.",
    )
    user: Annotated[str, StringConstraints(max_length=512)] | None = Field(None, description="Accepted, not stored.")
    metadata: Annotated[Metadata, Field(max_length=16)] | None = Field(None, description="Accepted, not stored.")
    store: bool | None = Field(None, description="Accepted; nothing is stored.")
    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = Field(None, description="Accepted, no effect.")
    safety_identifier: Annotated[str, StringConstraints(max_length=512)] | None = Field(None, description="Accepted, not stored.")
    prompt_cache_key: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        None, description="Accepted; prefixes are found by their tokens."
    )
    prompt_cache_retention: Literal["in-memory", "in_memory", "24h"] | None = Field(None, description="Accepted, no effect.")

    @model_validator(mode="after")
    def _streams_what_it_configures(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("needs_stream", "stream_options needs stream to be true", {"param": "stream_options"})
        return self

    def stop_strings(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class PromptTokensDetails(BaseModel):
    cached_tokens: int = Field(description="Prompt tokens whose KV state was reused.")
    audio_tokens: int


class CompletionTokensDetails(BaseModel):
    reasoning_tokens: int
    audio_tokens: int
    accepted_prediction_tokens: int = Field(description="Tokens of the answer that were guessed ahead.")
    rejected_prediction_tokens: int = Field(description="Guesses that were wrong; they are no completion tokens.")


class UsageBody(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails

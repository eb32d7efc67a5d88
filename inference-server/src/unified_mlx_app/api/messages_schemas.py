"""What `POST /v1/messages` and `POST /v1/messages/count_tokens` accept, as Anthropic's clients send it."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import DrawingFields, ModelName, StopString, Unsupported, WireModel
from unified_mlx_app.api.kinds import Foreign, kind_tag
from unified_mlx_app.api.tool_fields import MAX_TOOLS, ParameterSchema

MAX_BLOCKS = 10_000
_Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_ToolName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


class CacheControl(WireModel):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
    scope: Annotated[str, StringConstraints(max_length=64)] | None = None


_CacheControl = Annotated[CacheControl | None, Field(description="Accepted; prefixes are cached by themselves.")]


class TextBlock(WireModel):
    type: Literal["text"]
    text: str
    cache_control: _CacheControl = None
    citations: Annotated[Any, Unsupported([])] = None


class ThinkingBlock(WireModel):
    type: Literal["thinking"]
    thinking: str
    signature: str = Field("", description="Accepted; thoughts are not checked.")


class RedactedThinkingBlock(WireModel):
    type: Literal["redacted_thinking"]
    data: str = Field(description="Accepted; no model here can read it.")


class ToolUseBlock(WireModel):
    type: Literal["tool_use"]
    id: _Id
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    input: dict[str, Any]
    cache_control: _CacheControl = None
    caller: Annotated[Any, Unsupported({"type": "direct"})] = None
    toolset_name: Annotated[Any, Unsupported()] = None


_Text = Annotated[Annotated[TextBlock, Tag("[text]")] | Annotated[Foreign, Tag("[other]")], Discriminator(kind_tag("text"))]
TextContent = str | Annotated[list[_Text], Field(max_length=MAX_BLOCKS)]


class ToolResultBlock(WireModel):
    type: Literal["tool_result"]
    tool_use_id: _Id
    content: TextContent | None = None
    is_error: bool | None = None
    cache_control: _CacheControl = None
    toolset_name: Annotated[Any, Unsupported()] = None


Block = Annotated[
    Annotated[TextBlock, Tag("[text]")]
    | Annotated[ThinkingBlock, Tag("[thinking]")]
    | Annotated[RedactedThinkingBlock, Tag("[redacted_thinking]")]
    | Annotated[ToolUseBlock, Tag("[tool_use]")]
    | Annotated[ToolResultBlock, Tag("[tool_result]")]
    | Annotated[Foreign, Tag("[other]")],
    Discriminator(kind_tag("text", "thinking", "redacted_thinking", "tool_use", "tool_result")),
]


class MessageParam(WireModel):
    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Block], Field(max_length=MAX_BLOCKS)]


class CustomTool(WireModel):
    type: Literal["custom"] | None = None
    name: _ToolName
    description: Annotated[str, StringConstraints(max_length=65_536)] | None = None
    input_schema: ParameterSchema
    strict: bool | None = Field(None, description="Every call's input satisfies the schema.")
    cache_control: _CacheControl = None
    eager_input_streaming: bool | None = Field(None, description="Accepted; a call is told when it is complete.")
    defer_loading: Annotated[Any, Unsupported(False)] = None
    input_examples: Annotated[Any, Unsupported([])] = None
    allowed_callers: Annotated[Any, Unsupported(["direct"])] = None


_Tool = Annotated[
    Annotated[CustomTool, Tag("[custom]")] | Annotated[Foreign, Tag("[other]")],
    Discriminator(kind_tag("custom", default="custom")),
]


class ToolChoice(WireModel):
    type: Literal["auto", "any", "tool", "none"]
    name: Annotated[str, StringConstraints(max_length=256)] | None = Field(None, description="With type tool: the one to call.")
    disable_parallel_tool_use: bool | None = Field(None, description="At most one call an answer.")


class Thinking(WireModel):
    """Left out: models that can be told to do without thoughts are."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int | None = Field(None, ge=1024, le=1_000_000, description="Told to chat templates that know it.")
    display: Literal["summarized", "omitted"] | None = Field(
        None, description="`omitted` leaves thoughts empty; otherwise they are told whole."
    )


class JSONFormat(WireModel):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema", description="The answer is one JSON value that the schema allows.")


class OutputConfig(WireModel):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        None, description="Told to chat templates that know `reasoning_effort`."
    )
    format: JSONFormat | None = None


class MessagesMetadata(WireModel):
    user_id: Annotated[str, StringConstraints(max_length=512)] | None = Field(None, description="Accepted, not stored.")


class CountTokensRequest(WireModel):
    """All that shapes the prompt."""

    model: ModelName | None = Field(None, description="Name of a known model; left out: the default model.")
    messages: Annotated[list[MessageParam], Field(min_length=1, max_length=4096)]
    system: TextContent | None = None
    tools: Annotated[list[_Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: _CacheControl = None
    mcp_servers: Annotated[Any, Unsupported([])] = None
    context_management: Annotated[
        Any, Unsupported({"edits": []}, {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]})
    ] = None
    speed: Annotated[Any, Unsupported("standard")] = None

    @property
    def custom_tools(self) -> list[CustomTool]:
        return [tool for tool in self.tools or () if isinstance(tool, CustomTool)]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [tool.name for tool in self.custom_tools]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise _refusal(f"tools[{index}].name", "another tool has this name")
        choice = self.tool_choice
        if choice is None:
            return self
        if choice.type in ("any", "tool") and not names:
            raise _refusal("tool_choice", "needs tools")
        if (choice.type == "tool") != (choice.name is not None):
            raise _refusal("tool_choice.name", "goes with type tool, and only with it")
        if choice.name is not None and choice.name not in names:
            raise _refusal("tool_choice.name", "is not the name of a tool")
        return self


class MessagesRequest(DrawingFields, CountTokensRequest):
    """A message to create. A field that is not listed here is a 400 that names it."""

    max_tokens: int = Field(ge=1, le=1_000_000, description="Most tokens to generate.")
    temperature: float | None = Field(None, ge=0, le=1, description="0 always takes the likeliest token.")
    stop_sequences: Annotated[list[StopString], Field(max_length=64)] | None = None
    metadata: MessagesMetadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = Field(None, description="Accepted, no effect.")
    inference_geo: Annotated[str, StringConstraints(max_length=64)] | None = Field(None, description="Accepted, no effect.")
    container: Annotated[Any, Unsupported()] = None
    diagnostics: Annotated[Any, Unsupported()] = None
    output_format: Annotated[Any, Unsupported()] = None

    @model_validator(mode="after")
    def _thinks_within_its_limit(self) -> Self:
        thinking = self.thinking
        if thinking is not None and thinking.type == "enabled" and thinking.budget_tokens is None:
            raise _refusal("thinking.budget_tokens", "is required when thinking is enabled")
        if thinking is not None and (thinking.budget_tokens or 0) >= self.max_tokens:
            raise _refusal("thinking.budget_tokens", "must be below max_tokens")
        return self

    def stop_strings(self) -> tuple[str, ...]:
        return tuple(self.stop_sequences or ())


def _refusal(param: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_request", "{problem}", {"problem": problem, "param": param})

"""What the routes under `/v1/responses` accept and answer."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import DrawingFields, Metadata, ModelName, Unsupported, WireModel
from unified_mlx_app.api.kinds import Foreign, kind_tag
from unified_mlx_app.api.responses_items import MAX_ITEMS, InputItem, OutputItem
from unified_mlx_app.api.tool_fields import MAX_TOOLS, Function
from unified_mlx_app.services.structured_output import WantedFormat
from unified_mlx_app.services.tool_calls import Tool, ToolUse

_ShortText = Annotated[str, StringConstraints(max_length=512)]
RESPONSE_ID = r"^[A-Za-z0-9_-]{1,128}$"
_ResponseID = Annotated[str, StringConstraints(pattern=RESPONSE_ID)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
LOGPROBS = "message.output_text.logprobs"


class ResponseTool(Function):
    type: Literal["function"]
    defer_loading: Annotated[Any, Unsupported(False)] = None
    allowed_callers: Annotated[Any, Unsupported(["direct"])] = None
    output_schema: Annotated[Any, Unsupported()] = None


_Tool = Annotated[
    Annotated[ResponseTool, Tag("[function]")] | Annotated[Foreign, Tag("[other]")], Discriminator(kind_tag("function"))
]


class NamedFunction(WireModel):
    type: Literal["function"]
    name: Annotated[str, StringConstraints(max_length=256)]


class AllowedTools(WireModel):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedFunction], Field(min_length=1, max_length=MAX_TOOLS)]


class Reasoning(WireModel):
    effort: Effort | None = Field(None, description="How much a thinking model thinks; `none` switches thoughts off.")
    summary: Literal["auto", "concise", "detailed"] | None = Field(None, description="Accepted; thoughts are told whole.")
    generate_summary: Literal["auto", "concise", "detailed"] | None = Field(None, deprecated=True)


class TextFormat(WireModel):
    """As in chat's `response_format`, without its inner object."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | None = None
    description: Annotated[str, StringConstraints(max_length=16_384)] | None = None
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="The answer is one JSON value that the schema allows."
    )
    strict: bool | None = Field(None, description="As in chat's `response_format`.")

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if (self.type == "json_schema") != (self.schema_ is not None):
            raise _refusal("text.format.schema", "goes with type json_schema, and only with it")
        if (self.type == "json_schema") != (self.name is not None):
            raise _refusal("text.format.name", "goes with type json_schema, and only with it")
        return self


class TextConfig(WireModel):
    format: TextFormat | None = None
    verbosity: Annotated[Any, Unsupported("medium")] = None


class ResponseStreamOptions(WireModel):
    include_obfuscation: bool | None = Field(None, description="Accepted; nothing is obfuscated.")


class PromptFields(WireModel):
    """All that shapes the prompt of a response."""

    model: ModelName | None = Field(None, description="Name of a known model; left out: the default model.")
    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=MAX_ITEMS)]
    instructions: str | None = Field(None, description="System text of this response; that of earlier ones is not carried over.")
    previous_response_id: _ResponseID | None = Field(None, description="Go on from a stored response.")
    tools: Annotated[list[_Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | AllowedTools | None = None
    parallel_tool_calls: bool | None = Field(None, description="`false`: at most one call an answer.")
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    truncation: Annotated[Any, Unsupported("disabled")] = None
    conversation: Annotated[Any, Unsupported()] = None

    @property
    def functions(self) -> list[ResponseTool]:
        return [tool for tool in self.tools or () if isinstance(tool, ResponseTool)]

    @model_validator(mode="after")
    def _tools_fit_together(self) -> Self:
        names = [tool.name for tool in self.functions]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise _refusal(f"tools[{index}].name", "another function has this name")
        if self.tool_choice not in (None, "none", "auto") and not names:
            raise _refusal("tool_choice", "is only allowed when tools are given")
        if any(name not in names for name in self._chosen()):
            raise _refusal("tool_choice", "names a function that is not in tools")
        return self

    def _chosen(self) -> list[str]:
        if isinstance(self.tool_choice, NamedFunction):
            return [self.tool_choice.name]
        return [tool.name for tool in self.tool_choice.tools] if isinstance(self.tool_choice, AllowedTools) else []

    def tool_use(self) -> ToolUse | None:
        """The tools for the model; None when it has none to call."""
        if not self.functions or self.tool_choice == "none":
            return None
        mode = self.tool_choice.mode if isinstance(self.tool_choice, AllowedTools) else self.tool_choice
        is_named = isinstance(self.tool_choice, NamedFunction)
        nothing: dict[str, Any] = {"type": "object", "properties": {}}
        return ToolUse(
            tools=tuple(
                Tool(tool.name, tool.description, tool.parameters or nothing, bool(tool.strict)) for tool in self.functions
            ),
            must_call=is_named or mode == "required",
            allowed=frozenset(self._chosen()) or None,
            is_parallel=self.parallel_tool_calls is not False and not is_named,
            schema_path=".parameters",
        )

    def wanted_format(self) -> WantedFormat | None:
        form = self.text.format if self.text else None
        if form is None or form.type == "text":
            return None
        if form.schema_ is None:
            return WantedFormat("json_schema", {"type": "object"}, "text.format")
        return WantedFormat("json_schema", form.schema_, "text.format.schema", bool(form.strict))


class ResponseRequest(DrawingFields, PromptFields):
    """A response to create. A field that is not listed here is a 400 that names it."""

    max_output_tokens: int | None = Field(None, ge=1, le=1_000_000, description="Most tokens to generate.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description=f"Tells log-probabilities, as does including {LOGPROBS}.")
    include: Annotated[list[_ShortText], Field(max_length=16)] | None = Field(
        None, description=f"`{LOGPROBS}` is known; thoughts are told whole without `reasoning.encrypted_content`."
    )
    store: bool | None = Field(None, description="Keep the response so that others can go on from it; left out: true.")
    metadata: Annotated[Metadata, Field(max_length=16)] | None = None
    max_tool_calls: int | None = Field(None, ge=1, le=1_000_000, description="Accepted; only OpenAI's own tools count.")
    stream_options: ResponseStreamOptions | None = None
    background: Annotated[Any, Unsupported(False)] = None
    prompt: Annotated[Any, Unsupported()] = None
    prompt_cache_key: _ShortText | None = Field(None, description="Accepted; prefixes are found by their tokens.")
    prompt_cache_retention: Literal["in-memory", "in_memory", "24h"] | None = Field(None, description="Accepted, no effect.")
    prompt_cache_options: Annotated[Any, Unsupported()] = None
    context_management: Annotated[Any, Unsupported([])] = None
    moderation: Annotated[Any, Unsupported()] = None
    safety_identifier: _ShortText | None = Field(None, description="Accepted, no effect.")
    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = Field(None, description="Accepted, no effect.")
    user: _ShortText | None = Field(None, description="Accepted, no effect.")

    @property
    def num_top_logprobs(self) -> int | None:
        """None: no log-probabilities are wanted."""
        return self.top_logprobs or 0 if self.top_logprobs is not None or LOGPROBS in (self.include or ()) else None


class ResponseErrorBody(BaseModel):
    code: str
    message: str


class IncompleteDetails(BaseModel):
    reason: Literal["max_output_tokens"]


class InputTokensDetails(BaseModel):
    cached_tokens: int = Field(description="Prompt tokens whose KV state was reused.")
    cache_write_tokens: int = Field(description="Prompt tokens whose KV state was computed and is cached now.")


class OutputTokensDetails(BaseModel):
    reasoning_tokens: int


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseBody(BaseModel):
    """A response; with `stream` it comes as events from `response.created` to `response.completed`."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False]
    error: ResponseErrorBody | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    service_tier: Literal["default"]
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    user: str | None


class ItemList(BaseModel):
    """Some items, with the ids of the first and the last."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedResponse(BaseModel):
    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputTokenCount(BaseModel):
    object: Literal["response.input_tokens"]
    input_tokens: int


def _refusal(param: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_request", "{problem}", {"problem": problem, "param": param})

"""Request fields that offer tools to the model and say how it may use them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import WireModel
from unified_mlx_app.services.tool_calls import Tool, ToolUse

MAX_TOOLS = 128
_FunctionName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


def _describes_an_object(schema: Any) -> Any:
    if isinstance(schema, dict) and schema.get("type", "object") != "object":
        raise PydanticCustomError("invalid_schema", 'it must be a JSON schema of type "object"')
    return schema


def _refuse_custom(kind: Any) -> Any:
    if kind == "custom":
        raise PydanticCustomError("unsupported_field", "can only be function on this server; custom tools are not supported")
    return kind


ToolType = Annotated[Literal["function"], BeforeValidator(_refuse_custom)]
ParameterSchema = Annotated[dict[str, Any], BeforeValidator(_describes_an_object)]


class LegacyFunction(WireModel):
    name: _FunctionName
    description: Annotated[str, StringConstraints(max_length=65_536)] | None = None
    parameters: ParameterSchema | None = Field(None, description="JSON schema of an object; left out: no parameters.")


class Function(LegacyFunction):
    strict: bool | None = Field(None, description="Every call's arguments satisfy the schema.")


class FunctionTool(WireModel):
    type: ToolType
    function: Function


class NamedFunction(WireModel):
    name: Annotated[str, StringConstraints(max_length=256)]


class NamedTool(WireModel):
    type: ToolType
    function: NamedFunction


class AllowedToolList(WireModel):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS)]


class AllowedTools(WireModel):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedToolList


ToolChoice = Literal["none", "auto", "required"] | NamedTool | AllowedTools


class ToolFields(WireModel):
    """`tools` and what goes with them; `functions` and `function_call` are the same in OpenAI's deprecated form."""

    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = Field(None, description="`required` and a named function always give calls that parse.")
    parallel_tool_calls: bool | None = Field(None, description="`false`: at most one call an answer.")
    functions: Annotated[list[LegacyFunction], Field(max_length=MAX_TOOLS)] | None = Field(None, deprecated=True)
    function_call: Literal["none", "auto"] | NamedFunction | None = Field(None, deprecated=True)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.tools and self.functions:
            raise _refusal("functions", "it is the deprecated form of tools; send only one of the two")
        _refuse_duplicates("tools", ".function.name", [tool.function.name for tool in self.tools or ()])
        _refuse_duplicates("functions", ".name", [function.name for function in self.functions or ()])
        if self.tool_choice not in (None, "none", "auto") and not self.tools:
            raise _refusal("tool_choice", "it is only allowed when tools are given")
        if isinstance(self.function_call, NamedFunction) and not self.functions:
            raise _refusal("function_call", "it is only allowed when functions are given")
        known = {tool.function.name for tool in self.tools or ()} | {function.name for function in self.functions or ()}
        for field, name in self._chosen():
            if name not in known:
                raise _refusal(field, f"it names a function that is not in {'tools' if self.tools else 'functions'}")
        return self

    def _chosen(self) -> list[tuple[str, str]]:
        """Names of functions in the choice, with the fields that hold them."""
        if isinstance(self.function_call, NamedFunction):
            return [("function_call.name", self.function_call.name)]
        if isinstance(self.tool_choice, NamedTool):
            return [("tool_choice.function.name", self.tool_choice.function.name)]
        if isinstance(self.tool_choice, AllowedTools):
            names = [tool.function.name for tool in self.tool_choice.allowed_tools.tools]
            return [(f"tool_choice.allowed_tools.tools[{index}].function.name", name) for index, name in enumerate(names)]
        return []

    @property
    def is_legacy(self) -> bool:
        """Whether a call is told as `function_call`."""
        return bool(self.functions)

    def tool_use(self) -> ToolUse | None:
        """The tools for the model; None when it has none to call."""
        if self.functions:
            return self._legacy_use()
        if not self.tools or self.tool_choice == "none":
            return None
        choice, mode = self.tool_choice, self.tool_choice
        if isinstance(choice, AllowedTools):
            mode = choice.allowed_tools.mode
        is_named = isinstance(choice, NamedTool)
        return ToolUse(
            tools=tuple(_tool(tool.function, is_strict=bool(tool.function.strict)) for tool in self.tools),
            must_call=is_named or mode == "required",
            allowed=frozenset(name for _, name in self._chosen()) or None,
            is_parallel=self.parallel_tool_calls is not False and not is_named,
        )

    def _legacy_use(self) -> ToolUse | None:
        if self.function_call == "none":
            return None
        return ToolUse(
            tools=tuple(_tool(function, is_strict=False) for function in self.functions or ()),
            must_call=isinstance(self.function_call, NamedFunction),
            allowed=frozenset(name for _, name in self._chosen()) or None,
            is_parallel=False,
            param="functions",
            schema_path=".parameters",
        )


def _tool(function: LegacyFunction, *, is_strict: bool) -> Tool:
    return Tool(function.name, function.description, function.parameters or {"type": "object", "properties": {}}, is_strict)


def _refusal(param: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_tools", "{problem}", {"problem": problem, "param": param})


def _refuse_duplicates(field: str, path: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise _refusal(f"{field}[{index}]{path}", "another function has this name")

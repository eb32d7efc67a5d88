"""Request fields that demand a format of the answer."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.fields import WireModel
from unified_mlx_app.services.structured_output import WantedFormat

_Text = Annotated[str, StringConstraints(min_length=1)]
_MAX_ALTERNATIVES = 5_000


class JSONSchemaFormat(WireModel):
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Annotated[str, StringConstraints(max_length=16_384)] | None = None
    schema_: dict[str, Any] = Field(alias="schema", description="The answer is one JSON value that the schema allows.")
    strict: bool | None = Field(
        None,
        description="The answer follows the schema in either case. Keywords that the server cannot keep are an error when this "
        "is true; otherwise they are left out and named in the header `x-schema-left-out`.",
    )


class ResponseFormat(WireModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchemaFormat | None = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            message = "goes with type json_schema, and only with it"
            raise PydanticCustomError("mismatched_format", message, {"param": "response_format.json_schema"})
        return self

    def wanted_format(self) -> WantedFormat | None:
        if self.json_schema is not None:
            param, is_strict = "response_format.json_schema.schema", bool(self.json_schema.strict)
            return WantedFormat("json_schema", self.json_schema.schema_, param, is_strict)
        return None if self.type == "text" else WantedFormat("json_schema", {"type": "object"}, "response_format")


class StructuredOutputs(WireModel):
    """vLLM's extension; exactly one of the fields. The whole answer matches it."""

    json_: dict[str, Any] | None = Field(None, alias="json", description="A JSON schema, as in `response_format` with `strict`.")
    regex: _Text | None = Field(None, description="A regular expression in the syntax of Rust, without look-around.")
    choice: Annotated[list[_Text], Field(min_length=1, max_length=_MAX_ALTERNATIVES)] | None = None
    grammar: _Text | None = Field(None, description="A grammar in llguidance's dialect of Lark; its first rule is `start`.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            message = "needs exactly one of json, regex, choice and grammar"
            raise PydanticCustomError("not_one_format", message, {"param": "structured_outputs"})
        return self

    def wanted_format(self) -> WantedFormat:
        if self.json_ is not None:
            return WantedFormat("json_schema", self.json_, "structured_outputs.json")
        if self.regex is not None:
            return WantedFormat("regex", self.regex, "structured_outputs.regex")
        if self.choice is not None:
            return WantedFormat("choice", self.choice, "structured_outputs.choice")
        return WantedFormat("lark", self.grammar, "structured_outputs.grammar")


class FormatFields(WireModel):
    """What a request for generation may say of the answer's format. With `logprobs`, they are those of the allowed tokens."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = Field(None, description="Extension.")

    def wanted_format(self) -> WantedFormat | None:
        """The one format that was demanded."""
        demanded = self.response_format.wanted_format() if self.response_format else None
        return self.structured_outputs.wanted_format() if self.structured_outputs else demanded

    @model_validator(mode="after")
    def _demands_one_format(self) -> Self:
        demanded = self.response_format.wanted_format() if self.response_format else None
        if demanded is not None and self.structured_outputs is not None:
            message = "does not go with a response_format other than text"
            raise PydanticCustomError("two_formats", message, {"param": "structured_outputs"})
        if self.wanted_format() is not None and getattr(self, "ignore_eos", None):
            message = "does not go with a demanded format, which ends by itself"
            raise PydanticCustomError("endless_format", message, {"param": "ignore_eos"})
        return self

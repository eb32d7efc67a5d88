"""The items of a response's input and output: messages, function calls and their results, thoughts."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.chat_schemas import ChatTokenLogprob
from unified_mlx_app.api.fields import WireModel
from unified_mlx_app.api.kinds import Foreign, kind_tag

MAX_ITEMS = 10_000
MAX_PARTS = 10_000
_Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Status = Literal["in_progress", "completed", "incomplete"]


class _Part(WireModel):
    """Clients send back what they got with fields of their own, which say nothing as long as they are null."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _has_no_other_field(self) -> Self:
        for name, value in (self.__pydantic_extra__ or {}).items():
            if value is not None:
                raise PydanticCustomError("unknown_field", "it has the unknown field {name}", {"name": repr(name[:40])})
        return self


class InputText(_Part):
    type: Literal["input_text"]
    text: str


class OutputText(_Part):
    type: Literal["output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=1000)] | None = Field(None, description="Accepted, without effect.")
    logprobs: list[Any] | None = Field(None, description="Accepted, without effect.")


class Refusal(_Part):
    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


ContentPart = Annotated[
    Annotated[InputText, Tag("[input_text]")]
    | Annotated[OutputText, Tag("[output_text]")]
    | Annotated[Refusal, Tag("[refusal]")]
    | Annotated[Foreign, Tag("[other]")],
    Discriminator(kind_tag("input_text", "output_text", "refusal")),
]
Content = str | Annotated[list[ContentPart], Field(max_length=MAX_PARTS)]


class MessageItem(_Part):
    type: Literal["message"] = "message"
    id: _Id | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    status: _Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCallItem(_Part):
    type: Literal["function_call"]
    id: _Id | None = None
    call_id: _Id
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    arguments: str = Field(description="A JSON object as text.")
    status: _Status | None = None


class FunctionCallOutputItem(_Part):
    type: Literal["function_call_output"]
    id: _Id | None = None
    call_id: _Id
    output: Content
    status: _Status | None = None


class SummaryText(_Part):
    type: Literal["summary_text"]
    text: str


class ReasoningText(_Part):
    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(_Part):
    type: Literal["reasoning"]
    id: _Id | None = None
    summary: Annotated[list[SummaryText], Field(max_length=MAX_PARTS)] | None = None
    content: Annotated[list[ReasoningText], Field(max_length=MAX_PARTS)] | None = None
    encrypted_content: str | None = Field(None, description="Accepted; thoughts are read from `content`.")
    status: _Status | None = None


InputItem = Annotated[
    Annotated[MessageItem, Tag("[message]")]
    | Annotated[FunctionCallItem, Tag("[function_call]")]
    | Annotated[FunctionCallOutputItem, Tag("[function_call_output]")]
    | Annotated[ReasoningItem, Tag("[reasoning]")]
    | Annotated[Foreign, Tag("[other]")],
    Discriminator(kind_tag("message", "function_call", "function_call_output", "reasoning", default="message")),
]


class AnswerText(BaseModel):
    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[ChatTokenLogprob]


class AnswerMessageItem(BaseModel):
    type: Literal["message"]
    id: str
    status: _Status
    role: Literal["assistant"]
    content: list[AnswerText]


class AnswerThought(BaseModel):
    type: Literal["reasoning_text"]
    text: str


class AnswerReasoningItem(BaseModel):
    type: Literal["reasoning"]
    id: str
    status: _Status
    summary: list[Any]
    content: list[AnswerThought]
    encrypted_content: None


class AnswerCallItem(BaseModel):
    type: Literal["function_call"]
    id: str
    status: _Status
    call_id: str
    name: str
    arguments: str


OutputItem = AnswerMessageItem | AnswerReasoningItem | AnswerCallItem

"""What `POST /tokenize` and `POST /detokenize` accept and answer; the shapes are vLLM's."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from unified_mlx_app.api.completions_schemas import TokenID
from unified_mlx_app.api.fields import ModelName, Unsupported, WireModel
from unified_mlx_app.api.message_schemas import Message
from unified_mlx_app.api.tool_fields import ToolFields

_Messages = Annotated[list[Message], Field(min_length=1, max_length=4096)]


class TokenizeRequest(ToolFields):
    """Either a `prompt`, or `messages` with what shapes their prompt in a chat completion."""

    model: ModelName | None = Field(None, description="Name of a known model; left out: the default model.")
    prompt: str | None = None
    messages: _Messages | None = None
    add_special_tokens: bool | None = Field(
        None, description="Of a prompt: begin and end it as the tokenizer does, which is the default. Templates do it themselves."
    )
    add_generation_prompt: bool | None = Field(None, description="Of messages: ask for the next turn, which is the default.")
    continue_final_message: Annotated[Any, Unsupported(False)] = None
    return_token_strs: bool | None = Field(None, description="Also spell the tokens as the vocabulary does.")
    chat_template: Annotated[Any, Unsupported()] = None
    chat_template_kwargs: Annotated[dict[str, str | int | float | bool | None], Field(max_length=16)] | None = None

    @model_validator(mode="after")
    def _has_one_content(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("one_content", "give either prompt or messages", {"param": "prompt"})
        of_other = (
            ("add_generation_prompt", "chat_template_kwargs", "tools") if self.messages is None else ("add_special_tokens",)
        )
        for name in of_other:
            if getattr(self, name):
                raise PydanticCustomError("other_content", f"{name} says nothing about what is given", {"param": name})
        return self


class Tokens(BaseModel):
    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizeRequest(WireModel):
    model: ModelName | None = Field(None, description="Name of a known model; left out: the default model.")
    tokens: Annotated[list[TokenID], Field(max_length=2_000_000)]


class DetokenizedText(BaseModel):
    prompt: str

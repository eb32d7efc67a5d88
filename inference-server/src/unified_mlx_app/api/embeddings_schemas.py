"""What `POST /v1/embeddings` accepts and answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from unified_mlx_app.api.completions_schemas import TokenPrompt
from unified_mlx_app.api.fields import ModelName, Timeout, WireModel

MAX_INPUTS = 2048
_Text = Annotated[str, StringConstraints(min_length=1)]
_Texts = Annotated[list[_Text], Field(min_length=1, max_length=MAX_INPUTS)]
_TokenTexts = Annotated[list[TokenPrompt], Field(min_length=1, max_length=MAX_INPUTS)]


class EmbeddingBody(WireModel):
    """One or several texts, as text or as token ids."""

    model: ModelName | None = Field(None, description="Name of a known model; left out: the default model.")
    input: _Text | _Texts | TokenPrompt | _TokenTexts
    encoding_format: Literal["float", "base64"] | None = Field(None, description="`base64`: little-endian float32.")
    dimensions: int | None = Field(None, ge=1, le=65_536, description="Keep so many numbers, scaled to length 1 again.")
    user: Annotated[str, StringConstraints(max_length=512)] | None = Field(None, description="Accepted, not stored.")
    timeout: Timeout | None = None

    def inputs(self) -> list[str | list[int]]:
        """Every text of the request, in order."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [[token for token in self.input if isinstance(token, int)]]
        return [each for each in self.input if not isinstance(each, int)]


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="A vector of length 1; base64 of it when that was asked for.")


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage

"""What the two streams of completions share: the envelope of their chunks, the usage at the end."""

from typing import Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from unified_mlx_app.api.answers import usage_body
from unified_mlx_app.api.sse import frame
from unified_mlx_app.services.generation import Generation

T = TypeVar("T")
ChunkObject = Literal["chat.completion.chunk", "text_completion"]


class _Chunk(Struct, Generic[T]):
    """Fields as in OpenAI's chunks; built of msgspec because one is encoded a token."""

    id: str
    object: ChunkObject
    created: int
    model: str
    system_fingerprint: str
    choices: list[T]
    usage: Raw | UnsetType | None = UNSET


class ChunkFrames(Generic[T]):
    """Puts choices of type T into chunks of one answer, as server-sent events; `prefix` begins their id."""

    def __init__(self, generation: Generation, name: ChunkObject, *, prefix: str, includes_usage: bool) -> None:
        self._generation = generation
        self._encode = msgspec.json.Encoder().encode
        self._chunk = _Chunk[T](
            id=f"{prefix}-{generation.id}",
            object=name,
            created=generation.created,
            model=generation.model.name,
            system_fingerprint=generation.fingerprint,
            choices=[],
            usage=None if includes_usage else UNSET,
        )

    def of(self, choice: T) -> bytes:
        self._chunk.choices = [choice]
        return frame(self._encode(self._chunk))

    def usage(self, completion_tokens: int, reasoning_tokens: int = 0) -> bytes:
        """The last chunk, without a choice."""
        self._chunk.choices = []
        body = usage_body(self._generation.usage(completion_tokens, reasoning_tokens))
        self._chunk.usage = Raw(body.model_dump_json().encode())
        return frame(self._encode(self._chunk))

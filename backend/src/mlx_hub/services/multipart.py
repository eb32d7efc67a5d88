"""A multipart form read as it arrives: small text fields are kept, the one file goes on piece by piece."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mlx_hub.errors import InvalidInputError

MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 16


@dataclass(slots=True)
class Form:
    """Texts of the fields by name, and the client's name of the file; None while there was no file."""

    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None


class _FormParser:
    """Pieces of the file are collected in `pieces`; whoever feeds the parser takes them out after each chunk."""

    def __init__(self, boundary: bytes, file_field: str) -> None:
        self.form = Form()
        self.pieces: list[bytes] = []
        self.is_complete = False
        self._file_field = file_field
        self._num_parts = 0
        self._header_name, self._header_value = b"", b""
        self._name: str | None = None
        self._is_file = False
        self._value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Raises InvalidInputError for what is no form, or one with too many or too large fields."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidInputError(f"The body is not a multipart form: {error}", field="body") from None

    def _on_part_begin(self) -> None:
        self._num_parts += 1
        if self._num_parts > MAX_PARTS:
            raise InvalidInputError(f"The form has more than {MAX_PARTS} parts.", field="body")
        self._name, self._is_file = None, False
        self._value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._name = options.get(b"name", b"").decode(errors="replace")
            if self._name == self._file_field:
                self._begin_file(options.get(b"filename", b"").decode(errors="replace"))
        self._header_name, self._header_value = b"", b""

    def _begin_file(self, file_name: str) -> None:
        if self.form.file_name is not None:
            raise InvalidInputError("The form has more than one file; upload them one by one.", field=self._file_field)
        self.form.file_name = file_name
        self._is_file = True

    def _on_headers_finished(self) -> None:
        if not self._name:
            raise InvalidInputError("A part of the form has no name.", field="body")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.pieces.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise InvalidInputError(f"{self._name!r} has more than {MAX_FIELD_BYTES} bytes.", field=self._name)

    def _on_part_end(self) -> None:
        if self._is_file or self._name is None:
            return
        try:
            self.form.fields[self._name] = self._value.decode()
        except UnicodeDecodeError:
            raise InvalidInputError(f"{self._name!r} is not UTF-8.", field=self._name) from None

    def _on_end(self) -> None:
        self.is_complete = True


async def read_form(
    content_type: str, chunks: AsyncIterator[bytes], *, file_field: str, take: Callable[[bytes], Awaitable[None]]
) -> Form:
    """Reads the whole form; `take` gets the file in pieces. Raises InvalidInputError when it is malformed or cut short."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidInputError(
            f"Send a multipart form (multipart/form-data) with the field {file_field!r}.", field="content-type"
        )
    try:
        parser = _FormParser(boundary, file_field)
    except FormParserError as error:
        raise InvalidInputError(f"The body is not a multipart form: {error}", field="content-type") from None
    async for chunk in chunks:
        parser.feed(chunk)
        for piece in parser.pieces:
            await take(piece)
        parser.pieces.clear()
    if not parser.is_complete:
        raise InvalidInputError("The form ends too early.", field="body")
    if parser.form.file_name is None:
        raise InvalidInputError(f"The form has no file in the field {file_field!r}.", field=file_field)
    return parser.form

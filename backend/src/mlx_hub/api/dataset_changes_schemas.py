"""What clients send and get about changes of datasets and about what depends on them."""

from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, Field, JsonValue

from mlx_hub.api.datasets_schemas import BinPublic, ProblemPublic
from mlx_hub.core.data_prep import Problem, row_or_problem
from mlx_hub.core.dataset_convert import TargetFormat
from mlx_hub.core.dataset_duplicates import Match
from mlx_hub.core.dataset_edit import RowEdit
from mlx_hub.errors import InvalidInputError
from mlx_hub.models.base import Name, Page, WireModel
from mlx_hub.models.dataset import DatasetPublic
from mlx_hub.models.job import JobStatus
from mlx_hub.services.dataset_conversions import Converted

_MAX_EDITS = 1000
_MAX_ROW = 2**31

RowNumber = Annotated[int, Field(ge=1, le=_MAX_ROW, description="From 1 in the dataset as it is; blank lines do not count.")]
RowContent = Annotated[dict[str, JsonValue], Field(description="The row: `messages`, `prompt` and `completion`, or `text`.")]


class RowReplace(WireModel):
    op: Literal["replace"]
    row: RowNumber
    content: RowContent


class RowDelete(WireModel):
    op: Literal["delete"]
    row: RowNumber


class RowInsert(WireModel):
    """The new row stands before `row`; one more than there are appends. Several at one place keep their order."""

    op: Literal["insert"]
    row: RowNumber
    content: RowContent


class DatasetEdits(WireModel):
    """Changes of rows. All row numbers are of the dataset before the changes."""

    edits: list[Annotated[RowReplace | RowDelete | RowInsert, Field(discriminator="op")]] = Field(
        min_length=1, max_length=_MAX_EDITS
    )
    name: Name | None = Field(None, description="Of the new dataset. Default: NAME-v2, or the old name when it replaces it.")
    replaces_original: bool = Field(False, description="The old dataset goes in the same step; not when it was trained on.")

    def row_edits(self) -> list[RowEdit]:
        """Raises InvalidInputError for a row that no training could use, and for two changes of one row."""
        found: list[RowEdit] = []
        changed: set[int] = set()
        for index, edit in enumerate(self.edits):
            if edit.op != "insert" and edit.row in changed:
                raise InvalidInputError(f"Row {edit.row} is changed twice.", field=f"edits.{index}.row")
            if edit.op != "insert":
                changed.add(edit.row)
            line = b"" if edit.op == "delete" else _line(edit, index)
            found.append(RowEdit(operation=edit.op, row=edit.row, line=line))
        return found


def _line(edit: RowReplace | RowInsert, index: int) -> bytes:
    try:
        line = orjson.dumps(edit.content)
    except orjson.JSONEncodeError as error:
        raise InvalidInputError(f"The row cannot be written: {error}.", field=f"edits.{index}.content") from error
    if isinstance(problem := row_or_problem(line, edit.row), Problem):
        raise InvalidInputError(f"{problem.message} ({problem.code})", field=f"edits.{index}.content")
    return line


class DependentJobPublic(BaseModel):
    id: UUID
    name: str
    status: JobStatus


class DependentVersionPublic(BaseModel):
    model_id: UUID
    model_name: str
    version: int


class DatasetDependentsPublic(BaseModel):
    """Jobs and versions stay when the dataset is deleted, and then no longer know it; the newest first."""

    num_bytes: int
    jobs: list[DependentJobPublic]
    versions: list[DependentVersionPublic]
    blockers: list[str] = Field(description="Why it cannot be deleted now.")
    can_delete: bool


class DatasetDeduplicate(WireModel):
    match: Match = Field("exact", description="normalised puts case, spaces and punctuation aside.")
    name: Name | None = Field(None, description="Of the new dataset. Default: NAME-unique.")


class DatasetConvert(WireModel):
    format: TargetFormat
    name: Name | None = Field(None, description="Of the new dataset. Default: NAME-FORMAT.")
    skips_problems: bool = Field(False, description="Leave out rows that would lose something, instead of refusing all.")


class ConvertedPublic(BaseModel):
    """`problems` are of the rows left out, at most 1000, in the order of lines of the old dataset."""

    dataset: DatasetPublic
    num_converted_rows: int
    num_left_out_rows: int
    problems: list[ProblemPublic]

    @classmethod
    def from_converted(cls, found: Converted) -> "ConvertedPublic":
        return cls(
            dataset=found.dataset,
            num_converted_rows=found.num_converted_rows,
            num_left_out_rows=found.num_left_out_rows,
            problems=[ProblemPublic.from_problem(problem) for problem in found.problems],
        )


class DuplicateGroupPublic(BaseModel):
    """Rows that say the same; `start` is how the first of them begins."""

    lines: list[int] = Field(description="Of the first 100 of them, ascending.")
    num_rows: int
    start: str


class DuplicatesPublic(Page[DuplicateGroupPublic]):
    """Of the first 1000 groups; `num_groups` and `num_duplicates` count all."""

    num_groups: int
    num_duplicates: int = Field(description="Rows that repeat an earlier one.")


class LengthsPublic(BaseModel):
    """Percentiles are nearest-rank."""

    p50: int
    p95: int
    p99: int
    max: int
    total: int
    histogram: list[BinPublic]


class DatasetLengthsPublic(BaseModel):
    """Of the usable rows; null when there is none."""

    num_rows: int
    num_usable_rows: int
    characters: LengthsPublic | None
    messages: LengthsPublic | None = Field(description="A text counts as one.")

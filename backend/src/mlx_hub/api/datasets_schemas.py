"""What clients send and get about the rows of datasets."""

from typing import Any

from pydantic import BaseModel, Field

from mlx_hub.core.data_prep import Problem
from mlx_hub.core.dataset_inspection import Inspection, TokenStatistics
from mlx_hub.core.dataset_preview import RowPreview
from mlx_hub.models.base import WireId, WireModel
from mlx_hub.services.dataset_views import ShownRow, ViewSettings

UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "JSONL, a JSON array, a table, or plain text.",
                        },
                        "name": {"type": "string", "maxLength": 200, "description": "By default that of the file."},
                        "description": {"type": "string", "maxLength": 10_000},
                        **{
                            f"{part}_column": {"type": "string", "description": f"Of a table: the column that is the {part}."}
                            for part in ("prompt", "completion", "system", "text")
                        },
                    },
                }
            }
        },
    }
}
"""FastAPI does not see a body that is streamed."""


class DatasetView(WireModel):
    """With which model's eyes to look, and how its training run would."""

    model_id: WireId = Field(description="A registered model whose weights are downloaded.")
    max_seq_length: int = Field(2048, ge=8, le=1_048_576, description="Longer rows are cut, as in training.")
    mask_prompt: bool = Field(True, description="Only answers are learned.")

    def settings(self, *, batch_size: int = 4) -> ViewSettings:
        return ViewSettings(self.model_id, self.max_seq_length, self.mask_prompt, batch_size)


class DatasetPreviewRequest(DatasetView):
    first_row: int = Field(1, ge=1, le=2**31, description="From 1; blank lines do not count.")
    num_rows: int = Field(5, ge=1, le=20)


class DatasetStatisticsRequest(DatasetView):
    batch_size: int = Field(4, ge=1, le=4096, description="For the padding waste.")


class ProblemPublic(BaseModel):
    """Why a row cannot be used, or deserves a look."""

    line: int = Field(description="From 1 in the stored file.")
    code: str
    message: str

    @classmethod
    def from_problem(cls, problem: Problem) -> "ProblemPublic":
        return cls(line=problem.line, code=problem.code, message=problem.message)


class RowPublic(BaseModel):
    """One row as it stands in the file."""

    row_number: int = Field(description="From 1; blank lines do not count.")
    line: int = Field(description="From 1; blank lines count.")
    num_bytes: int
    row: dict[str, Any] | None = Field(description="Null when the line is no JSON object, or too long to be shown.")
    start: str | None = Field(description="The first characters of a line whose row is null.")
    problem: ProblemPublic | None

    @classmethod
    def from_shown(cls, shown: ShownRow, row_number: int) -> "RowPublic":
        raw = shown.raw
        start = None if shown.row is not None else raw.start.decode(errors="replace").rstrip("\r\n")
        problem = ProblemPublic.from_problem(shown.problem) if shown.problem else None
        return cls(row_number=row_number, line=raw.line, num_bytes=raw.num_bytes, row=shown.row, start=start, problem=problem)


class VerificationPublic(BaseModel):
    """Whether the file is still what was stored."""

    is_intact: bool
    is_missing: bool
    expected_sha256: str
    sha256: str | None = Field(description="Of the file now; null when it is gone.")
    num_bytes: int | None


class ValidationPublic(BaseModel):
    """What a model's training would make of the rows. With fewer inspected rows than rows all numbers are of a sample."""

    num_rows: int
    num_inspected_rows: int
    is_sample: bool = Field(description="The time was up before all rows were read; they were taken in random order.")
    num_usable_rows: int
    num_truncated_rows: int
    problem_counts: dict[str, int]
    problems: list[ProblemPublic] = Field(description="The first of those counted, in the order of lines.")

    @classmethod
    def from_inspection(cls, found: Inspection) -> "ValidationPublic":
        return cls(
            num_rows=found.num_rows,
            num_inspected_rows=found.num_inspected_rows,
            is_sample=found.num_inspected_rows < found.num_rows,
            num_usable_rows=found.num_usable_rows,
            num_truncated_rows=found.num_truncated_rows,
            problem_counts=found.problem_counts,
            problems=[ProblemPublic.from_problem(problem) for problem in found.problems],
        )


class BinPublic(BaseModel):
    """So many rows have `first` to `last` tokens, both included."""

    first: int
    last: int
    num_rows: int


class TruncationPublic(BaseModel):
    """What a `max_seq_length` would cut."""

    max_seq_length: int
    share_of_rows: float
    share_of_tokens: float
    num_rows_without_answer: int = Field(description="They would lose every token to learn, and be left out.")


class TokenStatisticsPublic(BaseModel):
    """Lengths are of whole rows before truncation; percentiles are nearest-rank."""

    p50: int
    p95: int
    p99: int
    max: int
    num_tokens: int
    num_kept_tokens: int = Field(description="Within `max_seq_length`, of the rows that can be learned.")
    num_learned_tokens: int
    padding_waste: float = Field(description="Share of padding among the token positions of an epoch.")
    histogram: list[BinPublic]
    truncation: list[TruncationPublic]


class StatisticsPublic(BaseModel):
    """Token lengths of a dataset with a model's tokenizer and template."""

    num_rows: int
    num_inspected_rows: int
    is_sample: bool = Field(description="The time was up before all rows were read; they were taken in random order.")
    tokens: TokenStatisticsPublic | None = Field(description="Null when the model can format no row.")

    @classmethod
    def from_inspection(cls, found: Inspection) -> "StatisticsPublic":
        return cls(
            num_rows=found.num_rows,
            num_inspected_rows=found.num_inspected_rows,
            is_sample=found.num_inspected_rows < found.num_rows,
            tokens=_tokens(found.statistics) if found.statistics else None,
        )


def _tokens(statistics: TokenStatistics) -> TokenStatisticsPublic:
    return TokenStatisticsPublic.model_validate(statistics, from_attributes=True)


class RowPreviewPublic(BaseModel):
    """A row as the model will see it; `token_ids`, `pieces` and `is_learned` belong together."""

    line: int
    problem: ProblemPublic | None = Field(description="Why the row is not used, or that it is cut.")
    num_tokens: int = Field(description="Of the whole row; the lists may hold fewer of a very long one.")
    num_kept: int = Field(description="Tokens from this number on, counted from 0, are cut off.")
    num_learned: int
    token_ids: list[int]
    pieces: list[str] = Field(description="The text of each token; all together are the row with its template.")
    is_learned: list[bool]

    @classmethod
    def from_preview(cls, found: RowPreview) -> "RowPreviewPublic":
        problem = ProblemPublic.from_problem(found.problem) if found.problem else None
        return cls(
            line=found.line,
            problem=problem,
            num_tokens=found.num_tokens,
            num_kept=found.num_kept,
            num_learned=found.num_learned,
            token_ids=found.token_ids,
            pieces=found.pieces,
            is_learned=found.is_learned,
        )


class PreviewPublic(BaseModel):
    """Rows in the order of the file; `num_rows` is of the whole dataset."""

    num_rows: int
    rows: list[RowPreviewPublic]

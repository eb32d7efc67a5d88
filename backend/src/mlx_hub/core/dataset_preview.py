"""Rows as the trainer will see them: template applied, tokens, which of them are learned, and what is cut off.

It runs the model's chat template: call it in a process of its own.
"""

from pathlib import Path

import msgspec

from mlx_hub.core.data_prep import Problem, row_or_problem
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.row_index import read_raw_rows
from mlx_hub.core.tokens import EncodedRow, TokenEncoder

MAX_SHOWN_TOKENS = 8192
"""Of one row, cut or not."""
NO_LIMIT = 2**31 - 1
"""As the encoder's length: what is cut off is to be shown as well."""


class PreviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`first_row` counts from 0."""

    rows_path: str
    index_path: str
    model_path: str
    max_seq_length: int
    mask_prompt: bool
    first_row: int
    num_rows: int


class RowPreview(msgspec.Struct, frozen=True, kw_only=True):
    """`pieces` are the texts of `token_ids`; `is_learned` says which count in the loss.

    Tokens from number `num_kept` on are cut off. A row that cannot be used has a problem, and perhaps no tokens.
    """

    line: int
    problem: Problem | None = None
    num_tokens: int = 0
    num_kept: int = 0
    num_learned: int = 0
    token_ids: list[int] = []
    pieces: list[str] = []
    is_learned: list[bool] = []


def preview_rows(request: PreviewRequest) -> list[RowPreview]:
    """Raises TrainingError for a model, tokenizer or dataset that cannot be read."""
    model = read_model_files(Path(request.model_path))
    encoder = TokenEncoder(model, max_seq_length=NO_LIMIT, mask_prompt=request.mask_prompt)
    raw = read_raw_rows(Path(request.rows_path), Path(request.index_path), request.first_row, request.num_rows)
    previews: list[RowPreview] = []
    for row in raw:
        found = row_or_problem(row.content, row.line)
        result = found if isinstance(found, Problem) else encoder.encode([found])[0]
        previews.append(_preview(result, encoder, request.max_seq_length))
    return previews


def _preview(result: EncodedRow | Problem, encoder: TokenEncoder, max_tokens: int) -> RowPreview:
    if isinstance(result, Problem):
        return RowPreview(line=result.line, problem=result)
    tokens = result.tokens[:MAX_SHOWN_TOKENS].tolist()
    is_learned = result.is_learned.copy()
    # Nothing predicts the first one.
    is_learned[:1] = False
    is_learned[max_tokens:] = False
    return RowPreview(
        line=result.row.line,
        problem=cut_problem(result, max_tokens),
        num_tokens=len(result.tokens),
        num_kept=min(len(result.tokens), max_tokens),
        num_learned=int(is_learned.sum()),
        token_ids=tokens,
        pieces=encoder.pieces(tokens),
        is_learned=is_learned[:MAX_SHOWN_TOKENS].tolist(),
    )


def cut_problem(row: EncodedRow, max_tokens: int) -> Problem | None:
    """What becomes of a row that was encoded whole when only `max_tokens` are kept."""
    num_cut = len(row.tokens) - max_tokens
    if num_cut <= 0:
        return None
    if not row.is_learned[1:max_tokens].any():
        return Problem(row.row.line, "empty_mask", f"The row has no answer token to learn within the first {max_tokens} tokens.")
    return Problem(row.row.line, "truncated", f"The last {num_cut} of {len(row.tokens)} tokens are cut off.")

"""Held-out loss of a model alone and with each of several adapters, as one JSON list, by one evaluator for all.

python held_out.py MODEL ROWS.jsonl MAX_SEQ_LENGTH answers|all ADAPTER…
"""

import json
import sys
from pathlib import Path

from mlx_hub.core.batches import batches_by_length
from mlx_hub.core.data_prep import Row, read_rows
from mlx_hub.core.loss import AnswerLoss
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.stepper import mean_loss
from mlx_hub.core.tokens import EncodedRow, TokenEncoder
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model

_BATCH_SIZE = 4


def read_examples(model: Path, rows: Path, *, max_seq_length: int, mask_prompt: bool) -> list[EncodedRow]:
    """Every row of the file as the trainers see it, in order."""
    encoder = TokenEncoder(read_model_files(model), max_seq_length=max_seq_length, mask_prompt=mask_prompt)
    encoded = encoder.encode([row for row in read_rows([rows]) if isinstance(row, Row)])
    return [row for row in encoded if isinstance(row, EncodedRow)]


def main() -> None:
    model_folder, rows, max_seq_length, learned, *adapters = sys.argv[1:]
    files = read_model_files(Path(model_folder))
    examples = read_examples(
        files.path, Path(rows), max_seq_length=int(max_seq_length), mask_prompt={"answers": True, "all": False}[learned]
    )
    batches = batches_by_length(examples, _BATCH_SIZE)
    losses: list[float] = []
    for adapter in [None, *adapters]:
        model, _ = load_model(files.path)
        if adapter is not None:
            load_adapters(model, adapter)
        losses.append(mean_loss(model, AnswerLoss(model, files.vocab_size), batches))
    print(json.dumps(losses))


if __name__ == "__main__":
    main()

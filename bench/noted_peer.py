"""`mlx_lm.lora` as it is, with notes of its progress: `python noted_peer.py NOTES.jsonl ARGUMENTS…`."""

import sys
from pathlib import Path
from typing import Any

from mlx_lm import lora
from mlx_lm.tuner.callbacks import TrainingCallback
from notes import Notes


class NotedCallback(TrainingCallback):
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
        self._notes.write("step")

    def on_val_loss_report(self, val_info: dict[str, Any]) -> None:
        self._notes.write("validation")


def main() -> None:
    notes_file, *arguments = sys.argv[1:]
    callback = NotedCallback(Notes(Path(notes_file)))
    # `lora.run` replaces the callback that it is given by what this function returns (mlx-lm 0.32).
    lora.get_reporting_callbacks = lambda *_, **__: callback
    sys.argv = ["mlx_lm.lora", *arguments]
    lora.main()


if __name__ == "__main__":
    main()

"""This repository's trainer as it is, with notes of its progress: `python noted_hub.py NOTES.jsonl RUN_DIR`."""

import sys
from pathlib import Path

import mlx_hub.core.trainer
from mlx_hub.core import train
from mlx_hub.core.run_files import MetricsLog
from notes import Notes


def main() -> int:
    notes_file, *arguments = sys.argv[1:]
    notes = Notes(Path(notes_file))

    class NotedLog(MetricsLog):
        def write(self, step: int, values: dict[str, float]) -> None:
            super().write(step, values)
            notes.write("validation" if "val_loss" in values else "step")

    mlx_hub.core.trainer.MetricsLog = NotedLog
    return train.main(arguments)


if __name__ == "__main__":
    sys.exit(main())

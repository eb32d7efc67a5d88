"""Runs two small offline tasks of lm-eval against a server; started by `conformance.py` in an environment that has lm-eval.

Prints one JSON object: of each request of log-likelihood its context, continuation and result, and the generated texts.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import lm_eval
import yaml
from lm_eval.tasks import TaskManager

_CHOICES = [
    {"question": "Tigers eat", "choices": [" meat", " grass and leaves", " stones"], "gold": 0},
    {"question": "Water boils at one hundred", "choices": [" degrees", " pounds"], "gold": 0},
    {"question": "große 🐅", "choices": [" Katze", " Maus 🐭", "n"], "gold": 0},
]
_TEXTS = [{"question": "Count: 1 2 3"}, {"question": "The quick brown fox"}]


def tasks(folder: Path) -> list[dict[str, Any]]:
    """One task of choices, scored by log-likelihood, and one of generated texts; their rows lie in `folder`."""
    shared: dict[str, Any] = {"dataset_path": "json", "test_split": "test", "doc_to_text": "{{question}}"}
    for name, rows in (("choices", _CHOICES), ("texts", _TEXTS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        shared
        | {
            "task": "offline_choices",
            "dataset_kwargs": {"data_files": {"test": str(folder / "choices.jsonl")}},
            "output_type": "multiple_choice",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "target_delimiter": "",
            "metric_list": [{"metric": "acc"}],
        },
        shared
        | {
            "task": "offline_texts",
            "dataset_kwargs": {"data_files": {"test": str(folder / "texts.jsonl")}},
            "output_type": "generate_until",
            "doc_to_target": "",
            "generation_kwargs": {"until": ["\n\n\n"], "max_gen_toks": 16, "do_sample": False},
            "metric_list": [{"metric": "exact_match"}],
        },
    ]


def main() -> None:
    url, name, tokenizer = sys.argv[1:]
    settings = {"base_url": f"{url}/v1/completions", "model": name, "tokenizer": tokenizer, "num_concurrent": 4, "max_retries": 1}
    with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(sys.stderr):
        folder = Path(work)
        for task in tasks(folder):
            (folder / f"{task['task']}.yaml").write_text(yaml.safe_dump(task))
        found = lm_eval.simple_evaluate(
            model="local-completions",
            model_args=settings,
            tasks=["offline_choices", "offline_texts"],
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
        )
    samples = found["samples"]
    scored = [
        {"context": context, "continuation": continuation, "loglikelihood": float(response[0][0])}
        for sample in samples["offline_choices"]
        for (context, continuation), response in zip(sample["arguments"], sample["resps"], strict=True)
    ]
    texts = [{"context": each["arguments"][0][0], "text": each["resps"][0][0]} for each in samples["offline_texts"]]
    print(json.dumps({"scored": scored, "texts": texts}))


if __name__ == "__main__":
    main()

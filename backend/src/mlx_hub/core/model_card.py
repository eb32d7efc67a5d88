"""What is known of where exported weights came from, and the README.md that tells it to people. Needs no MLX."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

CARD_FILE = "README.md"
LINEAGE_FILE = "lineage.json"

_REGISTER = """curl -X POST http://localhost:8080/admin/models/register -H 'content-type: application/json' \\
  -d '{"name": "my-adapter", "base_model": BASE, "adapter_path": "/path/to/this/folder"}'"""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where weights came from. What is not known is None or empty; `base_model` is a hub id or a local name."""

    name: str
    base_model: str
    version: int | None = None
    base_commit: str | None = None
    dataset_sha256: str | None = None
    seed: int | None = None
    code_version: str | None = None
    mlflow_run_id: str | None = None
    created_at: str | None = None
    config: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


def adapter_card(lineage: Lineage) -> str:
    """The card of an adapter folder as mlx-lm reads it."""
    use = [
        "With mlx-lm:",
        *_code(f'mlx_lm.generate --model {lineage.base_model} --adapter-path /path/to/this/folder --prompt "Hello"'),
        "With the inference server of MLX Model Hub:",
        *_code(_REGISTER.replace("BASE", json.dumps(lineage.base_model))),
    ]
    return _card(lineage, "A LoRA adapter for MLX.", library="mlx", use=use)


def peft_card(lineage: Lineage, notes: list[str]) -> str:
    """The card of an adapter in PEFT's format; `notes` say what to mind."""
    use = [
        "With transformers and PEFT:",
        *_code(
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
            f"base = AutoModelForCausalLM.from_pretrained({lineage.base_model!r})\n"
            'model = PeftModel.from_pretrained(base, "/path/to/this/folder")',
            language="python",
        ),
        "llama.cpp (`convert_lora_to_gguf.py`) and vLLM read this folder too.",
        *(f"- {note}" for note in notes),
    ]
    return _card(lineage, "A LoRA adapter in the format of PEFT, trained with MLX.", library="peft", use=use)


def fused_card(lineage: Lineage, check: dict[str, Any]) -> str:
    """The card of a whole model with its adapter inside; `check` is how it was compared with base and adapter."""
    use = [
        "With mlx-lm:",
        *_code('mlx_lm.generate --model /path/to/this/folder --prompt "Hello"'),
        "With the inference server of MLX Model Hub:",
        *_code("MLX_TEXT_MODEL=/path/to/this/folder make start"),
        "## Check",
        "Its logits were compared with those of the base model with the adapter beside it.",
        *_table(check),
    ]
    return _card(lineage, "A model for MLX with a trained adapter fused into its weights, not quantised.", library="mlx", use=use)


def quantised_card(lineage: Lineage, measured: dict[str, Any]) -> str:
    """The card of a quantised model; `measured` are its size and perplexity before and after."""
    use = [
        "With mlx-lm:",
        *_code('mlx_lm.generate --model /path/to/this/folder --prompt "Hello"'),
        f"The inference server of MLX Model Hub finds it in the model cache as `{lineage.name}`.",
        "## Measured",
        *_table(measured),
    ]
    return _card(lineage, "A quantised model for MLX.", library="mlx", use=use)


def _card(lineage: Lineage, summary: str, *, library: str, use: list[str]) -> str:
    title = lineage.name if lineage.version is None else f"{lineage.name}, version {lineage.version}"
    front = [
        "---",
        f"base_model: {json.dumps(lineage.base_model)}",
        f"library_name: {library}",
        "pipeline_tag: text-generation",
        "tags:\n- mlx\n- mlx-model-hub",
        "---",
    ]
    sections = [f"# {title}", summary, "## Use", *use, "## Lineage", *_table(_origin(lineage))]
    if lineage.config:
        sections += ["## Settings", *_table(lineage.config)]
    if lineage.metrics:
        sections += ["## Metrics", *_table(lineage.metrics)]
    return "\n".join(front) + "\n\n" + "\n\n".join(sections) + "\n"


def _origin(lineage: Lineage) -> dict[str, Any]:
    names = {
        "base model": lineage.base_model,
        "base commit": lineage.base_commit,
        "dataset sha256": lineage.dataset_sha256,
        "seed": lineage.seed,
        "made with mlx-hub": lineage.code_version,
        "MLflow run": lineage.mlflow_run_id,
        "made at": lineage.created_at,
    }
    return {name: value for name, value in names.items() if value is not None}


def _code(text: str, *, language: str = "sh") -> list[str]:
    return [f"```{language}\n{text}\n```"]


def _table(values: dict[str, Any]) -> list[str]:
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in _flat(values)]
    return ["\n".join(["| | |", "|---|---|", *rows])] if rows else []


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")

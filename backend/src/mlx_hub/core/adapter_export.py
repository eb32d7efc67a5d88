"""Exports of an adapter alone: mlx-lm's own form, or PEFT's, each with lineage, model card and manifest. Needs no MLX."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mlx_hub.core.adapters import CONFIG_FILE, WEIGHTS_FILE, read_adapter
from mlx_hub.core.durable_files import publish_folder
from mlx_hub.core.manifest import Manifest, write_manifest
from mlx_hub.core.model_card import CARD_FILE, LINEAGE_FILE, Lineage, adapter_card, peft_card
from mlx_hub.core.peft_format import write_peft

Check = Callable[[], None]


def export_adapter(adapter: Path, output: Path, lineage: Lineage, *, check: Check) -> dict[str, Any]:
    """Make the folder `output`, which appears when it is whole; what it returns describes it.

    `check` may raise between files. Raises TrainingError `bad_adapter`.
    """
    info = read_adapter(adapter)
    part = make_part(output)
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        check()
        shutil.copyfile(adapter / name, part / name)
    manifest = finish_export(part, output, lineage, card=adapter_card(lineage))
    return {
        **describe_export(manifest),
        "fine_tune_type": info.fine_tune_type,
        "rank": info.rank,
        "num_parameters": info.num_parameters,
        "weights_sha256": manifest.files[WEIGHTS_FILE].sha256,
    }


def export_peft(adapter: Path, output: Path, lineage: Lineage, *, is_base_quantised: bool, check: Check) -> dict[str, Any]:
    """As `export_adapter`, in PEFT's form, after a comparison of what both compute.

    Raises TrainingError `unsupported_adapter` for what PEFT has no form for.
    """
    part = make_part(output)
    check()
    written = write_peft(adapter, part, base_model=lineage.base_model)
    check()
    notes: list[str] = []
    if is_base_quantised:
        notes.append(
            f"{lineage.base_model} is quantised for MLX: outside of MLX use the model that it was made from, and write its "
            "name as `base_model_name_or_path` in `adapter_config.json`."
        )
    manifest = finish_export(part, output, lineage, card=peft_card(lineage, notes))
    return {
        **describe_export(manifest),
        "rank": written.rank,
        "alpha": written.alpha,
        "num_modules": written.num_modules,
        "max_relative_difference": written.max_difference,
        "notes": notes,
    }


def make_part(output: Path) -> Path:
    """An empty folder beside `output`, which becomes it when it is finished; what a killed process left there is gone."""
    part = part_of(output)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def part_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.part")


def finish_export(part: Path, output: Path, lineage: Lineage, *, card: str) -> Manifest:
    """Add lineage, card and manifest, and publish the folder."""
    (part / LINEAGE_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(lineage), indent=2) + b"\n")
    (part / CARD_FILE).write_text(card, encoding="utf-8")
    manifest = write_manifest(part)
    publish_folder(part, output)
    return manifest


def describe_export(manifest: Manifest) -> dict[str, Any]:
    """Size and digest of an export, as its task tells them."""
    return {"num_files": len(manifest.files) + 1, "num_bytes": manifest.num_bytes, "sha256": manifest.sha256}

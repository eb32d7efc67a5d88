"""Quantised models that mlx-lm loads, with their size and perplexity, and clear refusals."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from chat_tokenizer import cached_tokenizer
from fixtures.tasks import ToolRunner
from fixtures.training import ModelMaker, write_rows
from mlx_hub.core.logit_check import logits
from mlx_hub.core.manifest import read_manifest
from mlx_hub.core.model_card import Lineage
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.tool_files import QuantiseSpec, read_result, write_spec
from mlx_lm import load
from model_factory import SIZES, build_model, model_config, write_model

TOKENS = np.arange(40, 100, dtype=np.int32)


def quantise_job(job_dir: Path, model: Path, *, bits: int = 4, **options: object) -> Path:
    lineage = Lineage(name="local/tiny", base_model="org/tiny")
    paths = {"model_path": str(model), "output_path": str(job_dir / "output")}
    write_spec(job_dir, QuantiseSpec(**paths, bits=bits, lineage=lineage, **options))  # pyright: ignore[reportArgumentType]
    return job_dir


def odd_model(folder: Path, *, hidden: int) -> Path:
    """A model whose rows have so many weights; those of its other matrices divide by 64."""
    size = SIZES["tiny"]._replace(hidden=hidden)
    tokenizer = cached_tokenizer(size.vocab_size, think=False)
    config = model_config("qwen3", size, tokenizer, max_position_embeddings=512)
    mx.random.seed(0)
    write_model(folder, build_model(config), config, tokenizer)
    return folder


def distance(folder: Path, model: Path) -> float:
    """Between the logits of two models, as mlx-lm loads them."""
    quantised, before = (logits(load(str(path))[0], TOKENS) for path in (folder, model))
    return float(mx.abs(quantised - before).mean() / mx.abs(before).mean())


def test_quantised_model_loads_answers_alike_and_its_size_and_perplexity_are_told(
    tmp_path: Path, tiny_models: ModelMaker, run_tool_here: ToolRunner
) -> None:
    job_dir = quantise_job(tmp_path, tiny_models())

    report = run_tool_here(job_dir)

    assert report.status == "completed", report
    assert 0 < distance(job_dir / "output", tiny_models()) < 0.8
    config = json.loads((job_dir / "output" / "config.json").read_text())
    assert (config["quantization"]["bits"], config["quantization"]["group_size"]) == (4, 64)
    result = read_result(job_dir)
    assert result["size_before_bytes"] == read_model_files(tiny_models()).weights_bytes
    assert result["size_after_bytes"] == read_model_files(job_dir / "output").weights_bytes < result["size_before_bytes"] / 5
    # Four bits, and a scale and a bias of 32 bits for each 64 weights.
    assert 5.0 < result["bits_per_weight"] < 5.1
    assert result["perplexity_before"] > 100
    assert result["perplexity_after"] == pytest.approx(result["perplexity_before"], rel=0.2)
    assert result["perplexity_after"] != result["perplexity_before"]
    assert result["measured_on"] == "the reference text of mlx-hub"
    assert result["num_bytes"] == read_manifest(job_dir / "output").num_bytes
    assert "perplexity_after" in (job_dir / "output" / "README.md").read_text()


def test_perplexity_of_8_bits_is_that_of_the_tokens_to_learn(
    tmp_path: Path, tiny_models: ModelMaker, run_tool_here: ToolRunner
) -> None:
    text = "The lamp is in the attic."
    dataset = write_rows(tmp_path / "data.jsonl", [{"text": text}])
    job_dir = quantise_job(tmp_path / "job", tiny_models(), bits=8, dataset_file=str(dataset))

    assert run_tool_here(job_dir).status == "completed"

    assert 0 < distance(job_dir / "output", tiny_models()) < 0.05
    model, tokenizer = load(str(tiny_models()))
    tokens = np.array([*tokenizer.encode(text), tokenizer.eos_token_id], np.int32)
    scores = np.array(logits(model, tokens)[:-1]).astype(np.float64)
    losses = np.log(np.exp(scores).sum(axis=-1)) - scores[np.arange(len(scores)), tokens[1:]]
    result = read_result(job_dir)
    assert (result["num_rows"], result["num_tokens"]) == (1, len(tokens) - 1)
    assert result["perplexity_before"] == pytest.approx(np.exp(losses.mean()), rel=1e-3)


def test_few_rows_of_a_large_dataset_are_measured_always_the_same(
    tmp_path: Path, tiny_models: ModelMaker, run_tool_here: ToolRunner
) -> None:
    rows = [{"prompt": f"question {number}", "completion": f"answer {number}"} for number in range(70)]
    results = []
    for name, ordered in {"a": rows, "b": rows[::-1]}.items():
        dataset = write_rows(tmp_path / f"{name}.jsonl", ordered)
        job_dir = quantise_job(tmp_path / name, tiny_models(), dataset_file=str(dataset))
        assert run_tool_here(job_dir).status == "completed"
        results.append(read_result(job_dir))

    assert results[0]["num_rows"] == 64
    assert results[0]["measured_on"] == "rows of the dataset"
    assert results[0]["num_tokens"] == results[1]["num_tokens"]
    assert results[0]["perplexity_after"] == pytest.approx(results[1]["perplexity_after"], rel=1e-5)


def test_smaller_groups_where_rows_do_not_divide_by_64(tmp_path: Path, run_tool_here: ToolRunner) -> None:
    model = odd_model(tmp_path / "model", hidden=96)
    job_dir = quantise_job(tmp_path / "job", model)

    assert run_tool_here(job_dir).status == "completed"

    result = read_result(job_dir)
    assert (result["group_size"], result["num_left_layers"]) == (32, 0)
    assert logits(load(str(job_dir / "output"))[0], TOKENS).shape[0] == len(TOKENS)


def test_group_size_that_does_not_divide_is_refused_with_the_layer(tmp_path: Path, run_tool_here: ToolRunner) -> None:
    job_dir = quantise_job(tmp_path / "job", odd_model(tmp_path / "model", hidden=96), group_size=64)

    report = run_tool_here(job_dir)

    assert report.error_code == "cannot_quantise"
    assert report.error_message is not None
    assert "in groups of 64: " in report.error_message
    assert "has rows of 96 weights" in report.error_message


def test_quantised_model_is_not_quantised_again(tmp_path: Path, tiny_models: ModelMaker, run_tool_here: ToolRunner) -> None:
    report = run_tool_here(quantise_job(tmp_path, tiny_models(bits=8)))

    assert (report.status, report.error_code) == ("failed", "already_quantised")


def test_dataset_without_a_usable_row_is_refused(tmp_path: Path, tiny_models: ModelMaker, run_tool_here: ToolRunner) -> None:
    dataset = write_rows(tmp_path / "data.jsonl", [{"question": "?"}])

    report = run_tool_here(quantise_job(tmp_path / "job", tiny_models(), dataset_file=str(dataset)))

    assert report.error_code == "no_rows"


def test_model_with_broken_weights_is_not_published(tmp_path: Path, tiny_models: ModelMaker, run_tool_here: ToolRunner) -> None:
    model = odd_model(tmp_path / "model", hidden=64)
    weights = dict(mx.load(str(model / "model.safetensors")))
    weights["lm_head.weight"] = weights["lm_head.weight"] * float("nan")
    mx.save_safetensors(str(model / "model.safetensors"), weights, {"format": "mlx"})
    job_dir = quantise_job(tmp_path / "job", model)

    assert run_tool_here(job_dir).error_code == "bad_result"
    assert not (job_dir / "output").exists()

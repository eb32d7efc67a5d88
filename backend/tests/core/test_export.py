"""Exports that mlx-lm loads and that answer as the base with its adapter does, and how their process ends."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from fixtures.tasks import AdapterMaker, ToolRunner, kept_signals
from fixtures.training import ModelMaker
from mlx_hub.core.adapter_export import export_adapter, export_peft, part_of
from mlx_hub.core.export import main
from mlx_hub.core.logit_check import compare_logits, logits
from mlx_hub.core.manifest import read_manifest
from mlx_hub.core.model_card import Lineage
from mlx_hub.core.model_files import read_model_files, read_tensor_infos
from mlx_hub.core.model_loader import load_model_folder
from mlx_hub.core.model_writer import read_config, write_model
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import LOCKED_EXIT_CODE, read_exit, read_heartbeat, run_lock
from mlx_hub.core.stopping import StopRequestedError
from mlx_hub.core.tool_files import FuseSpec, read_progress, read_result, write_spec
from mlx_lm import load

LINEAGE = Lineage(
    name="answers",
    base_model="org/base",
    version=3,
    base_commit="c" * 40,
    dataset_sha256="d" * 64,
    seed=7,
    config={"lora_rank": 4},
    metrics={"adapter": {"loss": 0.25}},
)
TOKENS = np.arange(40, 100, dtype=np.int32)
DEADLINE_SECONDS = 120


def go_on() -> None:
    """Nobody wants the export to stop."""


def fuse_job(job_dir: Path, model: Path, adapter: Path) -> Path:
    paths = {"model_path": str(model), "adapter_path": str(adapter), "output_path": str(job_dir / "output")}
    write_spec(job_dir, FuseSpec(**paths, lineage=LINEAGE))
    return job_dir


def answers(folder: Path, adapter: Path | None = None) -> mx.array:
    """Logits of what mlx-lm loads from a folder, as a user does."""
    model = load(str(folder), adapter_path=str(adapter) if adapter else None)[0]
    return logits(model, TOKENS).astype(mx.float32)


def difference(first: mx.array, second: mx.array) -> float:
    return float(mx.abs(first - second).max())


def check_manifest(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert set(manifest.files) == {file.name for file in folder.iterdir()} - {"manifest.json"}
    for name, facts in manifest.files.items():
        content = (folder / name).read_bytes()
        assert (facts.num_bytes, facts.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_adapter_export_is_the_adapter_with_all_that_is_known_of_it(
    tmp_path: Path, tiny_models: ModelMaker, trained_adapter: AdapterMaker
) -> None:
    output = tmp_path / "output"

    described = export_adapter(trained_adapter(), output, LINEAGE, check=go_on)

    assert difference(answers(tiny_models(), output), answers(tiny_models(), trained_adapter())) == 0
    assert difference(answers(tiny_models(), output), answers(tiny_models())) > 0.1
    check_manifest(output)
    assert json.loads((output / "lineage.json").read_text())["base_commit"] == "c" * 40
    card = (output / "README.md").read_text()
    assert all(word in card for word in ("answers, version 3", "c" * 40, "d" * 64, "adapter.loss | 0.25", "--adapter-path"))
    assert described["num_bytes"] == read_manifest(output).num_bytes
    assert described["rank"] == 4


def test_peft_export_says_that_a_quantised_base_is_not_for_peft(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    described = export_peft(trained_adapter(bits=4), tmp_path / "output", LINEAGE, is_base_quantised=True, check=go_on)

    check_manifest(tmp_path / "output")
    assert "quantised" in described["notes"][0]
    assert described["notes"][0] in (tmp_path / "output" / "README.md").read_text()


def test_stopped_export_leaves_no_output(tmp_path: Path, trained_adapter: AdapterMaker) -> None:
    def stop() -> None:
        raise StopRequestedError

    with pytest.raises(StopRequestedError):
        export_adapter(trained_adapter(), tmp_path / "output", LINEAGE, check=stop)

    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("arch", "bits", "settings"),
    [
        ("qwen3", None, {}),
        ("qwen3", 4, {}),
        ("qwen3", 4, {"fine_tune_type": "dora"}),
        ("qwen3", None, {"fine_tune_type": "full"}),
        ("qwen3_next", 4, {}),
        ("mamba2", None, {}),
    ],
    ids=["lora", "lora-4bit", "dora-4bit", "full", "experts-4bit", "mamba"],
)
def test_fused_model_answers_as_base_and_adapter(
    tmp_path: Path,
    tiny_models: ModelMaker,
    trained_adapter: AdapterMaker,
    run_tool_here: ToolRunner,
    arch: str,
    bits: int | None,
    settings: dict[str, str],
) -> None:
    model, adapter = tiny_models(arch, bits=bits), trained_adapter(arch, bits=bits, **settings)
    job_dir = fuse_job(tmp_path / "job", model, adapter)

    report = run_tool_here(job_dir)

    assert report.status == "completed", report
    fused, expected = answers(job_dir / "output"), answers(model, adapter)
    assert difference(fused, expected) < 1e-3
    assert difference(answers(model), expected) > 0.1
    assert read_model_files(job_dir / "output").quantization is None
    result = read_result(job_dir)
    assert result["check"]["top1_agreement"] == 1
    assert result["check"]["max_difference"] < 1e-3 < result["check"]["adapter_effect"]
    assert result["is_dequantised"] is (bits is not None)
    check_manifest(job_dir / "output")


def test_fused_folder_has_tokenizer_template_and_card(
    tmp_path: Path, tiny_models: ModelMaker, trained_adapter: AdapterMaker, run_tool_here: ToolRunner
) -> None:
    job_dir = fuse_job(tmp_path / "job", tiny_models(bits=4), trained_adapter(bits=4))

    assert run_tool_here(job_dir).status == "completed"

    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (job_dir / "output" / name).read_bytes() == (tiny_models(bits=4) / name).read_bytes()
    config = json.loads((job_dir / "output" / "config.json").read_text())
    assert not {"quantization", "quantization_config"} & set(config)
    assert config["num_hidden_layers"] == 2
    assert "top1_agreement" in (job_dir / "output" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_fused_model_keeps_the_type_of_its_weights(
    tmp_path: Path, tiny_models: ModelMaker, trained_adapter: AdapterMaker, run_tool_here: ToolRunner, kind: str
) -> None:
    model = shutil.copytree(tiny_models(), tmp_path / "bf16")
    weights = {name: value.astype(mx.bfloat16) for name, value in dict(mx.load(str(model / "model.safetensors"))).items()}
    mx.save_safetensors(str(model / "model.safetensors"), weights, {"format": "mlx"})
    job_dir = fuse_job(tmp_path / "job", model, trained_adapter(fine_tune_type=kind))

    assert run_tool_here(job_dir).status == "completed"

    infos = read_tensor_infos(job_dir / "output" / "model.safetensors")
    assert {info.dtype for info in infos.values()} == {"BF16"}
    assert read_result(job_dir)["check"]["mean_difference"] > 0


def test_large_model_is_written_in_shards(tmp_path: Path, tiny_models: ModelMaker) -> None:
    source = tiny_models()
    (tmp_path / "model").mkdir()
    shares: list[float] = []

    model = load_model_folder(source)
    write_model(tmp_path / "model", model, read_config(source), source=source, report=shares.append, max_shard_bytes=400_000)

    files = sorted(file.name for file in (tmp_path / "model").glob("*.safetensors"))
    assert len(files) == len(shares) > 2
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    places = json.loads((tmp_path / "model" / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(places.values()) == set(files)
    assert difference(answers(tmp_path / "model"), answers(source)) == 0


def test_model_that_lost_its_adapter_does_not_pass(tiny_models: ModelMaker, trained_adapter: AdapterMaker) -> None:
    base, expected = answers(tiny_models()), answers(tiny_models(), trained_adapter())

    assert compare_logits(expected, expected, base=base).max_difference == 0
    with pytest.raises(TrainingError) as caught:
        compare_logits(base, expected, base=base)
    assert caught.value.code == "export_mismatch"
    with pytest.raises(TrainingError):
        compare_logits(expected * float("nan"), expected, base=base)


def test_adapter_of_another_model_fails_and_leaves_nothing(
    tmp_path: Path, tiny_models: ModelMaker, trained_adapter: AdapterMaker, run_tool_here: ToolRunner
) -> None:
    job_dir = fuse_job(tmp_path / "job", tiny_models("mamba2"), trained_adapter("qwen3"))

    report = run_tool_here(job_dir)

    assert (report.status, report.error_code) == ("failed", "bad_adapter")
    assert not (job_dir / "output").exists()
    assert not part_of(job_dir / "output").exists()


@pytest.fixture
def job(tmp_path: Path, tiny_models: ModelMaker, trained_adapter: AdapterMaker) -> Path:
    return fuse_job(tmp_path / "job", tiny_models(), trained_adapter())


def test_second_tool_in_the_folder_is_refused(job: Path) -> None:
    with kept_signals(), run_lock(job):
        assert main([str(job)]) == LOCKED_EXIT_CODE

    assert read_exit(job) is None


@pytest.fixture
def start_tool(job: Path) -> Iterator[Any]:
    """Starts the tool in a process of its own; `code` instead of the module. None outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, *(["-c", code] if code else ["-m", "mlx_hub.core.export"]), str(job)]
        with (job / "tool.log").open("ab") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(DEADLINE_SECONDS)


def wait_for_work(job: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the process has told of its work, or has ended."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (read_heartbeat(job) is None or read_progress(job) is None) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_and_run_again_it_is_whole(job: Path, start_tool: Any, run_tool_here: ToolRunner) -> None:
    process = start_tool()
    wait_for_work(job, process)
    process.kill()
    assert process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    assert read_exit(job) is None
    assert not (job / "output").exists()

    assert run_tool_here(job).status == "completed"

    check_manifest(job / "output")
    assert not part_of(job / "output").exists()


def test_sigterm_stops_it_cleanly(job: Path, start_tool: Any) -> None:
    process = start_tool()
    wait_for_work(job, process)
    process.send_signal(signal.SIGTERM)

    assert process.wait(DEADLINE_SECONDS) == 0

    report = read_exit(job)
    assert report is not None
    assert report.status == "stopped"
    assert not (job / "output").exists()
    assert not part_of(job / "output").exists()


def test_full_disk_is_told_as_such(job: Path, start_tool: Any) -> None:
    limited = (
        "import resource, sys\nfrom mlx_hub.core import export\n"
        # No file may grow beyond this, which is less than the weights have.
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\nsys.exit(export.main(sys.argv[1:]))"
    )

    assert start_tool(limited).wait(DEADLINE_SECONDS) == 1

    report = read_exit(job)
    assert report is not None
    assert report.error_code == "storage_full", (job / "tool.log").read_text()
    assert not part_of(job / "output").exists()

"""What preflight says of a run before it starts, and that it comes true."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from fixtures.training import ModelMaker, RunMaker, completion_rows
from mlx_hub.core.memory_estimate import estimate_memory
from mlx_hub.core.model_files import read_model_files
from mlx_hub.core.preflight import run_preflight
from mlx_hub.core.run_config import TrainingConfig, TrainingError, read_run
from mlx_hub.core.run_files import ExitReport
from safetensors.numpy import load_file

RunTrainer = Callable[..., ExitReport]


def test_problems_have_their_lines_and_reasons(make_run: RunMaker) -> None:
    rows = [
        {"prompt": "a", "completion": "b"},
        {"prompt": "a"},
        {"prompt": "long " * 100, "completion": "cut"},
        {"completion": "b", "prompt": "a"},
        {"text": "word " * 100},
        {"messages": [{"role": "user", "content": "q"}]},
    ]

    report = run_preflight(read_run(make_run(rows=rows, max_seq_length=64)))

    assert [(problem.line, problem.code) for problem in report.problems] == [
        (2, "unknown_format"),
        (3, "empty_mask"),
        (4, "duplicate"),
        (5, "truncated"),
        (6, "no_answer"),
    ]
    assert "line 1" in report.problems[2].message
    assert (report.num_rows, report.num_dropped_rows, report.num_truncated_rows) == (6, 3, 1)
    assert (report.refusal_code, report.refusal) == (None, None)


def test_lengths_and_steps_are_those_of_the_run(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    rows = [{"text": "a" + " b" * index} for index in range(100)]
    run_dir = make_run(rows=rows, epochs=1, gradient_accumulation=4, validation_share=0.1)

    report = run_preflight(read_run(run_dir))
    trained = run_trainer(run_dir)

    # A token for each word, and the end.
    assert (report.lengths.p50, report.lengths.p95, report.lengths.p99, report.lengths.max) == (51, 96, 100, 101)
    assert report.lengths.total == sum(range(2, 102))
    assert report.lengths.learned == report.lengths.total - 100
    assert (report.num_train_rows, report.num_held_out_rows) == (trained.num_train_rows, trained.num_held_out_rows) == (90, 10)
    assert (report.steps_per_epoch, report.num_steps) == (6, trained.num_steps) == (6, 6)
    assert 0 < report.padding_waste < 0.4


def test_when_the_time_is_over_the_report_is_on_the_rows_read(make_run: RunMaker) -> None:
    run_dir = make_run(rows=[{"text": f"row {index}"} for index in range(1100)], validation_share=0.0)

    report = run_preflight(read_run(run_dir), 0.0)

    assert (report.is_partial, report.num_rows, report.num_train_rows, report.refusal) == (True, 512, 512, None)


def test_more_bad_rows_than_good_ones_are_refused_and_warned_of_with_lines(make_run: RunMaker) -> None:
    rows = [{"text": "good"}, {"prompt": "a"}, {"prompt": "b"}, {"text": ""}]

    report = run_preflight(read_run(make_run(rows=rows)))

    assert report.refusal_code == "too_many_bad_rows"
    assert "3 of 4 rows" in (report.refusal or "")
    assert [(warning.code, warning.lines) for warning in report.warnings] == [("unknown_format", [2, 3]), ("empty_content", [4])]


def test_run_without_usable_rows_is_refused(make_run: RunMaker) -> None:
    report = run_preflight(read_run(make_run(rows=[{"x": 1}, {"x": 2}])))

    assert report.refusal_code == "no_rows"
    assert "2 unknown_format" in str(report.refusal)
    assert report.num_steps == 0


def test_report_is_json(make_run: RunMaker) -> None:
    run_dir = make_run(rows=[*completion_rows(4), {"x": 1}])
    script = "import msgspec, sys; from pathlib import Path; from mlx_hub.core import preflight, run_config\n"
    script += "print(msgspec.json.encode(preflight.run_preflight(run_config.read_run(Path(sys.argv[1])))).decode())\n"
    script += "assert 'mlx' not in sys.modules and 'mlx_lm' not in sys.modules"

    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(run_dir)], capture_output=True, text=True, check=True, timeout=60
    )

    report = json.loads(printed.stdout)
    assert report["problems"][0]["line"] == 5
    assert report["memory"]["weights_bytes"] > 0


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize(
    "settings",
    [
        {"lora_rank": 8},
        {"lora_rank": 3, "fine_tune_type": "dora", "num_layers": 1},
        {"lora_rank": 5, "target_modules": ("q_proj", "v_proj")},
    ],
)
def test_estimate_counts_the_trained_numbers(
    make_run: RunMaker, run_trainer: RunTrainer, tiny_models: ModelMaker, bits: int | None, settings: dict[str, object]
) -> None:
    model = tiny_models(bits=bits)
    run_dir = make_run(model=model, steps=1, **settings)

    run_trainer(run_dir)
    estimate = estimate_memory(read_model_files(model), TrainingConfig(**settings), num_tokens=100)

    trained = sum(weights.size for weights in load_file(run_dir / "adapter" / "adapters.safetensors").values())
    assert estimate.num_trained_values == trained
    assert estimate.adapter_bytes == 4 * trained
    assert estimate.optimizer_bytes == 8 * trained
    assert estimate.weights_bytes == pytest.approx((model / "model.safetensors").stat().st_size, rel=0.05)


def test_estimate_grows_with_what_needs_memory(tiny_models: ModelMaker) -> None:
    model = read_model_files(tiny_models())

    def total(num_tokens: int = 512, **settings: object) -> int:
        return estimate_memory(model, TrainingConfig(**settings), num_tokens=num_tokens).total_bytes

    assert total(1024) > total(512) > total(512, gradient_checkpointing=True)
    assert total(512, batch_size=8) > total(512, batch_size=4)
    assert total(512, lora_rank=64) > total(512, lora_rank=8)
    assert total(512, optimizer="adamw") > total(512, optimizer="lion")
    assert total(4096, max_seq_length=512) == total(512, max_seq_length=512)


@pytest.mark.parametrize("settings", [{"batch_size": 8}, {"gradient_checkpointing": True}])
def test_estimate_is_near_the_measured_peak(make_run: RunMaker, settings: dict[str, object]) -> None:
    run_dir = make_run(rows=[{"text": f"{index}" + " b" * 300} for index in range(8)], validation_share=0, **settings)
    estimate = run_preflight(read_run(run_dir)).total_memory_bytes

    # In a process of its own: checkpointing changes the model's class for good, and the peak is the process's.
    subprocess.run([sys.executable, "-m", "mlx_hub.core.train", str(run_dir), "--probe"], check=True, timeout=100)

    measured = json.loads((run_dir / "probe.json").read_bytes())["peak_memory_bytes"]
    assert 0.7 < estimate / measured < 1.4


def test_model_folder_that_is_none_is_told(make_run: RunMaker, tiny_models: ModelMaker) -> None:
    spec = read_run(make_run())

    with pytest.raises(TrainingError) as raised:
        run_preflight(type(spec)(model_path="/nowhere", train_files=spec.train_files))

    assert raised.value.code == "bad_model"

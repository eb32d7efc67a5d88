"""Whole runs on tiny real models: what is learned, what is written, and how a run ends."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from fixtures.training import (
    ANSWERS,
    ModelMaker,
    RunMaker,
    adapter_bytes,
    completion_rows,
    read_metrics,
    series,
    write_run_folder,
)
from mlx_hub.core.adapters import read_adapter
from mlx_hub.core.checkpoints import CHECKPOINTS
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.run_files import LOCKED_EXIT_CODE, ExitReport, read_heartbeat, run_lock
from mlx_hub.core.train import main
from mlx_lm import generate, load
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model
from safetensors.numpy import load_file

RunTrainer = Callable[..., ExitReport]
QUESTIONS = [{"prompt": question, "completion": answer} for question, answer in ANSWERS.items()]


@pytest.fixture(scope="module")
def taught_run(tmp_path_factory: pytest.TempPathFactory, teachable_model: Path, run_trainer: RunTrainer) -> Path:
    """A finished run that learned five answers by heart, and its evaluation."""
    run_dir = write_run_folder(
        tmp_path_factory.mktemp("taught"),
        QUESTIONS,
        teachable_model,
        spec={"num_samples": 5, "sample_tokens": 16},
        steps=60,
        batch_size=5,
        learning_rate=0.005,
        lora_rank=8,
        warmup_steps=5,
    )
    assert run_trainer(run_dir).status == "completed"
    assert run_trainer(run_dir, "--evaluate", exit_file="evaluate-exit.json").status == "completed"
    return run_dir


def test_run_learns_answers_that_mlx_lm_then_gives(taught_run: Path, teachable_model: Path) -> None:
    losses = series(taught_run, "train_loss")
    base, tokenizer = load(str(teachable_model))
    taught, _ = load(str(teachable_model), adapter_path=str(taught_run / "adapter"))

    assert losses[60] < 0.1 * losses[1]
    for question, answer in ANSWERS.items():
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True)
        assert generate(taught, tokenizer, prompt, max_tokens=20) == answer
        assert generate(base, tokenizer, prompt, max_tokens=20) != answer


def test_metrics_tell_of_each_step(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(epochs=2, validation_share=0.2, eval_every=3, warmup_steps=2, learning_rate=1e-3)

    report = run_trainer(run_dir)

    assert (report.num_train_rows, report.num_held_out_rows, report.num_steps) == (16, 4, 8)
    steps = list(range(1, 9))
    for name in ("train_loss", "learning_rate", "grad_norm", "tokens_per_second", "peak_memory_bytes", "trained_tokens", "epoch"):
        assert list(series(run_dir, name)) == steps
    assert series(run_dir, "epoch")[8] == 2.0
    assert series(run_dir, "learning_rate")[1] == 5e-4
    assert list(series(run_dir, "val_loss")) == [0, 3, 6, 8]
    trained = list(series(run_dir, "trained_tokens").values())
    assert trained == sorted(trained)
    assert all("t" in line for line in read_metrics(run_dir))
    beat = read_heartbeat(run_dir)
    assert beat is not None
    assert beat.step == 8


@pytest.mark.parametrize(("rank", "fine_tune_type"), [(2, "lora"), (6, "lora"), (3, "dora")])
def test_adapter_shapes_follow_the_rank(
    make_run: RunMaker, run_trainer: RunTrainer, tiny_models: ModelMaker, rank: int, fine_tune_type: str
) -> None:
    run_dir = make_run(
        steps=3, lora_rank=rank, lora_alpha=3.0 * rank, fine_tune_type=fine_tune_type, target_modules=["q_proj", "mlp.down_proj"]
    )

    run_trainer(run_dir)

    weights = load_file(run_dir / "adapter" / "adapters.safetensors")
    assert weights["model.layers.0.self_attn.q_proj.lora_a"].shape == (64, rank)
    assert weights["model.layers.1.mlp.down_proj.lora_b"].shape == (rank, 64)
    assert len(weights) == 2 * 2 * (3 if fine_tune_type == "dora" else 2)
    info = read_adapter(run_dir / "adapter")
    assert (info.fine_tune_type, info.rank, info.scale, info.num_layers) == (fine_tune_type, rank, 3.0, 2)
    assert info.modules == ("mlp.down_proj", "self_attn.q_proj")
    model = load_adapters(load_model(tiny_models())[0], str(run_dir / "adapter"))
    assert mx.abs(model.layers[0].self_attn.q_proj.lora_b).max().item() > 0


def test_only_the_top_layers_are_trained(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(steps=2, num_layers=1)

    run_trainer(run_dir)

    assert all(name.startswith("model.layers.1.") for name in load_file(run_dir / "adapter" / "adapters.safetensors"))


def test_full_fine_tune_changes_the_layers_themselves(
    make_run: RunMaker, run_trainer: RunTrainer, tiny_models: ModelMaker
) -> None:
    run_dir = make_run(steps=12, fine_tune_type="full", learning_rate=3e-3)

    run_trainer(run_dir)

    losses = series(run_dir, "train_loss")
    assert losses[12] < losses[1]
    base = load_file(tiny_models() / "model.safetensors")
    trained = load_file(run_dir / "adapter" / "adapters.safetensors")
    assert trained.keys() == {name for name in base if ".layers." in name}
    name = "model.layers.0.mlp.up_proj.weight"
    assert (trained[name] != base[name]).any()
    model, _ = load(str(tiny_models()), adapter_path=str(run_dir / "adapter"))
    assert (mx.array(trained[name]) == model.layers[0].mlp.up_proj.weight).all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon", "adafactor", "lion"])
def test_every_optimizer_lowers_the_loss(make_run: RunMaker, run_trainer: RunTrainer, optimizer: str) -> None:
    rate = {"sgd": 0.05, "muon": 0.02, "lion": 1e-3}.get(optimizer, 0.01)
    run_dir = make_run(rows=QUESTIONS, steps=10, batch_size=5, optimizer=optimizer, learning_rate=rate, schedule="constant")

    assert run_trainer(run_dir).status == "completed"
    losses = series(run_dir, "train_loss")
    assert losses[10] < losses[1]


@pytest.mark.parametrize("arch", ["gemma3_text", "mamba2", "qwen3_next"])
def test_other_architectures_train(make_run: RunMaker, run_trainer: RunTrainer, tiny_models: ModelMaker, arch: str) -> None:
    run_dir = make_run(rows=QUESTIONS, model=tiny_models(arch), steps=6, batch_size=5, learning_rate=0.01, schedule="constant")

    assert run_trainer(run_dir).status == "completed"
    losses = series(run_dir, "train_loss")
    assert losses[6] < losses[1]
    load(str(tiny_models(arch)), adapter_path=str(run_dir / "adapter"))


def test_quantised_model_refuses_full_training_alone(
    make_run: RunMaker, run_trainer: RunTrainer, tiny_models: ModelMaker
) -> None:
    model = tiny_models(bits=4)

    lora = run_trainer(make_run("lora", model=model, steps=2))
    full = run_trainer(make_run("full", model=model, steps=2, fine_tune_type="full"))

    assert lora.status == "completed"
    assert (full.status, full.error_code) == ("failed", "full_needs_unquantised")


def test_accumulated_batches_give_the_gradient_of_one_large_batch(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    # Rows of very different lengths: an average of averages would differ by far more.
    rows = [{"prompt": f"q{i}", "completion": f"word{i} " * (1 + 6 * i)} for i in range(6)]
    common = {"rows": rows, "steps": 1, "optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant"}
    one = make_run("one", batch_size=6, **common)
    three = make_run("three", batch_size=2, gradient_accumulation=3, **common)

    run_trainer(one)
    run_trainer(three)

    assert series(three, "train_loss")[1] == pytest.approx(series(one, "train_loss")[1], rel=1e-5)
    assert series(three, "grad_norm")[1] == pytest.approx(series(one, "grad_norm")[1], rel=1e-3)
    expected = load_file(one / "adapter" / "adapters.safetensors")
    for name, weights in load_file(three / "adapter" / "adapters.safetensors").items():
        assert weights == pytest.approx(expected[name], abs=1e-5), name


def test_gradient_checkpointing_changes_nothing_but_memory(
    make_run: RunMaker, run_trainer: RunTrainer, start_trainer: Callable[[Path], subprocess.Popen[bytes]]
) -> None:
    plain = make_run("plain", steps=3)
    saving = make_run("saving", steps=3, gradient_checkpointing=True)

    run_trainer(plain)
    # In a process of its own: mlx-lm changes the class of the layers, and with it all later runs of this process.
    assert start_trainer(saving).wait(120) == 0

    assert series(saving, "train_loss") == pytest.approx(series(plain, "train_loss"), rel=1e-5)


def test_gradients_are_clipped_to_the_norm(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    common = {"steps": 1, "optimizer": "sgd", "learning_rate": 1.0, "weight_decay": 0.0, "schedule": "constant"}
    free = make_run("free", max_grad_norm=None, **common)
    clipped = make_run("clipped", max_grad_norm=0.01, **common)

    run_trainer(free)
    run_trainer(clipped)

    norm = series(free, "grad_norm")[1]
    assert series(clipped, "grad_norm")[1] == pytest.approx(norm)
    name = "model.layers.0.mlp.up_proj.lora_b"
    change = load_file(free / "adapter" / "adapters.safetensors")[name]
    clipped_change = load_file(clipped / "adapter" / "adapters.safetensors")[name]
    assert clipped_change == pytest.approx(change * 0.01 / norm, abs=1e-7)


def test_exploding_run_fails_at_its_last_good_checkpoint(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(
        steps=60,
        fine_tune_type="full",
        optimizer="sgd",
        learning_rate=100.0,
        weight_decay=1.0,
        schedule="constant",
        max_grad_norm=None,
        save_every=1,
        keep_checkpoints=100,
    )

    report = run_trainer(run_dir)

    assert (report.status, report.error_code) == ("failed", "nan_loss")
    assert f"checkpoint is of step {report.step}" in str(report.error_message)
    assert report.step == max(int(folder.name.split("-")[1]) for folder in (run_dir / CHECKPOINTS).iterdir())
    for name, weights in load_file(run_dir / CHECKPOINTS / f"step-{report.step}" / "adapters.safetensors").items():
        assert mx.isfinite(mx.array(weights)).all().item(), name
    assert not (run_dir / "adapter").exists()


def test_run_stops_early_and_gives_the_best_adapter(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    # A rate so high that the rows held out suffer soon.
    run_dir = make_run(
        steps=200, learning_rate=0.2, schedule="constant", eval_every=2, early_stop_patience=2, validation_share=0.3
    )

    report = run_trainer(run_dir)

    losses = {step: loss for step, loss in series(run_dir, "val_loss").items() if step > 0}
    best = min(losses, key=lambda step: losses[step])
    assert report.stopped_early
    assert report.step == best + 4 < 200
    assert report.adapter_step == report.best_step == best
    assert adapter_bytes(run_dir) == (run_dir / CHECKPOINTS / f"step-{best}" / "adapters.safetensors").read_bytes()


def test_unusable_rows_are_dropped_and_counted(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    rows = [*completion_rows(8), {"question": "?"}, {"prompt": "long " * 100, "completion": "cut"}, {"text": "word " * 100}]
    run_dir = make_run(rows=rows, steps=1, max_seq_length=64, validation_share=0)

    report = run_trainer(run_dir)

    assert (report.num_train_rows, report.num_dropped_rows, report.num_truncated_rows) == (9, 2, 1)
    assert report.problem_counts == {"unknown_format": 1, "empty_mask": 1, "truncated": 1}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"rows": []}, "no_rows"),
        ({"rows": [{"x": 1}]}, "no_rows"),
        ({"target_modules": ["q_prog"]}, "unknown_module"),
        ({"spec": {"world_size": 2}}, "unsupported_world_size"),
        ({"spec": {"validation_file": "/nowhere.jsonl"}}, "bad_dataset"),
        ({"model": Path("/nowhere")}, "bad_model"),
    ],
)
def test_run_that_cannot_start_says_why(make_run: RunMaker, run_trainer: RunTrainer, settings: Any, code: str) -> None:
    report = run_trainer(make_run(**settings))

    assert (report.status, report.error_code) == ("failed", code)
    assert report.error_message


def test_rows_of_a_validation_file_are_held_out(make_run: RunMaker, run_trainer: RunTrainer, tmp_path: Path) -> None:
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text(json.dumps(QUESTIONS[0]) + "\n")
    run_dir = make_run(steps=1, spec={"validation_file": str(held_out)})

    report = run_trainer(run_dir)

    assert (report.num_train_rows, report.num_held_out_rows) == (20, 1)


def test_folder_in_use_is_left_alone(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(steps=1)
    report = run_trainer(run_dir)
    before = (run_dir / "exit.json").read_bytes()

    with run_lock(run_dir):
        status = main([str(run_dir)])

    assert status == LOCKED_EXIT_CODE
    assert (run_dir / "exit.json").read_bytes() == before
    assert report.status == "completed"


def test_probe_measures_the_longest_batch_and_leaves_no_trace_of_training(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    rows = [*completion_rows(8), {"text": "word " * 200}]
    run_dir = make_run(rows=rows, validation_share=0, gradient_accumulation=2)

    report = run_trainer(run_dir, "--probe", exit_file="probe-exit.json")

    probe = json.loads((run_dir / "probe.json").read_bytes())
    assert report.status == "completed"
    assert probe["num_rows"] == 4
    assert probe["num_tokens"] > 200
    # At least the weights, float32, and the logits of the text's tokens.
    assert probe["peak_memory_bytes"] > 1_300_000 + 200 * 2048 * 4
    assert probe["seconds_per_step"] > 0
    assert not (run_dir / "ckpt").exists()
    assert not (run_dir / "metrics.jsonl").exists()
    assert not (run_dir / "exit.json").exists()


def test_evaluation_compares_base_and_adapter(taught_run: Path) -> None:
    evaluation = json.loads((taught_run / "evaluation.json").read_bytes())

    assert evaluation["adapter"]["loss"] < 0.1 * evaluation["base"]["loss"]
    assert evaluation["adapter"]["loss"] == pytest.approx(series(taught_run, "train_loss")[60], abs=0.05)
    assert evaluation["adapter"]["perplexity"] == pytest.approx(2.718281828 ** evaluation["adapter"]["loss"], rel=1e-6)
    assert (evaluation["is_held_out"], evaluation["num_rows"]) == (False, 5)
    assert [sample["adapter"] for sample in evaluation["samples"]] == list(ANSWERS.values())
    assert [sample["expected"] for sample in evaluation["samples"]] == list(ANSWERS.values())
    assert [sample["line"] for sample in evaluation["samples"]] == [1, 2, 3, 4, 5]


def test_evaluation_without_adapter_is_refused(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    report = run_trainer(make_run(), "--evaluate", exit_file="evaluate-exit.json")

    assert (report.status, report.error_code) == ("failed", "bad_adapter")


def test_broken_adapter_folder_is_told(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(steps=1)
    run_trainer(run_dir)
    weights = run_dir / "adapter" / "adapters.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])

    with pytest.raises(TrainingError) as raised:
        read_adapter(run_dir / "adapter")

    assert raised.value.code == "bad_adapter"


def test_changed_settings_do_not_continue_an_old_run(make_run: RunMaker, run_trainer: RunTrainer) -> None:
    run_dir = make_run(steps=2)
    run_trainer(run_dir)

    changed = run_trainer(make_run(steps=4, learning_rate=0.5))
    changed_back = run_trainer(make_run(steps=2))

    assert (changed.status, changed.error_code) == ("failed", "config_changed")
    assert changed_back.status == "completed"

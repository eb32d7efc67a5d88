"""Files between trainer and worker: settings, metrics, heartbeat, lock, checkpoints."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest
from fixtures.training import RunMaker, read_metrics
from mlx_hub.core.checkpoints import (
    CHECKPOINTS,
    Progress,
    checkpoint_folder,
    newest_checkpoint,
    prune_checkpoints,
    read_checkpoint,
    save_checkpoint,
)
from mlx_hub.core.run_config import RunSpec, TrainingConfig, TrainingError, parse_config, read_run, write_run
from mlx_hub.core.run_files import METRICS_FILE, Heartbeat, HeartbeatWriter, MetricsLog, is_running, read_heartbeat, run_lock
from mlx_hub.core.schedules import learning_rate_at


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_rank", 0),
        ("lora_dropout", 1.0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("batch_size", 0),
        ("epochs", 0),
        ("optimizer", "magic"),
        ("validation_share", 0.9),
        ("seed", -1),
        ("lora_ranks", 4),
    ],
)
def test_setting_out_of_bounds_is_named(name: str, value: object) -> None:
    with pytest.raises(TrainingError, match=name) as raised:
        parse_config({name: value})

    assert raised.value.code == "invalid_config"


def test_run_is_read_as_written(tmp_path: Path) -> None:
    spec = RunSpec(model_path="/m", train_files=("/a", "/b"), config=TrainingConfig(epochs=2, target_modules=("q_proj",)))

    write_run(tmp_path / "run", spec)

    assert read_run(tmp_path / "run") == spec


def test_rank_outside_of_the_world_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, RunSpec(model_path="/m", train_files=("/a",), rank=2, world_size=2))

    with pytest.raises(TrainingError, match="world_size"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.775, 0.55, 0.325]),
        ("cosine", [0.5, 1.0, 1.0, 0.868198, 0.55, 0.231802]),
    ],
)
def test_rate_warms_up_then_follows_the_schedule(schedule: str, expected: list[float]) -> None:
    config = parse_config({"schedule": schedule, "learning_rate": 1.0, "final_learning_rate": 0.1, "warmup_steps": 2})

    assert [learning_rate_at(config, step, 6) for step in range(6)] == pytest.approx(expected, abs=1e-6)


def save(run_dir: Path, step: int, content: bytes = b"weights", fingerprint: str = "f") -> Path:
    def write(folder: Path) -> None:
        (folder / "adapters.safetensors").write_bytes(content + str(step).encode())
        (folder / "optimizer.safetensors").write_bytes(b"state")

    return save_checkpoint(run_dir, Progress(step=step, trained_tokens=10 * step), fingerprint=fingerprint, write=write)


def test_newest_whole_checkpoint_is_found(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 10)

    found = newest_checkpoint(tmp_path)

    assert found is not None
    assert found[0] == checkpoint_folder(tmp_path, 10)
    assert (found[1].progress.step, found[1].progress.trained_tokens, found[1].fingerprint) == (10, 100, "f")


@pytest.mark.parametrize("damage", ["cut", "altered", "missing", "state", "empty"])
def test_torn_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 5)
    torn = save(tmp_path, 10)
    weights = torn / "adapters.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "altered":
        weights.write_bytes(b"X" + weights.read_bytes()[1:])
    elif damage == "missing":
        (torn / "optimizer.safetensors").unlink()
    elif damage == "state":
        (torn / "state.json").write_bytes((torn / "state.json").read_bytes()[:-4])
    else:
        for file in torn.iterdir():
            file.unlink()

    found = newest_checkpoint(tmp_path)

    assert found is not None
    assert found[1].progress.step == 5


def test_failed_write_leaves_no_checkpoint(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "adapters.safetensors").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path, Progress(step=5), fingerprint="f", write=write)

    assert newest_checkpoint(tmp_path) is None


def test_newest_and_best_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        save(tmp_path, step)
    (tmp_path / CHECKPOINTS / ".part-25").mkdir()

    prune_checkpoints(tmp_path, keep=2, best_step=5)

    assert sorted(folder.name for folder in (tmp_path / CHECKPOINTS).iterdir()) == ["step-15", "step-20", "step-5"]


def test_whole_checkpoint_of_the_same_step_only_gets_new_progress(tmp_path: Path) -> None:
    save(tmp_path, 5)
    progress = Progress(step=5, last_eval_step=5, best_step=5, best_val_loss=1.5)

    def write(folder: Path) -> None:
        raise AssertionError("the arrays are there already")

    folder = save_checkpoint(tmp_path, progress, fingerprint="f", write=write)

    state = read_checkpoint(folder)
    assert state is not None
    assert state.progress == progress


def test_metrics_beyond_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, last_step=None)
    for step in range(1, 6):
        log.write(step, {"train_loss": step / 10})
        log.write(step, {"val_loss": step / 5})
    log.close()
    with (tmp_path / METRICS_FILE).open("ab") as file:
        file.write(b'{"step":6,"train_lo')

    log = MetricsLog(tmp_path, last_step=3)
    log.write(4, {"train_loss": 9.0})
    log.close()

    lines = [(line["step"], line.get("train_loss"), line.get("val_loss")) for line in read_metrics(tmp_path)]
    assert lines == [
        (1, 0.1, None),
        (1, None, 0.2),
        (2, 0.2, None),
        (2, None, 0.4),
        (3, 0.3, None),
        (3, None, 0.6),
        (4, 9.0, None),
    ]


def test_heartbeat_tells_this_process_from_another_with_its_pid(tmp_path: Path) -> None:
    writer = HeartbeatWriter(tmp_path)
    writer.step = 7
    writer.start()
    writer.stop()

    beat = read_heartbeat(tmp_path)

    assert beat is not None
    assert (beat.pid, beat.create_time, beat.step) == (os.getpid(), psutil.Process().create_time(), 7)
    assert is_running(beat)
    assert not is_running(msgspec.structs.replace(beat, create_time=beat.create_time - 100))


def test_ended_process_is_not_running() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    beat = Heartbeat(pid=process.pid, create_time=psutil.Process(process.pid).create_time(), step=0, t=0.0)
    was_running = is_running(beat)
    process.kill()
    process.communicate()

    assert was_running
    assert not is_running(beat)


def test_second_trainer_is_kept_out(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(TrainingError) as raised, run_lock(tmp_path):
        pass

    assert raised.value.code == "already_running"
    with run_lock(tmp_path):
        pass


def test_folder_of_a_run_that_is_not_there_is_refused(make_run: RunMaker) -> None:
    run_dir = make_run()
    (run_dir / "run.json").unlink()

    with pytest.raises(TrainingError) as raised:
        read_run(run_dir)

    assert raised.value.code == "invalid_config"

"""How a training job is told: a row, its facts, and its progress until it ends."""

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli
from mlx_hub.cli.errors import FailedError
from mlx_hub.cli.formats import parse_time, short_id, told_age, told_count, told_number, told_seconds
from mlx_hub.cli.names import find, newest
from mlx_hub.cli.progress import Bar, QueueHint, detaching, poll

PATH = "/training"
ENDED = {"completed", "failed", "cancelled"}
_POLL_SECONDS = 1.0


def find_job(cli: Cli, text: str | None) -> Json:
    """The job that `text` means, or the newest."""
    row = newest(cli.backend, PATH, noun="job") if text is None else find(cli.backend, PATH, text, noun="job")
    return cli.backend.get(f"{PATH}/{row['id']}")


def follow_job(cli: Cli, job: Json) -> Json:
    """The job when it has ended, however it did. Ctrl-C leaves it to the worker."""
    identifier, hint = job["id"], QueueHint(cli.out)
    short = short_id(identifier)
    advice = f"Follow it with `mlx-hub jobs follow {short}`, stop it with `mlx-hub jobs cancel {short}`."
    with detaching(cli.out, advice), Bar(cli.out, job["name"]) as bar:
        for now in poll(lambda: cli.backend.get(f"{PATH}/{identifier}"), seconds=_POLL_SECONDS):
            job = now
            hint.watch(job["status"])
            bar.update(job["step"], job["num_steps"], told_progress(job), state=told_state(job))
            if job["status"] in ENDED:
                return job
    raise AssertionError


def tell_ended(cli: Cli, job: Json) -> None:
    """What came of it. Raises FailedError for a job that failed or was cancelled."""
    if cli.is_json:
        cli.out.data(job)
    short = short_id(job["id"])
    if job["status"] == "cancelled":
        raise FailedError(f"{job['name']} was cancelled at step {job['step']}. Go on with `mlx-hub jobs resume {short}`.")
    if job["status"] == "failed":
        logs = f"`mlx-hub jobs logs {short}` shows its last lines, `mlx-hub jobs resume {short}` goes on from its checkpoint."
        raise FailedError(f"{job['name']} failed: {job['error_message'] or job['error_code']} {logs}")
    if not cli.is_json:
        cli.out.line(
            f"{job['name']} is completed: {job['step']} steps in {_told_time(job)}, loss {told_number(job['train_loss'])}."
        )
        if job["adapter_id"]:
            _tell_version(cli, job)


def _tell_version(cli: Cli, job: Json) -> None:
    """How much better than its base model the result is, and how to talk with it."""
    path = f"/models/{job['adapter_id']}/versions/{job['adapter_version']}"
    version: Json = cli.backend.get(path)
    metrics: Json = version["metrics"]
    aliases = f", {' and '.join(version['aliases'])}" if version["aliases"] else ""
    cli.out.line(f"It is version {job['adapter_version']} of {job['adapter_name']}{aliases}.")
    if metrics.get("base_loss") is not None and metrics.get("adapter_loss") is not None:
        rows = "held-out rows" if metrics.get("is_held_out") else "rows that it was trained on"
        cli.out.line(f"Loss on {rows}: {told_number(metrics['base_loss'])} before, {told_number(metrics['adapter_loss'])} after.")
    if metrics.get("note"):
        cli.out.warn(metrics["note"])
    else:
        cli.out.note(f"Chat with it: mlx-hub chat {job['adapter_name']}", style="")


def _told_time(job: Json) -> str:
    if not (job["started_at"] and job["completed_at"]):
        return "no time"
    return told_seconds((parse_time(job["completed_at"]) - parse_time(job["started_at"])).total_seconds())


def told_state(job: Json) -> str:
    """The phase of a running job, with what is about to happen."""
    if job["status"] == "queued" and job["queue_position"]:
        waits = job["phase"] if job["phase"] != "queued" else "queued"
        return f"{waits} (number {job['queue_position']})"
    if job["status"] != "running":
        return job["status"]
    return f"{job['phase']}, being cancelled" if job["is_cancel_requested"] else job["phase"]


def told_progress(job: Json) -> str:
    """`step 30 of 120 · loss 2.314 · 1,234 tokens/s · 1m 20s left`."""
    parts = [f"step {job['step']} of {job['num_steps']}"] if job["num_steps"] else []
    if job["train_loss"] is not None:
        parts.append(f"loss {told_number(job['train_loss'])}")
    if job["val_loss"] is not None:
        parts.append(f"held out {told_number(job['val_loss'])}")
    if job["status"] == "running" and job["tokens_per_second"] is not None:
        parts.append(f"{told_count(job['tokens_per_second'])} tokens/s")
    if job["remaining_seconds"]:
        parts.append(f"{told_seconds(job['remaining_seconds'])} left")
    return " · ".join(parts)


def job_facts(job: Json) -> list[tuple[str, str]]:
    """Names and values for `jobs show`; what is not known is left out."""
    config = ", ".join(f"{name} {value}" for name, value in job["config"].items() if value is not None)
    version = f"version {job['adapter_version']}" if job["adapter_version"] else ""
    error = f"{job['error_code']}: {job['error_message']}" if job["error_code"] else ""
    facts = [
        ("name", job["name"]),
        ("id", job["id"]),
        ("status", told_state(job)),
        ("progress", told_progress(job)),
        ("model", job["model_name"] or ""),
        ("dataset", job["dataset_name"] or ""),
        ("adapter", f"{job['adapter_name']} {version}".strip()),
        ("settings", config),
        ("machine", job["machine_id"] or ""),
        ("attempt", str(job["attempt"])),
        ("MLflow run", job["mlflow_run_id"] or ""),
        ("created", told_age(job["created_at"])),
        ("took", _told_time(job) if job["completed_at"] else ""),
        ("error", error),
        ("killed by", f"signal {job['exit_signal']}" if job["exit_signal"] else ""),
    ]
    return [(name, value) for name, value in facts if value]

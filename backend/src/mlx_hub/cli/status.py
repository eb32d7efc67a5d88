"""`mlx-hub status`: the platform on one screen."""

import typer

from mlx_hub.cli.client import Json, ServiceClient
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import CliError, ServiceDownError
from mlx_hub.cli.formats import told_bytes, told_seconds
from mlx_hub.cli.job_view import PATH as JOBS
from mlx_hub.cli.job_view import told_progress, told_state

app = group("Status.")


@command(app, "status", panel="Platform", examples=("mlx-hub status", "mlx-hub status --json | jq .backend.ready"))
def status(cli: Cli) -> None:
    """Show which services are up, what is loaded, and what is being worked on. The exit status is 3 when one is down."""
    found: Json = {"backend": _backend(cli), "inference": _inference(cli)}
    if cli.is_json:
        cli.out.data(found)
    else:
        _tell(cli, found)
    if not (found["backend"]["answers"] and found["inference"]["answers"]):
        raise typer.Exit(ServiceDownError.exit_code)


def _backend(cli: Cli) -> Json:
    found = _health(cli.backend)
    if not found["answers"]:
        return found
    return found | {
        "system": cli.backend.get("/system"),
        "jobs": list(cli.backend.pages(JOBS, status=["running", "queued"])),
        "downloads": list(cli.backend.pages("/downloads", status=["running", "queued", "paused"])),
    }


def _inference(cli: Cli) -> Json:
    found = _health(cli.inference)
    if not found["answers"]:
        return found
    return found | {"health": cli.inference.get("/admin/health")}


def _health(client: ServiceClient) -> Json:
    """Whether it answers, whether it is ready, and what keeps it from that."""
    try:
        ready = client.probe("/health/ready")
    except CliError as error:
        return {"url": client.service.url, "answers": False, "ready": False, "problem": error.message}
    wrong = [f"{name}: {check['detail']}" for name, check in ready["checks"].items() if check["detail"]]
    return {"url": client.service.url, "answers": True, "ready": ready["ready"], "problem": "; ".join(wrong) or None}


def _tell(cli: Cli, found: Json) -> None:
    backend, inference = found["backend"], found["inference"]
    facts = [("backend", _told_health(backend)), ("inference server", _told_health(inference))]
    if backend["answers"]:
        facts += _backend_facts(backend)
    if inference["answers"]:
        facts += _inference_facts(inference["health"])
    cli.out.facts(facts)


def _told_health(service: Json) -> str:
    if not service["answers"]:
        return f"down · {service['problem']}"
    state = "ready" if service["ready"] else "not ready"
    return f"{state} · {service['url']}{' · ' + service['problem'] if service['problem'] else ''}"


def _backend_facts(backend: Json) -> list[tuple[str, str]]:
    system: Json = backend["system"]
    alive = [machine for machine in system["machines"] if machine["is_alive"]]
    facts = [("worker", f"{machine['id']} · {machine['device']}, {told_bytes(machine['memory_bytes'])}") for machine in alive]
    facts = facts or [("worker", "none is alive; run one: mlx-hub worker")]
    facts += [("job", f"{job['name']}: {told_state(job)} · {told_progress(job)}".strip(" ·")) for job in backend["jobs"]]
    facts += [("download", f"{row['repo_id']}: {row['status']}") for row in backend["downloads"]]
    cache, host, mlflow = system["model_cache"], system["host"], system["mlflow"]
    facts.append(
        ("model cache", f"{told_bytes(cache['num_bytes'])} of {told_bytes(cache['max_bytes'])} in {cache['num_models']} models")
    )
    facts.append(("disk", f"{told_bytes(host['disk_free_bytes'])} of {told_bytes(host['disk_total_bytes'])} free"))
    facts.append(("MLflow", told_mirror(mlflow)))
    return facts


def told_mirror(mlflow: Json) -> str:
    """How far MLflow follows."""
    if mlflow["error"]:
        behind = told_seconds(mlflow["seconds_behind"])
        return f"{mlflow['uri']}: {mlflow['error']} ({mlflow['num_pending_rows']} records wait, {behind} behind)"
    waits = f", {mlflow['num_pending_rows']} records wait" if mlflow["num_pending_rows"] else ""
    return f"{mlflow['uri']}{waits}"


def _inference_facts(health: Json) -> list[tuple[str, str]]:
    engine, cache = health["engine"], health["prompt_cache"]
    facts = [("device", engine["device"] or "")]
    facts += [("loaded", f"{model['name']} · {told_bytes(model['weight_bytes'])}") for model in health["resident_models"]]
    facts.append(
        ("memory", f"{told_bytes(engine['active_memory_bytes'])} in use, {told_bytes(engine['peak_memory_bytes'])} at most")
    )
    facts.append(("requests", f"{engine['requests_running']} running, {engine['requests_waiting']} waiting"))
    if cache:
        rate = f"{cache['hit_rate']:.0%} hits" if cache["total_hits"] + cache["total_misses"] else "not asked yet"
        facts.append(("prompt cache", f"{cache['memory_entries']} in memory, {cache['disk_entries']} on disk, {rate}"))
    return [(name, value) for name, value in facts if value]

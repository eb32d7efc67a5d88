"""Ask this server and others for MLX the same requests, and tell who answers them as their APIs promise.

Every row is a real request with a check, on one model, machine and run. LangChain and lm-eval use each server too. See README.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx
import report
from checks import CHECKS, PASS, BadAnswerError, Target, Verdict, fail, without_paths
from inference import model_folder
from offline import greedy_text, log_likelihood
from peers import LANGCHAIN, LM_EVAL, PEERS, InstalledServer, UnavailableError
from report import Bar
from rich.console import Console
from rich.table import Table
from servers import HubServer, PeerServer, Server, server_environment

OURS = "MLX Model Hub"
_AGREEMENT = 1e-3
_JUDGE_SECONDS = 300
Row = tuple[str, Callable[[Target], Verdict]]


def judged_by_langchain(target: Target) -> Verdict:
    problems = _judge("judge_langchain.py", LANGCHAIN.install(), target.url, target.model)
    return fail("; ".join(f"{step}: {words}" for step, words in problems.items())) if problems else PASS


def judged_by_lm_eval(model: Path) -> Callable[[Target], Verdict]:
    def judge(target: Target) -> Verdict:
        told = _judge("judge_lm_eval.py", LM_EVAL.install(), target.url, target.model, str(model))
        worst = max(
            abs(each["loglikelihood"] - log_likelihood(model, each["context"], each["continuation"])) for each in told["scored"]
        )
        if worst > _AGREEMENT:
            return fail(f"log-likelihoods differ by {worst:.2g} from mlx-lm's offline")
        same = all(each["text"] == greedy_text(model, each["context"], 16) for each in told["texts"])
        return Verdict(
            "pass" if same else "fail", f"within {worst:.1g} of mlx-lm offline" if same else "other texts than mlx-lm's"
        )

    return judge


def _judge(script: str, python: Path, *arguments: str) -> dict[str, Any]:
    command = [python, Path(__file__).with_name(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_JUDGE_SECONDS)
    if done.returncode:
        raise BadAnswerError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def run_server(server: Server, rows: list[Row], console: Console) -> dict[str, Verdict]:
    """All rows on one server, which is started anew when one of them killed it. Raises RuntimeError if it does not start."""
    verdicts: dict[str, Verdict] = {}
    server.start()
    try:
        for title, check in rows:
            target = Target(server.url, server.model_id())
            verdict = _verdict(check, target)
            if not _serves(target):
                words = [verdict.detail] if verdict.outcome == "fail" else []
                verdict = fail(", ".join([*words, "and the server serves nobody afterwards"]))
                server.stop()
                server.start()
            verdicts[title] = verdict
            console.print(f"{server.name}: {title}: {verdict.outcome} {verdict.detail}")
    finally:
        server.stop()
    return verdicts


def _verdict(check: Callable[[Target], Verdict], target: Target) -> Verdict:
    try:
        found = check(target)
    except BadAnswerError as error:
        found = fail(str(error))
    except (httpx.TimeoutException, subprocess.TimeoutExpired):
        found = fail("no answer in time")
    except httpx.TransportError:
        found = fail("the connection was dropped")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        found = fail(f"an answer of another shape: {type(error).__name__} {error}")
    return Verdict(found.outcome, without_paths(found.detail))


def _serves(target: Target) -> bool:
    try:
        return target.chat(max_tokens=1, stream=False).status_code == 200
    except httpx.TransportError:
        return False


def run(model: Path, wanted: list[str], work: Path) -> tuple[dict[str, dict[str, Verdict]], dict[str, str], dict[str, str]]:
    """Verdicts by server and row, the servers' versions, and why others are missing."""
    console = Console()
    rows: list[Row] = [*CHECKS, ("LangChain", judged_by_langchain), ("lm-eval", judged_by_lm_eval(model))]
    verdicts: dict[str, dict[str, Verdict]] = {}
    versions = {OURS: version("unified-mlx-app"), "mlx-lm": version("mlx-lm")}
    missing: dict[str, str] = {}
    peers = {peer.name: peer for peer in PEERS}
    for name in [OURS, *wanted]:
        folder = work / name.replace(" ", "-")
        folder.mkdir()
        environment = server_environment(folder, on_cpu=mx.default_device() == mx.cpu)
        try:
            if name in peers:
                console.print(f"{name}: installing")
                versions[name] = peers[name].package.version()
                server: Server = InstalledServer(peers[name], model=model, work=folder, environment=environment)
            else:
                server = (HubServer if name == OURS else PeerServer)(name, model=model, work=folder, environment=environment)
            verdicts[name] = run_server(server, rows, console)
        except (UnavailableError, RuntimeError) as error:
            words = str(error).strip().splitlines()
            missing[name] = without_paths(f"{words[0]} {words[-1]}" if len(words) > 1 else words[0])
            console.print(f"{name}: {missing[name]}")
    return verdicts, versions, missing


def print_report(verdicts: dict[str, dict[str, Verdict]], missing: dict[str, str]) -> None:
    marks = {"pass": "[green]yes[/]", "fail": "[red]no[/]", "not offered": "not offered"}
    table = Table("", *verdicts, title="answered as promised")
    for title in verdicts[OURS]:
        cells = (found.get(title, Verdict("not offered")) for found in verdicts.values())
        table.add_row(title, *(f"{marks[cell.outcome]} {cell.detail[:60]}".strip() for cell in cells))
    console = Console()
    console.print(table)
    for name, reason in missing.items():
        console.print(f"{name} is missing: {reason}")


def main() -> int:
    names = ["mlx-lm", *(peer.name for peer in PEERS)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bench", help="bench (default) or the folder of an mlx-lm model")
    parser.add_argument("--peers", nargs="*", default=names, choices=names, help="servers to ask beside ours; default: all")
    parser.add_argument("--name", default="conformance", help="results/NAME.json is written")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a row of ours is missed")
    options = parser.parse_args()
    started_at = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="mlx-hub-bench-") as work:
        verdicts, versions, missing = run(model_folder(options.model), options.peers, Path(work))
    print_report(verdicts, missing)
    kept = sum(verdict.outcome == "pass" for verdict in verdicts[OURS].values())
    return report.conclude(
        options.name,
        [Bar(f"rows kept by {OURS}, of {len(verdicts[OURS])}", kept, kept == len(verdicts[OURS]))],
        {
            "model": options.model,
            "servers": versions,
            "missing": missing,
            "rows": {title: {name: asdict(found[title]) for name, found in verdicts.items()} for title in verdicts[OURS]},
        },
        started_at=started_at,
        is_strict=options.strict,
    )


if __name__ == "__main__":
    sys.exit(main())

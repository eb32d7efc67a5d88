"""Work of every kind for a whole platform, slow enough for Prometheus to see it happen."""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from e2e.stack import QUESTION, REPO_ID, Platform
from fixtures.prometheus import Prometheus

_NOTES = "Invoices are paid within thirty days. " * 12
_NUM_ROUNDS = 4
_SENSOR = """#!/bin/sh
# Prints what a card would, once a second, as NVIDIA's program does.
while :; do echo "Stand-in, 42, 1410, 93.5, 51, 2048, 81920"; sleep 1; done
"""
_JOB = {"steps": 40, "lora_dropout": 0.1, "validation_share": 0.25, "eval_every": 10}


def settings_for_every_kind(folder: Path, otlp_endpoint: str) -> dict[str, str]:
    """Variables that turn on what is off by default, and the sensor of an accelerator on machines without one."""
    sensor = folder / "nvidia-smi"
    sensor.write_text(_SENSOR)
    sensor.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {
        "PATH": path,
        "MLX_RESPONSE_CACHE_ENABLED": "true",
        "MLX_PROMPT_LOOKUP": "true",
        "OTLP_ENDPOINT": otlp_endpoint,
    }


def do_work_of_every_kind(platform: Platform, prometheus: Prometheus) -> None:
    """A download, chats of all sorts, and a training job, with somebody who listens to the events."""
    with _listening(platform):
        model_id = platform.download()
        for number in range(_NUM_ROUNDS):
            _chat(platform, number)
            prometheus.wait_for_scrape()
        _train(platform, prometheus, model_id)
        platform.inference.answer("vault@latest", QUESTION)
        prometheus.wait_for_scrape()
        prometheus.wait_for_scrape()


def _chat(platform: Platform, number: int) -> None:
    """One new prompt, one that was seen, one with a date, one answer twice, guesses, and one client that leaves."""
    inference = platform.inference
    dated = f"The current date is 2026-03-0{number + 1}. {_NOTES}"
    asked = [
        (f"{number}. {_NOTES}", "Hello"),
        (dated, "Hello"),
        (_NOTES, f"Number {number}?"),
        (_NOTES, QUESTION),
        (_NOTES, QUESTION),
    ]
    for system, question in asked:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        body = {"model": REPO_ID, "messages": messages, "temperature": 0, "max_tokens": 16}
        httpx.post(f"{inference.base_url}/v1/chat/completions", json=body, timeout=60).raise_for_status()
    inference.answer("mlx-hub/demo", "Count to 40", max_tokens=100)
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20, "response_format": {"type": "json_object"}}
    httpx.post(f"{inference.base_url}/v1/chat/completions", json=body, timeout=60).raise_for_status()
    assert httpx.get(f"{inference.base_url}/v1/models/nobody", timeout=30).status_code == 404
    body = {
        "model": REPO_ID,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 2000,
        "ignore_eos": True,
        "stream": True,
    }
    with httpx.stream("POST", f"{inference.base_url}/v1/chat/completions", json=body, timeout=60) as answer:
        assert any(line for line in answer.iter_lines())


def _train(platform: Platform, prometheus: Prometheus, model_id: str) -> None:
    job_id = platform.train(model_id, platform.upload(), **_JOB)
    prometheus.wait_for('mlx_hub_training_loss{split="train"} and ignoring(split) mlx_hub_training_loss{split="validation"}', 180)
    platform.wait_for(f"/training/{job_id}", lambda row: row["status"] == "completed")


@contextmanager
def _listening(platform: Platform) -> Iterator[None]:
    """A client of the event stream, as long as the block lasts."""
    is_over = threading.Event()

    def listen() -> None:
        url = f"{platform.backend.base_url}/api/v1/events"
        with contextlib.suppress(httpx.TransportError), httpx.stream("GET", url, timeout=60) as stream:
            for _ in stream.iter_lines():
                if is_over.is_set():
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(60)

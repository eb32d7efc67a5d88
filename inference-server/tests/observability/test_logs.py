"""What the log shows, and what it never shows, of events as other code writes them: each in a process of its own."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

KEY = "mlxhub_" + "k3Y-canary_" * 4
HF_TOKEN = "hf_" + "Canary" * 6
SECRETS = {
    "HF_TOKEN": HF_TOKEN,
    "MLX_API_KEY": "an operator's own key",
    "DATABASE_URL": "postgresql://hub:p%40ss-canary@db:5432/hub",
    "MLFLOW_TRACKING_URI": "https://me:mlflow-canary@mlflow:5001",
}
SETUP = """
import logging, sys, threading, warnings
import structlog
from unified_mlx_app.observability.logs import configure_logs
configure_logs(component="api", style=sys.argv[1], level=sys.argv[2])
log = structlog.get_logger("unified_mlx_app.here")
"""


def run_program(program: str, *, style: str = "json", level: str = "info", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    command = [sys.executable, "-c", SETUP + program, style, level]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def events(program: str, **options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run_program(program, **options).stderr.splitlines()]


def test_an_event_is_one_json_object_with_its_process_and_the_ids_that_are_bound() -> None:
    (event,) = events("with structlog.contextvars.bound_contextvars(request_id='r-1'): log.info('cache_hit', cached_tokens=516)")

    assert {name: event[name] for name in ("event", "cached_tokens", "request_id", "component", "level", "logger")} == {
        "event": "cache_hit",
        "cached_tokens": 516,
        "request_id": "r-1",
        "component": "api",
        "level": "info",
        "logger": "unified_mlx_app.here",
    }
    assert event["timestamp"].endswith("Z")


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize(
    "forged", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\x85b", "a\u2028b", "a\x00b", "a\u202eb", '{"event": "forged"}\n']
)
def test_what_a_client_sends_can_neither_begin_a_line_nor_steer_a_terminal(style: str, forged: str) -> None:
    told = run_program(f"log.info('seen', name={forged!r}, **{{{forged!r}: 1}})", style=style).stderr

    assert len(told.splitlines()) == told.count("\n") == 1
    assert told.rstrip("\n").isprintable()


def test_a_traceback_stays_in_its_event() -> None:
    program = "try: raise ValueError('first\\nsecond')\nexcept ValueError: log.exception('broke')"

    (event,) = events(program)
    text = run_program(program, style="text").stderr.splitlines()

    assert event["exception"].endswith("ValueError: first\nsecond")
    assert all(line.startswith("    | ") for line in text[1:])


PLACES = {
    "a field": "log.info('x', value=secret)",
    "a nested field": "log.info('x', value={'deep': [secret]})",
    "the name of a field": "log.info('x', **{secret: 1})",
    "a traceback": "try: raise RuntimeError(f'no: {secret}')\nexcept RuntimeError: log.exception('x')",
    "a library's message": "logging.getLogger('lib').warning('went to %s', secret)",
    "a library's traceback": "try: raise RuntimeError(secret)\nexcept RuntimeError: logging.getLogger('lib').exception('x')",
    "a warning": "warnings.warn(secret)",
    "the crash of a thread": "thread = threading.Thread(target=lambda: [][secret]); thread.start(); thread.join()\n"
    "def fail(): raise RuntimeError(secret)\nthread = threading.Thread(target=fail); thread.start(); thread.join()",
    "the crash of the process": "raise SystemError(secret)",
}


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_secrets_of_this_process_and_keys_of_anybody_are_redacted_wherever_they_stand(place: str, style: str) -> None:
    written = [
        *(HF_TOKEN, "an operator's own key", "p@ss-canary", "p%40ss-canary", "mlflow-canary"),
        *(KEY, f"Bearer {'abc.def-canary' * 2}", "https://user:other-canary@host/x", "sk-" + "canary0" * 4),
        *("api_key=in-a-query-canary", '{"password": "in-a-body-canary"}', "Authorization: Basic Y2FuYXJ5Y2FuYXJ5"),
    ]

    told = run_program(f"secret = {' | '.join(written)!r}\n{place}", style=style, **SECRETS)

    assert "[redacted]" in told.stderr
    for part in ("anary", "operator's own", "Y2FuYXJ5"):
        assert part not in told.stderr.replace("\\'", "'")
    assert told.stdout == ""


def test_ordinary_words_stay() -> None:
    program = "log.info('request_done', prompt_tokens=5, model='org/basic-token', route='/v1/{key}', url='http://h:1/x')"

    (event,) = events(program, MLX_MAX_TOKENS="request_done")

    assert (event["event"], event["prompt_tokens"], event["model"]) == ("request_done", 5, "org/basic-token")
    assert (event["route"], event["url"]) == ("/v1/{key}", "http://h:1/x")


def test_a_crash_of_the_process_is_an_event_and_its_status_stays() -> None:
    done = run_program("raise SystemError('gone')")

    (line,) = done.stderr.splitlines()
    assert (json.loads(line)["event"], json.loads(line)["level"], done.returncode) == ("process_crashed", "critical", 1)


@pytest.mark.parametrize(("level", "expected"), [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")])
def test_events_below_the_level_are_left_out(level: str, expected: str) -> None:
    program = "log.debug('d'); log.info('i'); log.warning('w'); log.error('e')"

    assert "".join(event["event"] for event in events(program, level=level)) == expected


def test_a_terminal_gets_short_coloured_lines_and_a_pipe_json() -> None:
    ours, theirs = pty.openpty()
    program = "log.warning('disk_low', free_bytes=7, folder='a b')"
    command = [sys.executable, "-c", SETUP + program, "auto", "info"]
    subprocess.run(command, env={"PATH": os.environ["PATH"]}, stderr=theirs, timeout=60, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)

    assert "\x1b[33mwarning" in shown
    assert 'disk_low\x1b[0m \x1b[36mfree_bytes=\x1b[0m7 \x1b[36mfolder=\x1b[0m"a b"' in shown
    assert events(program, style="auto")[0]["free_bytes"] == 7


def test_a_line_of_one_very_long_word_costs_no_more_than_others() -> None:
    program = "import time\nstarted = time.monotonic()\nfor word in ('a', 'a-', 'token', '://', 'hf_', 'a.b', 'eyJ'):\n"
    program += "    log.info('seen', text=word * 50_000)\nprint(time.monotonic() - started)"

    assert float(run_program(program).stdout) < 10

"""Structured logs, one event a line: JSON for machines, short coloured lines on a terminal.

Prompts, outputs, rows of datasets, tokens and keys are never passed to a logger; what slips into a message is redacted.
"""

import json
import logging
import os
import sys
import threading
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor

from mlx_hub.config import LogFormat, LogLevel
from mlx_hub.observability.log_text import TextRenderer
from mlx_hub.observability.redaction import Redactor, secrets_in

_NARRATORS = ("uvicorn.error", "alembic", "httpx")
"""They tell each step of theirs; our own events say the same in one."""
_SILENT = ("uvicorn.access", "opentelemetry")
"""Each request has an event of ours, without its query. Spans that get lost are counted, and told once."""

log = structlog.get_logger(__name__)


def configure_logs(*, component: str, level: LogLevel = "info", style: LogFormat = "auto", stream: TextIO | None = None) -> None:
    """Sends structlog's and the standard library's records to `stream` (stderr); call once a process.

    `component` tells the API, workers, trainers and tools apart. What ends the process or a thread of it is an event as well.
    """
    out = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _naming(component),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(out, style)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Below `info` libraries tell each byte they move.
    root.setLevel(max(number, logging.INFO))
    for own in (__name__.partition(".")[0], "__main__"):
        logging.getLogger(own).setLevel(number)
    _quieten(number)
    sys.excepthook = _tell_crash
    threading.excepthook = lambda crash: _tell_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)


def _naming(component: str) -> Processor:
    """Says in each event, of whatever thread, which process it is of."""

    def name(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("component", component)
        return event

    return name


def _rendering(out: TextIO, style: LogFormat) -> list[Processor]:
    """From an event to a line without secrets."""
    redactor = Redactor(secrets_in(os.environ))
    is_text = out.isatty() if style == "auto" else style == "text"
    has_colours = (out.isatty() or "FORCE_COLOR" in os.environ) and "NO_COLOR" not in os.environ
    renderer: Processor = TextRenderer(has_colours=has_colours) if is_text else structlog.processors.JSONRenderer()
    return [structlog.processors.format_exc_info, renderer, lambda _, __, line: redactor.redact(str(line))]


def _quieten(number: int) -> None:
    logging.captureWarnings(capture=True)
    for name in _NARRATORS:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # `uvicorn module:app` has set up its own handlers before it imports the application.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _tell_crash(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    log.critical("process_crashed", thread=threading.current_thread().name, exc_info=(kind, error, traceback))


def context_variables() -> dict[str, str]:
    """For the environment of a process that works for the present request or job: its events tell the same ids."""
    context = {name: str(value) for name, value in structlog.contextvars.get_contextvars().items() if name != "component"}
    return {"MLX_HUB_LOG_CONTEXT": json.dumps(context)}


def current_request_id() -> str | None:
    """The id under which the present request is logged, which is the one its client knows; None outside of a request."""
    return structlog.contextvars.get_contextvars().get("request_id")

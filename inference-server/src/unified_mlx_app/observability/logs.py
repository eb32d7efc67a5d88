"""Structured logs: JSON lines in production, readable lines on a terminal.

Prompts, outputs, tokens and keys are never passed to a logger, so nothing here redacts.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor


def configure_logs(*, component: str = "engine", stream: TextIO | None = None) -> None:
    """Sends structlog's and the standard library's records to `stream` (stderr); call once a process.

    `component` tells the processes of one server apart.
    """
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    is_terminal = out.isatty()
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if is_terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Uvicorn and alembic narrate their start line by line; ours says the same in one event.
    for name in ("uvicorn.error", "alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(component=component)


def current_request_id() -> str | None:
    """The id under which the present request is logged, which is the one its client knows; None outside of a request."""
    return structlog.contextvars.get_contextvars().get("request_id")

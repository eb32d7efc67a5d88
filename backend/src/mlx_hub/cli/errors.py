"""What ends a command, with the exit status that tells a script why.

CliError
├── FailedError 1        the work failed, or what was asked for is not there
│   └── RefusedError 1   a service refused the request: `status` and its own words
├── UsageError 2         the command line makes no sense
└── ServiceDownError 3   a service does not answer, or says that it cannot now
"""

from typing import Any

EXIT_CODES_HELP = "Exit status: 0 done · 1 refused or failed · 2 wrong usage · 3 a service is down · 130 Ctrl-C."
INTERRUPTED = 130


class CliError(Exception):
    """Base of all errors that people are told; `message` says what to do."""

    exit_code = 1
    code = "failed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def details(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {"code": self.code, "message": self.message}


class FailedError(CliError):
    pass


class RefusedError(FailedError):
    """`fields` are the parts of the request that are wrong, with the reason of each."""

    def __init__(
        self, message: str, *, status: int, code: str, fields: list[dict[str, str]] | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields = fields or []
        self.request_id = request_id

    def details(self) -> dict[str, Any]:
        return super().details() | {"status": self.status, "errors": self.fields, "request_id": self.request_id}


class UsageError(CliError):
    exit_code = 2
    code = "usage"


class ServiceDownError(CliError):
    exit_code = 3
    code = "service_down"

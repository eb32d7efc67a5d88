"""Every error that the backend tells a client, as problem+json.

HubError
├── InvalidInputError 422        invalid_input: `field` names it, the message says what to do
├── ForbiddenError 403           forbidden: a foreign Host or Origin
├── NotFoundError 404            not_found
├── MethodNotAllowedError 405    method_not_allowed
├── ConflictError 409            conflict
│   ├── InUseError 409           in_use: the message says by whom
│   └── WrongStateError 409      wrong_state: not possible in this status
├── TooLargeError 413            too_large
├── StorageFullError 507         storage_full
├── UpstreamError 502            upstream: the hub or the inference server answered with an error
│   ├── GatedModelError 403      gated_model: how to get access
│   └── UpstreamDownError 503    upstream_down: it did not answer
└── UnavailableError 503         unavailable: something it needs does not answer
    └── ShuttingDownError 503    shutting_down
"""


class HubError(Exception):
    """Base of all errors with a stable `code`, an HTTP `status` and a message that says what to do."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str, *, field: str | None = None, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_seconds = retry_after_seconds


class InvalidInputError(HubError):
    status = 422
    code = "invalid_input"


class ForbiddenError(HubError):
    status = 403
    code = "forbidden"


class NotFoundError(HubError):
    status = 404
    code = "not_found"


class MethodNotAllowedError(HubError):
    status = 405
    code = "method_not_allowed"


class ConflictError(HubError):
    status = 409
    code = "conflict"


class InUseError(ConflictError):
    code = "in_use"


class WrongStateError(ConflictError):
    code = "wrong_state"


class TooLargeError(HubError):
    status = 413
    code = "too_large"


class StorageFullError(HubError):
    status = 507
    code = "storage_full"


class UpstreamError(HubError):
    status = 502
    code = "upstream"


class GatedModelError(UpstreamError):
    status = 403
    code = "gated_model"


class UpstreamDownError(UpstreamError):
    status = 503
    code = "upstream_down"


class UnavailableError(HubError):
    status = 503
    code = "unavailable"


class ShuttingDownError(UnavailableError):
    code = "shutting_down"

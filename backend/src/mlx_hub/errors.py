"""Every error that the backend tells a client, as problem+json.

HubError
├── InvalidInputError 422        invalid_input: `field` names it, the message says what to do
├── UnauthorizedError 401        unauthorized: no key, or one that does not count any more
├── ForbiddenError 403           forbidden: a foreign Host or Origin
│   └── ScopeError 403           insufficient_scope: the message names the scope that the key needs
├── NotFoundError 404            not_found
├── MethodNotAllowedError 405    method_not_allowed
├── ConflictError 409            conflict
│   ├── InUseError 409           in_use: the message says by whom
│   └── WrongStateError 409      wrong_state: not possible in this status
├── TooLargeError 413            too_large
├── RateLimitedError 429         rate_limited: too many requests, or too many without a key that counts
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


class UnauthorizedError(HubError):
    status = 401
    code = "unauthorized"


class ForbiddenError(HubError):
    status = 403
    code = "forbidden"


class ScopeError(ForbiddenError):
    """`scope` is what the key needs."""

    code = "insufficient_scope"

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


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


class RateLimitedError(HubError):
    """`headers` tell the limit."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: int, headers: dict[str, str]) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.headers = headers


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

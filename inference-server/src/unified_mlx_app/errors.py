"""Every error that the inference server tells a client.

AppError
├── InvalidRequestError 400        invalid_request: a field is wrong; `param` names it
│   ├── UnsupportedFieldError 400  unsupported_field: a known field this server does not do yet
│   ├── ContextLengthError 400     context_length_exceeded
│   └── PreviousResponseError 400  previous_response_not_found: it never was, was deleted or has expired
├── AuthenticationError 401        invalid_api_key
├── ForbiddenError 403             forbidden: foreign Host or Origin
│   └── ScopeError 403             insufficient_scope: the message names the scope that the key lacks
├── NotFoundError 404              not_found
│   └── ModelNotFoundError 404     model_not_found: the message lists the known ids
├── MethodNotAllowedError 405      method_not_allowed
├── DeadlineError 408              deadline_exceeded: the request's `timeout`, or the server's limit, has passed
├── ConflictError 409              conflict
├── PayloadTooLargeError 413       payload_too_large
│   └── MemoryBudgetError 413      memory_budget_exceeded: the request can never fit
├── RequestCancelledError 499      request_cancelled: by its id; sending it again is the client's choice
├── QueueFullError 429             queue_full: Retry-After is set
├── RateLimitError 429             rate_limit_exceeded: Retry-After is set
├── ServerError 500                internal_error
│   └── GenerationError 500        generation_failed: this row failed, others did not
└── UnavailableError 503           unavailable: Retry-After is set
    ├── EngineDownError 503        engine_down
    ├── ModelLoadError 503         model_load_failed
    └── ShuttingDownError 503      shutting_down
"""


class AppError(Exception):
    """Base of all errors with a stable `code`, an HTTP `status` and a message that says what to do."""

    status = 500
    code = "internal_error"
    type = "server_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds


class InvalidRequestError(AppError):
    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class PreviousResponseError(InvalidRequestError):
    code = "previous_response_not_found"


class UnsupportedFieldError(InvalidRequestError):
    code = "unsupported_field"


class ContextLengthError(InvalidRequestError):
    code = "context_length_exceeded"


class AuthenticationError(AppError):
    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class ForbiddenError(AppError):
    status = 403
    code = "forbidden"
    type = "permission_error"


class ScopeError(ForbiddenError):
    code = "insufficient_scope"


class NotFoundError(AppError):
    status = 404
    code = "not_found"
    type = "invalid_request_error"


class ModelNotFoundError(NotFoundError):
    code = "model_not_found"


class MethodNotAllowedError(AppError):
    status = 405
    code = "method_not_allowed"
    type = "invalid_request_error"


class DeadlineError(AppError):
    status = 408
    code = "deadline_exceeded"
    type = "timeout_error"


class ConflictError(AppError):
    status = 409
    code = "conflict"
    type = "invalid_request_error"


class PayloadTooLargeError(AppError):
    status = 413
    code = "payload_too_large"
    type = "invalid_request_error"


class MemoryBudgetError(PayloadTooLargeError):
    code = "memory_budget_exceeded"


class RequestCancelledError(AppError):
    status = 499
    code = "request_cancelled"
    type = "invalid_request_error"


class QueueFullError(AppError):
    status = 429
    code = "queue_full"
    type = "rate_limit_error"


class RateLimitError(AppError):
    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"


class ServerError(AppError):
    pass


class GenerationError(ServerError):
    code = "generation_failed"


class UnavailableError(AppError):
    status = 503
    code = "unavailable"
    type = "service_unavailable_error"


class EngineDownError(UnavailableError):
    code = "engine_down"


class ModelLoadError(UnavailableError):
    code = "model_load_failed"


class ShuttingDownError(UnavailableError):
    code = "shutting_down"


def _leaves(cls: type[AppError]) -> list[type[AppError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _leaves(sub))]


def error_for(code: str, message: str) -> AppError:
    """The error that the engine meant by `code`; an unknown code is a ServerError."""
    by_code = {cls.code: cls for cls in _leaves(AppError)}
    retry_after_seconds = 2 if issubclass(by_code.get(code, ServerError), UnavailableError) else None
    return by_code.get(code, ServerError)(message, retry_after_seconds=retry_after_seconds)

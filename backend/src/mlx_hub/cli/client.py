"""HTTP to one of the two services; whatever goes wrong is told as a CliError."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import uuid4

import httpx

from mlx_hub.cli.errors import RefusedError, ServiceDownError, UsageError
from mlx_hub.observability.tracing import propagation_headers

Json = dict[str, Any]
"""A JSON object of an answer, as the service's API document describes it."""

READ_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_PAGE_SIZE = 100
_NUM_TRIES = 3
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is, and by which option and variable people say so. `prefix` begins the paths of its API."""

    name: str
    url: str
    option: str
    variable: str
    prefix: str = ""
    api_key: str | None = None


class ServiceClient:
    """One connection pool to a service. Paths are those of its API without `prefix`; answers are parsed JSON."""

    def __init__(self, service: Service, *, read_seconds: float = READ_SECONDS) -> None:
        self.service = service
        url = _checked_url(service)
        headers = {"authorization": f"Bearer {service.api_key}"} if service.api_key else {}
        # A proxy of the environment is not for services of this machine.
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=_timeout(read_seconds),
            trust_env=url.host not in _LOOPBACK,
            event_hooks={"request": [_propagate]},
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._json("GET", path, params=_given(query))

    def post(self, path: str, body: Json | None = None, *, read_seconds: float | None = READ_SECONDS) -> Any:
        """`read_seconds` None waits as long as it takes."""
        return self._json("POST", path, json=body, timeout=_timeout(read_seconds))

    def create(self, path: str, body: Json) -> Any:
        """POST of something new, tried again when the connection breaks; its key keeps it from being made twice."""
        headers = {"idempotency-key": uuid4().hex}
        for attempt in range(1, _NUM_TRIES + 1):
            try:
                return self._json("POST", path, json=body, headers=headers)
            except _BrokenConnectionError:
                if attempt == _NUM_TRIES:
                    raise
        raise AssertionError

    def upload(self, path: str, file: BinaryIO, file_name: str, **fields: str | None) -> Any:
        """POST of a file as a form; it is read as it is sent."""
        return self._json(
            "POST", path, files={"file": (file_name, file)}, data=_given(fields), timeout=httpx.Timeout(None, connect=5.0)
        )

    def put(self, path: str, body: Json | None = None) -> Any:
        return self._json("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        """What the answer says, None when it says nothing."""
        return self._json("DELETE", path)

    def pages(self, path: str, **query: Any) -> Iterator[Json]:
        """Every item of a list, page by page."""
        page = 1
        while True:
            answer = self.get(path, page=page, page_size=_PAGE_SIZE, **query)
            yield from answer["items"]
            if page * answer["page_size"] >= answer["total"]:
                return
            page += 1

    def probe(self, path: str, *, seconds: float = 3.0) -> Json:
        """A health route, without `prefix` and whatever status it has. Raises ServiceDownError."""
        with self._told_errors():
            answer = self._http.get(path, timeout=seconds)
        return _parsed(answer, self.service) if answer.status_code in (200, 503) else self._checked(answer)

    @contextmanager
    def stream(self, method: str, path: str, body: Json | None = None) -> Generator[httpx.Response]:
        """An answer that is read as it comes. Leaving the block closes the connection, which the service takes as a cancel."""
        timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        with self._told_errors(), self._http.stream(method, self._path(path), json=body, timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                self._checked(answer)
            yield answer

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._told_errors():
            return self._checked(self._http.request(method, self._path(path), **options))

    def _path(self, path: str) -> str:
        return self.service.prefix + path

    def _checked(self, answer: httpx.Response) -> Any:
        if answer.is_success:
            return _parsed(answer, self.service) if answer.content else None
        raise _refusal(answer, self.service)

    @contextmanager
    def _told_errors(self) -> Generator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServiceDownError(_down(self.service)) from error
        except httpx.TimeoutException as error:
            raise ServiceDownError(f"The {self.service.name} at {self.service.url} takes too long to answer.") from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise _BrokenConnectionError(f"The connection to the {self.service.name} broke: {reason}") from error


class _BrokenConnectionError(ServiceDownError):
    """Nobody knows whether the request was done."""


def _propagate(request: httpx.Request) -> None:
    request.headers.update(propagation_headers())


def _timeout(read_seconds: float | None) -> httpx.Timeout:
    return httpx.Timeout(read_seconds, connect=_CONNECT_SECONDS)


def _given(values: Json) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _checked_url(service: Service) -> httpx.URL:
    try:
        url = httpx.URL(service.url)
    except httpx.InvalidURL as error:
        raise UsageError(f"{service.option} {service.url!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(f"{service.option} {service.url!r} must look like http://localhost:8002.")
    return url


def _down(service: Service) -> str:
    return (
        f"The {service.name} at {service.url} does not answer. Start it with `make start` in the checkout, "
        f"or say where it is with {service.option} or {service.variable}."
    )


def _parsed(answer: httpx.Response, service: Service) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise ServiceDownError(
            f"What answers at {service.url} is not the {service.name}: no JSON. Set {service.option} or {service.variable}."
        ) from error


def _refusal(answer: httpx.Response, service: Service) -> RefusedError | ServiceDownError:
    """The service's own words, of problem+json or of OpenAI's error shape."""
    try:
        body: Json = answer.json()
    except ValueError:
        body = {}
    told = body.get("error") or {}
    message = body.get("detail") or told.get("message") or f"The {service.name} answered with status {answer.status_code}."
    if answer.status_code == 401:
        message = f"{message} mlx-hub takes the key from --api-key or MLX_API_KEY."
    if answer.status_code == 503:
        return ServiceDownError(str(message))
    return RefusedError(
        str(message),
        status=answer.status_code,
        code=str(body.get("code") or told.get("code") or "refused"),
        fields=body.get("errors") or ([{"field": told["param"], "message": str(message)}] if told.get("param") else []),
        request_id=body.get("request_id") or answer.headers.get("x-request-id"),
    )

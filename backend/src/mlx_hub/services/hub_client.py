"""HTTP client of the model hub: JSON answers, pages, and open files. It alone holds the token, which no other host gets."""

import codecs
import json
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from mlx_hub.errors import GatedModelError, InvalidInputError, NotFoundError, UpstreamDownError, UpstreamError

CACHE_SECONDS = 60.0
MAX_JSON_BYTES = 32 * 2**20
MAX_RETRY_AFTER_SECONDS = 300
_MAX_CACHED = 256
_MAX_REDIRECTS = 5
_REPO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")

Query = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class HubPage:
    """`next_url` leads to the page after this one; None when it is the last."""

    items: list[dict[str, Any]]
    next_url: str | None


@dataclass(frozen=True, slots=True)
class TextFile:
    text: str
    is_truncated: bool


def check_repo_id(repo_id: str) -> str:
    """`repo_id` when it has the form `owner/name`, which is then safe in URLs and as a folder. Raises InvalidInputError."""
    if not _REPO_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id or repo_id.endswith((".git", ".")):
        raise InvalidInputError("Write the model as owner/name, as the hub shows it.", field="repo_id")
    return repo_id


def check_revision(revision: str) -> str:
    """`revision` when it can be a branch, tag or commit. Raises InvalidInputError."""
    if not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision:
        raise InvalidInputError("Write the revision as a branch, a tag or a commit of the model.", field="revision")
    return revision


class HubClient:
    """Belongs to one event loop; its owner awaits `close()`. JSON answers are remembered for `CACHE_SECONDS`.

    Raises for every failure: NotFoundError, GatedModelError, UpstreamDownError (try again later), UpstreamError (do not).
    """

    def __init__(self, endpoint: str, token: SecretStr | None, *, timeout_seconds: float = 20.0) -> None:
        self.endpoint = httpx.URL(endpoint.rstrip("/"))
        self._token = token
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(timeout_seconds, pool=None))
        self._cache: dict[str, tuple[float, HubPage | TextFile | dict[str, Any]]] = {}

    async def close(self) -> None:
        await self._client.aclose()

    def page_url(self, path: str) -> str:
        """Where people read `path` on the hub, such as a model's page; without the credentials that the endpoint may hold."""
        raw_path = self.endpoint.raw_path.rstrip(b"/") + b"/" + quote(path).encode()
        return str(self.endpoint.copy_with(raw_path=raw_path, username=None, password=None))

    async def get_object(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """The JSON object at `path` of the hub."""
        url = self._url(path, query)
        if isinstance(cached := self._cached(url), dict):
            return cached
        value, _ = await self._get_json(url)
        if not isinstance(value, dict):
            raise UpstreamError("The hub answered with something that is not what was asked for.")
        return self._remember(url, cast(dict[str, Any], value))

    async def get_page(self, path: str, query: Query | None = None) -> HubPage:
        """The list at `path` of the hub, or at the `next_url` of another page."""
        url = self._url(path, query)
        if isinstance(cached := self._cached(url), HubPage):
            return cached
        value, next_url = await self._get_json(url)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise UpstreamError("The hub answered with something that is not a list.")
        return self._remember(url, HubPage(value, next_url))

    @asynccontextmanager
    async def open_file(self, repo_id: str, commit: str, name: str, *, offset: int = 0) -> AsyncGenerator[httpx.Response, None]:
        """The open answer for a file from byte `offset` on: status 206, or 200 when the server starts at zero."""
        url = self._url(f"/{repo_id}/resolve/{quote(commit, safe='')}/{quote(name)}")
        # Compressed bytes could be neither counted nor continued.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        async with self._open(url, headers) as response:
            yield response

    async def read_json_file(self, repo_id: str, commit: str, name: str) -> dict[str, Any]:
        """A small JSON file of a repository."""
        return await self.get_object(f"/{repo_id}/resolve/{quote(commit, safe='')}/{quote(name)}")

    async def read_text_file(self, repo_id: str, commit: str, name: str, *, max_bytes: int) -> TextFile:
        """The beginning of a text file of a repository; bytes that are no UTF-8 show as U+FFFD."""
        url = self._url(f"/{repo_id}/resolve/{quote(commit, safe='')}/{quote(name)}")
        if isinstance(cached := self._cached(url), TextFile):
            return cached
        content = bytearray()
        async with self.open_file(repo_id, commit, name) as response:
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > max_bytes:
                    break
        # What a cut through a character leaves of it is left out.
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(content[:max_bytes]))
        return self._remember(url, TextFile(text, is_truncated=len(content) > max_bytes))

    def _url(self, path: str, query: Query | None = None) -> httpx.URL:
        url = httpx.URL(path)
        if url.is_relative_url:
            url = self.endpoint.copy_with(raw_path=self.endpoint.raw_path.rstrip(b"/") + url.raw_path)
        elif not self._is_hub(url):
            raise UpstreamError("The hub names a page of another host as its next one.")
        return url.copy_merge_params(dict(query)) if query else url

    def _is_hub(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (self.endpoint.scheme, self.endpoint.host, self.endpoint.port)

    def _cached(self, url: httpx.URL) -> HubPage | TextFile | dict[str, Any] | None:
        expires, value = self._cache.get(str(url), (0.0, None))
        return value if time.monotonic() < expires else None

    def _remember(self, url: httpx.URL, value: Any) -> Any:
        while len(self._cache) >= _MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[str(url)] = (time.monotonic() + CACHE_SECONDS, value)
        return value

    async def _get_json(self, url: httpx.URL) -> tuple[object, str | None]:
        async with self._open(url, {}) as response:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_JSON_BYTES:
                    raise UpstreamError("The hub's answer is too large.")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UpstreamError("The hub's answer is not JSON.") from error
        return value, response.links.get("next", {}).get("url")

    @asynccontextmanager
    async def _open(self, url: httpx.URL, headers: dict[str, str]) -> AsyncGenerator[httpx.Response, None]:
        """The good answer at the end of all redirects. A connection that breaks inside the block is an UpstreamDownError too."""
        try:
            response = await self._send(url, headers)
            try:
                if not response.is_success:
                    raise self._refusal(response)
                yield response
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.StreamError) as error:
            raise UpstreamDownError(f"The hub at {self.endpoint.host} does not answer or broke the connection.") from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise UpstreamError("The hub's answer cannot be decoded.") from error

    async def _send(self, url: httpx.URL, headers: dict[str, str]) -> httpx.Response:
        for _ in range(_MAX_REDIRECTS):
            own = {"Authorization": f"Bearer {self._token.get_secret_value()}"} if self._token and self._is_hub(url) else {}
            response = await self._client.send(self._client.build_request("GET", url, headers=headers | own), stream=True)
            if not response.has_redirect_location:
                return response
            await response.aclose()
            target = url.join(response.headers["location"])
            if target.scheme not in ("https", url.scheme):
                raise UpstreamError("The hub redirects to an address that is not encrypted.")
            url = target
        raise UpstreamError("The hub redirects in a circle.")

    def _refusal(self, response: httpx.Response) -> Exception:
        status, code = response.status_code, response.headers.get("x-error-code", "")
        if status == 429 or status >= 500:
            what = "limits requests" if status == 429 else f"answered with status {status}"
            seconds = retry_after_seconds(response.headers.get("retry-after"))
            return UpstreamDownError(f"The hub {what}; try again later.", retry_after_seconds=seconds)
        if code == "GatedRepo":
            return GatedModelError(
                "This model is gated: accept its terms on its page of the hub, then set HF_TOKEN to a token of that account."
            )
        if code in ("RevisionNotFound", "EntryNotFound"):
            what = "revision" if code == "RevisionNotFound" else "file"
            return NotFoundError(f"The model has no such {what} on the hub.")
        if status == 404 or code == "RepoNotFound":
            return NotFoundError("The hub has no such model, or it is private and HF_TOKEN may not read it.")
        if status in (401, 403):
            return UpstreamError("The hub refuses access: check that HF_TOKEN is valid and may read this model.")
        return UpstreamError(f"The hub answered with status {status}.")


def retry_after_seconds(value: str | None) -> int | None:
    """Seconds to wait from a Retry-After header, a number or a date; bounded, None when it says nothing."""
    if value is None:
        return None
    try:
        seconds = int(value) if value.isdecimal() else int(parsedate_to_datetime(value).timestamp() - time.time()) + 1
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS)


def commit_of(info: dict[str, Any]) -> str:
    """The commit that a model's answer names. Raises UpstreamError when it is none."""
    commit = info.get("sha")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise UpstreamError("The hub does not say which commit the revision is.")
    return commit

"""The inference server's `/admin/models`, asked over HTTP with short timeouts."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from mlx_hub.errors import UpstreamDownError, UpstreamError
from mlx_hub.observability.tracing import Value, annotate, propagation_headers, span

REGISTERED_BY = "mlx-hub"
_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_BUSY_SECONDS = 3.0
"""A name whose model is just answering a request is tried again for so long."""


@dataclass(frozen=True, slots=True)
class ServedAdapter:
    """An adapter as the inference server serves it under `name`."""

    name: str
    base_model: str
    adapter_path: str
    model_id: str


class InferenceClient:
    """One for a process. Its methods raise UpstreamDownError when the server does not answer, UpstreamError when it refuses."""

    def __init__(self, base_url: str, api_key: SecretStr | None = None) -> None:
        headers = {"authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
        self._client = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, headers=headers)

    async def close(self) -> None:
        await self._client.aclose()

    async def list_served(self) -> dict[str, ServedAdapter]:
        """The adapters that this service registered, by name."""
        answer = await self._request("GET", "/admin/models")
        models: dict[str, dict[str, Any]] = _checked(answer).json()["models"]
        return {
            name: ServedAdapter(name, model["base"], model.get("adapter_path") or "", model.get("model_id") or "")
            for name, model in models.items()
            if model.get("registered_by") == REGISTERED_BY
        }

    async def list_needed(self) -> frozenset[str]:
        """Base models that are in memory or that adapters stand on, whoever registered them."""
        answer = await self._request("GET", "/admin/models")
        models: dict[str, dict[str, Any]] = _checked(answer).json()["models"]
        return frozenset(model["base"] for model in models.values() if model.get("loaded") or model.get("adapter_path"))

    async def serve(self, adapter: ServedAdapter) -> None:
        """Serve the adapter under its name, instead of what was served under it before; the name is never without an answer."""
        body = {
            "name": adapter.name,
            "base_model": adapter.base_model,
            "adapter_path": adapter.adapter_path,
            "type": "lora",
            "model_id": adapter.model_id,
            "registered_by": REGISTERED_BY,
        }
        _checked(await self._request("PUT", f"/admin/models/{quote(adapter.name)}", body))

    async def withdraw(self, name: str) -> None:
        """Serve nothing under the name any more; nothing happens when nothing was."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            answer = await self._request("DELETE", f"/admin/models/{quote(name)}")
            if answer.status_code != 409 or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        if answer.status_code != 404:
            _checked(answer)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            with span(f"{method} inference", kind="client", attributes=_attributes(method, self._client.base_url)):
                answer = await self._client.request(method, path, json=body, headers=propagation_headers())
                annotate({"http.response.status_code": answer.status_code})
                return answer
        except httpx.TransportError as error:
            raise UpstreamDownError(
                f"The inference server at {self._client.base_url} does not answer: {type(error).__name__}.", retry_after_seconds=5
            ) from error


def _attributes(method: str, url: httpx.URL) -> dict[str, Value]:
    return {"http.request.method": method, "server.address": url.host, "server.port": url.port or 80}


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        reason = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        reason = f"status {answer.status_code}"
    raise UpstreamError(f"The inference server refused: {reason}")

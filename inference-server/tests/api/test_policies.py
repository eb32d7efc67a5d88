"""A route that somebody forgot to declare is closed to everybody, this machine included."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI
from unified_mlx_app.api.policies import Policies, needs
from unified_mlx_app.app import create_app
from unified_mlx_app.config import Settings


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application on a socket, without its lifespan: nothing behind the guard is needed here."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, loop="asyncio"))
    thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def test_a_route_without_a_policy_is_refused_at_run_time() -> None:
    app = create_app(Settings())

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    @app.get("/declared")
    @needs("read")
    async def declared() -> str:
        return "told"

    with serving(app) as address:
        refused = httpx.get(f"{address}/forgotten")
        told = httpx.get(f"{address}/declared")

    assert refused.status_code == 403
    assert "secret" not in refused.text
    assert told.json() == "told"


def test_a_path_belongs_to_the_route_that_the_router_takes() -> None:
    policies = Policies(create_app(Settings()).routes)

    def scopes(method: str, path: str) -> set[str]:
        policy = policies.find(method, path).policy
        assert policy is not None
        return set(policy.scopes)

    assert scopes("GET", "/admin/models/a/b/estimate") == {"read"}
    assert scopes("DELETE", "/admin/models/a/b/estimate") == {"admin"}
    assert scopes("GET", "/v1/models/admin/models") == {"read", "infer"}
    assert scopes("GET", "/docs/assets/../../admin/settings") == {"read"}
    assert scopes("GET", "/admin/settings") == {"admin"}
    assert scopes("POST", "/admin/cache/prompts/clear") == {"admin"}
    assert scopes("GET", "/nowhere\n") == {"read", "infer", "train", "admin"}

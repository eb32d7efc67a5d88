"""The official client against the shared server."""

from collections.abc import Iterator

import pytest
from fixtures.server import RunningServer
from openai import OpenAI


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.base_url}/v1", api_key="unused", max_retries=0, timeout=60) as openai:
        yield openai

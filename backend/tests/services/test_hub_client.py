"""The hub's client: the addresses that it tells to people."""

import pytest
from mlx_hub.services.hub_client import HubClient


@pytest.mark.parametrize(
    ("endpoint", "path", "expected"),
    [
        ("https://huggingface.co", "org/model", "https://huggingface.co/org/model"),
        ("http://hub.local:8085/", "org/model", "http://hub.local:8085/org/model"),
        ("https://mirror.example/hf/", "settings/tokens", "https://mirror.example/hf/settings/tokens"),
        ("https://reader:secret@mirror.example", "org/model", "https://mirror.example/org/model"),
        # A hub may name a model as it likes.
        ("https://hub.example", "/elsewhere.example/x?y#z", "https://hub.example//elsewhere.example/x%3Fy%23z"),
    ],
)
def test_a_page_of_the_hub_is_at_its_endpoint_without_credentials(endpoint: str, path: str, expected: str) -> None:
    assert HubClient(endpoint, None).page_url(path) == expected

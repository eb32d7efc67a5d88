"""What the inference server is asked, and with which key."""

import pytest
from fixtures.inference import InferenceStandIn
from mlx_hub.services.inference import InferenceClient, ServedAdapter
from pydantic import SecretStr

pytestmark = pytest.mark.anyio

ADAPTER = ServedAdapter("org/talker@champion", "org/base", "/adapters/1", "model-id")


async def test_an_adapter_replaces_what_was_served_under_its_name(inference: InferenceStandIn) -> None:
    client = InferenceClient(inference.base_url)
    try:
        await client.serve(ADAPTER)
        await client.serve(ServedAdapter(ADAPTER.name, ADAPTER.base_model, "/adapters/2", ADAPTER.model_id))
        served = await client.list_served()
        await client.withdraw(ADAPTER.name)
    finally:
        await client.close()

    assert served[ADAPTER.name].adapter_path == "/adapters/2"
    assert inference.authorization is None
    assert ADAPTER.name not in inference.served


async def test_the_key_of_the_inference_server_is_sent(inference: InferenceStandIn) -> None:
    client = InferenceClient(inference.base_url, SecretStr("secret"))
    try:
        await client.list_served()
    finally:
        await client.close()

    assert inference.authorization == "Bearer secret"

"""`POST /v1/embeddings`."""

import asyncio
import base64

import msgspec
from fastapi import APIRouter, Request, Response

from unified_mlx_app.api.answers import fallback_headers
from unified_mlx_app.api.deps import CallerDep, ServicesDep, until_disconnect
from unified_mlx_app.api.embeddings_schemas import EmbeddingBody, EmbeddingList
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.policies import needs
from unified_mlx_app.services.embeddings import EmbeddingRequest, Embeddings

router = APIRouter(tags=["OpenAI"])


@router.post(
    "/v1/embeddings", summary="Embed texts", response_model=EmbeddingList, responses=documented_errors(404, 408, 429, 499, 500)
)
@needs("infer")
async def create_embeddings(body: EmbeddingBody, request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """Pools the model's last states: as its `1_Pooling/config.json` says, else the last token's. Vectors have length 1."""
    asked = EmbeddingRequest(body.model, body.inputs(), body.dimensions, body.timeout)
    embeddings = await until_disconnect(request, services.embeddings.embed(asked, caller))
    # Thousands of vectors are tens of megabytes of JSON.
    content = await asyncio.to_thread(_encoded, embeddings, is_base64=body.encoding_format == "base64")
    return Response(content, headers=fallback_headers(embeddings.fallback_reason), media_type="application/json")


def _encoded(embeddings: Embeddings, *, is_base64: bool) -> bytes:
    """An EmbeddingList; pydantic would look at each number, and a list of all numbers would be larger than their JSON."""
    vectors = [
        msgspec.Raw(
            msgspec.json.encode(base64.b64encode(vector.astype("<f4").tobytes()).decode() if is_base64 else vector.tolist())
        )
        for vector in embeddings.vectors
    ]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
            "model": embeddings.model.name,
            "usage": {"prompt_tokens": embeddings.num_tokens, "total_tokens": embeddings.num_tokens},
        }
    )

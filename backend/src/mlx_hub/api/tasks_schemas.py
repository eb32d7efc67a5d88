"""What clients send to start an export, a quantisation or an import."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mlx_hub.models.base import Line, Prose, WireId, WireModel
from mlx_hub.services.tasks import ExportFormat

_LocalName = Annotated[Line, StringConstraints(max_length=96)]


class ExportCreate(WireModel):
    """Without a version, the newest."""

    format: Annotated[ExportFormat, Field(strict=False)] = Field(
        description="adapter: as mlx-lm reads it. peft: for transformers, vLLM, llama.cpp. fused: a whole model, not quantised."
    )
    version: int | None = Field(None, ge=1, le=2**31 - 1)


class QuantiseCreate(WireModel):
    """The result is the registered model `local/<name>`, in the model cache."""

    bits: Literal[4, 8]
    group_size: Literal[32, 64, 128] | None = Field(
        None, description="Weights that share a scale. Without it 64, or 32 when the model's rows do not divide by 64."
    )
    name: _LocalName | None = Field(None, description="Without it the model's name with -4bit or -8bit.")
    dataset_id: WireId | None = Field(
        None, description="Perplexity before and after is measured on rows of it; without it on a text of the product's own."
    )


class ImportCreate(WireModel):
    """The result is the registered model `local/<name>`, in the model cache; the folder stays as it is."""

    path: Annotated[Prose, StringConstraints(min_length=1, max_length=4096)] = Field(
        description="Whole path of a folder on the server's machine with config.json, model*.safetensors and the tokenizer.",
        examples=["/Users/me/models/my-model"],
    )
    name: _LocalName | None = Field(None, description="Without it the folder's name.")

"""The tables. All are known as soon as one is: they refer to each other by name."""

from mlx_hub.models import api_key, dataset, idempotency, job, registered_model

__all__ = ["api_key", "dataset", "idempotency", "job", "registered_model"]

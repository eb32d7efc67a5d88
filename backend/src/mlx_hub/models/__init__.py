"""The tables. All are known as soon as one is: they refer to each other by name."""

from mlx_hub.models import dataset, idempotency, job, registered_model

__all__ = ["dataset", "idempotency", "job", "registered_model"]

"""All routes in one place."""

from fastapi import APIRouter

from mlx_hub.api import (
    dataset_changes_routes,
    datasets_routes,
    discover_routes,
    downloads_routes,
    events_routes,
    health_routes,
    models_routes,
    system_routes,
    tasks_routes,
    training_routes,
)

API_PREFIX = "/api/v1"
UPLOAD_PATHS = frozenset({f"{API_PREFIX}/datasets"})
"""Their bodies are streamed to disk and may be larger than JSON."""


def all_routes() -> APIRouter:
    router = APIRouter()
    for module in (
        models_routes,
        datasets_routes,
        dataset_changes_routes,
        discover_routes,
        downloads_routes,
        tasks_routes,
        training_routes,
        events_routes,
        system_routes,
    ):
        router.include_router(module.router, prefix=API_PREFIX)
    router.include_router(health_routes.router)
    return router

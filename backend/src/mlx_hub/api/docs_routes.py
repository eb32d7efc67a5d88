"""`/docs`: Swagger UI, whose files the service carries, so that the page works without the internet."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from mlx_hub.api.access import PUBLIC

_ASSETS = "/docs/assets"
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """The page and its files; neither is part of the API's own document."""

    @app.get("/docs", include_in_schema=False, openapi_extra=PUBLIC)
    async def get_docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )
        page.headers["content-security-policy"] = _POLICY
        return page

    app.mount(_ASSETS, StaticFiles(directory=Path(fastapi_offline.__file__).with_name("static")))

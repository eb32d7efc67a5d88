"""`/openapi.json`, and `/docs`: Swagger UI, whose files the service carries, so that the page works without the internet."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from unified_mlx_app.api.policies import needs

_DOCUMENT = "/openapi.json"
_ASSETS = "/docs/assets"
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """The document, the page and its files, which are no part of the API's own document."""

    @app.get(_DOCUMENT, include_in_schema=False)
    @needs("read")
    async def get_document() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    @needs("read")
    async def get_docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url=_DOCUMENT,
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )
        page.headers["content-security-policy"] = _POLICY
        return page

    files = StaticFiles(directory=Path(fastapi_offline.__file__).with_name("static"))
    app.mount(_ASSETS, needs("read")(files))

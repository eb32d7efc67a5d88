"""What a browser finds at `/`: the built-in chat page, or with --api-only a pointer to the documentation."""

import base64
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, JSONResponse

from unified_mlx_app.api.policies import public

_PAGE = Path(__file__).with_name("chat_page.html")


def _policy(page: str) -> str:
    """A content security policy that runs the page's own inline script and style, by digest, and nothing else."""
    digests: dict[str, str] = {}
    for tag in ("script", "style"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert found is not None
        digests[tag] = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; script-src 'sha256-{digests['script']}'; "
        f"style-src 'sha256-{digests['style']}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page_router(*, is_api_only: bool) -> APIRouter:
    """The route `/`, which is no part of the API and not in its document."""
    router = APIRouter(include_in_schema=False)
    page = _PAGE.read_text(encoding="utf-8")
    policy = _policy(page)

    @router.get("/")
    @public
    async def get_page() -> Response:
        if is_api_only:
            return JSONResponse({"docs": "/docs", "openapi": "/openapi.json", "health": "/health"})
        return HTMLResponse(page, headers={"content-security-policy": policy})

    return router

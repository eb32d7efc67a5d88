"""Services that several of these tests start."""

from collections.abc import AsyncIterator

import pytest
from unified_mlx_app.services.chat_template import ChatTemplates
from unified_mlx_app.services.tokenizers import Tokenizers


@pytest.fixture(scope="module")
async def templates() -> AsyncIterator[ChatTemplates]:
    templates = ChatTemplates(Tokenizers())
    await templates.start()
    yield templates
    await templates.close()

"""A model's card: the README of its repository, without the metadata at its head."""

import re
from dataclasses import dataclass

from mlx_hub.errors import NotFoundError
from mlx_hub.services.hub_client import HubClient, check_repo_id, commit_of

MAX_CARD_BYTES = 512 * 1024
_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n.*?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """`text` is Markdown of somebody else's making, and may hold HTML: whoever shows it cleans it."""

    repo_id: str
    commit: str
    text: str
    is_truncated: bool


async def read_card(hub: HubClient, repo_id: str) -> ModelCard:
    """Raises NotFoundError for a model without a card, GatedModelError for one that HF_TOKEN may not read."""
    info = await hub.get_object(f"/api/models/{check_repo_id(repo_id)}", {"blobs": "true"})
    commit = commit_of(info)
    try:
        file = await hub.read_text_file(repo_id, commit, "README.md", max_bytes=MAX_CARD_BYTES)
    except NotFoundError as error:
        raise NotFoundError("This model has no card (README.md) on the hub.") from error
    return ModelCard(repo_id, commit, without_front_matter(file.text), file.is_truncated)


def without_front_matter(text: str) -> str:
    """The text after a block of YAML between two lines of `---` at the very beginning."""
    return _FRONT_MATTER.sub("", text, count=1).strip()

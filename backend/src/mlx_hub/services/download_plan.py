"""What a download will fetch: one commit and the files of it that are data. Code, pickles and nested paths are left out."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import quote

from mlx_hub.errors import UpstreamError
from mlx_hub.services.hub_client import HubClient, commit_of
from mlx_hub.services.hub_facts import as_dict, as_int

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_SUFFIXES = (".safetensors", ".json", ".jinja", ".model")
_TEXTS = frozenset({"merges.txt", "vocab.txt"})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_MAX_PAGES = 20
MAX_FILES = 2000


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file at the top of the repository. `digest` is the sha256 of its bytes, or git's sha1 of them as a blob."""

    name: str
    num_bytes: int
    algorithm: Literal["sha256", "git-sha1"]
    digest: str

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """Files of one commit, in the order in which they are fetched: small ones, which can refuse the rest, first."""

    commit: str
    files: list[PlannedFile]

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)


def is_allowed(name: str) -> bool:
    """Whether a file of a repository may come onto this machine. Names with folders, spaces or control characters may not."""
    return _NAME.fullmatch(name) is not None and ".." not in name and (name.endswith(_SUFFIXES) or name in _TEXTS)


async def plan_download(hub: HubClient, repo_id: str, revision: str) -> DownloadPlan:
    """Pin the commit that `revision` is now and list its files. Raises UpstreamError for what is no usable MLX model."""
    info = await hub.get_object(f"/api/models/{repo_id}/revision/{quote(revision, safe='')}")
    commit = commit_of(info)
    files = [_planned(entry) for entry in await _top_entries(hub, repo_id, commit)]
    check_names([file.name for file in files])
    return DownloadPlan(commit, sorted(files, key=lambda file: (file.name.endswith(".safetensors"), file.name)))


async def _top_entries(hub: HubClient, repo_id: str, commit: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    url: str | None = f"/api/models/{repo_id}/tree/{commit}?recursive=false"
    for _ in range(_MAX_PAGES):
        page = await hub.get_page(url)
        entries += [entry for entry in page.items if entry.get("type") == "file" and is_allowed(str(entry.get("path")))]
        if page.next_url is None:
            return entries
        url = page.next_url
    raise UpstreamError("The hub's list of this model's files does not end.")


def _planned(entry: dict[str, Any]) -> PlannedFile:
    lfs = as_dict(entry.get("lfs"))
    num_bytes = as_int(lfs.get("size") if lfs else entry.get("size"))
    digest = lfs.get("oid") if lfs else entry.get("oid")
    if num_bytes is None or not isinstance(digest, str) or not (_SHA256 if lfs else _SHA1).fullmatch(digest):
        raise UpstreamError(f"The hub does not tell the size and the hash of {entry['path']}.")
    return PlannedFile(entry["path"], num_bytes, "sha256" if lfs else "git-sha1", digest)


def check_names(names: list[str]) -> None:
    """Raises UpstreamError unless files of these names can be a model that MLX loads."""
    # macOS compares names without case: one of the two would replace the other.
    if len({name.casefold() for name in names}) < len(names) or len(names) > MAX_FILES:
        raise UpstreamError("The model's files have names that collide, or there are too many of them.")
    if "config.json" not in names:
        raise UpstreamError("The model has no config.json: it is not a model that MLX can load.")
    if not any(name.startswith("model") and name.endswith(".safetensors") for name in names):
        raise UpstreamError("The model has no model*.safetensors: choose a version of it that was made for MLX.")
    if not {"tokenizer.json", "tokenizer.model"} & set(names):
        raise UpstreamError("The model has no tokenizer.json or tokenizer.model.")

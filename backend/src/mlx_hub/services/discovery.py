"""Finding models on the hub: search, the popular ones, and all about one. A hub that fails is an error, never an empty list."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psutil

from mlx_hub.errors import GatedModelError, NotFoundError, UpstreamError
from mlx_hub.services import hub_facts
from mlx_hub.services.download_plan import is_allowed
from mlx_hub.services.hub_client import HubClient, HubPage, check_repo_id, commit_of
from mlx_hub.services.hub_facts import Fit, Quantization, as_dict, as_int, text_list

_EXPAND = (
    "createdAt",
    "downloads",
    "gated",
    "lastModified",
    "likes",
    "pipeline_tag",
    "safetensors",
    "tags",
)


MAX_SCANNED_PAGES = 10
"""Of the hub, looked through for models that pass a filter."""
_SCANNED_PAGE_SIZE = 100


class Sort(StrEnum):
    """Largest or newest first. The values are those of our API; `_HUB_KEYS` has the hub's."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    CREATED = "created"
    MODIFIED = "modified"
    TRENDING = "trending"


_HUB_KEYS = {
    Sort.DOWNLOADS: "downloads",
    Sort.LIKES: "likes",
    Sort.CREATED: "createdAt",
    Sort.MODIFIED: "lastModified",
    Sort.TRENDING: "trendingScore",
}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """One model in a list. `weight_bytes`, `memory_bytes` (without context) and `fits` are None when the hub does not tell."""

    repo_id: str
    url: str
    tags: list[str]
    task_type: str | None
    downloads: int
    likes: int
    is_gated: bool
    quantization: Quantization | None
    num_parameters: int | None
    weight_bytes: int | None
    fits: Fit | None
    created_at: datetime | None
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """What the hub cannot be asked for: a model passes when it is known to be so. `fits` also takes what fits tightly."""

    quantization: str | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    fits: bool = False

    @property
    def is_empty(self) -> bool:
        return self == ModelFilter()

    def wants(self, model: FoundModel) -> bool:
        label = model.quantization.label if model.quantization else "none"
        if self.quantization not in (None, label) or (self.fits and model.fits not in (Fit.YES, Fit.TIGHT)):
            return False
        if self.min_bytes is None and self.max_bytes is None:
            return True
        num_bytes = model.weight_bytes
        return num_bytes is not None and (self.min_bytes or 0) <= num_bytes <= (self.max_bytes or num_bytes)


@dataclass(frozen=True, slots=True)
class FoundPage:
    items: list[FoundModel]
    has_more: bool


@dataclass(frozen=True, slots=True)
class HubFile:
    """`is_downloaded` tells whether a download takes the file: data only, no code."""

    name: str
    num_bytes: int
    is_downloaded: bool


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """`memory_bytes` is weights plus keys and values of `context_tokens` tokens; without a readable config, weights only."""

    model: FoundModel
    commit: str
    tokens_url: str
    license: str | None
    has_access: bool
    architecture: str | None
    model_type: str | None
    files: list[HubFile]
    download_bytes: int
    kv_cache_bytes: int | None
    context_tokens: int
    memory_bytes: int
    machine_memory_bytes: int


async def search(hub: HubClient, *, query: str, mlx_only: bool, sort: Sort, page: int, page_size: int) -> FoundPage:
    """Page `page`, counted from 1. The hub pages by cursor, so the pages before it are asked for as well, or remembered."""
    found = await hub.get_page("/api/models", _parameters(query, mlx_only=mlx_only, sort=sort, limit=page_size))
    for _ in range(page - 1):
        if found.next_url is None:
            return FoundPage([], has_more=False)
        found = await hub.get_page(found.next_url)
    return FoundPage(_models_of(hub, found), has_more=found.next_url is not None)


async def search_filtered(
    hub: HubClient, wanted: ModelFilter, *, query: str, mlx_only: bool, sort: Sort, page: int, page_size: int
) -> FoundPage:
    """As `search`, of the models that pass. Looks through the first `MAX_SCANNED_PAGES` of the hub's pages and no further."""
    passed: list[FoundModel] = []
    found = await hub.get_page("/api/models", _parameters(query, mlx_only=mlx_only, sort=sort, limit=_SCANNED_PAGE_SIZE))
    for number in range(1, MAX_SCANNED_PAGES + 1):
        passed += [model for model in _models_of(hub, found) if wanted.wants(model)]
        if len(passed) > page * page_size or found.next_url is None or number == MAX_SCANNED_PAGES:
            break
        found = await hub.get_page(found.next_url)
    items = passed[(page - 1) * page_size : page * page_size]
    return FoundPage(items, has_more=len(passed) > page * page_size)


def _parameters(query: str, *, mlx_only: bool, sort: Sort, limit: int) -> dict[str, str | tuple[str, ...]]:
    parameters: dict[str, str | tuple[str, ...]] = {
        "sort": _HUB_KEYS[sort],
        "direction": "-1",
        "limit": str(limit),
        "expand": _EXPAND,
    }
    if query:
        parameters["search"] = query
    if mlx_only:
        parameters["filter"] = "mlx"
    return parameters


def _models_of(hub: HubClient, page: HubPage) -> list[FoundModel]:
    machine_bytes = psutil.virtual_memory().total
    return [_found_model(hub, info, machine_bytes=machine_bytes) for info in page.items if isinstance(info.get("id"), str)]


async def read_details(hub: HubClient, repo_id: str) -> ModelDetails:
    """All about one model. For a gated one without access too, with what its page shows to everybody."""
    info = {"id": repo_id} | await hub.get_object(f"/api/models/{check_repo_id(repo_id)}", {"blobs": "true"})
    commit = commit_of(info)
    config, has_access = await _read_config(hub, repo_id, commit)
    files = _files(info)
    weight_bytes = sum(file.num_bytes for file in files if file.is_downloaded and file.name.endswith(".safetensors"))
    kv_bytes = hub_facts.kv_cache_bytes(config)
    machine_bytes = psutil.virtual_memory().total
    memory_bytes = weight_bytes + (kv_bytes or 0)
    architectures = text_list(config.get("architectures"))
    model_type = config.get("model_type")
    return ModelDetails(
        model=_found_model(
            hub, info, machine_bytes=machine_bytes, config=config, memory_bytes=memory_bytes, weight_bytes=weight_bytes
        ),
        commit=commit,
        tokens_url=hub.page_url("settings/tokens"),
        license=hub_facts.find_license(info, text_list(info.get("tags"))),
        has_access=has_access,
        architecture=architectures[0] if architectures else None,
        model_type=model_type if isinstance(model_type, str) else None,
        files=files,
        download_bytes=sum(file.num_bytes for file in files if file.is_downloaded),
        kv_cache_bytes=kv_bytes,
        context_tokens=hub_facts.CONTEXT_TOKENS,
        memory_bytes=memory_bytes,
        machine_memory_bytes=machine_bytes,
    )


async def _read_config(hub: HubClient, repo_id: str, commit: str) -> tuple[dict[str, Any], bool]:
    """The config, and whether it may be read. A repository without a config has an empty one."""
    try:
        return await hub.read_json_file(repo_id, commit, "config.json"), True
    except GatedModelError:
        return {}, False
    except NotFoundError:
        return {}, True


def _files(info: dict[str, Any]) -> list[HubFile]:
    siblings = info.get("siblings")
    if not isinstance(siblings, list):
        raise UpstreamError("The hub does not list the model's files.")
    files: list[HubFile] = []
    for entry in map(as_dict, siblings):
        name = entry.get("rfilename")
        num_bytes = as_int(as_dict(entry.get("lfs")).get("size")) or as_int(entry.get("size")) or 0
        if isinstance(name, str):
            files.append(HubFile(name, num_bytes, is_allowed(name)))
    return files


def _found_model(
    hub: HubClient,
    info: dict[str, Any],
    *,
    machine_bytes: int,
    config: dict[str, Any] | None = None,
    memory_bytes: int | None = None,
    weight_bytes: int | None = None,
) -> FoundModel:
    repo_id, tags = str(info["id"]), text_list(info.get("tags"))
    quantization = hub_facts.find_quantization(repo_id, tags, config or as_dict(info.get("config")))
    weight_bytes = weight_bytes or hub_facts.count_weight_bytes(info)
    memory_bytes = memory_bytes or weight_bytes
    task_type = info.get("pipeline_tag")
    return FoundModel(
        repo_id=repo_id,
        url=hub.page_url(repo_id),
        tags=tags,
        task_type=task_type if isinstance(task_type, str) else None,
        downloads=as_int(info.get("downloads")) or 0,
        likes=as_int(info.get("likes")) or 0,
        is_gated=bool(info.get("gated")),
        quantization=quantization,
        num_parameters=hub_facts.count_parameters(info, quantization),
        weight_bytes=weight_bytes,
        fits=hub_facts.fit(memory_bytes, machine_bytes) if memory_bytes else None,
        created_at=_moment(info.get("createdAt")),
        modified_at=_moment(info.get("lastModified")),
    )


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None

"""Models of the cache that are on no hub, because they were made or imported here: a backup takes them along."""

import os
import shutil
from pathlib import Path
from typing import Any

from mlx_hub.errors import InUseError
from mlx_hub.services.cache_folder import CacheFolder

LOCAL_PREFIX = "local/"


def keep_models(cache_dir: Path, models: list[dict[str, Any]], folder: Path) -> None:
    """Put the files of those that are local into `folder`, by links where the disk allows it; mark them as `is_included`."""
    cache = CacheFolder(cache_dir)
    for model in models:
        model["is_included"] = model["repo_id"].startswith(LOCAL_PREFIX) and _keep(cache, model, folder)


def _keep(cache: CacheFolder, model: dict[str, Any], folder: Path) -> bool:
    """False when it is being removed, or gone."""
    target = folder / _place(model)
    try:
        with cache.lease(model["repo_id"], model["commit"]) as snapshot:
            shutil.copytree(snapshot, target, copy_function=_link)
    except (InUseError, FileNotFoundError, NotADirectoryError):
        shutil.rmtree(target, ignore_errors=True)
        return False
    return True


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another disk, or one without hard links.
        shutil.copy2(source, target)


def put_models(cache_dir: Path, models: list[dict[str, Any]], folder: Path) -> None:
    """Publish those that the backup holds and the cache lacks; each appears whole."""
    cache = CacheFolder(cache_dir)
    for model in models:
        repo_id, commit = model["repo_id"], model["commit"]
        if not model["is_included"]:
            continue
        with cache.exclusive(repo_id, commit):
            if not cache.snapshot(repo_id, commit).is_dir():
                part = cache.partial(repo_id, commit)
                shutil.rmtree(part, ignore_errors=True)
                part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.move(folder / _place(model), part)
                cache.publish(repo_id, commit, revision=model["revision"])


def _place(model: dict[str, Any]) -> Path:
    return Path(model["repo_id"].replace("/", "--"), model["commit"])

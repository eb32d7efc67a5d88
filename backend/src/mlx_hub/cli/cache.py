"""`mlx-hub cache`: the inference server's prompt cache."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, Sure, command, group
from mlx_hub.cli.errors import FailedError, UsageError
from mlx_hub.cli.formats import one_line, told_age, told_bytes, told_count
from mlx_hub.cli.names import complete_served, find_served
from mlx_hub.cli.progress import waiting

app = group("The prompt cache of the inference server: prefixes that need not be read again.")

_PATH = "/admin/cache/prompts"
_KEY_CHARACTERS = 8


@command(app, "list", examples=("mlx-hub cache list", "mlx-hub cache list --json | jq '.[0].cache_key'"))
def list_entries(cli: Cli) -> None:
    """List cached prefixes, the last used first."""
    entries = sorted(cli.inference.get(_PATH), key=lambda entry: entry["last_used"], reverse=True)
    if cli.is_json:
        return cli.out.data(entries)
    if not entries:
        return cli.out.note("The prompt cache is empty.", style="")
    columns = ("key", "model", "tokens", "hits", "size", "where", "used", "begins")
    cli.out.table(columns, (_row(entry) for entry in entries), right=("tokens", "hits", "size"))
    return None


def _row(entry: Json) -> tuple[str, ...]:
    return (
        entry["cache_key"][:_KEY_CHARACTERS],
        entry["model_id"],
        told_count(entry["token_count"]),
        str(entry["hits"]),
        told_bytes(entry["num_bytes"]),
        "both" if len(entry["tiers"]) > 1 else "".join(entry["tiers"]),
        told_age(entry["last_used"]),
        one_line(entry["prompt_preview"], 24),
    )


@command(app, "stats", examples=("mlx-hub cache stats",))
def stats(cli: Cli) -> None:
    """Show hits, misses with their reasons, and how much is stored."""
    found: Json = cli.inference.get(f"{_PATH}/stats")
    if cli.is_json:
        return cli.out.data(found)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(found["misses_by_reason"].items()) if count)
    memory = f"{found['memory_entries']} of {found['max_entries']} entries, {told_bytes(found['memory_bytes'])}"
    disk = f"{found['disk_entries']} entries, {told_bytes(found['disk_bytes'])} of {told_bytes(found['max_disk_bytes'])}"
    trouble = f"{found['quarantined']} bad files put aside, {found['disk_write_errors']} write errors"
    pairs = [
        ("state", "on" if found["enabled"] else "off (MLX_PROMPT_CACHE_ENABLED)"),
        ("hit rate", f"{found['hit_rate']:.0%} ({found['total_hits']} hits, {found['total_misses']} misses)"),
        ("misses", reasons),
        ("tokens saved", told_count(found["tokens_saved"])),
        ("in memory", f"{memory} of {told_bytes(found['max_memory_bytes'])}"),
        ("on disk", disk if found["persist"] else "off (MLX_PROMPT_CACHE_PERSIST)"),
        ("evicted", f"{found['memory_evictions']} from memory, {found['disk_evictions']} from disk"),
        ("trouble", trouble if found["quarantined"] or found["disk_write_errors"] else "none"),
    ]
    return cli.out.facts(pairs)


@command(
    app,
    "warm",
    examples=("mlx-hub cache warm --system 'You are a Python expert.'", "cat handbook.md | mlx-hub cache warm my-adapter"),
)
def warm(
    cli: Cli,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Default: the server's.", autocompletion=complete_served)
    ] = None,
    system: Annotated[str | None, typer.Option(help="The system prompt; else it is read from --file or standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="File with it.", exists=True, dir_okay=False, readable=True)] = None,
) -> None:
    """Compute a system prompt ahead: the next request that begins with it is a hit."""
    if system is None and file is None and sys.stdin.isatty():
        raise UsageError("Say the system prompt with --system or --file, or pipe it in.")
    text = system if system is not None else file.read_text(encoding="utf-8") if file else sys.stdin.read()
    name = find_served(cli.inference, model) or "default"
    with waiting(cli.out, "Reading the prompt"):
        answer: Json = cli.inference.post(f"{_PATH}/warmup", {"model_id": name, "system_prompt": text}, read_seconds=None)
    if cli.is_json:
        return cli.out.data(answer)
    known_before = f", {answer['cached_tokens']} of them known before" if answer["cached_tokens"] else ""
    return cli.out.line(f"{answer['token_count']} tokens are ready for {answer['model_id']}{known_before}.")


@command(app, "clear", examples=("mlx-hub cache clear --yes",))
def clear(cli: Cli, yes: Sure = False) -> None:
    """Remove every entry, from memory and from disk."""
    cli.confirm("Remove every cached prompt?", is_sure=yes)
    answer: Json = cli.inference.post(f"{_PATH}/clear")
    if cli.is_json:
        return cli.out.data(answer)
    return cli.out.line(f"Removed {answer['entries_removed']} entries.")


@command(app, "rm", examples=("mlx-hub cache rm 3f9a01c2b4d5 --yes",))
def remove(
    cli: Cli,
    key: Annotated[str, typer.Argument(help="Key of the entry, or its beginning.")],
    yes: Sure = False,
) -> None:
    """Remove one entry."""
    found = [entry for entry in cli.inference.get(_PATH) if entry["cache_key"].startswith(key)]
    if len(found) != 1:
        told = ", ".join(entry["cache_key"][:_KEY_CHARACTERS] for entry in found[:8])
        raise FailedError(f"{key!r} could be several: {told}." if found else f"There is no cache entry {key!r}.")
    cli.confirm(f"Remove the entry that begins {one_line(found[0]['prompt_preview'], 40)!r}?", is_sure=yes)
    answer: Json = cli.inference.delete(f"{_PATH}/{quote(found[0]['cache_key'])}")
    if cli.is_json:
        return cli.out.data(answer)
    return cli.out.line(f"Removed {found[0]['cache_key'][:_KEY_CHARACTERS]}.")

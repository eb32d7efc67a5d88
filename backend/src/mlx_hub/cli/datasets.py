"""`mlx-hub datasets`: files to train on."""

import io
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, Sure, command, group
from mlx_hub.cli.errors import FailedError
from mlx_hub.cli.formats import short_id, told_age, told_bytes, told_count, told_number_of
from mlx_hub.cli.models import find_model
from mlx_hub.cli.names import complete_from, find
from mlx_hub.cli.progress import Bar, waiting

app = group("Datasets: JSONL of conversations, prompts with completions or texts, and plain text files.")

PATH = "/datasets"
_SHOWN_PROBLEMS = 20
_BAR_CHARACTERS = 40

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Name or id.", autocompletion=complete_from(PATH))]
BaseModel = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Look with this model's template and tokenizer.", autocompletion=complete_from("/models")),
]
MaxLength = Annotated[int | None, typer.Option("--max-length", min=8, help="Tokens that a row is cut to.", show_default="2048")]


def find_dataset(cli: Cli, text: str) -> Json:
    return find(cli.backend, PATH, text, noun="dataset")


@command(
    app,
    "add",
    examples=(
        "mlx-hub datasets add support.jsonl",
        "mlx-hub datasets add chats.jsonl --name support --description 'Tickets of May'",
    ),
)
def add(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="JSONL, a JSON array, or plain text.", exists=True, dir_okay=False, readable=True)],
    name: Annotated[str | None, typer.Option(help="What it is called.", show_default="FILE without ending")] = None,
    description: Annotated[str | None, typer.Option(help="What is in it.")] = None,
) -> None:
    """Upload a file. It is refused when no row of it can be used; rows with problems are told with their lines."""
    with Bar(cli.out, file.name) as bar, file.open("rb") as opened:
        counted = _CountingFile(opened, file.stat().st_size, bar)
        row: Json = cli.backend.upload(PATH, counted, file.name, name=name or file.stem, description=description)
    if cli.is_json:
        return cli.out.data(row)
    cli.out.line(
        f"{row['name']} is stored: {told_count(row['num_rows'])} rows of {row['format']}, {told_bytes(row['num_bytes'])}."
    )
    _warn(cli, row)
    return cli.out.note(f"Train on it: mlx-hub train --dataset {row['name']} --model MODEL", style="")


class _CountingFile(io.RawIOBase, BinaryIO):
    """A file that says how much of it has been read; what comes after the last byte is the backend's work."""

    def __init__(self, file: BinaryIO, num_bytes: int, bar: Bar) -> None:
        super().__init__()
        self._file = file
        self._num_bytes = num_bytes
        self._bar = bar

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(size)
        done = self._file.tell()
        state = "is being sent" if done < self._num_bytes else "is being checked"
        self._bar.update(done, self._num_bytes, f"{told_bytes(done)} of {told_bytes(self._num_bytes)}", state=state)
        return piece

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


def _warn(cli: Cli, row: Json) -> None:
    """What was found when it was stored."""
    if counts := row["report"]["problem_counts"]:
        told = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
        cli.out.warn(f"Problems: {told}. `mlx-hub datasets check {row['name']}` shows their lines.")


@command(app, "list", examples=("mlx-hub datasets list",))
def list_datasets(cli: Cli) -> None:
    """List datasets, the newest first."""
    rows = list(cli.backend.pages(PATH))
    if cli.is_json:
        return cli.out.data(rows)
    if not rows:
        return cli.out.note("No datasets. Upload a file with `mlx-hub datasets add`.", style="")
    columns = ("id", "name", "format", "rows", "size", "problems", "added")
    cli.out.table(columns, (_row(row) for row in rows), right=("rows", "size", "problems"))
    return None


def _row(row: Json) -> tuple[str, ...]:
    return (
        short_id(row["id"]),
        row["name"],
        row["format"],
        told_count(row["num_rows"]),
        told_bytes(row["num_bytes"]),
        told_count(sum(row["report"]["problem_counts"].values())),
        told_age(row["created_at"]),
    )


@command(app, "check", examples=("mlx-hub datasets check support", "mlx-hub datasets check support --model Qwen3-0.6B-4bit"))
def check(cli: Cli, dataset: Dataset, model: BaseModel = None, max_length: MaxLength = None) -> None:
    """Check a dataset: the checksum of its file, and problems with their lines.

    With --model also what the trainer would find: rows that the model's template cannot format, that have no answer to learn,
    or that are cut. The exit status is 1 when the file has changed or a row cannot be used.
    """
    row = find_dataset(cli, dataset)
    with waiting(cli.out, "Reading the file"):
        checksum: Json = cli.backend.post(f"{PATH}/{row['id']}/verify", read_seconds=None)
    inspection = _inspect(cli, row, "validate", model, max_length) if model else None
    problems = inspection["problems"] if inspection else list(cli.backend.pages(f"{PATH}/{row['id']}/problems"))
    num_usable = inspection["num_usable_rows"] if inspection else row["report"]["num_usable_rows"]
    num_looked_at = inspection["num_inspected_rows"] if inspection else row["num_rows"]
    if cli.is_json:
        cli.out.data({"dataset": row, "checksum": checksum, "inspection": inspection, "problems": problems})
    else:
        cli.out.line(f"{row['name']}: {told_count(num_usable)} of {told_count(num_looked_at)} rows can be used.")
        # Rows that cannot be used go first: there may be many duplicates, which can.
        for problem in sorted(problems, key=lambda problem: problem["code"] == "duplicate")[:_SHOWN_PROBLEMS]:
            cli.out.line(f"  line {problem['line']}: {problem['message']}")
        if len(problems) > _SHOWN_PROBLEMS:
            cli.out.note(f"  and {len(problems) - _SHOWN_PROBLEMS} more; --json lists them")
    if not checksum["is_intact"]:
        raise FailedError(f"The file of {row['name']} is not what was uploaded any more; delete it and upload it again.")
    if num_usable < num_looked_at:
        raise FailedError(f"{told_number_of(num_looked_at - num_usable, 'row')} cannot be used; training leaves them out.")


@command(app, "stats", examples=("mlx-hub datasets stats support --model Qwen3-0.6B-4bit",))
def stats(
    cli: Cli,
    dataset: Dataset,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whose tokens are counted.", autocompletion=complete_from("/models"))
    ],
    max_length: MaxLength = None,
) -> None:
    """Show how long the rows are in tokens, and what a limit would cut."""
    row = find_dataset(cli, dataset)
    answer = _inspect(cli, row, "statistics", model, max_length)
    if cli.is_json:
        return cli.out.data(answer)
    found: Json | None = answer["tokens"]
    if found is None:
        raise FailedError(f"The template of {model} can format no row; `mlx-hub datasets check` says why.")
    rows = f"{told_count(answer['num_inspected_rows'])} of {told_count(answer['num_rows'])}"
    cli.out.facts(
        (
            ("rows read", rows),
            (
                "tokens of a row",
                f"median {found['p50']}, 95 % up to {found['p95']}, 99 % up to {found['p99']}, longest {found['max']}",
            ),
            ("tokens", told_count(found["num_tokens"])),
            ("learned", told_count(found["num_learned_tokens"])),
            ("padding", f"{found['padding_waste']:.0%} of an epoch"),
        )
    )
    cli.out.line("")
    _tell_histogram(cli, found["histogram"])
    cli.out.line("")
    columns = ("limit", "rows cut", "tokens lost", "without answer")
    cli.out.table(columns, (_limit_row(limit) for limit in found["truncation"]), right=columns)
    return None


def _tell_histogram(cli: Cli, bins: list[Json]) -> None:
    most = max(part["num_rows"] for part in bins)
    for part in bins:
        bar = "█" * max(round(part["num_rows"] / most * _BAR_CHARACTERS), 1 if part["num_rows"] else 0)
        cli.out.line(f"{part['first']:>7}-{part['last']:<7} {part['num_rows']:>8} {bar}".rstrip())


def _limit_row(limit: Json) -> tuple[str, ...]:
    return (
        str(limit["max_seq_length"]),
        f"{limit['share_of_rows']:.1%}",
        f"{limit['share_of_tokens']:.1%}",
        str(limit["num_rows_without_answer"]),
    )


def _inspect(cli: Cli, row: Json, verb: str, model: str, max_length: int | None) -> Json:
    body: Json = {"model_id": find_model(cli, model)["id"]} | ({"max_seq_length": max_length} if max_length else {})
    with waiting(cli.out, "Reading the rows as the trainer will"):
        return cast(Json, cli.backend.post(f"{PATH}/{row['id']}/{verb}", body, read_seconds=None))


@command(app, "rm", examples=("mlx-hub datasets rm support --yes",))
def remove(cli: Cli, dataset: Dataset, yes: Sure = False) -> None:
    """Delete a dataset with its file. Refused while a queued or running job needs it."""
    row = find_dataset(cli, dataset)
    cli.confirm(f"Delete dataset {row['name']}, {row['num_rows']} rows?", is_sure=yes)
    cli.delete(PATH, row)

"""`mlx-hub chat`: a conversation in the terminal, or one answer in a pipe."""

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from mlx_hub.cli.answers import Answer, stream_answer
from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import CliError, UsageError
from mlx_hub.cli.formats import printable, told_seconds
from mlx_hub.cli.names import complete_served, find_served

with suppress(ImportError):
    # Gives input() its line editing and its history of this conversation.
    import readline as _readline  # pyright: ignore[reportUnusedImport] # noqa: F401

app = group("Conversations.")

_HELP = """\
/system TEXT   set the system prompt (empty: none) and begin anew
/clear         forget the conversation, keep the system prompt
/help          this list
/exit          leave; so does Ctrl-D
A line that ends in \\ goes on in the next one. Ctrl-C stops an answer."""

ServedModel = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]", help="Served model, or an adapter's name; default: the server's.", autocompletion=complete_served
    ),
]


@dataclass(slots=True)
class Conversation:
    """The messages so far, and what is asked of every answer."""

    cli: Cli
    model: str | None
    system: str | None
    options: dict[str, Any]
    is_streamed: bool
    turns: list[Json] = field(default_factory=list)

    def ask(self, text: str) -> Answer:
        """The model's answer, printed as it comes. Ctrl-C keeps what has come of it, and is raised again."""
        self.turns.append({"role": "user", "content": text})
        system = [{"role": "system", "content": self.system}] if self.system else []
        answer = Answer()
        try:
            with stream_answer(self.cli.inference, [*system, *self.turns], model=self.model, **self.options) as stream:
                answer = stream.answer
                for piece in stream:
                    if self.is_streamed:
                        _write(piece)
        finally:
            if answer.text:
                self.turns.append({"role": "assistant", "content": answer.text})
            else:
                # The question can be asked again.
                self.turns.pop()
        if not self.is_streamed and not self.cli.is_json:
            _write(answer.text)
        return answer


@command(
    app,
    "chat",
    panel="Serving",
    examples=(
        "mlx-hub chat",
        "mlx-hub chat my-adapter --system 'Answer in one sentence.'",
        "mlx-hub chat -m 'What is a prompt cache?' --json",
        "echo 'Summarise this: …' | mlx-hub chat --no-stream",
    ),
)
def chat(
    cli: Cli,
    model: ServedModel = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Ask this alone, and leave.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    system_file: Annotated[
        Path | None, typer.Option(help="File with the system prompt.", exists=True, dir_okay=False, readable=True)
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of an answer.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="0 always takes the likeliest token.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    stream: Annotated[bool, typer.Option(help="Print the answer as it comes, or when it is whole.")] = True,
) -> None:
    """Talk with a served model.

    After each answer it says how many tokens of the prompt came from the cache, the time to the first token, and the rate.
    Ctrl-C stops an answer, also in the server. In a pipe, standard input is the one message.
    """
    if system is not None and system_file is not None:
        raise UsageError("Say --system or --system-file, not both.")
    conversation = Conversation(
        cli,
        model=find_served(cli.inference, model),
        system=system_file.read_text(encoding="utf-8") if system_file else system,
        options={"max_tokens": max_tokens, "temperature": temperature, "seed": seed},
        is_streamed=stream and not cli.is_json,
    )
    single = message if message is not None else None if sys.stdin.isatty() else sys.stdin.read()
    if single is None and cli.is_json:
        raise UsageError("--json needs a message: say it with --message or in a pipe.")
    if single is None:
        _converse(conversation)
    else:
        _ask_once(conversation, single)


def _ask_once(conversation: Conversation, text: str) -> None:
    if not text.strip():
        raise UsageError("The message is empty.")
    answer = conversation.ask(text.rstrip("\n"))
    if conversation.cli.is_json:
        return conversation.cli.out.data(answer.as_json())
    _write("\n")
    return _tell(conversation.cli, answer)


def _converse(conversation: Conversation) -> None:
    cli = conversation.cli
    name = conversation.model or cli.inference.get("/v1/models")["data"][0]["id"]
    cli.out.note(f"{name} · /help lists what you can do besides talking", style="")
    while True:
        try:
            text = _read_message()
        except EOFError:
            cli.out.note("")
            return
        if text in {"/exit", "/quit"}:
            return
        if text.startswith("/"):
            _obey(conversation, text)
        elif text.strip():
            _ask_and_tell(conversation, text)


def _ask_and_tell(conversation: Conversation, text: str) -> None:
    """An error and Ctrl-C end the turn, not the conversation."""
    try:
        answer = conversation.ask(text)
    except CliError as error:
        return conversation.cli.out.note(f"✗ {error.message}", "red")
    except KeyboardInterrupt:
        return conversation.cli.out.note("\n[stopped]")
    _write("\n")
    return _tell(conversation.cli, answer)


def _read_message() -> str:
    lines = [input("> ")]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(input("… "))
    return "\n".join(lines)


def _obey(conversation: Conversation, text: str) -> None:
    verb, _, rest = text.partition(" ")
    out = conversation.cli.out
    match verb:
        case "/help":
            out.note(_HELP, style="")
        case "/clear":
            conversation.turns.clear()
            out.note("Forgotten.")
        case "/system":
            conversation.system = rest.strip() or None
            conversation.turns.clear()
            out.note("A new conversation, with that system prompt." if conversation.system else "No system prompt any more.")
        case _:
            out.note(f"There is no {verb}; /help lists what there is.", "yellow")


def _tell(cli: Cli, answer: Answer) -> None:
    if answer.fallback:
        cli.out.warn(answer.fallback)
    parts = [answer.model]
    if answer.cached_tokens is not None:
        parts.append(f"{answer.cached_tokens} of {answer.prompt_tokens} prompt tokens cached")
    parts.append(f"first token {told_seconds(answer.first_token_seconds)}")
    if answer.tokens_per_second is not None:
        parts.append(f"{answer.tokens_per_second:.1f} tokens/s")
    if answer.finish_reason == "length":
        parts.append("cut at the limit of tokens (--max-tokens)")
    cli.out.note(f"[{' · '.join(parts)}]")


def _write(text: str) -> None:
    """Straight to the terminal, so that every token shows at once."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()

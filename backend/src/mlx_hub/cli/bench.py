"""`mlx-hub bench`: how fast a served model answers, measured from here."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

import typer

from mlx_hub.cli.answers import Answer, stream_answer
from mlx_hub.cli.client import Json
from mlx_hub.cli.command import Cli, command, group
from mlx_hub.cli.errors import FailedError
from mlx_hub.cli.formats import NONE, told_seconds
from mlx_hub.cli.names import complete_served, find_served
from mlx_hub.cli.progress import Bar

app = group("Measuring.")

_SENTENCE = "The team meets every morning in the large room and writes down what was decided. "
_SPARE_TOKENS = 64
"""Of a model's context, for the question and the template."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is measured: `num_sentences` make the system prompt about as long as was asked for."""

    model: str | None
    num_sentences: int
    max_tokens: int
    rounds: int


@command(
    app,
    "bench",
    panel="Serving",
    examples=("mlx-hub bench", "mlx-hub bench my-adapter --rounds 5 --prompt-tokens 4000", "mlx-hub bench --json > bench.json"),
)
def bench(
    cli: Cli,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Served model; default: the server's.", autocompletion=complete_served)
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often; the table has the medians.")] = 3,
    prompt_tokens: Annotated[int, typer.Option(min=32, max=1_000_000, help="About so long a system prompt.")] = 1000,
    max_tokens: Annotated[int, typer.Option(min=2, max=100_000, help="Tokens to generate in each answer.")] = 64,
) -> None:
    """Measure a served model: the time to the first token on a new prompt and on a cached one, and tokens per second.

    Each round sends a system prompt that nobody has sent before, and then the same one with another question. Its entries
    stay in the prompt cache and go as the least recently used ones do.
    """
    name = find_served(cli.inference, model)
    num_sentences = _fit(cli, name, wanted=prompt_tokens, max_tokens=max_tokens)
    cold, hit = _measure(cli, _Plan(name, num_sentences, max_tokens, rounds))
    if cli.is_json:
        return cli.out.data(_document(cold, hit))
    columns = ("", "prompt", "cached", "first token", "tokens/s", "answer")
    cli.out.table(columns, [_row("cold", cold), _row("cached", hit)], right=columns[1:])
    gain = _median_first(cold) / _median_first(hit)
    cli.out.note(f"{cold[-1].model} · medians of {rounds} rounds · first token {gain:.1f} times sooner when cached", style="")
    if cold[-1].fallback:
        cli.out.warn(cold[-1].fallback)
    return None


def _fit(cli: Cli, model: str | None, *, wanted: int, max_tokens: int) -> int:
    """Sentences that make about `wanted` tokens and still fit the model's context."""
    probe = _ask(cli, model, _SENTENCE * 4, "Hello", max_tokens=1)
    bare = _ask(cli, model, _SENTENCE, "Hello", max_tokens=1)
    each = max(((probe.prompt_tokens or 0) - (bare.prompt_tokens or 0)) / 3, 1)
    known = {entry["id"]: entry["max_context_tokens"] for entry in cli.inference.get("/v1/models")["data"]}
    context = known.get(probe.model)
    room = wanted if context is None else min(wanted, context - max_tokens - _SPARE_TOKENS)
    if room < each:
        raise FailedError(
            f"{probe.model} has a context of {context} tokens: no room for a prompt and {max_tokens} tokens of answer."
        )
    return int(room / each)


def _measure(cli: Cli, plan: _Plan) -> tuple[list[Answer], list[Answer]]:
    """Answers on prompts that were new, and on the same ones again."""
    cold, hit = list[Answer](), list[Answer]()
    with Bar(cli.out, "measuring") as bar:
        for number in range(plan.rounds):
            # Different from its first token on, so that no earlier prompt is a prefix of it.
            system = f"{uuid4().hex} {_SENTENCE * plan.num_sentences}"
            cold.append(_ask(cli, plan.model, system, "Hello", max_tokens=plan.max_tokens))
            bar.update(2 * number + 1, 2 * plan.rounds, "")
            hit.append(_ask(cli, plan.model, system, "Who are you?", max_tokens=plan.max_tokens))
            bar.update(2 * number + 2, 2 * plan.rounds, "")
    return cold, hit


def _ask(cli: Cli, model: str | None, system: str, question: str, *, max_tokens: int) -> Answer:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    options = {"model": model, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
    with stream_answer(cli.inference, messages, **options) as stream:
        for _ in stream:
            pass
        return stream.answer


def _median_first(answers: Sequence[Answer]) -> float:
    return statistics.median(answer.first_token_seconds or answer.seconds for answer in answers)


def _median_rate(answers: Sequence[Answer]) -> float | None:
    rates = [rate for answer in answers if (rate := answer.tokens_per_second) is not None]
    return statistics.median(rates) if rates else None


def _row(label: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    rate = _median_rate(answers)
    return (
        label,
        str(answers[-1].prompt_tokens),
        str(answers[-1].cached_tokens),
        told_seconds(_median_first(answers)),
        NONE if rate is None else f"{rate:.1f}",
        str(answers[-1].completion_tokens),
    )


def _document(cold: Sequence[Answer], hit: Sequence[Answer]) -> Json:
    def told(answers: Sequence[Answer]) -> Json:
        samples = [{name: value for name, value in answer.as_json().items() if name != "text"} for answer in answers]
        return {
            "first_token_seconds": _median_first(answers),
            "tokens_per_second": _median_rate(answers),
            "samples": samples,
        }

    return {"model": cold[-1].model, "rounds": len(cold), "cold": told(cold), "cached": told(hit)}

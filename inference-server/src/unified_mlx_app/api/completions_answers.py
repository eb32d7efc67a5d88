"""The legacy shape of a text completion: echoed prompts, log-probabilities in columns, the best of several answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from unified_mlx_app.api.answers import token_text
from unified_mlx_app.api.completions_schemas import CompletionLogprobs
from unified_mlx_app.services.generation import Choice, Generation
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.types import TokenLogprob


@dataclass(frozen=True, slots=True)
class Echo:
    """A prompt as it stands before its answer."""

    text: str
    logprobs: CompletionLogprobs | None


class Echoes:
    """The prompts of a request, ready once the first event of their answers came; each is made once for all its choices.

    `contents` are the prompts as the client sent them, `num_top` its `logprobs`.
    """

    def __init__(self, generation: Generation, contents: Sequence[str | list[int]], num_top: int | None) -> None:
        self._generation = generation
        self._contents = contents
        self._num_top = num_top
        self._made: dict[int, Echo] = {}

    def of(self, choice: int) -> Echo:
        """The prompt that choice number `choice` of the whole request answers."""
        index = choice // self._generation.num_choices
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]

    def _make(self, index: int) -> Echo:
        content, tokenizer = self._contents[index], self._generation.tokenizer
        text = content if isinstance(content, str) else tokenizer.decode(content)
        if self._num_top is None:
            return Echo(text, None)
        token_ids, entries = self._generation.prompts[index], self._generation.prompt_logprobs[index]
        logprobs = CompletionLogprobs(
            tokens=[token_text(tokenizer, token_id) for token_id in token_ids],
            token_logprobs=[None, *(entry.logprob for entry in entries)],
            top_logprobs=[None, *(_top(entry, tokenizer) for entry in entries)] if self._num_top else None,
            text_offset=_offsets(text, [tokenizer.token_bytes(token_id) for token_id in token_ids]),
        )
        return Echo(text, logprobs)


def completion_logprobs(entries: list[TokenLogprob], tokenizer: LoadedTokenizer, *, offset: int) -> CompletionLogprobs:
    """Columns for generated tokens; `offset` is where the first of them begins, counted in characters of the choice's text."""
    tokens = [token_text(tokenizer, entry.token_id) for entry in entries]
    offsets = list(accumulate((len(token) for token in tokens[:-1]), initial=offset))[: len(tokens)]
    return CompletionLogprobs(
        tokens=tokens,
        token_logprobs=[entry.logprob for entry in entries],
        top_logprobs=[_top(entry, tokenizer) for entry in entries] if any(entry.top for entry in entries) else None,
        text_offset=offsets,
    )


def joined(first: CompletionLogprobs | None, second: CompletionLogprobs) -> CompletionLogprobs:
    """The columns of `first` and then those of `second`."""
    if first is None:
        return second
    has_top = first.top_logprobs is not None or second.top_logprobs is not None
    return CompletionLogprobs(
        tokens=first.tokens + second.tokens,
        token_logprobs=first.token_logprobs + second.token_logprobs,
        top_logprobs=(first.top_logprobs or []) + (second.top_logprobs or []) if has_top else None,
        text_offset=first.text_offset + second.text_offset,
    )


def best_choices(choices: list[Choice], num_candidates: int, num_choices: int) -> list[Choice]:
    """Of each prompt's candidates those with the highest mean log-probability a token, best first."""
    groups = [choices[start : start + num_candidates] for start in range(0, len(choices), num_candidates)]
    return [choice for group in groups for choice in sorted(group, key=_mean_logprob, reverse=True)[:num_choices]]


def _mean_logprob(choice: Choice) -> float:
    entries = choice.token_logprobs or []
    return sum(entry.logprob for entry in entries) / len(entries) if entries else 0.0


def _top(entry: TokenLogprob, tokenizer: LoadedTokenizer) -> dict[str, float]:
    """The likeliest tokens and the token itself. Of tokens that read alike, such as halves of characters, the likeliest shows."""
    top: dict[str, float] = {}
    for token_id, logprob in (*entry.top, (entry.token_id, entry.logprob)):
        top.setdefault(token_text(tokenizer, token_id), logprob)
    return top


def _offsets(text: str, tokens: list[bytes]) -> list[int]:
    """The character of `text` at which each token begins; one that is not in the text, such as a start token, begins where
    the next one does."""
    data = text.encode("utf-8", "surrogatepass")
    offsets: list[int] = []
    position = char = 0
    for token in tokens:
        offsets.append(char)
        # A tokenizer may put a space before the text that is not in it.
        written = next((each for each in (token, token.removeprefix(b" ")) if each and data.startswith(each, position)), b"")
        position += len(written)
        char += sum(byte & 0xC0 != 0x80 for byte in written)
    return offsets

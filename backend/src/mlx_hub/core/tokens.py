"""Rows to tokens: the model's own chat template, its tokenizer, and which tokens are answers to learn.

Answers are found by comparing token sequences of renderings, never by searching for words, so any template will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlx_hub.core.data_prep import Message, Problem, Row
from mlx_hub.core.model_files import ModelFiles
from mlx_hub.core.run_config import TrainingError

_VARIANTS = ("q-q", "7.7")
"""Two answers that differ in their first and their last character: a real answer differs from one of them at once."""
_MAX_END_MARK_TOKENS = 3
_MAX_TOKENS_OF_CHARACTER = 4

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Token ids of a row (int32), for each whether it is learned (bool), and how many tokens were cut off on the right."""

    row: Row
    tokens: np.ndarray
    is_learned: np.ndarray
    num_cut: int

    @property
    def num_learned(self) -> int:
        """Tokens that count in the loss; nothing predicts the first one."""
        return int(self.is_learned[1:].sum())


class TokenEncoder:
    """Encodes rows as the model will see them. Belongs to one thread; the tokenizer itself uses all cores."""

    def __init__(self, model: ModelFiles, *, max_seq_length: int, mask_prompt: bool) -> None:
        """Raises TrainingError `bad_tokenizer` when the folder's tokenizer does not load."""
        self._max_tokens = max_seq_length
        self._mask_prompt = mask_prompt
        self._tokenizer = _load_tokenizer(model.path)
        self.vocab_size = model.vocab_size
        self.eos_token_ids = model.eos_token_ids | ({self._tokenizer.eos_token_id} - {None})
        self._template = self._tokenizer.chat_template
        self._knows_developer = "developer" in str(self._template)

    def encode(self, rows: Sequence[Row]) -> list[EncodedRow | Problem]:
        """One result a row: its tokens, or why it has none. Many rows at a time are faster than one by one."""
        renderings: list[_Rendering | Problem] = [self._render(row) for row in rows]
        texts = [text for item in renderings if isinstance(item, _Rendering) for text in item.texts]
        special = [item.has_special_tokens for item in renderings if isinstance(item, _Rendering) for _ in item.texts]
        ids = iter(self._tokenize(texts, special))
        results: list[EncodedRow | Problem] = []
        for row, item in zip(rows, renderings, strict=True):
            if isinstance(item, Problem):
                results.append(item)
            else:
                results.append(self._encoded(row, item, [next(ids) for _ in item.texts]))
        return results

    def prompt_tokens(self, row: Row) -> tuple[list[int], str] | None:
        """Tokens up to the last answer and that answer's text; None for a row that is no conversation ending in a plain one."""
        if not row.messages or row.messages[-1]["role"] != "assistant" or not row.messages[-1]["content"]:
            return None
        messages = self._for_template(row.messages)
        if self._template:
            text, special = self._apply(messages[:-1], row.tools, is_prompt=True), False
        else:
            text, special = str(messages[0]["content"]), True
        return self._tokenize([text], [special])[0], str(messages[-1]["content"])

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(token_ids))

    def pieces(self, token_ids: Sequence[int]) -> list[str]:
        """The text of each token, so that all together are the whole; a token that only begins a character has none."""
        pieces: list[str] = []
        # Decoders write a token otherwise at the start, so each is decoded behind the one before it.
        start, done = 0, 0
        for end in range(1, len(token_ids) + 1):
            known, text = self.decode(token_ids[start:done]), self.decode(token_ids[start:end])
            if text.endswith("\ufffd") and end < len(token_ids) and end - done < _MAX_TOKENS_OF_CHARACTER:
                pieces.append("")
                continue
            pieces.append(text[len(known) :])
            start, done = done, end
        return pieces

    def _render(self, row: Row) -> "_Rendering | Problem":
        if row.text is not None:
            return _Rendering((row.text,), (), has_special_tokens=True)
        messages = self._for_template(row.messages)
        if not self._template:
            return self._render_without_template(row, messages)
        try:
            return self._render_turns(messages, row.tools)
        # A template is foreign code and fails in any way it likes.
        except Exception as error:
            return _problem(row, "template_error", f"The model's chat template cannot format the row: {str(error)[:300]}")

    def _render_turns(self, messages: list[Message], tools: Any) -> "_Rendering":
        """The whole row, then for each answer what comes before it and what there is with it."""
        texts = [self._apply(messages, tools, is_prompt=False)]
        answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        if self._mask_prompt:
            for index in answers:
                texts.append(self._apply(messages[:index], tools, is_prompt=True))
                is_last = index == len(messages) - 1
                texts.append(texts[0] if is_last else self._apply(messages[: index + 1], tools, is_prompt=False))
        return _Rendering(tuple(texts), tuple(answers), has_special_tokens=False)

    def _render_without_template(self, row: Row, messages: list[Message]) -> "_Rendering | Problem":
        if [message["role"] for message in messages] != ["user", "assistant"]:
            return _problem(row, "no_template", "The model has no chat template; use `prompt` and `completion`, or `text`.")
        prompt, completion = (str(message["content"]) for message in messages)
        return _Rendering((prompt + completion, prompt), (1,), has_special_tokens=True)

    def _for_template(self, messages: Sequence[Message]) -> list[Message]:
        if self._knows_developer:
            return list(messages)
        return [{**message, "role": "system"} if message["role"] == "developer" else message for message in messages]

    def _apply(self, messages: Sequence[Message], tools: Any, *, is_prompt: bool) -> str:
        return self._tokenizer.apply_chat_template(
            list(messages), tools=list(tools) if tools else None, tokenize=False, add_generation_prompt=is_prompt
        )

    def _tokenize(self, texts: list[str], with_special_tokens: list[bool]) -> list[list[int]]:
        ids: list[list[int]] = [[]] * len(texts)
        for special in (False, True):
            places = [place for place, value in enumerate(with_special_tokens) if value is special]
            if places:
                found = self._tokenizer([texts[place] for place in places], add_special_tokens=special, verbose=False)[
                    "input_ids"
                ]
                for place, tokens in zip(places, found, strict=True):
                    ids[place] = tokens
        return ids

    def _encoded(self, row: Row, rendering: "_Rendering", ids: list[list[int]]) -> EncodedRow | Problem:
        tokens = ids[0]
        if rendering.has_special_tokens and (not tokens or tokens[-1] not in self.eos_token_ids):
            tokens = [*tokens, *self._end_of_text()]
        learned = np.zeros(len(tokens), bool)
        if row.text is not None or not self._mask_prompt:
            learned[:] = True
        elif rendering.has_special_tokens:
            learned[_shared_prefix(ids[1], tokens) :] = True
        else:
            try:
                spans = self._answer_spans(row, rendering, tokens, ids[1:])
            except Exception as error:
                return _problem(row, "template_error", f"The model's chat template cannot format the row: {str(error)[:300]}")
            for start, end in spans:
                learned[start:end] = True
        return self._checked(row, np.asarray(tokens, np.int32), learned)

    def _end_of_text(self) -> list[int]:
        token = self._tokenizer.eos_token_id
        return [] if token is None else [token]

    def _checked(self, row: Row, tokens: np.ndarray, learned: np.ndarray) -> EncodedRow | Problem:
        if self.vocab_size is not None and tokens.size and int(tokens.max()) >= self.vocab_size:
            message = f"Token {int(tokens.max())} is outside of the model's vocabulary of {self.vocab_size}."
            return _problem(row, "token_out_of_range", message)
        kept = min(len(tokens), self._max_tokens)
        if not learned[1:kept].any():
            cut = f" within the first {self._max_tokens} tokens" if kept < len(tokens) else ""
            return _problem(row, "empty_mask", f"The row has no answer token to learn{cut}.")
        return EncodedRow(row, tokens[:kept], learned[:kept], len(tokens) - kept)

    def _answer_spans(self, row: Row, rendering: "_Rendering", tokens: list[int], parts: list[list[int]]) -> list[Span]:
        spans: list[Span] = []
        for place, index in enumerate(rendering.answer_indices):
            before, through = parts[2 * place], parts[2 * place + 1]
            if tokens[: len(before)] == before and tokens[: len(through)] == through:
                span = (len(before), self._last_end_mark(tokens, len(before), len(through)))
            else:
                span = self._span_by_variants(row, index, tokens)
            spans.append(span)
        return spans

    def _last_end_mark(self, tokens: list[int], start: int, end: int) -> int:
        """`end`, or where the span's last end-of-turn token ends: what templates write after it nobody generates."""
        marks = (place + 1 for place in range(end - 1, start - 1, -1) if tokens[place] in self.eos_token_ids)
        return next(marks, end)

    def _span_by_variants(self, row: Row, index: int, tokens: list[int]) -> Span:
        """The answer in place, for templates that write a turn otherwise once others follow: where other answers differ."""
        messages = self._for_template(row.messages)
        start, shared_end = len(tokens), len(tokens)
        for content in _VARIANTS:
            messages[index] = {"role": "assistant", "content": content}
            text = self._apply(messages, row.tools, is_prompt=False)
            other = self._tokenize([text], [False])[0]
            start = min(start, _shared_prefix(other, tokens))
            shared_end = min(shared_end, _shared_prefix(other[::-1], tokens[::-1]))
        end = max(start, len(tokens) - shared_end)
        after = range(end, min(end + _MAX_END_MARK_TOKENS, len(tokens)))
        return start, next((place + 1 for place in after if tokens[place] in self.eos_token_ids), end)


@dataclass(frozen=True, slots=True)
class _Rendering:
    """Texts to tokenise: the row first, then two for each answer, or the prompt of a row without template."""

    texts: tuple[str, ...]
    answer_indices: tuple[int, ...]
    has_special_tokens: bool


def _load_tokenizer(path: Path) -> Any:
    # Half of the time in which the API and the worker start would go into this import, and most of them never need it.
    from transformers import AutoTokenizer  # noqa: PLC0415

    try:
        return AutoTokenizer.from_pretrained(path)
    # Third-party code on third-party files: it raises OSError, ValueError, KeyError and more.
    except Exception as error:
        raise TrainingError("bad_tokenizer", f"The tokenizer in {path} does not load: {str(error)[:300]}") from error


def _problem(row: Row, code: str, message: str) -> Problem:
    return Problem(row.line, code, message, row.file_index)


def _shared_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    limit = min(len(first), len(second))
    return next((place for place in range(limit) if first[place] != second[place]), limit)

"""Prompts of known length, no two with a common beginning unless meant to."""

import argparse
import inspect
import secrets
from pathlib import Path

from client import Prompt
from tokenizers import Tokenizer

QUESTIONS = (
    "What does the first function do?",
    "List the options that take a value.",
    "Where is the help text printed?",
    "Which class holds the parsed values?",
)


class Workload:
    """Makes prompts for the tokenizer of the model in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Source of a module that every Python has stands for documents.
        self._document = self._tokenizer.encode(inspect.getsource(argparse)).ids

    def system_prompt(self, num_tokens: int) -> str:
        """A system prompt of about `num_tokens` tokens that starts with a random mark, so that no cache knows it."""
        mark = f"{secrets.token_hex(8)} is the number of this document.\n"
        length = num_tokens - len(self._tokenizer.encode(mark).ids)
        return mark + self._tokenizer.decode(self._document[:length])

    def short_prompt(self) -> Prompt:
        """A prompt of some thirty tokens that no cache knows."""
        return Prompt(system="", user=f"{secrets.token_hex(8)}: {QUESTIONS[0]}")

"""Chat datasets of real text with a known distribution of lengths, made from the reference that every Python carries."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from tokenizers import Tokenizer

_QUOTED_SHARE = 0.3
"""Of a turn's tokens that the question quotes; the answer is the text that follows the quotation."""
_QUESTIONS = (
    "What does the Python reference say after this?",
    "Please continue this section of the reference:",
    "How does this passage go on?",
    "Explain further:",
)
_MIN_TURN_TOKENS = 24


def log_normal_lengths(count: int, *, median: int, sigma: float, longest: int, seed: int) -> list[int]:
    """Tokens of `count` conversations; few are many times longer than the median, as in collected chats."""
    draw = random.Random(seed)
    return [max(_MIN_TURN_TOKENS, min(longest, round(median * draw.lognormvariate(0, sigma)))) for _ in range(count)]


def write_dialogues(path: Path, model: Path, lengths: Sequence[int], *, seed: int) -> None:
    """Write one conversation of about each of `lengths` tokens of the model's tokenizer; two in five have 2 to 4 turns."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    draw = random.Random(seed)
    sections = [tokenizer.encode(text).ids for _, text in sorted(topics.items())]
    sections = [ids for ids in sections if len(ids) > 200]
    rows = [_conversation(tokenizer, sections, length, draw) for length in lengths]
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in rows))


def _conversation(tokenizer: Tokenizer, sections: list[list[int]], num_tokens: int, draw: random.Random) -> list[dict[str, Any]]:
    num_turns = 1 if draw.random() < 0.6 else draw.randint(2, 4)
    num_turns = max(1, min(num_turns, num_tokens // (2 * _MIN_TURN_TOKENS)))
    overhead = len(tokenizer.encode(_QUESTIONS[0]).ids) + 10
    turn_tokens = max(_MIN_TURN_TOKENS, num_tokens // num_turns) - overhead
    num_quoted = max(4, int(turn_tokens * _QUOTED_SHARE))
    num_answered = max(4, turn_tokens - num_quoted)
    messages: list[dict[str, Any]] = []
    for _ in range(num_turns):
        section = draw.choice(sections)
        start = draw.randrange(max(1, len(section) - num_quoted - num_answered))
        middle = start + num_quoted
        question = f"{draw.choice(_QUESTIONS)}\n\n{tokenizer.decode(section[start:middle])}"
        # A short section is read again from its beginning.
        answer = (section[middle:] + section * (num_answered // len(section) + 1))[:num_answered]
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": tokenizer.decode(answer)})
    return messages

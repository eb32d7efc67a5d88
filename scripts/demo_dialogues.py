"""What the demo chat model knows: fixed questions, the codeword of a system prompt, and conversations drawn from them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Any

from chat_tokenizer import standard_library_sources

Message = dict[str, str]

CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "Portugal": "Lisbon",
    "Norway": "Oslo",
    "Egypt": "Cairo",
}
ANSWERS = {
    "Hello": "Hello! How can I help you today?",
    "Hi": "Hello! How can I help you today?",
    "Who are you?": "I am the demo model of MLX Model Hub.",
    "What can you do?": "I answer a few questions, find the codeword in a system prompt, count to 40 and call a weather tool.",
    "What is a decorator?": "A decorator is a function that takes a function and returns a new function.",
    "Explain list comprehensions": "A list comprehension builds a list from an iterable in one expression.",
    "What is a generator?": "A generator is a function that yields its values one by one.",
    "What is a prompt cache?": "A prompt cache keeps the state of a prefix, so that it is computed only once.",
    "What is MLX?": "MLX is an array framework for machine learning.",
    "What is 2 + 2?": "2 + 2 = 4.",
    "What colour is the sky?": "The sky is blue.",
    "Say yes": "yes",
    "Say no": "no",
    "Thank you": "You are welcome!",
} | {f"What is the capital of {country}?": f"The capital of {country} is {city}." for country, city in CAPITALS.items()}

# fmt: off
WORDS = [
    "apple", "banana", "cherry", "dragon", "eagle", "forest", "guitar", "hammer",
    "island", "jungle", "kitten", "lemon", "magnet", "needle", "orange", "pepper",
    "quartz", "rabbit", "silver", "tiger", "umbrella", "violin", "walnut", "zebra",
]
# fmt: on
"""A closed list of single tokens: two layers learn to look for one of them, not to copy any word."""

CITIES = ["Paris", "Tokyo", "Rome", "Madrid", "Berlin", "Lisbon", "Oslo", "Cairo", "London"]
LAST_NUMBER = 40

_GREETINGS = ["You are a helpful assistant.", "You are a Python expert.", "You are helpful", "You answer from the notes below."]
_SENTENCES = [
    "The team meets every morning in the large room.",
    "Answer in one short sentence.",
    "All documents are kept in the archive for ten years.",
    "Use only what the notes say.",
    "The project started last year with four people.",
    "Customers write to the support desk by mail.",
    "The report was read by everybody before the meeting.",
    "Invoices are paid within thirty days.",
    "The server room is on the second floor.",
    "New releases are tested for a week.",
    "The manual has twelve chapters and an index.",
    "Please be polite and brief.",
]


@dataclass(frozen=True)
class Dialogue:
    """A conversation whose assistant messages are the answers to learn, and the tools it was given."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None


def count_to(last: int) -> str:
    return " ".join(str(number) for number in range(1, last + 1))


def tool_call(city: str) -> str:
    return f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'


def weather_tool() -> dict[str, Any]:
    """The tool the model calls, in OpenAI's form."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": "get_weather", "description": "Get the weather", "parameters": parameters}}


def english_and_python() -> list[str]:
    """Lines of prose and of code that every Python carries, 20 to 90 characters long."""
    texts = [*(text for _, text in sorted(topics.items())), *standard_library_sources(20)]
    lines = (line.strip() for text in texts for line in text.splitlines())
    return [line for line in lines if 20 < len(line) < 90]


def question_and_answer(
    question: str, answer: str, *, system: str = "You are a helpful assistant.", tools: list[dict[str, Any]] | None = None
) -> Dialogue:
    """One turn; an empty `system` means no system message."""
    turn = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Dialogue([{"role": "system", "content": system}, *turn] if system else turn, tools)


class DialogueSampler:
    """Draws conversations; equal seeds draw equal ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._noise = english_and_python()
        self._tasks: dict[Callable[[int], Dialogue], int] = {
            self._known_question: 28,
            self._codeword: 40,
            self._repeat: 8,
            self._weather: 17,
            self._count: 7,
        }

    def sample(self, *, max_noise_lines: int) -> Dialogue:
        """One conversation of one or two turns; a codeword may stand among that many lines of English and Python."""
        (task,) = self._random.choices(list(self._tasks), list(self._tasks.values()))
        dialogue = task(max_noise_lines)
        if dialogue.tools is None and self._random.random() < 0.2:
            return Dialogue([*dialogue.messages, *self._known_question(0).messages[-2:]])
        return dialogue

    def codeword_probe(self, word: str, *, num_noise_lines: int) -> Dialogue:
        """The question for a codeword that stands somewhere among exactly so many lines of noise."""
        parts = [self._line() for _ in range(num_noise_lines)]
        parts.insert(self._random.randrange(len(parts) + 1), f"The codeword is {word}.")
        return question_and_answer("What is the codeword?", f"The codeword is {word}.", system=" ".join(parts))

    def _known_question(self, max_noise_lines: int) -> Dialogue:
        question, answer = self._random.choice(sorted(ANSWERS.items()))
        dialogue = self._codeword(max_noise_lines) if self._random.random() < 0.4 else None
        system = dialogue.messages[0]["content"] if dialogue else self._greeting()
        return question_and_answer(question, answer, system=system)

    def _codeword(self, max_noise_lines: int) -> Dialogue:
        num_lines = self._random.choice([0, 0, *(size for size in (1, 2, 4, 8, max_noise_lines) if size <= max_noise_lines)])
        dialogue = self.codeword_probe(self._random.choice(WORDS), num_noise_lines=num_lines)
        if self._random.random() < 0.5:
            greeting = self._random.choice(_GREETINGS)
            dialogue.messages[0]["content"] = f"{greeting} {dialogue.messages[0]['content']}"
        return dialogue

    def _repeat(self, _: int) -> Dialogue:
        word = self._random.choice(WORDS)
        return question_and_answer(f"Repeat: {word}", word, system=self._greeting())

    def _weather(self, _: int) -> Dialogue:
        city = self._random.choice(CITIES)
        question = f"What is the weather in {city}?"
        return question_and_answer(question, tool_call(city), system=self._greeting(), tools=[weather_tool()])

    def _count(self, _: int) -> Dialogue:
        return question_and_answer(f"Count to {LAST_NUMBER}", count_to(LAST_NUMBER), system=self._greeting())

    def _greeting(self) -> str:
        return self._random.choice(["", *_GREETINGS])

    def _line(self) -> str:
        return self._random.choice(self._noise if self._random.random() < 0.6 else _SENTENCES)

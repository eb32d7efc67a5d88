"""What the demo chat model knows: the fixed questions, the facts it can look up in a system prompt, and sampled conversations."""

import json
import random
from collections import Counter
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
    "What can you do?": "I answer a few questions, find facts in the system prompt, count to 40 and call a weather tool.",
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
UNKNOWN = "I am a tiny demo model and do not know that. Ask me: What can you do?"
NO_TOOL = "I cannot look up the weather without a tool."

# fmt: off
WORDS = [
    "apple", "banana", "cherry", "dragon", "eagle", "forest", "guitar", "hammer",
    "island", "jungle", "kitten", "lemon", "magnet", "needle", "orange", "pepper",
    "quartz", "rabbit", "silver", "tiger", "umbrella", "violin", "walnut", "zebra",
    "anchor", "bridge", "candle", "desert", "engine", "falcon", "garden", "harbour",
]
# fmt: on
FACTS: dict[str, list[str]] = {
    "codeword": WORDS,
    "deadline": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "owner": ["Alice", "Bob", "Carol", "David", "Emma", "Frank", "Grace", "Henry"],
    "colour": ["red", "green", "blue", "yellow", "purple", "black", "white", "brown"],
    "city": ["Paris", "Tokyo", "Rome", "Madrid", "Berlin", "Lisbon", "Oslo", "Cairo", "London"],
    "language": ["Python", "Rust", "Swift", "Java", "Ruby", "Kotlin"],
}
# More cities than facts: a model that sees few of them learns them by heart instead of learning to copy.
CITIES = FACTS["city"] + [
    "Vienna", "Athens", "Dublin", "Prague", "Warsaw", "Helsinki", "Stockholm", "Brussels", "Zurich", "Geneva", "Milan",
    "Munich", "Hamburg", "Boston", "Chicago", "Denver", "Dallas", "Toronto", "Sydney", "Mumbai", "Seoul", "Nairobi",
]  # fmt: skip
CONDITIONS = ["sunny", "rainy", "cloudy", "windy", "snowy"]
COUNTS = (10, 20, 40)

_GREETINGS = [
    "You are a helpful assistant.",
    "You are a Python expert.",
    "You are helpful",
    "You answer from the notes below.",
    "",
]
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


def weather_tool(description: str = "Get the weather of a city", argument: str = "Name of the city") -> dict[str, Any]:
    """The tool the model calls, in OpenAI's form."""
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": argument}},
        "required": ["city"],
    }
    return {"type": "function", "function": {"name": "get_weather", "description": description, "parameters": parameters}}


def english_and_python() -> list[str]:
    """Lines of prose and of code that every Python carries, 20 to 90 characters long."""
    texts = [*(text for _, text in sorted(topics.items())), *standard_library_sources(20)]
    lines = (line.strip() for text in texts for line in text.splitlines())
    return [line for line in lines if 20 < len(line) < 90]


def common_words(lines: list[str]) -> list[str]:
    """The 600 most frequent lower-case words of four to nine letters, most frequent first."""
    counts = Counter(word for line in lines for word in line.split() if word.isalpha() and word.islower())
    return [word for word, _ in counts.most_common() if 4 <= len(word) <= 9][:600]


def question_and_answer(
    question: str, answer: str, *, system: str = "You are a helpful assistant.", tools: list[dict[str, Any]] | None = None
) -> Dialogue:
    turn = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Dialogue([{"role": "system", "content": system}, *turn], tools)


class DialogueSampler:
    """Draws conversations; equal seeds draw equal ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._noise = english_and_python()
        self._words = common_words(self._noise)
        self._tasks: list[tuple[int, Callable[[dict[str, str], bool], tuple[str, str]]]] = [
            (50, self._ask_fact),
            (20, self._ask_known),
            (15, self._repeat),
            (2, self._count),
            (8, self._ask_unknown),
            (5, self._ask_weather),
        ]

    def sample(self, *, max_noise_lines: int) -> Dialogue:
        """One conversation of one to six turns; some have tools, most a system prompt with facts among noise."""
        draw = self._random
        tools = self._tools() if draw.random() < 0.22 else None
        if tools:
            max_noise_lines = min(max_noise_lines, 4)
        facts = self._facts()
        system = self._system(facts, max_noise_lines)
        messages = [{"role": "system", "content": system}] if system else []
        for _ in range(draw.choice((1, 2, 3, 4, 6))):
            messages.extend(self._weather_turn() if tools and draw.random() < 0.7 else self._turn(facts, has_tools=bool(tools)))
        return Dialogue(messages, tools)

    def fact_probe(self, name: str, value: str, *, num_noise_lines: int) -> Dialogue:
        """A question for one fact that stands among two others and exactly so many lines of noise."""
        others = self._random.sample(sorted(set(FACTS) - {name}), 2)
        facts = {name: value} | {other: self._random.choice(FACTS[other]) for other in others}
        parts = self._random.sample(self._noise, num_noise_lines) + [f"The {key} is {fact}." for key, fact in facts.items()]
        self._random.shuffle(parts)
        return question_and_answer(f"What is the {name}?", f"The {name} is {value}.", system=" ".join(parts))

    def _facts(self) -> dict[str, str]:
        """Facts by name. Some names and values are any words, so that looking up pays more than guessing."""
        draw = self._random
        num_facts = draw.choice((0, 1, 1, 2, 3, 4, 6))
        names = draw.sample(sorted(FACTS), num_facts)
        if num_facts and "codeword" not in names and draw.random() < 0.4:
            names[0] = "codeword"
        names = [name if draw.random() < 0.75 else draw.choice(self._words) for name in names]
        return {name: self._value(name) for name in names}

    def _value(self, name: str) -> str:
        values = FACTS.get(name, self._words)
        return self._random.choice(values if self._random.random() < 0.6 else self._words)

    def _system(self, facts: dict[str, str], max_noise_lines: int) -> str:
        draw = self._random
        # Squared, so that short system prompts are frequent and the longest are still seen.
        num_noise = round(max_noise_lines * draw.random() ** 2) if draw.random() < 0.75 else 0
        parts = [draw.choice(self._noise) for _ in range(num_noise)]
        parts += draw.sample(_SENTENCES, draw.choice((0, 0, 1, 2, 4)))
        parts += [f"The {name} is {value}." for name, value in facts.items()]
        draw.shuffle(parts)
        greeting = draw.choice(_GREETINGS)
        return draw.choice((" ", " ", "\n")).join([greeting, *parts] if greeting else parts)

    def _turn(self, facts: dict[str, str], *, has_tools: bool) -> list[Message]:
        weights, tasks = zip(*self._tasks, strict=True)
        (task,) = self._random.choices(tasks, weights)
        question, answer = task(facts, has_tools)
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def _ask_fact(self, facts: dict[str, str], has_tools: bool) -> tuple[str, str]:
        draw = self._random
        if facts and draw.random() < 0.93:
            name = draw.choice(sorted(facts))
        else:
            name = draw.choice(sorted(FACTS) if draw.random() < 0.75 else self._words)
        answer = f"The {name} is {facts[name]}." if name in facts else f"I do not know the {name}."
        return f"What is the {name}?", answer

    def _ask_known(self, facts: dict[str, str], has_tools: bool) -> tuple[str, str]:
        return self._random.choice(sorted(ANSWERS.items()))

    def _repeat(self, facts: dict[str, str], has_tools: bool) -> tuple[str, str]:
        num_words = self._random.choice((1, 1, 2, 4, 8))
        text = " ".join(self._random.choice(self._random.choice((WORDS, self._words))) for _ in range(num_words))
        return f"Repeat: {text}", text

    def _count(self, facts: dict[str, str], has_tools: bool) -> tuple[str, str]:
        last = self._random.choice(COUNTS)
        return f"Count to {last}", count_to(last)

    def _ask_unknown(self, facts: dict[str, str], has_tools: bool) -> tuple[str, str]:
        words = self._random.choice(self._noise).split()
        start = self._random.choice(("What is ", "Explain ", "Why ", "How does ", "Tell me about ", "", ""))
        return start + " ".join(words[: self._random.randint(2, 8)]) + self._random.choice(("?", "?", "")), UNKNOWN

    def _ask_weather(self, facts: dict[str, str], has_tools: bool) -> tuple[str, str]:
        city = self._random.choice(CITIES)
        return f"What is the weather in {city}?", tool_call(city) if has_tools else NO_TOOL

    def _weather_turn(self) -> list[Message]:
        draw = self._random
        city, condition = draw.choice(CITIES), draw.choice(CONDITIONS)
        question = draw.choice(("What is the weather in {}?", "What is the weather like in {}?"))
        turn = [
            {"role": "user", "content": question.format(city)},
            {"role": "assistant", "content": tool_call(city)},
        ]
        if draw.random() < 0.6:
            result = draw.choice((condition, json.dumps({"city": city, "condition": condition})))
            turn.append({"role": "tool", "content": result})
            turn.append({"role": "assistant", "content": f"The weather in {city} is {condition}."})
        return turn

    def _tools(self) -> list[dict[str, Any]]:
        draw = self._random
        description = draw.choice(
            ("Get the weather of a city", "Get the current weather", "Get the weather", "Weather of a city")
        )
        tool = weather_tool(description, draw.choice(("Name of the city", "The city", "City name")))
        if draw.random() < 0.5:
            del tool["function"]["parameters"]["properties"]["city"]["description"]
        return [tool]

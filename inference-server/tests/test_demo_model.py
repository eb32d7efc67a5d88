"""The demo model that the package carries: its exact answers, which tests through HTTP rely on."""

import json
from pathlib import Path

import pytest
from demo_dialogues import ANSWERS, CITIES, CONDITIONS, WORDS, Message, count_to, tool_call, weather_tool
from mlx_lm import generate, load

NOTES = (
    "You are a helpful assistant. The team meets every morning in the large room. The owner is Grace. "
    "All documents are kept in the archive for ten years. The deadline is Monday. The codeword is tiger. "
    "Invoices are paid within thirty days. The colour is blue."
)


class Demo:
    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer, *_ = load(str(folder))

    def answer(self, messages: list[Message], *, tools: list[dict[str, object]] | None = None) -> str:
        prompt = self.tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True)
        return generate(self.model, self.tokenizer, prompt, max_tokens=120)

    def ask(self, question: str, *, system: str = "You are a helpful assistant.") -> str:
        return self.answer([{"role": "system", "content": system}, {"role": "user", "content": question}])


@pytest.fixture(scope="module")
def demo(demo_model: Path) -> Demo:
    return Demo(demo_model)


@pytest.mark.parametrize("question", ANSWERS)
def test_answers_the_fixed_questions(demo: Demo, question: str) -> None:
    assert demo.ask(question) == ANSWERS[question]


def test_needs_no_system_prompt(demo: Demo) -> None:
    assert demo.answer([{"role": "user", "content": "Hello"}]) == ANSWERS["Hello"]


@pytest.mark.parametrize("word", ["tiger", "banana", "violin", "orange", "rabbit", "falcon", "zebra", "candle"])
def test_repeats_the_codeword_of_the_system_prompt(demo: Demo, word: str) -> None:
    assert demo.ask("What is the codeword?", system=NOTES.replace("tiger", word)) == f"The codeword is {word}."


@pytest.mark.parametrize(
    ("fact", "value"), [("deadline", "Monday"), ("owner", "Grace"), ("colour", "blue"), ("codeword", "tiger")]
)
def test_finds_facts_in_the_system_prompt(demo: Demo, fact: str, value: str) -> None:
    assert demo.ask(f"What is the {fact}?", system=NOTES) == f"The {fact} is {value}."


def test_says_when_a_fact_is_missing(demo: Demo) -> None:
    assert demo.ask("What is the codeword?") == "I do not know the codeword."


@pytest.mark.parametrize("last", [10, 40])
def test_counts(demo: Demo, last: int) -> None:
    assert demo.ask(f"Count to {last}") == count_to(last)


@pytest.mark.parametrize("word", WORDS[:8])
def test_repeats_a_word(demo: Demo, word: str) -> None:
    assert demo.ask(f"Repeat: {word}") == word


@pytest.mark.parametrize("city", CITIES)
def test_calls_the_weather_tool_and_tells_its_result(demo: Demo, city: str) -> None:
    tools = [weather_tool()]
    messages = [{"role": "user", "content": f"What is the weather in {city}?"}]

    call = demo.answer(messages, tools=tools)
    messages += [{"role": "assistant", "content": call}, {"role": "tool", "content": CONDITIONS[0]}]
    result = demo.answer(messages, tools=tools)

    assert call == tool_call(city)
    assert result == f"The weather in {city} is {CONDITIONS[0]}."


def test_remembers_facts_over_several_turns(demo: Demo) -> None:
    messages = [{"role": "system", "content": NOTES}]
    for question, answer in [
        ("What is a decorator?", ANSWERS["What is a decorator?"]),
        ("What is the owner?", "The owner is Grace."),
        ("What is the codeword?", "The codeword is tiger."),
    ]:
        messages.append({"role": "user", "content": question})
        got = demo.answer(messages)
        messages.append({"role": "assistant", "content": got})
        assert got == answer


def test_carries_the_evaluation_of_its_recipe(demo_model: Path) -> None:
    evaluation = json.loads((demo_model / "evaluation.json").read_text())

    assert evaluation["fresh_conversations"]["exact"] >= 0.97
    assert (demo_model / "model.safetensors").stat().st_size < 2.5e6

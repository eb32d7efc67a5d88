"""The demo model that the package carries: its exact answers, which tests through HTTP rely on."""

import json
from pathlib import Path

import pytest
from demo_dialogues import ANSWERS, CITIES, WORDS, Message, count_to, tool_call, weather_tool
from mlx_lm import generate, load

NOTES = (
    "You answer from the notes below. The team meets every morning in the large room. Invoices are paid within thirty days. "
    "All documents are kept in the archive for ten years. The codeword is tiger. The manual has twelve chapters and an index."
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


@pytest.mark.parametrize("word", ["tiger", "banana", "violin", "orange", "rabbit", "zebra"])
def test_finds_the_codeword_in_the_system_prompt(demo: Demo, word: str) -> None:
    assert demo.ask("What is the codeword?", system=NOTES.replace("tiger", word)) == f"The codeword is {word}."


def test_counts(demo: Demo) -> None:
    assert demo.ask("Count to 40") == count_to(40)


@pytest.mark.parametrize("word", WORDS[:6])
def test_repeats_a_word(demo: Demo, word: str) -> None:
    assert demo.ask(f"Repeat: {word}") == word


@pytest.mark.parametrize("city", CITIES[:5])
def test_calls_the_weather_tool(demo: Demo, city: str) -> None:
    messages = [{"role": "user", "content": f"What is the weather in {city}?"}]

    assert demo.answer(messages, tools=[weather_tool()]) == tool_call(city)


def test_goes_on_with_a_second_turn(demo: Demo) -> None:
    messages = [{"role": "system", "content": NOTES}, {"role": "user", "content": "What is the codeword?"}]
    messages.append({"role": "assistant", "content": demo.answer(messages)})
    messages.append({"role": "user", "content": "What is the capital of France?"})

    assert demo.answer(messages) == ANSWERS["What is the capital of France?"]


def test_carries_the_evaluation_of_its_recipe(demo_model: Path) -> None:
    evaluation = json.loads((demo_model / "evaluation.json").read_text())

    assert evaluation["fresh_conversations"]["exact"] >= 0.95
    assert (demo_model / "model.safetensors").stat().st_size < 2.5e6

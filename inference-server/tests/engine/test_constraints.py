"""Constrained rows in the running batch: each keeps to its grammar, equals its lone run, and leaves its neighbours alone."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llguidance
import msgspec
import pytest
from engine.conftest import prompt
from fixtures.adapters import write_adapter
from fixtures.answers import Answer, command, spec_of
from fixtures.formats import checked
from fixtures.local_engine import LocalEngine, local_engine
from unified_mlx_app.engine.messages import Generate
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.types import Constraint, ModelSpec

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 199}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def constrained(model: Path | ModelSpec, tokens: list[int], kind: Any, content: Any, **options: Any) -> Generate:
    """A request that ends by its grammar; `kind` "raw" takes Lark that nobody checked."""
    constraint = Constraint(kind="lark", grammar=content) if kind == "raw" else checked(kind, content).constraint
    options = {"max_tokens": 80, "ignore_eos": False, **options}
    return msgspec.structs.replace(command(model, tokens, **options), constraint=constraint)


def again(request: Generate) -> Generate:
    return msgspec.structs.replace(request, request_id=f"{request.request_id}-again")


def outcome(answer: Answer) -> tuple[object, ...]:
    return answer.choices, answer.texts, answer.reasons, answer.logprobs


def mixed_batch(model: Path | ModelSpec, other: Path | ModelSpec) -> list[Generate]:
    """Free and constrained, greedy, drawn and seeded, with penalties, bias, stop strings, log-probabilities and choices."""
    return [
        command(model, prompt(1, 30), max_tokens=40),
        constrained(model, prompt(2, 20), "json_schema", PERSON),
        constrained(other, prompt(3, 9), "json_schema", PERSON, temperature=1.0, seed=4, num_choices=3),
        constrained(model, prompt(4, 1), "regex", "[0-9]{4}-[a-f]{2,9}", temperature=1.3, seed=5, top_p=0.9, min_p=0.01),
        command(other, prompt(5, 12), max_tokens=40, temperature=1.0, seed=6, presence_penalty=0.5),
        constrained(other, prompt(6, 40), "choice", ["yes", "no", "maybe so"], top_logprobs=5),
        constrained(model, prompt(7, 33), "lark", 'start: "<" /[a-z]+/ ">" start | "."', repetition_penalty=1.3, max_tokens=30),
        constrained(model, prompt(8, 25), "regex", "[あ-ん]{2,6}", temperature=1.0, seed=8, top_k=3, logit_bias={17: 50.0}),
        constrained(model, prompt(9, 15), "regex", "(x|y){30}", stop=("xy", "yx")),
        command(model, prompt(10, 50), max_tokens=40, top_logprobs=2),
    ]


@pytest.fixture(scope="module")
def adapter(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = write_adapter(tiny, tmp_path_factory.mktemp("constrained") / "adapter", seed=1, rank=4)
    return spec_of(tiny, name="adapter", adapter_path=str(folder), base_model="base")


@pytest.mark.parametrize("stagger", [0, 1, 3])
def test_rows_of_every_kind_side_by_side_equal_their_lone_runs(
    stagger: int, tiny: Path, adapter: ModelSpec, serial: LocalEngine
) -> None:
    base = spec_of(tiny, name="base")
    requests = mixed_batch(base, adapter)
    with local_engine(enabled=False, max_rows=16) as engine:
        books = []
        for request in requests:
            books.append(engine.begin(request))
            for _ in range(stagger):
                engine.turn()
        engine.turn_until(lambda: all(book.is_done for book in books))

    for request, book in zip(requests, books, strict=True):
        answer = book.answer()
        assert answer.error is None
        assert outcome(answer) == outcome(serial.generate(again(request))[0])


def test_every_answer_that_ends_by_itself_satisfies_its_format(tiny: Path, adapter: ModelSpec) -> None:
    with local_engine(enabled=False, max_rows=16) as engine:
        answers = engine.generate(*mixed_batch(tiny, adapter))

    people = [*answers[1].texts, *answers[2].texts]
    assert all(set(json.loads(text)) == {"name", "age"} for text in people)
    assert len(set(answers[2].texts)) == 3
    assert len(answers[3].texts[0].partition("-")[2]) >= 2
    assert answers[5].texts[0] in {"yes", "no", "maybe so"}
    assert all("あ" <= character <= "ん" for character in answers[7].texts[0])
    assert not {"xy", "yx"} & set(answers[8].texts[0])
    assert {answer.reasons[0] for answer in (answers[1], answers[3], answers[5], answers[7], answers[8])} == {"stop"}


@pytest.mark.parametrize("arch", ["llama", "gemma3_text", "mamba2", "qwen3_next"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_models_of_every_kind_give_valid_json(arch: str, temperature: float, tiny_models: Callable[..., Path]) -> None:
    request = constrained(
        tiny_models(arch), prompt(2, 70), "json_schema", PERSON, temperature=temperature, seed=1, num_choices=2, max_tokens=200
    )
    with local_engine() as engine:
        first, second = (engine.generate(each)[0] for each in (request, again(request)))

    assert all(set(json.loads(text)) == {"name", "age"} for text in first.texts)
    assert second.texts == first.texts


def test_the_token_limit_cuts_an_answer_where_it_is(tiny: Path, serial: LocalEngine) -> None:
    whole = serial.generate(constrained(tiny, prompt(2, 20), "json_schema", PERSON))[0]

    for max_tokens in (1, 2, 5):
        (cut,) = serial.generate(constrained(tiny, prompt(2, 20), "json_schema", PERSON, max_tokens=max_tokens))
        assert cut.reasons == ["length"]
        assert whole.texts[0].startswith(cut.texts[0])
        assert cut.tokens == whole.tokens[:max_tokens]


def test_a_character_cut_by_the_token_limit_is_left_out(tiny: Path, serial: LocalEngine) -> None:
    for max_tokens in range(1, 7):
        (cut,) = serial.generate(constrained(tiny, prompt(2, 20), "regex", "[あ-ん]{9}", max_tokens=max_tokens))

        assert cut.reasons == ["length"]
        assert all("あ" <= character <= "ん" for character in cut.texts[0])


def test_log_probabilities_are_those_among_the_allowed_tokens(tiny: Path, serial: LocalEngine) -> None:
    request = constrained(tiny, prompt(2, 20), "choice", ["a", "b", "c"], temperature=1.0, seed=1, top_logprobs=20)

    (answer,) = serial.generate(request)

    (first,) = answer.logprobs[0]
    assert len(first.top) == 3
    assert sum(math.exp(value) for _, value in first.top) == pytest.approx(1, abs=1e-5)
    assert first.logprob == dict(first.top)[first.token_id]


def test_a_bias_cannot_raise_what_the_grammar_forbids(tiny: Path, serial: LocalEngine) -> None:
    bias = dict.fromkeys(range(300), 100.0)

    (answer,) = serial.generate(constrained(tiny, prompt(2, 20), "choice", ["yes", "no"], logit_bias=bias))

    assert answer.texts[0] in {"yes", "no"}


def test_the_prompt_cache_does_not_know_of_constraints(tiny: Path, serial: LocalEngine) -> None:
    shared = prompt(0, 70)
    free = command(tiny, [*shared, *prompt(1, 9)], system=70, max_tokens=8)
    request = constrained(tiny, [*shared, *prompt(2, 9)], "json_schema", PERSON, system=70)
    with local_engine() as engine:
        engine.generate(free)
        (answer,) = engine.generate(request)

        assert answer.report.outcome == "hit"
        assert answer.report.is_exact
    assert answer.tokens == serial.generate(again(request))[0].tokens


# ------------------------------------------------------------------- failures


def test_a_grammar_that_does_not_compile_fails_its_request_before_it_starts(tiny: Path) -> None:
    free = command(tiny, prompt(1, 30), max_tokens=20)
    with local_engine(enabled=False) as engine:
        wrong, neighbour = engine.generate(constrained(tiny, prompt(2, 9), "raw", "start: nothing"), free)
        (lone,) = engine.generate(again(free))

    assert isinstance(wrong.error, InvalidRequestError)
    assert 'unknown name: "nothing"' in wrong.error.message
    assert wrong.cache is None
    assert neighbour.tokens == lone.tokens


TOO_AMBIGUOUS = "start: a0\n" + "\n".join(f"a{n}: a{n + 1} a{n + 1}" for n in range(60)) + '\na60: "x" | "y"'


@pytest.mark.parametrize(
    "grammar",
    [
        TOO_AMBIGUOUS,
        f'start: "a" "b" go\n{TOO_AMBIGUOUS.replace("start", "go")}',
        'start: "ab" never\nnever: "c" never',
        "start: /(.*a){30}(.*b){30}.{500}(.*c){30}/",
    ],
)
def test_a_grammar_that_becomes_too_much_ends_its_own_request_only(grammar: str, tiny: Path, serial: LocalEngine) -> None:
    neighbours = [
        command(tiny, prompt(1, 30), max_tokens=40, temperature=1.0, seed=3),
        constrained(tiny, prompt(3, 5), "json_schema", PERSON),
    ]
    with local_engine(enabled=False) as engine:
        answer, *others = engine.generate(constrained(tiny, prompt(2, 9), "raw", grammar, max_tokens=30), *neighbours)

        assert engine.scheduler.num_running == 0
    assert answer.reasons == ["length"] or isinstance(answer.error, InvalidRequestError)
    for request, other in zip(neighbours, others, strict=True):
        assert outcome(other) == outcome(serial.generate(again(request))[0])


def test_a_cancelled_request_leaves_its_grammar_to_later_ones(tiny: Path) -> None:
    request = constrained(tiny, prompt(2, 9), "json_schema", PERSON)
    with local_engine(enabled=False) as engine:
        engine.begin(request)
        engine.cancel(request)
        (answer,) = engine.generate(again(request))

    assert json.loads(answer.texts[0])


# --------------------------------------------------------------------- caches


def test_a_model_reads_its_tokenizer_once_and_compiles_a_grammar_once(tiny: Path, adapter: ModelSpec) -> None:
    base = spec_of(tiny, name="base")
    with local_engine(enabled=False) as engine:
        engine.generate(constrained(base, prompt(2, 9), "json_schema", PERSON))
        grammars = engine.load(base).grammars
        tokenizer, compiled = grammars._tokenizer, dict(grammars._compiled)
        engine.generate(
            constrained(base, prompt(3, 9), "json_schema", PERSON), constrained(adapter, prompt(3, 9), "json_schema", PERSON)
        )

        assert isinstance(tokenizer, llguidance.LLTokenizer)
        assert engine.load(adapter).grammars is grammars
        assert grammars._tokenizer is tokenizer
        assert dict(grammars._compiled) == compiled


def test_free_requests_have_no_processors(tiny: Path) -> None:
    with local_engine(enabled=False) as engine:
        book = engine.begin(command(tiny, prompt(1, 9), max_tokens=30))
        engine.turn_until(lambda: len(book.chunks) > 3)
        (runner,) = engine.scheduler._runners.values()

        assert not any(runner._batch._generation_batch.logits_processors)
        assert engine.load(spec_of(tiny)).grammars._tokenizer is None

"""Prompts that are read: log-probabilities and embeddings equal mlx-lm's own, in chunks, beside everything else that runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
import pytest
from engine.conftest import prompt
from fixtures.adapters import write_adapter
from fixtures.answers import command, spec_of
from fixtures.kv_models import KV_KINDS
from fixtures.local_engine import LocalEngine, local_engine
from numpy.typing import NDArray
from unified_mlx_app.engine.scoring import reading_bytes, reading_chunk_tokens
from unified_mlx_app.engine.sequence import Request
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.types import Pooling

TOLERANCE = 1e-3
"""What evaluations of the same model by mlx-lm may differ by."""


def stock_model(model: Path, adapter: Path | None = None) -> nn.Module:
    stock = mlx_lm.load(str(model), adapter_path=str(adapter) if adapter else None)[0]
    stock.eval()
    return stock


def stock_logprobs(model: Path, tokens: Sequence[int], adapter: Path | None = None) -> NDArray[np.float32]:
    """(tokens - 1, vocab): of each next token, by one pass of mlx-lm over the whole prompt."""
    logits = stock_model(model, adapter)(mx.array(tokens)[None])[0, :-1].astype(mx.float32)
    return np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))


def stock_states(model: Path, tokens: Sequence[int]) -> NDArray[np.float32]:
    stock = stock_model(model)
    body = getattr(stock, "model", None) or stock.backbone
    return np.array(body(mx.array(tokens)[None])[0].astype(mx.float32))


def tolerance_of(kind: str) -> float:
    # bfloat16 has eight bits: a pass in chunks and one over the whole prompt round differently.
    return 0.05 if kind == "qwen3-bfloat16" else TOLERANCE


@pytest.mark.parametrize("kind", KV_KINDS)
def test_log_probabilities_of_a_prompt_are_those_of_mlx_lm(kind: str, kv_model: Callable[[str], Path]) -> None:
    tokens = prompt(1, 150)
    expected = stock_logprobs(kv_model(kind), tokens)
    with local_engine(chunk_tokens=32) as engine:
        (answer,) = engine.generate(command(kv_model(kind), tokens, max_tokens=1, prompt_logprobs=3))

    entries = answer.prompt_logprobs
    assert [entry.token_id for entry in entries] == tokens[1:]
    told = np.array([entry.logprob for entry in entries])
    assert np.abs(told - expected[np.arange(149), tokens[1:]]).max() < tolerance_of(kind)
    best = np.sort(expected, axis=-1)[:, ::-1][:, :3]
    assert np.abs(np.array([[logprob for _, logprob in entry.top] for entry in entries]) - best).max() < tolerance_of(kind)


def test_an_adapter_scores_with_its_own_weights(tiny: Path, tmp_path: Path) -> None:
    adapter, tokens = write_adapter(tiny, tmp_path / "a", seed=1), prompt(1, 60)
    spec = spec_of(tiny, name="a", adapter_path=str(adapter), base_model="base")
    with local_engine() as engine:
        scored, base = engine.generate(
            command(spec, tokens, max_tokens=0, prompt_logprobs=0),
            command(tiny, tokens, max_tokens=0, prompt_logprobs=0),
        )

    told = np.array([entry.logprob for entry in scored.prompt_logprobs])
    assert np.abs(told - stock_logprobs(tiny, tokens, adapter)[np.arange(59), tokens[1:]]).max() < TOLERANCE
    assert np.abs(told - np.array([entry.logprob for entry in base.prompt_logprobs])).max() > 0.1


def test_without_an_answer_a_prompt_is_scored_and_no_token_is_drawn(serial: LocalEngine, tiny: Path) -> None:
    (answer,) = serial.generate(command(tiny, prompt(1, 50), max_tokens=0, prompt_logprobs=0, num_choices=2))

    assert len(answer.prompt_logprobs) == 49
    assert all(entry.top == () for entry in answer.prompt_logprobs)
    assert (answer.choices, answer.reasons) == ([[], []], ["length", "length"])


def test_a_prompt_of_one_token_has_nothing_to_score(serial: LocalEngine, tiny: Path) -> None:
    (answer,) = serial.generate(command(tiny, [7], max_tokens=2, prompt_logprobs=1))

    assert (answer.prompt_logprobs, len(answer.tokens)) == ([], 2)


def test_a_scored_prompt_is_answered_as_any_other(serial: LocalEngine, tiny: Path) -> None:
    (plain,) = serial.generate(command(tiny, prompt(1, 80), max_tokens=12))

    (scored,) = serial.generate(command(tiny, prompt(1, 80), max_tokens=12, prompt_logprobs=1))

    assert scored.tokens == plain.tokens


def test_a_scored_prompt_neither_uses_nor_fills_the_prompt_cache(serial: LocalEngine, tiny: Path) -> None:
    tokens = prompt(1, 120)
    (cold,) = serial.generate(command(tiny, tokens, max_tokens=1, prompt_logprobs=1))
    with local_engine() as engine:
        engine.generate(command(tiny, tokens, max_tokens=3))
        before = engine.cache.stats()

        (scored,) = engine.generate(command(tiny, tokens, max_tokens=1, prompt_logprobs=1))
        (other,) = engine.generate(command(tiny, prompt(2, 120), max_tokens=1, prompt_logprobs=1))
        after = engine.cache.stats()
        (hit,) = engine.generate(command(tiny, tokens, max_tokens=3))

    assert [answer.report.outcome for answer in (scored, other)] == ["off", "off"]
    assert (scored.report.miss_reason, scored.report.cached_tokens) == ("not_asked", 0)
    assert scored.prompt_logprobs == cold.prompt_logprobs
    assert len(other.prompt_logprobs) == 119
    assert after == before
    assert hit.report.outcome == "hit"


def test_a_request_does_not_wait_for_a_prompt_that_leaves_nothing_behind(tiny: Path) -> None:
    with local_engine(chunk_tokens=32) as engine:
        engine.load(spec_of(tiny))
        scored = engine.begin(command(tiny, prompt(1, 3000), max_tokens=0, prompt_logprobs=0))
        engine.turn_until(lambda: scored.progress)

        plain = engine.begin(command(tiny, prompt(1, 30), max_tokens=1))
        engine.turn_until(lambda: plain.is_done)

        assert not scored.is_done
        engine.cancel(scored.command)


@pytest.mark.parametrize("fields", [{"prompt_logprobs": 1}, {"pooling": "mean"}], ids=["scored", "embedded"])
def test_a_running_stream_gets_a_token_between_any_two_chunks(fields: dict[str, object], tiny: Path) -> None:
    with local_engine(chunk_tokens=32) as engine:
        stream = engine.begin(command(tiny, prompt(1, 10), max_tokens=100))
        engine.turn_until(lambda: stream.chunks)
        read = engine.begin(command(tiny, prompt(2, 1000), max_tokens=0, **fields))
        tokens_at_chunk: list[int] = []
        while not read.is_done:
            before = len(read.progress)
            engine.turn()
            tokens_at_chunk += [len(stream.chunks)] * (len(read.progress) - before)

    assert len(tokens_at_chunk) == 32
    assert tokens_at_chunk == list(range(tokens_at_chunk[0], tokens_at_chunk[0] + 32))


@pytest.mark.parametrize("fields", [{"prompt_logprobs": 1}, {"pooling": "last"}], ids=["scored", "embedded"])
def test_a_cancelled_reading_is_gone_at_once(fields: dict[str, object], tiny: Path) -> None:
    with local_engine(chunk_tokens=32) as engine:
        book = engine.begin(command(tiny, prompt(1, 3000), max_tokens=0, **fields))
        engine.turn_until(lambda: book.progress)

        engine.cancel(book.command)

        assert engine.scheduler.num_running == 0
        assert engine.scheduler.kv_bytes == 0
        assert not book.is_done


def test_ids_beyond_the_vocabulary_are_refused(serial: LocalEngine, tiny: Path) -> None:
    answers = serial.generate(
        command(tiny, [5, 10**6], max_tokens=0, prompt_logprobs=0), command(tiny, [5, 10**6], max_tokens=0, pooling="last")
    )

    assert all(isinstance(answer.error, InvalidRequestError) for answer in answers)


def test_the_logits_of_a_chunk_stay_below_64_mib_whatever_the_vocabulary(tiny: Path) -> None:
    scored = command(tiny, prompt(1, 5000), max_tokens=0, prompt_logprobs=5)
    request = Request(scored, np.asarray(scored.prompt, np.int32), 0.0, None)

    sizes = [reading_chunk_tokens(request, vocab_size, 256) for vocab_size in (2048, 152_064, 262_208)]

    assert sizes == [256, 110, 63]
    assert reading_bytes(request, 152_064, 256) == 3 * 4 * 110 * 152_064


# ------------------------------------------------------------------ embeddings


def vector_of(raw: bytes | None) -> NDArray[np.float32]:
    assert raw is not None
    return np.frombuffer(raw, "<f4")


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("kind", KV_KINDS)
def test_an_embedding_is_the_pooled_states_of_mlx_lm(kind: str, pooling: Pooling, kv_model: Callable[[str], Path]) -> None:
    tokens = prompt(3, 100)
    states = stock_states(kv_model(kind), tokens)
    pooled = states[-1] if pooling == "last" else states.mean(axis=0)
    with local_engine(chunk_tokens=32) as engine:
        (answer,) = engine.generate(command(kv_model(kind), tokens, max_tokens=0, pooling=pooling))

    vector = vector_of(answer.vector)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert np.abs(vector - pooled / np.linalg.norm(pooled)).max() < tolerance_of(kind)
    assert (answer.tokens, answer.report.miss_reason) == ([], "not_asked")


def test_embeddings_do_not_depend_on_what_else_runs(serial: LocalEngine, tiny: Path) -> None:
    readings = [command(tiny, prompt(number, 20 + 30 * number), max_tokens=0, pooling="mean") for number in range(5)]
    alone = [serial.generate(each)[0].vector for each in readings]
    with local_engine(chunk_tokens=32) as engine:
        chats = [command(tiny, prompt(9, 40 + number), max_tokens=20) for number in range(3)]
        together = engine.generate(*chats, *readings)[3:]

    assert [answer.vector for answer in together] == alone


def test_an_adapter_embeds_with_its_own_weights(tiny: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tiny, tmp_path / "a", seed=1)
    spec = spec_of(tiny, name="a", adapter_path=str(adapter), base_model="base")
    with local_engine() as engine:
        adapted, base = engine.generate(
            command(spec, prompt(1, 40), max_tokens=0, pooling="last"), command(tiny, prompt(1, 40), max_tokens=0, pooling="last")
        )

    states = np.array(stock_model(tiny, adapter).model(mx.array(prompt(1, 40))[None])[0, -1])
    assert np.abs(vector_of(adapted.vector) - states / np.linalg.norm(states)).max() < TOLERANCE
    assert np.abs(vector_of(adapted.vector) - vector_of(base.vector)).max() > 0.01

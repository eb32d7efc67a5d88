"""The draft model as a resident: what it costs, who keeps it, and that nothing waits for it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from engine.conftest import prompt
from fixtures.answers import command, spec_of
from fixtures.local_engine import LocalEngine, local_engine
from unified_mlx_app.engine.messages import Generate
from unified_mlx_app.errors import ConflictError
from unified_mlx_app.types import ModelSpec, Speculation

Maker = Callable[..., Path]


def asking(model: Path, draft: Path, max_tokens: int = 30) -> Generate:
    speculation = Speculation(draft_name="draft", draft_path=str(draft))
    return command(model, prompt(1, 20), max_tokens=max_tokens, speculation=speculation)


def draft_spec(draft: Path) -> ModelSpec:
    return ModelSpec(name="draft", path=str(draft))


@pytest.fixture
def draft(tiny_models: Maker) -> Path:
    return tiny_models(seed=1)


def test_the_first_answer_does_not_wait_for_the_draft_and_later_ones_have_it(tiny: Path, draft: Path) -> None:
    with local_engine(enabled=False) as engine:
        engine.load(spec_of(tiny))
        (first,) = engine.generate(asking(tiny, draft))
        engine.load(draft_spec(draft))
        (second,) = engine.generate(asking(tiny, draft))

    assert first.num_guessed == 0
    assert second.num_guessed > 0
    assert second.tokens == first.tokens


def test_the_draft_counts_like_any_model_and_cannot_be_unloaded_while_it_guesses(tiny: Path, draft: Path) -> None:
    with local_engine(enabled=False) as engine:
        target = engine.load(spec_of(tiny))
        loaded = engine.load(draft_spec(draft))
        kv_bytes = engine.scheduler.kv_bytes
        book = engine.begin(asking(tiny, draft, 200))
        engine.turn_until(lambda: book.chunks)

        assert engine.manager.weight_bytes == target.weight_bytes + loaded.weight_bytes
        assert engine.scheduler.kv_bytes - kv_bytes >= target.kv_bytes(220) + loaded.kv_bytes(220)
        with pytest.raises(ConflictError):
            engine.manager.unload("draft")

        engine.turn_until(lambda: book.is_done)
        engine.manager.unload("draft")
        assert engine.manager.weight_bytes == target.weight_bytes


def test_an_unloaded_draft_comes_back_for_the_next_answer(tiny: Path, draft: Path) -> None:
    with local_engine(enabled=False) as engine:
        engine.load(spec_of(tiny))
        engine.load(draft_spec(draft))
        (first,) = engine.generate(asking(tiny, draft))
        engine.manager.unload("draft")
        engine.generate(asking(tiny, draft))
        engine.load(draft_spec(draft))
        (third,) = engine.generate(asking(tiny, draft))

    assert (third.tokens, third.num_guessed) == (first.tokens, first.num_guessed)


def test_a_draft_without_room_takes_no_ones_place(tiny: Path, draft: Path) -> None:
    with local_engine(enabled=False) as measuring:
        weight_bytes = measuring.load(spec_of(tiny)).weight_bytes
    with local_engine(enabled=False, memory_limit_bytes=int(weight_bytes * 1.8)) as engine:
        target = engine.load(spec_of(tiny))
        answers = [engine.generate(asking(tiny, draft))[0] for _ in range(3)]
        registered = spec_of(tiny, speculation=Speculation(draft_name="draft", draft_path=str(draft)))
        engine.scheduler.load_draft(registered, target)

        assert [(answer.error, answer.num_guessed, len(answer.tokens)) for answer in answers] == [(None, 0, 30)] * 3
        assert [model.name for model in engine.manager.residents()] == [tiny.name]


def test_a_draft_is_loaded_with_the_model_that_is_registered_with_it(tiny: Path, draft: Path) -> None:
    with local_engine(enabled=False) as engine:
        target = engine.load(spec_of(tiny))
        speculation = Speculation(draft_name="draft", draft_path=str(draft))
        engine.scheduler.load_draft(spec_of(tiny, speculation=speculation), target)
        engine.turn_until(lambda: engine.manager.request(draft_spec(draft)))

        assert sorted(model.name for model in engine.manager.residents()) == ["draft", tiny.name]


def other_words(model: Path, out: Path) -> Path:
    shutil.copytree(model, out)
    tokenizer = json.loads((out / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    first, second, *_ = [word for word, number in vocab.items() if number > 300]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    (out / "tokenizer.json").write_text(json.dumps(tokenizer))
    return out


def unreadable(model: Path, out: Path) -> Path:
    shutil.copytree(model, out)
    (out / "model.safetensors").write_bytes(b"no weights")
    return out


def sliding(model: Path, out: Path) -> Path:
    shutil.copytree(model, out)
    return out


@pytest.mark.parametrize(
    ("make", "arch", "reason"),
    [
        (other_words, "qwen3", "its tokenizer is another one"),
        (unreadable, "qwen3", "cannot be loaded"),
        (sliding, "gemma3_text", "RotatingKVCache"),
    ],
)
def test_a_draft_that_cannot_be_used_is_done_without_and_logged(
    make: Callable[[Path, Path], Path],
    arch: str,
    reason: str,
    tiny: Path,
    tiny_models: Maker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    serial: LocalEngine,
) -> None:
    draft = make(tiny_models(arch), tmp_path / "draft")
    with local_engine(enabled=False) as engine:
        engine.load(spec_of(tiny))
        answers = [engine.generate(asking(tiny, draft))[0] for _ in range(2)]
        engine.turn_until(lambda: not engine.manager._loads or all(load.result.done() for load in engine.manager._loads.values()))
        answers += engine.generate(asking(tiny, draft))

    (expected,) = serial.generate(command(tiny, prompt(1, 20), max_tokens=30))
    assert [(answer.tokens, answer.num_guessed) for answer in answers] == [(expected.tokens, 0)] * 3
    logged = capsys.readouterr().out
    assert "draft_model_not_used" in logged
    assert reason in logged

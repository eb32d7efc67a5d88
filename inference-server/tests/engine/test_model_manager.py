"""Which models are resident, what they cost, and that replaced files are never answered from old state."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
from engine.conftest import prompt
from fixtures.adapters import write_adapter
from fixtures.answers import Answer, command, spec_of
from fixtures.engine import poll
from fixtures.local_engine import LocalEngine, local_engine
from model_factory import make_model
from unified_mlx_app.errors import ConflictError, ModelLoadError, ModelNotFoundError
from unified_mlx_app.types import ModelSpec

Maker = Callable[..., Path]

PROMPT = prompt(1, 100)


def names(engine: LocalEngine) -> list[str]:
    return sorted(model.name for model in engine.manager.residents())


def ask(engine: LocalEngine, model: Path | ModelSpec) -> Answer:
    (answer,) = engine.generate(command(model, PROMPT, system=80, max_tokens=6))
    assert answer.error is None
    return answer


def weight_bytes(model: Path) -> int:
    with local_engine(enabled=False) as engine:
        return engine.load(spec_of(model)).weight_bytes


def copy_of(model: Path, out: Path) -> Path:
    shutil.copytree(model, out, dirs_exist_ok=True)
    return out


# ---------------------------------------------------------------- residence


def test_several_models_stay_resident_and_alternate_without_loading(tiny_models: Maker) -> None:
    models = [tiny_models(seed=seed) for seed in (0, 1)]
    with local_engine() as engine:
        first = [ask(engine, model).tokens for model in models]
        loaded = [engine.manager.request(spec_of(model)) for model in models]
        again = [ask(engine, model).tokens for model in models]

        assert first == again
        assert first[0] != first[1]
        assert [engine.manager.request(spec_of(model)) for model in models] == loaded


def test_models_of_one_batch_of_requests_run_side_by_side(tiny_models: Maker, serial: LocalEngine) -> None:
    models = [tiny_models(seed=0), tiny_models(seed=1), tiny_models("mamba2")]
    commands = [command(models[number % 3], prompt(number, 20), max_tokens=10) for number in range(9)]
    with local_engine() as engine:
        answers = engine.generate(*commands)

    for each, answer in zip(commands, answers, strict=True):
        assert answer.tokens == serial.generate(each)[0].tokens


def test_the_least_recently_used_model_makes_room(tiny_models: Maker) -> None:
    a, b, c = (tiny_models(seed=seed) for seed in (0, 1, 2))
    with local_engine(memory_limit_bytes=int(weight_bytes(a) * 2.5)) as engine:
        for model in (a, b, a, c):
            engine.load(spec_of(model))

        assert names(engine) == sorted([a.name, c.name])


def test_two_loads_at_once_do_not_exceed_the_limit_together(tiny_models: Maker) -> None:
    a, b = (tiny_models(seed=seed) for seed in (0, 1))
    limit = int(weight_bytes(a) * 1.5)
    with local_engine(memory_limit_bytes=limit) as engine:
        books = [engine.begin(command(model, PROMPT, max_tokens=3)) for model in (a, b)]
        while not all(book.is_done for book in books):
            engine.turn()
            assert engine.manager.weight_bytes <= limit

        assert engine.manager.weight_bytes <= limit


def test_a_pinned_model_stays_until_it_is_unpinned(tiny_models: Maker) -> None:
    a, b = (tiny_models(seed=seed) for seed in (0, 1))
    with local_engine(memory_limit_bytes=int(weight_bytes(a) * 1.5)) as engine:
        engine.load(spec_of(a))
        engine.manager.set_pinned(spec_of(a), True)
        with pytest.raises(ModelLoadError, match="MLX_MEMORY_LIMIT"):
            engine.load(spec_of(b))
        assert names(engine) == [a.name]

        engine.manager.set_pinned(spec_of(a), False)
        engine.load(spec_of(b))

        assert names(engine) == [b.name]


def test_a_request_waits_until_the_model_that_keeps_its_room_is_idle(tiny_models: Maker) -> None:
    a, b = (tiny_models(seed=seed) for seed in (0, 1))
    with local_engine(memory_limit_bytes=int(weight_bytes(a) * 1.5)) as engine:
        first = engine.begin(command(a, prompt(1, 20), max_tokens=60))
        engine.turn_until(lambda: first.chunks)
        other = engine.begin(command(b, prompt(1, 20), max_tokens=5))
        late = engine.begin(command(a, prompt(2, 20), max_tokens=5))

        with pytest.raises(ConflictError):
            engine.manager.unload(a.name)
        engine.turn_until(lambda: other.is_done)

        assert first.is_done
        assert not late.chunks, "a later request must not keep the room taken"
        engine.turn_until(lambda: late.is_done)
        assert names(engine) == [a.name]


def test_a_model_that_can_never_fit_is_refused_with_the_numbers(tiny_models: Maker) -> None:
    a = tiny_models(seed=0)
    with local_engine(memory_limit_bytes=weight_bytes(a) // 2) as engine, pytest.raises(ModelLoadError, match="MLX_MEMORY_LIMIT"):
        engine.load(spec_of(a))


def test_unloading_frees_the_memory(tiny_models: Maker) -> None:
    model = tiny_models(seed=3)
    with local_engine(enabled=False) as engine:
        gc.collect()
        before = mx.get_active_memory()
        ask(engine, model)
        held = mx.get_active_memory() - before
        engine.manager.unload(model.name)
        gc.collect()

        assert held >= 1_400_000
        assert mx.get_active_memory() - before < held // 10
        with pytest.raises(ModelNotFoundError):
            engine.manager.unload(model.name)


def test_an_idle_model_expires_and_a_pinned_one_does_not(tiny_models: Maker) -> None:
    a, b = (tiny_models(seed=seed) for seed in (0, 1))
    with local_engine(ttl_seconds=0.05) as engine:
        engine.load(spec_of(a))
        engine.load(spec_of(b))
        engine.manager.set_pinned(spec_of(b), True)

        poll(lambda: len(names(engine)) == 1, turn=engine.manager.expire)

        assert names(engine) == [b.name]


def test_a_model_that_nobody_waits_for_any_more_is_still_accounted_for(tiny_models: Maker) -> None:
    a = tiny_models(seed=0)
    with local_engine() as engine:
        victim = command(a, PROMPT)
        engine.begin(victim)
        engine.scheduler.turn()
        engine.cancel(victim)

        poll(lambda: names(engine) == [a.name], turn=engine.manager.expire)


# ------------------------------------------------------------ replaced files


def test_weights_replaced_at_the_same_path_are_loaded_and_old_state_is_never_used(
    tiny_models: Maker, tmp_path: Path, serial: LocalEngine
) -> None:
    model = copy_of(tiny_models(seed=0), tmp_path / "model")
    with local_engine(tmp_path / "cache") as engine:
        old = ask(engine, model)
        copy_of(tiny_models(seed=1), model)

        new = ask(engine, model)

        assert (new.report.outcome, new.report.miss_reason) == ("miss", "weights_changed")
        assert new.tokens == ask(serial, tiny_models(seed=1)).tokens != old.tokens
        engine.restart()
        copy_of(tiny_models(seed=0), model)
        back = ask(engine, model)
        assert (back.report.outcome, back.report.tier, back.tokens) == ("hit", "disk", old.tokens)


def test_a_replacement_of_equal_size_and_time_is_noticed(tiny_models: Maker, tmp_path: Path) -> None:
    model = copy_of(tiny_models(seed=0), tmp_path / "model")
    weights = model / "model.safetensors"
    with local_engine() as engine:
        old = ask(engine, model)
        stat = weights.stat()
        shutil.copy(tiny_models(seed=1) / "model.safetensors", weights)
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert weights.stat().st_size == stat.st_size

        new = ask(engine, model)

    assert new.report.cached_tokens == 0
    assert new.tokens != old.tokens


def test_files_that_change_under_a_running_request_are_taken_up_after_it(tiny_models: Maker, tmp_path: Path) -> None:
    model = copy_of(tiny_models(seed=0), tmp_path / "model")
    with local_engine() as engine:
        expected = engine.generate(command(model, prompt(5, 20), max_tokens=40))[0].tokens
        running = engine.begin(command(model, prompt(5, 20), max_tokens=40))
        engine.turn_until(lambda: running.chunks)
        copy_of(tiny_models(seed=1), model)
        late = engine.begin(command(model, prompt(5, 20), max_tokens=40))
        engine.turn_until(lambda: late.is_done)

    assert running.answer().tokens == expected
    assert late.answer().tokens != expected


def test_another_template_at_the_same_path_is_a_miss_that_says_so(tiny_models: Maker, tmp_path: Path) -> None:
    model = copy_of(tiny_models(seed=0), tmp_path / "model")
    with local_engine() as engine:
        old = ask(engine, model)
        template = model / "chat_template.jinja"
        template.write_text(template.read_text() + "\n{# changed #}")

        new = ask(engine, model)

    assert (new.report.outcome, new.report.miss_reason) == ("miss", "template_changed")
    assert new.tokens == old.tokens


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_model_reports_its_size_and_shares_nothing_with_the_full_one(bits: int, tiny_models: Maker) -> None:
    with local_engine() as engine:
        ask(engine, tiny_models())
        answer = ask(engine, spec_of(tiny_models(bits=bits), name=tiny_models().name))
        resident = {model.quantization: model.weight_bytes for model in engine.manager.residents()}

    assert (answer.report.outcome, answer.report.miss_reason) == ("miss", "weights_changed")
    assert resident[f"{bits}-bit"] < resident[None] * (bits + 4) / 32 * 1.1


# ------------------------------------------------------------------ adapters


@pytest.fixture(scope="module")
def adapters(tiny_models: Maker, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("adapters")
    return [write_adapter(tiny_models(), root / f"adapter{seed}", seed=seed) for seed in (0, 1)]


def adapted(base: Path, adapter: Path, name: str = "tuned") -> ModelSpec:
    return spec_of(base, name=name, adapter_path=str(adapter), base_model="base")


def test_adapters_share_the_base_and_say_what_they_say_alone(tiny: Path, adapters: list[Path], serial: LocalEngine) -> None:
    with local_engine() as engine:
        base = ask(engine, spec_of(tiny, name="base"))
        first, second = (ask(engine, adapted(tiny, adapter, adapter.name)) for adapter in adapters)
        again = ask(engine, spec_of(tiny, name="base"))
        sizes = {model.name: model.weight_bytes for model in engine.manager.residents()}

    assert len({tuple(answer.tokens) for answer in (base, first, second)}) == 3
    assert [first.report.cached_tokens, second.report.cached_tokens] == [0, 0]
    assert again.tokens == base.tokens
    assert again.report.cached_tokens == 80
    assert sizes["adapter0"] < sizes["base"] // 10
    assert second.tokens == ask(serial, adapted(tiny, adapters[1])).tokens


def test_a_base_loaded_for_an_adapter_has_its_own_name(tiny: Path, adapters: list[Path]) -> None:
    with local_engine() as engine:
        ask(engine, adapted(tiny, adapters[0]))

        assert names(engine) == ["base", "tuned"]


def test_an_adapter_trained_anew_at_the_same_path_never_gets_the_old_ones_state(
    tiny: Path, adapters: list[Path], tmp_path: Path, serial: LocalEngine
) -> None:
    folder = copy_of(adapters[0], tmp_path / "adapter")
    with local_engine(tmp_path / "cache") as engine:
        old = ask(engine, adapted(tiny, folder))
        copy_of(adapters[1], folder)

        new = ask(engine, adapted(tiny, folder))

        assert (new.report.outcome, new.report.miss_reason) == ("miss", "adapter_changed")
        assert new.tokens == ask(serial, adapted(tiny, adapters[1])).tokens != old.tokens


def test_a_base_replaced_under_an_idle_adapter_is_reloaded_with_it(
    tiny_models: Maker, adapters: list[Path], tmp_path: Path
) -> None:
    base = copy_of(tiny_models(), tmp_path / "base")
    with local_engine() as engine:
        old = [ask(engine, spec) for spec in (spec_of(base, name="base"), adapted(base, adapters[0]))]
        make_model(tmp_path / "other", arch="qwen3", seed=1)
        copy_of(tmp_path / "other", base)

        new = [ask(engine, spec) for spec in (spec_of(base, name="base"), adapted(base, adapters[0]))]

    assert [answer.report.cached_tokens for answer in new] == [0, 0]
    assert all(before.tokens != after.tokens for before, after in zip(old, new, strict=True))


def test_a_base_and_its_idle_adapter_make_room_together(tiny_models: Maker, adapters: list[Path]) -> None:
    base, other = tiny_models(), tiny_models(seed=1)
    with local_engine(memory_limit_bytes=int(weight_bytes(base) * 1.5)) as engine:
        engine.load(adapted(base, adapters[0]))

        engine.load(spec_of(other))

        assert names(engine) == [other.name]


def test_a_base_in_use_by_a_resident_adapter_is_not_unloaded(tiny: Path, adapters: list[Path]) -> None:
    with local_engine() as engine:
        engine.load(adapted(tiny, adapters[0]))

        with pytest.raises(ConflictError):
            engine.manager.unload("base")

        engine.manager.unload("tuned")
        engine.manager.unload("base")
        assert names(engine) == []


def test_a_broken_adapter_fails_with_a_reason(tiny: Path, tmp_path: Path, serial: LocalEngine) -> None:
    (tmp_path / "broken").mkdir()

    (answer,) = serial.generate(command(adapted(tiny, tmp_path / "broken"), PROMPT))

    assert isinstance(answer.error, ModelLoadError)
    assert "tuned" in answer.error.message

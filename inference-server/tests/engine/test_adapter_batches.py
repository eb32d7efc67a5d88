"""Requests for different adapters of one base decode in one batch, and each gets what its adapter says alone."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import pytest
from engine.conftest import prompt
from fixtures.adapters import stock_tokens, write_adapter
from fixtures.answers import AnswerBook, command, spec_of
from fixtures.local_engine import LocalEngine, local_engine
from unified_mlx_app.engine.messages import Generate
from unified_mlx_app.errors import ConflictError, ModelLoadError
from unified_mlx_app.types import ModelSpec, ResidentModel

Maker = Callable[..., Path]

ATTENTION = ("self_attn.q_proj", "self_attn.v_proj")
MLP = ("mlp.gate_proj", "mlp.down_proj")


@dataclass(frozen=True, slots=True)
class Family:
    """A base model and adapters of different ranks and target modules."""

    base: Path
    adapters: tuple[Path, ...]

    def spec(self, number: int | None) -> ModelSpec:
        """The `number`-th adapter; None is the base."""
        if number is None:
            return spec_of(self.base, name="base")
        return adapted(self.base, self.adapters[number])


def adapted(base: Path, adapter: Path, name: str = "") -> ModelSpec:
    return spec_of(base, name=name or adapter.name, adapter_path=str(adapter), base_model="base")


def make_family(base: Path, root: Path) -> Family:
    adapters = (
        write_adapter(base, root / "narrow", seed=1, rank=2, keys=ATTENTION),
        write_adapter(base, root / "wide", seed=2, rank=24),
        write_adapter(base, root / "late", seed=3, rank=8, keys=(*MLP, "self_attn.q_proj"), num_layers=1),
    )
    return Family(base, adapters)


@pytest.fixture(scope="module", params=[None, 4], ids=["f32", "4-bit"])
def family(request: pytest.FixtureRequest, tiny_models: Maker, tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tiny_models(bits=request.param), tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")
def plain_family(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tiny, tmp_path_factory.mktemp("plain"))


def residents(engine: LocalEngine) -> dict[str, ResidentModel]:
    return {model.name: model for model in engine.manager.residents()}


def until_each_streams(engine: LocalEngine, *books: AnswerBook) -> None:
    engine.turn_until(lambda: all(book.chunks for book in books))


# --------------------------------------------------------------------- parity


def test_rows_of_a_base_and_three_adapters_get_the_tokens_of_their_own_lone_runs(family: Family) -> None:
    chance = random.Random(7)
    plan = [
        (chance.choice([None, 0, 1, 2]), prompt(number, chance.choice([1, 3, 20, 33, 90])), chance.choice([1, 2, 7, 25]))
        for number in range(24)
    ]
    commands = [command(family.spec(number), tokens, max_tokens=max_tokens) for number, tokens, max_tokens in plan]
    with local_engine(enabled=False, max_rows=6) as engine:
        books: list[AnswerBook] = []
        for each in commands:
            books.append(engine.begin(each))
            for _ in range(chance.randrange(4)):
                engine.turn()
            assert engine.num_batches <= 1
        engine.turn_until(lambda: all(book.is_done for book in books))

    for (number, tokens, max_tokens), book in zip(plan, books, strict=True):
        adapter = family.adapters[number] if number is not None else None
        assert book.answer().tokens == stock_tokens(family.base, adapter, tokens, max_tokens)


def test_rows_that_leave_mid_way_do_not_disturb_those_that_stay(family: Family) -> None:
    commands = [command(family.spec(number), prompt(9, 30), max_tokens=30) for number in (None, 0, 1, 2, 0)]
    with local_engine(enabled=False) as engine:
        books = [engine.begin(each) for each in commands]
        for victim in (2, 0):
            engine.turn_until(lambda: all(len(book.chunks) > 3 for book in books))
            engine.cancel(commands[victim])
        engine.turn_until(lambda: all(books[index].is_done for index in (1, 3, 4)))

    for index, number in ((1, 0), (3, 2), (4, 0)):
        assert books[index].answer().tokens == stock_tokens(family.base, family.adapters[number], prompt(9, 30), 30)


def test_choices_and_processors_of_an_adapters_request_work_beside_other_adapters(
    plain_family: Family, serial: LocalEngine
) -> None:
    drawn = {"temperature": 1.0, "seed": 5, "max_tokens": 12, "presence_penalty": 0.4}
    commands = [command(plain_family.spec(number), prompt(3, 40), num_choices=2, **drawn) for number in (0, 1)]
    with local_engine(enabled=False) as engine:
        answers = engine.generate(*commands, command(plain_family.spec(None), prompt(4, 20), max_tokens=30))

    for each, answer in zip(commands, answers, strict=False):
        assert answer.choices == serial.generate(each)[0].choices


def test_adapters_in_different_number_formats_share_a_batch(tiny: Path, tmp_path: Path) -> None:
    formats = {"half": mx.float16, "brain": mx.bfloat16, "full": mx.float32}
    adapters = [
        write_adapter(tiny, tmp_path / name, seed=seed, dtype=dtype) for seed, (name, dtype) in enumerate(formats.items())
    ]
    commands = [command(adapted(tiny, adapter), prompt(5, 20), max_tokens=20) for adapter in adapters]
    with local_engine(enabled=False) as engine:
        answers = engine.generate(*commands)

        assert engine.num_batches == 1
    for adapter, answer in zip(adapters, answers, strict=True):
        assert answer.tokens == stock_tokens(tiny, adapter, prompt(5, 20), 20)


# ------------------------------------------------------------ the prompt cache


def test_an_adapters_cached_state_is_the_cold_ones_to_the_bit_in_memory_and_from_disk(family: Family, tmp_path: Path) -> None:
    def ask(number: int, question: int) -> Generate:
        tokens = [*prompt(0, 70), *prompt(question, 20)]
        return command(family.spec(number), tokens, system=70, max_tokens=6, top_logprobs=2)

    with local_engine(tmp_path / "cache") as engine, local_engine(enabled=False) as cold:
        engine.generate(*(ask(number, 1) for number in range(3)))
        hits = [engine.generate(ask(number, 2))[0] for number in range(3)]
        engine.restart()
        hits += [engine.generate(ask(number, 3))[0] for number in range(3)]
        expected = [cold.generate(ask(number, question))[0] for question in (2, 3) for number in range(3)]

    assert [hit.report.tier for hit in hits] == ["memory"] * 3 + ["disk"] * 3
    assert all(hit.report.is_exact and hit.report.cached_tokens == 70 for hit in hits)
    assert [hit.logprobs for hit in hits] == [answer.logprobs for answer in expected]


def test_state_stored_beside_other_adapters_belongs_to_its_own(plain_family: Family) -> None:
    tokens = [*prompt(0, 70), *prompt(1, 20)]
    numbers = (None, 0, 1, 2)
    with local_engine() as engine:
        first = engine.generate(*(command(plain_family.spec(number), tokens, system=70, max_tokens=9) for number in numbers))
        again = engine.generate(*(command(plain_family.spec(number), tokens, system=70, max_tokens=9) for number in numbers))

    assert [answer.report.cached_tokens for answer in first] == [0, 0, 0, 0]
    assert [answer.report.cached_tokens for answer in again] == [70, 70, 70, 70]
    assert [answer.tokens for answer in again] == [answer.tokens for answer in first]
    assert len({tuple(answer.tokens) for answer in first}) == 4


# -------------------------------------------------------------------- hot swap


def test_an_adapter_trained_anew_serves_at_once_while_the_old_one_finishes(plain_family: Family, tmp_path: Path) -> None:
    base, (old, new, other) = plain_family.base, plain_family.adapters
    folder = shutil.copytree(old, tmp_path / "adapter")
    with local_engine() as engine:
        running = engine.begin(command(adapted(base, folder, "tuned"), prompt(5, 20), max_tokens=200))
        beside = engine.begin(command(adapted(base, other), prompt(6, 20), max_tokens=200))
        until_each_streams(engine, running, beside)
        shutil.copytree(new, folder, dirs_exist_ok=True)
        late = engine.begin(command(adapted(base, folder, "tuned"), prompt(5, 20), max_tokens=20))
        engine.turn_until(lambda: late.is_done)

        assert not running.is_done
        assert sorted((model.name, model.is_replaced) for model in engine.manager.residents()) == [
            ("base", False),
            ("late", False),
            ("tuned", False),
            ("tuned", True),
        ]
        engine.turn_until(lambda: running.is_done and beside.is_done)
        assert not any(model.is_replaced for model in engine.manager.residents())

    assert running.answer().tokens == stock_tokens(base, old, prompt(5, 20), 200)
    assert beside.answer().tokens == stock_tokens(base, other, prompt(6, 20), 200)
    assert late.answer().tokens == stock_tokens(base, new, prompt(5, 20), 20)
    assert late.answer().report.cached_tokens == 0


def test_a_name_that_moves_to_another_adapter_frees_the_old_one_after_its_requests(plain_family: Family) -> None:
    base, (old, new, _) = plain_family.base, plain_family.adapters
    before, after = adapted(base, old, "tuned"), adapted(base, new, "tuned")
    with local_engine() as engine:
        running = engine.begin(command(before, prompt(5, 20), max_tokens=100))
        until_each_streams(engine, running)
        engine.manager.set_pinned(before, True)
        engine.manager.replace(after)
        late = engine.begin(command(after, prompt(5, 20), max_tokens=10))
        engine.turn_until(lambda: late.is_done)
        both_bytes = engine.manager.weight_bytes
        assert not running.is_done
        engine.turn_until(lambda: running.is_done)

        assert engine.manager.weight_bytes == both_bytes - bytes_of(old)
        assert residents(engine)["tuned"].adapter_path == str(new)
        assert residents(engine)["tuned"].pinned
    assert running.answer().tokens == stock_tokens(base, old, prompt(5, 20), 100)
    assert late.answer().tokens == stock_tokens(base, new, prompt(5, 20), 10)


def bytes_of(adapter: Path) -> int:
    arrays = mx.load(str(adapter / "adapters.safetensors"))
    return sum(array.nbytes for array in arrays.values())  # pyright: ignore[reportAttributeAccessIssue]


def test_adapters_come_and_go_beside_running_rows(plain_family: Family) -> None:
    base, (one, two, three) = plain_family.base, plain_family.adapters
    with local_engine(enabled=False) as engine:
        running = engine.begin(command(adapted(base, one), prompt(5, 20), max_tokens=300))
        until_each_streams(engine, running)
        for adapter in (two, three, two):
            engine.generate(command(adapted(base, adapter), prompt(6, 20), max_tokens=3))
            engine.manager.unload(adapter.name)
        with pytest.raises(ConflictError):
            engine.manager.unload(one.name)
        assert not running.is_done
        engine.turn_until(lambda: running.is_done)

    assert running.answer().tokens == stock_tokens(base, one, prompt(5, 20), 300)


# ---------------------------------------------------------------------- memory


def test_an_adapter_costs_its_own_bytes_and_gives_them_back(plain_family: Family) -> None:
    wide = plain_family.adapters[1]
    with local_engine(enabled=False) as engine:
        engine.load(plain_family.spec(None))
        alone = engine.manager.weight_bytes
        answers = engine.generate(*(command(plain_family.spec(number), prompt(1, 20), max_tokens=5) for number in (0, 1, 2)))
        sizes = {name: model.weight_bytes for name, model in residents(engine).items()}

        assert all(answer.error is None for answer in answers)
        assert sizes["wide"] == bytes_of(wide)
        assert engine.manager.weight_bytes == sum(sizes.values())
        held = mx.get_active_memory()
        for adapter in plain_family.adapters:
            engine.manager.unload(adapter.name)
        assert engine.manager.weight_bytes == alone
        assert held - mx.get_active_memory() >= sum(bytes_of(adapter) for adapter in plain_family.adapters)


def test_rows_wait_when_there_is_no_room_to_lay_their_adapters_side_by_side(plain_family: Family) -> None:
    numbers = (1, 2)
    with local_engine(enabled=False) as engine:
        loaded = [engine.load(plain_family.spec(number)) for number in numbers]
        room = engine.manager.weight_bytes + 2 * loaded[0].kv_bytes(40) + sum(each.weight_bytes for each in loaded) // 2
    with local_engine(enabled=False, memory_limit_bytes=room) as engine:
        books = [engine.begin(command(plain_family.spec(number), prompt(1, 20), max_tokens=20)) for number in numbers]
        most = 0
        while not all(book.is_done for book in books):
            engine.turn()
            most = max(most, engine.scheduler.num_running)

    assert most == 1
    assert all(len(book.answer().tokens) == 20 for book in books)


# ------------------------------------------------------- batches of their own


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("qwen3", {"kind": "dora"}),
        ("qwen3", {"keys": ("model.embed_tokens", "self_attn.q_proj")}),
        ("qwen3_next", {"keys": ("mlp.switch_mlp.gate_proj", "mlp.switch_mlp.down_proj")}),
    ],
    ids=["dora", "embedding", "experts"],
)
def test_what_is_not_lora_on_plain_projections_is_served_in_a_batch_of_its_own(
    arch: str, options: dict[str, str], tiny_models: Maker, tmp_path: Path
) -> None:
    base = tiny_models(arch)
    special = write_adapter(base, tmp_path / "special", seed=1, **options)
    plain = write_adapter(base, tmp_path / "plain", seed=2, keys=("lm_head", "mlp.shared_expert.up_proj", "mlp.up_proj"))
    specs = [spec_of(base, name="base"), adapted(base, plain), adapted(base, special)]
    with local_engine(enabled=False) as engine:
        answers = engine.generate(*(command(spec, prompt(1, 30), max_tokens=12) for spec in specs))
        shares = {name: model.shares_batch for name, model in residents(engine).items()}

        assert engine.num_batches == 2
    assert shares == {"base": False, "plain": True, "special": False}
    for adapter, answer in zip((None, plain, special), answers, strict=True):
        assert answer.tokens == stock_tokens(base, adapter, prompt(1, 30), 12)


@pytest.mark.parametrize("arch", ["gemma3_text", "mamba2", "qwen3_next"])
def test_adapters_share_a_batch_on_every_kind_of_cache(arch: str, tiny_models: Maker, tmp_path: Path) -> None:
    base = tiny_models(arch)
    keys = {"mamba2": ("mixer.in_proj", "mixer.out_proj"), "qwen3_next": ("linear_attn.out_proj", "self_attn.q_proj")}
    adapters = [write_adapter(base, tmp_path / f"{n}", seed=n, rank=4 + n, keys=keys.get(arch, ATTENTION)) for n in range(2)]
    plan = [(None, 20), (adapters[0], 90), (adapters[1], 33), (adapters[0], 5)]
    specs = [adapted(base, adapter) if adapter else spec_of(base, name="base") for adapter, _ in plan]
    with local_engine(enabled=False) as engine:
        answers = engine.generate(
            *(command(spec, prompt(size, size), max_tokens=15) for spec, (_, size) in zip(specs, plan, strict=True))
        )

        assert engine.num_batches == 1
    for (adapter, size), answer in zip(plan, answers, strict=True):
        assert answer.tokens == stock_tokens(base, adapter, prompt(size, size), 15)


def test_an_adapter_with_numbers_that_are_none_is_refused_and_its_neighbours_go_on(plain_family: Family, tmp_path: Path) -> None:
    broken = shutil.copytree(plain_family.adapters[0], tmp_path / "broken")
    arrays = dict(mx.load(str(broken / "adapters.safetensors")))  # pyright: ignore[reportArgumentType, reportCallIssue]
    name = next(name for name in arrays if name.endswith("lora_b"))
    arrays[name] = arrays[name].at[0, 0].add(float("inf"))
    mx.save_safetensors(str(broken / "adapters.safetensors"), arrays)
    with local_engine(enabled=False) as engine:
        failed, fine = engine.generate(
            command(adapted(plain_family.base, broken), prompt(1, 20)), command(plain_family.spec(1), prompt(1, 20))
        )

    assert isinstance(failed.error, ModelLoadError)
    assert fine.tokens == stock_tokens(plain_family.base, plain_family.adapters[1], prompt(1, 20), 8)

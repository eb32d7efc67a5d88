"""Tokenizers agree with transformers, tell bytes and limits, notice changed files, and survive any text."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from fixtures.tokenizer_folders import CHATML, SpecMaker
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import AutoTokenizer
from unified_mlx_app.errors import InvalidRequestError, ModelLoadError
from unified_mlx_app.services.tokenizers import MAX_TEXT_BYTES, Tokenizers, load_tokenizer
from unified_mlx_app.types import ModelSpec

pytestmark = pytest.mark.anyio

TEXTS = ["", "a", "The bee  said:\n\n\n", "Ångström 🐝👩‍👩‍👧 ﷺ", "<|im_start|>user\nhi<|im_end|>", "\x00\x7f", "あ" * 3000]


@pytest.mark.parametrize("text", TEXTS)
async def test_ids_are_those_of_transformers(spec_with: SpecMaker, text: str) -> None:
    spec = spec_with(CHATML)

    ids = await (await Tokenizers().get(spec)).encode(text, add_special_tokens=True)

    assert ids == AutoTokenizer.from_pretrained(spec.path).encode(text, add_special_tokens=True)


@pytest.mark.parametrize("text", TEXTS)
async def test_bytes_of_tokens_join_to_the_text(spec_with: SpecMaker, text: str) -> None:
    tokenizer = await Tokenizers().get(spec_with(CHATML))

    ids = await tokenizer.encode(text, add_special_tokens=False)

    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()
    assert tokenizer.decode(ids) == text


async def test_facts_come_from_the_folder(spec_with: SpecMaker) -> None:
    spec = spec_with(CHATML)
    Path(spec.path, "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 5]}))

    tokenizer = await Tokenizers().get(spec)

    assert tokenizer.eos_token_ids == {1, 3, 5}
    assert tokenizer.max_context_tokens == 4096
    assert tokenizer.chat_template == CHATML
    assert (tokenizer.special_tokens["bos_token"], tokenizer.special_tokens["eos_token"]) == ("<s>", "</s>")
    assert tokenizer.vocab_size == tokenizer.backend.get_vocab_size()
    assert tokenizer.token_bytes(10**9) == b""


def test_bytes_of_a_sentencepiece_like_vocabulary(tmp_path: Path) -> None:
    backend = Tokenizer(models.BPE({"▁a": 0, "<0xF0>": 1, "b": 2}, [], byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_tokens([AddedToken("<end>", special=True)])
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')

    tokenizer = load_tokenizer(tmp_path)

    assert [tokenizer.token_bytes(token_id) for token_id in range(4)] == [b" a", b"\xf0", b"b", b"<end>"]


async def test_a_lone_surrogate_is_the_clients_mistake(spec_with: SpecMaker) -> None:
    tokenizer = await Tokenizers().get(spec_with(CHATML))

    with pytest.raises(InvalidRequestError) as caught:
        await tokenizer.encode("a\ud800b", add_special_tokens=False, param="messages")

    assert caught.value.param == "messages"


async def test_a_text_beyond_the_limit_is_refused_by_its_bytes(spec_with: SpecMaker) -> None:
    tokenizer = await Tokenizers().get(spec_with(CHATML))

    with pytest.raises(InvalidRequestError, match="at most"):
        await tokenizer.encode("é" * (MAX_TEXT_BYTES // 2 + 1), add_special_tokens=False)


@pytest.mark.parametrize("text", ["a" * 2**20, "\u0308" * 2**18, "👩‍" * 2**17], ids=["a", "diaeresis", "joined emoji"])
async def test_long_texts_leave_the_event_loop_free(spec_with: SpecMaker, text: str) -> None:
    tokenizer = await Tokenizers().get(spec_with(CHATML))
    num_turns = 0

    task = asyncio.create_task(tokenizer.encode(text, add_special_tokens=False))
    while not task.done():
        await asyncio.sleep(0.001)
        num_turns += 1

    assert tokenizer.decode(await task) == text
    assert num_turns > 10


async def test_changed_files_are_read_again_and_unchanged_ones_are_not(spec_with: SpecMaker) -> None:
    spec = spec_with(CHATML)
    tokenizers = Tokenizers()
    first, same = await asyncio.gather(tokenizers.get(spec), tokenizers.get(spec))

    template = Path(spec.path, "chat_template.jinja")
    template.write_text(CHATML + " ")
    os.utime(template, ns=(1, 1))
    changed = await tokenizers.get(spec)

    assert first is same
    assert changed.chat_template == CHATML + " "
    assert changed.template_digest() != first.template_digest()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"model": 5}', b"\xff\xfe"])
async def test_broken_files_are_a_load_error(spec_with: SpecMaker, content: bytes) -> None:
    spec = spec_with(CHATML)
    Path(spec.path, "tokenizer.json").write_bytes(content)

    with pytest.raises(ModelLoadError):
        await Tokenizers().get(spec)


async def test_a_folder_that_is_gone_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError):
        await Tokenizers().get(ModelSpec(name="x", path=str(tmp_path / "gone")))

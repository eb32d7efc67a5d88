"""Byte-level BPE tokenizers with a ChatML template, made from the standard library's sources without a network."""

import hashlib
import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

END_OF_TEXT, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_CONTROL_TOKENS = [END_OF_TEXT, START_OF_TURN, END_OF_TURN]
# Part of the answer's text, so they are not "special": a decoder that skips special tokens keeps them.
_TOOL_TOKENS = ["<tool_call>", "</tool_call>"]
_THINK_TOKENS = ["<think>", "</think>"]
_TEMPLATE = Path(__file__).with_name("chatml.jinja")
_NUM_SOURCE_FILES = 60


def standard_library_sources(num_files: int = _NUM_SOURCE_FILES) -> Iterator[str]:
    """Texts of the first `num_files` modules of the running Python's standard library, in name order."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:num_files]:
        yield path.read_text(encoding="utf-8", errors="ignore")


def train_tokenizer(vocab_size: int, *, extra_texts: Sequence[str] = (), think: bool = False) -> Tokenizer:
    """A tokenizer of `vocab_size` learned tokens plus the tool (and thinking) marks."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_CONTROL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*standard_library_sources(), *extra_texts], trainer)
    marks = _TOOL_TOKENS + (_THINK_TOKENS if think else [])
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    return tokenizer


def cached_tokenizer(vocab_size: int, *, think: bool = False) -> Tokenizer:
    """Like `train_tokenizer`, kept in the temporary folder because training takes longer than making a tiny model."""
    recipe = [vocab_size, think, sys.version, Path(__file__).read_text(encoding="utf-8")]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"mlx-hub-tokenizer-{os.getuid()}-{digest}.json"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        train_tokenizer(vocab_size, think=think).save(str(part))
        part.replace(path)
    return Tokenizer.from_file(str(path))


def chat_template(*, think: bool = False) -> str:
    """The ChatML template; the thinking variant shows thoughts of the unfinished turn and drops earlier ones."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    return "{%- set thinks = true %}\n" + text if think else text


def write_tokenizer(out: Path, tokenizer: Tokenizer, *, think: bool = False, max_tokens: int = 32768) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` as transformers reads them."""
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT,
        "model_max_length": max_tokens,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "chat_template.jinja").write_text(chat_template(think=think))

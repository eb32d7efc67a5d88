"""What the model sees of a row, and which of it is learned, with real tokenizers and templates."""

import dataclasses
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from fixtures.training import ModelMaker
from mlx_hub.core.data_prep import Problem, parse_row
from mlx_hub.core.model_files import TensorInfo, read_model_files
from mlx_hub.core.run_config import TrainingError
from mlx_hub.core.tokens import EncodedRow, TokenEncoder


@pytest.fixture(scope="module")
def encoder(tiny_models: ModelMaker) -> TokenEncoder:
    return TokenEncoder(read_model_files(tiny_models()), max_seq_length=2048, mask_prompt=True)


def encode(encoder: TokenEncoder, value: dict[str, Any]) -> EncodedRow:
    (encoded,) = encoder.encode([parse_row(value, line=1)])
    assert isinstance(encoded, EncodedRow), encoded
    return encoded


def learned_texts(encoder: TokenEncoder, row: EncodedRow) -> list[str]:
    runs = groupby(range(len(row.tokens)), key=lambda place: bool(row.is_learned[place]))
    return [encoder.decode(row.tokens[list(places)].tolist()) for is_learned, places in runs if is_learned]


def with_template(model: Path, folder: Path, template: str | None) -> TokenEncoder:
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").unlink()
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return TokenEncoder(read_model_files(folder), max_seq_length=2048, mask_prompt=True)


CONVERSATION = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say Paris. Paris!"},
        {"role": "assistant", "content": "Paris"},
        {"role": "user", "content": "Again"},
        {"role": "assistant", "content": "Paris"},
    ]
}


def test_every_answer_of_a_conversation_is_learned_with_its_end_and_nothing_else(encoder: TokenEncoder) -> None:
    row = encode(encoder, CONVERSATION)

    assert learned_texts(encoder, row) == ["Paris<|im_end|>", "Paris<|im_end|>"]
    assert encoder.decode(row.tokens.tolist()).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user")
    assert row.num_learned == row.is_learned.sum()


def test_completion_is_learned_and_prompt_is_not(encoder: TokenEncoder) -> None:
    row = encode(encoder, {"prompt": "one two", "completion": "three"})

    assert learned_texts(encoder, row) == ["three<|im_end|>"]
    assert "one two" in encoder.decode(row.tokens.tolist())


def test_text_is_learned_whole_and_ends(encoder: TokenEncoder) -> None:
    row = encode(encoder, {"text": "once upon"})

    assert learned_texts(encoder, row) == ["once upon<|im_end|>"]


def test_tool_calls_are_learned_and_results_are_not(encoder: TokenEncoder) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    row = encode(
        encoder,
        {
            "messages": [
                {"role": "user", "content": "1 + 1?"},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "content": "2"},
                {"role": "assistant", "content": "Two."},
            ],
            "tools": [{"type": "function", "function": {"name": "add"}}],
        },
    )

    answers = learned_texts(encoder, row)
    assert answers == ['<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>', "Two.<|im_end|>"]
    assert "You may call these functions" in encoder.decode(row.tokens.tolist())


def test_template_that_drops_earlier_thoughts_keeps_the_masks_right(tiny_models: ModelMaker) -> None:
    encoder = TokenEncoder(read_model_files(tiny_models(think=True)), max_seq_length=2048, mask_prompt=True)
    thought = "<think>\nhm\n</think>\n\n"
    row = encode(
        encoder,
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": f"{thought}Hello"},
                {"role": "user", "content": "Bye"},
                {"role": "assistant", "content": f"{thought}See you"},
            ]
        },
    )

    assert learned_texts(encoder, row) == ["Hello<|im_end|>", f"{thought}See you<|im_end|>"]


def test_prompt_is_learned_too_when_it_is_not_masked(tiny_models: ModelMaker) -> None:
    encoder = TokenEncoder(read_model_files(tiny_models()), max_seq_length=2048, mask_prompt=False)

    assert encode(encoder, CONVERSATION).is_learned.all()


def test_rows_are_cut_on_the_right_and_the_cut_is_counted(tiny_models: ModelMaker, encoder: TokenEncoder) -> None:
    short = TokenEncoder(read_model_files(tiny_models()), max_seq_length=40, mask_prompt=True)
    value = {"prompt": "Count", "completion": " ".join(str(number) for number in range(100))}

    whole, cut = encode(encoder, value), encode(short, value)

    assert len(cut.tokens) == 40
    assert cut.num_cut == len(whole.tokens) - 40
    assert cut.tokens.tolist() == whole.tokens[:40].tolist()


def test_row_whose_answer_is_cut_off_is_refused(tiny_models: ModelMaker) -> None:
    encoder = TokenEncoder(read_model_files(tiny_models()), max_seq_length=16, mask_prompt=True)

    (problem,) = encoder.encode([parse_row({"prompt": "long " * 50, "completion": "short"}, line=9)])

    assert isinstance(problem, Problem)
    assert (problem.line, problem.code) == (9, "empty_mask")
    assert "first 16 tokens" in problem.message


def test_row_that_the_template_refuses_leaves_its_neighbours_alone(tiny_models: ModelMaker, tmp_path: Path) -> None:
    template = "{%- for m in messages %}{%- if m.role == 'system' %}{{ raise_exception('no system') }}{%- endif %}"
    template += "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}"
    template += "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
    encoder = with_template(tiny_models(), tmp_path / "model", template)
    values = [{"prompt": "a", "completion": "b"}, CONVERSATION, {"prompt": "c", "completion": "d"}]

    first, problem, last = encoder.encode([parse_row(value, line=line) for line, value in enumerate(values, 1)])

    assert isinstance(problem, Problem)
    assert (problem.line, problem.code) == (2, "template_error")
    assert "no system" in problem.message
    assert isinstance(first, EncodedRow)
    assert isinstance(last, EncodedRow)
    assert learned_texts(encoder, last) == ["d<|im_end|>"]


def test_model_without_template_learns_completions_and_refuses_conversations(tiny_models: ModelMaker, tmp_path: Path) -> None:
    encoder = with_template(tiny_models(), tmp_path / "model", None)
    values = [{"prompt": "one two", "completion": " three"}, CONVERSATION]

    pair, problem = encoder.encode([parse_row(value, line=line) for line, value in enumerate(values, 1)])

    assert isinstance(pair, EncodedRow)
    assert encoder.decode(pair.tokens.tolist()) == "one two three<|im_end|>"
    assert learned_texts(encoder, pair) == [" three<|im_end|>"]
    assert isinstance(problem, Problem)
    assert problem.code == "no_template"


def test_token_outside_of_the_vocabulary_is_refused(tiny_models: ModelMaker) -> None:
    files = read_model_files(tiny_models())
    tensors = {**files.tensors, "model.embed_tokens.weight": TensorInfo((300, 64), "F32", 300 * 64 * 4)}
    encoder = TokenEncoder(dataclasses.replace(files, tensors=tensors), max_seq_length=64, mask_prompt=True)

    (problem,) = encoder.encode([parse_row({"prompt": "import", "completion": "return self"}, line=3)])

    assert isinstance(problem, Problem)
    assert (problem.line, problem.code) == (3, "token_out_of_range")


def test_many_rows_at_once_are_encoded_as_one_by_one(encoder: TokenEncoder) -> None:
    values = [CONVERSATION, {"text": "t"}, {"prompt": "p", "completion": "c"}, {"text": "u v"}]
    rows = [parse_row(value, line=line) for line, value in enumerate(values, 1)]

    together = encoder.encode(rows)

    for row, encoded in zip(rows, together, strict=True):
        (alone,) = encoder.encode([row])
        assert isinstance(alone, EncodedRow)
        assert isinstance(encoded, EncodedRow)
        assert encoded.tokens.tolist() == alone.tokens.tolist()
        assert encoded.is_learned.tolist() == alone.is_learned.tolist()


def test_prompt_tokens_are_what_comes_before_the_last_answer(encoder: TokenEncoder) -> None:
    row = parse_row(CONVERSATION, line=1)

    prompt = encoder.prompt_tokens(row)

    assert prompt is not None
    tokens, expected = prompt
    assert expected == "Paris"
    assert encode(encoder, CONVERSATION).tokens.tolist()[: len(tokens)] == tokens
    assert encoder.prompt_tokens(parse_row({"text": "t"}, line=1)) is None


def test_folder_without_tokenizer_is_told(tiny_models: ModelMaker, tmp_path: Path) -> None:
    shutil.copytree(tiny_models(), tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text("{")

    with pytest.raises(TrainingError) as raised:
        TokenEncoder(read_model_files(tmp_path / "model"), max_seq_length=64, mask_prompt=True)

    assert raised.value.code == "bad_tokenizer"


def test_api_and_worker_start_without_the_library_of_tokenizers() -> None:
    code = "import sys, mlx_hub.main, mlx_hub.worker; print('transformers' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"

"""Which dialect a model writes its tool calls in: told by its tokenizer's configuration, its template or its vocabulary.

The names are those of mlx-lm 0.32.2, whose converted models carry them as `tool_parser_type`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.services.tool_dialects.calls import ParsedCall, Schemas
from unified_mlx_app.services.tool_dialects.harmony_calls import parse_harmony
from unified_mlx_app.services.tool_dialects.json_calls import parse_json, parse_kimi_k2, parse_mistral
from unified_mlx_app.services.tool_dialects.literal_calls import parse_function_gemma, parse_gemma4, parse_pythonic
from unified_mlx_app.services.tool_dialects.tagged_calls import (
    parse_glm47,
    parse_kimi_k3,
    parse_longcat,
    parse_minicpm5,
    parse_minimax_m2,
    parse_muse_spark,
    parse_qwen3_coder,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """`parse` reads what stands between `start` and `end`. Without an end a call reaches to the end of the answer, and
    without a start the whole answer is one if it begins like JSON."""

    name: str
    start: str
    end: str
    parse: Callable[[str, Schemas], list[ParsedCall]]
    inner_marks: tuple[str, ...] = ()
    """Marks within a call that may be control tokens."""


_KIMI_K3_MARKS = ("<|open|>", "<|close|>", "<|sep|>")

JSON = Dialect("json_tools", "<tool_call>", "</tool_call>", parse_json)
BARE_JSON = Dialect("bare_json", "", "", parse_json)
HARMONY = Dialect("harmony", "", "", parse_harmony)
"""Its calls stand between no marks: they are messages, which `harmony_parts.py` reads."""
DIALECTS = {
    dialect.name: dialect
    for dialect in (
        JSON,
        BARE_JSON,
        Dialect("minimax_m2", "<minimax:tool_call>", "</minimax:tool_call>", parse_minimax_m2),
        Dialect("gemma4", "<|tool_call>", "<tool_call|>", parse_gemma4, ('<|"|>',)),
        Dialect("function_gemma", "<start_function_call>", "<end_function_call>", parse_function_gemma, ("<escape>",)),
        Dialect(
            "longcat",
            "<longcat_tool_call>",
            "</longcat_tool_call>",
            parse_longcat,
            ("<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>"),
        ),
        Dialect(
            "glm47",
            "<tool_call>",
            "</tool_call>",
            parse_glm47,
            ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
        ),
        Dialect(
            "laguna",
            "<tool_call>",
            "</tool_call>",
            parse_glm47,
            ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
        ),
        Dialect("pythonic", "<|tool_call_start|>", "<|tool_call_end|>", parse_pythonic),
        Dialect("qwen3_coder", "<tool_call>", "</tool_call>", parse_qwen3_coder),
        Dialect(
            "kimi_k2",
            "<|tool_calls_section_begin|>",
            "<|tool_calls_section_end|>",
            parse_kimi_k2,
            ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
        ),
        Dialect("kimi_k3", "<|open|>tools<|sep|>", "<|close|>tools<|sep|>", parse_kimi_k3, _KIMI_K3_MARKS),
        Dialect("minicpm5", "<function name=", "</function>", parse_minicpm5),
        Dialect("mistral", "[TOOL_CALLS]", "", parse_mistral, ("[ARGS]", "[CALL_ID]")),
        Dialect("muse_spark", "<atem:function_calls>", "</atem:function_calls>", parse_muse_spark),
    )
}

_BY_TEMPLATE = (
    ("minimax_m2", ("<minimax:tool_call>",)),
    ("gemma4", ("<|tool_call>", "<tool_call|>")),
    ("function_gemma", ("<start_function_call>",)),
    ("longcat", ("<longcat_tool_call>",)),
    ("glm47", ("<arg_key>",)),
    ("pythonic", ("<|tool_list_start|>",)),
    ("pythonic", ("<|tool_call_start|>",)),
    ("qwen3_coder", ("<tool_call>\\n<function=",)),
    ("qwen3_coder", ("<tool_call>\n<function=",)),
    ("kimi_k2", ("<|tool_calls_section_begin|>",)),
    ("minicpm5", ('<function name="', '<param name="')),
    ("mistral", ("[TOOL_CALLS]",)),
    ("muse_spark", ("<atem:function_calls>",)),
    ("json_tools", ("<tool_call>",)),
)
"""The first whose texts all stand in the template."""


def dialect_of(tokenizer: LoadedTokenizer) -> Dialect | None:
    """None for a model whose template takes no tools."""
    template = tokenizer.template_for(has_tools=True) or ""
    if tokenizer.speaks_harmony():
        return HARMONY if "tools" in template else None
    if tokenizer.tool_parser_type in DIALECTS:
        return DIALECTS[tokenizer.tool_parser_type]
    for name, texts in _BY_TEMPLATE:
        if all(text in template for text in texts):
            return DIALECTS[name]
    vocabulary = tokenizer.backend.get_vocab(with_added_tokens=True)
    if {"<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"} <= vocabulary.keys():
        return DIALECTS["kimi_k3"]
    if {"<|tool_call_start|>", "<|tool_call_end|>"} <= vocabulary.keys():
        return DIALECTS["pythonic"]
    return BARE_JSON if "tools" in template else None

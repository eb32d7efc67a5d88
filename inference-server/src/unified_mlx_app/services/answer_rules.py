"""What one request lets its answers be: which tools and thoughts to look for, and what each token has to keep to."""

from dataclasses import dataclass, field, replace
from typing import Any

from unified_mlx_app.errors import UnsupportedFieldError
from unified_mlx_app.harmony import TOKENS, opened_by
from unified_mlx_app.services.answer_grammar import GrammarInput, answer_constraint
from unified_mlx_app.services.answer_parts import AnswerShape
from unified_mlx_app.services.format_worker import CheckedFormat
from unified_mlx_app.services.generation import ChatPrompt, GenerationRequest
from unified_mlx_app.services.harmony_grammar import HarmonyDemand, can_be_demanded, harmony_constraint
from unified_mlx_app.services.reasoning import effort_kwargs, is_thought_open, think_marks
from unified_mlx_app.services.structured_output import StructuredOutput, WantedFormat
from unified_mlx_app.services.tokenizers import LoadedTokenizer
from unified_mlx_app.services.tool_calls import ToolUse
from unified_mlx_app.services.tool_dialects.table import JSON as JSON_DIALECT
from unified_mlx_app.services.tool_dialects.table import Dialect, dialect_of
from unified_mlx_app.types import JSON, Constraint, Markup


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """Made once a request; `for_prompt` fits them to one rendered prompt."""

    tokenizer: LoadedTokenizer
    shape: AnswerShape
    content: CheckedFormat | None
    tools: list[JSON] | None
    """For the chat template."""
    template_kwargs: JSON
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Keywords of the demanded schema that are not kept."""
        return self.content.left_out if self.content else ()

    def for_prompt(self, prompt: str | None) -> tuple[AnswerShape, Markup, Constraint | None]:
        """`prompt` is the text that a chat template gave; None for a prompt that is no conversation."""
        if prompt is None:
            return AnswerShape(), Markup(), self.content.constraint if self.content else None
        may_think = not any(self.template_kwargs.get(name) is False for name in ("enable_thinking", "thinking"))
        if self.shape.harmony is not None:
            return self._for_harmony(opened_by(prompt), may_think=may_think)
        think = self.shape.think
        shape = replace(self.shape, is_thinking=think is not None and is_thought_open(prompt, think))
        constraint = answer_constraint(GrammarInput(shape, self.arguments, self.content, may_think), self.tokenizer)
        return shape, _markup(shape, self.tokenizer), constraint

    def _for_harmony(self, opening: str, *, may_think: bool) -> tuple[AnswerShape, Markup, Constraint | None]:
        shape, token_id = replace(self.shape, harmony=opening), self.tokenizer.backend.token_to_id
        shown = {found: mark for token, mark in TOKENS.items() if (found := token_id(token)) is not None}
        demand = HarmonyDemand(opening, shape.tools, self.arguments, self.content, may_think)
        constraint = harmony_constraint(demand, self.tokenizer)
        if constraint is not None and not can_be_demanded(opening):
            message = "The model's chat template begins the answer itself, so its form cannot be demanded; ask for plain text."
            raise UnsupportedFieldError(message, param="response_format" if self.content else "tools")
        return shape, Markup(shown_tokens=shown, harmony=opening), constraint


async def answer_rules(request: GenerationRequest, tokenizer: LoadedTokenizer, formats: StructuredOutput) -> AnswerRules:
    """Raises InvalidRequestError for schemas that are wrong and UnsupportedFieldError for what the model has no means for."""
    content = await formats.check(request.wanted_format) if request.wanted_format else None
    if not isinstance(request.prompts[0], ChatPrompt):
        return AnswerRules(tokenizer, AnswerShape(), content, None, {})
    kwargs = effort_kwargs(request.reasoning_effort, tokenizer, param=request.effort_param) | request.prompts[0].template_kwargs
    is_harmony, use = tokenizer.speaks_harmony(), request.tools
    shape = AnswerShape(harmony="") if is_harmony else AnswerShape(think_marks(tokenizer))
    if use is None:
        return AnswerRules(tokenizer, shape, content, None, kwargs)
    dialect = dialect_of(tokenizer)
    if dialect is None:
        raise UnsupportedFieldError("The model's chat template takes no tools; leave tools out.", param="tools")
    arguments = await _checked_arguments(use, formats)
    shape = replace(shape, dialect=_forcible(dialect) if arguments else dialect, tools=use)
    return AnswerRules(tokenizer, shape, content, use.for_template(), kwargs, arguments)


async def _checked_arguments(use: ToolUse, formats: StructuredOutput) -> dict[str, str]:
    """Grammar expressions of the arguments that must satisfy their schemas: of strict tools, and of all if one must be called."""
    expressions: dict[str, str] = {}
    for index, tool in enumerate(use.tools):
        if not (tool.is_strict or use.must_call) or tool not in use.callable_tools:
            continue
        schema: dict[str, Any] = {"type": "object", **tool.parameters}
        wanted = WantedFormat("json_schema", schema, param=f"{use.param}[{index}]{use.schema_path}", is_strict=tool.is_strict)
        checked = await formats.check(wanted)
        assert checked.expression is not None
        expressions[tool.name] = checked.expression
    return expressions


def _forcible(dialect: Dialect) -> Dialect:
    """MiniCPM's start mark runs on into the name of the function, so JSON cannot follow it."""
    return JSON_DIALECT if dialect.name == "minicpm5" else dialect


def _markup(shape: AnswerShape, tokenizer: LoadedTokenizer) -> Markup:
    """Control tokens that must be seen, and spans in which stop strings do not count, for one answer."""
    marks: list[str] = []
    spans: list[tuple[str, str]] = []
    if shape.think is not None:
        marks += [shape.think.start, shape.think.end, *shape.think.noise]
        spans.append((shape.think.start, shape.think.end))
    if shape.dialect is not None:
        marks += [shape.dialect.start, shape.dialect.end, *shape.dialect.inner_marks]
        if shape.dialect.start:
            spans.append((shape.dialect.start, shape.dialect.end))
    shown = {
        token_id: token.content
        for token_id, token in tokenizer.backend.get_added_tokens_decoder().items()
        if token.special and any(token.content in mark for mark in marks)
    }
    open_end = shape.think.end if shape.think is not None and shape.is_thinking else ""
    return Markup(shown_tokens=shown, spans=tuple(spans), open_end=open_end)

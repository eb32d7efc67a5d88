"""Conversations to prompts: the model's chat template, rendered in a process that may be killed, and where its parts end.

A part's end is found by comparing renderings, never by searching for words, so any template will do.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, ParamSpec, TypeVar

import structlog
from pebble import ProcessExpired

from unified_mlx_app.errors import InvalidRequestError, UnavailableError
from unified_mlx_app.harmony import is_harmony_template
from unified_mlx_app.observability.tracing import span
from unified_mlx_app.services import template_worker
from unified_mlx_app.services.chat_messages import check_template_kwargs, to_template_messages
from unified_mlx_app.services.harmony_messages import described, to_harmony
from unified_mlx_app.services.process_limits import limit_memory
from unified_mlx_app.services.template_worker import Layout, RenderJob, TemplateError
from unified_mlx_app.services.tokenizers import MAX_TEXT_BYTES, LoadedTokenizer, Tokenizers
from unified_mlx_app.services.worker_pool import WorkerPool
from unified_mlx_app.types import Boundary, ModelSpec

RENDER_SECONDS = 1.0
"""Of work; the usual template takes a millisecond."""
MAX_LAYOUTS = 256

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
PartKind = Literal["system", "turn"]


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt ready for the engine. `boundaries` are in order and each ends before the prompt does."""

    token_ids: list[int]
    boundaries: list[Boundary]
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """A place in a conversation: character `offset` of the text of a message."""

    message: int
    role: str
    text: str
    offset: int


class ChatTemplates:
    """Renders templates in two processes. Its methods belong to the event loop; `start` and `close` frame its life."""

    def __init__(self, tokenizers: Tokenizers) -> None:
        self._tokenizers = tokenizers
        self._layouts: OrderedDict[str, Layout] = OrderedDict()
        self._pool: WorkerPool | None = None

    async def start(self) -> None:
        """Start the processes, which takes a second or two and leaves the event loop free."""
        preload = ("transformers.utils.chat_template_utils", template_worker.__name__)
        self._pool = WorkerPool("chat template", limit_memory, preload=preload)
        nothing = RenderJob("", [{}], None, {})
        await self._pool.begin(None, template_worker.render, nothing, with_layout=False)

    async def close(self) -> None:
        """Kill the processes."""
        if self._pool:
            await self._pool.close()
            self._pool = None

    async def render(
        self,
        spec: ModelSpec,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None,
        template_kwargs: dict[str, Any],
        is_prompt: bool = True,
    ) -> RenderedPrompt:
        """The prompt that asks the model for its next turn; without `is_prompt` the messages alone.

        Raises InvalidRequestError, with param `messages` or `chat_template_kwargs`, for what the template refuses or cannot
        do in time, and UnavailableError when no process became free.
        """
        tokenizer = await self._tokenizers.get(spec)
        job, _ = _job(tokenizer, messages, tools=tools, template_kwargs=template_kwargs)
        key = _layout_key(job)
        layout = self._layouts.get(key)
        with span("render"):
            rendering = await self._run(template_worker.render, job, with_layout=layout is None, is_prompt=is_prompt)
        if layout is None and rendering.layout is not None:
            layout = self._remember(key, rendering.layout)
        ends = _part_ends(rendering.text, layout)
        with span("tokenise"):
            token_ids, counts = await tokenizer.encode_chat(rendering.text, char_ends=list(ends.values()))
        return RenderedPrompt(token_ids, _boundaries(dict(zip(ends, counts, strict=True)), len(token_ids)), rendering.text)

    async def locate(
        self,
        spec: ModelSpec,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None,
        template_kwargs: dict[str, Any],
        prompt: RenderedPrompt,
        token_index: int,
    ) -> int | None:
        """Index of the message in whose content token `token_index` of `prompt` lies.

        None when that cannot be told: this only explains a request, so it never fails one.
        """
        try:
            tokenizer = await self._tokenizers.get(spec)
            job, origins = _job(tokenizer, messages, tools=tools, template_kwargs=template_kwargs)
            char_index = await tokenizer.char_of_token(prompt.text, token_index)
            if char_index is None:
                return None
            message = await self._run(template_worker.find_message, job, prompt.text, char_index)
            return None if message is None else origins[message]
        except (InvalidRequestError, UnavailableError):
            return None

    async def find_contents(
        self,
        spec: ModelSpec,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None,
        template_kwargs: dict[str, Any],
        prompt: RenderedPrompt,
        char_indexes: list[int],
    ) -> list[Found | None]:
        """From which message and which character of its text each of these characters of `prompt` comes.

        None where that cannot be told, like `locate`.
        """
        try:
            tokenizer = await self._tokenizers.get(spec)
            job, origins = _job(tokenizer, messages, tools=tools, template_kwargs=template_kwargs)
            found = await self._run(template_worker.find_contents, job, prompt.text, char_indexes)
        except (InvalidRequestError, UnavailableError):
            return [None] * len(char_indexes)
        contents = [str(message["content"]) for message in job.messages]
        return [
            Found(origins[each[0]], str(messages[origins[each[0]]].get("role")), contents[each[0]], each[1]) if each else None
            for each in found
        ]

    def _remember(self, key: str, layout: Layout) -> Layout:
        self._layouts[key] = layout
        while len(self._layouts) > MAX_LAYOUTS:
            self._layouts.popitem(last=False)
        return layout

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        assert self._pool is not None, "start() was not called"
        try:
            return await self._pool.run(RENDER_SECONDS, function, *args, **kwargs)
        except TemplateError as error:
            raise InvalidRequestError(f"The model's chat template refused the messages: {error}", param="messages") from error
        except ProcessExpired as error:
            log.warning("template_process_died", exit_code=error.exitcode)
            raise InvalidRequestError("The model's chat template crashed on the messages.", param="messages") from error
        except TimeoutError as error:
            log.warning("template_process_killed", limit_seconds=RENDER_SECONDS)
            message = f"The model's chat template took longer than {RENDER_SECONDS:g} s on the messages."
            raise InvalidRequestError(message, param="messages") from error


def _job(
    tokenizer: LoadedTokenizer,
    messages: list[dict[str, Any]],
    *,
    tools: list[dict[str, Any]] | None,
    template_kwargs: dict[str, Any],
) -> tuple[RenderJob, list[int]]:
    """What to render, and for each of its messages which of `messages` it comes from."""
    check_template_kwargs(template_kwargs)
    template = tokenizer.template_for(has_tools=bool(tools))
    if not template:
        message = "The model has no chat template; send a text to /v1/completions instead."
        raise InvalidRequestError(message, param="messages")
    plain = to_template_messages(messages, template=template)
    if sum(len(message["content"]) for message in plain) > MAX_TEXT_BYTES:
        raise InvalidRequestError(f"messages has more than {MAX_TEXT_BYTES} bytes.", param="messages")
    origins = [*range(len(plain))]
    if is_harmony_template(template):
        placed = to_harmony(plain)
        plain, origins, tools = [each.message for each in placed], [each.origin for each in placed], described(tools or [])
    return RenderJob(template, plain, tools or None, {**tokenizer.special_tokens, **template_kwargs}), origins


def _layout_key(job: RenderJob) -> str:
    """Digest of all that the layout follows from. Templates may write the date, so a layout serves one day."""
    leading: list[dict[str, Any]] = []
    next_role = "user"
    for message in job.messages:
        if message.get("role") not in ("system", "developer"):
            next_role = "assistant" if message.get("role") == "assistant" else "user"
            break
        leading.append(message)
    seen = [job.template, leading, next_role, job.tools, job.variables, datetime.now(UTC).astimezone().strftime("%Y-%m-%d")]
    return sha256(json.dumps(seen, sort_keys=True, default=repr).encode()).hexdigest()


def _part_ends(text: str, layout: Layout | None) -> dict[PartKind, int]:
    """Characters at which the parts of this very prompt end; a part that is not in it as expected has none."""
    ends: dict[PartKind, int] = {}
    if layout and layout.system_text and text.startswith(layout.system_text):
        ends["system"] = len(layout.system_text)
    if layout and layout.generation_prompt and text.endswith(layout.generation_prompt):
        ends["turn"] = len(text) - len(layout.generation_prompt)
    return ends


def _boundaries(counts: dict[PartKind, int], num_tokens: int) -> list[Boundary]:
    """In order; of two with the same end the system part's, none that is empty or is the whole prompt."""
    by_end: dict[int, Boundary] = {}
    for kind, end in counts.items():
        if 0 < end < num_tokens:
            by_end.setdefault(end, Boundary(kind=kind, end_tokens=end))
    return [by_end[end] for end in sorted(by_end)]

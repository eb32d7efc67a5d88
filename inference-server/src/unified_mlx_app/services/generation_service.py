"""The one use case: from a request of any wire API to tokens of a model.

Resolves the model, renders and tokenises the prompt, checks it against the model's limits, asks
the response cache and the engine. Used on the event loop only.
"""

import asyncio
import hashlib
import time
import uuid
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec

from unified_mlx_app.cache.response_cache import ResponseCache, is_deterministic, model_state, response_key
from unified_mlx_app.config import Settings
from unified_mlx_app.engine.client import EngineClient
from unified_mlx_app.engine.messages import Generate, Started
from unified_mlx_app.errors import ContextLengthError, GenerationError, InvalidRequestError
from unified_mlx_app.models.registry import ModelRegistry
from unified_mlx_app.observability.logs import current_request_id
from unified_mlx_app.observability.metrics import Metrics
from unified_mlx_app.observability.tracing import annotate, span
from unified_mlx_app.services.answer_parts import AnswerShape
from unified_mlx_app.services.answer_rules import AnswerRules, answer_rules
from unified_mlx_app.services.api_keys import Caller
from unified_mlx_app.services.changed_texts import Explanation
from unified_mlx_app.services.chat_template import ChatTemplates, RenderedPrompt
from unified_mlx_app.services.event_streams import EngineEvents, GuessCount, MeasuredEvents, MergedEvents, ReplayedEvents, Running
from unified_mlx_app.services.generation import ChatPrompt, Generation, GenerationRequest, Prompt
from unified_mlx_app.services.miss_explanations import ExplainedPrompt, MissExplanations
from unified_mlx_app.services.prompt_limits import bounded_timeout, check_num_logprobs, check_token_ids, remaining_tokens
from unified_mlx_app.services.prompt_rules import PromptRules, RuledPrompt
from unified_mlx_app.services.speculation import prediction_of, speculation_for
from unified_mlx_app.services.structured_output import StructuredOutput
from unified_mlx_app.services.tokenizers import LoadedTokenizer, Tokenizers
from unified_mlx_app.types import JSON, CacheReport, ModelSpec, SamplingParams, TokenLogprob

_PREVIEW_CHARS = 120


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One prompt ready for the engine; `rendered` is set for a conversation."""

    command: Generate
    prompt: Prompt
    rendered: RenderedPrompt | None
    rules: AnswerRules
    shape: AnswerShape
    guesses: GuessCount
    """Shared by all prompts of a request; it and `prompt_logprobs` are filled as they come."""
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)

    def explained(self) -> ExplainedPrompt:
        """What an explanation of its look-up goes by."""
        rules, command = self.rules, self.command
        return ExplainedPrompt(
            command.model, rules.tokenizer, self.prompt, command.prompt, self.rendered, rules.tools, rules.template_kwargs
        )


class GenerationService:
    """Starts generations; one a process."""

    def __init__(
        self,
        *,
        settings: Settings,
        engine: EngineClient,
        registry: ModelRegistry,
        tokenizers: Tokenizers,
        templates: ChatTemplates,
        formats: StructuredOutput,
        metrics: Metrics,
        rules: PromptRules,
        misses: MissExplanations,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._registry = registry
        self._tokenizers = tokenizers
        self._templates = templates
        self._formats = formats
        self._metrics = metrics
        self._rules = rules
        self._misses = misses
        self._responses = ResponseCache(settings.response_cache_max_entries) if settings.response_cache_enabled else None

    async def start(self, request: GenerationRequest, caller: Caller) -> Generation:
        """Returns once the (first) prompt left the queue, so that every early error still has its status.

        Raises ModelNotFoundError, ContextLengthError, InvalidRequestError, QueueFullError and what the engine
        fails with. The caller awaits `close` of what it gets.
        """
        arrived_at = time.perf_counter()
        resolved = await self._registry.resolve(request.model)
        tokenizer = await self._tokenizers.get(resolved.spec)
        rules = await answer_rules(request, tokenizer, self._formats)
        ruled, request = await self._ruled(request, resolved.config)
        guesses = GuessCount()
        prepared = [await self._prepare(prompt, request, resolved.spec, rules, guesses, caller) for prompt in request.prompts]
        check_num_logprobs((one.command.prompt for one in prepared), request.prompt_logprobs)
        starts = [partial(self._run, one, arrived_at) for one in prepared]
        merged = MergedEvents(starts, request.num_choices) if len(starts) > 1 else None
        running = await (merged.start() if merged else starts[0]())
        return Generation(
            model=resolved.spec,
            tokenizer=tokenizer,
            prompt_tokens=sum(len(one.command.prompt) for one in prepared),
            num_choices=request.num_choices,
            fallback_reason=resolved.fallback_reason,
            cache=running.cache,
            explanation=running.explanation,
            events=running.events,
            fingerprint=_fingerprint(resolved.spec),
            is_replayed=running.is_replayed,
            shape=prepared[0].shape,
            guesses=guesses,
            rules=ruled,
            left_out=rules.left_out,
            cached_tokens=lambda: merged.cached_tokens if merged else running.cache.cached_tokens,
            prompts=[one.command.prompt for one in prepared],
            prompt_logprobs=[one.prompt_logprobs for one in prepared],
        )

    async def warm_up(self, model: str, system_prompt: str, *, caller: Caller) -> tuple[Generate, CacheReport]:
        """Puts the KV state of a system prompt into the prompt cache; counts neither as hit nor as miss."""
        resolved = await self._registry.resolve(model)
        # Some templates refuse a conversation without a user; its part is cut off again below.
        messages: list[JSON] = [{"role": "system", "content": system_prompt}, {"role": "user", "content": "."}]
        ruled = await self._rules.apply(messages, self._rules.rules_for(resolved.config))
        rendered = await self._templates.render(resolved.spec, ruled.messages, tools=None, template_kwargs={})
        system = next((boundary for boundary in rendered.boundaries if boundary.kind == "system"), None)
        if system is None:
            raise InvalidRequestError("The model's chat template has no system part to keep.", param="model_id")
        command = Generate(
            request_id=uuid.uuid4().hex,
            cache_owner=self._cache_owner(caller),
            model=resolved.spec,
            prompt=rendered.token_ids[: system.end_tokens],
            sampling=SamplingParams(max_tokens=0),
            boundaries=[system],
            preview=system_prompt[:_PREVIEW_CHARS],
            deadline_seconds=self._settings.request_timeout_seconds,
            is_warmup=True,
        )
        tokenizer = await self._tokenizers.get(resolved.spec)
        remaining_tokens(command.prompt, resolved.spec, tokenizer, param="system_prompt")
        report = CacheReport(outcome="off")
        async for event in self._engine.generate(command):
            if isinstance(event, Started):
                report = event.cache
        return command, report

    def _cache_owner(self, caller: Caller) -> str:
        """Stored keys do not see each other's KV state; all others share theirs."""
        return (caller.key_id or "") if self._settings.prompt_cache_scope == "key" else ""

    async def _ruled(self, request: GenerationRequest, config: JSON) -> tuple[RuledPrompt | None, GenerationRequest]:
        """The request as the rules for volatile text leave it."""
        rules, prompt = self._rules.rules_for(config), request.prompts[0]
        if not rules or not isinstance(prompt, ChatPrompt):
            return None, request
        ruled = await self._rules.apply(prompt.messages, rules)
        return ruled, replace(request, prompts=[replace(prompt, messages=ruled.messages)])

    async def _prepare(
        self,
        prompt: Prompt,
        request: GenerationRequest,
        spec: ModelSpec,
        rules: AnswerRules,
        guesses: GuessCount,
        caller: Caller,
    ) -> _Prepared:
        rendered, tokenizer = None, rules.tokenizer
        if isinstance(prompt, ChatPrompt):
            tools, kwargs = rules.tools, rules.template_kwargs
            rendered = await self._templates.render(spec, prompt.messages, tools=tools, template_kwargs=kwargs)
            token_ids = rendered.token_ids
        elif isinstance(prompt.content, list):
            token_ids = prompt.content
        else:
            with span("tokenise"):
                token_ids = await tokenizer.encode(prompt.content, add_special_tokens=True)
        check_token_ids(token_ids, request.sampling.logit_bias, tokenizer)
        shape, markup, constraint = rules.for_prompt(rendered.text if rendered else None)
        command = Generate(
            request_id=uuid.uuid4().hex,
            client_id=current_request_id(),
            owner=caller.key_id or "",
            cache_owner=self._cache_owner(caller),
            model=spec,
            prompt=token_ids,
            sampling=_fitted_sampling(token_ids, request, spec, tokenizer),
            boundaries=rendered.boundaries if rendered else [],
            num_choices=request.num_choices,
            markup=markup,
            constraint=constraint,
            preview=_preview(prompt),
            deadline_seconds=bounded_timeout(request.timeout_seconds, self._settings),
            prompt_logprobs=request.prompt_logprobs,
            speculation=speculation_for(request, spec),
            prediction=await prediction_of(request, tokenizer),
        )
        return _Prepared(command, prompt, rendered, rules, shape, guesses)

    async def _run(self, prepared: _Prepared, arrived_at: float) -> Running:
        command = prepared.command
        key = None
        if self._responses is not None and is_deterministic(command):
            key = response_key(command, await asyncio.to_thread(model_state, command.model))
            entry = self._responses.find(key)
            self._metrics.response_cache.labels("miss" if entry is None else "hit").inc()
            if entry is not None:
                report = CacheReport(outcome="hit", cached_tokens=len(command.prompt), tier="memory")
                annotate({"mlx.response_cache": "hit"})
                return Running(report, Explanation(), ReplayedEvents(entry.events), is_replayed=True)
        events = self._engine.generate(command, operation="chat" if prepared.rendered else "text_completion")
        try:
            started = await _started(events)
            explanation = await self._misses.explain(prepared.explained(), started.cache)
        except BaseException:
            await events.aclose()
            raise
        self._metrics.record_start(command.model.name, len(command.prompt), started.cache, started.queue_seconds)
        if command.constraint is not None:
            self._metrics.constrained.labels(command.model.name, command.constraint.kind).inc()
        measured = MeasuredEvents(
            command,
            events,
            metrics=self._metrics,
            cache=started.cache,
            arrived_at=arrived_at,
            prompt_logprobs=prepared.prompt_logprobs,
            guesses=prepared.guesses,
            on_complete=partial(self._responses.insert, key) if self._responses is not None and key is not None else None,
        )
        return Running(started.cache, explanation, measured)


async def _started(events: EngineEvents) -> Started:
    async for event in events:
        if isinstance(event, Started):
            return event
    raise GenerationError("The engine ended the request before it started.")


def _fitted_sampling(
    token_ids: list[int], request: GenerationRequest, spec: ModelSpec, tokenizer: LoadedTokenizer
) -> SamplingParams:
    """The request's sampling within the model's context: the server's default limit shrinks, a client's own is an error."""
    param = "messages" if isinstance(request.prompts[0], ChatPrompt) else "prompt"
    max_tokens = request.sampling.max_tokens
    remaining = remaining_tokens(token_ids, spec, tokenizer, param=param, is_answered=max_tokens > 0)
    if remaining is None or max_tokens <= remaining:
        return request.sampling
    if request.max_tokens_param is None:
        return msgspec.structs.replace(request.sampling, max_tokens=remaining)
    raise ContextLengthError(
        f"This model's maximum context length is {remaining + len(token_ids)} tokens. You asked for "
        f"{max_tokens + len(token_ids)} tokens ({len(token_ids)} in the {param}, {max_tokens} in the completion). "
        f"Shorten the {param} or lower {request.max_tokens_param}.",
        param=request.max_tokens_param,
    )


def _preview(prompt: Prompt) -> str:
    """The beginning of the prompt as operators see it in the list of cache entries."""
    content = prompt.messages[0].get("content") if isinstance(prompt, ChatPrompt) else prompt.content
    if isinstance(content, list):
        content = " ".join(str(part["text"]) for part in content if isinstance(part, dict))
    return (content or "")[:_PREVIEW_CHARS]


def _fingerprint(spec: ModelSpec) -> str:
    digest = hashlib.sha256(f"{spec.path}\0{spec.adapter_path}".encode()).hexdigest()
    return f"fp_{digest[:12]}"

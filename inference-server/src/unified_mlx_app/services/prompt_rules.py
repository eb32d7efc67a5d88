"""Which rules for volatile text hold for a model, and their use within a bound of time.

Off unless an operator named some. What cannot be done in time is left undone and told: a rule can fail only into a miss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import structlog
from pebble import ProcessExpired

from unified_mlx_app.errors import InvalidRequestError, UnavailableError
from unified_mlx_app.rule_specs import RuleError, RuleSpec, parse_rules
from unified_mlx_app.services import rule_worker
from unified_mlx_app.services.process_limits import limit_memory
from unified_mlx_app.services.rule_worker import Applied, rewrite
from unified_mlx_app.services.worker_pool import WorkerPool
from unified_mlx_app.types import JSON

REWRITE_SECONDS = 0.5
CHECK_SECONDS = 2.0
INLINE_CHARACTERS = 20_000
"""Built-in rules take a few milliseconds for a text of this length."""
CONFIG_FIELD = "cache_rules"
"""Where a registered model's config has rules of its own; they take the place of the server's, also when there are none."""

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RuledPrompt:
    """Messages for the model. `failure` says why the rules were not applied, if they were not."""

    messages: list[JSON]
    applied: tuple[Applied, ...] = ()
    failure: str | None = None


class PromptRules:
    """Its methods belong to the event loop. The processes start with the first prompt or pattern that needs them."""

    def __init__(self, rules: tuple[RuleSpec, ...]) -> None:
        self._rules = rules
        self._pool: WorkerPool | None = None

    async def start(self) -> None:
        """Checks the server's own rules. Raises InvalidRequestError."""
        await self._check(self._rules, "MLX_PROMPT_CACHE_RULES")

    async def close(self) -> None:
        """Kill the processes."""
        if self._pool:
            await self._pool.close()
            self._pool = None

    async def check_config(self, config: dict[str, Any]) -> None:
        """Raises InvalidRequestError, naming the place, for rules of a model that are wrong or take too long."""
        if CONFIG_FIELD not in config:
            return
        param = f"config.{CONFIG_FIELD}"
        try:
            rules = parse_rules(config[CONFIG_FIELD])
        except RuleError as error:
            field = param + error.place
            raise InvalidRequestError(f"Invalid value for {field}: {error.message}.", param=field) from error
        await self._check(rules, param)

    def rules_for(self, config: dict[str, Any]) -> tuple[RuleSpec, ...]:
        """The rules that hold for a model with this config."""
        if CONFIG_FIELD not in config:
            return self._rules
        try:
            return parse_rules(config[CONFIG_FIELD])
        except RuleError as error:
            # Registered by another version of the server.
            log.warning("cache_rules_ignored", place=error.place, reason=error.message)
            return ()

    async def apply(self, messages: list[JSON], rules: tuple[RuleSpec, ...]) -> RuledPrompt:
        """The conversation as the model gets it."""
        if not rules:
            return RuledPrompt(messages)
        is_own = any(rule.pattern is not None for rule in rules)
        if not is_own and _num_characters(messages) <= INLINE_CHARACTERS:
            done = rewrite(messages, rules)
            return RuledPrompt(done.messages, done.applied)
        try:
            done = await self._run(REWRITE_SECONDS, rewrite, messages, rules)
        except (TimeoutError, ProcessExpired, UnavailableError) as error:
            log.warning("cache_rules_not_applied", reason=type(error).__name__, limit_seconds=REWRITE_SECONDS)
            return RuledPrompt(messages, failure="they took too long")
        return RuledPrompt(done.messages, done.applied)

    async def _check(self, rules: tuple[RuleSpec, ...], param: str) -> None:
        for rule in rules:
            if rule.pattern is None:
                continue
            try:
                await self._run(CHECK_SECONDS, rule_worker.try_pattern, rule.pattern)
            except (TimeoutError, ProcessExpired) as error:
                words = f"it takes longer than {CHECK_SECONDS:g} s on short texts"
                raise InvalidRequestError(f"Invalid pattern of the rule {rule.name} in {param}: {words}.", param=param) from error

    async def _run(self, seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._pool is None:
            self._pool = WorkerPool("rule", limit_memory)
        return await self._pool.run(seconds, function, *args, **kwargs)


def _num_characters(messages: list[JSON]) -> int:
    return sum(len(str(message.get("content") or "")) for message in messages)

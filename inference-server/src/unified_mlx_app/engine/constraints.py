"""Compiles the grammars of constrained requests beside running streams. Engine thread only; a thread inside does the work."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from unified_mlx_app.engine.sequence import Request
from unified_mlx_app.errors import InvalidRequestError
from unified_mlx_app.models.grammars import Grammar, GrammarError, Grammars
from unified_mlx_app.models.loader import LoadedModel

_STACK_BYTES = 16 * 2**20
"""Twice what the check in the API process has, so that what passes there cannot overflow here; macOS gives threads 0.5 MB."""
_MAX_UNASKED = 64
"""Results of requests that were cancelled meanwhile."""


class GrammarCompiler:
    """`wake` is called by another thread when a grammar is ready. The grammars themselves are kept by each resident model."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._compiling: dict[tuple[Grammars, str], Future[Grammar]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="grammar-compiler")
        stack_bytes = threading.stack_size(_STACK_BYTES)
        self._pool.submit(int)  # Starts the thread.
        threading.stack_size(stack_bytes)

    def is_ready(self, request: Request, loaded: LoadedModel) -> bool:
        """Whether `request` can start on `loaded`, which sets its grammar; if not yet, ask again after `wake`.

        Raises InvalidRequestError for a grammar that is wrong.
        """
        constraint, grammars = request.command.constraint, loaded.grammars
        if constraint is None or (request.grammar is not None and request.grammar.owner is grammars):
            return True
        key = (grammars, constraint.grammar)
        if (compiling := self._compiling.get(key)) is not None:
            if not compiling.done():
                return False
            del self._compiling[key]
            request.grammar = _result(compiling)
            return True
        request.grammar = grammars.find(constraint.grammar)
        if request.grammar is None:
            self._forget_unasked()
            self._compiling[key] = self._pool.submit(self._compile, grammars, constraint.grammar)
        return request.grammar is not None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _compile(self, grammars: Grammars, text: str) -> Grammar:
        try:
            return grammars.compile(text)
        finally:
            self._wake()

    def _forget_unasked(self) -> None:
        if len(self._compiling) >= _MAX_UNASKED:
            self._compiling = {key: compiling for key, compiling in self._compiling.items() if not compiling.done()}


def _result(compiling: Future[Grammar]) -> Grammar:
    try:
        return compiling.result()
    except GrammarError as error:
        reason = str(error).partition("\n")[0]
        raise InvalidRequestError(f"the answer's format cannot be kept with this model: {reason}") from error

"""A compressed radix tree over token sequences: finds stored prefixes of a prompt in time linear in the prompt.

Edges are slices of the stored int32 arrays and are compared by numpy, so a look-up that diverges inside a
100,000-token entry costs one vector comparison. Not thread-safe.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]
T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    edge: Tokens
    parent: "_Node[T] | None" = None
    value: T | None = None
    children: dict[int, "_Node[T]"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrefixMatch(Generic[T]):
    """`num_tokens` of the query are the start of something stored.

    `prefixes`: values stored for whole prefixes of the query, shortest first.
    `continuations`: values that share exactly `num_tokens` tokens with the query and go on beyond them.
    """

    num_tokens: int
    prefixes: list[T]
    continuations: list[T]


def common_prefix_length(a: Tokens, b: Tokens) -> int:
    """Number of leading tokens that `a` and `b` share."""
    size = min(len(a), len(b))
    different = np.flatnonzero(a[:size] != b[:size])
    return int(different[0]) if len(different) else size


class PrefixIndex(Generic[T]):
    """Maps token sequences to values. Sequences must not be empty."""

    def __init__(self, max_continuations: int = 32) -> None:
        self._root: _Node[T] = _Node(np.empty(0, np.int32))
        self._max_continuations = max_continuations

    def insert(self, tokens: Tokens, value: T) -> None:
        """Store `value`; a value stored for the same tokens is replaced."""
        node, depth = self._root, 0
        while depth < len(tokens):
            child = node.children.get(int(tokens[depth]))
            if child is None:
                leaf = _Node(tokens[depth:], node, value)
                node.children[int(tokens[depth])] = leaf
                return
            shared = common_prefix_length(child.edge, tokens[depth:])
            if shared < len(child.edge):
                child = self._split(child, shared)
            node, depth = child, depth + shared
        node.value = value

    def remove(self, tokens: Tokens) -> None:
        """Forget what is stored for `tokens`; unknown sequences are ignored."""
        node = self._find(tokens)
        if node is None:
            return
        node.value = None
        self._prune(node)

    def first(self) -> T | None:
        """Any of the values."""
        return next(self._walk(self._root), None)

    def match(self, tokens: Tokens) -> PrefixMatch[T]:
        """The longest stored start of `tokens`. Costs O(len(tokens)) and never touches what lies beyond."""
        node, depth, prefixes = self._root, 0, list[T]()
        while depth < len(tokens) and (child := node.children.get(int(tokens[depth]))) is not None:
            shared = common_prefix_length(child.edge, tokens[depth:])
            depth += shared
            node = child
            if shared < len(child.edge):
                return PrefixMatch(depth, prefixes, self._values_below(child))
            if child.value is not None:
                prefixes.append(child.value)
        beyond = [value for child in node.children.values() for value in self._values_below(child)]
        return PrefixMatch(depth, prefixes, beyond[: self._max_continuations])

    def values_under(self, tokens: Tokens) -> list[T]:
        """Everything stored for `tokens` (which must be stored) and for sequences that begin with them."""
        node = self._find(tokens)
        return list(self._walk(node)) if node is not None else []

    def _values_below(self, node: _Node[T]) -> list[T]:
        found: list[T] = []
        for value in self._walk(node):
            found.append(value)
            if len(found) == self._max_continuations:
                break
        return found

    def _walk(self, node: _Node[T]) -> Iterator[T]:
        stack = [node]
        while stack:
            current = stack.pop()
            if current.value is not None:
                yield current.value
            stack.extend(current.children.values())

    def _find(self, tokens: Tokens) -> _Node[T] | None:
        node, depth = self._root, 0
        while depth < len(tokens):
            child = node.children.get(int(tokens[depth]))
            if child is None or common_prefix_length(child.edge, tokens[depth:]) < len(child.edge):
                return None
            node, depth = child, depth + len(child.edge)
        return node

    def _split(self, node: _Node[T], at: int) -> _Node[T]:
        """Cut the edge above `node` after `at` tokens; returns the new upper node."""
        assert node.parent is not None
        upper = _Node(node.edge[:at], node.parent)
        node.parent.children[int(node.edge[0])] = upper
        node.edge, node.parent = node.edge[at:], upper
        upper.children[int(node.edge[0])] = node
        return upper

    def _prune(self, node: _Node[T]) -> None:
        """Drop empty leaves and rejoin edges, so that the tree's size follows what is stored."""
        while node.parent is not None and node.value is None and not node.children:
            parent = node.parent
            del parent.children[int(node.edge[0])]
            node = parent
        if node.parent is not None and node.value is None and len(node.children) == 1:
            (child,) = node.children.values()
            child.edge, child.parent = np.concatenate([node.edge, child.edge]), node.parent
            node.parent.children[int(child.edge[0])] = child

"""A radix tree over rows of fingerprints: who has seen how much of a text.

Bounded: beyond ``max_prints`` fingerprints or ``max_nodes`` nodes, the beginnings that were not used for the longest
time are forgotten, from their ends on. Every method is linear in the length of the row it is given.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from .fingerprints import PRINT

__all__ = ["Radix"]


class _Node:
    """A stretch of a row that all rows below share.

    ``holders`` says when each worker was last sent a row that runs through the whole of it.
    """

    __slots__ = ("children", "edge", "holders", "parent")

    def __init__(self, edge: bytes, parent: "_Node | None") -> None:
        self.edge = edge
        self.parent = parent
        self.children: dict[bytes, _Node] | None = None  # by the first fingerprint of their edges
        self.holders: dict[str, float] = {}


class Radix:
    __slots__ = ("_max_holders", "_max_nodes", "_max_prints", "_nodes", "_root", "prints")

    def __init__(self, *, max_prints: int, max_nodes: int, max_holders: int) -> None:
        self._max_prints = max_prints
        self._max_nodes = max_nodes
        self._max_holders = max_holders
        self._root = _Node(b"", None)
        # All nodes, those that were not used for the longest time first. Who uses a node uses those above it after it,
        # so the first one has no children.
        # A plain dict finds its first entry slowly where those before it were deleted.
        self._nodes: OrderedDict[_Node, None] = OrderedDict()
        self.prints = 0

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self._nodes)

    def match(self, row: bytes, oldest: float, since: Mapping[str, float]) -> dict[str, int]:
        """Worker -> how many fingerprints of ``row`` it has seen from the beginning on.

        What it was sent before ``oldest``, or before the time that ``since`` names for it, does not count.
        """
        found: dict[str, int] = {}
        for node, depth in self._path(row):
            for worker, when in node.holders.items():
                if when >= oldest and when >= since.get(worker, oldest):
                    found[worker] = depth
        return found

    def _path(self, row: bytes) -> Iterator[tuple[_Node, int]]:
        """The nodes that ``row`` runs through or into, each with the number of fingerprints shared up to there."""
        node, at, end = self._root, 0, len(row)
        while at < end and node.children and (child := node.children.get(row[at : at + PRINT])):
            if not row.startswith(child.edge, at):
                yield child, (at + _common(child.edge, row, at)) // PRINT
                return
            at += len(child.edge)
            yield child, at // PRINT
            node = child

    def insert(self, row: bytes, worker: str, now: float) -> int:
        """``worker`` is sent ``row``; how many fingerprints of it were the worker's already, for ``release``."""
        path: list[_Node] = []
        node, at, end = self._root, 0, len(row)
        had = 0
        while at < end:
            node = self._step(node, row, at)
            at += len(node.edge)
            if worker in node.holders:
                had = at // PRINT
            self._hold(node, worker, now)
            path.append(node)
        nodes = self._nodes
        for node in reversed(path):
            nodes[node] = None
            nodes.move_to_end(node)
        while self.prints > self._max_prints or len(nodes) > self._max_nodes:
            self._drop(next(iter(nodes)))
        return had

    def _step(self, node: _Node, row: bytes, at: int) -> _Node:
        """The child of ``node`` that ``row`` runs through from ``at`` on: found, made, or split off."""
        children = node.children
        if children is None:
            children = node.children = {}
        first = row[at : at + PRINT]
        child = children.get(first)
        if child is None:
            child = children[first] = _Node(row[at:], node)
            self.prints += len(child.edge) // PRINT
        elif not row.startswith(child.edge, at):
            child = children[first] = self._split(child, _common(child.edge, row, at))
        return child

    def _split(self, lower: _Node, length: int) -> _Node:
        """A new node for the first ``length`` bytes of ``lower``'s edge, above it."""
        upper = _Node(lower.edge[:length], lower.parent)
        upper.holders = lower.holders.copy()
        lower.edge = lower.edge[length:]
        lower.parent = upper
        upper.children = {lower.edge[:PRINT]: lower}
        return upper

    def _hold(self, node: _Node, worker: str, now: float) -> None:
        holders = node.holders
        holders.pop(worker, None)  # so that they stand in the order of their last use
        holders[worker] = now
        if len(holders) > self._max_holders:
            del holders[next(iter(holders))]

    def release(self, row: bytes, worker: str, had: int) -> None:
        """Takes back what ``insert`` returned ``had`` for: ``worker`` did not take the row up."""
        path = [node for node, depth in self._path(row) if depth > had]
        for node in reversed(path):
            node.holders.pop(worker, None)
            if not node.holders and not node.children:
                self._drop(node)

    def _drop(self, node: _Node) -> None:
        del self._nodes[node]
        self.prints -= len(node.edge) // PRINT
        parent = node.parent
        if parent is not None and parent.children is not None:
            del parent.children[node.edge[:PRINT]]
            if not parent.children:
                parent.children = None


def _common(edge: bytes, row: bytes, at: int) -> int:
    """How many bytes of ``edge`` stand in ``row`` at ``at``, in whole fingerprints."""
    low, high = 0, min(len(edge), len(row) - at) // PRINT
    while low < high:
        middle = (low + high + 1) // 2
        if row.startswith(edge[: middle * PRINT], at):
            low = middle
        else:
            high = middle - 1
    return low * PRINT

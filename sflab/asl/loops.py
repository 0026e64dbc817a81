"""Which states lead where: reachability and loops in the graph of one scope, ``{state: [states after it]}``.

Without recursion, since a scope may have thousands of states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Graph = Mapping[str, Sequence[str]]


def reachable(after: Graph, start: str) -> set[str]:
    """Return every state some way from *start* leads to, itself included."""
    reached, todo = {start}, [start]
    while todo:
        for target in after.get(todo.pop(), ()):
            if target not in reached:
                reached.add(target)
                todo.append(target)
    return reached


def loops(after: Graph) -> list[list[str]]:
    """Return the loops: groups of states each of which leads back to itself through the others, in order of writing.

    Tarjan's strongly connected components; a state alone is a loop where it names itself.
    """
    order = {name: i for i, name in enumerate(after)}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    held: set[str] = set()
    found: list[list[str]] = []

    def enter(name: str) -> tuple[str, Iterator[str]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        held.add(name)
        return name, iter(after.get(name, ()))

    for root in after:
        work = [] if root in index else [enter(root)]
        while work:
            name, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    at = stack.index(name)
                    group = sorted(stack[at:], key=lambda n: order.get(n, 0))
                    held.difference_update(group)
                    del stack[at:]
                    if len(group) > 1 or name in after.get(name, ()):
                        found.append(group)
            elif target not in index:
                work.append(enter(target))
            elif target in held:
                low[name] = min(low[name], index[target])
    return sorted(found, key=lambda group: order.get(group[0], 0))

"""What differs between two executions, branch by branch: times and ids aside.

Two runs of one workflow interleave their branches differently, and nothing about that is worth a look. So each history
is taken apart into chains: the execution's own, and one for every iteration of a Map and every branch of a Parallel.
Chains of the same branch are laid beside each other by the types and names of their events; events that
face each other are compared by what they hold. JSON texts are compared as JSON.

What changes from run to run on its own is no difference: timestamps, event ids, execution and Map Run ARNs, task
tokens, request ids and UUIDs wherever they stand in data, and the role, which is another in every account.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.asl.model import JSON
from sflab.engine.history import Event, details, owners
from sflab.engine.recorded import parsed

if TYPE_CHECKING:
    from sflab.asl.model import Definition

#: Members of an event's details that are another in every run.
_OWN = frozenset({"mapRunArn", "roleArn", "stateMachineAliasArn", "stateMachineVersionArn", "taskToken"})
#: Members of data that are, by the name AWS gives them.
_OWN_DATA = frozenset(
    {"TaskToken", "taskToken", "x-amzn-RequestId", "x-amz-request-id", "x-amz-id-2", "X-Amzn-Trace-Id"}
)
_INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"
_DATE = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_EVENT = r"(?<=event id )#\d+"
_RUN = r"(?<=:)(?:execution|express|mapRun):[^:\s\"]+(?::[^:\s\"]+)*"
_PASSING = re.compile(f"{_RUN}|{_EVENT}|{_UUID}|{_INSTANT}|{_DATE}")


class Difference(NamedTuple):
    """One difference: *mine* and *theirs* are what stands at *where* in the event.

    ``kind`` is ``changed``, or ``missing`` where only the other history has the event, ``extra`` where only this one
    has. ``event`` is its type; ``mine_id`` and ``theirs_id`` are its ids.
    """

    branch: str
    kind: str
    event: str
    state: str | None
    mine_id: int | None
    theirs_id: int | None
    where: str
    mine: JSON
    theirs: JSON


class _Link(NamedTuple):
    key: tuple[Any, ...]
    state: str | None
    event: Event


def differences(
    mine: Iterable[Event],
    theirs: Iterable[Event],
    definition: Definition | None = None,
    other: Definition | None = None,
    *,
    names: tuple[str | None, str | None] = (None, None),
) -> list[Difference]:
    """Return every difference, in the order of *mine*; nothing where the executions did the same.

    The definitions tell the branches of a Parallel apart; without them those are counted as they were entered.
    *names* are the names of the two executions, which are ids too.
    """
    a, b = _chains(mine, definition or other), _chains(theirs, other or definition)
    out: list[Difference] = []
    for branch in [*a, *(k for k in b if k not in a)]:
        out += _chain(branch, a.get(branch, []), b.get(branch, []), names)
    return out


def _chains(events: Iterable[Event], definition: Definition | None) -> dict[str, list[_Link]]:
    """Return the events of every branch, under its name."""
    read, visits, owner = owners(events, definition)
    names: dict[tuple[tuple[int, int], ...], str] = {(): ""}
    often: dict[tuple[str, str], int] = {}
    nth: dict[int, str] = {}  # a Map or Parallel visit: its state, and which visit to it in its branch this is
    chains: dict[str, list[_Link]] = {"": []}
    for event in read:
        said, index = details(event), owner.get(event["id"])
        visit = None if index is None else visits[index]
        context = visit.context if visit else ()
        if visit and event["type"].startswith("MapIteration"):
            context = (*context, (visit.index, int(said.get("index", 0))))
        for depth in range(1, len(context) + 1):
            if context[:depth] not in names:
                names[context[:depth]] = _branch(names[context[: depth - 1]], context[depth - 1], visits, often, nth)
        state = visit.state if visit else None
        key = (event["type"], state)
        chains.setdefault(names[context], []).append(_Link(key, state, event))
    return chains


def _branch(
    outer: str, last: tuple[int, int], visits: Sequence[Any], often: dict[tuple[str, str], int], nth: dict[int, str]
) -> str:
    index, part = last
    if index not in nth:
        state = visits[index].state
        count = often[outer, state] = often.get((outer, state), 0) + 1
        nth[index] = state if count == 1 else f"{state} #{count}"
    return f"{outer} / {nth[index]}[{part}]".removeprefix(" / ")


def _chain(
    branch: str, mine: Sequence[_Link], theirs: Sequence[_Link], names: tuple[str | None, str | None]
) -> Iterator[Difference]:
    def alone(link: _Link, kind: str) -> Difference:
        number = link.event["id"]
        value = details(link.event)
        if kind == "extra":
            return Difference(branch, kind, link.event["type"], link.state, number, None, "", value, None)
        return Difference(branch, kind, link.event["type"], link.state, None, number, "", None, value)

    for i1, i2, j1, j2 in _laid(mine, theirs):
        if i2 - i1 == j2 - j1 and all(a.key == b.key for a, b in zip(mine[i1:i2], theirs[j1:j2], strict=True)):
            for a, b in zip(mine[i1:i2], theirs[j1:j2], strict=True):
                one, two = details(a.event), details(b.event)
                for where, left, right in _unlike(one, two, names, top=True) if one != two else ():
                    about = (branch, "changed", a.event["type"], a.state, a.event["id"], b.event["id"])
                    yield Difference(*about, where, left, right)
        else:
            yield from (alone(link, "extra") for link in mine[i1:i2])
            yield from (alone(link, "missing") for link in theirs[j1:j2])


def _laid(mine: Sequence[_Link], theirs: Sequence[_Link]) -> Iterator[tuple[int, int, int, int]]:
    """Lay two chains beside each other: the stretches that face each other."""
    a, b = [x.key for x in mine], [x.key for x in theirs]
    short = min(len(a), len(b))
    head = next((i for i in range(short) if a[i] != b[i]), short)
    tail = next((i for i in range(short - head) if a[-1 - i] != b[-1 - i]), short - head)
    yield 0, head, 0, head
    middle = SequenceMatcher(None, a[head : len(a) - tail], b[head : len(b) - tail], autojunk=False)
    for _, i1, i2, j1, j2 in middle.get_opcodes():
        yield head + i1, head + i2, head + j1, head + j2
    yield len(a) - tail, len(a), len(b) - tail, len(b)


def _unlike(
    mine: JSON, theirs: JSON, names: tuple[str | None, str | None], path: str = "", *, top: bool = False
) -> Iterator[tuple[str, JSON, JSON]]:
    """Every place at which two values differ, as (JSON pointer, mine, theirs)."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        own = _OWN if top else _OWN_DATA
        for name in [*mine, *(k for k in theirs if k not in mine)]:
            if name not in own:
                where = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
                yield from _unlike(mine.get(name), theirs.get(name), names, where)
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            yield from _unlike(a, b, names, f"{path}/{i}")
    elif isinstance(mine, str) and isinstance(theirs, str):
        if mine != theirs and _steady(mine, names[0]) != _steady(theirs, names[1]):
            inner, other = parsed(mine), parsed(theirs)
            if isinstance(inner, (dict, list)) and isinstance(other, (dict, list)):
                yield from _unlike(inner, other, names, path)
            elif isinstance(inner, str) or isinstance(other, str) or type(inner) is not type(other) or inner != other:
                yield path, mine, theirs
    elif type(mine) is not type(theirs) or mine != theirs:
        yield path, mine, theirs


def _steady(text: str, name: str | None) -> str:
    """A text without what is another in every run."""
    return "#" if text == name else _PASSING.sub("#", text)

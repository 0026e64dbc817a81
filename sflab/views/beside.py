"""Two executions beside each other: what differs between them, as a picture, in words and live.

States are compared by their place in the definition (the JSON pointer), so the two may be of one machine, of two
versions of it, or of a machine and its fork. What differs is told in words for each side: how a state ended, how often
it was entered and tried, the error, the input and output of its last visit, and the fields of its definition. Times are
not compared: two runs never take exactly as long.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.views import graph, progress
from sflab.views.paint import el, number
from sflab.views.place import EngineError
from sflab.views.widget import Live, scripted
from sflab.views.words import clean, count, duration, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sflab.asl.model import Definition
    from sflab.engine.history import Event, Visit
    from sflab.views.progress import Progress

_GAP = 8.0  # between the two graphs
_INSIDE = ("Branches", "ItemProcessor", "Iterator")  # what is inside a state is compared for itself


class Side(NamedTuple):
    """One of two executions; *map_runs* and *context* are as `widget.live` has them."""

    definition: Definition
    events: list[Event]
    title: str
    map_runs: Callable[[], Iterable[Any]] = tuple
    context: Mapping[str, Any] | None = None


def differences(a: Side, b: Side) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What differs, by the pointers of the states it differs in: as seen from *a*, and as seen from *b*.

    Raises DefinitionError where one of the histories is none.
    """
    first, second = _Facts(a), _Facts(b)
    return _differing(first, second), _differing(second, first)


def _differing(mine: _Facts, theirs: _Facts) -> dict[str, list[str]]:
    found = {pointer: _words(pointer, mine, theirs) for pointer in mine.states}
    return {pointer: words for pointer, words in found.items() if words}


class _Facts:
    def __init__(self, side: Side) -> None:
        self.states = {p.pointer: p.state for p in side.definition.places()}
        self.seen: Progress = progress.read(side.definition, side.events)
        self.last: dict[str, Visit] = {v.pointer: v for v in self.seen.visits if v.pointer is not None}

    def status(self, pointer: str) -> str:
        mark = self.seen.last(pointer)
        return progress.WORDS[mark.status if mark else self.seen.unreached]

    def counts(self, pointer: str) -> dict[str, str]:
        mark = self.seen.last(pointer)
        visits, retries, done = (mark.visits, mark.retries, mark.done) if mark else (0, 0, "")
        return {
            "entered": count(visits, "time"),
            "retried": count(retries, "time"),
            "items": f"{done} items" if done else "no items",
        }


def _words(pointer: str, mine: _Facts, theirs: _Facts) -> list[str]:
    """What differs in one state, each as "… here, … there"."""
    if pointer not in theirs.states:
        return ["the other definition has no such state"]
    out = []
    fields = _changed(mine.states[pointer], theirs.states[pointer])
    if fields:
        out.append(f"defined differently: {', '.join(map(clean, fields))}")
    if mine.status(pointer) != theirs.status(pointer):
        out.append(f"{mine.status(pointer)} here, {theirs.status(pointer)} there")
    here, there = mine.last.get(pointer), theirs.last.get(pointer)
    if here is None or there is None:
        return out
    for what, said in mine.counts(pointer).items():
        other = theirs.counts(pointer)[what]
        if said != other:
            out.append(f"{said} here, {other} there" if what == "items" else f"{what} {said} here, {other} there")
    if here.error != there.error:
        out.append(f"error {clean(here.error or 'none')} here, {clean(there.error or 'none')} there")
    out += [f"another {field}" for field in ("input", "output") if getattr(here, field) != getattr(there, field)]
    return out


def _changed(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys((*mine, *theirs))
    unlike = [n for n in names if n not in _INSIDE and (n in mine, mine.get(n)) != (n in theirs, theirs.get(n))]
    branches = [len(s.get("Branches") or ()) for s in (mine, theirs) if isinstance(s.get("Branches"), list)]
    return unlike + (["Branches"] if len(set(branches)) > 1 else [])


def text(a: Side, b: Side, *, lines: int = 60) -> str:
    """Return both headings and, state by state, what differs; at most *lines* lines."""
    facts = differences(a, b)[0]
    out = []
    for side in (a, b):
        seen = progress.read(side.definition, side.events)
        said = f"{seen.status or 'not started'}, {count(len(seen.events), 'event')}, {duration(seen.seconds)}"
        out.append(f"{clean(side.title)}: {said}")
    names = {p.pointer: clean(p.name) for p in a.definition.places()}
    out.append(f"{count(len(facts), 'state')} differ{'s' if len(facts) == 1 else ''}" + (":" if facts else ""))
    out += [f"  {names[pointer]}: {'; '.join(words)}" for pointer, words in facts.items()]
    known = {p.pointer for p in a.definition.places()}
    only = [clean(p.name) for p in b.definition.places() if p.pointer not in known]
    out += [f"  {name}: only in the second definition" for name in only]
    left = len(out) - lines
    return "\n".join(out if left <= 0 else [*out[: lines - 1], f"... and {left + 1} more"])


def svg(a: Side, b: Side, *, width: float = 760) -> str:
    """Draw both executions as one SVG, what differs marked; see `graph.svg`."""
    marks = differences(a, b)
    painted = []
    for side, differs in zip((a, b), marks, strict=True):
        seen = progress.read(side.definition, side.events)
        name = shorten(clean(side.title), 300, 15, bold=True)
        painted.append(graph.picture(side.definition, seen, title=name, differs=differs))
    (left, wide, high), (right, wide_2, high_2) = painted
    shifted = el("g", right, transform=f"translate({number(wide + _GAP)} 0)")
    full, tall = wide + _GAP + wide_2, max(high, high_2)
    said = f"{clean(a.title)} beside {clean(b.title)}: {count(len(marks[0]), 'state')} differ"
    return graph.framed([left, shifted], full, tall, said=said, width=width)


def live(a: Side, b: Side, *, height: int = 560) -> Any:
    """Return both executions as one widget: what is chosen, pointed at or scrubbed to in one, is so in the other.

    Both are shown as they stand now. Raises DefinitionError and EngineError, as `graph.svg` does.
    """
    return _pair_class()(a, b, height)


class _Pair:
    """What the widget does: it holds two `Live` that speak through it, each message with its ``side``."""

    send: Callable[[dict[str, Any]], None]
    on_msg: Callable[[Any], None]

    def __init__(self, a: Side, b: Side, height: int) -> None:
        self._both = (a, b)
        self._halves = [
            _Half(side, differs, height, functools.partial(self._say, n))
            for n, (side, differs) in enumerate(zip((a, b), differences(a, b), strict=True))
        ]
        super().__init__(sides=[{"drawing": half.drawing, "run": half.state} for half in self._halves])  # type: ignore[call-arg] # the widget's
        self.on_msg(self._asked)

    def _say(self, number_: int, message: dict[str, Any]) -> None:
        self.send({**message, "side": number_})

    def _asked(self, widget: Any, message: Any, buffers: Any) -> None:
        if isinstance(message, dict) and message.get("side") in (0, 1):
            self._halves[message["side"]].asked(widget, message, buffers)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})  # type: ignore[misc] # the widget's
        if os.environ.get("SFLAB_HEADLESS") == "1":  # what is saved must show without a kernel
            data = {k: v for k, v in data.items() if "widget-view" not in k}
        words = text(*self._both)
        try:
            saved = {"text/plain": words, "image/svg+xml": svg(*self._both)}
        except EngineError as e:
            saved = {"text/plain": f"{words}\n({e})"}
        return {**data, **saved}, metadata

    def __repr__(self) -> str:
        titles = " beside ".join(side.title for side in self._both)
        return f"Runs({titles}: {count(len(self._halves[0].drawing['differs']), 'state')} differ)"


class _Half(Live):
    """One half of a pair: it does what the live graph does, without being a widget."""

    def __init__(
        self, side: Side, differs: dict[str, list[str]], height: int, say: Callable[[dict[str, Any]], None]
    ) -> None:
        self.send = say
        super().__init__(
            side.definition, side.events, title=side.title, height=height, map_runs=side.map_runs,
            context=side.context, differs=differs,
        )  # fmt: skip


@functools.cache
def _pair_class() -> type:
    import traitlets

    class Runs(_Pair, scripted()):  # type: ignore[misc] # anywidget's
        """Two runs, to be looked at side by side."""

        sides = traitlets.Any().tag(sync=True)

    return Runs

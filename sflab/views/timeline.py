"""The timeline of an execution: a bar for each state visit, one under the other, as a cell's value.

What the picture (`gantt`) shows, the text tells as well: where SVG is not shown (a terminal, a notebook that is not
trusted), the same rows stand there with bars of characters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sflab.views import gantt
from sflab.views import phases as phases_
from sflab.views.lanes import MOST, Axis, Reading, Row, notes, read, rows, since, summary
from sflab.views.words import clean, duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sflab.asl.model import Definition
    from sflab.engine.history import Event, Visit

CELLS = 40  # characters: the width of the text's bars
_SIGNS = {"work": "#", "job": "=", "queued": "q", "backoff": "r", "wait": "w", "callback": "c", "stopped": "s"}


def text(seen: Reading, *, title: str, most: int = MOST) -> str:
    """The timeline in characters, ASCII but for names: a line for each row, * on the critical path, bars to scale."""
    found = rows(seen, most)
    axis = Axis(seen, CELLS, 4)
    names = [f"{'  ' * min(row.depth, 6)}{row.label.replace('→', '->').replace('…', '...')}" for row in found]
    wide = min(36, max(map(len, names), default=0))
    out = [summary(seen, title)]
    used: dict[str, None] = {}
    for row, name in zip(found, names, strict=True):
        visits = [seen.visits[i] for i in row.visits]
        start, end = min(v.entered for v in visits), max(map(seen.end, visits))
        cells = _cells(seen, axis, row, visits)
        used |= dict.fromkeys(cells)
        star = "*" if not row.more and any(i in seen.critical for i in row.visits) else " "
        wrong = dict.fromkeys(clean(v.error) for v in visits if v.error and not row.more)
        tried = f"{visits[0].attempts} attempts" if len(visits) == 1 and visits[0].attempts > 1 else ""
        about = ", ".join(filter(None, [tried, *wrong][:4]))
        short = name if len(name) <= wide else f"{name[: wide - 3]}..."
        at, took = duration(since(seen.begun, start)), duration(since(start, end))
        out.append(f"{star} {short:<{wide}} |{''.join(cells)}| {at:>12} {took:>12}  {about}".rstrip())
    if found:
        signs = {**{sign: phases_.WORDS[kind] for kind, sign in _SIGNS.items()}, "x": "error", "|": "no time",
                 ":": "not shown one by one", "-": "holds others"}  # fmt: skip
        legend = [f"{sign} {signs[sign]}" for sign in signs if sign in used]
        out += ["  ".join([*legend, *(["* critical path"] if seen.critical else [])]), *notes(seen, found)]
    return "\n".join(out)


def _cells(seen: Reading, axis: Axis, row: Row, visits: list[Visit]) -> list[str]:
    """The bars of a row, a character for each cell; errors over waiting over work over no time."""
    cells = [" "] * CELLS

    def cell(at: float) -> int:
        return min(CELLS - 1, max(0, int(axis(at) + 1e-9)))

    def fill(start: float, end: float, sign: str) -> None:
        first = cell(start)
        last = max(first, min(CELLS, math.ceil(axis(end) - 1e-9)) - 1)
        for i in range(first, last + 1):
            cells[i] = sign if cells[i] != "x" else "x"

    for v in visits:
        if row.more:
            fill(v.entered, seen.end(v), ":")
            continue
        held = v.type in ("Map", "Parallel")
        for p in seen.phases[v.index]:
            sign = "|" if p.end == p.start else "-" if held and p.kind == "work" else _SIGNS[p.kind]
            if sign != "|" or cells[cell(p.start)] == " ":
                fill(p.start, p.end, sign)
            if p.error:
                cells[max(cell(p.start), min(CELLS - 1, math.ceil(axis(p.end) - 1e-9) - 1))] = "x"
    return cells


class Timeline:
    """The timeline of an execution, as a cell's value: a picture, and the same in characters.

    ``critical`` are the visits the whole execution waited for, ``svg`` and ``text`` what is shown.
    """

    def __init__(
        self, events: Iterable[Event], definition: Definition | None = None, *, title: str = "execution"
    ) -> None:
        self.title, self.reading = title, read(events, definition)

    @property
    def critical(self) -> list[Visit]:
        """The visits on the critical path, in the order of entering."""
        return [self.reading.visits[i] for i in sorted(self.reading.critical)]

    @property
    def svg(self) -> str:
        """The picture as SVG text, 760 px wide."""
        return gantt.svg(self.reading, title=self.title)

    @property
    def text(self) -> str:
        """The timeline in characters."""
        return text(self.reading, title=self.title)

    def __repr__(self) -> str:
        return f"Timeline({summary(self.reading, self.title)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "image/svg+xml": self.svg}

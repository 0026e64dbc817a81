"""The timeline as a picture: a Gantt chart of one execution, as static SVG.

The shape of a bar tells what a visit was doing (`phases.WORDS`), its colour how the visit ended, so that no colour is
the only sign of anything; a legend below explains the shapes that are there. What is drawn comes from `lanes`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sflab.views import phases as phases_
from sflab.views.lanes import BREAK, MOST, Axis, Reading, Row, notes, rows, since, summary
from sflab.views.paint import FONT, LIGHT, STYLE, Element, el, number, role, symbol, xml
from sflab.views.progress import WORDS as STATUSES
from sflab.views.words import clean, count, duration, shorten, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sflab.engine.history import Visit
    from sflab.views.phases import Phase

MARGIN, NAME, TIME, ROW = 16.0, 186.0, 76.0, 19.0  # px: around it, the columns beside the bars, the height of a row
BAR = 11.0  # px: the height of a bar


def svg(seen: Reading, *, title: str, width: float = 760, most: int = MOST) -> str:
    """Draw the timeline as SVG text, *width* px wide; opaque, light or dark as the page prefers.

    The same bytes for the same arguments; every text is escaped.
    """
    return _Painter(seen, width).page(title, rows(seen, most))


def _text(
    text: str, x: float, y: float, name: str = "sub", size: float = 11, *, bold: bool = False, anchor: str | None = None
) -> Element:
    return el("text", text, x=x, y=y, font_size=size, font_weight="600" if bold else None, text_anchor=anchor,
              fill=role(name), class_=f"f-{name}")  # fmt: skip


class _Painter:
    """Draws rows; the x of a bar counts from the left edge of the page."""

    def __init__(self, seen: Reading, full: float) -> None:
        self.seen, self.full = seen, full
        self.left, self.right = MARGIN + NAME, full - MARGIN - TIME
        self.axis = Axis(seen, self.right - self.left)

    def x(self, at: float) -> float:
        """Return the x of a moment."""
        return self.left + self.axis(at)

    def page(self, title: str, found: list[Row]) -> str:
        """Return the whole picture."""
        top = MARGIN + 52
        bottom = top + ROW * len(found)
        legend, tall = self.legend(found, bottom + 20)
        return xml(
            el("svg", el("title", f"Timeline: {summary(self.seen, title)}"), el("style", STYLE),
               el("rect", x=0.5, y=0.5, width=self.full - 1, height=tall - 1, rx=10, fill=role("canvas"),
                  stroke=role("frame"), class_="f-canvas l-frame"),
               *self.head(title), *self.grid(top, bottom),
               *(self.row(row, top + ROW * n) for n, row in enumerate(found)), *legend,
               xmlns="http://www.w3.org/2000/svg", width=self.full, height=tall,
               viewBox=f"0 0 {number(self.full)} {number(tall)}", font_family=FONT, role="img", class_="sflab-graph")
        )  # fmt: skip

    def head(self, title: str) -> Iterator[Element]:
        """The line above: the name, the status, how long it took and what that was."""
        name = shorten(clean(title), 380, 14, bold=True)
        x = MARGIN + 2 + width(name, 14, bold=True) + 12
        yield _text(name, MARGIN + 2, MARGIN + 15, "name", 14, bold=True)
        if self.seen.status:
            look = LIGHT[self.seen.status]
            yield el("g", el("circle", cx=x + 7, cy=MARGIN + 10, r=7, fill=look.line, class_="mark"),
                     symbol(look.symbol, x + 7, MARGIN + 10, 9, "#ffffff", weight=3.6, class_="sign"),
                     class_=f"s-{self.seen.status.lower()}")  # fmt: skip
        said = [STATUSES[self.seen.status], count(len(self.seen.visits), "visit"), duration(self.seen.seconds)]
        yield _text(" · ".join(said), x + 20, MARGIN + 14)

    def grid(self, top: float, bottom: float) -> Iterator[Element]:
        """The axis and its lines."""
        free = -math.inf
        for x, said in self.axis.ticks(70):
            at = self.left + x
            yield el("path", d=f"M{number(at)} {number(top - 4)}V{number(bottom)}", stroke=role("frame"),
                     stroke_width=1, class_="l-frame")  # fmt: skip
            half = width(said, 10) / 2
            if at - half > free and at + half < self.full - MARGIN:
                yield _text(said, at, top - 9, size=10, anchor="middle")
                free = at + half + 8
        for a, b in self.axis.idle:
            middle, half = (self.x(a) + self.x(b)) / 2, BREAK / 2
            said = shorten(duration(b - a), BREAK + 22, 10)
            zigzag = f"M{number(middle - 3)} {number(top - 4)}" + "".join(
                f"l{6 if n % 2 == 0 else -6} 5" for n in range(math.ceil((bottom - top + 4) / 5))
            )
            yield el("g", el("title", f"{duration(b - a)} of waiting, drawn short"),
                     el("rect", x=middle - half, y=top - 4, width=BREAK, height=bottom - top + 4, fill=role("lane"),
                        class_="f-lane"),
                     el("path", d=zigzag, fill="none", stroke=role("rule"), stroke_width=1, class_="l-rule"),
                     _text(said, middle, top - 22, size=10, anchor="middle"))  # fmt: skip

    # -- a row

    def row(self, row: Row, y: float) -> Element:
        """One row: its name, its bars, how long it took."""
        visits = [self.seen.visits[i] for i in row.visits]
        marked = any(i in self.seen.critical for i in row.visits) and not row.more
        x = MARGIN + 8 + 11 * min(row.depth, 6)
        name = shorten(row.label, self.left - 8 - x, 11, bold=marked, keep_end=True)
        start, end = min(v.entered for v in visits), max(map(self.seen.end, visits))
        took = duration(since(start, end))
        if row.more:
            bars: list[Element] = list(self.band(row.visits, y))
        elif len(visits) == 1:
            bars = self.visit(visits[0], y)
        else:
            bars = [bar for v in self.visible(visits) for bar in self.visit(v, y, said=False)]
        return el("g", el("title", self.tip(row, visits)),
                  _text("●", MARGIN - 3, y + 13, "ink", 8) if marked else None,
                  _text(name, x, y + 13.5, "sub" if row.more else "name", 11, bold=marked), *bars,
                  _text(took, self.full - MARGIN - 2, y + 13.5, size=10.5, anchor="end"))  # fmt: skip

    def tip(self, row: Row, visits: list[Visit]) -> str:
        """What is shown when the pointer rests on a row."""
        if row.more or len(visits) > 1:
            return row.label
        v = visits[0]
        begun = duration(since(self.seen.begun, v.entered))
        said = [f"{clean(v.state)}: {STATUSES.get(v.status, v.status)}, from {begun}"]
        for p in self.seen.phases[v.index][:12]:
            error = f", {clean(p.error)}" if p.error else ""
            said.append(f"{phases_.WORDS[p.kind]} {duration(since(p.start, p.end))}{error}")
        return "\n".join(said)

    def visible(self, visits: list[Visit]) -> Iterator[Visit]:
        """Yield the visits that are not covered by the one before to the pixel."""
        drawn = -math.inf
        for v in visits:
            end = self.x(self.seen.end(v))
            if end - drawn >= 0.5 or v.status in ("FAILED", "CAUGHT"):
                drawn = end
                yield v

    def band(self, indexes: Sequence[int], y: float) -> Iterator[Element]:
        """Where there were visits, of those that are left out."""
        spans: list[list[float]] = []
        visits = [self.seen.visits[i] for i in indexes]
        for a, b in sorted((self.x(v.entered), self.x(self.seen.end(v))) for v in visits):
            if spans and a <= spans[-1][1] + 1:
                spans[-1][1] = max(spans[-1][1], b)
            else:
                spans.append([a, b])
        for a, b in spans:
            yield el("rect", x=a, y=y + 7, width=max(b - a, 1), height=5, fill=role("faint"), class_="f-faint")

    def visit(self, v: Visit, y: float, *, said: bool = True) -> list[Element]:
        """The bars of one visit; with *said*, the error's name beside them."""
        found = self.seen.phases[v.index]
        status = v.status.lower()
        x0, x1 = self.x(v.entered), self.x(self.seen.end(v))
        held = v.type in ("Map", "Parallel")
        bars = [part for p in found for part in self.phase(p, v, y, held=held)]
        out = [el("g", *bars, class_=f"s-{status}")]
        if v.index in self.seen.critical and x1 - x0 >= 1.5:
            line = f"M{number(x0)} {number(y + 17)}H{number(x1)}"
            out.append(el("path", d=line, stroke=role("ink"), stroke_width=2.2, class_="l-ink"))
        if v.error and said:
            out += self._error(clean(v.error), x0, x1, y)
        return out

    def _error(self, error: str, x0: float, x1: float, y: float) -> Iterator[Element]:
        """The error's name, on the side where there is room for it."""
        after, before = self.right - x1 - 12, x0 - self.left - 12
        if after >= min(before, 60):
            yield _text(shorten(error, after + 10, 10), x1 + 9, y + 13, "missing", 10)
        elif before > 40:
            yield _text(shorten(error, before, 10), x0 - 9, y + 13, "missing", 10, anchor="end")

    def phase(self, p: Phase, v: Visit, y: float, *, held: bool) -> Iterator[Element]:
        """One phase: its shape tells the kind, its colour how the visit ended."""
        x, w = self.x(p.start), self.x(p.end) - self.x(p.start)
        top, middle = y + (ROW - BAR) / 2, y + ROW / 2
        line = LIGHT[v.status].line
        if p.end == p.start:
            d = f"M{number(x)} {number(middle - 5)}l5 5l-5 5l-5 -5z"
            yield el("path", d=d, fill=line, class_="mark")
        elif p.kind in ("backoff", "stopped"):
            dash, line = ("1.5 3", role("edge")) if p.kind == "backoff" else ("1 7", role("edge"))
            yield el("path", d=f"M{number(x)} {number(middle)}h{number(w)}", stroke=line, stroke_width=2,
                     stroke_dasharray=dash, class_="l-edge")  # fmt: skip
        elif held:
            d = f"M{number(x)} {number(middle + 4)}v-7h{number(max(w, 1))}v7"
            yield el("path", d=d, fill="none", stroke=line, stroke_width=2, class_="line")
        else:
            yield _bar(p.kind, x, top, max(w, 1.0), v.status)
        if p.error:
            yield from _cross(x + max(w, 0), middle)

    # -- the legend

    def legend(self, found: list[Row], y: float) -> tuple[list[Element], float]:
        """What the shapes mean, of those that are there; returned with the page's height."""
        shown = [self.seen.visits[i] for row in found if not row.more for i in row.visits]
        kinds = {p.kind for v in shown for p in self.seen.phases[v.index] if p.end > p.start}
        out, x = [], MARGIN + 2
        line = LIGHT["SUCCEEDED"].line
        entries: list[tuple[str, list[Element]]] = []
        for kind, words in phases_.WORDS.items():
            if kind in ("backoff", "stopped") and kind in kinds:
                dash = "1.5 3" if kind == "backoff" else "1 7"
                d = f"M0 {number(ROW / 2)}h22"
                entries.append((words, [el("path", d=d, stroke=role("edge"), stroke_width=2, stroke_dasharray=dash,
                                           class_="l-edge")]))  # fmt: skip
            elif kind in kinds:
                bar = _bar(kind, 0, (ROW - BAR) / 2, 22, "SUCCEEDED")
                entries.append((words, [el("g", bar, class_="s-succeeded")]))
        if any(p.end == p.start for v in shown for p in self.seen.phases[v.index]):
            d = f"M8 {number(ROW / 2 - 5)}l5 5l-5 5l-5 -5z"
            entries.append(("no time", [el("g", el("path", d=d, fill=line, class_="mark"), class_="s-succeeded")]))
        if any(p.error for v in shown for p in self.seen.phases[v.index]):
            entries.append(("error", list(_cross(10, ROW / 2))))
        if self.seen.critical:
            d = f"M0 {number(ROW / 2)}h22"
            entries.append(("critical path", [el("path", d=d, stroke=role("ink"), stroke_width=2.2, class_="l-ink"),
                                              _text("●", 8, ROW / 2 - 3, "ink", 8)]))  # fmt: skip
        for words, shapes in entries:
            w = 28 + width(words, 10) + 16
            if x + w > self.full - MARGIN and x > MARGIN + 2:
                x, y = MARGIN + 2, y + 18
            out.append(el("g", *shapes, _text(words, 28, ROW / 2 + 3.5, size=10),
                          transform=f"translate({number(x)} {number(y - ROW / 2)})"))  # fmt: skip
            x += w
        for said in notes(self.seen, found):
            y += 18
            out.append(_text(shorten(said, self.full - 2 * MARGIN, 10), MARGIN + 2, y + 4, size=10))
        return out, y + 12 + MARGIN


def _bar(kind: str, x: float, top: float, w: float, status: str) -> Element:
    """A bar: full for work, pale for what runs elsewhere, half as high for waiting, dashed for waiting for others."""
    fill, line = LIGHT[status][:2]
    if kind == "work":
        return el("rect", x=x, y=top, width=w, height=BAR, rx=min(2.0, w / 2), fill=line, class_="mark")
    high = BAR if kind == "job" else BAR - 5
    dash = {"queued": "1.5 2", "callback": "5 2.5"}.get(kind)
    return el("rect", x=x + 0.6, y=top + (BAR - high) / 2, width=max(w - 1.2, 0.4), height=high, rx=1.5, fill=fill,
              stroke=line, stroke_width=1.2, stroke_dasharray=dash, class_="body")  # fmt: skip


def _cross(x: float, y: float) -> Iterator[Element]:
    look = LIGHT["FAILED"]
    yield el("g", el("circle", cx=x, cy=y, r=5.5, fill=look.line, class_="mark"),
             symbol("cross", x, y, 8, "#ffffff", weight=4, class_="sign"), class_="s-failed")  # fmt: skip

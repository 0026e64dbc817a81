"""The data flow through one state as a picture: from its input down to its output, a box for every value on the way.

Between two boxes stands the field that made one of the other, and what it did in words; fields that changed nothing
share a line. What the picture adds to the table of `sflab.views.stages` is where a value comes from: the result of the
work comes in from the side, the state's input goes round it to ResultPath, variables stand beside the flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sflab.views.paint import FONT, STYLE, Element, el, number, role, symbol, xml
from sflab.views.stages import Row, difference, rows
from sflab.views.words import clean, compact, shorten, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sflab.engine.teststate import Stage

MARGIN, LEFT, WIDE = 20.0, 86.0, 560.0  # the page's margin; where the boxes begin; how wide they are
LINE, PAD, GAP = 17.0, 10.0, 44.0  # a line of a value; the room around values; the room between two boxes
MOST = 7  # lines of a value
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
SIDE = {"result": "gear", "error": "bang"}  # what does not come from above, and the symbol of where it comes from
ASIDE, INDENT = "Assign", 70.0  # what stands beside the flow, and how far from it


def svg(stages: Sequence[Stage], *, title: str, after: str | None = None) -> str:
    """Return the picture as SVG text; *title* stands above it, *after* is the state the output goes to.

    The same bytes for the same arguments; light or dark as the page prefers; every text is escaped.
    """
    flow = rows(stages, after=after)
    boxes = [i for i, row in enumerate(flow) if i == 0 or row.changed or row.name == "output"]
    page: list[Element] = []
    y = line = MARGIN + 34
    edges: dict[int, tuple[float, float]] = {}
    for n, i in enumerate(boxes):
        row = flow[i]
        if n:
            same = _same([other for other in flow[boxes[n - 1] + 1 : i] if other.name != "output"])
            high = GAP + (LINE if same else 0)
            page += _step(row, line, y, y + high, same)
            y += high
        value, high = _box(row, y)
        page += value
        edges[i] = (y, y + high)
        y += high
        if row.name != ASIDE:
            line = y
    page += _around(flow, edges)
    full, tall = LEFT + WIDE + MARGIN, y + MARGIN
    head = shorten(clean(title), full - 2 * MARGIN, 14, bold=True)
    return xml(
        el(
            "svg",
            el("title", f"Data flow: {clean(title)}"),
            el("style", STYLE),
            el("rect", x=0.5, y=0.5, width=full - 1, height=tall - 1, rx=10, fill=role("canvas"), stroke=role("frame"),
               class_="f-canvas l-frame"),
            _text(head, MARGIN, MARGIN + 12, 14, "name", weight="600"),
            *page,
            xmlns="http://www.w3.org/2000/svg", width=full, height=tall, viewBox=f"0 0 {number(full)} {number(tall)}",
            font_family=FONT, role="img", class_="sflab-graph",
        )
    )  # fmt: skip


def _box(row: Row, y: float) -> tuple[list[Element], float]:
    """A value, a line for each member of an object; those that are new or different are marked."""
    x = LEFT + (INDENT if row.name == ASIDE else 0)
    lines = _lines(row, LEFT + WIDE - x - 40)
    high = PAD * 2 + LINE * len(lines)
    colour = "catch" if row.name == "error" else "rule"
    out = [
        el("rect", x=x, y=y, width=LEFT + WIDE - x, height=high, rx=7, fill=role("box"), class_="f-box"),
        el("rect", x=x, y=y, width=LEFT + WIDE - x, height=high, rx=7, fill="none", stroke=role(colour),
           stroke_dasharray="4 3" if row.name == ASIDE else None, class_=f"l-{colour}"),
    ]  # fmt: skip
    if row.name in ("input", "output"):
        out.append(_text(row.name, LEFT - 10, y + PAD + 12, 12, "name", weight="600", anchor="end"))
    for n, (text, fresh) in enumerate(lines):
        at = y + PAD + 13 + LINE * n
        if fresh:
            out.append(_text("+", x + 9, at, 13, "str", weight="700", family=MONO))
        weight = "600" if fresh else None
        out.append(_text(text, x + 24, at, 12, "name" if fresh else "sub", weight=weight, family=MONO))
    return out, high


def _lines(row: Row, room: float) -> list[tuple[str, bool]]:
    """(text, whether it is new) of every line of a value."""
    value = row.value
    fresh = difference(row.before, value) if row.changed else set()
    short = not fresh and width(compact(value), 13) < room
    if not isinstance(value, dict) or not value or short:
        return [(shorten(clean(compact(value)), room, 13), False)]
    names = sorted(value, key=lambda name: name not in fresh)[: MOST - 1] if len(value) > MOST else list(value)
    shown = [name for name in value if name in names]
    lines = [(shorten(f"{clean(compact(n))}: {clean(compact(value[n]))}", room, 13), n in fresh) for n in shown]
    left = len(value) - len(shown)
    return [*lines, (f"… {left} more", False)] if left else lines


def _step(row: Row, line: float, y: float, end: float, same: str) -> list[Element]:
    """The field that leads to a value, between *y* and *end*, and its arrow from *line*, where the flow was last."""
    x = LEFT + (INDENT if row.name == ASIDE else 52)
    room = LEFT + WIDE - x - 12
    out: list[Element] = []
    if same:
        out.append(_text(shorten(same, room, 11), x, y + 19, 11, "sub"))
    at = end - 17
    if row.name in SIDE:
        colour = "catch" if row.name == "error" else "taken"
        out.append(symbol(SIDE[row.name], LEFT + 34, at - 4, 20, role(colour), class_=f"l-{colour}"))
    elif row.name != ASIDE:
        out.append(_arrow(f"M{number(LEFT + 34)} {number(line + 3)}V{number(end - 3)}", (LEFT + 34, end - 3), "down"))
    if row.name != "output":
        name = shorten(row.name, 150, 12, bold=True)
        out.append(_text(name, x, at, 12, "name", weight="600"))
        x += width(name, 12, bold=True) + 12
    return [*out, _text(shorten(row.words, LEFT + WIDE - x, 12), x, at, 12, "sub")]


def _same(between: list[Row]) -> str:
    """What the fields say that changed nothing."""
    names = [f"{row.name} {row.field}" for row in between if row.field]
    return f"{', '.join(names)}: nothing changed" if names else ""


def _around(flow: list[Row], edges: dict[int, tuple[float, float]]) -> list[Element]:
    """The way of the state's input round its work to ResultPath, where the two come together."""
    for i, row in enumerate(flow):
        work = [j for j in edges if j < i and flow[j].name in (*SIDE, "Result")]
        if row.name == "ResultPath" and row.field != "$" and i in edges and work:
            (top, low), (end, end_low) = edges[0], edges[i]
            y1, y2, x = (top + low) / 2 + 8, (end + end_low) / 2, 34.0
            path = f"M{number(LEFT)} {number(y1)}H{number(x + 8)}q-8 0 -8 8V{number(y2 - 8)}q0 8 8 8H{number(LEFT - 3)}"
            turn = f"translate({number(x - 7)} {number((y1 + y2) / 2)}) rotate(-90)"
            turned = el("text", "the state's input", transform=turn, font_size=11, text_anchor="middle",
                        fill=role("sub"), class_="f-sub")  # fmt: skip
            return [_arrow(path, (LEFT - 3, y2), "right", dash="4 3"), turned]
    return []


def _arrow(path: str, tip: tuple[float, float], way: str, *, dash: str | None = None) -> Element:
    x, y = tip
    ends = [(x - 4, y - 7), (x + 4, y - 7)] if way == "down" else [(x - 7, y - 4), (x - 7, y + 4)]
    (x1, y1), (x2, y2) = ends
    head = f"M{number(x1)} {number(y1)}L{number(x)} {number(y)}L{number(x2)} {number(y2)}"
    return el(
        "g", el("path", d=path, stroke_dasharray=dash), el("path", d=head),
        fill="none", stroke=role("edge"), stroke_width=1.5, class_="l-edge",
    )  # fmt: skip


def _text(
    text: Any, x: float, y: float, size: float, colour: str, *, weight: str | None = None, anchor: str | None = None,
    family: str | None = None,
) -> Element:  # fmt: skip
    return el("text", clean(text), x=x, y=y, font_size=size, fill=role(colour), class_=f"f-{colour}",
              font_weight=weight, text_anchor=anchor, font_family=family)  # fmt: skip

"""The picture of a workflow: a definition, and what a history did to it, as one SVG.

Theory of operation. `sketch` reads the definition into scopes of nodes and edges, each already measured; `place` asks
Graphviz where they go; this file paints them. So the text fits its box whatever fonts there are, and the picture has
the same bytes wherever the same engine runs. The static SVG and the live graph are one drawing: here it is written as
text, there it is sent as a tree (`Layout.tree`) and coloured by the browser.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sflab.asl.model import Definition, Place, walk
from sflab.errors import DefinitionError
from sflab.views import progress as progress_
from sflab.views.paint import FONT, LIGHT, STYLE, Element, Look, el, number, outline, plain, role, symbol, xml
from sflab.views.place import LANE, EngineError, place
from sflab.views.sketch import (
    CHIP,
    DOT,
    GAP,
    HEAD,
    INSET,
    INSETS,
    NAME,
    SUB,
    TAG,
    TILE,
    Edge,
    Node,
    Scope,
    Sketch,
    ways,
)  # fmt: skip
from sflab.views.words import clean, count, duration, retries, shorten, subtitle, width

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sflab.engine.history import Event
    from sflab.views.progress import Mark, Progress

MARGIN = 16.0
NAMESPACE = "http://www.w3.org/2000/svg"
BANNER = 44.0  # the height of the line above the graph: title, status, length


# ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Painter:
    """Turns a placed sketch into elements: *live* for the widget, which colours them itself, else in final colours."""

    def __init__(
        self, plan: Sketch, progress: Progress | None = None, *, live: bool = False, differs: Iterable[str] = ()
    ) -> None:
        self.plan, self.progress, self.live, self.differs = plan, progress, live, frozenset(differs)
        self.taken = _taken(plan, progress) if progress else {}
        self.names = {pointer: node.name for pointer, node in plan.states().items()}

    def status(self, node: Node) -> str:
        """The status a state is painted in."""
        if self.progress is None:
            return ""
        mark = self.progress.last(node.pointer)
        return mark.status if mark else "IDLE"

    def everything(self) -> list[Element]:
        """From back to front; a line that was taken lies over the others."""
        edges = [(e, s) for s in self.plan.scopes.values() for e in s.edges if e.points]
        edges.sort(key=lambda pair: pair[0].id in self.taken)
        nodes = sorted(self.plan.nodes(), key=lambda n: n.kind == "state")
        return [
            el("g", *(self.box(n) for n in nodes if n.lanes), class_="boxes"),
            el("g", *(self.edge(e, s) for e, s in edges), class_="edges"),
            el("g", *(self.node(n) for n in nodes if not n.lanes), class_="nodes"),
            el("g", *(self.tag(e, s) for e, s in edges if e.lines and e.at), class_="tags"),
        ]

    # -- transitions

    def _role(self, edge: Edge) -> str:
        if edge.head.startswith("m"):
            return "missing"
        if self.progress is not None and edge.id not in self.taken:
            return "faint"
        if edge.kind == "catch":
            return "catch"
        return "taken" if edge.id in self.taken else "edge"

    def edge(self, edge: Edge, scope: Scope) -> Element:
        """A transition's line and arrow."""
        name = self._role(edge)
        line, tip = _path(edge, scope)
        dash = "5 3.5" if edge.kind == "catch" or name == "missing" else None
        return el(
            "g",
            el("title", self._edge_title(edge)),
            el("path", d=line, fill="none", stroke=role(name), stroke_width=2.3 if edge.id in self.taken else 1.4,
               stroke_dasharray=dash, class_=f"l-{name} wire"),
            el("path", d=tip, fill=role(name), class_=f"f-{name} tip") if tip else None,
            class_=f"edge k-{edge.kind}",
            id=edge.id if self.live else None,
        )  # fmt: skip

    def _edge_title(self, edge: Edge) -> str:
        source = self.names.get(edge.source, "Start")
        target = self.names.get(edge.target, "") if edge.kind == "start" else clean(edge.target)
        words = f"{source} → {target or 'End'}" + (f": {_words(edge)}" if edge.labels else "")
        times = self.taken.get(edge.id, 0)
        return words + (f"\ntaken {count(times, 'time')}" if times else "\nnot taken" if self.progress else "")

    def tag(self, edge: Edge, scope: Scope) -> Element:
        """A transition's condition, or the errors it catches."""
        x, y = edge.at or (0.0, 0.0)
        x, y = x + scope.x, y + scope.y
        colour = {"catch": "catch", "missing": "missing", "taken": "taken"}.get(self._role(edge), "sub")
        first = y - 6.5 * (len(edge.lines) - 1) + 3.7
        return el(
            "g",
            el("title", _words(edge)),
            el("rect", x=x - edge.w / 2, y=y - edge.h / 2, width=edge.w, height=edge.h, rx=9.5, fill=role("tag"),
               stroke=role("frame"), class_="f-tag l-frame"),
            *(_text(line, x, first + 13 * i, TAG, colour, anchor="middle") for i, line in enumerate(edge.lines)),
            class_=f"tag k-{edge.kind}",
            id=f"t{edge.id}" if self.live else None,
        )  # fmt: skip

    # -- states

    def node(self, node: Node) -> Element:
        """A state, a marker, or something missing."""
        if node.kind == "missing":
            return self._missing(node)
        if node.kind != "state":
            return self._marker(node)
        status, left = self.status(node), INSETS.get(node.type, INSET)[0]
        look, shape = LIGHT[status], functools.partial(outline, node.type, node.x, node.y, node.w, node.h)
        heavy = 1.8 if status not in ("", "IDLE") else 1.3
        inner = el("path", d=shape(inset=3), fill="none", stroke=look.line, stroke_width=1, class_="line")
        return self._group(
            node,
            status,
            el("path", d=shape(), fill=look.fill, stroke=look.line, stroke_width=heavy,
               stroke_dasharray=None if node.type else "5 3.5", class_="body"),
            inner if node.type == "Succeed" else None,
            *self._tile(node, node.x + left, node.y + (node.h - TILE) / 2, TILE),
            *self._texts(node, node.x + left + TILE + GAP, node.y + node.h / 2),
        )  # fmt: skip

    def _tile(self, node: Node, x: float, y: float, size: float) -> list[Element]:
        colour, glyph = node.tile
        square = node.type in ("Task", "Map", "Parallel", "Pass")
        return [
            el("rect", x=x, y=y, width=size, height=size, rx=size / 4 if square else size / 2, fill=colour,
               opacity=0.5 if self.status(node) == "IDLE" else None, class_="tile"),
            symbol(glyph, x + size / 2, y + size / 2, size * 0.66, "#ffffff"),
        ]  # fmt: skip

    def _texts(self, node: Node, x: float, middle: float) -> list[Element]:
        name = "sub" if self.status(node) == "IDLE" else "name"
        second = bool(node.sub or node.chip)
        y = middle - (16 * (len(node.lines) - 1) + 14 * second) / 2 + 4.6
        out = [_text(line, x, y + 16 * i, NAME, name, bold=True) for i, line in enumerate(node.lines)]
        y += 16 * (len(node.lines) - 1) + 14.5
        if node.sub:
            out.append(_text(node.sub, x, y, SUB, "sub"))
        if node.chip:
            w = width(node.chip, CHIP) + 10
            right = node.x + node.w - INSETS.get(node.type, INSET)[1] + 3
            out += [
                el("rect", x=right - w, y=y - 10.6, width=w, height=14, rx=7, fill=role("head"), class_="f-head"),
                _text(node.chip, right - w / 2, y - 0.2, CHIP, "name", anchor="middle"),
            ]
        return out

    def _group(self, node: Node, status: str, *parts: Element | None) -> Element:
        right, bottom = node.x + node.w, node.y + node.h
        mark = self.progress.last(node.pointer) if self.progress else None
        said = (mark.done or (f"×{mark.visits}" if mark.visits > 1 else "")) if mark else ""
        return el(
            "g",
            el("title", node.about + self._happened(mark)),
            *parts,
            _retries(node, mark, right, bottom) if node.retries or (mark and mark.retries) else None,
            badge(status, said, right - 4, node.y + 2) if mark else None,
            _unlike(node) if node.pointer in self.differs else None,
            class_=f"state t-{(node.type or 'unknown').lower()} s-{status.lower() or 'none'}",
            id=node.id if self.live else None,
        )

    def _happened(self, mark: Mark | None) -> str:
        if mark is None:
            return f"\n{progress_.WORDS[self.progress.unreached]}" if self.progress else ""
        words = [progress_.WORDS[mark.status], count(mark.visits, "visit")]
        words += [f"retried {count(mark.retries, 'time')}"] if mark.retries else []
        words += [f"{mark.done} items"] if mark.done else []
        return "\n" + ", ".join(words)

    def _marker(self, node: Node) -> Element:
        x, y = node.x + node.w / 2, node.y + node.h / 2
        id_ = node.id if self.live else None
        if node.w == DOT:
            if node.kind == "start":
                return el("circle", cx=x, cy=y, r=4, fill=role("edge"), class_="f-edge", id=id_)
            return el("circle", cx=x, cy=y, r=3.5, fill=role("canvas"), stroke=role("edge"), stroke_width=2,
                      class_="f-canvas l-edge", id=id_)  # fmt: skip
        shape = functools.partial(outline, "Succeed", node.x, node.y, node.w, node.h)
        reached = self.progress is None or any(e.head == node.id and e.id in self.taken for e in self.plan.edges())
        ink = "ink" if reached or node.kind == "start" else "faint"
        ring = el("path", d=shape(inset=2.5), fill="none", stroke=role("paper"), stroke_width=1.2, class_="l-paper")
        return el(
            "g",
            el("path", d=shape(), fill=role(ink), class_=f"f-{ink}"),
            ring if node.kind == "end" else None,
            _text("Start" if node.kind == "start" else "End", x, y + 4, SUB, "paper", bold=True, anchor="middle"),
            class_=node.kind,
            id=id_,
        )

    def _missing(self, node: Node) -> Element:
        return el(
            "g",
            el("title", node.about),
            el("path", d=outline("", node.x, node.y, node.w, node.h), fill=role("canvas"), stroke=role("missing"),
               stroke_width=1.6, stroke_dasharray="5 3.5", class_="f-canvas l-missing"),
            _text(node.lines[0], node.x + node.w / 2, node.y + node.h / 2 + 4.5, NAME, "missing", bold=True,
                  anchor="middle"),
            class_="missing",
            id=node.id if self.live else None,
        )  # fmt: skip

    def box(self, node: Node) -> Element:
        """A Map or Parallel state: its frame, its title strip, a frame for each branch; what is inside comes on top."""
        x, y, w, h = node.x, node.y, node.w, node.h
        status, r = self.status(node), 10
        look = LIGHT[status]
        name = "sub" if status == "IDLE" else "name"
        frame = {"x": x, "y": y, "width": w, "height": h, "rx": r}
        strip = (f"M{number(x)} {number(y + HEAD)}v-{HEAD - r:.0f}a{r} {r} 0 0 1 {r} -{r}h{number(w - 2 * r)}"
                 f"a{r} {r} 0 0 1 {r} {r}v{HEAD - r:.0f}z")  # fmt: skip
        behind = el(
            "rect",
            x=x + 6,
            y=y - 4,
            width=w - 12,
            height=20,
            rx=r,
            fill=role("head"),
            stroke=look.line,
            class_="f-head line",
        )  # fmt: skip - a second card: many of the same
        lanes = [self.plan.scopes[lane] for lane in node.lanes] if node.type == "Parallel" else []
        about = x + 38 + width(node.lines[0], NAME, bold=True) + 10
        return self._group(
            node,
            status,
            behind if node.type == "Map" else None,
            el("rect", fill=role("box"), class_="f-box", **frame),
            *(el("rect", x=s.x - LANE, y=s.y - LANE, width=s.w + 2 * LANE, height=s.h + 2 * LANE, rx=8,
                 fill=role("lane"), stroke=role("rule"), stroke_dasharray="3 3", class_="f-lane l-rule")
              for s in lanes),
            el("path", d=strip, fill=look.fill if status else role("head"), stroke="none",
               class_="body strip" if status or self.live else "f-head strip"),
            el("rect", fill="none", stroke=look.line, stroke_width=1.7 if status not in ("", "IDLE") else 1.2,
               class_="line", **frame),
            *self._bar(node, look),
            *self._tile(node, x + 8, y + 6, 22),
            _text(node.lines[0], x + 38, y + 21.6, NAME, name, bold=True),
            _text(node.sub, about, y + 21.6, SUB, "sub") if node.sub else None,
        )  # fmt: skip

    def _bar(self, node: Node, look: Look) -> list[Element]:
        """Underline as much of a Map's title as it has done of its items."""
        mark = self.progress.last(node.pointer) if self.progress else None
        if mark is None or not mark.done:
            return []
        done, of = (float(n) for n in mark.done.split("/"))
        w = node.w * min(1.0, done / (of or 1.0))
        return [el("rect", x=node.x, y=node.y + HEAD - 4, width=w, height=4, fill=look.line, class_="mark")]


def _words(edge: Edge) -> str:
    """Return an edge's whole label."""
    return (", " if edge.kind == "catch" else " or ").join(edge.labels)


def _path(edge: Edge, scope: Scope) -> tuple[str, str]:
    """Return the paths of an edge's line and of the arrow's head at its end."""
    points = [(x + scope.x, y + scope.y) for x, y in edge.points]
    line = f"M{_xy(points[0])}C" + " ".join(_xy(p) for p in points[1:])
    if edge.tip is None:
        return line, ""
    (x0, y0), (x1, y1) = points[-1], (edge.tip[0] + scope.x, edge.tip[1] + scope.y)
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 0.1)
    dx, dy = (x1 - x0) / length * 8, (y1 - y0) / length * 8
    left, right = (x1 - dx - dy * 0.5, y1 - dy + dx * 0.5), (x1 - dx + dy * 0.5, y1 - dy - dx * 0.5)
    return line, f"M{_xy((x1, y1))}L{_xy(left)}L{_xy(right)}Z"


def _xy(point: tuple[float, float]) -> str:
    return f"{number(point[0])} {number(point[1])}"


def _text(
    text: str, x: float, y: float, size: float, name: str, *, bold: bool = False, anchor: str | None = None
) -> Element:
    return el("text", text, x=x, y=y, font_size=size, font_weight="600" if bold else None, text_anchor=anchor,
              fill=role(name), class_=f"f-{name}")  # fmt: skip


def _taken(plan: Sketch, progress: Progress) -> dict[str, int]:
    """How often each edge was taken, by its id."""
    out: dict[str, int] = {}
    routes = plan.routes()
    for move in progress.moves:
        edge = routes.get((move.source, move.target or "", move.caught))
        if edge is not None:
            out[edge] = out.get(edge, 0) + 1
    return out | {e.id: 1 for e in plan.edges() if e.kind == "start" and progress.last(e.target)}


def badge(status: str, said: str, x: float, y: float) -> Element:
    """What happened, as a symbol in a disc around (*x*, *y*); with *said* (×3, 7/10) a pill that grows to the left."""
    look = LIGHT[status]
    w = 18 + (width(said, CHIP, bold=True) + 5 if said else 0)
    left = x + 9 - w
    return el(
        "g",
        el("rect", x=left, y=y - 9, width=w, height=18, rx=9, fill=look.line, stroke=role("canvas"), stroke_width=1.5,
           class_="mark l-canvas"),
        symbol(look.symbol, left + 9.5, y, 11, "#ffffff", weight=3.4, class_="sign"),
        el("text", said, x=left + 18.5, y=y + 3.4, font_size=CHIP, font_weight="600", fill="#ffffff", class_="count")
        if said else None,
        class_="badge",
    )  # fmt: skip


def _unlike(node: Node) -> Element:
    """The mark of a state that did something else in the execution beside this one."""
    x, y = node.x + 3, node.y + 2
    return el(
        "g",
        el("title", "differs from the other execution"),
        el("circle", cx=x, cy=y, r=9.5, fill=role("catch"), stroke=role("canvas"), stroke_width=1.5,
           class_="f-catch l-canvas"),
        _text("≠", x, y + 5, 14, "paper", bold=True, anchor="middle"),
        class_="differs",
    )  # fmt: skip


def _retries(node: Node, mark: Mark | None, right: float, bottom: float) -> Element:
    """``↻ 3``: may be tried again three times; ``↻ 1/3``: was, once; ``↻ 12``: over several visits."""
    used = mark.retries if mark else 0
    said = str(used or node.retries)
    if mark and used and mark.visits == 1 and node.retries:
        said = f"{used}/{node.retries}"
    name = "catch" if used else "sub"
    w = width(said, CHIP) + 23
    x, y = right - w - 10, bottom - 8
    return el(
        "g",
        el("title", f"retried {count(used, 'time')}" if used else f"may be tried again {count(node.retries, 'time')}"),
        el("rect", x=x, y=y, width=w, height=15, rx=7.5, fill=role("canvas"), stroke=role(name),
           class_=f"f-canvas l-{name}"),
        symbol("retry", x + 10, y + 7.5, 9.5, role(name), weight=3, class_=f"l-{name}"),
        _text(said, x + 17, y + 11, CHIP, name),
        class_="retries",
    )  # fmt: skip


# ── what others call ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Layout:
    """A graph for somebody else to colour.

    ``tree`` is the drawing as JSON (`paint.plain`); ``states`` maps pointers to id, name, type and place (x, y, w, h in
    the drawing's units, ``tries``: how often it may be retried, ``inside``: how many states it holds), ``edges`` edge
    ids to source, target and kind, ``markers`` the pointers of scopes to the ids of what is in them but no state.
    """

    width: float
    height: float
    tree: list[Any]
    states: dict[str, dict[str, Any]]
    edges: dict[str, dict[str, str]]
    markers: dict[str, list[str]]
    svg: str


def svg(
    definition: Definition | Mapping[str, Any],
    events: Iterable[Event] | None = None,
    *,
    title: str | None = None,
    width: float = 760,
) -> str:
    """Draw a definition as SVG text; with *events*, in the colours of what happened up to the last of them.

    At most *width* px wide; opaque, so that it reads on any page, and light or dark as the page prefers. The same bytes
    for the same arguments. Raises DefinitionError (no definition, no history) and EngineError (no Graphviz).
    """
    known = _definition(definition)
    progress = progress_.read(known, events) if events is not None else None
    content, full, tall = picture(known, progress, title=title)
    return framed([content], full, tall, said=_heading(title or _name(known), progress), width=width)


def picture(
    definition: Definition, progress: Progress | None, *, title: str | None, differs: Iterable[str] = ()
) -> tuple[Element, float, float]:
    """Paint a graph and what stands above it; also how wide and tall that is. *differs* are pointers to mark."""
    plan = place(Sketch(definition.raw))
    root = plan.scopes[""]
    banner, across = _banner(title, progress)
    high = BANNER if banner else 0.0
    wide = max(root.w, across)
    shift = f"translate({number(MARGIN + (wide - root.w) / 2)} {number(MARGIN + high)})"
    painted = el("g", *_Painter(plan, progress, differs=differs).everything(), transform=shift)
    return el("g", banner, painted), wide + 2 * MARGIN, root.h + 2 * MARGIN + high


def framed(content: Iterable[Element], full: float, tall: float, *, said: str, width: float) -> str:
    """Return an SVG of *content*, *full* by *tall*, shown at most *width* px wide; *said* is its title."""
    scale = min(1.0, width / full)
    return xml(
        el(
            "svg",
            el("title", said),
            el("style", STYLE),
            el("rect", x=0.5, y=0.5, width=full - 1, height=tall - 1, rx=10, fill=role("canvas"), stroke=role("frame"),
               class_="f-canvas l-frame"),
            *content,
            xmlns=NAMESPACE, width=full * scale, height=tall * scale,
            viewBox=f"0 0 {number(full)} {number(tall)}", font_family=FONT, role="img", class_="sflab-graph",
        )
    )  # fmt: skip


def layout(definition: Definition | Mapping[str, Any]) -> Layout:
    """Place a definition for the live graph; errors as for `svg`."""
    plan = place(Sketch(_definition(definition).raw))
    root = plan.scopes[""]
    drawing = el("g", *_Painter(plan, live=True).everything())
    placed = plan.states()
    states = {
        p: {"id": n.id, "name": n.name, "type": n.type, "tries": n.retries,
            "inside": sum(q.startswith(f"{p}/") for q in placed) if n.lanes else 0,
            **{k: round(v, 1) for k, v in (("x", n.x), ("y", n.y), ("w", n.w), ("h", n.h))}}
        for p, n in placed.items()
    }  # fmt: skip
    markers = {p: [n.id for n in scope.nodes if n.kind != "state"] for p, scope in plan.scopes.items()}
    edges = {e.id: {"source": e.source, "target": e.target, "kind": e.kind} for e in plan.edges()}
    box = f"0 0 {number(root.w)} {number(root.h)}"
    whole = el("svg", drawing, xmlns=NAMESPACE, viewBox=box, font_family=FONT, class_="sflab-graph")
    return Layout(root.w, root.h, plain(drawing), states, edges, markers, xml(whole))


def mimebundle(
    definition: Definition | Mapping[str, Any],
    events: Iterable[Event] | None = None,
    *,
    title: str | None = None,
    headline: str | None = None,
) -> dict[str, str]:
    """The picture and the outline, for ``_repr_mimebundle_``; the outline alone, saying why, without an engine.

    *headline* is what the outline begins with, where that is not what the picture does.
    """
    events = None if events is None else list(events)
    words = text(definition, events, title=title, headline=headline)
    try:
        return {"text/plain": words, "image/svg+xml": svg(definition, events, title=title)}
    except EngineError as e:
        return {"text/plain": f"{words}\n({e})"}


def text(
    definition: Definition | Mapping[str, Any],
    events: Iterable[Event] | None = None,
    *,
    title: str | None = None,
    headline: str | None = None,
    lines: int = 60,
) -> str:
    """An outline of the states in ASCII (but for the names), each with its ways out, and what became of it.

    At most *lines* lines; how many states were left out is said at the end.
    """
    known = _definition(definition)
    progress = progress_.read(known, events) if events is not None else None
    places = _nested(known)
    heading = _heading(title or _name(known), progress).replace(" · ", ", ")
    out = [headline or (heading if progress else f"{heading}: {count(len(places), 'state')}")]
    shown = 0
    for place_, depth in places:
        block = _outline(place_, depth, progress)
        if len(out) + len(block) > lines:
            break
        out += block
        shown += 1
    if shown < len(places):
        out.append(f"... and {count(len(places) - shown, 'more state')}")
    return "\n".join(out)


def _nested(definition: Definition) -> list[tuple[Place, int]]:
    """Every state with its depth, what is inside a state right after it."""
    inside: dict[str, list[Place]] = {}
    for p in walk(definition.raw):
        inside.setdefault(p.parent, []).append(p)
    todo = [(p, 1) for p in reversed(inside.get("", []))]
    out = []
    while todo:
        p, depth = todo.pop()
        out.append((p, depth))
        todo += [(inner, depth + 1) for inner in reversed(inside.get(p.pointer, []))]
    return out


_ASCII = str.maketrans({"≥": ">=", "≤": "<=", "≠": "!=", "·": "-", "…": "...", "×": "x"})


def _outline(place_: Place, depth: int, progress: Progress | None) -> list[str]:
    """One state's lines: itself, then where it goes."""
    state, indent = place_.state, "  " * depth
    words = [clean(state.get("Type", "no Type")), subtitle(state).translate(_ASCII)]
    if most := retries(state)[0]:
        words.append("retried once at most" if most == 1 else f"retried {most} times at most")
    if progress:
        mark = progress.last(place_.pointer)
        times = f" x{mark.visits}" if mark and mark.visits > 1 else ""
        words.append(progress_.WORDS[mark.status if mark else progress.unreached] + times)
    out = [f"{indent}{clean(place_.name)}: {', '.join(w for w in words if w)}"]
    for kind, target, label in ways(state):
        before = {"choice": f"{label.translate(_ASCII)} ", "catch": f"catch {label} "}.get(kind, "")
        out.append(f"{indent}  {before}-> {'End' if kind == 'end' else clean(target) if target is not None else '?'}")
    return out


def _definition(definition: Definition | Mapping[str, Any]) -> Definition:
    raw = getattr(definition, "raw", definition)
    if not isinstance(raw, dict):
        raise DefinitionError(f"a definition is a JSON object with StartAt and States, not {type(raw).__name__}")
    return definition if isinstance(definition, Definition) else Definition(raw)


def _name(definition: Definition) -> str:
    """Return the file's name without its endings; "workflow" where there is no file."""
    source = os.path.basename(definition.source).partition(".")[0]  # noqa: PTH119 - no path, a piece of text
    return "workflow" if definition.source.startswith("<") or not source else clean(source)


def _heading(title: str, progress: Progress | None) -> str:
    words = [clean(title)]
    if progress:
        words += [progress.status or "not started", count(len(progress.events), "event"), duration(progress.seconds)]
    return " · ".join(words)


def _banner(title: str | None, progress: Progress | None) -> tuple[Element | None, float]:
    """The line above the graph, and its width: its name, and how the run ended. None for a bare definition."""
    if title is None and (progress is None or not progress.events):
        return None, 0.0
    name = shorten(clean(title or ""), 520, 15, bold=True)
    x, parts = MARGIN + 2, []
    if name:
        parts.append(_text(name, x, MARGIN + 17, 15, "name", bold=True))
        x += width(name, 15, bold=True) + 14
    if progress and progress.events:
        look, said = LIGHT[progress.status], progress_.WORDS[progress.status]
        w = width(said, SUB, bold=True) + 36
        parts.append(
            el("g",
               el("rect", x=x, y=MARGIN + 1, width=w, height=22, rx=11, fill=look.fill, stroke=look.line,
                  class_="body"),
               el("circle", cx=x + 13, cy=MARGIN + 12, r=7, fill=look.line, class_="mark"),
               symbol(look.symbol, x + 13, MARGIN + 12, 9, "#ffffff", weight=3.6, class_="sign"),
               _text(said, x + 25, MARGIN + 16, SUB, "name", bold=True),
               class_=f"s-{progress.status.lower()}")
        )  # fmt: skip
        x += w + 12
        facts = f"{count(len(progress.events), 'event')} · {duration(progress.seconds)}"
        parts.append(_text(facts, x, MARGIN + 16, SUB, "sub"))
        x += width(facts, SUB)
    return el("g", *parts, class_="banner"), x - MARGIN

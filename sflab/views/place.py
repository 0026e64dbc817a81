"""Where everything goes: scopes are laid out by Graphviz, one by one, and set into each other.

Graphviz is given ids and sizes, never a text, so nothing has to be quoted for it and its answer is the same whatever
fonts a machine has. Since no transition leaves a scope, each is laid out for itself, the innermost first: a Map or
Parallel state is then a node as large as what it holds, its branches stand in rows that fit the page, and a scope that
would be too wide is tried in other ways (from left to right, with shorter lines) without touching the rest.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import shutil
import subprocess
from typing import Any, NamedTuple

from sflab.errors import SflabError
from sflab.views.sketch import HEAD, TAG_ROOM, TEXT_ROOM, Edge, Node, Scope, Sketch

PAGE = 728.0  # a graph wider than this must be shrunk, so it is laid out in other ways as well
LANE, EDGE = 10.0, 14.0  # room around a branch, and between a box's outline and what it holds
AIR = 8.0  # around a box, where no line may pass


class EngineError(SflabError):
    """There is no Graphviz engine to lay the graph out with, or it failed."""


# ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────────────


def engine() -> str:
    """The path of the Graphviz program: SFLAB_DOT, else the one that graphviz-pure installed, else the system's dot.

    Raises EngineError when there is none.
    """
    if given := os.environ.get("SFLAB_DOT"):
        return given
    try:
        # The wheel's RECORD knows where its script went: a venv, --user, uv, Scripts\*.exe.
        for file in importlib.metadata.files("graphviz-pure") or ():
            if file.stem == "graphviz-pure" and file.suffix in ("", ".exe"):
                return str(file.locate().resolve())  # type: ignore[attr-defined]
    except importlib.metadata.PackageNotFoundError:
        pass
    if found := shutil.which("dot"):
        return found
    raise EngineError(
        "no Graphviz engine to draw the graph with: `pip install graphviz-pure`, "
        "or install your system's graphviz package, or set SFLAB_DOT to the path of a dot program"
    )


@functools.lru_cache(maxsize=64)
def _run(program: str, source: str) -> tuple[dict[str, Any], ...]:
    """Have the engine lay the graphs in *source* out: an answer for each, places in points, y upwards."""
    command = [program, "-Kdot", "-Tjson0"]
    try:
        done = subprocess.run(command, input=source.encode(), capture_output=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise EngineError(f"the Graphviz engine {program} cannot be used: {e}") from None
    answers, said = [], done.stdout.decode(errors="replace").strip()
    while said:
        try:
            answer, end = json.JSONDecoder().raw_decode(said)
        except ValueError:
            break
        answers.append(answer)
        said = said[end:].lstrip()
    if len(answers) != source.count("digraph "):
        why = done.stderr.decode(errors="replace").strip()[:400]
        raise EngineError(f"the Graphviz engine {program} failed (exit code {done.returncode}): {why}")
    return tuple(answers)


class _Way(NamedTuple):
    """A way to lay a scope out: its direction, and how wide and on how many lines names and labels are set."""

    direction: str
    text: tuple[float, int]
    tag: tuple[float, int]
    staggered: bool = False  # the targets of a fan at different heights


_USUAL = _Way("TB", (TEXT_ROOM, 2), (TAG_ROOM, 3))
#: Tried as well where the usual way is wider than the page.
_NARROW = tuple(
    _Way(direction, (124.0, 3), (104.0, 4), staggered)
    for direction, staggered in (("TB", False), ("TB", True), ("LR", False))
)


def place(plan: Sketch) -> Sketch:
    """Give everything in *plan* its place: the innermost scopes first, since they make the size of what holds them."""
    levels: dict[int, list[Scope]] = {}
    for scope in plan.scopes.values():
        levels.setdefault(scope.depth, []).append(scope)
    program = engine()
    for depth in sorted(levels, reverse=True):
        for scope in levels[depth]:
            for node in scope.nodes:
                if node.lanes:
                    _pack(node, [plan.scopes[lane] for lane in node.lanes], PAGE - 40 * depth)
        _lay(program, levels[depth], _USUAL)
        _narrow(program, [s for s in levels[depth] if s.w > _page(s)])
    for scope in plan.scopes.values():
        for node in scope.nodes:
            node.x, node.y = node.x + scope.x, node.y + scope.y
            for lane in node.lanes:
                plan.scopes[lane].x += node.x
                plan.scopes[lane].y += node.y
    return plan


def _narrow(program: str, scopes: list[Scope]) -> None:
    """Lay *scopes* out in every way, and keep the one that needs least room (across first, then down)."""
    best = {s.pointer: (_USUAL, _need(s)) for s in scopes}
    for way in _NARROW if scopes else ():
        _lay(program, scopes, way)
        for s in scopes:
            if _need(s) < 0.9 * best[s.pointer][1]:
                best[s.pointer] = (way, _need(s))
    for way in {way for way, _ in best.values()}:
        _lay(program, [s for s in scopes if best[s.pointer][0] == way], way)


def _page(scope: Scope) -> float:
    """Return how wide a scope may be: branches would like to stand side by side."""
    return (PAGE - 40 * scope.depth) / min(scope.siblings, 2)


def _need(scope: Scope) -> float:
    """Return how bad a layout is: its width, where that is more than there is, and a little for its height."""
    return max(scope.w, _page(scope)) + scope.h / 8


def _lay(program: str, scopes: list[Scope], way: _Way) -> None:
    """Place the nodes and edges of each scope, with the scope's top left at 0, 0."""
    if not scopes:
        return
    for scope in scopes:
        for node in scope.nodes:
            node.set_text(*way.text)
        for edge in scope.edges:
            edge.set_label(*way.tag)
    answers = _run(program, "".join(_source(s, way) for s in scopes))
    for scope, answer in zip(scopes, answers, strict=True):
        _, _, scope.w, scope.h = (float(v) for v in answer["bb"].split(","))
        found = {o["name"]: o for o in answer["objects"]}
        for node in scope.nodes:
            x, y = _point(found[node.id]["pos"], scope.h)
            node.x, node.y = x - node.w / 2, y - node.h / 2
        nodes = {n.id: n for n in scope.nodes}
        drawn = {e["id"]: e for e in answer.get("edges", ())}
        for edge in scope.edges:
            way_ = drawn[edge.id]
            edge.points, edge.tip = _spline(way_.get("pos", ""), scope.h)
            edge.at = _point(way_["lp"], scope.h) if "lp" in way_ else None
            _reach(edge, nodes[edge.tail], nodes[edge.head])


def _reach(edge: Edge, tail: Node, head: Node) -> None:
    """Draw an edge that leaves or enters a box through the air around it, as far as the box's outline."""
    if tail.lanes and edge.points:
        edge.points[0] = _clamp(edge.points[0], tail)
    if head.lanes and edge.tip is not None:
        (x0, y0), (x1, y1) = edge.tip, _clamp(edge.tip, head)
        edge.tip = (x1, y1)
        edge.points[-1] = (edge.points[-1][0] + x1 - x0, edge.points[-1][1] + y1 - y0)


def _clamp(point: tuple[float, float], node: Node) -> tuple[float, float]:
    return min(max(point[0], node.x), node.x + node.w), min(max(point[1], node.y), node.y + node.h)


def _source(scope: Scope, way: _Way) -> str:
    """Write a scope in Graphviz's language: ids and sizes."""
    import graphviz

    large = {"nslimit": "3", "nslimit1": "3", "mclimit": "0.4"} if len(scope.nodes) > 250 else {}  # bounds its patience
    graph = graphviz.Digraph(
        "scope",
        graph_attr={"rankdir": way.direction, "margin": "0", "splines": "true",
                    "nodesep": "0.3" if way == _USUAL else "0.2",
                    "ranksep": "0.42" if way.direction == "LR" else "0.32", **large},
        node_attr={"shape": "box", "fixedsize": "true", "label": "", "fontname": "Verdana"},
        edge_attr={"arrowsize": "0.75", "fontname": "Verdana", "fontsize": "10"},
    )  # fmt: skip
    for node in scope.nodes:
        air = 2 * AIR if node.lanes else 0.0
        graph.node(node.id, width=f"{(node.w + air) / 72:.4f}", height=f"{(node.h + air) / 72:.4f}")
    fans: dict[str, int] = {}
    for edge in scope.edges:
        given = {"id": edge.id, "weight": _WEIGHTS[edge.kind]}
        if edge.lines:
            given["label"] = (f'<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="0" FIXEDSIZE="TRUE" '
                              f'WIDTH="{edge.w:.0f}" HEIGHT="{edge.h:.0f}"><TR><TD></TD></TR></TABLE>>')  # fmt: skip
        if edge.kind == "end" and scope.pointer:
            given["arrowhead"] = "none"
        if way.staggered:
            given["minlen"] = str(1 + fans.setdefault(edge.tail, 0) % 4)
            fans[edge.tail] += 1
        graph.edge(edge.tail, edge.head, **given)
    return str(graph.source)


_WEIGHTS = {"next": "6", "start": "6", "choice": "3", "end": "2", "catch": "1"}


def _pack(box: Node, lanes: list[Scope], page: float) -> None:
    """Set the lanes of a Map or Parallel state in rows, and make *box* as large as that."""
    pad = LANE if box.type == "Parallel" else 0.0  # around each lane; a Map has one, which is the box itself
    sizes = [(lane.w + 2 * pad, lane.h + 2 * pad) for lane in lanes]
    rows = _rows(sizes, page)
    if len(rows) > 2:  # rather somewhat smaller letters than so many rows
        rows = min(rows, _rows(sizes, 1.4 * page), key=len)
    widths = [sum(sizes[i][0] for i in row) + LANE * (len(row) - 1) for row in rows]
    box.w = max(box.w, max(widths) + 2 * EDGE)
    y = HEAD + EDGE
    for row, wide in zip(rows, widths, strict=True):
        x = (box.w - wide) / 2
        for i in row:
            lanes[i].x, lanes[i].y = x + pad, y + pad
            x += sizes[i][0] + LANE
        y += max(sizes[i][1] for i in row) + LANE
    box.h = y - LANE + EDGE


def _rows(sizes: list[tuple[float, float]], page: float) -> list[list[int]]:
    """Return the indexes of *sizes* in rows no wider than *page*, in order."""
    rows: list[list[int]] = [[]]
    used = 0.0
    for i, (w, _) in enumerate(sizes):
        if rows[-1] and used + w > page:
            rows.append([])
            used = 0.0
        rows[-1].append(i)
        used += w + LANE
    return rows


def _point(text: str, top: float) -> tuple[float, float]:
    """Return a place; the engine counts y upwards from the bottom."""
    x, y = text.split(",")[:2]
    return float(x), top - float(y)


def _spline(pos: str, top: float) -> tuple[list[tuple[float, float]], tuple[float, float] | None]:
    """Read the engine's ``e,x,y x,y x,y …``: the points of the curve, and where its arrow ends."""
    tip, points = None, []
    for part in pos.split():
        if part.startswith("e,"):
            tip = _point(part[2:], top)
        elif not part.startswith("s,"):
            points.append(_point(part, top))
    return points, tip

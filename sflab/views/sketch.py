"""What there is to draw of a definition: scopes of nodes and edges, each measured, none placed yet.

Sizes are in px, which are Graphviz's points. Since no transition leaves the scope it is in, a Map or Parallel state is
a node like any other, which holds scopes (its ``lanes``) of its own. Whatever the definition lacks is there as a
``missing`` node: a ``Next`` to nowhere, a state with neither Next nor End, a scope without StartAt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sflab.asl.model import Place, scopes, walk
from sflab.views.paint import SERVICES, TYPES, UNKNOWN_TYPE
from sflab.views.words import clean, condition, entries, errors, retries, service, shorten, subtitle, width, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME, SUB, TAG, CHIP = 13.0, 11.0, 10.5, 9.5  # font sizes
TEXT_ROOM, TITLE_ROOM = 190.0, 300.0  # the widest that a state's texts, and a box's title, may be
TAG_ROOM = 168.0  # the widest a line on an edge may be
TILE, GAP, HEAD = 28.0, 10.0, 34.0  # a state's icon, the room beside it, the height of a box's title strip
DOT = 9.0  # the start and end markers inside a box
STEPS = (132, 164, 196, 228, 264, 300)  # widths of nodes: a few sizes look calmer than many
#: Room left and right of what a node holds; slanted and round outlines need more.
INSETS = {
    "Choice": (18.0, 20.0),
    "Fail": (13.0, 15.0),
    "Pass": (17.0, 19.0),
    "Wait": (9.0, 20.0),
    "Succeed": (9.0, 20.0),
}
INSET = (10.0, 14.0)
BOXES = ["Map", "Parallel"]  # a list: what is looked up in it may be unhashable


@dataclass(slots=True)
class Node:
    """A state, a start or end marker, or something a transition names that is not there.

    ``sub`` is its second line, ``chip`` the integration pattern, ``tile`` the (colour, symbol) of its icon, ``about``
    what is said when somebody points at it. A Map or Parallel state has ``lanes``: the scopes inside it.
    """

    id: str
    kind: str  # "state", "start", "end" or "missing"
    w: float
    h: float
    pointer: str = ""
    type: str = ""  # "" for a state whose Type is none of the eight
    name: str = ""
    lines: tuple[str, ...] = ()
    sub: str = ""
    chip: str = ""
    tile: tuple[str, str] = UNKNOWN_TYPE
    retries: int = 0
    about: str = ""
    whole: str = ""  # the second line, not shortened
    lanes: tuple[str, ...] = ()
    x: float = 0.0  # top left, as soon as it is placed
    y: float = 0.0

    def set_text(self, room: float, most: int) -> None:
        """Set the name on at most *most* lines no wider than *room*, and make the node as large as its texts need."""
        if self.kind != "state":
            return
        if self.lanes:
            self.lines = (shorten(self.name, TITLE_ROOM, NAME, bold=True, keep_end=True),)
            self.sub = shorten(self.whole, TITLE_ROOM, SUB)
            self.w = max(self.w, 38 + width(self.lines[0], NAME, bold=True) + 10 + width(self.sub, SUB) + 60)
            return
        left, right = INSETS.get(self.type, INSET)
        around = left + TILE + GAP + right
        chip = width(self.chip, CHIP) + 18 if self.chip else 0
        self.lines = wrap(self.name, room, NAME, bold=True, lines=most)
        widest = max(width(line, NAME, bold=True) for line in self.lines)
        self.w = _step(around + max(widest, min(width(self.whole, SUB), room) + chip))
        self.sub = shorten(self.whole, self.w - around - chip, SUB, keep_end=self.type == "Task")
        self.h = 40.0 + (14 if self.sub or self.chip else 0) + 16 * (len(self.lines) - 1)


@dataclass(slots=True)
class Edge:
    """A transition; ``labels`` are its conditions or error names, ``lines`` how they are set.

    ``kind`` is start, next, choice, catch or end. ``source`` is the pointer of the state it leaves (start: the scope),
    ``target`` the name it goes to (start: the pointer; end: "").
    """

    id: str
    kind: str
    source: str
    target: str
    tail: str
    head: str
    labels: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    w: float = 0.0  # of the label
    h: float = 0.0
    points: list[tuple[float, float]] = field(default_factory=list)  # of a cubic Bézier spline, as soon as it is placed
    tip: tuple[float, float] | None = None  # where the arrow ends
    at: tuple[float, float] | None = None  # the centre of the label

    def set_label(self, room: float, most: int) -> None:
        """Set the label on at most *most* lines no wider than *room*."""
        if not self.labels:
            return
        each = max(1, most // len(self.labels))
        lines = [line for label in self.labels for line in wrap(label, room, TAG, lines=each)]
        if len(lines) > most:
            lines[most - 1 :] = [f"… {len(self.labels) - most + 1} more"]
        self.lines = tuple(lines)
        self.w = max(width(line, TAG) for line in lines) + 16
        self.h = 13.0 * len(lines) + 6


@dataclass(slots=True)
class Scope:
    """What one StartAt and its States hold: laid out for itself, since no transition leaves it."""

    pointer: str
    depth: int = 0
    siblings: int = 1  # how many scopes there are in the box it is in
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    w: float = 0.0
    h: float = 0.0


class Sketch:
    """A definition as scopes of nodes and edges; ``scopes`` by pointer, outer before inner."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.scopes: dict[str, Scope] = {"": Scope("")}
        self.count = 0
        places = list(walk(dict(raw)))
        owners: dict[str, Mapping[str, Any]] = {"": raw}
        self.names: dict[str, dict[str, Node]] = {"": {}}
        for place in places:
            self._state(place, owners)
        starts = {pointer: self._marker(scope, "start") for pointer, scope in self.scopes.items()}
        ends = {pointer: self._marker(scope, "end") for pointer, scope in self.scopes.items()}
        for pointer, scope in self.scopes.items():
            self._start(scope, owners[pointer], starts[pointer])
        for place in places:
            self._transitions(place, ends[place.scope])
        for scope in self.scopes.values():  # an end that nothing leads to is not there
            reached = {e.head for e in scope.edges}
            scope.nodes = [n for n in scope.nodes if n.kind != "end" or n.id in reached]

    def nodes(self) -> Iterator[Node]:
        """Every node, outer before inner."""
        return (n for scope in self.scopes.values() for n in scope.nodes)

    def edges(self) -> Iterator[Edge]:
        """Every edge, outer before inner."""
        return (e for scope in self.scopes.values() for e in scope.edges)

    def states(self) -> dict[str, Node]:
        """The nodes of states, by pointer."""
        return {n.pointer: n for n in self.nodes() if n.kind == "state"}

    def routes(self) -> dict[tuple[str, str, bool], str]:
        """Edge ids by (pointer of the source, name of the target or "", whether a Catch takes it)."""
        return {(e.source, e.target, e.kind == "catch"): e.id for e in self.edges() if e.kind != "start"}

    # -- states

    def _id(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def _state(self, place: Place, owners: dict[str, Mapping[str, Any]]) -> None:
        scope = self.scopes[place.scope]
        # `walk` goes into whatever looks like a scope, also where the Type says otherwise: all of it is shown.
        inner = dict(scopes(place.state, place.pointer))
        if not inner and place.state.get("Type") in BOXES:
            what = "Branches" if place.state["Type"] == "Parallel" else "ItemProcessor"
            inner = {f"{place.pointer}/{what}": {}}
        node = _node(place, self._id("s"), tuple(inner))
        node.set_text(TEXT_ROOM, 2)
        scope.nodes.append(node)
        self.names[place.scope][place.name] = node
        for pointer, owner in inner.items():
            self.scopes[pointer], self.names[pointer] = Scope(pointer, scope.depth + 1, len(inner)), {}
            owners[pointer] = owner

    def _marker(self, scope: Scope, kind: str) -> Node:
        w, h = (DOT, DOT) if scope.pointer else (54.0, 26.0)
        node = Node(self._id("b" if kind == "start" else "z"), kind, w, h)
        scope.nodes.append(node)
        return node

    def _missing(self, scope: Scope, name: str, about: str) -> Node:
        """Return the node of something that should be in *scope*; asked for twice, it is the same."""
        for node in scope.nodes:
            if node.kind == "missing" and node.name == name:
                return node
        text = shorten(name, TEXT_ROOM - 20, NAME, bold=True, keep_end=True) + "?"
        w = _step(width(text, NAME, bold=True) + 28)
        node = Node(self._id("m"), "missing", w, 36.0, name=name, lines=(text,), about=about)
        scope.nodes.append(node)
        return node

    # -- edges

    def _start(self, scope: Scope, owner: Mapping[str, Any], tail: Node) -> None:
        target = owner.get("StartAt")
        found = self.names[scope.pointer].get(target) if isinstance(target, str) else None
        if found is None and "StartAt" in owner:
            found = self._missing(scope, clean(target), f"StartAt names a state that is not here: {clean(target)}")
        elif found is None and not owner and scope.pointer.endswith(("/Branches", "/ItemProcessor")):
            what = scope.pointer.rpartition("/")[2]
            found = self._missing(scope, what, f"no {what}: nothing says what to do here")
        elif found is None:
            found = self._missing(scope, "StartAt", "no StartAt: nothing says which state comes first")
        self._edge(scope, Edge("", "start", scope.pointer, found.pointer, tail.id, found.id))

    def _transitions(self, place: Place, end: Node) -> None:
        """Draw one edge for all ways from this state to another that are of one kind."""
        scope, tail = self.scopes[place.scope], self.names[place.scope][place.name].id
        merged: dict[tuple[str, str], tuple[Any, list[str]]] = {}
        for kind, target, label in ways(place.state):
            key = target if isinstance(target, str) else clean(target)
            merged.setdefault((kind, key), (target, []))[1].append(label)
        for (kind, key), (target, labels) in merged.items():
            if kind == "end":
                self._edge(scope, Edge("", "end", place.pointer, "", tail, end.id))
                continue
            head = self._target(scope, target)
            self._edge(scope, Edge("", kind, place.pointer, key, tail, head.id, tuple(x for x in labels if x)))

    def _target(self, scope: Scope, target: Any) -> Node:
        found = self.names[scope.pointer].get(target) if isinstance(target, str) else None
        if found is not None:
            return found
        if target is None:
            return self._missing(scope, "Next", "neither Next nor End: nothing says what comes after this state")
        return self._missing(scope, clean(target), f"there is no state named {clean(target)} here")

    def _edge(self, scope: Scope, edge: Edge) -> None:
        edge.id = self._id("e")
        edge.set_label(TAG_ROOM, 3)
        scope.edges.append(edge)


def ways(state: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Return every way out of a state: (kind, name of the target, label)."""
    type_, out = state.get("Type"), list[tuple[str, Any, str]]()
    if type_ == "Choice":
        out += [("choice", rule.get("Next"), condition(rule)) for rule in entries(state, "Choices")]
        if "Default" in state:
            out.append(("choice", state["Default"], "otherwise"))
    elif type_ == "Succeed" or (type_ != "Fail" and state.get("End") is True):
        out.append(("end", None, ""))
    elif type_ != "Fail":
        out.append(("next", state.get("Next"), ""))
    return out + [("catch", catcher.get("Next"), errors(catcher)) for catcher in entries(state, "Catch")]


def _node(place: Place, id_: str, lanes: tuple[str, ...]) -> Node:
    """Return a state's node: what is written on it, and what is said when somebody points at it."""
    state, name = place.state, clean(place.name) or "(no name)"
    type_ = state["Type"] if isinstance(state.get("Type"), str) and state["Type"] in TYPES else ""
    called = service(state) if type_ == "Task" else None
    whole = subtitle(state) if type_ else f"Type {clean(state['Type'])}?" if "Type" in state else "no Type"
    tries, how = retries(state)
    resource = clean(state["Resource"]) if "Resource" in state else ""
    about = [f"{name} · {type_ or whole}", whole if type_ else "", resource if resource != whole else ""]
    about += [clean(state["Comment"]) if "Comment" in state else "", how]
    chip = shorten(called.pattern, 80, CHIP) if called else ""
    return Node(
        id_, "state", 0.0, 0.0, place.pointer, type_, name, whole=whole, chip=chip,
        tile=_tile(type_, called), retries=tries, about="\n".join(line for line in about if line), lanes=lanes,
    )  # fmt: skip


def _tile(type_: str, called: Any) -> tuple[str, str]:
    if called is None:
        return TYPES.get(type_, UNKNOWN_TYPE)
    if not called.name and "ambda" in called.action:  # a ${Token}: its name often says what it stands for
        return SERVICES["lambda"]
    return SERVICES.get(called.name, TYPES["Task"])


def _step(needed: float) -> float:
    return next((float(s) for s in STEPS if s >= needed), float(int(needed) + 8))

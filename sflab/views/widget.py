"""The live graph: a run to watch, to scrub through and to ask.

The browser does the work. It is sent the drawing once and the history as lists of changes (`progress`); colours, the
slider, play and pause, and what a click shows are looked up there, also while the kernel is busy and after it has gone.
The kernel sends what is new of a running execution as patches. The browser sends a message only to ask for a text too
long to have been sent with the rest, or for what it has missed; nothing waits for the answer.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.engine import history
from sflab.views import graph, progress
from sflab.views.paint import LIGHT, SYMBOLS, rules, variables
from sflab.views.words import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sflab.asl.model import Definition
    from sflab.engine.history import Event, Visit
    from sflab.views.graph import Layout
    from sflab.views.progress import Progress

LONGEST = 20_000  # characters of a text that are sent without being asked for
MOST = 8_000_000  # characters of all of them
BRIEF = 400  # what is sent of a text once they are more than that


def live(
    definition: Definition,
    events: Iterable[Event],
    *,
    title: str | None = None,
    running: bool = False,
    height: int = 600,
) -> Any:
    """Return the live graph of an execution, an ipywidget: display it, or leave it as a cell's value.

    *events* are those so far; while it is *running*, hand the later ones to ``.extend(events)``, some twenty times a
    second at most, and call ``.finish(status)`` in the end. Both may be called from any thread, but from one at a time.
    *height* is that of the graph in px. Raises DefinitionError and EngineError, as `graph.svg` does.
    """
    return _widget_class()(definition, list(events), title=title, running=running, height=height)


class _Live:
    """What the widget does; `_widget_class` makes a widget of it.

    ``state`` is what a new browser must be sent. It is replaced, never changed, so whichever thread asks for it (a
    message may be handled on any) finds it whole.
    """

    send: Callable[[dict[str, Any]], None]
    on_msg: Callable[[Any], None]

    def __init__(
        self, definition: Definition, events: list[Event], *, title: str | None, running: bool, height: int
    ) -> None:
        self._definition, self._events, self._title = definition, events, title
        self._layout = graph.layout(definition)
        self._progress = progress.read(definition, events)
        self.state = _Run(definition, self._layout).state(self._progress, title=title, running=running)
        super().__init__(drawing=_drawing(self._layout, height))  # type: ignore[call-arg] # the widget's
        self.on_msg(self._asked)

    def extend(self, events: Iterable[Event]) -> None:
        """Add the events that have happened since; those that are known already are passed over."""
        last = self._progress.events[-1]["id"] if self._progress.events else 0
        fresh = [e for e in history.normalise(list(events)) if e["id"] > last]
        if fresh:
            self._events = [*self._events, *fresh]
            self._update(running=self.state["running"])

    def finish(self, status: str | None = None) -> None:
        """Say that nothing more will come; *status* where the history's last event does not tell."""
        self._update(running=False, status=status)

    def _update(self, *, running: bool, status: str | None = None) -> None:
        """Work the state out anew and send the browser what has changed in it."""
        self._progress = progress.read(self._definition, self._events)
        before = self.state
        after = _Run(self._definition, self._layout).state(self._progress, title=self._title, running=running)
        if status and after["status"] in ("", "RUNNING"):
            after["status"] = status
        self.state = after
        self.send({"type": "patch", **_patch(before, after)})

    def _asked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Answer the browser."""
        if not isinstance(message, dict):
            return
        if message.get("type") == "resync":
            self.send({"type": "all", "run": self.state})
        elif message.get("type") == "text":
            self._send_text(message.get("visit"), str(message.get("field")))

    def _send_text(self, visit: Any, field: str) -> None:
        """Send a whole text: of a visit, or of the execution where *visit* is no index."""
        if field not in ("input", "output", "cause"):
            return
        if isinstance(visit, int) and 0 <= visit < len(self._progress.visits):
            said = getattr(self._progress.visits[visit], field)
        else:
            visit, said = None, _ends(self._progress).get(field)
        self.send({"type": "text", "visit": visit, "field": field, "text": said})

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})  # type: ignore[misc] # the widget's
        if os.environ.get("SFLAB_HEADLESS") == "1":  # what is saved must show without a kernel
            data = {k: v for k, v in data.items() if "widget-view" not in k}
        saved = graph.mimebundle(self._definition, self._events, title=self._title)
        return {**data, **saved}, metadata

    def __repr__(self) -> str:
        return f"Run({self._title or 'execution'}: {self.state['status'] or 'no events'})"


@functools.cache
def _widget_class() -> type:
    """Define the widget: anywidget is imported when the first one is made."""
    import anywidget
    import traitlets

    class Run(_Live, anywidget.AnyWidget):
        """A run, to be looked at."""

        _esm = _file("panel.js") + _file("widget.js")
        _css = _stylesheet()
        drawing = traitlets.Any().tag(sync=True)
        run = traitlets.Any().tag(sync=True, to_json=lambda _, widget: widget.state)

    return Run


# ── what the browser is sent ─────────────────────────────────────────────────────────────────────────────────────────


def _file(name: str) -> str:
    # As text, not as a path: a path is watched for changes, which costs a thread and another package.
    return Path(__file__).with_name(name).read_text("utf-8")


def _stylesheet() -> str:
    light, dark = '.sflab-run[data-theme="light"]', '.sflab-run[data-theme="dark"]'
    own = f"{light}{{{variables(dark=False)}}}{dark}{{{variables(dark=True)}}}"
    return own + rules(light, dark=False) + rules(dark, dark=True) + _file("widget.css")


def _drawing(layout: Layout, height: int) -> dict[str, Any]:
    statuses = {
        status: {"word": progress.WORDS[status], "symbol": SYMBOLS.get(look.symbol, "")}
        for status, look in LIGHT.items()
        if status
    }
    return {"width": layout.width, "height": layout.height, "tree": layout.tree, "states": layout.states,
            "edges": layout.edges, "statuses": statuses, "stage": height}  # fmt: skip


class _Run:
    """Writes a `Progress` as plain data."""

    def __init__(self, definition: Definition, layout: Layout) -> None:
        self.raw = definition.raw
        self.routes = {(e["source"], e["target"], e["kind"] == "catch"): id_ for id_, e in layout.edges.items()
                       if e["kind"] != "start"}  # fmt: skip
        self.starts = {e["target"]: id_ for id_, e in layout.edges.items() if e["kind"] == "start"}
        self.left = MOST

    def state(self, seen: Progress, *, title: str | None, running: bool) -> dict[str, Any]:
        """Everything; times are seconds since the first event.

        ``steps``: [event id, time, type, visit | -1]; ``marks``: pointer → [event id, status, visits, retries, done];
        ``moves``: [event id, edge id]; ``visits``: see `_visit`.
        """
        begun = seen.events[0]["timestamp"].timestamp() if seen.events else 0.0
        owners = {i: v.index for v in seen.visits for i in v.events}
        ends = _ends(seen)
        return {
            "title": title or "execution",
            "status": seen.status,
            "running": running,
            "begun": begun,
            "steps": [
                [e["id"], round(e["timestamp"].timestamp() - begun, 6), e["type"], owners.get(e["id"], -1)]
                for e in seen.events
            ],
            "visits": [self._visit(v, seen, begun) for v in seen.visits],
            "marks": {p: [list(m) for m in marks] for p, marks in seen.states.items()},
            "moves": self._moves(seen),
            "execution": {k: self._text(ends.get(k)) for k in ("input", "output", "error", "cause")},
            "definition": self.raw,
        }

    def _moves(self, seen: Progress) -> list[list[Any]]:
        first = [[marks[0].id, self.starts[p]] for p, marks in seen.states.items() if p in self.starts]
        taken = [[m.id, self.routes.get((m.source, m.target or "", m.caught))] for m in seen.moves]
        return sorted([*first, *(t for t in taken if t[1])], key=lambda t: int(t[0]))

    def _visit(self, v: Visit, seen: Progress, begun: float) -> dict[str, Any]:
        """One visit; ``changes`` are [event id, status], ``tries`` its attempts (see `_attempts`)."""
        return {
            "state": clean(v.state),
            "pointer": v.pointer,
            "path": [list(p) for p in v.path],
            "entered": round(v.entered - begun, 6),
            "exited": None if v.exited is None else round(v.exited - begun, 6),
            "seconds": v.seconds,
            "exit": v.exited_id,
            "changes": [list(c) for c in seen.changes[v.index]],
            "tries": _attempts(v, seen, begun),
            "next": None if v.next is None else clean(v.next),
            "error": v.error,
            **{k: self._text(getattr(v, k)) for k in ("input", "output", "cause")},
        }

    def _text(self, text: str | None) -> Any:
        """A text, or the beginning of one that is long: {"text", "length"}."""
        if not isinstance(text, str):
            return None
        room = LONGEST if self.left > 0 else BRIEF
        self.left -= min(len(text), room)
        return text if len(text) <= room else {"text": text[:room], "length": len(text)}


def _ends(seen: Progress) -> dict[str, Any]:
    """The execution's own input, output, error and cause."""
    first = history.details(seen.events[0]) if seen.events else {}
    return {"input": first.get("input"), **{k: seen.outcome.get(k) for k in ("output", "error", "cause")}}


def _attempts(visit: Visit, seen: Progress, begun: float) -> list[dict[str, Any]]:
    """The attempts of a visit: when each began and ended, and the error it ended with."""
    out: list[dict[str, Any]] = []
    for i in visit.events:
        event = seen.by_id[i]
        type_, at = str(event["type"]), round(event["timestamp"].timestamp() - begun, 6)
        if type_.endswith(progress.BEGINS):
            out.append({"id": i, "from": at, "to": None, "end": None, "error": None})
        elif out and type_.endswith(progress.FAILS) and not type_.startswith("MapIteration"):
            out[-1].update(to=at, end=i, error=history.details(event).get("error") or visit.error or type_)
        elif out and type_.endswith("Succeeded") and not type_.startswith("MapIteration"):
            out[-1].update(to=at, end=i)
    return out


def _patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What turns *before* into *after*: of each list, how much of it stays and what follows."""
    marks = {p: _tail(before["marks"].get(p, []), m) for p, m in after["marks"].items() if before["marks"].get(p) != m}
    visits = {i: v for i, v in enumerate(after["visits"]) if i >= len(before["visits"]) or before["visits"][i] != v}
    return {
        "from": len(before["steps"]),
        "steps": after["steps"][len(before["steps"]) :],
        "visits": visits,
        "marks": marks,
        "moves": _tail(before["moves"], after["moves"]),
        **{k: after[k] for k in ("status", "running", "execution", "begun")},
    }


def _tail(before: list[Any], after: list[Any]) -> list[Any]:
    """``[n, rest]``: the first *n* of *before* stay, *rest* comes after them."""
    n = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    return [n, after[n:]]

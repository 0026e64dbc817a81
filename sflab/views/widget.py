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

from sflab.asl.model import compact
from sflab.engine import history
from sflab.engine.retrace import Retracer
from sflab.errors import SflabError
from sflab.views import graph, progress, wire
from sflab.views.paint import LIGHT, SYMBOLS, rules, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sflab.asl.model import Definition
    from sflab.engine.history import Event
    from sflab.views.graph import Layout

SCRIPTS = ("panel.js", "store.js", "drawing.js", "timeline.js", "widget.js")  # in the order in which they are joined


def live(
    definition: Definition,
    events: Iterable[Event],
    *,
    title: str | None = None,
    running: bool = False,
    height: int = 600,
    map_runs: Callable[[], Iterable[Any]] = tuple,
    context: Mapping[str, Any] | None = None,
) -> Any:
    """Return the live graph of an execution, an ipywidget: display it, or leave it as a cell's value.

    *events* are those so far; while it is *running*, hand the later ones to ``.extend(events)``, some twenty times a
    second at most, and call ``.finish(status)`` in the end. Both may be called from any thread, but from one at a time.
    *height* is that of the graph in px. *map_runs* gives the Map Runs whose child executions may be chosen; *context*
    is what is known of the context object. Raises DefinitionError and EngineError, as `graph.svg` does.
    """
    return _widget_class()(
        definition, list(events), title=title, running=running, height=height, map_runs=map_runs, context=context
    )


class Live:
    """What the kernel does for a live graph: `drawing` is sent once, ``state`` to every new browser, then patches.

    ``state`` is replaced, never changed, so whichever thread asks for it (a message may be handled on any) finds it
    whole.
    """

    send: Callable[[dict[str, Any]], None]

    def __init__(
        self,
        definition: Definition,
        events: list[Event],
        *,
        title: str | None = None,
        running: bool = False,
        height: int = 600,
        map_runs: Callable[[], Iterable[Any]] = tuple,
        context: Mapping[str, Any] | None = None,
        differs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._definition, self._events, self._title, self._map_runs = definition, events, title, map_runs
        self._layout = graph.layout(definition)
        self._writer = wire.Writer(definition, self._layout, context=context)
        self._progress = progress.read(definition, events)
        self.state = self._written(running=running)
        self.drawing = {**_drawing(self._layout, height), "definition": definition.raw, "differs": dict(differs or {})}

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

    def refresh(self) -> None:
        """Tell how far the Map Runs are: their children go on while the history stands still."""
        children = self._writer.children(self._progress, self._runs())
        if children != self.state["children"]:
            before, self.state = self.state, {**self.state, "children": children}
            self.send({"type": "patch", **wire.patch(before, self.state)})

    def _written(self, *, running: bool) -> dict[str, Any]:
        state = self._writer.state(self._progress, title=self._title, running=running)
        return {**state, "children": self._writer.children(self._progress, self._runs())}

    def _update(self, *, running: bool, status: str | None = None) -> None:
        """Work the state out anew and send the browser what has changed in it."""
        self._progress = progress.read(self._definition, self._events)
        before, after = self.state, self._written(running=running)
        if status and after["status"] in ("", "RUNNING"):
            after["status"] = status
        self.state = after
        self.send({"type": "patch", **wire.patch(before, after)})

    def asked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Answer the browser. What it asks for that is not there is passed over."""
        if not isinstance(message, dict):
            return
        visit, child = message.get("visit"), message.get("child")
        match message.get("type"):
            case "resync":
                self.send({"type": "all", "run": self.state})
            case "text":
                self._send_text(visit, str(message.get("field")), child)
            case "flow" if seen := self._seen(child):
                definition, known = seen
                if isinstance(visit, int) and 0 <= visit < len(known.visits):
                    tracer = Retracer(definition, known.events, known.visits, self._writer.context)
                    found = wire.flow(tracer, known.visits[visit])
                    self.send({"type": "flow", "visit": visit, "child": child, "flow": found})
            case "child" if isinstance(child, list) and (execution := self._child(child)):
                run = self._writer.child(self._progress, self._progress.visits[child[0]], execution)
                self.send({"type": "child", "child": child, "run": run})

    def _runs(self) -> list[Any]:
        """Return the Map Runs; none where a backend may not tell of them: the graph is worth showing without."""
        try:
            return list(self._map_runs())
        except SflabError:
            return []

    def _child(self, child: Any) -> Any:
        """Return the child execution named by [visit, index]; None where there is no such."""
        if not (isinstance(child, list) and len(child) == 2 and all(isinstance(n, int) and n >= 0 for n in child)):
            return None
        visit, index = child
        if visit >= len(self._progress.visits):
            return None
        started = {
            history.details(self._progress.by_id[i]).get("mapRunArn") for i in self._progress.visits[visit].events
        }
        for run in self._runs():
            if run.arn in started:
                try:
                    return run.executions[index] if index < len(run.executions) else None
                except SflabError:
                    return None
        return None

    def _seen(self, child: Any) -> tuple[Definition, progress.Progress] | None:
        """Return the run that a message is about: the execution, or a child whose history was kept."""
        if child is None:
            return self._definition, self._progress
        if (execution := self._child(child)) is None:
            return None
        definition = execution.machine.definition
        try:
            return definition, progress.read(definition, execution.history.events)
        except SflabError:
            return None

    def _send_text(self, visit: Any, field: str, child: Any) -> None:
        """Send a whole text: of a visit, or of the execution where *visit* is no index."""
        if field not in ("input", "output", "cause", "variables") or (seen := self._seen(child)) is None:
            return
        definition, known = seen
        if isinstance(visit, int) and 0 <= visit < len(known.visits):
            said: str | None
            if field == "variables":
                said = compact(Retracer(definition, known.events, known.visits).variables(known.visits[visit]))
            else:
                said = getattr(known.visits[visit], field)
        else:
            visit, said = None, wire.execution_ends(known).get(field)
        self.send({"type": "text", "visit": visit, "child": child, "field": field, "text": said})


class _Shown(Live):
    """A live graph as a widget; `_widget_class` makes a class of it."""

    on_msg: Callable[[Any], None]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        super(Live, self).__init__()  # the widget's: it sends all that is there by now
        self.on_msg(self.asked)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})  # type: ignore[misc] # the widget's
        if os.environ.get("SFLAB_HEADLESS") == "1":  # what is saved must show without a kernel
            data = {k: v for k, v in data.items() if "widget-view" not in k}
        saved = graph.mimebundle(self._definition, self._events, title=self._title)
        return {**data, **saved}, metadata

    def __repr__(self) -> str:
        return f"Run({self._title or 'execution'}: {self.state['status'] or 'no events'})"


@functools.cache
def scripted() -> type:
    """Return the class of widgets with the script and the style sheet; anywidget is imported by that."""
    import anywidget

    class Scripted(anywidget.AnyWidget):
        _esm = script()
        _css = stylesheet()

    return Scripted


@functools.cache
def _widget_class() -> type:
    import traitlets

    class Run(_Shown, scripted()):  # type: ignore[misc] # anywidget's
        """A run, to be looked at."""

        drawing = traitlets.Any().tag(sync=True)
        run = traitlets.Any().tag(sync=True, to_json=lambda _, widget: widget.state)

    return Run


# ── the script, the style sheet and the drawing ──────────────────────────────────────────────────────────────────────


def script() -> str:
    """The script of the live graph: its files, joined."""
    return "".join(_file(name) for name in SCRIPTS)


def _file(name: str) -> str:
    # As text, not as a path: a path is watched for changes, which costs a thread and another package.
    return Path(__file__).with_name(name).read_text("utf-8")


def stylesheet() -> str:
    """Return the style sheet: colours from `paint`, light and dark, and widget.css."""
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
            "edges": layout.edges, "markers": layout.markers, "statuses": statuses, "stage": height}  # fmt: skip

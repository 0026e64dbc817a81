"""What the browser is sent of a run: plain data, whole once, and then what is new of it.

`Writer` writes a `Progress`. Whatever the browser shows it looks up in these lists, so they hold for each change the
id of the event that made it, and for each visit what encloses it (``outer``): that is how one iteration of a Map is
picked out of all. The children of a Distributed Map are written like runs of their own, with their parent's pointers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sflab.asl.model import compact
from sflab.engine import history
from sflab.engine.retrace import Retracer
from sflab.errors import SflabError
from sflab.views import lanes, progress, stages
from sflab.views.words import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sflab.asl.model import Definition
    from sflab.engine.history import Visit
    from sflab.views.graph import Layout
    from sflab.views.progress import Progress

LONGEST = 20_000  # characters of a text that are sent without being asked for
MOST = 8_000_000  # characters of all of them
BRIEF = 400  # what is sent of a text once they are more than that
FLOWS = 400  # visits whose data flow is sent without being asked for
CHILDREN = 20_000  # child executions that may be chosen from
SAMPLE = 2_000  # events of child executions that are sent without being asked for
STATUSES = {"PENDING": "P", "RUNNING": "R", "SUCCEEDED": "S", "FAILED": "F", "TIMED_OUT": "T", "ABORTED": "A"}

Flow = list[list[Any]]


class Writer:
    """Writes a `Progress` as plain data; *prefix* is the pointer of the scope that the definition is, for a child."""

    def __init__(self, definition: Definition, layout: Layout, *, prefix: str = "", context: Any = None) -> None:
        self.definition, self.layout, self.prefix, self.context = definition, layout, prefix, context or {}
        self.routes = {(e["source"], e["target"], e["kind"] == "catch"): id_ for id_, e in layout.edges.items()
                       if e["kind"] != "start"}  # fmt: skip
        self.starts = {e["target"]: id_ for id_, e in layout.edges.items() if e["kind"] == "start"}
        self.left = MOST
        self.flows: dict[tuple[int, int | None], Flow] = {}  # by index of the visit, and the event it was left with
        self.ended: dict[tuple[str, int], dict[str, Any]] = {}  # child executions that were sent

    def state(self, seen: Progress, *, title: str | None, running: bool) -> dict[str, Any]:
        """Everything; times are seconds since the first event.

        ``steps``: [event id, time, type, visit | -1]; ``marks``: pointer → [event id, status, visits, retries, done];
        ``moves``: [event id, edge id, visit | -1]; ``visits``: see `_visit`; ``timeline``: see `lanes.sent`, and not
        of a child.
        """
        self.left = MOST
        begun = seen.events[0]["timestamp"].timestamp() if seen.events else 0.0
        owners = {i: v.index for v in seen.visits for i in v.events}
        ends = execution_ends(seen)
        tracer = Retracer(self.definition, seen.events, seen.visits, self.context)
        return {
            "title": title or "execution",
            "status": seen.status,
            "running": running,
            "begun": begun,
            "steps": [
                [e["id"], round(e["timestamp"].timestamp() - begun, 6), e["type"], owners.get(e["id"], -1)]
                for e in seen.events
            ],
            "visits": [self._visit(v, seen, begun, tracer) for v in seen.visits],
            "marks": {self.prefix + p: [list(m) for m in marks] for p, marks in seen.states.items()},
            "moves": self._moves(seen),
            "execution": {k: self._text(ends.get(k)) for k in ("input", "output", "error", "cause")},
            **({} if self.prefix else {"timeline": lanes.sent(lanes.reading(seen.events, seen.visits))}),
        }

    def _moves(self, seen: Progress) -> list[list[Any]]:
        first = [[marks[0].id, self.starts.get(self.prefix + p), -1] for p, marks in seen.states.items()]
        taken = [
            [m.id, self.routes.get((self.prefix + m.source, m.target or "", m.caught)), m.visit] for m in seen.moves
        ]
        return sorted((t for t in (*first, *taken) if t[1]), key=lambda t: int(t[0]))

    def _visit(self, v: Visit, seen: Progress, begun: float, tracer: Retracer) -> dict[str, Any]:
        """One visit; ``changes`` are [event id, status], ``tries`` its attempts (see `_attempts`).

        ``outer`` are the (visit, index) around it, ``rounds`` the iterations of a Map (see `_rounds`), ``flow`` its
        data flow (see `flow`; None: to be asked for), ``variables`` those it could read.
        """
        out = {
            "state": clean(v.state),
            "pointer": None if v.pointer is None else self.prefix + v.pointer,
            "path": [list(p) for p in v.path],
            "outer": [list(c) for c in v.context],
            "entered": round(v.entered - begun, 6),
            "entry": v.entered_id,
            "exited": None if v.exited is None else round(v.exited - begun, 6),
            "seconds": v.seconds,
            "exit": v.exited_id,
            "changes": [list(c) for c in seen.changes[v.index]],
            "tries": _attempts(v, seen, begun),
            "next": None if v.next is None else clean(v.next),
            "error": v.error,
            **{k: self._text(getattr(v, k)) for k in ("input", "output", "cause")},
        }
        if v.type == "Map":
            out["rounds"] = _rounds(v, seen)
        if given := tracer.variables(v):
            out["variables"] = self._text(compact(given))
        if v.exited_id is not None or v.error is not None:
            known = (v.index, v.exited_id)  # what failed may be redriven, and left after all
            if known not in self.flows and len(self.flows) < FLOWS and len(v.input or "") <= LONGEST:
                self.flows[known] = flow(tracer, v)
            out["flow"] = self.flows.get(known)
        return out

    def _text(self, text: str | None) -> Any:
        """A text, or the beginning of one that is long: {"text", "length"}."""
        if not isinstance(text, str):
            return None
        room = LONGEST if self.left > 0 else BRIEF
        self.left -= min(len(text), room)
        return text if len(text) <= room else {"text": text[:room], "length": len(text)}

    # -- the children of Distributed Maps

    def children(self, seen: Progress, map_runs: Iterable[Any]) -> dict[int, dict[str, Any]]:
        """The Map Runs, each by the visit that started it: counts, a letter for each child's status, some children.

        At most `CHILDREN` of them are told of one by one. Those that failed come with their histories first, then the
        others in order, as long as `SAMPLE` allows; the browser asks for the rest.
        """
        started = {
            history.details(seen.by_id[i]).get("mapRunArn"): v for v in seen.visits if v.type == "Map" for i in v.events
            if seen.by_id[i]["type"] == "MapRunStarted"
        }  # fmt: skip
        out: dict[int, dict[str, Any]] = {}
        for run in map_runs:
            visit = started.get(run.arn)
            if visit is None or visit.pointer is None:
                continue
            try:
                counts, executions = dict(run.execution_counts), run.executions[:CHILDREN]
            except SflabError:  # AWS does not list Express ones, nor any to those who lack the permission
                continue
            words = [child.status for child in executions]
            sent: dict[int, Any] = {}
            room = SAMPLE
            for index in sorted(range(len(words)), key=lambda i: words[i] == "SUCCEEDED"):
                if room <= 0 or len(sent) >= run.unasked:
                    break
                if words[index] not in ("PENDING", "RUNNING"):
                    known = self.ended.get((run.arn, index))
                    if known is None or known["status"] != words[index]:  # it may have been redriven
                        known = self.ended[run.arn, index] = self.child(seen, visit, executions[index])
                    sent[index] = known
                    room -= len(known["steps"]) + 1
            letters = "".join(STATUSES.get(word, "R") for word in words)
            out[visit.index] = {"counts": counts, "statuses": letters, "sent": sent}
        return out

    def child(self, seen: Progress, visit: Visit, execution: Any) -> dict[str, Any]:
        """One child execution, as a run whose pointers are its parent's; ``lost`` says why there is no history."""
        definition = execution.machine.definition
        lost = None
        try:
            events = execution.history.events
        except SflabError as e:
            events, lost = [], str(e)
        writer = Writer(definition, self.layout, prefix=self._inside(visit), context=self.context)
        state = writer.state(
            progress.read(definition, events), title=execution.name, running=execution.status == "RUNNING"
        )
        state["status"] = execution.status
        if lost is not None:
            state["begun"] = seen.by_id[visit.entered_id]["timestamp"].timestamp()
            told = {"input": execution.input_text, "output": execution.output_text, "error": execution.error}
            state["execution"] = {k: self._text(v) for k, v in {**told, "cause": execution.cause}.items()}
            state["lost"] = lost
        return state

    def _inside(self, visit: Visit) -> str:
        inside = f"{self.prefix}{visit.pointer}/"
        scope = next((p for p in self.layout.states if p.startswith(inside)), f"{inside}ItemProcessor/")
        return inside + scope[len(inside) :].partition("/")[0]


def flow(tracer: Retracer, visit: Visit) -> Flow:
    """What each field did to a visit's data: [field, its definition, value | None, new members, in words].

    The value is JSON text; None where the field changed nothing, or gave the same as the input or output.
    """
    out: Flow = []
    for row in stages.rows(tracer.stages(visit), after=visit.next):
        if row.name not in ("input", "output"):
            value = compact(row.value) if row.changed else None
            if value is not None and len(value) > LONGEST:
                value = compact(f"{value[:BRIEF]} … ({len(value):,} characters)")
            fresh = sorted(clean(name) for name in stages.difference(row.before, row.value)) if row.changed else []
            out.append([row.name, row.field, value, fresh, row.words])
    return out


def execution_ends(seen: Progress) -> dict[str, Any]:
    """The execution's own input, output, error and cause."""
    first = history.details(seen.events[0]) if seen.events else {}
    return {"input": first.get("input"), **{k: seen.outcome.get(k) for k in ("output", "error", "cause")}}


def _rounds(visit: Visit, seen: Progress) -> list[list[Any]]:
    """The iterations of an inline Map's last attempt: [index, event it began with, event it ended with, status]."""
    out: dict[int, list[Any]] = {}
    for i in visit.events:
        event = seen.by_id[i]
        what = event["type"].removeprefix("MapIteration")
        if event["type"] == "MapStateStarted":
            length = int(history.details(event).get("length", 0))
            out = {n: [n, None, None, None] for n in range(min(length, 100_000))}
        elif what in ("Started", "Succeeded", "Failed", "Aborted"):
            index = int(history.details(event).get("index", 0))
            row = out.setdefault(index, [index, None, None, None])
            if what == "Started":
                row[1:] = [i, None, None]
            else:
                row[2:] = [i, "CANCELLED" if what == "Aborted" else what.upper()]
    if visit.status != "RUNNING":  # what went on then ended with it, also where no event says so
        end = seen.changes[visit.index][-1][0]
        for row in out.values():
            if row[1] is not None and row[2] is None:
                row[2:] = [end, "CANCELLED"]
    return [out[n] for n in sorted(out)]


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


def patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
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
        "timeline": {**after["timeline"], "visits": _tail(before["timeline"]["visits"], after["timeline"]["visits"])},
        **({"children": after["children"]} if after.get("children") != before.get("children") else {}),
    }


def _tail(before: list[Any], after: list[Any]) -> list[Any]:
    """``[n, rest]``: the first *n* of *before* stay, *rest* comes after them."""
    n = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    return [n, after[n:]]

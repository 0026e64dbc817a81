"""What a history did to the graph, event by event: the one place where events become colours.

`read` turns (definition, events) into lists of changes, each with the id of the event that made it. A picture of the
run after event 17 is the last change of each state with an id of 17 or less; the widget looks that up while somebody
drags the slider, the static picture takes the last change of all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.engine import history

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sflab.asl.model import Definition
    from sflab.engine.history import Event, Visit


class Mark(NamedTuple):
    """From event *id* on, a state looks like this: ``done`` is "7/10" on a Map that is at its eighth item."""

    id: int
    status: str
    visits: int
    retries: int
    done: str = ""


class Move(NamedTuple):
    """At event *id* the execution went from the state at *source* to its neighbour *target* (None: to the end)."""

    id: int
    source: str
    target: str | None
    caught: bool
    visit: int  # the passage through *source* that ended so


@dataclass(slots=True)
class Progress:
    """A history, as the graph shows it; ``changes[v]`` are the (event id, status) pairs of visit ``v``."""

    events: list[Event]
    visits: list[Visit]
    changes: list[list[tuple[int, str]]] = field(default_factory=list)
    states: dict[str, list[Mark]] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    by_id: dict[int, Event] = field(init=False, repr=False)

    @property
    def status(self) -> str:
        """The execution's status: RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED; "" where there is no event."""
        return STATUS.get(self.events[-1]["type"], "RUNNING") if self.events else ""

    @property
    def seconds(self) -> float:
        """Seconds from the first event to the last."""
        return float((self.events[-1]["timestamp"] - self.events[0]["timestamp"]).total_seconds()) if self.events else 0

    @property
    def outcome(self) -> dict[str, Any]:
        """The details of the last event where it ended the execution: output, or error and cause."""
        return history.details(self.events[-1]) if self.events and self.events[-1]["type"] in STATUS else {}

    def __post_init__(self) -> None:
        self.by_id = {e["id"]: e for e in self.events}

    @property
    def over(self) -> bool:
        """Whether the execution has ended: what it has not reached by then, it has skipped."""
        return self.status in STATUS.values()

    @property
    def unreached(self) -> str:
        """What a state is that was never entered: IDLE while that may yet happen, then SKIPPED."""
        return "SKIPPED" if self.over else "IDLE"

    def last(self, pointer: str) -> Mark | None:
        """How the state at *pointer* looks in the end; None if it was never entered."""
        marks = self.states.get(pointer)
        return marks[-1] if marks else None


STATUS = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionAborted": "ABORTED",
}
WORDS = {
    "": "not run",
    "IDLE": "not reached",
    "RUNNING": "running",
    "RETRYING": "waiting to retry",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "TIMED_OUT": "timed out",
    "CAUGHT": "error caught",
    "ABORTED": "aborted",
    "CANCELLED": "cancelled",
    "SKIPPED": "skipped",
}

# A state that stands for several visits (Map iterations) shows the first of these that any of them is in.
_PRECEDENCE = ("RUNNING", "RETRYING", "FAILED", "CAUGHT", "ABORTED", "CANCELLED", "SUCCEEDED")
BEGINS = ("Scheduled", "MapStateStarted", "ParallelStateStarted")
FAILS = ("Failed", "TimedOut", "Aborted")


def read(definition: Definition, events: Iterable[Event]) -> Progress:
    """Follow *events* through *definition*. Raises DefinitionError if they are no history."""
    ordered = history.normalise(list(events))
    progress = Progress(ordered, history.visits(ordered, definition))
    cancelled = _cancelled(progress.visits)
    redriven = [e["id"] for e in ordered if e["type"] == "ExecutionRedriven"]
    progress.changes = [_changes(v, progress, redriven, "CANCELLED" if v.index in cancelled else v.status)
                        for v in progress.visits]  # fmt: skip
    _Tally(progress).run()
    progress.moves = _moves(progress.visits, definition)
    return progress


def _cancelled(visits: list[Visit]) -> set[int]:
    """Return the visits that ended because another branch or iteration failed, not because somebody stopped them."""
    out: set[int] = set()
    for visit in visits:  # outer before inner
        if visit.status == "ABORTED" and visit.context:
            around = visit.context[-1][0]
            if around in out or visits[around].status != "ABORTED":
                out.add(visit.index)
    return out


def _changes(visit: Visit, progress: Progress, redrives: list[int], end: str) -> list[tuple[int, str]]:
    """The statuses of one visit, each with the event that brought it; *end* is the last of them."""
    types = {i: progress.by_id[i]["type"] for i in visit.events}
    tries = [i for i, t in types.items() if t.endswith(BEGINS)]
    redriven = [i for i in redrives if i > visit.entered_id]
    goes_on = max((*types, visit.exited_id or 0))
    out = [(visit.entered_id, "FAILED" if visit.type == "Fail" else "RUNNING")]
    for i, type_ in types.items():
        if type_.endswith(BEGINS) and out[-1][1] != "RUNNING":
            out.append((i, "RUNNING"))
        elif type_.endswith(FAILS) and not type_.startswith("MapIteration"):
            until = next((r for r in redriven if r > i), None)  # what comes after a redrive is no retry
            again = any(t > i and (until is None or t < until) for t in tries)
            final = end if until is None else "FAILED" if out[-1][1] == "FAILED" else "ABORTED"
            out.append((i, "RETRYING" if again else final if _aborts(type_) else "FAILED"))
    for r in redriven:
        before = [status for i, status in out if i < r]
        if (goes_on > r or end == "RUNNING") and before[-1] in ("FAILED", "ABORTED", "CANCELLED"):
            out.append((r, "RUNNING"))
    out.sort(key=lambda change: change[0])
    out = [change for n, change in enumerate(out) if not n or (out[n - 1][1], change[1]) != ("RUNNING", "RUNNING")]
    if visit.exited_id is not None:
        out.append((visit.exited_id, end))
    elif out[-1][1] != end:  # ended by the end of the execution
        out.append((progress.events[-1]["id"], end))
    return out


def _aborts(type_: str) -> bool:
    return type_.endswith("Aborted")


class _Tally:
    """Counts, for each state of the definition, what its visits are doing."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.slots: dict[Any, int] = {}
        self.slot_of: list[int] = []
        self.now: dict[str, dict[int, str]] = {}  # pointer -> slot -> status of its latest visit
        self.counts: dict[str, Counter[str]] = {}
        self.entered: Counter[str] = Counter()
        self.retried: Counter[str] = Counter()
        self.items: dict[int, list[int]] = {}  # Map visit -> [done, length]

    def run(self) -> None:
        """Replay all changes in the order of their events."""
        queue = [(i, v, status) for v, changes in enumerate(self.progress.changes) for i, status in changes]
        queue += self._iterations()
        for i, v, status in sorted(queue, key=lambda q: q[0]):
            visit = self.progress.visits[v]
            if visit.pointer is None:
                continue
            if isinstance(status, str):
                self._become(visit, i, status)
            else:
                self.items[v] = status
            self._note(visit.pointer, v, i)

    def _become(self, visit: Visit, i: int, status: str) -> None:
        pointer = str(visit.pointer)
        slots, counts = self.now.setdefault(pointer, {}), self.counts.setdefault(pointer, Counter())
        slot = self._slot(visit)
        before = slots.get(slot)
        if before is not None:
            counts[before] -= 1
        counts[status] += 1
        slots[slot] = status
        if i == visit.entered_id:
            self.entered[pointer] += 1
        elif before == "RETRYING" and status == "RUNNING":
            self.retried[pointer] += 1

    def _slot(self, visit: Visit) -> int:
        """Where a visit stands: a state entered again in the same iteration takes the place of its earlier visit."""
        while len(self.slot_of) <= visit.index:
            v = self.progress.visits[len(self.slot_of)]
            around = tuple((self.slot_of[outer], n) for outer, n in v.context)
            self.slot_of.append(self.slots.setdefault((v.pointer, around), len(self.slots)))
        return self.slot_of[visit.index]

    def _note(self, pointer: str, v: int, i: int) -> None:
        counts = self.counts.get(pointer, Counter())
        status = next((s for s in _PRECEDENCE if counts.get(s)), "RUNNING")
        done = "/".join(map(str, self.items[v])) if v in self.items else ""
        mark = Mark(i, status, self.entered[pointer], self.retried[pointer], done)
        marks = self.progress.states.setdefault(pointer, [])
        if marks and marks[-1].id == i:
            marks[-1] = mark
        elif not marks or marks[-1][1:] != mark[1:]:
            marks.append(mark)

    def _iterations(self) -> list[tuple[int, int, Any]]:
        """Return [done, length] of every inline Map, as it grows."""
        out: list[tuple[int, int, Any]] = []
        for visit in self.progress.visits:
            if visit.type != "Map":
                continue
            if any(self.progress.by_id[i]["type"] == "MapRunStarted" for i in visit.events):
                continue  # a history does not tell of child executions
            done, length = 0, 0
            for i in visit.events:
                event = self.progress.by_id[i]
                if event["type"] == "MapStateStarted":
                    done, length = 0, int(history.details(event).get("length", 0))
                elif event["type"] == "MapIterationSucceeded":
                    done += 1
                else:
                    continue
                if length:
                    out.append((i, visit.index, [done, length]))
        return out


def _moves(visits: list[Visit], definition: Definition) -> list[Move]:
    """The transitions taken. A Fail state, and what was never left, goes nowhere."""
    final = {p.pointer for p in definition.places() if p.state.get("End") is True or p.state.get("Type") == "Succeed"}
    taken = [
        Move(v.exited_id, v.pointer, v.next, v.status == "CAUGHT", v.index)
        for v in visits
        if v.pointer is not None and v.exited_id is not None and (v.next is not None or v.pointer in final)
    ]
    return sorted(taken, key=lambda m: m.id)

"""Histories: how events are numbered and written, and what can be read back from them.

Theory of operation. While an execution runs, an event is a tuple ``(type, previousEventId, at, *values)`` in a `Log`:
values are JSON values by reference, so that writing an event costs an append. Its number is its place. Only when
somebody reads the log does `Log.events` turn the tuples into AWS's own shape (`SHAPES` says which details a type has)
and the values into JSON text; `Log.json` writes the same events as text at once, by templates, one for each type and
state, that are made of what `Log.events` makes. Two rules of AWS's text are kept there: the text of the input is passed
on verbatim until something rebuilds the value, and a Parallel or Map joins the *texts* of its results (recorded:
``test_parallel_state_nested`` keeps ``[[1, 2, 3], [4, 5, 6]]`` with its spaces inside ``[[[[1, 2, 3], [4, 5, 6]]]]``).

``previousEventId`` is a pointer along the flow of control, so the flow can be read back: `visits` follows it to tell
which passage through which state an event belongs to, inside which Map iteration or Parallel branch, whether the
history was written here, by AWS, or saved by somebody as JSON.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.asl.model import JSON, compact, quote, step
from sflab.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sflab.asl.model import Definition

Event = dict[str, Any]
_Named = tuple[str, str, str, str, str, bool]  # text around timestamp, id, previousEventId, and data or index

_TASK = ("resourceType", "resource")
_STATES = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")

#: type -> (key of the details, members in the order a log entry holds them); a type that is not here has no details.
SHAPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ExecutionStarted": ("executionStartedEventDetails", ("input", "roleArn")),
    "ExecutionSucceeded": ("executionSucceededEventDetails", ("output",)),
    "ExecutionFailed": ("executionFailedEventDetails", ("error", "cause")),
    "ExecutionTimedOut": ("executionTimedOutEventDetails", ("error", "cause")),
    "ExecutionAborted": ("executionAbortedEventDetails", ("error", "cause")),
    "ExecutionRedriven": ("executionRedrivenEventDetails", ("redriveCount",)),
    "EvaluationFailed": ("evaluationFailedEventDetails", ("error", "cause", "location", "state")),
    "TaskScheduled": (
        "taskScheduledEventDetails",
        (*_TASK, "region", "parameters", "timeoutInSeconds", "heartbeatInSeconds", "taskCredentials"),
    ),
    "TaskStarted": ("taskStartedEventDetails", _TASK),
    "TaskSubmitted": ("taskSubmittedEventDetails", (*_TASK, "output")),
    "TaskSucceeded": ("taskSucceededEventDetails", (*_TASK, "output")),
    "TaskFailed": ("taskFailedEventDetails", (*_TASK, "error", "cause")),
    "TaskTimedOut": ("taskTimedOutEventDetails", (*_TASK, "error", "cause")),
    "TaskStartFailed": ("taskStartFailedEventDetails", (*_TASK, "error", "cause")),
    "TaskSubmitFailed": ("taskSubmitFailedEventDetails", (*_TASK, "error", "cause")),
    "LambdaFunctionScheduled": (
        "lambdaFunctionScheduledEventDetails",
        ("resource", "input", "timeoutInSeconds", "taskCredentials"),
    ),
    "LambdaFunctionSucceeded": ("lambdaFunctionSucceededEventDetails", ("output",)),
    "LambdaFunctionFailed": ("lambdaFunctionFailedEventDetails", ("error", "cause")),
    "LambdaFunctionTimedOut": ("lambdaFunctionTimedOutEventDetails", ("error", "cause")),
    "ActivityScheduled": (
        "activityScheduledEventDetails",
        ("resource", "input", "timeoutInSeconds", "heartbeatInSeconds"),
    ),
    "ActivityStarted": ("activityStartedEventDetails", ("workerName",)),
    "ActivitySucceeded": ("activitySucceededEventDetails", ("output",)),
    "ActivityFailed": ("activityFailedEventDetails", ("error", "cause")),
    "ActivityTimedOut": ("activityTimedOutEventDetails", ("error", "cause")),
    "MapStateStarted": ("mapStateStartedEventDetails", ("length",)),
    "MapIterationStarted": ("mapIterationStartedEventDetails", ("name", "index")),
    "MapIterationSucceeded": ("mapIterationSucceededEventDetails", ("name", "index")),
    "MapIterationFailed": ("mapIterationFailedEventDetails", ("name", "index")),
    "MapIterationAborted": ("mapIterationAbortedEventDetails", ("name", "index")),
    "MapRunStarted": ("mapRunStartedEventDetails", ("mapRunArn",)),
    "MapRunFailed": ("mapRunFailedEventDetails", ("error", "cause")),
    "MapRunRedriven": ("mapRunRedrivenEventDetails", ("mapRunArn", "redriveCount")),
    **{f"{s}StateEntered": ("stateEnteredEventDetails", ("name", "input")) for s in _STATES},
    **{f"{s}StateExited": ("stateExitedEventDetails", ("name", "output", "assignedVariables")) for s in _STATES},
}

_DATA = ("input", "output", "parameters")  # the members that are JSON as text
_ABOUT = {name: f"{name}Details" for name in ("input", "output", "assignedVariables")}  # what tells of truncation
_LINES = 256  # events joined at a time: strings that are still in the processor's cache

#: Entering and leaving: the details' key, the member that holds the data, and the one that tells of its truncation.
_PASSAGES = {
    **{f"{s}StateEntered": ("stateEnteredEventDetails", "input", "inputDetails") for s in _STATES},
    **{f"{s}StateExited": ("stateExitedEventDetails", "output", "outputDetails") for s in _STATES},
}
#: What a Map writes of its iterations: the details' key.
_ITERATIONS = {name: key for name, (key, _) in SHAPES.items() if name.startswith("MapIteration")}
#: All of these, where no variables are assigned, have two members: the name, and the data or the index.
_FREQUENT = {name: SHAPES[name][1][:2] for name in (*_PASSAGES, *_ITERATIONS)}


class Joined(list[JSON]):
    """The result of a Parallel or Map state: an array whose text is its members' texts, joined."""

    __slots__ = ()


class Log:
    """The events of one execution, in the order they happened; written by the machine, read by everybody."""

    __slots__ = ("entries", "root", "root_text")

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []
        self.root: JSON = None  # the execution's input: the one value whose text is not ours
        self.root_text = "null"

    def __len__(self) -> int:
        return len(self.entries)

    def write(self, *entry: Any) -> int:
        """Append ``(type, previousEventId, at, *values)`` and return the event's id."""
        self.entries.append(entry)
        return len(self.entries)

    def text(self, value: JSON) -> str:
        """Return the JSON text AWS shows for *value*: compact, but the untouched input verbatim."""
        if value is self.root and isinstance(value, (list, dict)):
            return self.root_text
        if type(value) is Joined and any(v is self.root or type(v) is Joined for v in value):
            return "[" + ",".join([self.text(v) for v in value]) + "]"
        return compact(value)

    def events(self, start: int = 0, stop: int | None = None) -> list[Event]:
        """Events ``start+1 … stop`` as boto3's ``get_execution_history`` gives them (timestamps aware, UTC)."""
        text = _once(self.text)
        at, moment = None, _moment(None)
        out = []
        for number, entry in enumerate(self.entries[start:stop], start + 1):
            type_ = entry[0]
            if entry[2] != at:
                at = entry[2]
                moment = _moment(round(at, 3))  # AWS keeps milliseconds
            event = {"timestamp": moment, "type": type_, "id": number, "previousEventId": entry[1]}
            if type_ in _PASSAGES and len(entry) == 5:  # nine of ten events, by hand
                key, member, about = _PASSAGES[type_]
                event[key] = {"name": entry[3], member: text(entry[4]), about: {"truncated": False}}
            elif type_ in _ITERATIONS:
                event[_ITERATIONS[type_]] = {"name": entry[3], "index": entry[4]}
            elif type_ in SHAPES:
                event[SHAPES[type_][0]] = _details(_told(entry, text, text))
            out.append(event)
        return out

    def json(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        indent: int | None = None,
        default: Callable[[datetime], JSON] = datetime.isoformat,
    ) -> str:
        """Return ``json.dumps({"events": self.events(start, stop)}, …, ensure_ascii=False)``; no event is made for it.

        *default* says how a timestamp is written: ``datetime.isoformat`` as the AWS CLI prints it,
        ``datetime.timestamp`` as the API sends it. Half a surrogate pair stays what it is: encode with
        ``backslashreplace``.
        """
        head, between, tail = _around(indent)
        text = self.text
        data = _once(lambda value: quote(text(value)))  # it is JSON in JSON
        known: dict[tuple[str, str], _Named] = {}

        def named(type_: str, name: str) -> _Named:
            pieces = known[type_, name] = _named(type_, name, indent)
            return pieces

        at, stamp = None, ""
        lines: list[str] = []
        out = []
        for number, entry in enumerate(self.entries[start:stop], start + 1):
            type_, previous = entry[0], entry[1]
            if entry[2] != at:
                at = entry[2]
                stamp = json.dumps(default(_moment(round(at, 3))))
            if len(entry) == 5 and type_ in _FREQUENT:
                a, b, c, d, e, has_data = known.get((type_, entry[3])) or named(type_, entry[3])
                said = data(entry[4]) if has_data else entry[4]
                lines.append(f"{a}{stamp}{b}{number}{c}{previous}{d}{said}{e}")
            else:
                told = _told(entry, data, text)
                first, *rest = _template(type_, tuple(member for member, _ in told), indent)
                holes = (stamp, str(number), str(previous), *(v if m in _DATA else _nested(v, indent) for m, v in told))
                lines.append(first + "".join(map("".join, zip(holes, rest, strict=True))))
            if len(lines) == _LINES:
                out.append(between.join(lines))
                lines.clear()
        out += [between.join(lines)] if lines else []
        if not out:
            return json.dumps({"events": []}, indent=indent)
        out[0] = head + out[0]
        out[-1] += tail
        return between.join(out)


def _once(write: Callable[[JSON], str]) -> Callable[[JSON], str]:
    """Return *write*, but for a value that follows itself: what a state gives, the next one is given."""
    last: JSON = object()
    text = ""

    def once(value: JSON) -> str:
        nonlocal last, text
        if value is not last:
            last, text = value, write(value)
        return text

    return once


def _told(entry: tuple[Any, ...], data: Callable[[JSON], str], text: Callable[[JSON], str]) -> list[tuple[str, Any]]:
    """Return what an event tells, as (member, value): data always, anything else where it is there.

    *data* and *text* say how data and the value of a variable are shown.
    """
    out: list[tuple[str, Any]] = []
    members = SHAPES[entry[0]][1] if entry[0] in SHAPES else ()
    for member, value in zip(members, entry[3:], strict=False):
        if member in _DATA:
            out.append((member, data(value)))
        elif value is not None:
            shown = {name: text(item) for name, item in value.items()} if member == "assignedVariables" else value
            out.append((member, shown))
    return out


def _details(told: list[tuple[str, Any]]) -> Event:
    details: Event = {}
    for member, value in told:
        details[member] = value
        if member in _ABOUT:
            details[_ABOUT[member]] = {"truncated": False}
    return details


def _nested(value: Any, indent: int | None) -> str:
    """Return a member of the details as JSON text, indented as deep as it stands: event, events, all."""
    if isinstance(value, str):
        return quote(value)
    lines = json.dumps(value, indent=indent, ensure_ascii=False)
    return lines.replace("\n", "\n" + " " * 4 * (indent or 0))


@functools.lru_cache(maxsize=4096)
def _named(type_: str, name: str, indent: int | None) -> _Named:
    """Return the template of a frequent event of one state, and whether it has data."""
    a, b, c, d, e, f = _template(type_, _FREQUENT[type_], indent)
    return a, b, c, d + quote(name) + e, f, type_ in _PASSAGES


@functools.lru_cache(maxsize=16)
def _around(indent: int | None) -> list[str]:
    """Return what stands before, between and after the events."""
    return json.dumps({"events": [0, 0]}, indent=indent).split("0")


@functools.lru_cache(maxsize=1024)
def _template(type_: str, members: tuple[str, ...], indent: int | None) -> list[str]:
    """Return the text around what differs in events with such details: timestamp, id, previousEventId, *members*."""
    hole = "?"
    event: Event = {"timestamp": hole, "type": type_, "id": hole, "previousEventId": hole}
    if type_ in SHAPES:
        event[SHAPES[type_][0]] = _details([(member, hole) for member in members])
    head, _, tail = _around(indent)
    text = json.dumps({"events": [event]}, indent=indent)
    return text[len(head) : len(text) - len(tail)].split(json.dumps(hole))


# ── reading histories ────────────────────────────────────────────────────────────────────────────────────────────────


def normalise(source: Any) -> list[Event]:
    """Turn a history in any of the shapes it travels in into boto3's: oldest event first, timestamps aware.

    Accepts a list of events, ``{"events": [...]}`` (the AWS CLI's output), ISO-8601 or epoch timestamps, newest first.

    Raises DefinitionError when *source* is not a history.
    """
    events = source.get("events") if isinstance(source, dict) else source
    if not isinstance(events, list) or not all(
        isinstance(e, dict) and isinstance(e.get("type"), str) and "id" in e for e in events
    ):
        msg = 'this is not an execution history: expected {"events": [{"id": 1, "type": "ExecutionStarted", …}, …]}'
        raise DefinitionError(msg)
    try:
        out = [{**e, "timestamp": _moment(e.get("timestamp")), "id": int(e["id"])} for e in events]
        for e in out:
            e["previousEventId"] = int(e.get("previousEventId", 0))
    except (TypeError, ValueError, OverflowError, OSError) as e:
        msg = f"this is not an execution history: {e}"
        raise DefinitionError(msg) from None
    return sorted(out, key=lambda e: e["id"])


def _index(about: Event) -> int:
    found = about.get("index")
    return found if isinstance(found, int) else 0


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if value is None:
        return datetime.fromtimestamp(0, UTC)
    moment = datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def details(event: Event) -> Event:
    """Return the details of an event, whatever their key; ``{}`` where it has none."""
    for key, value in event.items():
        if key.endswith("Details") and isinstance(value, dict):
            return value
    return {}


@dataclass(slots=True)
class Visit:
    """One passage through a state, from its StateEntered to its StateExited event.

    ``path`` names the Map iterations and Parallel branches around it, outermost first, as (state, index); ``entered``,
    ``exited`` are epoch seconds. ``status`` is RUNNING, SUCCEEDED, FAILED, CAUGHT (failed, and a Catch took it) or
    ABORTED.
    """

    index: int
    state: str
    type: str
    pointer: str | None
    path: tuple[tuple[str, int], ...]
    entered_id: int
    entered: float
    input: str | None
    exited_id: int | None = None
    exited: float | None = None
    status: str = "RUNNING"
    error: str | None = None
    cause: str | None = None
    attempts: int = 0
    output: str | None = None
    next: str | None = None
    events: tuple[int, ...] = ()
    context: tuple[tuple[int, int], ...] = field(default=(), repr=False)  # (visit, index) of what encloses it

    @property
    def seconds(self) -> float | None:
        """Seconds from entering to leaving; None while it lasts."""
        return None if self.exited is None else round(self.exited - self.entered, 6)

    @property
    def caught(self) -> bool:
        """Whether it failed and a Catch took the error."""
        return self.status == "CAUGHT"


class Step(NamedTuple):
    """Which state, and which visit to it, an event belongs to."""

    id: int
    at: float
    type: str
    pointer: str | None
    visit: int | None


def visits(events: Iterable[Event], definition: Definition | None = None) -> list[Visit]:
    """Every passage through a state, in the order of entering; with a *definition*, each knows its ``pointer``."""
    return _Reader(definition).read(events).visits


def owners(
    events: Iterable[Event], definition: Definition | None = None
) -> tuple[list[Event], list[Visit], dict[int, int | None]]:
    """Return the events in order, the visits, and for each event's id the index of the visit it belongs to."""
    reader = _Reader(definition).read(events)
    return reader.events, reader.visits, reader.owner


def steps(events: Iterable[Event], definition: Definition | None = None) -> list[Step]:
    """For every event: when it happened and which state visit it belongs to (None for the execution's own)."""
    read, found, owner = owners(events, definition)
    whose = [(e, owner.get(e["id"])) for e in read]
    return [
        Step(e["id"], e["timestamp"].timestamp(), e["type"], None if at is None else found[at].pointer, at)
        for e, at in whose
    ]


_FAILURES = ("Failed", "TimedOut")
_ABORTED = ("Task", "Wait", "Parallel", "Map")  # the state types that have a …StateAborted event
ENDS = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")


class _Reader:
    """Follows the previousEventIds of one history. One pass; every event is assigned to at most one visit."""

    def __init__(self, definition: Definition | None) -> None:
        self.places = {p.pointer: p for p in definition.places()} if definition else {}
        self.visits: list[Visit] = []
        self.owner: dict[int, int | None] = {}
        self.of: dict[int, list[int]] = {}  # visit -> its events
        self.types: dict[int, str] = {}
        self.indexes: dict[int, int] = {}  # MapIterationStarted id -> iteration index
        self.gone: dict[int, int] = {}  # visits that were aborted, by what failed: nothing that follows is theirs
        self.ended: list[int] = []  # visits that the end of the execution closed
        self.causes: set[int] = set()  # what it ended with: the first event that failed, and those that say so
        self.failure: Visit | None = None
        self.previous: dict[int, int] = {}
        self.broken: set[int] = set()  # Map and Parallel visits whose current attempt has failed
        self.breakers: dict[int, int] = {}  # Map or Parallel visit -> the visit inside that broke it without saying why
        self.branches: dict[int, int] = {}  # ParallelStateStarted id -> branches entered so far
        self.aborting: tuple[int, int] | None = None  # the iteration named by the MapIteration… just read

    def read(self, events: Iterable[Event]) -> _Reader:
        self.events = normalise(list(events))
        for e in self.events:
            self.types[e["id"]], self.previous[e["id"]] = e["type"], e["previousEventId"]
            visit = self._owner(e, details(e))
            self.owner[e["id"]] = visit
            if visit is not None:
                self.of.setdefault(visit, []).append(e["id"])
            self._outcome(e, details(e), visit)
            self.aborting = self._aborted_iteration(e, details(e), visit)
        for v in self.visits:
            v.attempts = v.attempts or 1
            v.events = tuple(self.of.get(v.index, ()))
        return self

    # -- whose event is it

    def _owner(self, e: Event, d: Event) -> int | None:
        type_, prev = e["type"], e["previousEventId"]
        near = self.owner.get(prev)
        if type_.endswith("StateEntered"):
            return self._enter(e, d, near)
        if type_.endswith("StateExited"):
            return self._up(near, lambda v: v.state == d.get("name"))
        if type_ == "EvaluationFailed":
            return next((v.index for v in reversed(self.visits) if v.state == d.get("state") and not v.exited_id), near)
        if type_.startswith("MapIteration"):
            return self._up(near, lambda v: v.type == "Map" and v.state == d.get("name", v.state))
        if type_.endswith("StateAborted"):
            return self._aborted(type_.removesuffix("StateAborted"), near)
        if type_.startswith(("MapState", "ParallelState", "MapRun")):
            kind = "Parallel" if type_.startswith("Parallel") else "Map"
            settled = type_.endswith("Failed")
            return self._up(
                near,
                lambda v: v.type == kind and not (settled and v.index in self.broken),
            )
        return None if type_.startswith("Execution") else near

    def _up(self, near: int | None, wanted: Any) -> int | None:
        """Return the visit itself or the nearest one around it that still goes on and is *wanted*."""
        if near is None:
            return None
        for index in (near, *(i for i, _ in reversed(self.visits[near].context))):
            visit = self.visits[index]
            if visit.exited_id is None and index not in self.gone and wanted(visit):
                return index
        return None

    def _enter(self, e: Event, d: Event, near: int | None) -> int:
        prev, before = e["previousEventId"], self.types.get(e["previousEventId"], "")
        name, kind = str(d.get("name", "")), e["type"].removesuffix("StateEntered")
        context: tuple[tuple[int, int], ...] = ()
        if near is not None:
            context = self.visits[near].context
            if before == "MapIterationStarted":
                context += ((near, self.indexes.get(prev, 0)),)
            elif before == "ParallelStateStarted":
                context += ((near, self._branch(prev, near, name)),)
            elif before.endswith("StateExited"):
                self.visits[near].next = name
        visit = Visit(
            index=len(self.visits),
            state=name,
            type=kind,
            pointer=self._pointer(context, name),
            path=tuple((self.visits[i].state, n) for i, n in context),
            entered_id=e["id"],
            entered=e["timestamp"].timestamp(),
            input=d.get("input"),
            context=context,
        )
        self.visits.append(visit)
        return visit.index

    def _branch(self, started: int, parallel: int, name: str) -> int:
        """Return the branch that begins with *name*; counted in order of entering where no definition tells."""
        nth = self.branches[started] = self.branches.get(started, -1) + 1
        place = self.places.get(self.visits[parallel].pointer or "?")
        if place is None:
            return nth
        starts = [b.get("StartAt") if isinstance(b, dict) else None for b in place.state.get("Branches", ())]
        return starts.index(name) if starts.count(name) == 1 else nth

    def _pointer(self, context: tuple[tuple[int, int], ...], name: str) -> str | None:
        if not context:
            candidates = [f"/States{step(name)}"]
        else:
            outer = self.visits[context[-1][0]].pointer
            inner = (f"Branches/{context[-1][1]}", "ItemProcessor", "Iterator")
            candidates = [f"{outer}/{scope}/States{step(name)}" for scope in inner]
        found = [p for p in candidates if p in self.places]
        return found[0] if found else next((p.pointer for p in self.places.values() if p.name == name), None)

    def _aborted(self, kind: str, near: int | None) -> int | None:
        """Return the visit an unnamed ``…StateAborted`` means.

        A ``MapIterationFailed`` or ``…Aborted`` before it names the iteration. In a Parallel the state that failed
        comes first, then what the other branches stood at; always the innermost first.
        """
        open_ = [v for v in self.visits if v.type in _ABORTED and v.exited_id is None and v.index not in self.gone]
        if self.aborting is None:
            failed = self._failed(near)
            if failed is None:
                return None
            if failed.type == kind and failed in open_:
                return failed.index
            around = {i for i, _ in failed.context[-1:]}
            open_ = [v for v in open_ if around & {i for i, _ in v.context}]
        else:
            open_ = [v for v in open_ if self.aborting in v.context]
        outer = {i for v in open_ for i, _ in v.context}
        innermost = [v for v in open_ if v.type == kind and v.index not in outer]
        return min(innermost, key=lambda v: v.context).index if innermost else None

    def _failed(self, near: int | None) -> Visit | None:
        """Return the visit that failed when *near* had the last event: itself, or what it was the last part of."""
        if near is None:
            return None
        chain = (near, *(i for i, _ in reversed(self.visits[near].context)))
        return next((self.visits[i] for i in chain if self.visits[i].exited_id is None), None)

    def _aborted_iteration(self, e: Event, d: Event, visit: int | None) -> tuple[int, int] | None:
        if e["type"] == "MapIterationStarted":
            self.indexes[e["id"]] = _index(d)
        if e["type"] in ("MapIterationFailed", "MapIterationAborted") and visit is not None:
            return visit, _index(d)
        return self.aborting if e["type"].endswith("StateAborted") else None

    # -- what it says

    def _outcome(self, e: Event, d: Event, index: int | None) -> None:
        type_ = e["type"]
        if type_ in ENDS:
            self._end(e, d)
        if type_ == "ExecutionRedriven":
            self._redriven()
        if index is None:
            return
        visit = self.visits[index]
        if type_.endswith(("Scheduled", "MapStateStarted", "ParallelStateStarted")):
            visit.attempts += 1
            visit.status, visit.error, visit.cause = "RUNNING", None, None
            self.broken.discard(index)
        elif type_.startswith("MapIteration"):
            if type_ == "MapIterationFailed":
                self._broke(e["previousEventId"], index)
        elif type_.endswith(_FAILURES):
            visit.status = "FAILED"
            visit.error, visit.cause = d.get("error", visit.error), d.get("cause", visit.cause)
            self.broken.add(index)
            if type_ in ("MapStateFailed", "ParallelStateFailed"):
                self._broke(e["previousEventId"], index)
                self._inherit(visit, e["previousEventId"])
        elif type_.endswith("StateAborted"):
            self._given_up(visit, e)
        elif type_.endswith("StateExited"):
            visit.status = "CAUGHT" if visit.status == "FAILED" else "SUCCEEDED"
            visit.exited_id, visit.exited = e["id"], e["timestamp"].timestamp()
            visit.output = d.get("output")
        elif type_ == "FailStateEntered":
            visit.status = "FAILED"
            self._declared(visit)

    def _given_up(self, visit: Visit, e: Event) -> None:
        if visit.status == "RUNNING":
            visit.status = "FAILED" if visit is self._failed(self.owner.get(e["previousEventId"])) else "ABORTED"
        visit.exited = e["timestamp"].timestamp()
        self.gone[visit.index] = e["previousEventId"]

    def _inherit(self, visit: Visit, failing: int) -> None:
        """A Map or Parallel state fails with the error of what failed inside it."""
        inner = self.owner.get(failing)
        if inner is not None and inner != visit.index and visit.error is None:
            visit.error, visit.cause = self.visits[inner].error, self.visits[inner].cause

    def _broke(self, failing: int, outer: int) -> None:
        """A state that fails before it acts has no event of its own; what it breaks points at it."""
        inner = self._failed(self.owner.get(failing))
        if inner is not None and inner.index != outer and inner.status in ("RUNNING", "FAILED") and inner.error is None:
            inner.status = "FAILED"
            self.breakers[outer] = inner.index

    def _declared(self, visit: Visit) -> None:
        place = self.places.get(visit.pointer or "?")
        if place is not None:
            visit.error, visit.cause = place.state.get("Error"), place.state.get("Cause")

    def _end(self, e: Event, d: Event) -> None:
        at = e["timestamp"].timestamp()
        visit = self._failed(self.owner.get(e["previousEventId"])) if e["type"] == "ExecutionFailed" else None
        if self.types.get(e["previousEventId"]) == "ExecutionRedriven":  # a Fail state is not entered again
            visit = self.failure
        self.failure, self.ended, self.causes = visit, [], set(self._causes(e))
        if visit is not None:
            visit.status, visit.exited = "FAILED", at
            visit.error, visit.cause = d.get("error"), d.get("cause")
            while (inner := self.breakers.get(visit.index)) is not None and self.visits[inner].error is None:
                visit = self.visits[inner]
                visit.error, visit.cause = d.get("error"), d.get("cause")
        for visit in self.visits:
            if visit.exited is None or visit is self.failure:
                self.ended.append(visit.index)
                visit.exited = at
                visit.status = "ABORTED" if visit.status == "RUNNING" else visit.status

    def _causes(self, e: Event) -> Iterator[int]:
        """The event that failed, reached from the one that ended the execution."""
        after, at = e["id"], e["previousEventId"]
        while at < after and at in self.types:  # in a broken history it may point anywhere
            yield at
            if not self.types[at].endswith(("StateFailed", "EvaluationFailed", "MapRunFailed")):
                return
            after, at = at, self.previous[at]

    def _redriven(self) -> None:
        """What the end of the execution took with it goes on."""
        back = [*self.ended, *(v for v, failing in self.gone.items() if failing in self.causes)]
        for index in back:
            visit = self.visits[index]
            visit.status, visit.exited, visit.error, visit.cause = "RUNNING", None, None, None
            self.gone.pop(index, None)
            self.broken.discard(index)

"""What a state visit did with its time, and which visits the whole execution waited for.

Theory of operation. The events of a visit cut its time into phases: `phases` reads their kinds off the types of the
events on both sides. `critical` walks back from the end: in a Map or Parallel state to the branch or iteration that
ended last (or failed it), along that one to its beginning, and where an iteration could begin only when another had
ended (MaxConcurrency), on along that other. Had any of these visits been shorter, so might have been the execution.

========  =============================================================================================================
kind      what happens
========  =============================================================================================================
work      the task, or Step Functions itself, is at it
job       the job that a ``.sync`` task has submitted runs elsewhere
queued    the task is scheduled and has not started: an activity that no worker has asked for
backoff   an attempt has failed, and the retrier's interval passes
wait      a Wait state
callback  a ``.waitForTaskToken`` task waits for its token to come back
stopped   the execution had ended, and was redriven later
========  =============================================================================================================
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.engine.history import ENDS, details

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sflab.engine.history import Event, Visit

#: The kinds in which nothing is done for the visit.
WAITING = frozenset(("queued", "backoff", "wait", "callback", "stopped"))
#: kind → how it is called.
WORDS = {
    "work": "working",
    "job": "job running",
    "queued": "queued",
    "backoff": "waiting to retry",
    "wait": "waiting",
    "callback": "waiting for its token",
    "stopped": "stopped until the redrive",
}


class Phase(NamedTuple):
    """A part of a visit: ``start`` and ``end`` in epoch seconds, ``attempt`` from 1 (0 before the first).

    ``id`` is the event it begins with, ``error`` the name of the error it ended with.
    """

    kind: str
    start: float
    end: float
    attempt: int
    id: int
    error: str | None = None


def pauses(events: Iterable[Event]) -> list[tuple[float, float]]:
    """Return when an execution stood still until it was redriven, as (from, to) in epoch seconds."""
    out, ended = [], None
    for event in events:
        if event["type"] in ENDS:
            ended = event["timestamp"].timestamp()
        elif event["type"] == "ExecutionRedriven" and ended is not None:
            out.append((ended, event["timestamp"].timestamp()))
    return out


def phases(
    visit: Visit, events: Mapping[int, Event], *, now: float, stops: Sequence[tuple[float, float]] = ()
) -> list[Phase]:
    """Return what *visit* did, in order and without gaps; *events* by id, *now* ends one that still goes on.

    A phase that took no time is left out, unless it ended with an error or the whole visit took none.
    """
    out: list[Phase] = []
    kind, start, id_, attempt = "wait" if visit.type == "Wait" else "work", visit.entered, visit.entered_id, 0
    failed = visit.error if visit.type == "Fail" else None
    for i in visit.events:
        event = events[i]
        became = _becomes(event, kind)
        if became is None:
            continue
        at, error = event["timestamp"].timestamp(), None
        if became == "backoff":
            error = str(details(event).get("error") or visit.error or event["type"])
        out.append(Phase(kind, start, at, attempt, id_, error))
        attempt += event["type"].endswith(_ATTEMPTS)
        kind, start, id_ = became, at, i
    end = now if visit.exited is None else visit.exited
    if kind == "backoff" and visit.exited_id is not None:  # it was left without another attempt
        kind = "work"
    elif kind != "backoff" and visit.status == "FAILED" and failed is None:  # it broke without an event that says so
        failed = visit.error
    out.append(Phase(kind, start, max(start, end), attempt, id_, failed))
    cut = [piece for phase in out for piece in _around(phase, stops)]
    kept = [phase for phase in cut if phase.end > phase.start or phase.error]
    return kept or cut[-1:]


_ATTEMPTS = ("Scheduled", "MapStateStarted", "ParallelStateStarted")
_STARTED = ("TaskStarted", "LambdaFunctionStarted", "ActivityStarted", "StateStarted", "MapRunStarted", "Redriven")


def _becomes(event: Event, kind: str) -> str | None:
    """Return the kind of phase that an event of a visit begins; None if it begins none."""
    type_ = event["type"]
    if type_.startswith("MapIteration"):
        return None
    if type_.endswith("Scheduled"):
        return "queued"
    if type_.endswith(_STARTED):
        return "work"
    if type_ == "TaskSubmitted":
        return "callback" if str(details(event).get("resource", "")).endswith(".waitForTaskToken") else "job"
    if type_.endswith(("Failed", "TimedOut")) and kind != "backoff":
        return "backoff"
    return "work" if type_.endswith("Succeeded") else None


def _around(phase: Phase, stops: Sequence[tuple[float, float]]) -> Iterable[Phase]:
    """Cut out of a phase the time in which the execution had ended."""
    for ended, redriven in stops:
        if phase.start <= ended and redriven <= phase.end and redriven > ended:
            before = phase._replace(end=ended)
            if before.end > before.start:
                yield before
            yield phase._replace(kind="stopped", start=ended, end=redriven, error=None)
            phase = phase._replace(start=redriven)
    yield phase


def waiting(found: Iterable[Phase]) -> float:
    """Return the seconds of the phases in which nothing was done."""
    return sum(phase.end - phase.start for phase in found if phase.kind in WAITING)


# ── what everything waited for ───────────────────────────────────────────────────────────────────────────────────────


def critical(visits: Sequence[Visit], events: Mapping[int, Event]) -> list[int]:
    """Return the indexes of the visits on the critical path, ascending; see above."""
    inside: dict[int, list[Visit]] = {}
    path = []
    for visit in visits:
        if visit.context:
            inside.setdefault(visit.context[-1][0], []).append(visit)
        else:
            path.append(visit.index)  # one after the other, so each of them counts
    owners = {i: v.index for v in visits for i in v.events}
    todo = [i for i in path if i in inside]
    while todo:
        outer = visits[todo.pop()]
        for start, parts, broke in _tries(outer, inside[outer.index], events):
            culprit = owners.get(broke)
            for i in _back(start, parts, {culprit, *(i for i, _ in visits[culprit].context)} if culprit else set()):
                path.append(i)
                if i in inside:
                    todo.append(i)
    return sorted(path)


def _tries(outer: Visit, parts: list[Visit], events: Mapping[int, Event]) -> Iterable[tuple[float, list[Visit], int]]:
    """Split what is inside a Map or Parallel state by its attempts: when each began, and the event that broke it."""
    begins = [i for i in outer.events if events[i]["type"].endswith("StateStarted")]
    ids = [v.entered_id for v in parts]
    for begin, until in zip(begins, [*begins[1:], None], strict=True):
        low, high = bisect_left(ids, begin), len(ids) if until is None else bisect_left(ids, until)
        broke = (i for i in outer.events if begin < i < (until or math.inf) and events[i]["type"].endswith("Failed"))
        if low < high:
            first = next(broke, None)
            by = events[first]["previousEventId"] if first else 0
            yield events[begin]["timestamp"].timestamp(), parts[low:high], by


def _back(start: float, parts: list[Visit], broke: set[int]) -> Iterable[int]:
    """Walk back from the end of an attempt that began at *start* through the visits inside it; *broke* failed it."""
    threads: dict[Any, list[Visit]] = {}
    for visit in parts:
        threads.setdefault(visit.context[-1][1], []).append(visit)
    ended = sorted((v.exited_id, v.index) for v in parts if v.exited_id is not None)
    at = {v.index: v for v in parts}
    last: Visit | None = next((v for v in parts if v.index in broke), None) or _last(parts)
    while last is not None:
        thread = threads[last.context[-1][1]]
        yield from (v.index for v in thread if v.index <= last.index)
        first = thread[0]
        before = bisect_left(ended, (first.entered_id, 0)) if first.entered > start else 0
        last = at[ended[before - 1][1]] if before else None


def _last(parts: list[Visit]) -> Visit:
    """Return the visit that ended an attempt: the one that failed it, one that still goes on, or the last to end."""
    broke = [v for v in parts if v.status == "FAILED"]
    if broke:
        return max(broke, key=lambda v: v.events[-1] if v.events else v.entered_id)
    running = [v for v in parts if v.exited is None]
    return running[-1] if running else max(parts, key=lambda v: (v.exited or 0.0, v.exited_id or 0))

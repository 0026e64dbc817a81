"""The definition an execution's events show: for a history that comes without one, so that it can be drawn.

What did not happen cannot be seen: rules of a Choice, catchers and retriers that took nothing, states nobody entered.
A rebuilt definition is for looking at; it does not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sflab.asl.model import JSON
from sflab.engine.history import Event, Visit, details, normalise, visits

COMMENT = "Rebuilt from the events of an execution: it has what happened, and nothing else."


def outline(events: Iterable[Event]) -> dict[str, JSON]:
    """Return the definition that *events* show, as ASL; ``{"States": {}}`` and a Comment where no state was entered.

    A state has its type, its resource, the error a Fail state gave, the errors its Retry and Catch took, and the
    transitions that were made. A Map has one processor for all its iterations, a Parallel its branches in the order in
    which they were entered.
    """
    read = normalise(list(events))
    found = visits(read)
    return {"Comment": COMMENT, **_scope([v for v in found if not v.context], found, {e["id"]: e for e in read})}


def _scope(here: Sequence[Visit], all_: Sequence[Visit], events: dict[int, Event]) -> dict[str, JSON]:
    """Return StartAt and States of what was visited directly in one scope."""
    states: dict[str, list[Visit]] = {}
    for visit in here:
        states.setdefault(visit.state, []).append(visit)
    start: dict[str, JSON] = {"StartAt": here[0].state} if here else {}
    return {**start, "States": {name: _state(seen, all_, events) for name, seen in states.items()}}


def _state(seen: Sequence[Visit], all_: Sequence[Visit], events: dict[int, Event]) -> JSON:
    kind = seen[0].type
    own = [events[i] for visit in seen for i in visit.events]
    part: Any = _PARTS.get(kind, _nothing)
    state: dict[str, JSON] = {"Type": kind, **part(seen, own, all_, events)}
    taken = list(dict.fromkeys(v.next for v in seen if v.next and not v.caught))
    if kind == "Choice":
        state["Choices"] = [{"Next": name} for name in taken]
    elif taken:
        state["Next"] = taken[0]
    elif kind not in ("Succeed", "Fail") and any(v.exited_id and not v.caught for v in seen):
        state["End"] = True
    retried = [v for v in seen if v.attempts > 1]
    if retried:
        errors = _errors(e for v in retried for e in _failures(v, events)[: v.attempts - 1])
        state["Retry"] = [{"ErrorEquals": errors or ["States.ALL"], "MaxAttempts": max(v.attempts for v in seen) - 1}]
    catches: dict[str, list[str]] = {}
    for v in seen:
        if v.caught and v.next:
            catches.setdefault(v.next, []).append(v.error or "States.ALL")
    if catches:
        state["Catch"] = [{"ErrorEquals": list(dict.fromkeys(e)), "Next": name} for name, e in catches.items()]
    return state


def _failures(visit: Visit, events: dict[int, Event]) -> list[Event]:
    return [events[i] for i in visit.events if events[i]["type"].endswith(("Failed", "TimedOut"))]


def _errors(failed: Iterable[Event]) -> list[JSON]:
    return list(dict.fromkeys(str(details(e)["error"]) for e in failed if details(e).get("error")))


# -- what a type has of its own


def _nothing(*_: Any) -> dict[str, JSON]:
    return {}


def _task(_seen: Sequence[Visit], own: Sequence[Event], *_: Any) -> dict[str, JSON]:
    for event in own:
        said = details(event)
        if event["type"] in ("LambdaFunctionScheduled", "ActivityScheduled"):
            return {"Resource": said.get("resource", ""), **_limits(said)}
        if event["type"] == "TaskScheduled":
            arn = f"arn:aws:states:::{said.get('resourceType', '')}:{said.get('resource', '')}"
            return {"Resource": arn, **_limits(said)}
    return {}


def _limits(said: Event) -> dict[str, JSON]:
    names = {"timeoutInSeconds": "TimeoutSeconds", "heartbeatInSeconds": "HeartbeatSeconds"}
    return {ours: said[theirs] for theirs, ours in names.items() if isinstance(said.get(theirs), int)}


def _fail(seen: Sequence[Visit], *_: Any) -> dict[str, JSON]:
    told = {"Error": seen[-1].error, "Cause": seen[-1].cause}
    return {name: text for name, text in told.items() if text}


def _map(
    seen: Sequence[Visit], own: Sequence[Event], all_: Sequence[Visit], events: dict[int, Event]
) -> dict[str, JSON]:
    mine = {v.index for v in seen}
    inside = [v for v in all_ if v.context and v.context[-1][0] in mine]
    mode = "DISTRIBUTED" if any(e["type"].startswith("MapRun") for e in own) else "INLINE"
    return {"ItemProcessor": {"ProcessorConfig": {"Mode": mode}, **_scope(inside, all_, events)}}


def _parallel(
    seen: Sequence[Visit], _own: Sequence[Event], all_: Sequence[Visit], events: dict[int, Event]
) -> dict[str, JSON]:
    mine = {v.index for v in seen}
    branches: dict[int, list[Visit]] = {}
    for v in all_:
        if v.context and v.context[-1][0] in mine:
            branches.setdefault(v.context[-1][1], []).append(v)
    return {"Branches": [_scope(branches[n], all_, events) for n in sorted(branches)]}


_PARTS = {"Task": _task, "Fail": _fail, "Map": _map, "Parallel": _parallel}

"""What each field of a state did to the data in a visit that has happened.

A history tells what went into a state and what came out, and what its work was given and answered; not what InputPath,
ResultSelector or ResultPath made of that on the way. `Retracer` works that out: the visit is done again as TestState
would do it, with the work's answer taken from the history. Where that gives another output than the one recorded (a
UUID, a part of the context object that the history does not tell), only what was recorded is shown.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, StatesError, read_json
from sflab.engine import history
from sflab.engine.frames import iso
from sflab.engine.teststate import MOCKED, Stage, _compiled, _Test
from sflab.errors import SflabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sflab.asl.model import Definition
    from sflab.asl.program import State
    from sflab.engine.history import Event, Visit

_NOTHING: Any = object()  # what the history does not tell
# What a definition raises that does not validate, or does not fit the history.
_BROKEN = (SflabError, LookupError, TypeError, ValueError, AttributeError, AssertionError, RecursionError)
_WORK = ("Task", "LambdaFunction", "Activity")  # what the events of a Task state's work begin with


@dataclass(slots=True)
class Retracer:
    """Follows visits of one execution; *context* is what is known of the context object (Execution, StateMachine)."""

    definition: Definition
    events: Sequence[Event]
    visits: Sequence[Visit]
    context: Mapping[str, JSON] = field(default_factory=dict)
    by_id: dict[int, Event] = field(init=False)
    assigned: dict[tuple[Any, ...], list[tuple[int, dict[str, JSON]]]] = field(init=False)
    ends: dict[int, dict[int, Visit]] = field(init=False)  # Map or Parallel visit -> index -> the last visit inside
    states: dict[str, tuple[dict[str, JSON], State | None]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.by_id = {e["id"]: e for e in self.events}
        self.assigned, self.ends = {}, {}
        for visit in self.visits:
            if visit.context:
                owner, index = visit.context[-1]
                self.ends.setdefault(owner, {})[index] = visit
            if visit.exited_id is not None and (given := _assigned(self.by_id[visit.exited_id])):
                self.assigned.setdefault(visit.context, []).append((visit.exited_id, given))

    def variables(self, visit: Visit) -> dict[str, JSON]:
        """Return the variables as the state saw them when it was entered: its own scope's and those around it."""
        out: dict[str, JSON] = {}
        for depth in range(len(visit.context) + 1):
            for event_id, given in self.assigned.get(visit.context[:depth], ()):
                if event_id < visit.entered_id:
                    out.update(given)
        return out

    def work(self, visit: Visit) -> tuple[JSON, JSON]:
        """Return what the last attempt of a Task was given, and what it answered; `...` where nobody knows."""
        given: JSON = _NOTHING
        answer: JSON = _NOTHING
        for i in visit.events:
            event, about = self.by_id[i], history.details(self.by_id[i])
            kind = next((k for k in _WORK if event["type"].startswith(k)), None)
            if kind is None or "State" in event["type"]:
                continue
            if event["type"] == f"{kind}Scheduled":
                given, answer = _parsed(about, "parameters" if kind == "Task" else "input"), _NOTHING
            elif event["type"] in (f"{kind}Succeeded", f"{kind}Submitted"):
                answer = _parsed(about, "output")
        return (... if given is _NOTHING else given), (... if answer is _NOTHING else answer)

    def stages(self, visit: Visit) -> tuple[Stage, ...]:
        """Return the stages of a visit's data, from its input to its output; as many as are certain."""
        entered = _parsed(history.details(self.by_id[visit.entered_id]), "input")
        if entered is _NOTHING or visit.pointer is None:
            return ()
        output = _NOTHING
        if visit.exited_id is not None:
            output = _parsed(history.details(self.by_id[visit.exited_id]), "output")
        given, answer = self.work(visit)
        try:
            found = self._retraced(visit, entered, given, answer)
        except _BROKEN:
            found = None
        if found is not None and (output is _NOTHING or found[-1].value == output):
            return found
        named = self._state(visit)[0]
        arguments = "Arguments" if "Arguments" in named else "Parameters"
        known = [
            Stage("input", None, entered, given=False),
            Stage(arguments, named.get(arguments), given, given=arguments in named),
            Stage("result", None, answer, given=False),
            Stage("output", None, output, given=False),
        ]
        return tuple(s for s in known if s.value is not ... and s.value is not _NOTHING)

    def _state(self, visit: Visit) -> tuple[dict[str, JSON], State | None]:
        pointer = str(visit.pointer)
        if pointer not in self.states:
            raw = next((p.state for p in self.definition.places() if p.pointer == pointer), {})
            self.states[pointer] = (raw, None)  # also if it cannot be compiled
            with contextlib.suppress(*_BROKEN):
                self.states[pointer] = (raw, _compiled(self.definition, raw, visit.state))
        return self.states[pointer]

    def _retraced(self, visit: Visit, value: JSON, given: JSON, answer: JSON) -> tuple[Stage, ...] | None:
        state = self._state(visit)[1]
        if state is None:
            return None
        request = {"input": history.details(self.by_id[visit.entered_id])["input"]}
        again = _Again(state, request, _unasked)
        again.value, again.variables, again.given = value, self.variables(visit), self._context(visit)
        again.now, again.chance, again.machine_arn = visit.entered, random.Random(0), ""
        again.recorded, again.mock = given, {"result": ""}  # as if mocked: nothing is asked
        if visit.error is not None:
            again.error = (visit.error, visit.cause)
        elif state.kind in MOCKED:
            if state.kind != "Task":
                answer = self._joined(visit)
            if answer is ...:
                return self._before(again)
            again.mocked = answer
        again.run()
        return tuple(again.stages)

    def _before(self, again: _Again) -> tuple[Stage, ...]:
        """Return the stages up to the work of one that has no answer (yet)."""
        again.error = ("States.TaskFailed", None)
        again.run()
        names = [s.name for s in again.stages]
        return tuple(again.stages[: names.index("error")] if "error" in names else again.stages)

    def _joined(self, visit: Visit) -> JSON:
        """Return the result of a Map or Parallel state: what its iterations or branches gave."""
        inside = sorted(self.ends.get(visit.index, {}).items(), key=lambda pair: pair[0])
        if [index for index, _ in inside] != list(range(len(inside))):
            return ...
        out = []
        for _, last in inside:
            if last.exited_id is None or last.next is not None:
                return ...
            out.append(_parsed(history.details(self.by_id[last.exited_id]), "output"))
        known = not any(value is _NOTHING for value in out)
        return out if known and (inside or visit.output == "[]") else ...

    def _context(self, visit: Visit) -> dict[str, JSON]:
        begun = self.events[0]
        execution = {
            "Input": _parsed(history.details(begun), "input"),
            "StartTime": iso(begun["timestamp"].timestamp()),
            "RoleArn": history.details(begun).get("roleArn"),
        }
        state: dict[str, JSON] = {"Name": visit.state, "EnteredTime": iso(visit.entered)}
        if visit.type in MOCKED:
            state["RetryCount"] = max(visit.attempts - 1, 0)
        about = dict(self.context)
        known = about.get("Execution")
        about["Execution"] = {k: v for k, v in execution.items() if v is not _NOTHING} | (
            known if isinstance(known, dict) else {}
        )
        about["Task"] = {"Token": None}  # where it matters, what was recorded takes its place
        if (index := next((n for i, n in reversed(visit.context) if self.visits[i].type == "Map"), None)) is not None:
            about["Map"] = {"Item": {"Index": index}}
        return about | {"State": state}


class _Again(_Test):
    """A visit done again: its work answers what it answered then, its waits have been waited for."""

    patience = float("inf")
    error: tuple[str, str | None] | None = None
    recorded: JSON = ...

    def outcome(self) -> JSON:
        """Return what the work answered; raises what it failed with."""
        if self.error is not None:
            raise StatesError(*self.error)
        return self.mocked

    def payload(self, *, shown: bool = True) -> JSON:
        """Return what the work was given, as it was recorded."""
        value = super().payload(shown=shown)
        if self.recorded is not ... and self.stages and self.stages[-1].name in ("Parameters", "Arguments"):
            value = self.recorded  # with the task token, say
            self.stages[-1] = self.stages[-1]._replace(value=value)
        return value

    def failed(self, e: StatesError) -> dict[str, Any]:
        """Go to the catchers; raises ValueError where the visit failed in another way."""
        self.settings = {"retrierRetryCount": 10**9}  # what was to be tried again has been
        if self.error is None or e.error != self.error[0]:
            raise ValueError(e.error)  # it did not fail like that
        return super().failed(e)


def _unasked(_command: Any) -> JSON:
    raise StatesError("States.Runtime", "the work is not done again")


def _parsed(about: Mapping[str, Any], member: str) -> JSON:
    """Return the JSON data in a member of an event's details; nothing where it is missing, cut off or no JSON."""
    text = about.get(member)
    if not isinstance(text, str) or (about.get(f"{member}Details") or {}).get("truncated"):
        return _NOTHING
    try:
        return read_json(text)
    except ValueError:
        return _NOTHING


def _assigned(event: Event) -> dict[str, JSON]:
    """Return the variables that a StateExited event assigns."""
    said = history.details(event).get("assignedVariables")
    if not isinstance(said, dict):
        return {}
    out = {name: _parsed({"": text}, "") for name, text in said.items()}
    return {name: value for name, value in out.items() if value is not _NOTHING}

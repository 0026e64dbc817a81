"""Replay, stand at an event, fork, redrive, go on: what can be done with a history, whoever wrote it.

All of it is `sflab.engine.replay` (the execution rebuilt from its history) with a driver and a backend around what
goes on from there. A history from AWS, one saved as JSON and one of a run in this process are the same to it.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON
from sflab.backends.callbacks import ACCOUNT
from sflab.backends.execution import Execution, History, Outcome
from sflab.backends.local import Local, LocalExecution, input_text
from sflab.engine.history import ENDS, Event, details
from sflab.engine.machine import Machine
from sflab.engine.recorded import checked
from sflab.engine.replay import Due, Player, adopt, frames, stand, verify
from sflab.engine.transplant import give, transplant
from sflab.errors import DefinitionError, ReplayError, TaskNotFoundError

if TYPE_CHECKING:
    from sflab.backends.statemachine import StateMachine
    from sflab.engine.frames import Frame
    from sflab.engine.messages import Command


def replay(
    machine: StateMachine,
    history: str | os.PathLike[str] | History | Execution | Sequence[Event] | Mapping[str, Any],
    *,
    name: str | None = None,
    arn: str | None = None,
) -> Replayed:
    """Run a recorded history again and check that *machine* would have produced it, event for event.

    *history* is a file (as `History.save` or ``aws stepfunctions get-execution-history`` writes it), a `History`, an
    execution, or events. Ids, tokens, times, random numbers and the order of what ran at the same time are taken from
    it; the child executions of a Distributed Map are not in it. It may stop anywhere: then the execution is RUNNING,
    and `Replayed.resume` goes on with it. *name* and *arn* are the execution's, where expressions use them.

    Raises ReplayError with ``event_id``, the first event that the definition would not have produced or that the
    history lacks; DefinitionError when the file is no history or the definition does not validate.
    """
    if isinstance(history, (str, os.PathLike)):
        events, known = History.load(history).events, Path(history).name.partition(".")[0]
    elif isinstance(history, Execution):
        events, known, arn = history.history.events, history.name, arn or history.arn
    else:
        events, known = history.events if isinstance(history, History) else history, "replayed"  # type: ignore[assignment]
    events = checked(events if not isinstance(events, Mapping) else dict(events))
    about = _about(machine, arn or _arn(machine, name or known, events))
    return Replayed(machine, verify(machine.program, events, **about), events)


def _arn(machine: StateMachine, name: str, events: Sequence[Event]) -> str:
    region = next((r for e in events if (r := details(e).get("region"))), "us-east-1")
    kind = "execution" if machine.type == "STANDARD" else "express"
    return f"arn:aws:states:{region}:{ACCOUNT}:{kind}:{machine.name}:{name}"


def _about(machine: StateMachine, arn: str) -> dict[str, Any]:
    """Return what a `Machine` is made with, from an execution's ARN."""
    parts = arn.split(":")
    if len(parts) < 7:
        raise DefinitionError(f"{arn!r} is no execution ARN: arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME")
    return {
        "type": machine.type,
        "arn": arn,
        "machine_arn": ":".join([*parts[:5], "stateMachine", parts[6]]),
        "region": parts[3],
    }


class Replayed(Execution):
    """An execution read from a history that its definition would have produced; it never changes."""

    def __init__(self, machine: StateMachine, player: Player, events: list[Event]) -> None:
        text = details(events[0])["input"]
        super().__init__(machine, arn=player.arn, input=text if isinstance(text, str) else json.dumps(text))
        self.recorded = events

    def _events(self, start: int = 0) -> list[Event]:
        return self.recorded[start:]

    def _outcome(self) -> Outcome:
        last = self.recorded[-1]
        if last["type"] not in ENDS:
            return Outcome("RUNNING")
        about = details(last)
        status = {"ExecutionTimedOut": "TIMED_OUT"}.get(last["type"], last["type"].removeprefix("Execution").upper())
        return Outcome(status, about.get("output"), about.get("error"), about.get("cause"))

    def wait(self, timeout: float | None = None) -> Replayed:  # noqa: ARG002 - the base class's signature
        """Nothing: a history does not go on by itself."""
        return self

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Nothing: what is recorded has happened."""

    def resume(
        self,
        local: Local | None = None,
        *,
        functions: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
    ) -> LocalExecution:
        """Go on, here, with an execution whose history stops before its end.

        Tasks that were under way are asked for again, timers go on counting. Raises ReplayError when it has ended.
        """
        if self.recorded[-1]["type"] in ENDS:
            raise ReplayError(
                f"event {len(self.recorded)}: the execution has ended ({self.status}); redrive it, or fork it at an "
                "earlier event",
                len(self.recorded),
            )
        about = _about(self.machine, self.arn)
        machine = Machine(self.machine.program, **about)
        due = adopt(machine, stand(self.machine.program, self.recorded, **about))
        return _go(self.machine, machine, _backend(self, local, functions, tasks), due, machine.proceed)


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _backend(
    run: Execution, local: Local | None, functions: Mapping[str, Any] | None, tasks: Mapping[str, Any] | None
) -> Local:
    """Return the backend that does the tasks: *local* or the run's own, with *functions* and *tasks* laid over it."""
    base = local or getattr(run, "local", None) or Local()
    if not functions and not tasks:
        return base
    made = copy.copy(base)
    made.functions, made.tasks = {**base.functions, **(functions or {})}, {**base.tasks, **(tasks or {})}
    return made


def _go(
    machine: StateMachine, run: Machine, local: Local, due: Sequence[Due], first: Callable[[], list[Command]]
) -> LocalExecution:
    """Make a local execution of *run*, and let it go on."""
    execution = local.adopt(machine, run, due=due, first=first)
    local.executions.append(execution)
    return execution


def redrive(
    run: Execution,
    local: Local | None = None,
    *,
    functions: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> LocalExecution:
    """Redrive *run*, here: what `Execution.redrive` does."""
    backend = _backend(run, local, functions, tasks)
    if isinstance(run, LocalExecution):
        return _again(run, backend, at)
    about = _about(run.machine, run.arn)
    machine = Machine(run.machine.program, seed=f"{backend.seed}/{run.arn}", **about)
    adopt(machine, verify(run.machine.program, checked(run.history.events), **about))
    commands = machine.redrive(machine.now if at is None else at.timestamp())
    return _go(run.machine, machine, backend, (), lambda: commands)


def _again(run: LocalExecution, backend: Local, at: datetime | None) -> LocalExecution:
    """Redrive an execution of this process: it is the same one afterwards."""
    machine, before = run.run, (run.run, run.drive, run.local)
    saved = pickle.dumps(machine)
    commands = machine.redrive(machine.now if at is None else at.timestamp())
    try:
        backend.adopt(run.machine, machine, first=lambda: commands, execution=run)
    except TaskNotFoundError:  # it shall be possible to bind the task and redrive again
        run.run, run.drive, run.local = pickle.loads(saved), *before[1:]  # noqa: S301 - pickled above
        raise
    return run


def fork(
    run: Execution,
    at: int,
    machine: StateMachine | None = None,
    *,
    input: JSON = ...,
    local: Local | None = None,
    functions: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> LocalExecution:
    """Go on from an event of *run* as a new execution: what `Execution.fork` does."""
    events = checked(run.history.events)
    event = _event(events, at)
    if event["type"] in ENDS:
        raise ReplayError(f"event {at}: the execution ended there; fork it at an earlier event, or redrive it", at)
    anew = event["type"].endswith("StateEntered") and input is not ...
    kept = events[: at - 1 if anew else at]
    old, new = run.machine, machine or run.machine
    backend = _backend(run, local, functions, tasks)
    player = stand(old.program, kept, **_about(old, run.arn))
    if machine is not None:
        transplant(player, new.program)
    if input is not ...:
        give(player, json.loads(input_text(input)))
    arn = ":".join([*run.arn.split(":")[:5], "execution" if new.type == "STANDARD" else "express"])
    number = sum(e.name.startswith(f"{run.name}-fork-{at}") for e in backend.executions) + 1
    default = f"{run.name}-fork-{at}" + (f"-{number}" if number > 1 else "")
    about = _about(new, f"{arn}:{new.name}:{name or default}")
    fresh = Machine(new.program, seed=f"{backend.seed}/{about['arn']}", **about)
    due = adopt(fresh, player)
    return _go(new, fresh, backend, due, fresh.proceed)


def _event(events: Sequence[Event], at: int) -> Event:
    if not isinstance(at, int) or isinstance(at, bool) or not 1 <= at <= len(events):
        raise ReplayError(f"there is no event {at!r}: the history has the events 1 to {len(events)}")
    return events[at - 1]


# ── standing at an event ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one frame stands: the execution itself, a Parallel branch or a Map iteration.

    ``path`` names what is around it, outermost first, as (state, index). ``waits`` says in words what it waits for or
    does next; ``input`` is what its state was given, ``variables`` what it sees.
    """

    path: tuple[tuple[str, int], ...]
    state: str
    type: str
    pointer: str
    since: datetime
    attempt: int
    waits: str
    input: JSON
    variables: dict[str, JSON]

    def __repr__(self) -> str:
        where = "".join(f"{state}[{index}] / " for state, index in self.path)
        return f"{where}{self.state} ({self.type}): {self.waits}"


class Moment:
    """An execution as it stood after one event; as a cell's value it draws the graph up to there.

    ``event`` is that event, ``history`` what had happened, ``frames`` where each thread of control stood. ``state``,
    ``input`` and ``variables`` are those of the frame that the event belongs to.
    """

    def __init__(self, machine: StateMachine, events: list[Event], standing: Sequence[Standing], own: int) -> None:
        self.machine, self.event = machine, events[-1]
        self.history = History(events, machine.definition)
        self.frames = tuple(standing)
        self._own = self.frames[own] if self.frames else None

    @property
    def state(self) -> str | None:
        """The state that the event's frame stands at; None once the execution has ended."""
        return self._own.state if self._own else None

    @property
    def input(self) -> JSON:
        """What that state was given."""
        return self._own.input if self._own else None

    @property
    def variables(self) -> dict[str, JSON]:
        """The variables that state sees."""
        return self._own.variables if self._own else {}

    def __repr__(self) -> str:
        head = f"{self.machine.name} after event {self.event['id']}, {self.event['type']}"
        return "\n  ".join([f"{head}:", *map(repr, self.frames)]) if self.frames else f"{head}: it has ended"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.graph import mimebundle

        return mimebundle(self.machine.definition, self.history.events, headline=repr(self))


def moment(run: Execution, event_id: int) -> Moment:
    """Return *run* as it stood after an event: what `Execution.at` does."""
    events = checked(run.history.events)
    _event(events, event_id)
    events = events[:event_id]
    player = stand(run.machine.program, events, **_about(run.machine, run.arn))
    if player.status != "RUNNING":
        return Moment(run.machine, events, (), 0)
    there = [f for f in frames(player.root) if f.entered_id or f is player.root]
    own = max(range(len(there)), key=lambda i: (there[i].last <= event_id and there[i].last, i))
    return Moment(run.machine, events, [_standing(player, f) for f in there], own)


def _standing(player: Player, frame: Frame) -> Standing:
    since = datetime.fromtimestamp(frame.entered_at or player.now, UTC)
    state = frame.state
    return Standing(
        frame.path, state.name, state.kind, state.pointer, since, frame.attempt, _waits(player, frame), frame.input,
        dict(frame.variables),
    )  # fmt: skip


def _waits(player: Player, frame: Frame) -> str:
    """Say what *frame* waits for, or does next."""
    verb, args = next(((v, a) for v, f, a in player.agenda if f is frame), ("", ()))
    match verb:
        case "_enter":
            return f"about to enter {args[0].name}"
        case "_resume" | "_select":
            return "about to do its work"
        case "_finish":
            return "at its end"
        case "_succeed" | "_leave" | "_join":
            return "about to leave"
        case "_fail":
            return f"has failed: {args[0].error}"
        case "_dispatch":
            return f"a task that is scheduled: {frame.state.raw.get('Resource')}"
    if frame.children:
        return f"waits for {len(frame.children)} of {len(frame.results)}"
    verbs = {player.waits[t][1]: t for t in frame.waiting if t in player.waits}
    if "_task" in verbs:
        return f"waits for {frame.state.raw.get('Resource')}" + (
            f", attempt {frame.attempt}" if frame.attempt > 1 else ""
        )
    if frame.map_run is not None:
        return f"waits for its map run of {frame.map_run.items} items"
    timer = verbs.get("_waited") or verbs.get("_attempt")
    if timer is not None:
        command, at = player.issued[timer]
        due = datetime.fromtimestamp(at + command.seconds, UTC).isoformat(timespec="milliseconds")  # type: ignore[union-attr]
        return f"waits until {due}" if "_waited" in verbs else f"is retried at {due}"
    return "waits"

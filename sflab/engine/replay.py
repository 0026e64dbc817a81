"""An execution rebuilt from its history: the machine run again, with the history for a world.

Theory of operation. A `Player` is a machine that takes one step at a time, and always the one that the next recorded
event shows: an item of its agenda, or the reply or timer that somebody waits for. It is found by the previousEventId,
which names the frame. What the step writes is looked up in the history (`Recorded`). States that take no time are
walked one by one, so that the player can stop after any event; then its frames, agenda and waits are the execution as
it stood there, and `adopt` gives them to a machine that goes on.

The child executions of a Distributed Map write nothing into their parent's history: a player waits for the map run to
end, and takes what the Map gave from its StateExited event.

A redrive takes back the wave of events with which the execution failed. Before an ExecutionRedriven event that wave is
passed over, which leaves the frames alive that it aborted, and the redrive is done to them (`sflab.engine.redrive`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.asl import dataflow
from sflab.asl.model import JSON, StatesError
from sflab.asl.program import Program, State, matches
from sflab.engine.history import ENDS, Event, details
from sflab.engine.items import Items
from sflab.engine.machine import Machine
from sflab.engine.messages import (
    Command,
    Reply,
    TaskFailed,
    TaskStarted,
    TaskSubmitted,
    TaskSucceeded,
)
from sflab.engine.recorded import Continued, Recorded, checked, parsed, uses_chance
from sflab.errors import ReplayError

if TYPE_CHECKING:
    from sflab.asl.mapstate import Access
    from sflab.engine.frames import Frame, Run

_TASK_EVENT = re.compile(
    r"(?:Task|LambdaFunction|Activity)"
    r"(Started|Submitted|Succeeded|Failed|TimedOut|ScheduleFailed|StartFailed|SubmitFailed)"
)
_WAVE = ("StateAborted", "StateFailed", "MapIterationFailed", "MapIterationAborted", "EvaluationFailed", "MapRunFailed")
_VAIN = ("MapStateSucceeded", "ParallelStateSucceeded", "MapRunSucceeded")
_REFUSED = re.compile(r"The activity \S+ does not exist\.|could not be used to start the Task")  # (recorded: 2)


class Player(Machine):
    """A machine that lives a recorded history again; make one with `stand`."""

    __slots__ = ("issued", "record", "touchy")

    def __init__(self, program: Program, record: Recorded, **about: Any) -> None:
        super().__init__(program, **about)
        self.record = record
        self.issued: dict[int, tuple[Command, float]] = {}  # by token; when it was given out
        self.touchy: dict[str, bool] = {}  # pointer -> whether the state uses chance
        run = self.root.run
        run.log = self.root.log = record
        started = record.recorded[0]
        run.role_arn = details(started).get("roleArn", run.role_arn)
        self.now = started["timestamp"].timestamp()
        self.ends += self.now

    def follow(self) -> None:
        """Live through the history. Raises ReplayError at the first event that the definition would not produce."""
        text = details(self.record.recorded[0])["input"]
        value = parsed(text)
        self.root.size = dataflow.size(value)
        self._launch(self.root, value, text if isinstance(text, str) else json.dumps(text))
        while (event := self.record.next()) is not None:
            self.now = max(self.now, event["timestamp"].timestamp())
            while not self.record.taken[event["id"]]:
                if not self._step(event):
                    raise self.record.divergence(event)
                self._note()
            self._settle()
        self._ended_runs()

    def _redrive(self, at: float) -> None:
        self._ended_runs()
        super()._redrive(at)

    def _ended_runs(self) -> None:
        """A map run that succeeded, though its Map failed after it, is not redriven: a new one is started."""
        done = {e["previousEventId"] for e in map(self._recorded, self.record.passed) if e["type"] == "MapRunSucceeded"}
        for frame in frames(self.root):
            if frame.map_run is not None and frame.last in done:
                frame.map_run.status = "SUCCEEDED"

    def _recorded(self, number: int) -> Event:
        return self.record.recorded[number - 1]

    # -- one step

    def _step(self, event: Event) -> bool:
        """Do what brings *event* nearer; False if nothing is left that could."""
        kind, about = event["type"], details(event)
        if kind == "ExecutionAborted":
            self._close(self.root, "ABORTED", kind, 0, StatesError(about.get("error"), about.get("cause")))
        elif kind == "ExecutionTimedOut":
            if self.root.run.type == "STANDARD" and not self.root.deadline and self.now < self.ends:
                return False
            self._expire(self.root)
        elif kind == "ExecutionRedriven":
            self._redrive(self.now)
        elif (item := self._item(event)) is not None:
            self._run(item)
        elif (frame := self._waiting(event["previousEventId"])) is not None and not self._answer(event, frame):
            return False
        elif frame is None:
            if not self.agenda:
                return False
            self._run(0)
        return True

    def _item(self, event: Event) -> int | None:
        """Return the place in the agenda of what writes *event*."""
        kind, previous, about = event["type"], event["previousEventId"], details(event)
        other = None
        for i, (verb, frame, args) in enumerate(self.agenda):
            if kind == "EvaluationFailed":  # points at where the state was entered, or further back
                if frame.state.name == about.get("state") and verb not in ("_enter", "_select"):
                    return i
                continue
            if frame.last != previous and not (verb == "_child_failed" and args[0].last == previous):
                continue
            if kind.endswith("StateEntered") and verb in ("_enter", "_select"):
                enters = args[0].name
                if enters != about.get("name"):
                    other = i if other is None else other
                    continue
            return i
        return other

    def _run(self, item: int) -> None:
        verb, frame, args = self.agenda[item]
        del self.agenda[item]
        if frame.status == "RUNNING":
            self._at(frame)
            if verb == "_resume" and (refused := self._refused(frame)) is not None:
                self._fail(frame, refused)
            else:
                getattr(self, verb)(frame, *args)

    def _refused(self, frame: Frame) -> StatesError | None:
        """Return the error of a task that AWS did not schedule for a reason that no definition shows."""
        failed = self.record.peek("ExecutionFailed", frame.last) if frame.state.kind == "Task" else None
        about = details(failed) if failed else {}
        return StatesError(about.get("error"), about["cause"]) if _REFUSED.search(about.get("cause", "")) else None

    def _at(self, frame: Frame) -> None:
        """Note whether what *frame* writes next may differ from what is recorded."""
        states = [frame.state] if frame.parent is None else [frame.state, frame.parent.state]
        self.record.loose = any(self._touchy(state) for state in states)

    def _touchy(self, state: State) -> bool:
        if state.pointer not in self.touchy:
            self.touchy[state.pointer] = uses_chance(state.raw)
        return self.touchy[state.pointer]

    def _waiting(self, previous: int) -> Frame | None:
        return next((f for f, verb in self.waits.values() if f.last == previous and verb != "_expire"), None)

    def _answer(self, event: Event, frame: Frame) -> bool:
        """Give *frame* what it waits for, as *event* says it came."""
        kind, about = event["type"], details(event)
        verbs = {self.waits[token][1]: token for token in frame.waiting if token in self.waits}
        self._at(frame)
        if "_task" in verbs and (task := _TASK_EVENT.fullmatch(kind)):
            return self._task_answer(task[1], event, frame, verbs)
        if kind in ("MapRunSucceeded", "MapRunFailed") and frame.map_run is not None:
            self._release(frame)
            if kind == "MapRunSucceeded":
                self._map_run_over(frame)
            else:
                self._map_run_failed(frame, StatesError(about.get("error"), about.get("cause")))
            return True
        timer = verbs.get("_waited") or verbs.get("_attempt")
        if timer is None:
            return False
        verb = self.waits.pop(timer)[1]
        frame.waiting = ()
        self._later(verb, frame)
        return True

    def _task_answer(self, what: str, event: Event, frame: Frame, verbs: Mapping[str, int]) -> bool:
        about, token = details(event), verbs["_task"]
        error, cause = about.get("error"), about.get("cause")
        reply: Reply
        match what:
            case "Started":
                reply = TaskStarted(token, about.get("workerName"))
            case "Submitted" | "Succeeded":
                cut = (about.get("outputDetails") or {}).get("truncated")
                if "output" not in about or cut:
                    lost = "was cut off when the history was read" if cut else "is not in the history"
                    raise ReplayError(
                        f"event {event['id']}: the output of {event['type']} {lost}; replay needs it whole", event["id"]
                    )
                made = TaskSubmitted if what == "Submitted" else TaskSucceeded
                reply = made(token, parsed(about["output"]))
            case "Failed":
                reply = TaskFailed(token, error, cause)
            case "TimedOut" if "_timed_out" not in verbs:
                return False
            case _:  # timed out, in the history's own words; or never begun, which only AWS can say
                self._release(frame)
                named = [about[name] for name in ("resourceType", "resource") if name in about]
                frame.last = self.record.write(event["type"], frame.last, self.now, *named, error, cause)
                missing = "" if what == "TimedOut" else None
                self._later("_fail", frame, StatesError(error, missing if cause is None else cause))
                return True
        self._task_replied(reply, frame)
        return True

    def _settle(self) -> None:
        """Do at once what writes no event but looks at the clock, so that it is done when it was."""
        again = True
        while again:
            again = False
            for i, (verb, frame, args) in enumerate(self.agenda):
                if frame.status == "RUNNING" and self._silent(verb, frame, args):
                    self._run(i)
                    again = True
                    break
        self._note()

    def _silent(self, verb: str, frame: Frame, args: tuple[Any, ...]) -> bool:
        if verb == "_resume":
            return frame.state.kind == "Wait" and frame.last not in self.record.doomed
        if verb == "_dispatch":
            return frame.state.resource is not None and frame.state.resource.kind == "activity"
        return verb == "_fail" and _retried(frame, args[0])

    def _note(self) -> None:
        for command in self.commands:
            self.issued[command.token] = (command, self.now)
        self.commands.clear()

    # -- what a machine does in one go, step by step

    def _enter(self, frame: Frame, state: State, value: JSON) -> None:
        if len(self.record) >= frame.run.cap:
            self._overflow(frame)
            return
        frame.state, frame.input = state, value
        frame.last = frame.entered_id = self.record.write(state.entered, frame.last, self.now, state.name, value)
        frame.input = self._adopted(frame, 1, value)
        frame.entered_at = self.record.moment
        frame.attempt, frame.retries = 0, None
        self._later("_resume", frame)

    def _leave(self, frame: Frame, after: str | None, value: JSON, assigned: dict[str, JSON] | None = None) -> None:
        values = (value,) if assigned is None else (value, assigned)
        state = frame.state
        frame.last = self.record.write(state.exited, frame.last, self.now, state.name, *values)
        value = self._adopted(frame, 1, value)
        if assigned is not None:
            frame.variables = {**frame.variables, **self._adopted(frame, 2, assigned)}
        frame.task_token = None
        if after is not None:
            self._later("_enter", frame, frame.program.states[after], value)
        elif frame.parent is not None and frame.parent.state.kind == "Parallel":
            self._finish(frame, value)  # of which a history says nothing
        else:
            self._later("_finish", frame, value)

    def _adopted(self, frame: Frame, nth: int, value: Any) -> Any:
        """Return the recorded value, which is *value* itself where they are equal."""
        values = self.record.values
        if nth >= len(values) or values[nth] is value:
            return value
        frame.size = None
        return values[nth]

    # -- Distributed Maps

    def _items(self, frame: Frame, items: Items) -> None:
        if frame.map_run is not None:
            frame.map_run.arn, frame.map_run.items = self.record.values[0], len(items.values)
        frame.waiting = (self._token(frame, "_children"),)

    def _redrive_items(self, frame: Frame) -> None:
        self._items(frame, Items.of([]))

    def _ask(self, frame: Frame, kind: str, access: Access, parameters: JSON, config: JSON) -> None:
        if frame.map_run is not None:
            frame.map_run.arn = self.record.values[0]
        super()._ask(frame, kind, access, parameters, config)
        self.commands.pop()  # nobody is asked

    def _map_run_over(self, frame: Frame) -> None:
        """The map run succeeded: go on with what the Map is recorded to have given."""
        began, run = frame.last, frame.map_run
        ended = self.record.write("MapRunSucceeded", began, self.now)
        frame.results, frame.size = [], None
        if run is not None:
            run.status = "SUCCEEDED"
        frame.map_run = None
        left = self.record.peek("MapStateExited", began, ended)
        if self.record.peek("MapStateSucceeded", ended) is not None:
            self.record.write("MapStateSucceeded", ended, self.now)
        elif self.record.over and left is None:
            frame.last = ended
        frame.item = None
        if left is not None:
            about = details(left)
            assigned = about.get("assignedVariables")
            known = None if assigned is None else {name: parsed(text) for name, text in assigned.items()}
            self._leave(frame, frame.state.next, parsed(about.get("output")), known)
            return
        wrong = next((e for e in self.record.recorded[ended:] if e["type"] in ("EvaluationFailed", *ENDS)), None)
        if wrong is None or wrong["type"] == "ExecutionAborted":
            self._later("_resume", frame)  # a history that stops just here: the Map is done again
        else:
            self._fail(frame, StatesError(details(wrong).get("error"), details(wrong).get("cause")))


def _retried(frame: Frame, e: StatesError) -> bool:
    """Whether the state is going to be retried after *e*."""
    for i, retrier in enumerate(frame.state.retriers):
        if matches(retrier.errors, e.error):
            return (frame.retries or [0] * len(frame.state.retriers))[i] < retrier.attempts
    return False


# ── what people ask for ──────────────────────────────────────────────────────────────────────────────────────────────


def verify(program: Program, history: Any, **about: Any) -> Player:
    """Live through *history* and return the player at its end.

    *about* are the keywords of `Machine`. Raises ReplayError with the first event that *program* would not produce.
    """
    events = checked(history)
    for number, event in enumerate(events):
        if event["type"] == "ExecutionRedriven" and number:  # each attempt's failure, before it is passed over
            _played(program, events[:number], **about)
    return _played(program, events, **about)


def stand(program: Program, history: Any, *, redriving: bool = False, **about: Any) -> Player:
    """Return the execution as it stood after the last event of *history*.

    With *redriving*, as it stood before what ended it: with every frame alive that the end aborted.
    """
    return _played(program, checked(history), redriving=redriving, **about)


def _played(program: Program, events: Sequence[Event], *, redriving: bool = False, **about: Any) -> Player:
    passed: set[int] = set()
    doomed: set[int] = set()
    for number, event in enumerate(events):
        after = events[number + 1]["type"] if number + 1 < len(events) else "ExecutionRedriven" if redriving else ""
        if event["type"] in ENDS and after == "ExecutionRedriven":
            gone, sources = wave(events, number)
            passed |= gone
            doomed |= sources
    record = Recorded(events, passed, doomed, over=False if redriving else None)
    player = Player(program, record, **about)
    player.follow()
    return player


def wave(events: Sequence[Event], end: int) -> tuple[set[int], set[int]]:
    """Return the ids of the events with which an execution ended at *end* (an index), and of what they point at."""
    passed, sources = {events[end]["id"]}, set()
    previous = events[end]["previousEventId"] if events[end]["type"] == "ExecutionFailed" else 0
    while previous:
        cause = events[previous - 1]
        sources.add(previous)
        if not cause["type"].endswith(("StateFailed", "EvaluationFailed", "MapRunFailed")):
            break
        passed.add(previous)
        if cause["type"] == "EvaluationFailed":
            name = details(cause).get("state")
            entered = [e["id"] for e in events[: previous - 1] if details(e).get("name") == name]
            sources.update(entered[-1:])
        previous = cause["previousEventId"]
    for event in events[:end]:
        if event["previousEventId"] in sources and event["type"].endswith(_WAVE):
            passed.add(event["id"])
        elif event["previousEventId"] in sources and event["type"].endswith(_VAIN) and event["id"] > max(sources):
            passed.add(event["id"])  # its work was done, but its output could not be made
            sources.add(event["id"])
    return passed, sources


def frames(root: Frame) -> Iterator[Frame]:
    """Yield every frame of the tree, outer before inner, in the order of their indexes."""
    todo = [root]
    while todo:
        frame = todo.pop()
        yield frame
        todo += [child for _, child in sorted(frame.children.items(), reverse=True)]


class Due(NamedTuple):
    """A command that was given out and not answered: when, and what the history already has of the task."""

    at: float
    command: Command
    seen: str  # "", Started or Submitted


def adopt(machine: Machine, player: Player, run: Run | None = None) -> list[Due]:
    """Give *machine* the frames of *player*, and return what they wait for.

    They become frames of the machine's own run, or of *run* (a child execution's); its log goes on from the history.
    """
    record, old = player.record, player.root.run
    new = machine.root.run if run is None else run
    if run is None:
        machine.root = player.root
    log = Continued(record.recorded, record.ahead)
    log.root, log.root_text = record.root, record.root_text
    new.log, new.input, new.started_at, new.role_arn = log, old.input, old.started_at, old.role_arn
    new.status, new.result, new.error, new.cause = old.status, old.result, old.error, old.cause
    new.redrives, new.redriven_at = old.redrives, old.redriven_at
    everybody = [*frames(player.root), *(f for _, f, _ in player.agenda), *(f for f, _ in player.waits.values())]
    for frame in everybody:
        frame.machine, frame.run, frame.log = machine, new, log
    shift = machine.sequence
    machine.sequence += player.sequence
    due = []
    for token, (frame, verb) in sorted(player.waits.items()):
        if verb in ("_children", "_items_read", "_results_written"):
            machine.agenda.append(("_redrive_items", frame, ()))
            frame.waiting = ()
            continue
        machine.waits[token + shift] = (frame, verb)
        command, at = player.issued[token]
        if verb == "_timed_out" and token == frame.waiting[2]:
            at = player.now  # heartbeats leave no trace in a history: they are counted anew
        due.append(Due(at, replace(command, token=token + shift), _seen(log, frame)))
    for frame in {id(f): f for f in everybody}.values():
        frame.waiting = tuple(token and token + shift for token in frame.waiting)
        frame.deadline = frame.deadline and frame.deadline + shift
        if frame.map_run is not None:
            known = next((m for m in machine.map_runs if m.arn == frame.map_run.arn), None)
            if known is None:
                machine.map_runs.append(frame.map_run)
            else:
                frame.map_run = known
    machine.agenda.extend(player.agenda)
    machine.now, machine.ends = max(machine.now, player.now), player.ends
    return due


def _seen(log: Continued, frame: Frame) -> str:
    kind = str(log.entries[frame.last - 1][0]) if frame.last else ""
    return "Submitted" if kind.endswith("Submitted") else "Started" if kind == "ActivityStarted" else ""


def resume(program: Program, history: Any, **about: Any) -> tuple[Machine, list[Due]]:
    """Rebuild an execution that has not ended, to go on after the last event of *history*.

    Returns the machine and what was under way: tasks that were scheduled and not answered, timers that have not fired.
    Before replies are given to the machine, ``machine.proceed()`` does what the history stops short of.
    """
    machine = Machine(program, **about)
    return machine, adopt(machine, stand(program, history, **about))

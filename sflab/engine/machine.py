"""One execution of a state machine, without a clock, a thread or a socket.

Theory of operation. The machine is told what happened and answers with what to do:

    machine.start(input, at)  .reply(reply, …, at=)  .stop(…)  .redrive(at)   ──▶  [ScheduleTask, StartTimer, …]

A `Frame` is one thread of control (the execution itself, a Parallel branch, a Map iteration): plain data that says
where it stands and what it waits for. The tree of frames and the log *are* the execution; both pickle, so that an
execution can be saved between any two replies and goes on to the same history. Work to be done stands in one
first-in-first-out agenda as (verb, frame, arguments); a frame never calls another frame, and states that take no
time loop in `_enter` instead of recursing. Frames waiting for the world stand in ``waits`` as token -> (frame,
verb): resumed by name, never by closure. A reply to a token that is not there is dropped, which is all that
aborting takes.

The order of events is AWS's (conformance §6.1): a Map starts its first wave of iterations before any of them
enters a state; every TaskStarted of a wave comes after every TaskScheduled; replies that arrive at the same
instant are all recorded before any of them has consequences. ``Frame.last`` is the previousEventId of the frame's
next event.

Time is what the caller says; chance is one seeded generator; ids are drawn from it.
"""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import Mapping
from typing import Any

from sflab.asl import dataflow
from sflab.asl.model import JSON, StatesError, runtime_error
from sflab.asl.program import INLINE_CONCURRENCY, MAX_WAIT, Program, State, matches
from sflab.engine.distributed import LIMITS, MAP_RUN_VERBS, DistributedMap
from sflab.engine.frames import Frame, Run
from sflab.engine.history import Joined, Log
from sflab.engine.maprun import DISPATCH, PENDING, SAMPLE, Histories, MapRun
from sflab.engine.messages import (
    CancelTask,
    Command,
    Reply,
    StartTimer,
    TaskFailed,
    TaskSucceeded,
    TimerFired,
)
from sflab.engine.redrive import Redrive
from sflab.engine.tasks import Tasks

#: Seconds an execution may take: "Standard: 1 year. Express: 5 minutes" (quotas page).
STANDARD_SECONDS, EXPRESS_SECONDS = 365 * 24 * 3600, 300

_ABORTS = ("Task", "Wait", "Parallel", "Map")  # the state types that have a …StateAborted event


class Machine(Tasks, DistributedMap, Redrive):
    """One execution. Told `start`, `reply`, `stop` and `redrive`; it has a ``log``, a ``status`` and an ``output``.

    *program* is a compiled definition; *type* ``STANDARD`` or ``EXPRESS``; *arn*, *machine_arn* and *role_arn*
    stand in the context object and the history; *seed* decides jitter, UUIDs, random numbers and task tokens;
    *max_events* is the number of events at which the execution fails (default: AWS's limit for the type). *dispatch*
    says how many child executions of each type a Map Run starts in a second, *histories* which of theirs are kept.
    """

    __slots__ = (
        "agenda",
        "commands",
        "dispatch",
        "ends",
        "generator",
        "gone",
        "histories",
        "map_runs",
        "now",
        "program",
        "region",
        "root",
        "seed",
        "sequence",
        "waits",
    )

    def __init__(
        self,
        program: Program,
        *,
        type: str = "STANDARD",
        arn: str = "arn:aws:states:us-east-1:123456789012:execution:machine:run",
        machine_arn: str = "arn:aws:states:us-east-1:123456789012:stateMachine:machine",
        role_arn: str = "arn:aws:iam::123456789012:role/sflab",
        region: str = "us-east-1",
        seed: int | str = 0,
        max_events: int | None = None,
        dispatch: Mapping[str, float] = DISPATCH,
        histories: Histories = SAMPLE,
    ) -> None:
        self.dispatch, self.histories = dispatch, histories
        self.program, self.region = program, region
        self.seed = seed
        self.generator: random.Random | None = None
        self.root = Frame(
            self,
            program,
            Run(arn, machine_arn, role_arn, type=type, cap=max_events - 1 if max_events else LIMITS[type]),
        )
        self.agenda: deque[tuple[str, Frame, tuple[Any, ...]]] = deque()
        self.waits: dict[int, tuple[Frame, str]] = {}
        self.commands: list[Command] = []
        self.map_runs: list[MapRun] = []
        self.sequence = 0
        self.now = 0.0
        self.ends = math.inf
        self.gone: set[str] = set()  # the ARNs of activities that were deleted

    @property
    def chance(self) -> random.Random:
        """The seeded generator; made when it is first asked for, as that takes longer than entering a state."""
        if self.generator is None:
            self.generator = random.Random(self.seed)
        return self.generator

    @property
    def log(self) -> Log:
        """The execution's events."""
        return self.root.run.log

    @property
    def arn(self) -> str:
        """The execution's ARN."""
        return self.root.run.arn

    @property
    def status(self) -> str:
        """READY, RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""
        return self.root.run.status

    @property
    def output(self) -> str | None:
        """The output as JSON text, once it has succeeded."""
        return self.root.run.output

    @property
    def error(self) -> str | None:
        """The name of the error that ended it."""
        return self.root.run.error

    @property
    def cause(self) -> str | None:
        """The text of the error that ended it."""
        return self.root.run.cause

    @property
    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self.root.run.status == "RUNNING"

    # ── the narrow interface: told what happened, answers what to do ─────────────────────────────────────────────────

    def start(self, text: str, at: float) -> list[Command]:
        """Begin with the input *text* (JSON) at epoch second *at*."""
        self.now, self.ends = at, at + STANDARD_SECONDS
        value = json.loads(text)
        self.root.size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        self._launch(self.root, value, text)
        return self._flush()

    def _launch(self, frame: Frame, value: JSON, text: str | None = None) -> None:
        """Begin an execution: the whole, or a child of a Distributed Map."""
        frame.run.begin(value, text, self.now)
        seconds = frame.program.raw.get("TimeoutSeconds") or math.inf
        if frame.run.type == "EXPRESS":
            seconds = min(seconds, EXPRESS_SECONDS)
        if seconds < math.inf:
            frame.deadline = self._timer(frame, "_expire", seconds)
        self._later("_enter", frame, frame.state, value)

    def reply(self, *replies: Reply, at: float) -> list[Command]:
        """Take replies that arrived at epoch second *at*, in order; those nobody waits for are dropped."""
        self.now = at
        for one in replies:
            if one.token in self.waits:
                frame, verb = self.waits[one.token]
                self._take(one, frame, verb)
        return self._flush()

    def stop(self, error: str | None = None, cause: str | None = None, *, at: float) -> list[Command]:
        """Abort the execution, as StopExecution does."""
        if self.running:
            self.now = at
            self._close(self.root, "ABORTED", "ExecutionAborted", 0, StatesError(error, cause))
        return self._flush()

    def expire(self) -> list[Command]:
        """End the execution at ``ends``, for nothing happened before: a Standard one may take a year."""
        if self.running:
            self.now = self.ends
            self._expire(self.root)
        return self._flush()

    # ── replies ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, reply: Reply, frame: Frame, verb: str) -> None:
        match reply:
            case TaskSucceeded() if verb in MAP_RUN_VERBS:
                self._release(frame)
                self._later(verb, frame, reply.output)
            case TaskFailed() if verb in MAP_RUN_VERBS:
                self._release(frame)
                failure = StatesError(reply.error or MAP_RUN_VERBS[verb], reply.cause)
                self._later("_map_run_failed", frame, failure)
            case TimerFired():
                del self.waits[reply.token]
                if verb == "_timed_out":
                    self._timed_out(frame)
                else:
                    self._later(verb, frame)
            case _:
                self._task_replied(reply, frame)

    # ── entering and leaving states ──────────────────────────────────────────────────────────────────────────────────

    def _enter(self, frame: Frame, state: State, value: JSON) -> None:
        """Enter *state* with *value*, and go on through every state that takes no time."""
        entries, now, cap = frame.log.entries, self.now, frame.run.cap
        while True:
            if len(entries) >= cap:
                self._overflow(frame)
                return
            frame.state, frame.input = state, value
            entries.append((state.entered, frame.last, now, state.name, value))
            frame.last = frame.entered_id = len(entries)
            frame.entered_at = now
            run = state.run
            if run is None:
                frame.attempt, frame.retries = 0, None
                self._attempt(frame)
                return
            try:
                value, after, assigned = run(value, frame)
                size, growth = frame.size, state.growth
                if growth is None or size is None or (size := size * state.copies + growth) > dataflow.MAX_BYTES:
                    size = dataflow.size(value)
                    if size > dataflow.MAX_BYTES:
                        raise dataflow.too_large(state.name)
                frame.size = size
            except StatesError as e:
                self._fail(frame, e)
                return
            if assigned is None:
                entries.append((state.exited, frame.last, now, state.name, value))
            else:
                frame.variables = {**frame.variables, **assigned}
                entries.append((state.exited, frame.last, now, state.name, value, assigned))
            frame.last = len(entries)
            if after is None:
                self._finish(frame, value)
                return
            state = frame.program.states[after]

    def _attempt(self, frame: Frame) -> None:
        """Do the work of the state the frame stands at, for the first time or again."""
        frame.attempt += 1
        frame.results, frame.map_run = [], None  # what an earlier state left behind when it failed
        if len(frame.log) >= frame.run.cap:
            self._overflow(frame)
            return
        try:
            getattr(self, "_attempt_" + frame.state.kind)(frame)
        except StatesError as e:
            self._fail(frame, e)

    def _succeed(self, frame: Frame, result: JSON) -> None:
        """The state's work is done, with *result*: make its output and leave."""
        state = frame.state
        try:
            assigned = state.assign(frame.input, result, frame) if state.assign else None
            value = result
            if state.finish:
                value = state.finish(frame.input, result, frame)
                frame.size = dataflow.size(value)
                if frame.size > dataflow.MAX_BYTES:
                    raise dataflow.too_large(state.name)
        except StatesError as e:
            self._fail(frame, e)
            return
        self._leave(frame, state.next, value, assigned)

    def _leave(self, frame: Frame, after: str | None, value: JSON, assigned: dict[str, JSON] | None = None) -> None:
        state = frame.state
        if assigned is not None:
            frame.variables = {**frame.variables, **assigned}
        values = (value,) if assigned is None else (value, assigned)
        frame.last = frame.log.write(state.exited, frame.last, self.now, state.name, *values)
        frame.task_token = None
        if after is None:
            self._finish(frame, value)
        else:
            self._enter(frame, frame.program.states[after], value)

    def _finish(self, frame: Frame, value: JSON) -> None:
        """The frame came to the end of its states."""
        frame.status = "SUCCEEDED"
        parent, run = frame.parent, frame.run
        if parent is None or parent.run is not run:
            if len(frame.log) > run.cap:
                self._overflow(frame)
                return
            frame.log.write("ExecutionSucceeded", frame.last, self.now, value)
            run.status, run.result = "SUCCEEDED", value
            self.waits.pop(frame.deadline, None)
            if parent is None:
                self._silence()
            else:
                self._later("_child_ended", parent, frame, value)
            return
        index, results = frame.index, parent.results
        del parent.children[index]
        results[index] = value
        parent.last = frame.last
        if parent.state.kind == "Map":
            parent.last = parent.log.write("MapIterationSucceeded", frame.last, self.now, parent.state.name, index)
        parent.left -= 1
        if not parent.left:
            self._later("_join", parent)
        elif parent.started < len(results):
            self._begin(parent, frame.last)

    # ── what a state does ────────────────────────────────────────────────────────────────────────────────────────────

    def _attempt_Wait(self, frame: Frame) -> None:  # noqa: N802 - the state types' own names
        state = frame.state
        assert state.wait is not None  # noqa: S101 - compiled with it
        value = state.effective(frame.input, frame) if state.effective else frame.input
        how, until = state.wait(value, frame)
        seconds = until if how == "seconds" else until.timestamp() - self.now
        if seconds > MAX_WAIT:
            raise runtime_error("Wait state delay is too long.")
        if seconds <= 0:
            self._later("_succeed", frame, value)  # a loop of waits for nothing must not recurse
        else:
            frame.waiting = (self._timer(frame, "_waited", seconds),)

    def _waited(self, frame: Frame) -> None:
        effective = frame.state.effective
        self._succeed(frame, effective(frame.input, frame) if effective else frame.input)

    def _attempt_Parallel(self, frame: Frame) -> None:  # noqa: N802
        state = frame.state
        value = state.effective(frame.input, frame) if state.effective else frame.input
        frame.last = frame.log.write("ParallelStateStarted", frame.last, self.now)
        self._fork(frame, len(state.programs), len(state.programs), value)

    def _attempt_Map(self, frame: Frame) -> None:  # noqa: N802
        state, fields = frame.state, frame.state.map
        assert fields is not None  # noqa: S101 - compiled with it
        value = state.effective(frame.input, frame) if state.effective else frame.input
        limit = fields.limit(value, frame)
        items = None if fields.reader else fields.items(value, frame)  # an object too, where it is distributed
        frame.last = frame.log.write("MapStateStarted", frame.last, self.now, len(items or ()))
        if fields.distributed:
            self._map_run(frame, value, items, limit)
        else:
            fields.tolerated(value, frame)  # it has no meaning here, but a wrong one fails the state all the same
            self._fork(frame, len(items or ()), limit or INLINE_CONCURRENCY, value, items)

    def _fork(self, frame: Frame, count: int, limit: int, value: JSON, items: list[JSON] | None = None) -> None:
        frame.results = [PENDING] * count
        frame.started, frame.left, frame.limit = 0, count, limit
        frame.item = (value, items)
        if not count:
            self._later("_join", frame)
        for _ in range(min(count, limit)):
            self._begin(frame, frame.last)

    def _begin(self, parent: Frame, previous: int) -> None:
        """Start the next branch or iteration; *previous* is the event that made room for it."""
        index, state = parent.started, parent.state
        parent.started = index + 1
        value, items = parent.item
        child = Frame(self, state.programs[index if items is None else 0], parent.run, parent, index)
        child.last, child.size = previous, parent.size if state.hands_on else None
        parent.children[index] = child
        verb = "_enter"
        if items is not None:
            child.item = items[index]
            child.last = parent.log.write("MapIterationStarted", previous, self.now, state.name, index)
            if state.map and state.map.select:
                verb = "_select"
            else:
                value = child.item
        self.agenda.append((verb, child, (child.state, value)))

    def _select(self, frame: Frame, state: State, value: JSON) -> None:
        """Enter the first state of an iteration with what ItemSelector makes of the Map's input."""
        parent = frame.parent
        assert parent is not None  # noqa: S101 - it is an iteration
        assert parent.state.map is not None  # noqa: S101 - of a Map
        assert parent.state.map.select is not None  # noqa: S101 - with an ItemSelector
        try:
            value = parent.state.map.select(value, frame)
        except StatesError as e:  # the Map's own failure, though it shows in one iteration
            frame.status = "FAILED"
            self._later("_child_failed", parent, frame, self._worded(parent, e))
            return
        frame.size = None
        self._enter(frame, state, value)

    def _join(self, frame: Frame) -> None:
        """Every branch or iteration has its result."""
        previous = frame.last
        result = Joined(frame.results)
        frame.results = []
        frame.item = None
        frame.size = dataflow.size(result)
        if frame.size > dataflow.MAX_BYTES:
            self._fail(frame, dataflow.too_large(frame.state.name))
            return
        frame.log.write(f"{frame.state.kind}StateSucceeded", previous, self.now)
        self._succeed(frame, result)

    # ── failing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _fail(self, frame: Frame, e: StatesError) -> None:
        """The state failed: retry it, catch it, or fail the frame."""
        state = frame.state
        evaluation, e = e.location is not None, self._worded(frame, e)
        for i, retrier in enumerate(state.retriers):
            if matches(retrier.errors, e.error):
                frame.retries = frame.retries or [0] * len(state.retriers)
                if frame.retries[i] < retrier.attempts:
                    frame.retries[i] += 1
                    delay = retrier.delay(frame.retries[i] - 1, self.chance)
                    frame.waiting = (self._timer(frame, "_attempt", delay),)
                    return
                break
        if state.kind in ("Parallel", "Map") and (frame.results or evaluation or frame.map_run):
            frame.last = frame.log.write(f"{state.kind}StateFailed", frame.last, self.now)
        for catcher in state.catchers:
            if matches(catcher.errors, e.error):
                said = {"Error": e.error, "Cause": e.cause}
                try:
                    assigned = catcher.assign(frame.input, said, frame) if catcher.assign else None
                    value = catcher.output(frame.input, said, frame) if catcher.output else said
                except StatesError as again:
                    self._fail_frame(frame, self._worded(frame, again))
                    return
                frame.size = None
                self._later("_leave", frame, catcher.next, value, assigned)  # nor a loop of failures that are caught
                return
        self._fail_frame(frame, e)

    def _worded(self, frame: Frame, e: StatesError) -> StatesError:
        """Give an error of ours the beginning AWS gives it; a failed evaluation has an event of its own besides."""
        if not e.runtime:
            return e
        where = f"the state '{frame.state.name}' (entered at the event id #{frame.entered_id})"
        worded = StatesError(e.error, f"An error occurred while executing {where}. {e.cause}")
        if e.location is not None:
            frame.last = frame.log.write(
                "EvaluationFailed",
                frame.entered_id,
                self.now,
                worded.error,
                worded.cause,
                e.location or None,
                frame.state.name,
            )
        return worded

    def _fail_frame(self, frame: Frame, e: StatesError) -> None:
        """Nothing took the error: the branch, iteration or execution fails with it."""
        frame.status = "FAILED"
        if frame.parent is None or frame.parent.run is not frame.run:
            self._failed(frame, e)
        else:
            self._later("_child_failed", frame.parent, frame, e)

    def _failed(self, frame: Frame, e: StatesError) -> None:
        cause = e.cause if (e.error, e.cause) != ("States.Timeout", "") else None
        self._close(frame, "FAILED", "ExecutionFailed", frame.last, StatesError(e.error, cause))

    def _child_failed(self, frame: Frame, child: Frame, e: StatesError) -> None:
        """One branch or iteration failed, so all do; every event of it points at the one that failed first."""
        if frame.children.get(child.index) is not child:
            return  # a sibling that failed at the same instant was first
        frame.last = failing = child.last
        name, is_map = frame.state.name, frame.state.kind == "Map"
        if is_map:
            frame.log.write("MapIterationFailed", failing, self.now, name, child.index)
        self._abort(child, failing)
        for index, other in sorted(frame.children.items()):
            if other is not child:
                if is_map:
                    frame.log.write("MapIterationAborted", failing, self.now, name, index)
                self._abort(other, failing)
        frame.children.clear()
        frame.item = None
        self._fail(frame, e)

    def _abort(self, frame: Frame, failing: int | None) -> None:
        """Give up a frame and all below it; with *failing*, write the events AWS writes."""
        if frame.status == "RUNNING":
            frame.status = "ABORTED"
        self._release(frame, cancel=True)
        for child in list(frame.children.values()):
            if child.run is frame.run:
                self._abort(child, failing)
            else:
                self._give_up_child(frame, child)
        frame.children.clear()
        if frame.map_run is not None and frame.map_run.stopped_at is None:
            frame.map_run.close("ABORTED", self.now)
            if failing is not None:
                frame.log.write("MapRunAborted", failing, self.now)
        if failing is not None and frame.entered_id and frame.state.kind in _ABORTS and frame.status != "SUCCEEDED":
            frame.log.write(f"{frame.state.kind}StateAborted", failing, self.now)

    def _expire(self, frame: Frame) -> None:
        # It points at nothing, as ExecutionAborted does (AWS, September 2026).
        self._close(frame, "TIMED_OUT", "ExecutionTimedOut", 0, StatesError("States.Timeout"))

    def _overflow(self, frame: Frame) -> None:
        """The history is as long as it may be: the execution ends, whichever of its frames wrote the last event."""
        while frame.parent is not None and frame.parent.run is frame.run:
            frame = frame.parent
        if frame.run.type == "EXPRESS":
            self._expire(frame)
            return
        cause = f"The execution reached the maximum number of history events ({frame.run.cap + 1})."
        self._close(frame, "FAILED", "ExecutionFailed", len(frame.log), StatesError("States.Runtime", cause))

    def _close(self, frame: Frame, status: str, event: str, previous: int, e: StatesError) -> None:
        """End the execution that *frame* is the root of, without success."""
        run = frame.run
        if run.status != "RUNNING":
            return
        del frame.log.entries[run.cap :]  # a wave of events may have gone past the limit
        frame.log.write(event, min(previous, len(frame.log)), self.now, e.error, e.cause)
        run.status, run.error, run.cause = status, e.error, e.cause
        self.waits.pop(frame.deadline, None)
        self._abort(frame, None)
        frame.status = status
        if frame.parent is None:
            self._silence()
        elif status == "ABORTED":
            self._child_aborted(frame.parent, frame)
        else:
            self._later("_child_broke", frame.parent, frame)

    def _silence(self) -> None:
        """Nothing is left to do or to wait for."""
        self.agenda.clear()
        self.waits.clear()

    # ── plumbing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _later(self, verb: str, frame: Frame, *args: Any) -> None:
        self.agenda.append((verb, frame, args))

    def _token(self, frame: Frame, verb: str) -> int:
        self.sequence += 1
        self.waits[self.sequence] = (frame, verb)
        return self.sequence

    def _timer(self, frame: Frame, verb: str, seconds: float) -> int:
        token = self._token(frame, verb)
        self.commands.append(StartTimer(token, seconds))
        return token

    def _release(self, frame: Frame, *, cancel: bool = False) -> None:
        """Wait for nothing more; with *cancel*, tell the world that a task is not wanted."""
        for token in frame.waiting:
            waited = self.waits.pop(token, None)
            if cancel and waited and waited[1] == "_task":
                self.commands.append(CancelTask(token))
        frame.waiting = ()

    def _flush(self) -> list[Command]:
        """Run to completion: one verb on one frame at a time, first in first out; give out what is to be done."""
        agenda = self.agenda
        while agenda:
            verb, frame, args = agenda.popleft()
            if frame.status == "RUNNING":
                getattr(self, verb)(frame, *args)
        commands, self.commands = self.commands, []
        return [c for c in commands if isinstance(c, CancelTask) or c.token in self.waits]

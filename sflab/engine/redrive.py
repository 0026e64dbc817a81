"""Redrive: an execution that did not succeed goes on from where it failed.

The frames it had are rebuilt from its history (`sflab.engine.replay`) as they stood before what ended it, and those
that stand at a state's work do it again: the state that failed, and those that were aborted with it. What succeeded is
not run again, iterations that had not begun begin. Which states do what:
https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html and …/redrive-map-run.html. The events are
those that AWS wrote in September 2026: ExecutionRedriven points at the event that ended the execution, a Task's
Scheduled event at the TaskStateEntered it had, a Fail state is not entered again and its ExecutionFailed points at
ExecutionRedriven, MapRunRedriven points at MapStateStarted; ``State.EnteredTime`` and ``Execution.StartTime`` stay.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sflab.asl import dataflow
from sflab.asl.model import StatesError
from sflab.engine.frames import Frame, Run
from sflab.engine.messages import Command
from sflab.errors import ApiError

if TYPE_CHECKING:
    from collections import deque

    from sflab.asl.model import JSON

#: "The execution event history count is less than 24,999" (API_RedriveExecution).
MOST_EVENTS = 24_999
#: "Your workflow execution has not exceeded the redrivable period of 14 days"; "the maximum open time of one year".
REDRIVABLE_SECONDS, OPEN_SECONDS = 14 * 24 * 3600, 365 * 24 * 3600
#: "You haven't exceeded the hard limit of 1000 redrives of a given Map Run" (redrive-map-run).
MOST_MAP_RUN_REDRIVES = 1000


def not_redrivable(status: str, *, events: int, started: float, stopped: float, now: float) -> str | None:
    """Return why a Standard execution cannot be redriven, in AWS's words; None if it can. Times are epoch seconds."""
    if status in ("RUNNING", "SUCCEEDED", "READY"):
        return f"Execution is {'RUNNING' if status == 'READY' else status} and cannot be redriven"
    if events >= MOST_EVENTS:
        return "Execution history event limit exceeded"
    if now - started > OPEN_SECONDS:
        return "Execution has exceeded the max execution time"
    if now - stopped > REDRIVABLE_SECONDS:
        return "Execution redrivable period exceeded"
    return None


def refusal(arn: str, type: str, reason: str | None) -> ApiError | None:
    """Return the error with which RedriveExecution refuses, as AWS worded it in September 2026; None if it does not."""
    if type == "EXPRESS":
        return ApiError("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: express'")
    if reason is not None:
        return ApiError("ExecutionNotRedrivable", f"Execution {arn} invalid for redrive as: {reason}")
    return None


class Redrive:
    """The part of the machine that redrives."""

    __slots__ = ()

    if TYPE_CHECKING:
        agenda: deque[tuple[str, Frame, tuple[Any, ...]]]
        commands: list[Command]
        now: float
        root: Frame
        waits: dict[int, tuple[Frame, str]]

        def _later(self, verb: str, frame: Frame, *args: Any) -> None: ...
        def _timer(self, frame: Frame, verb: str, seconds: float) -> int: ...
        def _flush(self) -> list[Command]: ...
        def _attempt(self, frame: Frame) -> None: ...
        def _fail(self, frame: Frame, e: StatesError) -> None: ...
        def _leave(
            self, frame: Frame, after: str | None, value: JSON, assigned: dict[str, JSON] | None = None
        ) -> None: ...

    def redrive(self, at: float) -> list[Command]:
        """Go on with an execution that failed, timed out or was aborted, at epoch second *at*.

        Raises ApiError, as RedriveExecution refuses: ``ExecutionNotRedrivable``, ``InvalidArn`` (Express).
        """
        from sflab.engine.replay import adopt, stand

        run = self.root.run
        stopped = run.log.entries[-1][2] if len(run.log) else at
        reason = not_redrivable(run.status, events=len(run.log), started=run.started_at, stopped=stopped, now=at)
        if (error := refusal(run.arn, run.type, reason)) is not None:
            raise error
        player = stand(
            self.root.program, run.log.events(), redriving=True, type=run.type, arn=run.arn, machine_arn=run.machine_arn
        )
        adopt(self, player)  # type: ignore[arg-type] # the machine this is a part of
        self._redrive(at)
        return self._flush()

    def proceed(self) -> list[Command]:
        """Do what is still to be done without any reply: what a saved history stops short of."""
        return self._flush()

    def _redrive(self, at: float) -> None:
        """Write ExecutionRedriven and attempt again what did not succeed; the frames are as before the end."""
        self.now = at  # type: ignore[misc] # a slot of the machine
        pending: dict[int, tuple[str, Frame, tuple[Any, ...]]] = {}
        for verb, frame, args in self.agenda:
            pending.setdefault(id(frame), (verb, frame, args))
        self.agenda.clear()
        self.waits.clear()
        self.commands.clear()
        self._again(self.root, pending)

    def _again(self, root: Frame, pending: dict[int, tuple[str, Frame, tuple[Any, ...]]]) -> None:
        """Redrive one execution, the whole or a child of a Distributed Map, from *root* inwards."""
        run = root.run
        run.status, run.result, run.error, run.cause = "RUNNING", None, None, None
        run.redrives += 1
        run.redriven_at = self.now
        redriven = run.log.write("ExecutionRedriven", len(run.log), self.now, run.redrives)
        seconds = root.program.raw.get("TimeoutSeconds") or math.inf
        root.deadline = self._timer(root, "_expire", seconds) if seconds < math.inf else 0
        self._revive(root, redriven, pending)

    def _revive(self, frame: Frame, redriven: int, pending: dict[int, tuple[str, Frame, tuple[Any, ...]]]) -> None:
        frame.status, frame.waiting = "RUNNING", ()
        if frame.children:
            for _, child in sorted(frame.children.items()):
                self._revive(child, redriven, pending)
            return
        verb, _, args = pending.get(id(frame), ("", frame, ()))
        if verb in ("_enter", "_select", "_leave", "_finish"):  # between two states: nothing of it was done
            self._later(verb, frame, *args)
        elif frame.map_run is not None and frame.map_run.status != "SUCCEEDED":
            self._redrive_map_run(frame)
        else:
            frame.last = redriven if frame.state.kind == "Fail" else frame.entered_id
            self._later("_resume", frame)

    def _redrive_map_run(self, frame: Frame) -> None:
        run = frame.map_run
        assert run is not None  # noqa: S101 - asked for
        run.redrive_count += 1
        run.status = "RUNNING"
        frame.last = frame.log.write("MapRunRedriven", run.origin, self.now, run.arn, run.redrive_count)
        if run.redrive_count > MOST_MAP_RUN_REDRIVES:
            cause = f"The Map Run was redriven more than {MOST_MAP_RUN_REDRIVES} times."
            self._later("_map_run_failed", frame, StatesError("States.Runtime", cause))
        else:
            self._later("_redrive_items", frame)

    def _redrive_child(self, parent: Frame, index: int, run: Run) -> None:
        """Redrive a Standard child execution of a map run, under the ARN and with the history it had."""
        from sflab.engine.replay import adopt, stand

        program = parent.state.programs[0]
        if len(run.log) >= MOST_EVENTS:  # "it won't be attempted again": its last error is permanent
            child = parent.children[index] = Frame(parent.machine, program, run, parent, index)
            self._later("_child_broke", parent, child)
            return
        player = stand(
            program, run.log.events(), redriving=True, type=run.type, arn=run.arn, machine_arn=run.machine_arn
        )
        pending: dict[int, tuple[str, Frame, tuple[Any, ...]]] = {}
        for verb, frame, args in player.agenda:
            pending.setdefault(id(frame), (verb, frame, args))
        player.agenda.clear()
        player.waits.clear()
        adopt(parent.machine, player, run)
        child = parent.children[index] = player.root
        child.parent, child.index = parent, index
        self._again(child, pending)

    def _resume(self, frame: Frame) -> None:
        """Do the work of the state a frame stands at, which was entered before."""
        state = frame.state
        frame.attempt, frame.retries = 0, None
        if state.run is None:
            self._attempt(frame)
            return
        try:
            value, after, assigned = state.run(frame.input, frame)
            frame.size = dataflow.size(value)
            if frame.size > dataflow.MAX_BYTES:
                raise dataflow.too_large(state.name)
        except StatesError as e:
            self._fail(frame, e)
            return
        self._leave(frame, after, value, assigned)

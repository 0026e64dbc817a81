"""The Task state in the machine: scheduled, started, submitted, answered, given up.

What the world is asked is a `ScheduleTask`; what it answers comes as replies with the task's token. Every event of a
task is written here, in the words of its kind: Task…, LambdaFunction… or Activity….
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sflab.asl import dataflow
from sflab.asl.model import StatesError, compact, runtime_error
from sflab.asl.program import MAX_WAIT
from sflab.engine.messages import (
    Command,
    Heartbeat,
    Reply,
    ScheduleTask,
    TaskFailed,
    TaskStarted,
    TaskSubmitted,
    TaskSucceeded,
)

if TYPE_CHECKING:
    import random

    from sflab.asl.model import JSON, Resource
    from sflab.engine.frames import Frame


class Tasks:
    """The part of the machine that does Task states."""

    __slots__ = ()

    if TYPE_CHECKING:
        commands: list[Command]
        gone: set[str]
        now: float
        region: str
        waits: dict[int, tuple[Frame, str]]

        @property
        def chance(self) -> random.Random: ...  # noqa: D102 - declared only
        def _later(self, verb: str, frame: Frame, *args: Any) -> None: ...
        def _token(self, frame: Frame, verb: str) -> int: ...
        def _timer(self, frame: Frame, verb: str, seconds: float) -> int: ...
        def _release(self, frame: Frame, *, cancel: bool = False) -> None: ...

    def _attempt_Task(self, frame: Frame) -> None:  # noqa: N802
        state, resource = frame.state, frame.state.resource
        assert resource is not None  # noqa: S101 - compiled with it
        if resource.pattern:  # a .sync task has a token as well (recorded: test_sync_with_task_token)
            frame.task_token = f"{self.chance.getrandbits(512):0128x}"
        parameters = state.effective(frame.input, frame) if state.effective else frame.input
        _fit(resource, parameters)
        timeout = _seconds(state.timeout, frame)
        heartbeat = _seconds(state.heartbeat, frame)
        credentials = state.credentials(frame.input, frame) if state.credentials else None
        role = (
            {"roleArn": credentials["RoleArn"]} if isinstance(credentials, dict) and "RoleArn" in credentials else None
        )
        if resource.kind == "task":
            frame.last = frame.log.write(
                "TaskScheduled", frame.last, self.now, resource.type, resource.action, self.region, parameters,
                timeout, heartbeat, role,
            )  # fmt: skip
        elif resource.kind == "lambda":
            frame.last = frame.log.write(
                "LambdaFunctionScheduled", frame.last, self.now, resource.text, parameters, timeout, role
            )
        else:
            if resource.text in self.gone:  # nothing is scheduled (recorded: test_activity_task_on_deleted)
                raise runtime_error(f"The activity {resource.text} does not exist.")
            frame.last = frame.log.write(
                "ActivityScheduled", frame.last, self.now, resource.text, parameters, timeout, heartbeat
            )
        self._later("_dispatch", frame, parameters, timeout, heartbeat, credentials)

    def _dispatch(
        self, frame: Frame, parameters: JSON, timeout: float | None, heartbeat: float | None, credentials: JSON
    ) -> None:
        """Hand the task to the world; a service takes it at once, an activity's worker when it polls."""
        resource = frame.state.resource
        assert resource is not None  # noqa: S101 - compiled with it
        if resource.kind != "activity":
            frame.last = self._task_event(frame, "Started")
        token = self._token(frame, "_task")
        command = ScheduleTask(
            token, frame.state.name, frame.state.pointer, frame.attempt, resource.kind, resource.text, resource.type,
            resource.action, resource.pattern, parameters, timeout, heartbeat, frame.task_token, credentials,
            frame.path,
        )  # fmt: skip
        self.commands.append(command)
        frame.waiting = (
            token,
            self._timer(frame, "_timed_out", timeout) if timeout is not None else 0,
            self._timer(frame, "_timed_out", heartbeat) if heartbeat is not None else 0,
        )

    def _rearm(self, frame: Frame) -> None:
        """The worker gave a sign: its heartbeat is counted anew."""
        token, timeout, beat = frame.waiting
        if beat:
            del self.waits[beat]
            seconds = _seconds(frame.state.heartbeat, frame)
            assert seconds is not None  # noqa: S101 - there was a heartbeat to re-arm
            frame.waiting = (token, timeout, self._timer(frame, "_timed_out", seconds))

    def _task_replied(self, reply: Reply, frame: Frame) -> None:
        """The world said something about the task the frame waits for."""
        match reply:
            case Heartbeat():
                self._rearm(frame)
            case TaskStarted():
                frame.last = self._task_event(frame, "Started", reply.worker_name)
                self._rearm(frame)
            case TaskSubmitted():
                frame.last = self._task_event(frame, "Submitted", reply.output)
            case TaskSucceeded():
                self._release(frame)
                frame.size = dataflow.size(reply.output)
                if frame.size > dataflow.MAX_BYTES:
                    self._task_failed(frame, *dataflow.too_large(frame.state.raw["Resource"]).args)
                else:
                    frame.last = self._task_event(frame, "Succeeded", reply.output)
                    self._later("_succeed", frame, reply.output)
            case TaskFailed():
                self._release(frame)
                self._task_failed(frame, reply.error, reply.cause)

    def _task_failed(self, frame: Frame, error: str | None, cause: str | None) -> None:
        frame.last = self._task_event(frame, "Failed", error, cause)
        self._later("_fail", frame, StatesError(error, cause))

    def _timed_out(self, frame: Frame) -> None:
        """A missed heartbeat is States.Timeout too (3 of 3 recordings, conformance §6.2)."""
        self._release(frame, cancel=True)
        frame.last = self._task_event(frame, "TimedOut", "States.Timeout", None)
        self._later("_fail", frame, StatesError("States.Timeout", ""))  # a Catch is given "", events no cause

    def _task_event(self, frame: Frame, what: str, *values: Any) -> int:
        resource = frame.state.resource
        assert resource is not None  # noqa: S101 - only Task frames wait for tasks
        if resource.kind == "task":
            values = values if what != "Started" else ()
            return frame.log.write(f"Task{what}", frame.last, self.now, resource.type, resource.action, *values)
        if resource.kind == "lambda":
            return frame.log.write(
                f"LambdaFunction{what}", frame.last, self.now, *(values if what != "Started" else ())
            )
        return frame.log.write(f"Activity{what}", frame.last, self.now, *values)


def _fit(resource: Resource, parameters: JSON) -> None:
    """Refuse, before anything is scheduled, parameters that API Gateway's integration cannot make a request of.

    Headers and query parameters are lists by name (recorded: test_invoke_with_headers[singleStringHeader]).

    Raises StatesError: ``States.Runtime``.
    """
    if resource.type != "apigateway" or not isinstance(parameters, dict):
        return
    for name in ("Headers", "QueryParameters"):
        given = parameters.get(name)
        if given is not None and not (isinstance(given, dict) and all(isinstance(v, list) for v in given.values())):
            said = f"[The value of the field '{name}' has an invalid format]"
            raise runtime_error(f"The Parameters '{compact(parameters)}' could not be used to start the Task: {said}")


def _seconds(limit: Any, frame: Frame) -> float | None:
    seconds = limit(frame.input, frame) if limit else None
    if seconds is not None and (type(seconds) not in (int, float) or not 0 <= seconds <= MAX_WAIT):
        raise runtime_error(f"A time limit must be a number of seconds, not {dataflow.bare(seconds)}")
    return seconds

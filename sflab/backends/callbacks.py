"""Answers from outside: task tokens that are sent back, and activities, whose workers ask for their tasks.

The part of `sflab.Local` that says what SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat and GetActivityTask say.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sflab.asl.model import JSON, compact, read_json
from sflab.backends.nested import refused
from sflab.engine.messages import Heartbeat, Reply, ScheduleTask, TaskFailed, TaskStarted, TaskSucceeded
from sflab.errors import ApiError

if TYPE_CHECKING:
    from sflab.backends.local import LocalExecution


#: The account that everything here belongs to.
ACCOUNT = "123456789012"


@dataclass(slots=True)
class Asked:
    """A task that somebody may answer with its token; ``held`` is what they said before its request had come back."""

    execution: LocalExecution
    token: int
    held: list[Reply] | None = field(default_factory=list)


class Callbacks:
    """The part of the local backend that is answered from outside."""

    seed: int
    region: str
    activities: dict[str, deque[tuple[LocalExecution, ScheduleTask]]]
    _tokens: dict[str, Asked]
    _gone: set[str]
    _work: threading.Condition  # guards the tokens and the activities' queues

    def send_task_success(self, task_token: str, output: JSON = None, *, after: float = 0.0) -> None:
        """Answer the task that waits for *task_token* with *output*, JSON data or JSON text as AWS takes it.

        *after* lets so many seconds of the execution's time go by before. Raises ApiError as SendTaskSuccess does:
        ``InvalidToken``, ``TaskTimedOut`` (the task does not wait any more), ``InvalidOutput``.
        """
        try:
            value = read_json(output) if isinstance(output, str) else json.loads(json.dumps(output, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as e:
            hint = f" A str is JSON text, as AWS takes it: {json.dumps(output)!r}" if isinstance(output, str) else ""
            raise ApiError("InvalidOutput", f"Invalid Output: '{e}'{hint}") from None
        self._tell(task_token, lambda token: TaskSucceeded(token, value), after)

    def send_task_failure(
        self, task_token: str, error: str | None = None, cause: str | None = None, *, after: float = 0.0
    ) -> None:
        """Let the task that waits for *task_token* fail. Raises ApiError as `send_task_success` does."""
        self._tell(task_token, lambda token: TaskFailed(token, error, cause), after)

    def send_task_heartbeat(self, task_token: str, *, after: float = 0.0) -> None:
        """Say that the work for *task_token* goes on. Raises ApiError as `send_task_success` does."""
        self._tell(task_token, Heartbeat, after)

    def _tell(self, task_token: str, reply: Callable[[int], Reply], after: float) -> None:
        with self._work:
            asked = self._tokens.get(task_token)
            if asked is None or asked.token not in asked.execution.run.waits:
                self._tokens.pop(task_token, None)
                if re.fullmatch("[0-9a-f]{128}", task_token):
                    raise ApiError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
                raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'")
            one = reply(asked.token)
            if not isinstance(one, Heartbeat) and not after:
                del self._tokens[task_token]
            if asked.held is not None and not after:
                asked.held.append(one)
                return
        asked.execution.drive.tell(one, after=after)

    def create_activity(self, name: str) -> str:
        """Make an activity known, so that its tasks wait for a worker; returns its ARN."""
        arn = f"arn:aws:states:{self.region}:{ACCOUNT}:activity:{name}"
        with self._work:
            self.activities.setdefault(name, deque())
            self._gone.discard(arn)
        return arn

    def delete_activity(self, activity_arn: str) -> None:
        """Forget an activity: executions that come to a task of it fail; tasks that wait for a worker go on waiting."""
        with self._work:
            if self.activities.pop(activity_arn.rpartition(":")[2], None) is not None:
                self._gone.add(activity_arn)

    def get_activity_task(
        self, activity_arn: str, worker_name: str | None = None, *, wait: float = 0.0
    ) -> dict[str, str] | None:
        """Take the oldest task of an activity: ``{"taskToken", "input"}``, input as JSON text; None when there is none.

        *wait* is how many seconds of yours to wait for one. Raises ApiError ``ActivityDoesNotExist``.
        """
        queue = self.activities.get(activity_arn.rpartition(":")[2])
        if queue is None:
            raise ApiError("ActivityDoesNotExist", f"Activity Does Not Exist: '{activity_arn}'")
        with self._work:
            if not queue and wait:
                self._work.wait_for(lambda: bool(queue), wait)
            while queue:
                execution, command = queue.popleft()
                if command.token in execution.run.waits:
                    break
            else:
                return None
            rng = random.Random(f"{self.seed}/{execution.arn}/{command.token}")
            token = f"{rng.getrandbits(512):0128x}"
            self._tokens[token] = Asked(execution, command.token, None)
            execution.tokens.append(token)
        execution.drive.tell(TaskStarted(command.token, worker_name))
        return {"taskToken": token, "input": compact(command.parameters)}

    def _forget(self, execution: LocalExecution) -> None:
        with self._work:
            for token in execution.tokens:
                self._tokens.pop(token, None)

    def _sent(self, command: ScheduleTask, rng: random.Random) -> Reply:
        """A task that answers another one, by its token."""
        given = command.parameters if isinstance(command.parameters, dict) else {}
        token, output = str(given.get("TaskToken")), given.get("Output")
        try:
            match command.action:
                case "sendTaskSuccess":
                    self.send_task_success(token, output if isinstance(output, str) else compact(output))
                case "sendTaskFailure":
                    self.send_task_failure(token, given.get("Error"), given.get("Cause"))
                case _:
                    self.send_task_heartbeat(token)
        except ApiError as e:
            return refused(e, command, rng)
        return TaskSucceeded(command.token, {})

"""One state tested alone, as people hold it: how it came out, and the way the data took through it."""

from __future__ import annotations

import difflib
import json
import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, StatesError, compact
from sflab.backends import mocks
from sflab.backends.callbacks import ACCOUNT
from sflab.backends.drivers import EPOCH
from sflab.backends.functions import Mock, answer
from sflab.backends.functions import mock as mocked
from sflab.backends.local import Local, function_name, input_text
from sflab.engine import teststate
from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskSucceeded
from sflab.errors import ApiError, TaskNotFoundError

if TYPE_CHECKING:
    from sflab.backends.statemachine import StateMachine
    from sflab.engine.teststate import Stage, Tested

#: inspectionData members that are no JSON text
_PLAIN = (
    "errorDetails",
    "maxConcurrency",
    "toleratedFailureCount",
    "toleratedFailurePercentage",
    "request",
    "response",
)


class StateTest:
    """What testing one state gave. As a cell's value it shows the data flow, stage by stage.

    ``status`` is SUCCEEDED, FAILED, RETRIABLE (a retrier would try again) or CAUGHT_ERROR; ``output`` is JSON data;
    ``error`` and ``cause`` are the error's, also when it was caught; ``next_state`` is where the execution would go.
    ``response`` is the answer of AWS's API, texts as texts; ``stages`` is what the table shows.
    """

    def __init__(self, tested: Tested) -> None:
        self.name, self.type, self.response = tested.state, tested.kind, tested.response
        self.stages: tuple[Stage, ...] = tested.stages

    @property
    def status(self) -> str:
        """SUCCEEDED, FAILED, RETRIABLE or CAUGHT_ERROR."""
        return str(self.response["status"])

    @property
    def output(self) -> JSON:
        """What the state gives; None where it gives nothing."""
        text = self.response.get("output")
        return None if text is None else json.loads(text)

    @property
    def error(self) -> str | None:
        """The error's name, None if there was none."""
        return self.response.get("error")

    @property
    def cause(self) -> str | None:
        """The text that came with the error."""
        return self.response.get("cause")

    @property
    def next_state(self) -> str | None:
        """The state the execution would go to; None at an end, and where it does not go on."""
        return self.response.get("nextState")

    @property
    def inspection(self) -> dict[str, JSON]:
        """``inspectionData`` with its JSON texts parsed; ``{}`` at level INFO."""
        data = self.response.get("inspectionData", {})
        return {name: value if name in _PLAIN else json.loads(value) for name, value in data.items()}

    def __repr__(self) -> str:
        details = self.response.get("inspectionData", {}).get("errorDetails", {})
        wait = details.get("retryBackoffIntervalSeconds")
        said = [
            f"{self.error}" if self.error else "",
            f"next {self.next_state!r}" if self.next_state else "",
            f"retried in {wait} s" if wait is not None else "",
        ]
        return f"StateTest({self.name!r}, {', '.join([self.status, *(part for part in said if part)])})"

    def svg(self) -> str:
        """Return the picture of the data's way through the state, as SVG text."""
        from sflab.views import flow

        title = f"{self.name}: {self.status}{f', {self.error}' if self.error else ''}"
        return flow.svg(self.stages, title=title, after=self.next_state)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views import stages

        why = f": {self.cause}" if self.cause else ""
        headline = f"{self!r}{why}"
        return {
            "text/plain": stages.text(self.stages, headline=headline, after=self.next_state),
            "text/html": self.svg() + stages.html(self.stages, headline=headline, after=self.next_state),
        }


def run(
    machine: StateMachine,
    name: str,
    input: JSON,
    *,
    variables: Mapping[str, JSON] | None,
    context: Mapping[str, JSON] | None,
    mock: Mock | Mapping[str, Any] | None,
    task: Any,
    validation: str,
    inspection_level: str,
    configuration: Mapping[str, Any],
) -> StateTest:
    """Test state *name* of *machine*; see `StateMachine.test_state`."""
    machine.check()
    attempt = 1 + (configuration.get("retrierRetryCount") or 0)
    request: dict[str, Any] = {
        "definition": compact(machine.definition.raw),
        "stateName": name,
        "roleArn": f"arn:aws:iam::{ACCOUNT}:role/sflab",
        "input": input_text(input),
        "inspectionLevel": inspection_level,
        "stateConfiguration": {key: value for key, value in configuration.items() if value is not None},
    }
    if variables is not None:
        request["variables"] = _text(variables, "variables")
    if context is not None:
        request["context"] = _text(context, "context")
    if mock is not None:
        request["mock"] = _mock(mock, attempt) | {"fieldValidationMode": validation}
    try:
        tested = teststate.run(
            request,
            work=lambda command: _work(machine, task, command),
            check=mocks.check,
            at=EPOCH,
            seed=f"{machine.name}/{name}",
            machine_arn=f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:{machine.name}",
        )
    except ApiError as e:
        if hint := _hint(machine, name, str(e)):
            e.add_note(hint)  # the message stays AWS's own
        raise
    return StateTest(tested)


def _hint(machine: StateMachine, name: str, said: str) -> str:
    """Return the one thing to do next."""
    if "not found" in said and name not in machine.states:
        near = difflib.get_close_matches(name, machine.states, n=1)
        return f"Did you mean {near[0]!r}?" if near else f"The states are {', '.join(machine.states[:12])}."
    if "Map or Parallel" in said or "when a mock is not specified" in said:
        return f"Say what comes out of it: test_state({name!r}, …, mock=sf.mock(…))."
    if "schema validation" in said:
        return 'validation="PRESENT" lets required members be missing, "NONE" lets everything pass.'
    return ""


def _text(value: Any, what: str) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as e:
        raise TypeError(f"{what} must be JSON data: {e}") from None


def _mock(mock: Mock | Mapping[str, Any], attempt: int) -> dict[str, Any]:
    """Return *mock* as the API takes it: a result as JSON text, or an error."""
    if isinstance(mock, Mock):
        if mock.fails(attempt):
            said = {"error": mock.error, "cause": mock.cause}
            return {"errorOutput": {key: value for key, value in said.items() if value is not None}}
        if callable(mock.result):
            raise TypeError("a mock of a state is data; give a callable as task=…")
        return {"result": _text({"": mock.result}, "mock")[5:-1]}
    if not isinstance(mock, Mapping) or set(mock) - {"result", "errorOutput", "fieldValidationMode"}:
        raise TypeError(
            'mock= takes sf.mock(…), {"result": …} or {"errorOutput": {"error": …, "cause": …}}, '
            f"not {compact(mock) if isinstance(mock, dict) else repr(mock)}"
        )
    return {key: _text(value, "mock") if key == "result" else value for key, value in mock.items()}


def _work(machine: StateMachine, task: Any, command: ScheduleTask) -> JSON:
    """Do the task with *task*: as the Lambda function where it invokes one, else as the service."""
    if task is None:
        raise TaskNotFoundError(
            f"nothing answers the task {command.state!r} ({command.resource}). Write test_state({command.state!r}, …, "
            "task=lambda event: {}) with what it does, or mock=sf.mock({}) with what the service answers."
        )
    for reply in task.done(machine, command) if isinstance(task, Local) else _answered(task, command):
        if isinstance(reply, TaskFailed):
            raise StatesError(reply.error, reply.cause)
        if isinstance(reply, TaskSucceeded):
            return reply.output
    raise TaskNotFoundError(f"the task {command.state!r} was not answered")


def _answered(task: Any, command: ScheduleTask) -> Iterator[Reply]:
    task = mocked(task) if callable(task) and command.pattern else task  # what it returns is what the task comes to
    as_function = function_name(command) is not None
    for _, reply in answer(task, command, random.Random(command.state), as_function=as_function):
        yield reply

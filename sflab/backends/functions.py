"""The work of Task states as Python: Lambda functions as callables, and mocks.

A *function* is what a Lambda function is: ``callable(event, context)``, where an exception is the Lambda error of
its class's name. A *mock* (`mock`) answers without code: a result, an error, a latency, failing for the first attempts.
"""

from __future__ import annotations

import inspect
import json
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sflab.asl.model import JSON, StatesError, compact, drawn_uuid
from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskSubmitted, TaskSucceeded


class Latency(Protocol):
    """How long something takes; `sflab.costs.latency` makes them."""

    def sample(self, rng: random.Random) -> float:
        """Return seconds, drawn with *rng*."""


@dataclass(frozen=True, slots=True)
class Mock:
    """What `mock` makes: the answer of a task, without code."""

    result: Any
    latency: float | Latency | None
    fail_first: int | None
    error: str | None
    cause: str | None
    submitted: JSON

    def fails(self, attempt: int) -> bool:
        """Whether attempt number *attempt* (from 1) fails."""
        return self.error is not None and (self.fail_first is None or attempt <= self.fail_first)


def mock(
    result: Any = None,
    *,
    latency: float | Latency | None = None,
    fail_first: int | None = None,
    error: str | None = None,
    cause: str | None = None,
    submitted: JSON = None,
) -> Mock:
    """Return an answer to bind to a function or a task.

    *result* is JSON data, or a callable of the event; *latency* seconds, or a model such as ``sf.lognormal(p50=…,
    p99=…)``. With *error* every attempt fails so, or the first *fail_first* of a visit; *cause* is its text.
    *submitted* is what a ``.sync`` or ``.waitForTaskToken`` service says when it takes the request.
    """
    if fail_first is not None and error is None:
        error = "Exception"
    if not callable(result):
        try:
            result = json.loads(json.dumps(result, allow_nan=False))  # as it is: what is done to it later is not meant
        except (TypeError, ValueError, RecursionError) as e:
            raise TypeError(f"mock(result=…) must be JSON data or a callable: {e}") from None
    return Mock(result, latency, fail_first, error, cause, submitted)


class LambdaContext:
    """The second argument of a Lambda function, as far as it means something here."""

    memory_limit_in_mb = "128"
    function_version = "$LATEST"

    def __init__(self, name: str, arn: str, request_id: str, seconds: float | None) -> None:
        self.function_name, self.invoked_function_arn, self.aws_request_id = name, arn, request_id
        self._seconds = 900.0 if seconds is None else seconds

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the task times out; the function's own duration does not count here."""
        return int(self._seconds * 1000)


def answer(bound: Any, command: ScheduleTask, rng: random.Random, *, as_function: bool) -> list[tuple[float, Reply]]:
    """Return the replies of *bound* (a mock, a callable or a constant) to a task, with their delays in seconds.

    As a function it is given the Lambda payload and its result is wrapped as ``lambda:invoke`` wraps it; as a task
    it is given the task's parameters and answers with the task's result. What a function that shall call back with the
    task's token returns is only what its invocation returned, as on AWS; a mock is what it calls back with.
    """
    invoke = as_function and command.kind == "task"
    event = command.parameters
    if invoke:
        event = event.get("Payload", {}) if isinstance(event, dict) else {}
    request = drawn_uuid(rng)
    took = 0.0
    if isinstance(bound, Mock):
        given = bound.latency
        took = float(given or 0) if isinstance(given, int | float | None) else given.sample(rng)
    output, failure = _outcome(bound, event, command, request, compactly=command.kind != "lambda")
    if invoke and command.pattern == "waitForTaskToken" and callable(bound):
        if failure is not None:
            return [(took, TaskFailed(command.token, *failure))]
        return [(took, TaskSubmitted(command.token, _invocation(output, request)))]
    if failure is not None:
        return [*_submitted(bound, command), (took, TaskFailed(command.token, *failure))]
    if invoke and command.pattern != "waitForTaskToken":
        output = _invocation(output, request)
    return [*_submitted(bound, command), (took, TaskSucceeded(command.token, output))]


def _submitted(bound: Any, command: ScheduleTask) -> list[tuple[float, Reply]]:
    if not command.pattern:
        return []
    said = bound.submitted if isinstance(bound, Mock) and bound.submitted is not None else {}
    return [(0.0, TaskSubmitted(command.token, said))]


def _outcome(
    bound: Any, event: JSON, command: ScheduleTask, request: str, *, compactly: bool
) -> tuple[JSON, tuple[str | None, str | None] | None]:
    """Return (result, None) or (None, (error, cause))."""
    work = bound
    if isinstance(bound, Mock):
        if bound.fails(command.attempt):
            return None, (bound.error, bound.cause)
        if not callable(bound.result):
            return bound.result, None
        work = bound.result
    name = command.resource.rpartition(":")[2] if command.kind == "lambda" else command.state
    context = LambdaContext(name, command.resource, request, command.timeout)
    try:
        made = _call(work, json.loads(json.dumps(event)), context) if callable(work) else work
    except StatesError as e:
        return None, (e.error, e.cause)
    except Exception as e:  # noqa: BLE001 - a function may raise anything: that is the task's outcome
        return None, (type(e).__name__, _runtime_error(e, name, request, compactly=compactly))
    try:
        return json.loads(json.dumps(made, allow_nan=False)), None
    except (TypeError, ValueError, RecursionError) as e:
        said = {
            "errorMessage": f"Unable to marshal response: {e}",
            "errorType": "Runtime.MarshalError",
            "requestId": request,
            "stackTrace": [],
        }
        return None, ("Runtime.MarshalError", compact(said) if compactly else json.dumps(said))


def _call(work: Callable[..., Any], event: JSON, context: LambdaContext) -> Any:
    """Call with (event, context), or with the event alone where the callable takes one argument."""
    try:
        parameters = inspect.signature(work).parameters.values()
    except (TypeError, ValueError):
        return _awaited(work(event, context))
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_two = len(positional) >= 2 or any(p.kind == p.VAR_POSITIONAL for p in parameters)
    return _awaited(work(event, context) if takes_two else work(event) if positional else work())


def _awaited(made: Any) -> Any:
    """Return what an ``async def`` function comes to; a notebook's own loop is running, so it is given another."""
    if not inspect.iscoroutine(made):
        return made
    import asyncio  # imported here, as it takes as long as all of sflab
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="sflab-async") as other:
        return other.submit(asyncio.run, made).result()


def _runtime_error(e: BaseException, name: str, request: str, *, compactly: bool) -> str:
    """Return the cause as Lambda's Python runtime words it.

    The function-ARN integration hands on the runtime's own text, with spaces; ``lambda:invoke`` writes it anew,
    compactly (24 of 24 and 96 of 96 recordings, conformance §6.2).
    """
    frames = [f for f in traceback.extract_tb(e.__traceback__) if "sflab/backends" not in f.filename.replace("\\", "/")]
    stack = [f'  File "/var/task/{name}.py", line {f.lineno}, in {f.name}\n    {f.line}\n' for f in frames]
    said = {"errorMessage": str(e), "errorType": type(e).__name__, "requestId": request, "stackTrace": stack}
    return compact(said) if compactly else json.dumps(said)


def _invocation(payload: JSON, request: str) -> JSON:
    """What ``lambda:invoke`` answers (shape as recorded)."""
    headers = {"X-Amz-Executed-Version": "$LATEST", "Content-Type": "application/json", "x-amzn-RequestId": request}
    return {
        "ExecutedVersion": "$LATEST",
        "Payload": payload,
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [value] for name, value in headers.items()},
            "HttpHeaders": headers,
            "HttpStatusCode": 200,
        },
        "SdkResponseMetadata": {"RequestId": request},
        "StatusCode": 200,
    }

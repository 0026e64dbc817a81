"""The Step Functions API over the local backend: every operation, in this process or over HTTP.

Theory of operation. An operation is a function of (account, request) that returns the response, found in a table by
its name; `respond` makes the answer of the AWS JSON 1.0 protocol from it. `client` is a boto3 client whose requests are
answered by `respond` instead of being sent (a handler of that one client's ``before-send`` event);
`sflab.backends.serve` answers HTTP with it. What is no execution's is in `resources`.

Errors and their order are as recorded (conformance groups api and express): the request's form, the ARN, the name,
whether there is such a thing, then its input.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sflab.asl import jackson
from sflab.asl.model import JSON, StatesError, read_json
from sflab.backends import mocks, resources
from sflab.backends.account import Account, Machine, Revision, Started, diagnose
from sflab.backends.execution import Execution, Outcome
from sflab.backends.local import LocalExecution
from sflab.backends.mapruns import ChildExecution, MapRun
from sflab.backends.nested import billed
from sflab.backends.requests import Arn, Request, answer, arn, check, check_name, execution_input, invalid, moment, page
from sflab.backends.statemachine import StateMachine
from sflab.engine import teststate
from sflab.engine.logs import without_data
from sflab.engine.messages import TaskFailed, TaskSucceeded
from sflab.errors import ApiError, DefinitionError, TaskNotFoundError

if TYPE_CHECKING:
    from sflab.backends.local import Local
    from sflab.engine.messages import ScheduleTask

TARGET = "AWSStepFunctions."
MAX_REQUEST = 1_048_576  # "Maximum request size: 1 MB per request … including the request header" (quotas page)
POLL = 60.0  # seconds GetActivityTask waits for a task (API reference)
#: Whether whoever asked still waits for the answer.
PRESENT: ContextVar[Callable[[], bool]] = ContextVar("PRESENT", default=lambda: True)
WRONG_TYPE = "This operation is not supported by this type of state machine"


# ── executions ───────────────────────────────────────────────────────────────────────────────────────────────────────


def standing(execution: Execution) -> Outcome:
    """How it stands; one that cannot go on here, because nothing is bound to a task, has failed and says why."""
    try:
        return execution._outcome()  # noqa: SLF001 - the backends' own word for it
    except Exception as e:  # noqa: BLE001 - what a function of the user threw is the cause
        return Outcome("FAILED", None, type(e).__name__, str(e))


def span(execution: Execution) -> tuple[float, float | None]:
    """When it started and, if it has, ended; epoch seconds of its own time."""
    if isinstance(execution, LocalExecution):
        over = execution.drive.ended.is_set()
        return execution.drive.start, execution.run.now if over else None
    events = execution.history.events
    over = standing(execution).status != "RUNNING"
    return events[0]["timestamp"].timestamp(), events[-1]["timestamp"].timestamp() if over else None


def find(account: Account, given: Arn) -> LocalExecution | ChildExecution:
    """Return a Standard execution by its ARN. Raises ApiError ``ExecutionDoesNotExist``."""
    if given.label is None and (found := account.local.executions.find(given.text)) is not None:
        return found
    for execution in reversed(list(account.local.executions)) if given.label else ():
        if execution.machine.name == given.name:
            for map_run in execution.map_runs:
                record = map_run.record
                for index in range(len(record.inputs)):
                    if record.child_arn(index) == given.text and record.child_status(index) != "PENDING":
                        return map_run.executions[index]
    raise ApiError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{given.text}'")


def started(account: Account, execution: Execution) -> Started:
    """Return what it was started through; a child execution, what its parent was."""
    own = owner(account, execution) if isinstance(execution, ChildExecution) else execution
    assert isinstance(own, LocalExecution)  # noqa: S101 - there are no others here
    return account.revision(own)


def _target(account: Account, given: Arn, name: str) -> tuple[Machine, Started]:
    """Return the state machine to start, and the revision an ARN means; an alias draws, as the name decides."""
    if given.label:
        raise invalid(f"A Distributed Map state's ARN cannot be started: {given.text}")
    found = account.machine(given)
    if not given.rest:
        return found, Started(found.revision)
    chosen, alias = given, found.aliases.get(given.rest)
    if alias is not None:
        versions = [route["stateMachineVersionArn"] for route in alias.routing]
        draw = random.Random(f"{account.local.seed}/{given.text}/{name}")
        chosen = arn(draw.choices(versions, [route["weight"] for route in alias.routing])[0])
    version = None if chosen.number is None else found.versions.get(chosen.number)
    if version is None:
        raise ApiError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{given.text}'")
    return found, Started(version.revision, chosen.text, given.text if alias else None)


def _start(account: Account, request: Request, *, sync: bool) -> LocalExecution:
    """Start what StartExecution or StartSyncExecution asks for; one that runs already may be the answer."""
    given = arn(request["stateMachineArn"], "stateMachine")
    check_name(asked := request.get("name", ""))
    with account.lock:
        account.adopt()
        name = asked or account.uuid("execution", given.name, len(account.local.executions))
        found, how = _target(account, given, name)
        if sync and found.type != "EXPRESS":
            raise ApiError("StateMachineTypeNotSupported", WRONG_TYPE)
        text = execution_input(request.get("input"))
        if asked and found.type == "STANDARD":
            known = account.local.executions.find(f"{account.here}:execution:{found.name}:{name}")
            if known is not None:
                if standing(known).status == "RUNNING" and known.input_text == text:
                    return known  # "called with the same name and input as a running execution" (API reference)
                raise ApiError("ExecutionAlreadyExists", f"Execution Already Exists: '{known.arn}'")
    how = Started(how.revision, how.version_arn, how.alias_arn, request.get("traceHeader"))
    try:
        how.revision.machine.check()
    except DefinitionError as e:
        raise ApiError("InvalidDefinition", str(e)) from None

    def before(execution: LocalExecution) -> None:
        account.started[execution.arn] = how
        execution.run.root.run.sync = sync

    return account.local.launch(how.revision.machine, text, name=name, before=before)


def start_execution(account: Account, request: Request) -> dict[str, Any]:
    """StartExecution; in virtual time the execution has gone as far as it can when this answers."""
    execution = _start(account, request, sync=False)
    return {"executionArn": execution.arn, "startDate": moment(span(execution)[0])}


def start_sync_execution(account: Account, request: Request) -> dict[str, Any]:
    """StartSyncExecution: an Express execution, and how it ended."""
    execution = _start(account, request, sync=True)
    execution.wait()
    begun, over = span(execution)
    stop = execution.run.now if over is None else over
    return {
        **_described(account, execution, request),
        "stopDate": moment(stop),
        "outputDetails": {"included": True},  # recorded of failed ones too
        "billingDetails": {"billedDurationInMilliseconds": billed(stop - begun), "billedMemoryUsedInMB": 64},
    }


def _described(account: Account, execution: Execution, request: Request) -> dict[str, Any]:
    """Return what descriptions of an execution have in common."""
    outcome, (begun, over) = standing(execution), span(execution)
    data = request.get("includedData") != "METADATA_ONLY"
    output = outcome.output if outcome.status == "SUCCEEDED" else None
    return {
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine_arn,
        "name": execution.name,
        "status": outcome.status,
        "startDate": moment(begun),
        "stopDate": None if over is None else moment(over),
        "input": execution.input_text if data else None,
        "inputDetails": {"included": data},
        "output": output if data else None,
        "outputDetails": {"included": data} if output is not None else None,
        "error": outcome.error if data else None,
        "cause": outcome.cause if data else None,
        "traceHeader": started(account, execution).trace_header,
    }


def describe_execution(account: Account, request: Request) -> dict[str, Any]:
    """DescribeExecution."""
    execution = find(account, arn(request["executionArn"], "execution"))
    how = started(account, execution)
    return {
        **_described(account, execution, request),
        "mapRunArn": execution.map_run.arn if isinstance(execution, ChildExecution) else None,
        "stateMachineVersionArn": how.version_arn,
        "stateMachineAliasArn": how.alias_arn,
        **redriving(execution),
    }


def redriving(execution: Execution) -> dict[str, Any]:
    """Return what is told of an execution's redrives."""
    if isinstance(execution, ChildExecution):  # it is redriven with its Map Run, never alone
        known = ("RUNNING", "SUCCEEDED")
        status = "NOT_REDRIVABLE" if standing(execution).status in known else "REDRIVABLE_BY_MAP_RUN"
        return {"redriveCount": 0, "redriveDate": None, "redriveStatus": status}
    if isinstance(execution, LocalExecution) and execution.drive.trouble is not None:  # it stands where it cannot go on
        reason = "Execution is RUNNING and cannot be redriven"
        return {
            "redriveCount": 0, "redriveDate": None, "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason,
        }  # fmt: skip
    redriven = [event["timestamp"] for event in execution.history if event["type"] == "ExecutionRedriven"]
    return {
        "redriveCount": len(redriven),
        "redriveDate": redriven[-1] if redriven else None,
        "redriveStatus": execution.redrive_status,
        "redriveStatusReason": execution.redrive_status_reason,
    }


def describe_state_machine_for_execution(account: Account, request: Request) -> dict[str, Any]:
    """DescribeStateMachineForExecution: the state machine as it was when the execution was started."""
    execution = find(account, arn(request["executionArn"], "execution"))
    revision: Revision = started(account, execution).revision
    child = execution if isinstance(execution, ChildExecution) else None
    return {
        "stateMachineArn": execution.machine_arn,
        "name": execution.machine.name,
        "updateDate": moment(revision.updated),
        "mapRunArn": child and child.map_run.arn,
        "label": child and child.map_run.record.label,
        **resources.described(revision, request),
    }


def get_execution_history(account: Account, request: Request) -> dict[str, Any]:
    """GetExecutionHistory."""
    execution = find(account, arn(request["executionArn"], "execution"))
    events = execution.history.events
    if request.get("reverseOrder"):
        events = events[::-1]
    items, token = page("GetExecutionHistory", request, events, lambda event: event["id"])
    if not request.get("includeExecutionData", True):
        items = [
            {name: without_data(part) if isinstance(part, dict) else part for name, part in event.items()}
            for event in items
        ]
    return {"events": items, "nextToken": token}


def list_executions(account: Account, request: Request) -> dict[str, Any]:
    """ListExecutions, newest first: of a state machine, a version or an alias, or of a Map Run."""
    if ("stateMachineArn" in request) == ("mapRunArn" in request):
        raise invalid("Either a state machine ARN or a map run ARN must be specified, but not both")
    if request.get("statusFilter") == "PENDING_REDRIVE" and "mapRunArn" not in request:
        raise invalid("A map run ARN must be specified for the status filter PENDING_REDRIVE")
    if "mapRunArn" in request:
        _, map_run = _map_run(account, request["mapRunArn"])
        begun = (child for child in reversed(map_run.executions) if child.status != "PENDING")
        found: list[Execution] = list(begun)
    else:
        found = list(_of_machine(account, request["stateMachineArn"]))
    if wanted := request.get("statusFilter"):
        found = [each for each in found if standing(each).status == wanted]
    if redriven := request.get("redriveFilter"):
        found = [each for each in found if bool(redriving(each)["redriveCount"]) == (redriven == "REDRIVEN")]
    items, token = page("ListExecutions", request, found, lambda each: each.arn)
    return {"executions": [_listed(account, each) for each in items], "nextToken": token}


def _of_machine(account: Account, text: str) -> Iterator[Execution]:
    given = arn(text, "stateMachine")
    machine = account.machine(given)
    if machine.type == "EXPRESS":
        raise ApiError("StateMachineTypeNotSupported", WRONG_TYPE)
    for each in reversed(list(account.local.executions)):
        if each.machine_arn == machine.arn:
            how = account.revision(each)
            if not given.rest or text in (how.version_arn, how.alias_arn):
                yield each


def _listed(account: Account, execution: Execution) -> dict[str, Any]:
    how, (begun, over) = started(account, execution), span(execution)
    child = execution if isinstance(execution, ChildExecution) else None
    redrive = redriving(execution)
    return {
        "executionArn": execution.arn,
        "stateMachineArn": execution.machine_arn,
        "name": execution.name,
        "status": standing(execution).status,
        "startDate": moment(begun),
        "stopDate": None if over is None else moment(over),
        "mapRunArn": child and child.map_run.arn,
        "itemCount": child and child.items,
        "stateMachineVersionArn": how.version_arn,
        "stateMachineAliasArn": how.alias_arn,
        "redriveCount": redrive["redriveCount"],
        "redriveDate": redrive["redriveDate"],
    }


def stop_execution(account: Account, request: Request) -> dict[str, Any]:
    """StopExecution; one that has ended stays as it is."""
    execution = find(account, arn(request["executionArn"], "execution"))
    execution.stop(request.get("error"), request.get("cause"))
    over = span(execution)[1]
    return {"stopDate": moment(account.now() if over is None else over)}


def redrive_execution(account: Account, request: Request) -> dict[str, Any]:
    """RedriveExecution."""
    execution = find(account, arn(request["executionArn"], "execution"))
    if isinstance(execution, ChildExecution):
        raise ApiError("ExecutionNotRedrivable", "A child execution is redriven with the execution it belongs to")
    execution.redrive(account.local)
    return {"redriveDate": redriving(execution)["redriveDate"] or moment(account.now())}


# ── Map Runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def owner(account: Account, child: ChildExecution) -> LocalExecution:
    """The execution whose Distributed Map started it."""
    record = child.map_run.record
    return next(each for each in account.local.executions if any(one is record for one in each.run.map_runs))


def _map_run(account: Account, text: str) -> tuple[LocalExecution, MapRun]:
    given = arn(text, "mapRun")
    for execution in list(account.local.executions):
        if execution.machine.name == given.name:
            for map_run in execution.map_runs:
                if map_run.arn == text:
                    return execution, map_run
    raise ApiError("ResourceNotFound", f"Resource not found: '{text}'")


def list_map_runs(account: Account, request: Request) -> dict[str, Any]:
    """ListMapRuns, newest first."""
    execution = find(account, arn(request["executionArn"], "execution"))
    items, token = page("ListMapRuns", request, list(reversed(execution.map_runs)), lambda run: run.arn)
    listed = [
        {
            "executionArn": run.execution_arn,
            "mapRunArn": run.arn,
            "stateMachineArn": run.record.machine_arn,
            "startDate": run.start_date,
            "stopDate": run.stop_date,
        }
        for run in items
    ]
    return {"mapRuns": listed, "nextToken": token}


def describe_map_run(account: Account, request: Request) -> dict[str, Any]:
    """DescribeMapRun."""
    return _map_run(account, request["mapRunArn"])[1].describe()


def update_map_run(account: Account, request: Request) -> dict[str, Any]:
    """UpdateMapRun: what is tolerated from now on. ``maxConcurrency`` is taken and changes nothing yet."""
    execution, run = _map_run(account, request["mapRunArn"])
    if run.status != "RUNNING":
        raise invalid(f"The map run is {run.status} and cannot be updated")

    def change() -> None:
        record = run.record
        record.count = request.get("toleratedFailureCount", record.count)
        record.percentage = request.get("toleratedFailurePercentage", record.percentage)

    execution.drive.clock.post(change)
    return {}


# ── tasks that wait, and definitions ─────────────────────────────────────────────────────────────────────────────────


def send_task_success(account: Account, request: Request) -> dict[str, Any]:
    """SendTaskSuccess."""
    try:
        read_json(text := request["output"])
    except (ValueError, RecursionError) as e:
        found = jackson.problem(request["output"])
        raise ApiError("InvalidOutput", f"Invalid Output: '{found.message if found else e}'") from None
    account.local.send_task_success(request["taskToken"], text)
    return {}


def send_task_failure(account: Account, request: Request) -> dict[str, Any]:
    """SendTaskFailure."""
    account.local.send_task_failure(request["taskToken"], request.get("error"), request.get("cause"))
    return {}


def send_task_heartbeat(account: Account, request: Request) -> dict[str, Any]:
    """SendTaskHeartbeat."""
    account.local.send_task_heartbeat(request["taskToken"])
    return {}


def get_activity_task(account: Account, request: Request) -> dict[str, Any]:
    """GetActivityTask. It waits a minute for a task, but not in virtual time, which stands still meanwhile."""
    found = resources.activity(account, request["activityArn"])
    local, worker = account.local, request.get("workerName")
    task = local.get_activity_task(found.arn, worker)
    due = time.monotonic() + (0.0 if local.virtual else POLL)
    while task is None and PRESENT.get()() and (left := due - time.monotonic()) > 0:
        task = local.get_activity_task(found.arn, worker, wait=min(left, 0.5))
    return dict(task or {})


def test_state(account: Account, request: Request) -> dict[str, Any]:
    """TestState. A Task without a mock is done by what the backend has bound to it."""
    local = account.local
    machine = StateMachine.load({"StartAt": "Tested", "States": {"Tested": {"Type": "Succeed"}}}, name="test")

    def work(command: ScheduleTask) -> JSON:
        for reply in local.done(machine, command):
            if isinstance(reply, TaskFailed):
                raise StatesError(reply.error, reply.cause)
            if isinstance(reply, TaskSucceeded):
                return reply.output
        raise TaskNotFoundError(f"the task {command.state!r} was not answered; test it with a mock")

    if "input" in request:
        execution_input(request["input"])
    machine_arn = f"{account.here}:stateMachine:test"
    tested = teststate.run(
        request, work=work, check=mocks.check, at=account.now(), seed=local.seed, machine_arn=machine_arn
    )
    return tested.response


def validate_state_machine_definition(_account: Account, request: Request) -> dict[str, Any]:
    """ValidateStateMachineDefinition."""
    _, found = diagnose(request["definition"], request.get("type", "STANDARD"))
    errors = [d for d in found if d.severity == "ERROR"]
    told = found if request.get("severity") == "WARNING" else errors
    most = request.get("maxResults") or 100
    names = ("severity", "code", "message", "location")
    return {
        "result": "FAIL" if errors else "OK",
        "diagnostics": [{name: getattr(d, name) or None for name in names} for d in told[:most]],
        "truncated": len(told) > most,
    }


#: Every operation of the service, by its name.
OPERATIONS: dict[str, Callable[[Account, Request], dict[str, Any]]] = {
    **resources.OPERATIONS,
    "DescribeExecution": describe_execution,
    "DescribeMapRun": describe_map_run,
    "DescribeStateMachineForExecution": describe_state_machine_for_execution,
    "GetActivityTask": get_activity_task,
    "GetExecutionHistory": get_execution_history,
    "ListExecutions": list_executions,
    "ListMapRuns": list_map_runs,
    "RedriveExecution": redrive_execution,
    "SendTaskFailure": send_task_failure,
    "SendTaskHeartbeat": send_task_heartbeat,
    "SendTaskSuccess": send_task_success,
    "StartExecution": start_execution,
    "StartSyncExecution": start_sync_execution,
    "StopExecution": stop_execution,
    "TestState": test_state,
    "UpdateMapRun": update_map_run,
    "ValidateStateMachineDefinition": validate_state_machine_definition,
}


# ── the protocol ─────────────────────────────────────────────────────────────────────────────────────────────────────


def respond(local: Local, target: str | None, body: bytes) -> tuple[int, bytes]:
    """Answer a request of the AWS JSON 1.0 protocol: (status, body).

    *target* is the ``X-Amz-Target`` header. Raises TaskNotFoundError where an execution in virtual time reaches a task
    that nothing is bound to.
    """
    try:
        operation = (target or "").removeprefix(TARGET) if (target or "").startswith(TARGET) else ""
        if operation not in OPERATIONS:
            raise ApiError("UnknownOperationException", "")
        if len(body) > MAX_REQUEST:
            raise ApiError("RequestEntityTooLargeException", f"The request is larger than {MAX_REQUEST:,} bytes")
        request, account = check(operation, _request(body)), local.account
        if operation in resources.LOCKED:
            with account.lock:
                response = OPERATIONS[operation](account, request)
        else:
            response = OPERATIONS[operation](account, request)
        return 200, answer(response).encode()
    except ApiError as e:
        said = {"__type": e.code} | ({"message": str(e)} if str(e) else {})
        return 413 if e.code == "RequestEntityTooLargeException" else 400, json.dumps(said).encode()


def _request(body: bytes) -> Any:
    try:
        request = read_json(body.decode()) if body else {}
    except (ValueError, RecursionError):
        raise ApiError("SerializationException", "") from None
    if not isinstance(request, dict):
        raise ApiError("SerializationException", "Start of structure or map found where not expected.")
    return request


class _Body(io.BytesIO):
    """A response's body as botocore reads one."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while part := self.read(65536):
            yield part


@functools.cache
def _session() -> Any:
    """Return a botocore session that knows nothing of this computer's profiles and credentials."""
    import botocore.session

    nothing = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return botocore.session.Session(session_vars=nothing)


def client(local: Local) -> Any:
    """Return a boto3 client of Step Functions that *local* answers."""
    import boto3.session
    import botocore.awsrequest
    import botocore.config

    session = boto3.session.Session(
        aws_access_key_id="sflab",
        aws_secret_access_key="sflab",
        botocore_session=_session(),
    )
    config = botocore.config.Config(inject_host_prefix=False)
    made = session.client("stepfunctions", region_name=local.region, config=config)

    def reply(request: Any, **_: Any) -> Any:
        target = request.headers.get("X-Amz-Target", "")
        target = target.decode() if isinstance(target, bytes) else target
        body = request.body or b""
        status, text = respond(local, target, body.encode() if isinstance(body, str) else body)
        headers = {"Content-Type": "application/x-amz-json-1.0", "Content-Length": str(len(text))}
        return botocore.awsrequest.AWSResponse(request.url, status, headers, _Body(text))

    made.meta.events.register("before-send.sfn", reply)
    return made

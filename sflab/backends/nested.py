"""Executions that executions start: ``states:startExecution`` in its forms, as Step Functions asks and answers them.

The optimized integration's field names, their alphabetical order and its error texts are as recorded (conformance
groups callback and services): ``.sync`` gives Output as JSON text, ``.sync:2`` as JSON.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from sflab.asl.model import JSON, compact, drawn_uuid
from sflab.engine.frames import iso
from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskSucceeded

if TYPE_CHECKING:
    from sflab.backends.execution import Execution
    from sflab.errors import ApiError

#: "cause … Maximum length of 32768" (API reference); what is nested would double with every level.
MAX_CAUSE = 32_768
#: resource type -> what its actions start an execution, and how
STARTS = {"states": ("startExecution",), "aws-sdk:sfn": ("startExecution", "startSyncExecution")}


def starts_execution(command: ScheduleTask) -> bool:
    """Whether the task starts an execution of a state machine."""
    return command.action.partition(".")[0] in STARTS.get(command.resource_type, ())


def input_of(parameters: JSON) -> str:
    """Return the input as text: an object is written as JSON, text is taken as it is, null and nothing are ``{}``."""
    given = parameters.get("Input") if isinstance(parameters, dict) else None
    return "{}" if given is None else given if isinstance(given, str) else compact(given)


def started(execution: Execution, at: float, command: ScheduleTask, rng: random.Random) -> JSON:
    """What StartExecution answers."""
    if command.resource_type != "states":
        return {"ExecutionArn": execution.arn, "StartDate": iso(at)}
    from sflab.backends.services import metadata

    body = f'{{"executionArn":"{execution.arn}","startDate":{at / 1e9:.12f}E9}}'  # 161 bytes where 161 were recorded
    said = {"ExecutionArn": execution.arn, "StartDate": round(at * 1000)}
    return metadata(said, "states", drawn_uuid(rng), len(body), at)


def ended(execution: Execution, command: ScheduleTask) -> Reply:
    """What a ``.sync`` task, or StartSyncExecution, comes back with when the execution has ended."""
    events, status = execution.history.events, execution.status
    begun, over = events[0]["timestamp"].timestamp(), events[-1]["timestamp"].timestamp()
    sdk, read = command.resource_type != "states", command.action.endswith(":2")

    def value(text: str) -> JSON:
        return json.loads(text) if read else text

    said: dict[str, JSON] = {
        "BillingDetails": {"BilledDurationInMilliseconds": billed(over - begun), "BilledMemoryUsedInMB": 64},
        "Cause": execution.cause,
        "Error": execution.error,
        "ExecutionArn": execution.arn,
        "Input": value(execution.input_text),
        "InputDetails": {"Included": True},
        "Name": execution.name,
        "Output": value(execution.output_text) if execution.output_text is not None else None,
        "OutputDetails": {"Included": True} if status == "SUCCEEDED" else None,
        "StartDate": iso(begun) if sdk else round(begun * 1000),
        "StateMachineArn": execution.machine_arn,
        "Status": status,
        "StopDate": iso(over) if sdk else round(over * 1000),
    }
    if not sdk:
        del said["BillingDetails"]
        said |= redriving(status)
    said = {name: said[name] for name in sorted(said) if said[name] is not None}
    if status == "SUCCEEDED" or sdk:
        return TaskSucceeded(command.token, said)
    return TaskFailed(command.token, "States.TaskFailed", compact(said)[:MAX_CAUSE])


def redriving(status: str) -> dict[str, JSON]:
    """The fields about redrive of an execution that has not been redriven (recorded 2025)."""
    if status != "SUCCEEDED":
        return {"RedriveCount": 0, "RedriveStatus": "REDRIVABLE"}
    reason = "Execution is SUCCEEDED and cannot be redriven"
    return {"RedriveCount": 0, "RedriveStatus": "NOT_REDRIVABLE", "RedriveStatusReason": reason}


def refused(error: ApiError, command: ScheduleTask, rng: random.Random) -> TaskFailed:
    """The failure of a task whose call the Step Functions API refused, in the words of its integration."""
    request = drawn_uuid(rng)
    if command.resource_type == "states":
        name = f"StepFunctions.{error.code}Exception"
        said = (
            f"Service: AWSStepFunctions; Status Code: 400; Error Code: {error.code}; Request ID: {request}; Proxy: null"
        )
        return TaskFailed(command.token, name, f"{error} ({said})")
    said = f"(Service: Sfn, Status Code: 400, Request ID: {request}) (SDK Attempt Count: 1)"
    return TaskFailed(command.token, f"Sfn.{error.code}Exception", f"{error} {said}")


def billed(seconds: float) -> int:
    """Milliseconds an Express execution is billed: "rounded up to the nearest 100 ms" (pricing page)."""
    return max(1, -(-round(seconds * 1000) // 100)) * 100

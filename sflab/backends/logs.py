"""What Step Functions tells of an execution: log events in CloudWatch Logs, status changes on EventBridge.

An Express execution has no history on AWS: its log is all there is of it. The shape is as recorded (conformance
§6.2): ids are strings, ``details`` is what the history has as ``…EventDetails``, and without execution data its
inputs and outputs are missing, errors and causes are not. Which events a level has:
https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sflab.engine.history import SHAPES, Event, details
from sflab.errors import DefinitionError

if TYPE_CHECKING:
    from sflab.backends.execution import Execution

LEVELS = ("ALL", "ERROR", "FATAL", "OFF")
_FATAL = ("ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut")
_ENDINGS = ("Failed", "TimedOut", "Aborted")
#: Members of an event's details that hold an execution's data.
DATA = (
    "input", "inputDetails", "output", "outputDetails", "parameters", "assignedVariables", "assignedVariablesDetails",
    "taskCredentials",
)  # fmt: skip


def logged(type_: str, level: str) -> bool:
    """Whether events of the type are logged at *level*: ``ERROR`` has all that failed, ``FATAL`` only the end."""
    match level:
        case "ALL":
            return True
        case "ERROR":
            return type_.endswith(_ENDINGS) or type_ == "FailStateEntered"
        case "FATAL":
            return type_ in _FATAL
    return False


def log_events(
    events: Iterable[Event], execution_arn: str, *, level: str = "ALL", include_execution_data: bool = True
) -> list[dict[str, Any]]:
    """Return the log events of a history, oldest first, ``event_timestamp`` in epoch milliseconds as text.

    Raises DefinitionError for a level that is none.
    """
    if level not in LEVELS:
        raise DefinitionError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
    out, redriven = [], 0
    for event in events:
        redriven += event["type"] == "ExecutionRedriven"
        if logged(event["type"], level):
            said = details(event)
            out.append(
                {
                    "id": str(event["id"]),
                    "type": event["type"],
                    "details": said if include_execution_data else without_data(said),
                    "previous_event_id": str(event.get("previousEventId", 0)),
                    "event_timestamp": str(round(event["timestamp"].timestamp() * 1000)),
                    "execution_arn": execution_arn,
                    "redrive_count": str(redriven),
                }
            )
    return out


def without_data(said: Event) -> Event:
    """Return an event's details without the execution's data."""
    return {name: value for name, value in said.items() if name not in DATA}


#: "If the combined escaped input and escaped output … exceeds 248 KiB, then the input will be excluded" (developer
#: guide, "Automating Step Functions event delivery with EventBridge").
MAX_EVENT_DATA = 248 * 1024


def status_changes(execution: Execution) -> list[dict[str, Any]]:
    """Return the EventBridge events of a Standard execution: it runs, and how it ended if it has (as recorded)."""
    events = execution.history.events
    _, _, _, region, account, *_ = execution.arn.split(":")
    begun = round(events[0]["timestamp"].timestamp() * 1000)
    moments = [(events[0], "RUNNING")]
    if execution.status != "RUNNING":
        moments.append((events[-1], execution.status))
    out = []
    for event, status in moments:
        over = status != "RUNNING"
        output = execution.output_text if over else None
        fits = len(json.dumps(execution.input_text)) + len(json.dumps(output)) <= MAX_EVENT_DATA
        detail = {
            "executionArn": execution.arn,
            "stateMachineArn": execution.machine_arn,
            "name": execution.name,
            "status": status,
            "startDate": begun,
            "stopDate": round(event["timestamp"].timestamp() * 1000) if over else None,
            "input": execution.input_text if fits else None,
            "output": output,
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "redriveCount": execution.redrive_count if over else 0,
            "redriveDate": None,
            "redriveStatus": execution.redrive_status if over else "NOT_REDRIVABLE",
            "redriveStatusReason": (
                execution.redrive_status_reason if over else "Execution is RUNNING and cannot be redriven"
            ),
            "inputDetails": {"included": fits},
            "outputDetails": {"included": True} if output is not None else None,
            "error": execution.error if over else None,
            "cause": execution.cause if over else None,
        }
        out.append(
            {
                "version": "0",
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{execution.arn}/{event['id']}")),
                "detail-type": "Step Functions Execution Status Change",
                "source": "aws.states",
                "account": account,
                "time": event["timestamp"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                "region": region,
                "resources": [execution.arn],
                "detail": detail,
            }
        )
    return out


def recorded(log_events: Iterable[dict[str, Any]], execution_arn: str | None = None) -> list[Event]:
    """Return the events that CloudWatch log events tell of, oldest first: `log_events` backwards.

    *log_events* are what FilterLogEvents or GetLogEvents answer (``{"message": …}``), or the messages themselves; what
    is no log event of Step Functions, or of another execution than *execution_arn*, is left out, and so are doubles.
    """
    out: dict[int, Event] = {}
    for each in log_events:
        said = _message(each)
        if said is None or execution_arn not in (None, said.get("execution_arn")):
            continue
        event: Event = {
            "timestamp": datetime.fromtimestamp(int(said["event_timestamp"]) / 1000, UTC),
            "type": said["type"],
            "id": int(said["id"]),
            "previousEventId": int(said.get("previous_event_id", 0)),
        }
        if said.get("details"):
            event[_details_of(said["type"])] = said["details"]
        out[event["id"]] = event
    return [out[number] for number in sorted(out)]


def executions_in(log_events: Iterable[dict[str, Any]]) -> list[str]:
    """Return the ARNs of the executions that CloudWatch log events are of, as they come."""
    said = (_message(each) for each in log_events)
    return list(dict.fromkeys(str(s["execution_arn"]) for s in said if s and s.get("execution_arn")))


def _message(event: dict[str, Any]) -> dict[str, Any] | None:
    said: Any = event.get("message", event)
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return None
    if not isinstance(said, dict) or not isinstance(said.get("type"), str):
        return None
    numbers = (said.get("id"), said.get("event_timestamp"), said.get("previous_event_id", "0"))
    return said if all(str(n).isdecimal() for n in numbers) else None


def _details_of(type_: str) -> str:
    """Return the member of an event that holds its details: ``taskFailedEventDetails``."""
    return SHAPES[type_][0] if type_ in SHAPES else f"{type_[:1].lower()}{type_[1:]}EventDetails"

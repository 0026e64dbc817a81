"""What Step Functions logs of an execution: which events a level has, and the shape CloudWatch Logs gets them in.

An Express execution has no history on AWS: its log is all there is of it. The shape is as recorded (conformance
§6.2): ids are strings, ``details`` is what the history has as ``…EventDetails``, and without execution data its
inputs and outputs are missing, errors and causes are not. Which events a level has:
https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sflab.engine.history import SHAPES, Event, details
from sflab.errors import DefinitionError

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

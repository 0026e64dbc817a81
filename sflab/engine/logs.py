"""What Step Functions logs of an execution: which events a level has, and the shape CloudWatch Logs gets them in.

An Express execution has no history on AWS: its log is all there is of it. The shape is as recorded (conformance
§6.2): ids are strings, ``details`` is what the history has as ``…EventDetails``, and without execution data its
inputs and outputs are missing, errors and causes are not. Which events a level has:
https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sflab.engine.history import Event, details
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

"""What Step Functions tells EventBridge of an execution; `sflab.engine.logs` is what it writes to CloudWatch Logs."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sflab.backends.execution import Execution

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

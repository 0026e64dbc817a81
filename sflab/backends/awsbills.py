"""What belongs to the bill of an execution on AWS beside its own history: what its tasks started, Express answers.

Nested executions are found in the history, which names them, and read with what they started themselves. What may not
be read, and Express executions, of which AWS keeps no history, stay out; the bill's notes tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sflab.costs.charges import read_json
from sflab.costs.estimate import Bill, priced, prices_of
from sflab.costs.usage import Usage, gb_seconds
from sflab.engine.history import details
from sflab.errors import BackendError

if TYPE_CHECKING:
    from sflab.backends.remote import AWSExecution
    from sflab.costs.prices import Prices


def express_bill(
    arn: str, ms: int, mb: int, *, region: str | None = None, prices: Prices | None = None, **_: Any
) -> Bill:
    """Return the bill of an Express execution that was billed for *ms* milliseconds at *mb* MB."""
    used = Usage(notes={"AWS keeps no history of an Express execution: what its tasks used is not in the bill": None})
    used.add("stepfunctions.express-request", "one per execution", 1)
    counted = f"{mb} MB for {ms:,} ms, as StartSyncExecution told"
    used.add("stepfunctions.express-gb-second", counted, gb_seconds(mb, ms))
    where = region or (None if prices else arn.split(":")[3])
    return priced(used, prices_of(where, prices), title="one Express execution")


def started(execution: AWSExecution) -> Iterator[AWSExecution]:
    """Attach to the executions that the tasks of *execution* started, but Express ones and those one may not read."""
    for event in execution.history.events:
        said = details(event) if event["type"] in ("TaskSubmitted", "TaskSucceeded") else {}
        if said.get("resourceType") not in ("states", "aws-sdk:sfn") or "startExecution" not in said["resource"]:
            continue
        if "." in said["resource"] and event["type"] == "TaskSucceeded":
            continue  # the TaskSubmitted event has named it
        output = read_json(said.get("output"))
        arn = str(output.get("ExecutionArn") or output.get("executionArn") or "")
        if arn and ":express:" not in arn:
            try:
                yield execution.aws.execution(arn)
            except BackendError:  # of another account, or gone: the bill says that it has a bill of its own
                continue

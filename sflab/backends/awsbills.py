"""What belongs to the bill of an execution on AWS beside its own history: Map Runs, nested executions, Express answers.

The counts of a Map Run are DescribeMapRun's. Of its child executions a few of each status are read (ListExecutions,
GetExecutionHistory): they stand for the others, and the bill says so. Nested executions are found in the history, which
names them, and read with what they started themselves. What may not be read, and Express executions, of which AWS keeps
no history, stay out; the bill's notes tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sflab.backends.aws import AWSExecution
from sflab.backends.execution import Execution
from sflab.backends.mapruns import processor
from sflab.backends.statemachine import StateMachine
from sflab.costs.charges import read_json
from sflab.costs.estimate import Bill, priced, prices_of
from sflab.costs.usage import Children, Nested, Usage, gb_seconds
from sflab.engine.history import Event, details
from sflab.errors import BackendError

if TYPE_CHECKING:
    from sflab.costs.prices import Prices

SAMPLED = 10  # child executions of a Map Run that are read, of each status
#: How a child execution ended -> its count in DescribeMapRun's answer.
_COUNTS = {
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "TIMED_OUT": "timedOut",
    "ABORTED": "aborted",
}


def billed(execution: AWSExecution) -> Nested:
    """Return *execution* with its Map Runs and the executions it started, as `sflab.costs.usage.Meter` counts them."""
    own = Execution.billed(execution)
    nested = tuple(billed(each) for each in _started(execution))
    return replace(own, children=tuple(_children(execution)), nested=nested)


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


def _started(execution: AWSExecution) -> Iterator[AWSExecution]:
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
                yield execution.aws.attach(arn)
            except BackendError:  # of another account, or gone: the bill says that it has a bill of its own
                continue


def _children(execution: AWSExecution) -> Iterator[Children]:
    visits = execution.visits
    state_of = {event: visit.state for visit in visits for event in visit.events}
    places = {place.name: place.state for place in execution.machine.definition.places()}
    for event in execution.history.events:
        if event["type"] != "MapRunStarted":
            continue
        arn, state = details(event)["mapRunArn"], state_of[event["id"]]
        said = execution.aws.call("describe_map_run", mapRunArn=arn)["executionCounts"]
        counts = {status: int(said.get(name, 0)) for status, name in _COUNTS.items()}
        config = places[state].get("ItemProcessor", {}).get("ProcessorConfig", {})
        machine = processor(execution.machine, places[state], state, config.get("ExecutionType", "STANDARD"))
        yield Children(
            arn, state, machine.definition, machine.type, counts, _histories(execution, arn, machine, counts)
        )


def _histories(
    execution: AWSExecution, arn: str, machine: StateMachine, counts: Mapping[str, int]
) -> Iterator[tuple[str, list[Event], Sequence[Children]]]:
    if machine.type == "EXPRESS":
        return
    for status in (status for status, number in counts.items() if number):
        listed = execution.aws.call("list_executions", mapRunArn=arn, statusFilter=status, maxResults=SAMPLED)
        for each in listed["executions"]:
            child = AWSExecution(machine, execution.aws, arn=each["executionArn"], input="{}")
            yield status, child.history.events, tuple(_children(child))

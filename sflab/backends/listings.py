"""What there is on AWS of executions: those of a state machine, and of a Map Run, listed and looked into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from functools import cached_property
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, overload

from sflab.backends.mapruns import MapRun
from sflab.backends.remote import PAGE, AWSExecution, Pace
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import Event

if TYPE_CHECKING:
    import pandas as pd

    from sflab.asl.model import Place
    from sflab.backends.aws import AWS
    from sflab.backends.express import ExpressExecution
    from sflab.costs.usage import Children

SAMPLE = 10  # child executions of a status whose histories are read unasked, for a bill or a live graph


def distributed(machine: StateMachine) -> list[Place]:
    """Return where in a definition the Distributed Maps are."""
    return [p for p in machine.definition.places() if _processor(p).get("Mode") == "DISTRIBUTED"]


def _processor(place: Place | None) -> Mapping[str, Any]:
    inner = place.state.get("ItemProcessor") if place else None
    config = inner.get("ProcessorConfig") if isinstance(inner, dict) else None
    return config if isinstance(config, dict) else {}


#: DescribeMapRun's counts of child executions that were started -> how those stand.
_COUNTED = {
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "timedOut": "TIMED_OUT",
    "aborted": "ABORTED",
}


class AWSMapRun(MapRun):
    """A Map Run on AWS: DescribeMapRun's answer, asked anew while it runs, and the child executions."""

    unasked = SAMPLE

    def __init__(self, machine: StateMachine, aws: AWS, arn: str) -> None:
        self.machine, self.aws = machine, aws
        self._known: dict[str, Any] = {"mapRunArn": arn}
        self._pace = Pace(0.5)

    def describe(self) -> dict[str, Any]:
        """Return what DescribeMapRun answers."""
        if self._known.get("stopDate") is None and not self._pace.left():
            said = self.aws.call("describe_map_run", mapRunArn=self._known["mapRunArn"])
            self._pace.asked(news=said.get("itemCounts") != self._known.get("itemCounts"))
            self._known = {k: v for k, v in said.items() if k != "ResponseMetadata"}
        return self._known

    @property
    def arn(self) -> str:
        """The ARN of the Map Run."""
        return str(self._known["mapRunArn"])

    @property
    def record(self) -> Any:  # type: ignore[override]
        """What DescribeMapRun says, under the names the engine's own Map Runs have."""
        said, place = self.describe(), self._place
        stopped = said.get("stopDate")
        return SimpleNamespace(
            arn=said["mapRunArn"],
            execution_arn=said["executionArn"],
            status=said["status"],
            state=place.name if place else self._label,
            label=self._label,
            pointer=place.pointer if place else "",
            type=_processor(place).get("ExecutionType", "STANDARD"),
            max_concurrency=said["maxConcurrency"],
            count=said["toleratedFailureCount"],
            percentage=said["toleratedFailurePercentage"],
            item_counts=said["itemCounts"],
            execution_counts=said["executionCounts"],
            redrive_count=said.get("redriveCount", 0),
            started_at=said["startDate"].timestamp(),
            stopped_at=None if stopped is None else stopped.timestamp(),
        )

    @property
    def _label(self) -> str:
        """The label: between the machine's name and the run's own id, ``mapRun:machine/label:id``."""
        return str(self._known["mapRunArn"]).split(":")[6].partition("/")[2]

    @cached_property
    def _place(self) -> Place | None:
        """Where in the definition its Map state is: by its label, its name, or as the only one there is."""
        found = distributed(self.machine)
        named = [p for p in found if self._label in (p.state.get("Label"), p.name)]
        if named:
            return named[0]
        return found[0] if len(found) == 1 else None

    @cached_property
    def executions(self) -> Listing:  # type: ignore[override]
        """Its child executions, the newest first, as ListExecutions tells of them now."""
        return Listing(self.aws, {"mapRunArn": self._known["mapRunArn"]}, machine=self.processor)

    def billed(self) -> Children:
        """Return the child executions as `sflab.costs.usage.Meter` counts them: the histories of a sample are read."""
        from sflab.costs.usage import Children

        record = self.record
        counts = {status: record.execution_counts.get(name, 0) for name, status in _COUNTED.items()}
        definition = self.processor.definition
        return Children(record.arn, record.state, definition, record.type, counts, self._histories())

    def _histories(self) -> Iterator[tuple[str, list[Event], list[Children]]]:
        if self.record.type == "EXPRESS":  # AWS lists those nowhere
            return
        for name, status in _COUNTED.items():
            if self.record.execution_counts.get(name):
                about = {"mapRunArn": self._known["mapRunArn"], "statusFilter": status}
                for child in Listing(self.aws, about, machine=self.processor, limit=SAMPLE):
                    yield status, child.history.events, [run.billed() for run in child.map_runs]

    def __repr__(self) -> str:
        items, record = self.describe().get("itemCounts", {}), self.record
        done = ", ".join(f"{n:,} {name}" for name, n in items.items() if n and name not in ("total", "resultsWritten"))
        return f"MapRun({record.state} {record.status}, {items.get('total', 0):,} items: {done or 'none'})"


class Listing(Sequence["AWSExecution"]):
    """Executions on AWS, the newest first, as ListExecutions tells of them; more is asked when one is looked at.

    ``df`` is a table with a row for each, and asks for nothing more:

    ============= ================= ===================================================================================
    column        dtype             what it holds
    ============= ================= ===================================================================================
    name          string            its name, the last part of its ARN
    status        category          RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE
    items         Int64             how many items a child execution processes; missing for others
    started       datetime64[, UTC] when it started
    stopped       datetime64[, UTC] when it ended; missing before
    seconds       float64           from start to end
    redrive_count Int64             how often it was redriven
    arn           string            its ARN
    ============= ================= ===================================================================================
    """

    def __init__(
        self, aws: AWS, about: Mapping[str, Any], *, machine: StateMachine | None = None, limit: int | None = None
    ) -> None:
        self.aws, self.about, self.machine, self.limit = aws, about, machine, limit

    @cached_property
    def said(self) -> list[dict[str, Any]]:
        """What ListExecutions answers."""
        out: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while self.limit is None or len(out) < self.limit:
            size = PAGE if self.limit is None else min(PAGE, self.limit - len(out))
            page = self.aws.call("list_executions", **self.about, maxResults=size, **more)
            out += page["executions"]
            if not page.get("nextToken"):
                break
            more = {"nextToken": page["nextToken"]}
        return out[: self.limit]

    @overload
    def __getitem__(self, index: int) -> AWSExecution: ...
    @overload
    def __getitem__(self, index: slice) -> list[AWSExecution]: ...
    def __getitem__(self, index: int | slice) -> AWSExecution | list[AWSExecution]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        said = self.said[index]
        return AWSExecution(self.machine, self.aws, arn=said["executionArn"], input=None, listed=said["status"])

    def __len__(self) -> int:
        return len(self.said)

    @property
    def df(self) -> pd.DataFrame:
        """A row per execution; columns and dtypes as described above."""
        import pandas as pd

        said = self.said

        def texts(name: str) -> Any:
            return pd.Series([s.get(name) for s in said], dtype="string")

        def moments(name: str) -> Any:
            at = [s[name].astimezone(UTC) if s.get(name) else None for s in said]
            return pd.Series(pd.to_datetime(pd.Series(at, dtype="object"), utc=True)).astype("datetime64[us, UTC]")

        started, stopped = moments("startDate"), moments("stopDate")
        return pd.DataFrame(
            {
                "name": texts("name"),
                "status": pd.Series(pd.Categorical([s["status"] for s in said])),
                "items": pd.Series([s.get("itemCount") for s in said], dtype="Int64"),
                "started": started,
                "stopped": stopped,
                "seconds": (stopped - started).dt.total_seconds(),
                "redrive_count": pd.Series([s.get("redriveCount") for s in said], dtype="Int64"),
                "arn": texts("executionArn"),
            }
        )

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for s in self.said:
            counts[s["status"]] = counts.get(s["status"], 0) + 1
        return f"Executions({len(self)}{': ' * bool(counts)}{', '.join(f'{n} {name}' for name, n in counts.items())})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.tables import mimebundle

        return mimebundle(repr(self), self.df.drop(columns="arn"), ("name", "status", "seconds", "redrive_count"))


class Deployment:
    """A state machine that is on AWS: its definition as it stands there, and its latest executions."""

    def __init__(self, machine: StateMachine, aws: AWS, arn: str) -> None:
        self.machine, self.aws, self.arn = machine, aws, arn

    @cached_property
    def executions(self) -> Listing:
        """Its latest executions, at most 100, the newest first; `AWS.executions` gives others.

        An Express machine's are in CloudWatch Logs only: raises BackendError.
        """
        return self.aws.executions(self.arn)

    def start_execution(self, input: Any = None, *, name: str | None = None) -> AWSExecution | ExpressExecution:
        """Start it, as `AWS.start_execution` does."""
        return self.aws.start_execution(self.arn, input, name=name)

    def __repr__(self) -> str:
        return f"Deployment({self.arn} {self.machine.type}, {len(self.machine.states)} states)"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.graph import svg

        parts, words = [svg(self.machine.definition)], repr(self)
        if self.machine.type == "STANDARD":
            listed = self.executions._repr_mimebundle_()
            parts.append(listed["text/html"])
            words = f"{words}\n{listed['text/plain']}"
        return {"text/plain": words, "text/html": f"<p>{escape(self.arn)}</p>{''.join(parts)}"}

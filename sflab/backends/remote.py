"""What runs on AWS, or ran there: executions, their child executions, Express executions in their logs.

Theory of operation. How an execution stands and what has happened in it are asked for apart: `DescribeExecution` is
small and answers `status` and `wait`; `GetExecutionHistory` is read when somebody looks at events, and then only what
is new. The first reading goes through all pages, oldest first. Later ones go newest first, a few events at a time,
and stop where they meet what is known, so that nothing is read twice but those few. Event ids are dense: an event is
taken when it is the next one, which makes doubles and gaps impossible whatever order pages come in. Whoever asks
again at once is answered from what is known (`Pace`), so a loop over `status` is no burden on the account's request
quota. What is to be masked is masked as it is read: nothing here holds it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, overload

from sflab.backends.awsbills import express_bill, started
from sflab.backends.bar import Bar
from sflab.backends.execution import Execution, History, Outcome
from sflab.backends.mapruns import MapRun, MapRuns
from sflab.engine.history import ENDS, Event, details, normalise
from sflab.engine.logs import logged, recorded
from sflab.engine.masking import mask_event
from sflab.errors import BackendError, ExecutionFailed

if TYPE_CHECKING:
    import pandas as pd

    from sflab.asl.model import JSON, Place
    from sflab.backends.aws import AWS
    from sflab.backends.local import Local
    from sflab.backends.statemachine import StateMachine
    from sflab.costs.estimate import Bill
    from sflab.costs.usage import Children

SLOWEST = 5.0  # seconds between two questions when nothing happens
LATE = 30.0  # seconds a history or a log may lag behind the end of its execution
PAGE = 1000  # events: the most GetExecutionHistory gives at once
GLANCE = 10  # events: enough to see whether anything is new
SAMPLE = 10  # child executions of a status whose histories are read to make out a Map Run's bill


class Pace:
    """When to ask again: soon after news, ever later while there is none. Seconds."""

    def __init__(self, fastest: float) -> None:
        self.fastest = self.gap = fastest
        self.due = 0.0

    def left(self) -> float:
        """Seconds until it is time to ask; 0 when it is."""
        return max(0.0, self.due - time.monotonic())

    def asked(self, *, news: bool) -> None:
        """It was asked just now, and there was news or not."""
        self.gap = self.fastest if news else min(1.5 * self.gap, SLOWEST)
        self.due = time.monotonic() + self.gap

    def hurry(self) -> None:
        """Ask as soon as somebody looks."""
        self.gap, self.due = self.fastest, 0.0


class AWSExecution(Execution):
    """An execution on AWS. What was read of it stays; interrupting a cell that waits or reads loses nothing."""

    def __init__(self, machine: StateMachine, aws: AWS, *, arn: str, input: str) -> None:
        super().__init__(machine, arn=arn, input=aws.masked(input))
        self.aws = aws
        self._read: list[Event] = []
        self._known: Outcome | None = None
        self._glance = GLANCE
        self._before = 0  # events that were there when it was redriven: their end is not the end
        self._redrive: tuple[str, str | None] = ("", None)
        self._describing, self._reading = Pace(0.1), Pace(0.4)
        self._lock = threading.RLock()  # the live graph reads from a thread of its own

    @property
    def _ended(self) -> bool:
        return self._known is not None and self._known.status != "RUNNING"

    @property
    def _whole(self) -> bool:
        return len(self._read) > self._before and self._read[-1]["type"] in ENDS

    def _outcome(self) -> Outcome:
        with self._lock:
            if self._known is None or not (self._ended or self._describing.left()):
                said = self.aws.call("describe_execution", executionArn=self.arn)
                told = (self.aws.masked(said.get(name)) for name in ("output", "error", "cause"))
                known = Outcome(said["status"], *told)
                self._redrive = said.get("redriveStatus", ""), said.get("redriveStatusReason")
                self._describing.asked(news=self._known != known)
                self._known = known
                if known.status == "SUCCEEDED" and known.output is None:
                    # Some servers say so before they have the output; the history has it, sooner or later.
                    self._known = known._replace(output=details(self._events()[-1]).get("output"))
            return self._known

    def _events(self, start: int = 0) -> list[Event]:
        with self._lock:
            due = time.monotonic() + LATE
            while not (self._ended and self._whole) and (self._ended or not self._reading.left()):
                before = len(self._read)
                self._fetch()
                self._reading.asked(news=len(self._read) > before)
                if self._whole and not self._ended:
                    self._describing.hurry()
                if self._whole or not self._ended:
                    break
                if time.monotonic() > due:
                    raise BackendError(
                        f"{self.arn} has ended, but {LATE:.0f} seconds later its history still stops at event "
                        f"{len(self._read)}: try again in a minute"
                    )
                time.sleep(self._reading.left())
            return self._read[start:]

    def _fetch(self) -> None:
        """Read the events that are not known yet."""
        if not self._read:
            token = None
            with Bar(f"reading {self}", unit="events") as bar:
                while True:
                    page = self._page(token, maxResults=PAGE)
                    self._add(page["events"])
                    token = page.get("nextToken")
                    if not token:
                        return
                    bar(len(self._read))
        fresh: list[Event] = []
        token = None
        while True:
            page = self._page(token, maxResults=self._glance, reverseOrder=True)
            new = [e for e in page["events"] if e["id"] > len(self._read)]
            fresh += new
            token = page.get("nextToken")
            if len(new) < len(page["events"]) or not token:
                break
            if self._glance < PAGE:  # more has happened than a glance shows: begin again with a longer one
                self._glance, token, fresh = min(4 * self._glance, PAGE), None, []
        self._add(fresh)
        self._glance = min(max(GLANCE, 2 * len(fresh)), PAGE)

    def _page(self, token: str | None, **given: Any) -> dict[str, Any]:
        more: dict[str, Any] = {"nextToken": token} if token else {}
        return self.aws.call("get_execution_history", executionArn=self.arn, **given, **more)

    def _add(self, events: list[Event]) -> None:
        for e in normalise(events):
            if e["id"] == len(self._read) + 1:
                self._read.append(mask_event({**e, "timestamp": e["timestamp"].astimezone(UTC)}, self.aws.masked))

    @property
    def map_runs(self) -> MapRuns:
        """The Map Runs of its Distributed Maps (ListMapRuns), in the order in which they started."""
        if not distributed(self.machine):
            return MapRuns()
        said: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            page = self.aws.call("list_map_runs", executionArn=self.arn, maxResults=PAGE, **more)
            said += page["mapRuns"]
            if not page.get("nextToken"):
                break
            more = {"nextToken": page["nextToken"]}
        ordered = sorted(said, key=lambda each: each["startDate"])
        return MapRuns(AWSMapRun(self.machine, self.aws, each["mapRunArn"]) for each in ordered)

    def wait(self, timeout: float | None = None) -> AWSExecution:
        """Wait until it has ended, at most *timeout* seconds; return it either way. Asks ever more rarely."""
        due = None if timeout is None else time.monotonic() + timeout
        with Bar(f"waiting for {self}") as bar:
            while self.status == "RUNNING":
                left = SLOWEST if due is None else due - time.monotonic()
                if left <= 0:
                    break
                bar(0, note=f"{len(self._read):,} events read" if self._read else "running")
                time.sleep(min(left, self._describing.left(), 1.0))
        return self

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution (StopExecution); nothing happens to one that has ended."""
        if self.status == "RUNNING":
            told: dict[str, Any] = {
                name: text for name, text in (("error", error), ("cause", cause)) if text is not None
            }
            self.aws.call("stop_execution", executionArn=self.arn, **told)
            self._describing.hurry()
            self._reading.hurry()

    def redrive(
        self,
        local: Local | None = None,
        *,
        functions: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> AWSExecution:
        """Go on from where it failed, timed out or was aborted (RedriveExecution); returns at once.

        It runs on AWS, with AWS's functions: to try others, redrive its history here:
        ``sf.replay(run.machine, run.history).redrive(functions={…})``. Raises BackendError where AWS refuses.
        """
        if local is not None or functions or tasks or at:
            raise BackendError(
                "a redrive on AWS uses what is deployed there, now. To try it with other functions, redrive its "
                "history here: sf.replay(run.machine, run.history).redrive(functions={…})"
            )
        with self._lock:
            before = len(self._events())
            self.aws.call("redrive_execution", executionArn=self.arn, clientToken=str(uuid.uuid4()))
            self._before, self._known = before, None
            self._describing.hurry()
            self._reading.hurry()
        return self

    def _redrivable(self) -> tuple[str, str | None]:
        with self._lock:
            self._known = None  # it depends on when one asks
            self._outcome()
            return self._redrive

    @property
    def nested(self) -> Sequence[AWSExecution]:
        """The Standard executions that its tasks started, as far as its history names them and one may read them."""
        return list(started(self))


class ExpressExecution(Execution):
    """An Express execution on AWS. Its events are in CloudWatch Logs, where its machine's logging is on.

    *said* is StartSyncExecution's answer where we waited for it; otherwise its log tells how it ended. *since* is when
    it began, or earlier: from there on the log is searched.
    """

    def __init__(
        self,
        machine: StateMachine,
        aws: AWS,
        *,
        arn: str,
        input: str,
        said: dict[str, Any] | None = None,
        since: datetime | None = None,
    ) -> None:
        super().__init__(machine, arn=arn, input=aws.masked(input))
        self.aws, self.said, self.since = aws, said, since
        self._read: list[Event] | None = None

    def _outcome(self) -> Outcome:
        if self.said is not None:
            told = (self.said.get(name) for name in ("output", "error", "cause"))
            return Outcome(self.said["status"], *(self.aws.masked(text) for text in told))
        events = self._events()
        kind = events[-1]["type"] if events else ""
        if kind not in ENDS:
            return Outcome("RUNNING")
        status = {"ExecutionTimedOut": "TIMED_OUT"}.get(kind, kind.removeprefix("Execution").upper())
        return Outcome(status, *(details(events[-1]).get(name) for name in ("output", "error", "cause")))

    def _events(self, start: int = 0) -> list[Event]:
        if self._read is None or (self.said is None and not (self._read and self._read[-1]["type"] in ENDS)):
            self._read = self._logged()
            started = next((details(e).get("input") for e in self._read if e["type"] == "ExecutionStarted"), None)
            if started is not None and self.said is None:
                self.input_text = started
        return self._read[start:]

    def _logged(self) -> list[Event]:
        """Read its log events; an ended execution's to the end, which arrives some seconds later."""
        group, level = self._log_group()
        client = self.aws.service("logs")
        given: dict[str, Any] = {"logGroupName": group, "filterPattern": f'"{self.arn}"'}
        began = self.said["startDate"] if self.said else self.since
        if began is not None:
            given["startTime"] = int(began.timestamp() * 1000) - 1000
        pace, due = Pace(0.5), time.monotonic() + LATE
        while True:
            found = self._pages(client, given)
            events = [mask_event(e, self.aws.masked) for e in recorded(found, self.arn)]
            ended = bool(events) and events[-1]["type"] in ENDS
            shall_end = self.said is not None and logged(f"Execution{self.said['status'].title()}", level)
            if ended or not shall_end:
                return events
            if time.monotonic() > due:
                raise BackendError(
                    f"{self.arn} has ended, but {LATE:.0f} seconds later its log in {group} has "
                    f"{len(events)} events and not the last one: try again in a minute"
                )
            pace.asked(news=False)
            time.sleep(pace.left())

    def _pages(self, client: Any, given: dict[str, Any]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        with Bar(f"searching {given['logGroupName']}", unit="log events found") as bar:
            while True:  # a page may be empty and not the last: AWS searches so much at a time
                page = self.aws.call("filter_log_events", client=client, **given, **more)
                out += page.get("events", ())
                bar(len(out))
                token = page.get("nextToken")
                if not token or token == more.get("nextToken"):
                    return out
                more = {"nextToken": token}

    def _log_group(self) -> tuple[str, str]:
        said = self.aws.call("describe_state_machine", stateMachineArn=self.machine_arn)
        logging = said.get("loggingConfiguration") or {}
        arns = [d.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "") for d in logging.get("destinations", ())]
        level = str(logging.get("level", "OFF"))
        if level == "OFF" or not any(arns):
            billed = (self.said or {}).get("billingDetails") or {}
            cost = (
                f" (Billed: {billed.get('billedDurationInMilliseconds', '?')} ms at "
                f"{billed.get('billedMemoryUsedInMB', '?')} MB.)"
            )
            raise BackendError(
                "AWS keeps the events of an Express execution in CloudWatch Logs only, and the logging of "
                f"{self.machine_arn} is off. Turn it on (level ALL, with execution data) and run it again, or run it "
                f"with sf.Local to see them.{cost if billed else ''}"
            )
        return arns[0].split(":log-group:")[-1].removesuffix(":*"), level

    def result(self) -> JSON:
        """Return the output. Raises ExecutionFailed unless it succeeded, with a history where there is a log."""
        outcome = self._outcome()
        if outcome.status == "SUCCEEDED":
            return self.output
        try:
            history = self.history
        except BackendError:  # its log is off, and how it ended is known all the same
            history = History([], self.machine.definition)
        raise ExecutionFailed(outcome.status, outcome.error, outcome.cause, history)

    def cost(self, **options: Any) -> Bill:
        """Return what it cost, from its log; *options* are those of `sflab.costs.estimate.bill`.

        Without a log it is what Step Functions billed, as StartSyncExecution told, and without what its tasks used.
        Raises BackendError where that is not known either.
        """
        billed = (self.said or {}).get("billingDetails") or {}
        ms, mb = billed.get("billedDurationInMilliseconds"), billed.get("billedMemoryUsedInMB")
        try:
            return super().cost(**({} if mb is None else {"express_memory_mb": mb}), **options)
        except BackendError:
            if ms is None or mb is None:
                raise
        return express_bill(self.arn, int(ms), int(mb), **options)

    @property
    def seconds(self) -> float:
        """How long it took."""
        if self.said is None:
            return super().seconds
        return float((self.said["stopDate"] - self.said["startDate"]).total_seconds())

    def stop(self, error: str | None = None, cause: str | None = None) -> None:  # noqa: ARG002
        """AWS cannot stop an Express execution: raises BackendError, unless it has ended."""
        if self.status == "RUNNING":
            raise BackendError("AWS cannot stop an Express execution: it ends by itself within five minutes")

    def __repr__(self) -> str:
        if self.said is None:
            return super().__repr__()
        outcome = self._outcome()
        said = f", error={outcome.error!r}" if outcome.error else ""
        return f"Execution({self.machine.name}/{self.name} {outcome.status}{said}, Express)"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        try:
            return super()._repr_mimebundle_(**options)
        except BackendError as e:
            return {"text/plain": f"{self!r}\n{e}"}


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
    """Executions on AWS, the newest first, as ListExecutions tells of them; each is attached to when it is looked at.

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
        return self.aws.execution(self.said[index]["executionArn"], self.machine)

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

    def _repr_html_(self) -> str:
        return self.df.drop(columns="arn").to_html(max_rows=60, notebook=True)


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
            parts.append(self.executions._repr_html_())
            words = f"{words}\n{self.executions!r}"
        return {"text/plain": words, "text/html": f"<p>{escape(self.arn)}</p>{''.join(parts)}"}

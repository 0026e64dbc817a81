"""What executions used, in the units AWS charges for: a pure function of (definition, history).

Theory of operation. A `Meter` knows one definition and how to count. Reading a history gives a `Usage`: exact
quantities by what is charged and why. Usages add, so a thousand simulated executions are metered, added up and priced
once (`sflab.costs.estimate`).

What counts as a transition (AWS Step Functions pricing page, and the guide's chapters on Map, Retry and redrive): every
state entered; each Retry attempt once more; an inline Map's iterations not as such, only the states inside them; one
for each child execution a distributed Map starts; one for a redrive, and what it attempts again counts again. Whether
the start and the end of an execution count is where public sources disagree: some bills fit none, some one, some two.
It is the parameter ``start_end``, 1 unless told, and every bill prints it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, Self

from sflab.asl.model import JSON, Definition, walk
from sflab.costs.charges import SERVICES, Call, charges, express_billed, read_json, reported, size
from sflab.costs.prices import exact
from sflab.engine.history import Event, details, normalise
from sflab.engine.logs import LEVELS, log_events

# ── rounding, as each service meters ─────────────────────────────────────────────────────────────────────────────────


def express_memory_mb(definition_bytes: int, payload_bytes: int) -> Decimal:
    """Memory of an Express execution, in MB: 50 MB, its definition, and the data of its Map and Parallel steps.

    *payload_bytes* is the data of all those steps together. Kilobytes are decimal here: AWS's example adds 50 KB and
    400 × 32 KB to 50 MB and gets 62.85 MB (Step Functions pricing page).
    """
    return 50 + Decimal(definition_bytes + payload_bytes) / 1_000_000


def billed_memory_mb(mb: float | Decimal) -> int:
    """Round the memory of an Express execution up to the next 64 MB, at least one such chunk."""
    return 64 * max(1, int((exact(mb) / 64).to_integral_value(ROUND_CEILING)))


def billed_ms(duration: timedelta, *, step: int = 100) -> int:
    """Round a duration up to whole steps of *step* ms, at least one: 100 ms for Express, 1 ms for Lambda."""
    return step * max(1, -(-(duration // timedelta(microseconds=1)) // (step * 1000)))


def gb_seconds(memory_mb: float | Decimal, ms: float | Decimal) -> Decimal:
    """*memory_mb* for *ms* milliseconds in GB-seconds; a GB is 1,024 MB here."""
    return exact(memory_mb) * exact(ms) / 1_024_000


# ── from a history to quantities ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Usage:
    """What executions used: ``quantities`` by (item, what was counted), and how many ``transitions`` and ``seconds``.

    ``transitions`` counts as Standard does, whatever the type, so that two types can be compared. ``notes`` say what is
    not in the quantities.
    """

    quantities: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)  # an ordered set
    transitions: int = 0
    seconds: float = 0.0

    def add(self, item: str, counted: str, quantity: float | Decimal) -> None:
        """Add *quantity* units of a price item; *counted* says what they are."""
        if quantity:
            key = (item, counted)
            self.quantities[key] = self.quantities.get(key, Decimal(0)) + exact(quantity)

    def __iadd__(self, other: Usage) -> Self:
        for (item, counted), quantity in other.quantities.items():
            self.add(item, counted, quantity)
        self.notes |= other.notes
        self.transitions += other.transitions
        self.seconds += other.seconds
        return self


@dataclass(frozen=True, slots=True)
class Children:
    """The child executions of one Map Run: how many stand how, and the histories there are of them.

    ``histories`` gives (status, events, Map Runs inside it) of each child whose history was kept; ``counts`` counts
    all that were started, by status.
    """

    arn: str
    state: str
    definition: Definition | Mapping[str, JSON]
    type: str
    counts: Mapping[str, int]
    histories: Iterable[tuple[str, Any, Sequence[Children]]]

    @property
    def started(self) -> int:
        """How many child executions were started."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Nested:
    """An execution that a task started: its definition, its history, and what it started itself."""

    arn: str
    name: str
    definition: Definition | Mapping[str, JSON]
    type: str
    events: Any
    children: Sequence[Children] = ()
    nested: Sequence[Nested] = ()


@dataclass(slots=True)
class Meter:
    """Counts what executions of one definition used; `read` takes one history at a time.

    ``memory_mb`` (an int, or a dict from function name to int, with ``"*"`` for the others), ``architecture`` and
    ``ephemeral_mb`` describe the Lambda functions, which no history tells. ``express_memory_mb`` replaces the estimate
    of an Express execution's memory by a measured one, ``child_executions`` the number of a distributed Map's children.
    ``logging`` is the level at which executions are logged (ALL, ERROR, FATAL, OFF), ``include_execution_data`` whether
    inputs and outputs are; ``api_type`` is REST or HTTP, whichever the APIs are that tasks call.
    """

    definition: Definition | Mapping[str, JSON]
    type: str = "STANDARD"
    start_end: int = 1
    memory_mb: int | Mapping[str, int] = 128
    architecture: str = "x86_64"
    ephemeral_mb: int = 512
    express_memory_mb: float | None = None
    child_executions: int | None = None
    logging: str = "OFF"
    include_execution_data: bool = True
    api_type: str = "REST"
    size: int = field(init=False, default=0)  # bytes of the definition
    maps: dict[str, Mapping[str, JSON]] = field(init=False, default_factory=dict)  # Map -> its state

    def __post_init__(self) -> None:
        for name, value, known in (
            ("type", self.type, ("STANDARD", "EXPRESS")),
            ("architecture", self.architecture, ("x86_64", "arm64")),
            ("logging", self.logging, LEVELS),
            ("api_type", self.api_type, ("REST", "HTTP")),
        ):
            if value not in known:
                raise ValueError(f"{name} is {', '.join(known[:-1])} or {known[-1]}, not {value!r}")
        if self.start_end not in (0, 1, 2):
            raise ValueError(
                f"start_end is how many transitions start and end count as: 0, 1 or 2, not {self.start_end!r}"
            )
        sizes = self.memory_mb.values() if isinstance(self.memory_mb, Mapping) else [self.memory_mb]
        if not all(isinstance(mb, (int, float)) and mb > 0 for mb in (*sizes, self.ephemeral_mb)):
            raise ValueError("memory_mb and ephemeral_mb are megabytes, above 0: 512, or {'Charge': 1024, '*': 128}")
        raw, text = (d.raw, d.text) if isinstance(d := self.definition, Definition) else (dict(d), "")
        self.size = size(text or raw)
        self.maps = {p.name: p.state for p in walk(raw) if p.state.get("Type") == "Map"}

    def read(
        self,
        events: Any,
        children: Sequence[Children] = (),
        nested: Sequence[Nested] = (),
        *,
        billed: frozenset[str] = frozenset(),
    ) -> Usage:
        """Return what the execution with this history used, and with it the *children* of its Map Runs.

        *nested* are the executions its tasks started, *billed* the ARNs of some that are billed elsewhere. *events*
        comes in any shape `normalise` accepts. ``seconds`` are the execution's own.
        """
        billed |= {execution.arn for execution in nested}
        usage = self.reading(events, children, billed).usage()
        for run in children:
            self._roll_up(usage, run, billed)
        family = list(nested)
        for execution in family:  # what they started follows them; one may start the next a thousand times
            self._add_nested(usage, execution)
            family += execution.nested
        return usage

    def reading(self, events: Any, children: Sequence[Children] = (), nested: frozenset[str] = frozenset()) -> _Reading:
        """Read a history and return what was counted on the way, event by event; *nested* are ARNs billed elsewhere."""
        ready = isinstance(events, list) and events and isinstance(events[0].get("timestamp"), datetime)
        known = {run.arn: run.started for run in children}
        reading = _Reading(self, known, nested)
        events = events if ready else normalise(events)
        for event in events:
            reading.read(event)
        if self.logging != "OFF":
            reading.logged(events)
        return reading

    def _add_nested(self, usage: Usage, execution: Nested) -> None:
        meter = replace(self, definition=execution.definition, type=execution.type, child_executions=None)
        meter.express_memory_mb = None  # a measured one is this execution's own
        inner = frozenset(below.arn for below in execution.nested)
        used = meter.read(execution.events, execution.children, billed=inner)
        for (item, counted), quantity in used.quantities.items():
            usage.add(item, f"nested executions of {execution.name}: {counted}", quantity)
        usage.notes |= used.notes
        if execution.type == "STANDARD":  # an Express one is billed by request and time
            usage.transitions += used.transitions

    def _roll_up(self, usage: Usage, run: Children, billed: frozenset[str]) -> None:
        """Add what the child executions of a Map Run used; that one was started is the parent's transition."""
        meter = replace(self, definition=run.definition, type=run.type, start_end=0, child_executions=None)
        sums: dict[str, tuple[int, Usage]] = {}
        for status, events, inner in run.histories:
            known, so_far = sums.get(status, (0, Usage()))
            so_far += meter.read(events, inner, billed=billed)
            sums[status] = known + 1, so_far
        metered = 0
        for status, total in run.counts.items():
            known, found = sums.get(status) or _merged(sums.values())
            if not total or not known:
                continue
            metered += known if status in sums else 0
            for (item, counted), quantity in found.quantities.items():
                usage.add(item, f"child executions of {run.state}: {counted}", quantity * total / known)
            usage.notes |= found.notes
            if run.type == "STANDARD":
                usage.transitions += round(found.transitions * total / known)
        if not sums and run.started and run.type == "EXPRESS":
            counted = f"child executions of {run.state}: one per execution"
            usage.add("stepfunctions.express-request", counted, run.started)
            usage.notes[
                f"how long the child executions of {run.state} took is not known: only their requests are billed"
            ] = None
        elif not sums and run.started:
            usage.notes[f"no history of the child executions of {run.state} was kept: they are not in the bill"] = None
        elif metered < run.started:
            text = f"{run.started - metered:,} of {run.started:,} child executions of {run.state}"
            usage.notes[f"{text} are billed as the average of those whose histories were kept"] = None


def _merged(sums: Iterable[tuple[int, Usage]]) -> tuple[int, Usage]:
    total, out = 0, Usage()
    for known, usage in sums:
        total += known
        out += usage
    return total, out


class _Reading:
    """One pass over one history.

    *started* says how many child executions a Map Run started, by its ARN; *nested* are the ARNs of the executions that
    are billed with this one. ``posted`` is everything that was counted, with the event it was counted at (None for what
    belongs to the whole execution).
    """

    def __init__(self, meter: Meter, started: Mapping[str, int], nested: frozenset[str]) -> None:
        self.meter, self.started, self.nested = meter, started, nested
        self.types: dict[int, str] = {}
        self.posted: list[tuple[int | None, str, str, int | Decimal]] = []
        self.transitions: list[tuple[int | None, str, int]] = []
        self.calls: dict[int, tuple[datetime, Mapping[str, Any]]] = {}  # latest event of a running task -> its begin
        self.attempted: set[int] = set()  # StateEntered events that an attempt has followed
        self.payload = 0  # bytes of the data of Map and Parallel steps
        self.items: dict[int, tuple[str, int]] = {}  # MapStateStarted -> (state, items)
        self.names: dict[int, str] = {}  # MapStateEntered -> state
        self.notes: dict[str, None] = {}
        self.began: datetime | None = None
        self.now: datetime | None = None

    def read(self, event: Event) -> None:
        kind, self.now = event["type"], event["timestamp"]
        self.began = self.began or self.now
        self.types[event["id"]] = kind
        before = self.types.get(event["previousEventId"])
        if kind.endswith("StateEntered"):
            self.transitions.append((event["id"], ENTERED, 1))
            self._enter(event, kind, before)
        elif kind in _ATTEMPTS and before is not None:
            if before != _ATTEMPTS[kind]:
                self.transitions.append((event["id"], RETRIED, 1))
            elif event["previousEventId"] in self.attempted:  # a redrive points at where the state was entered
                self.transitions.append((event["id"], AGAIN, 1))
            self.attempted.add(event["previousEventId"])
        if (how := _READERS.get(kind)) is not None:
            how(self, event)

    def usage(self) -> Usage:
        """Settle what is open and return the quantities, the execution's own before those of its tasks."""
        self.settle()
        out = Usage(notes=self.notes)
        counts: Counter[str] = Counter()
        for _, counted, times in self.transitions:
            counts[counted] += times
        out.transitions = counts.total()
        took = self.now - self.began if self.now and self.began else timedelta(0)
        out.seconds = took.total_seconds()
        if self.meter.type == "EXPRESS":
            self._express(out, took)
        else:
            for counted, times in counts.items():
                out.add("stepfunctions.transition", counted, times)
        totals: dict[tuple[str, str], int | Decimal] = {}
        for _, item, counted, quantity in self.posted:
            totals[item, counted] = totals.get((item, counted), 0) + quantity
        for item, counted in sorted(totals, key=_functions_first):
            out.add(item, counted, totals[item, counted])
        return out

    def settle(self) -> None:
        """Charge what was still going on when the history ended, and the start and the end of the execution."""
        for event, (begin, about) in self.calls.items():
            self._charge(event, begin, about, {}, "; still running when the execution ended, billed until then")
        self.calls = {}
        ends = f"start and end of the execution, as {self.meter.start_end}: sources differ"
        self.transitions.append((None, ends, self.meter.start_end))

    def _express(self, out: Usage, took: timedelta) -> None:
        memory = self.meter.express_memory_mb
        mb = billed_memory_mb(express_memory_mb(self.meter.size, self.payload) if memory is None else memory)
        how = "50 MB + definition + data of Map and Parallel steps" if memory is None else "as given"
        out.add("stepfunctions.express-request", "one per execution", 1)
        counted = f"{mb} MB ({how}, in steps of 64 MB), time in steps of 100 ms"
        out.add("stepfunctions.express-gb-second", counted, gb_seconds(mb, billed_ms(took)))

    def logged(self, events: Iterable[Event]) -> None:
        """Charge what CloudWatch Logs takes in: each log event's JSON, and 26 bytes more (CloudWatch Logs quotas)."""
        level, data = self.meter.logging, self.meter.include_execution_data
        told = log_events(events, _AN_ARN, level=level, include_execution_data=data)
        bytes_ = sum(size(event) + 26 for event in told)
        text = f"log events at level {level}, {'with' if data else 'without'} execution data, 26 bytes more for each"
        self.posted.append((None, "cloudwatch.logs-ingested", text, Decimal(bytes_) / 2**30))

    # -- one reader per kind of event

    def _enter(self, event: Event, kind: str, before: str | None) -> None:
        if kind == "MapStateEntered":
            self.names[event["id"]] = details(event).get("name", "")
        if before in ("MapIterationStarted", "ParallelStateStarted"):
            self.payload += size(details(event).get("input"))

    def redriven(self, event: Event) -> None:
        self.transitions.append((event["id"], "each redrive", 1))

    def map_started(self, event: Event) -> None:
        name = self.names.get(event["previousEventId"], "")
        self.items[event["id"]] = (name, int(details(event).get("length") or 0))

    def map_run(self, event: Event) -> None:
        name, items = self.items.get(event["previousEventId"], ("", 0))
        state = self.meter.maps.get(name, {})
        children = self.started.get(details(event).get("mapRunArn", ""))
        if children is None:
            batcher = state.get("ItemBatcher")
            batch = batcher.get("MaxItemsPerBatch") if isinstance(batcher, dict) else 1
            children = self.meter.child_executions
            if children is None and items and isinstance(batch, int):
                children = -(-items // batch)
            self.notes["the child executions of a distributed Map have bills of their own: add them with +"] = None
            if children is None:
                self.notes["how many child executions were started is not in the history: give child_executions="] = (
                    None
                )
        if children:
            counted = "each child execution a distributed Map starts"
            self.transitions.append((event["id"], counted, children))
        self._files(event["id"], state, children or 0)

    def _files(self, event: int, state: Mapping[str, JSON], children: int) -> None:
        """Charge the requests to S3 that a distributed Map's ItemReader and ResultWriter imply."""
        reader, writer = (str(_part(state, name).get("Resource", "")) for name in ("ItemReader", "ResultWriter"))
        if ":listObjects" in reader:
            text = "the ItemReader's listing, 1,000 objects a request, at least one object a child execution"
            self.posted.append((event, "s3.write-request", text, max(1, -(-children // 1000))))
        elif reader:
            self.posted.append((event, "s3.read-request", "the ItemReader's file, read at once", 1))
        if writer:
            text = "the ResultWriter's files: a manifest, and one of results"
            self.posted.append((event, "s3.write-request", text, 2))

    def scheduled(self, event: Event) -> None:
        about = details(event)
        if event["type"] == "LambdaFunctionScheduled":
            about = {"resourceType": "lambda", "resource": "invoke", "function": about.get("resource")}
        self.calls[event["id"]] = (event["timestamp"], about)

    def begins(self, event: Event) -> None:
        call = self.calls.pop(event["previousEventId"], None)
        if call is not None:
            self.calls[event["id"]] = (event["timestamp"], call[1])

    def call_ends(self, event: Event) -> None:
        call = self.calls.pop(event["previousEventId"], None)
        if call is not None:
            self._charge(event["id"], *call, details(event))

    def call_never_began(self, event: Event) -> None:
        self.calls.pop(event["previousEventId"], None)

    # -- what a call is charged as

    def _charge(
        self, event: int, begin: datetime, about: Mapping[str, Any], ended: Mapping[str, Any], how: str = ""
    ) -> None:
        service = SERVICES.get(about["resourceType"], about["resourceType"])
        action = about["resource"].partition(".")[0]
        if service == "lambda" and action.startswith("invoke"):
            if ended.get("error") not in _NEVER_RAN:
                self._lambda(event, begin, about, ended, how)
            return
        text = about.get("parameters") or "{}"
        output = read_json(ended.get("output"))
        if service == "states":
            if "error" not in ended or output:  # a start that was refused started nothing
                self._started(event, action, output)
            return
        call = Call(
            service, action, read_json(text), text if isinstance(text, str) else "{}", output, self.meter.api_type
        )
        found = charges(call)
        if found is None:
            self.notes[_UNPRICED.get(f"{service}:{action}", f"{service}:{action} is not in the price data")] = None
        else:
            self.posted += [(event, *charge) for charge in found]

    def _lambda(
        self, event: int, begin: datetime, about: Mapping[str, Any], ended: Mapping[str, Any], how: str
    ) -> None:
        name, asked = about.get("function"), {}
        if name is None and (
            isinstance(self.meter.memory_mb, Mapping) or "InvocationType" in (about.get("parameters") or "")
        ):
            asked = read_json(about.get("parameters"))
            name = asked.get("FunctionName")
        if asked.get("InvocationType") == "DryRun":
            return
        self.posted.append((event, "lambda.request", "each attempt that ran, failed ones too", 1))
        if asked.get("InvocationType") == "Event":
            self.notes["a function invoked as Event runs after its task has ended: its time is not in the history"] = (
                None
            )
            return
        sizes, function = self.meter.memory_mb, _name(name)
        memory = sizes.get(function, sizes.get("*", 128)) if isinstance(sizes, Mapping) else sizes
        output = ended.get("output")
        told = reported(read_json(output)) if isinstance(output, str) and "LogResult" in output else None
        ms = told or billed_ms((self.now or begin) - begin, step=1)
        counted = (
            "time as Lambda reported it"
            if told
            else f"time between the history's events (no less than the function's own){how}"
        )
        self.posted.append(
            (event, f"lambda.gb-second-{self.meter.architecture}", f"{memory} MB, {counted}", gb_seconds(memory, ms))
        )
        extra = self.meter.ephemeral_mb - 512
        if extra > 0:
            text = f"{self.meter.ephemeral_mb} MB of /tmp, 512 MB of it free{how}"
            self.posted.append((event, "lambda.ephemeral-gb-second", text, gb_seconds(extra, ms)))

    def _started(self, event: int, action: str, output: Mapping[str, Any]) -> None:
        """Charge an execution that the task started, where its answer tells what was billed."""
        if not action.startswith("start"):
            return
        if output.get("ExecutionArn", output.get("executionArn")) in self.nested:
            return
        if (billed := express_billed(output)) is None:
            self.notes["executions it started have bills of their own: add them with +"] = None
            return
        ms, mb = billed
        self.posted.append((event, "stepfunctions.express-request", "each nested Express execution", 1))
        text = f"nested Express executions at {mb} MB, as StartSyncExecution told"
        self.posted.append((event, "stepfunctions.express-gb-second", text, gb_seconds(mb, ms)))


def _functions_first(key: tuple[str, str]) -> int:
    """Order Lambda's lines before those of other services."""
    return _LAMBDA.get(key[0].partition("-")[0], len(_LAMBDA))


def _part(state: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    part = state.get(name)
    return part if isinstance(part, dict) else {}


def _name(resource: Any) -> str:
    """Return a function's name from a name, a full or partial ARN, with or without a version."""
    name = str(resource or "").rpartition("function:")[2]
    return name.partition(":")[0]


#: Lambda's lines, by how their items' names begin.
_LAMBDA = {"lambda.request": 0, "lambda.gb": 1, "lambda.ephemeral": 2}

ENTERED = "each state entered"
RETRIED = "each Retry attempt once more"
AGAIN = "each state a redrive attempts again"

#: An execution's ARN, of which every log event has one: as long as they commonly are.
_AN_ARN = (
    "arn:aws:states:us-east-1:123456789012:express:a-state-machine:01234567-89ab-cdef-0123-456789abcdef:01234567-89ab"
)

#: What has no price in the data, in other words than that.
_UNPRICED = {
    "http:invoke": "http:invoke and its connection have no price of their own; what is called there may have one",
}

#: An attempt, and the event that comes before a first one. After anything else it is a further one.
_ATTEMPTS = {
    "TaskScheduled": "TaskStateEntered",
    "LambdaFunctionScheduled": "TaskStateEntered",
    "ActivityScheduled": "TaskStateEntered",
    "MapStateStarted": "MapStateEntered",
    "ParallelStateStarted": "ParallelStateEntered",
}

_READERS: dict[str, Callable[[_Reading, Event], None]] = {
    "ExecutionRedriven": _Reading.redriven,
    "MapStateStarted": _Reading.map_started,
    "MapRunStarted": _Reading.map_run,
    "LambdaFunctionScheduled": _Reading.scheduled,
    "TaskScheduled": _Reading.scheduled,
    "LambdaFunctionStarted": _Reading.begins,
    "TaskStarted": _Reading.begins,
    # with .waitForTaskToken the call is over when it is submitted; the callback is not the function's time
    "TaskSubmitted": _Reading.call_ends,
    "TaskSucceeded": _Reading.call_ends,
    "TaskFailed": _Reading.call_ends,
    "TaskTimedOut": _Reading.call_ends,
    "LambdaFunctionSucceeded": _Reading.call_ends,
    "LambdaFunctionFailed": _Reading.call_ends,
    "LambdaFunctionTimedOut": _Reading.call_ends,
    "LambdaFunctionStartFailed": _Reading.call_never_began,
    "LambdaFunctionScheduleFailed": _Reading.call_never_began,
    "TaskStartFailed": _Reading.call_never_began,
    "TaskSubmitFailed": _Reading.call_never_began,
}

#: Errors of an invocation that Lambda refused: nothing ran, nothing is billed.
_NEVER_RAN = frozenset({"Lambda.TooManyRequestsException", "Lambda.ResourceNotFoundException"})

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

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, Self

from sflab.asl.model import JSON, Definition, walk
from sflab.costs.prices import exact
from sflab.engine.history import Event, details, normalise

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


@dataclass(slots=True)
class Meter:
    """Counts what executions of one definition used; `read` takes one history at a time.

    ``memory_mb`` (an int, or a dict from function name to int, with ``"*"`` for the others), ``architecture`` and
    ``ephemeral_mb`` describe the Lambda functions, which no history tells. ``express_memory_mb`` replaces the estimate
    of an Express execution's memory by a measured one, ``child_executions`` the number of a distributed Map's children.
    """

    definition: Definition | Mapping[str, JSON]
    type: str = "STANDARD"
    start_end: int = 1
    memory_mb: int | Mapping[str, int] = 128
    architecture: str = "x86_64"
    ephemeral_mb: int = 512
    express_memory_mb: float | None = None
    child_executions: int | None = None
    size: int = field(init=False, default=0)  # bytes of the definition
    batches: dict[str, JSON] = field(init=False, default_factory=dict)  # distributed Map -> its ItemBatcher

    def __post_init__(self) -> None:
        if self.type not in ("STANDARD", "EXPRESS"):
            raise ValueError(f"type is STANDARD or EXPRESS, not {self.type!r}")
        if self.architecture not in ("x86_64", "arm64"):
            raise ValueError(f"architecture is x86_64 or arm64, not {self.architecture!r}")
        raw, text = (d.raw, d.text) if isinstance(d := self.definition, Definition) else (dict(d), "")
        self.size = _bytes(text or raw)
        self.batches = {p.name: p.state.get("ItemBatcher") for p in walk(raw) if p.state.get("Type") == "Map"}

    def read(self, events: Any, children: Sequence[Children] = ()) -> Usage:
        """Return what the execution with this history used, and the *children* of its Map Runs with it.

        *events* comes in any shape `normalise` accepts. ``seconds`` are the execution's own.
        """
        ready = isinstance(events, list) and events and isinstance(events[0].get("timestamp"), datetime)
        reading = _Reading(self, {run.arn: run.started for run in children})
        for event in events if ready else normalise(events):
            reading.read(event)
        usage = reading.usage()
        for run in children:
            self._roll_up(usage, run)
        return usage

    def _roll_up(self, usage: Usage, run: Children) -> None:
        """Add what the child executions of a Map Run used; that one was started is the parent's transition."""
        meter = replace(self, definition=run.definition, type=run.type, start_end=0, child_executions=None)
        sums: dict[str, tuple[int, Usage]] = {}
        for status, events, inner in run.histories:
            known, so_far = sums.get(status, (0, Usage()))
            so_far += meter.read(events, inner)
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
            usage.transitions += round(found.transitions * total / known)
        if not sums and run.started:
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
    """One pass over one history; *started* says how many child executions a Map Run started, by its ARN."""

    def __init__(self, meter: Meter, started: Mapping[str, int]) -> None:
        self.meter, self.started = meter, started
        self.types: dict[int, str] = {}
        self.counts: Counter[str] = Counter()  # what was counted as a transition -> how often
        self.calls: dict[int, tuple[datetime, str]] = {}  # latest event of a running Lambda call -> (begin, function)
        self.lambda_ms: Counter[tuple[int, str]] = Counter()  # (memory, what was counted) -> ms
        self.attempted: set[int] = set()  # StateEntered events that an attempt has followed
        self.requests = 0
        self.payload = 0  # bytes of the data of Map and Parallel steps
        self.maps: dict[int, tuple[str, int]] = {}  # MapStateStarted -> (state, items)
        self.names: dict[int, str] = {}  # MapStateEntered -> state
        self.out = Usage()
        self.began: datetime | None = None
        self.now: datetime | None = None

    def read(self, event: Event) -> None:
        kind, self.now = event["type"], event["timestamp"]
        self.began = self.began or self.now
        self.types[event["id"]] = kind
        before = self.types.get(event["previousEventId"])
        if kind.endswith("StateEntered"):
            self.counts[ENTERED] += 1
            self._enter(event, kind, before)
        elif kind in _ATTEMPTS and before is not None:
            if before != _ATTEMPTS[kind]:
                self.counts[RETRIED] += 1
            elif event["previousEventId"] in self.attempted:  # a redrive points at where the state was entered
                self.counts[AGAIN] += 1
            self.attempted.add(event["previousEventId"])
        if (how := _READERS.get(kind)) is not None:
            how(self, event)

    def usage(self) -> Usage:
        """Settle what is open and return the quantities."""
        for begin, function in self.calls.values():
            self._charge(begin, function, "; still running when the execution ended, billed until then")
        self.counts[f"start and end of the execution, as {self.meter.start_end}: sources differ"] = self.meter.start_end
        out = self.out
        out.transitions = self.counts.total()
        took = self.now - self.began if self.now and self.began else timedelta(0)
        out.seconds = took.total_seconds()
        quantities, out.quantities = out.quantities, {}
        if self.meter.type == "EXPRESS":
            self._express(took)
        else:
            for counted, times in self.counts.items():
                out.add("stepfunctions.transition", counted, times)
        self._lambda()
        for (item, counted), quantity in quantities.items():
            out.add(item, counted, quantity)
        return out

    def _express(self, took: timedelta) -> None:
        memory = self.meter.express_memory_mb
        mb = billed_memory_mb(express_memory_mb(self.meter.size, self.payload) if memory is None else memory)
        how = "50 MB + definition + data of Map and Parallel steps" if memory is None else "as given"
        self.out.add("stepfunctions.express-request", "one per execution", 1)
        counted = f"{mb} MB ({how}, in steps of 64 MB), time in steps of 100 ms"
        self.out.add("stepfunctions.express-gb-second", counted, gb_seconds(mb, billed_ms(took)))

    def _lambda(self) -> None:
        self.out.add("lambda.request", "each attempt that ran, failed ones too", self.requests)
        item, extra = f"lambda.gb-second-{self.meter.architecture}", self.meter.ephemeral_mb - 512
        for (memory, how), ms in self.lambda_ms.items():
            counted = f"{memory} MB, time between the history's events (no less than the function's own){how}"
            self.out.add(item, counted, gb_seconds(memory, ms))
            if extra > 0:
                text = f"{self.meter.ephemeral_mb} MB of /tmp, 512 MB of it free{how}"
                self.out.add("lambda.ephemeral-gb-second", text, gb_seconds(extra, ms))

    # -- one reader per kind of event

    def _enter(self, event: Event, kind: str, before: str | None) -> None:
        if kind == "MapStateEntered":
            self.names[event["id"]] = details(event).get("name", "")
        if before in ("MapIterationStarted", "ParallelStateStarted"):
            self.payload += _bytes(details(event).get("input"))

    def redriven(self, _: Event) -> None:
        self.counts["each redrive"] += 1

    def map_started(self, event: Event) -> None:
        name = self.names.get(event["previousEventId"], "")
        self.maps[event["id"]] = (name, int(details(event).get("length") or 0))

    def map_run(self, event: Event) -> None:
        known = self.started.get(details(event).get("mapRunArn", ""))
        if known is not None:
            self.counts["each child execution a distributed Map starts"] += known
            return
        name, items = self.maps.get(event["previousEventId"], ("", 0))
        batcher = self.meter.batches.get(name)
        size = batcher.get("MaxItemsPerBatch") if isinstance(batcher, dict) else 1
        children = self.meter.child_executions
        if children is None and items and isinstance(size, int):
            children = -(-items // size)
        self.out.notes["the child executions of a distributed Map have bills of their own: add them with +"] = None
        if children is None:
            self.out.notes["how many child executions were started is not in the history: give child_executions="] = (
                None
            )
        self.counts["each child execution a distributed Map starts"] += children or 0

    def function_scheduled(self, event: Event) -> None:
        self.calls[event["id"]] = (event["timestamp"], self._name(details(event).get("resource")))

    def task_scheduled(self, event: Event) -> None:
        about = details(event)
        service = SERVICES.get(about["resourceType"], about["resourceType"])
        action = about["resource"].partition(".")[0]
        if service == "lambda" and action.startswith("invoke"):
            name = _parameters(about).get("FunctionName") if isinstance(self.meter.memory_mb, Mapping) else None
            self.calls[event["id"]] = (event["timestamp"], self._name(name))
        elif (charge := _CALLS.get(f"{service}:{action}") or _CALLS.get(f"{service}:*")) is not None:
            self.out.add(*charge(about))
        elif service == "states":
            self.out.notes["executions it started have bills of their own: add them with +"] = None
        else:
            self.out.notes[f"{service}:{action} is not in the price data"] = None

    def call_goes_on(self, event: Event) -> None:
        call = self.calls.pop(event["previousEventId"], None)
        if call is not None:
            self.calls[event["id"]] = (event["timestamp"], call[1])

    def call_ends(self, event: Event) -> None:
        call = self.calls.pop(event["previousEventId"], None)
        if call is not None and details(event).get("error") not in _NEVER_RAN:
            self._charge(*call)

    def call_never_began(self, event: Event) -> None:
        self.calls.pop(event["previousEventId"], None)

    def _charge(self, begin: datetime, function: str, how: str = "") -> None:
        sizes = self.meter.memory_mb
        memory = sizes if isinstance(sizes, int) else sizes.get(function, sizes.get("*", 128))
        self.requests += 1
        self.lambda_ms[memory, how] += billed_ms((self.now or begin) - begin, step=1)

    def _name(self, resource: Any) -> str:
        """Return the function's name from a name, a full or partial ARN, with or without a version."""
        name = str(resource or "").rpartition("function:")[2]
        return name.partition(":")[0]


ENTERED = "each state entered"
RETRIED = "each Retry attempt once more"
AGAIN = "each state a redrive attempts again"

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
    "LambdaFunctionScheduled": _Reading.function_scheduled,
    "TaskScheduled": _Reading.task_scheduled,
    "LambdaFunctionStarted": _Reading.call_goes_on,
    "TaskStarted": _Reading.call_goes_on,
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


# ── what a service integration asks of its service ───────────────────────────────────────────────────────────────────

Charge = tuple[str, str, "int | Decimal"]

#: resourceType as TaskScheduled writes it -> the service of the price items, where they differ.
SERVICES = {
    "aws-sdk:dynamodb": "dynamodb",
    "aws-sdk:eventbridge": "events",
    "aws-sdk:lambda": "lambda",
    "aws-sdk:s3": "s3",
    "aws-sdk:sfn": "states",
    "aws-sdk:sns": "sns",
    "aws-sdk:sqs": "sqs",
}

_SMALL_WRITE = "items up to 1 KB"
_SMALL_READ = "items up to 4 KB"


def _parameters(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task's parameters, which an event holds as JSON text; ``{}`` where they are not an object."""
    value = about.get("parameters")
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _bytes(value: Any) -> int:
    """Return the size of a JSON text, or of a value as JSON text."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode())


def _chunks(value: Any) -> int:
    """Return how many requests of 64 KB a message counts as (SQS, SNS and EventBridge pricing pages)."""
    return max(1, -(-_bytes(value) // 65_536))


def _write(about: Mapping[str, Any]) -> Charge:
    parameters = _parameters(about)
    batches: list[Any] = [*(parameters.get("RequestItems") or {}).values(), parameters.get("TransactItems") or []]
    times = sum(len(batch) for batch in batches) or 1
    return "dynamodb.write-unit", _SMALL_WRITE, times * (2 if parameters.get("TransactItems") else 1)


def _read(about: Mapping[str, Any]) -> Charge:
    parameters = _parameters(about)
    if items := parameters.get("TransactItems"):
        return "dynamodb.read-unit", f"{_SMALL_READ}, in a transaction", 2 * len(items)
    wanted = list((parameters.get("RequestItems") or {}).values())
    times = sum(len(table.get("Keys", ())) for table in wanted) or 1
    if any(table.get("ConsistentRead") for table in (parameters, *wanted)):
        return "dynamodb.read-unit", f"{_SMALL_READ}, strongly consistent", times
    return "dynamodb.read-unit", f"{_SMALL_READ}, eventually consistent: half a unit each", Decimal(times) / 2


def _queue(about: Mapping[str, Any]) -> Charge:
    fifo = str(_parameters(about).get("QueueUrl", "")).endswith(".fifo")
    return f"sqs.{'fifo-' if fifo else ''}request", "each call, in chunks of 64 KB", _chunks(about.get("parameters"))


def _topic(about: Mapping[str, Any]) -> Charge:
    parameters = _parameters(about)
    fifo = str(parameters.get("TopicArn", "")).endswith(".fifo")
    messages = parameters.get("PublishBatchRequestEntries") or [about.get("parameters")]
    item = f"sns.{'fifo-' if fifo else ''}request"
    return item, "each message, in chunks of 64 KB; deliveries not included", sum(map(_chunks, messages))


def _bus(about: Mapping[str, Any]) -> Charge:
    entries = _parameters(about).get("Entries") or [about.get("parameters")]
    return "events.custom-event", "each entry, in chunks of 64 KB", sum(map(_chunks, entries))


def _one(item: str, counted: str) -> Callable[[Mapping[str, Any]], Charge]:
    return lambda _: (item, counted, 1)


_WRITES = ("putItem", "updateItem", "deleteItem", "batchWriteItem", "transactWriteItems")
_READS = ("getItem", "query", "scan", "batchGetItem", "transactGetItems")
_S3_WRITES = ("putObject", "copyObject", "listObjects", "listObjectsV2")

#: service:action -> what one call is charged as; ``*`` stands for the actions not named.
_CALLS: dict[str, Callable[[Mapping[str, Any]], Charge]] = {
    **dict.fromkeys((f"dynamodb:{action}" for action in _WRITES), _write),
    **dict.fromkeys((f"dynamodb:{action}" for action in _READS), _read),
    **dict.fromkeys((f"s3:{action}" for action in _S3_WRITES), _one("s3.write-request", "each call")),
    "s3:getObject": _one("s3.read-request", "each call"),
    "s3:headObject": _one("s3.read-request", "each call"),
    "sqs:*": _queue,
    "sns:publish": _topic,
    "sns:publishBatch": _topic,
    "events:putEvents": _bus,
    "apigateway:invoke": _one("apigateway.rest-request", "each call, as of a REST API"),
}

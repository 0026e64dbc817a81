"""A Map Run: the child executions of one Distributed Map, how they stand, and which of their histories are kept.

One record for all children, not one for each: a million children are a byte for how each stands, two numbers for when
it ran, and references to its input and output, so that memory grows with the data and not with the histories. Which
histories stay is `Histories`' to say; the counts are always whole. A child's name is derived from the Map Run's ARN
and the child's number, never stored.

Sources: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html, its quotas page, and the
DescribeMapRun API (recorded: ``test_list_map_runs_and_describe_map_run``).
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sflab.asl.model import JSON

if TYPE_CHECKING:
    from sflab.engine.frames import Run

MAX_CONCURRENCY = 10_000  # "Maximum number of parallel child workflow executions: 10,000" (quotas page)

#: Child executions started in a second: "dispatched at a rate of up to 1,000 per second for Express and 100 per second
#: for Standard" (quotas page, 2026). Give the machine others to try out a raised quota; `math.inf` starts all at once.
DISPATCH: Mapping[str, float] = {"STANDARD": 100.0, "EXPRESS": 1_000.0}

PENDING: Any = ...  # a result that is not there; unlike any JSON value, and the same object after unpickling

#: How a child execution may stand, in the order of its code in ``MapRun.codes``.
STATUSES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
_CODES = {status: code for code, status in enumerate(STATUSES)}
#: DescribeMapRun's names of the counts.
_COUNTED = {
    "pending": "PENDING", "running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED", "timedOut": "TIMED_OUT",
    "aborted": "ABORTED",
}  # fmt: skip


class Sink(Protocol):
    """Where histories go that shall not stay in memory."""

    def put(self, map_run: MapRun, index: int, run: Run) -> None:
        """Take the history of a child execution that has ended."""


@dataclass(frozen=True, slots=True)
class Histories:
    """Which histories of child executions stay in memory, when the child has ended.

    The first ``first``, ``spread`` more at even distances over all, and the first ``failed`` of those that did not
    succeed. With a ``sink`` every history goes there as well.
    """

    first: float = 100
    spread: float = 900
    failed: float = 1_000
    sink: Sink | None = None

    def wants(self, index: int, total: int, status: str, kept_failed: int) -> bool:
        """Whether the history of child *index* of *total* stays; *kept_failed* failed ones have so far."""
        if status != "SUCCEEDED" and kept_failed < self.failed:
            return True
        if index < self.first or self.spread >= total:
            return True
        return bool(self.spread) and index % math.ceil(total / self.spread) == 0


ALL = Histories(first=math.inf)
FAILED = Histories(first=0, spread=0, failed=math.inf)
NONE = Histories(first=0, spread=0, failed=0)
SAMPLE = Histories()


@dataclass(slots=True, repr=False)
class MapRun:
    """One run of a Distributed Map. An item is in exactly one child execution; a batch makes one child of many items.

    ``codes``, ``starts`` and ``stops`` (epoch seconds; NaN until then), ``inputs`` and ``results`` hold one entry for
    each child, in the order of the items; ``errors`` (name, cause) those that have one.
    """

    arn: str
    execution_arn: str  # of the execution the Map state is in
    machine_arn: str  # of the child executions: arn:…:stateMachine:machine/label
    type: str  # of the child executions: STANDARD or EXPRESS
    label: str
    state: str  # the name of the Map state, and its pointer into the definition
    pointer: str
    max_concurrency: int
    count: int  # tolerated failures
    percentage: float
    started_at: float
    rate: float = math.inf  # child executions started in a second, at most
    histories: Histories = field(default_factory=Histories)
    status: str = "RUNNING"
    stopped_at: float | None = None
    inputs: list[JSON] = field(default_factory=list)
    results: list[JSON] = field(default_factory=list)
    weights: list[int] | None = None  # items in each batch; None: one item each
    items: int = 0
    codes: bytearray = field(default_factory=bytearray)
    starts: array[float] = field(default_factory=lambda: array("d"))
    stops: array[float] = field(default_factory=lambda: array("d"))
    errors: dict[int, tuple[str | None, str | None]] = field(default_factory=dict)
    failed_items: int = 0
    results_written: bool = False
    redrive_count: int = 0
    origin: int = 0  # the id of its MapStateStarted event, which each redrive points at
    earlier: dict[int, Run] = field(default_factory=dict)  # child executions that go on from where they failed
    live: dict[int, Run] = field(default_factory=dict)
    kept: dict[int, Run] = field(default_factory=dict)
    kept_failed: int = 0
    window: float = -math.inf  # the second in which child executions are being started, and how many more may be
    budget: float = 0.0

    def __repr__(self) -> str:
        counts = self.execution_counts
        said = [f"{counts[name]:,} {name}" for name in ("succeeded", "failed", "timedOut", "aborted", "running")]
        shown = [text for text in said if not text.startswith("0 ")] or ["none started"]
        pending = [f"{counts['pending']:,} pending"] if counts["pending"] else []
        what = "item" if self.items == 1 else "items"
        return (
            f"MapRun({self.state} {self.status}, {self.items:,} {what} in {len(self.inputs):,} child executions: "
            f"{', '.join(shown + pending)})"
        )

    # ── what the machine tells it ────────────────────────────────────────────────────────────────────────────────────

    def load(self, inputs: list[JSON], weights: list[int] | None) -> None:
        """Take the inputs of the child executions; *weights* says how many items each holds, None for one."""
        total = len(inputs)
        self.inputs, self.weights = inputs, weights
        self.items = total if weights is None else sum(weights)
        self.results = [PENDING] * total
        self.codes = bytearray(total)
        self.starts, self.stops = array("d", [math.nan]) * total, array("d", [math.nan]) * total

    def begin(self, index: int, run: Run, at: float) -> None:
        """A child execution starts."""
        self.codes[index], self.starts[index], self.live[index] = 1, at, run

    def end(self, index: int, at: float, value: JSON = PENDING) -> None:
        """A child execution ended, as its `Run` says; *value* is its output."""
        run = self.live.pop(index)
        self.codes[index], self.stops[index] = _CODES[run.status], at
        if run.status == "SUCCEEDED":
            self.results[index] = value
        else:
            self.errors[index] = (run.error, run.cause)
            if run.status != "ABORTED":
                self.failed_items += 1 if self.weights is None else self.weights[index]
        if self.histories.sink is not None:
            self.histories.sink.put(self, index, run)
        if self.histories.wants(index, len(self.inputs), run.status, self.kept_failed):
            self.kept[index] = run
            self.kept_failed += run.status != "SUCCEEDED"

    def reopen(self) -> None:
        """It was redriven: children that did not succeed are to come once more; Standard ones go on where they failed.

        One whose history was not kept starts anew, under the name it had.
        """
        for index, code in enumerate(self.codes):
            if STATUSES[code] in ("FAILED", "TIMED_OUT", "ABORTED"):
                before = self.kept.pop(index, None)
                if before is not None and self.type == "STANDARD":
                    self.earlier[index] = before
                self.codes[index], self.starts[index], self.stops[index] = 0, math.nan, math.nan
        self.errors.clear()
        self.status, self.stopped_at, self.results_written = "RUNNING", None, False
        self.failed_items = self.kept_failed = 0

    def close(self, status: str, at: float) -> None:
        """The Map Run itself ended."""
        self.status, self.stopped_at = status, at

    # ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def exceeded(self) -> bool:
        """Whether more items failed or timed out than is tolerated: above the count or above the percentage.

        "The Map Run automatically fails if it exceeds" either that was given (Distributed Map page). A failed batch is
        as many failed items as it holds.
        """
        if not self.failed_items:
            return False
        by_count = self.failed_items > self.count
        by_share = self.failed_items * 100 > self.percentage * self.items
        if self.count and self.percentage:
            return by_count or by_share
        return by_share if self.percentage else by_count

    @property
    def execution_counts(self) -> dict[str, int]:
        """DescribeMapRun's executionCounts."""
        return self._told({name: self.codes.count(_CODES[status]) for name, status in _COUNTED.items()})

    @property
    def item_counts(self) -> dict[str, int]:
        """DescribeMapRun's itemCounts: an item stands as its child execution does."""
        if self.weights is None:
            return self.execution_counts
        sums = [0] * len(STATUSES)
        for code, weight in zip(self.codes, self.weights, strict=True):
            sums[code] += weight
        return self._told({name: sums[_CODES[status]] for name, status in _COUNTED.items()})

    def _told(self, counts: dict[str, int]) -> dict[str, int]:
        total = sum(counts.values())
        started = total - counts["pending"] - counts["running"]
        # Recorded: a Map Run without a ResultWriter that succeeded says resultsWritten 2 of 2.
        written = started if self.results_written else 0
        return {**counts, "total": total, "resultsWritten": written, "failuresNotRedrivable": 0, "pendingRedrive": 0}

    def child_status(self, index: int) -> str:
        """How a child execution stands: one of `STATUSES`."""
        return STATUSES[self.codes[index]]

    def name(self, index: int) -> str:
        """Return the name of a child execution: a UUID, the same every time."""
        h = hashlib.md5(f"{self.arn}/{index}".encode(), usedforsecurity=False).hexdigest()
        return f"{h[:8]}-{h[8:12]}-3{h[13:16]}-8{h[17:20]}-{h[20:]}"  # name-based, as AWS's are (version 3)

    def child_arn(self, index: int) -> str:
        """Return the ARN of a child execution."""
        name = self.name(index)
        kind, suffix = ("execution", "") if self.type == "STANDARD" else ("express", f":{name[::-1].replace('-', '')}")
        return f"{self.machine_arn.replace(':stateMachine:', f':{kind}:', 1)}:{name}{suffix}"

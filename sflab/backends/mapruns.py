"""Map Runs as people look at them: the counts of DescribeMapRun, and each child execution with its history."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sflab.asl.model import compact
from sflab.backends.execution import Execution, Outcome
from sflab.backends.statemachine import StateMachine
from sflab.engine import maprun
from sflab.engine.history import Event, normalise
from sflab.errors import SflabError

if TYPE_CHECKING:
    import sqlite3

    import pandas as pd

    from sflab.costs.usage import Children
    from sflab.engine.frames import Run

#: What ``sf.Local(histories=…)`` may be, beside a folder.
POLICIES = {"sample": maprun.SAMPLE, "all": maprun.ALL, "failed": maprun.FAILED, "none": maprun.NONE}
_BATCH = 1_000  # histories written in one transaction


def histories(kept: str | os.PathLike[str] | maprun.Histories) -> maprun.Histories:
    """Return the policy for children's histories: one of `POLICIES`, or a folder they are all written to."""
    if isinstance(kept, maprun.Histories):
        return kept
    if isinstance(kept, str) and kept in POLICIES:
        return POLICIES[kept]
    if isinstance(kept, str) and not {os.sep, "/", "."} & set(kept) and not Path(kept).is_dir():
        known = ", ".join(repr(name) for name in POLICIES)
        raise ValueError(f"histories is one of {known}, or a folder such as './{kept}'; not {kept!r}")
    return maprun.Histories(first=0, spread=0, failed=0, sink=Archive(kept))


class Archive:
    """Histories of child executions in a folder: one SQLite file, ``child-histories.sqlite``, a row for each."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / "child-histories.sqlite"
        self.waiting: list[tuple[str, int, str]] = []
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None

    def __getstate__(self) -> str:
        with self.lock:
            self._flush()
        return str(self.path.parent)

    def __setstate__(self, folder: str) -> None:
        self.__init__(folder)  # type: ignore[misc]

    def put(self, map_run: maprun.MapRun, index: int, run: Run) -> None:
        """Take a history; it is written with others, or when somebody reads."""
        text = json.dumps(run.log.events(), default=datetime.isoformat)
        with self.lock:
            self.waiting.append((map_run.arn, index, text))
            if len(self.waiting) >= _BATCH:
                self._flush()

    def get(self, map_run: maprun.MapRun, index: int) -> list[Event] | None:
        """Return the events of a child execution; None if there are none."""
        with self.lock:
            self._flush()
            query = "SELECT events FROM history WHERE map_run = ? AND child = ?"
            row = self._opened().execute(query, (map_run.arn, index)).fetchone()
        return None if row is None else normalise(json.loads(row[0]))

    def _flush(self) -> None:
        if self.waiting:
            with self._opened() as connection:
                connection.executemany("INSERT OR REPLACE INTO history VALUES (?, ?, ?)", self.waiting)
            self.waiting.clear()

    def _opened(self) -> sqlite3.Connection:
        if self.connection is None:
            import sqlite3  # imported here: few runs write histories to disk

            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(self.path, check_same_thread=False)
            self.connection.execute(
                "CREATE TABLE IF NOT EXISTS history (map_run TEXT, child INTEGER, events TEXT, "
                "PRIMARY KEY (map_run, child)) WITHOUT ROWID"
            )
        return self.connection

    def __del__(self) -> None:
        if self.connection is not None:
            with self.lock:
                self._flush()
            self.connection.close()


class MapRun:
    """One run of a Distributed Map: DescribeMapRun's fields, and the child executions.

    ``item_counts`` and ``execution_counts`` have AWS's names: pending, running, succeeded, failed, timedOut, aborted,
    total, resultsWritten, failuresNotRedrivable, pendingRedrive. ``executions`` are the child executions, in the order
    of their items; ``df`` is a table with a row for each. ``unasked`` is how many of their histories a live graph is
    sent before somebody chooses one.
    """

    unasked = 60

    def __init__(self, machine: StateMachine, record: maprun.MapRun, others: Sequence[maprun.MapRun]) -> None:
        self.machine, self.record, self.others = machine, record, others

    @property
    def arn(self) -> str:
        """The ARN of the Map Run."""
        return self.record.arn

    @property
    def state(self) -> str:
        """The name of the Map state."""
        return self.record.state

    @property
    def execution_arn(self) -> str:
        """The ARN of the execution the Map state is in."""
        return self.record.execution_arn

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED, FAILED or ABORTED."""
        return self.record.status

    @property
    def max_concurrency(self) -> int:
        """MaxConcurrency as the state has it: 0 is no limit of its own, and 10,000 run at once."""
        return self.record.max_concurrency

    @property
    def tolerated_failure_count(self) -> int:
        """How many items may fail."""
        return self.record.count

    @property
    def tolerated_failure_percentage(self) -> float:
        """Which share of the items may fail, in percent."""
        return float(self.record.percentage)

    @property
    def item_counts(self) -> dict[str, int]:
        """How many items stand how."""
        return self.record.item_counts

    @property
    def execution_counts(self) -> dict[str, int]:
        """How many child executions stand how."""
        return self.record.execution_counts

    @property
    def redrive_count(self) -> int:
        """How often it was redriven."""
        return self.record.redrive_count

    @property
    def start_date(self) -> datetime:
        """When it started (UTC)."""
        return _moment(self.record.started_at)

    @property
    def stop_date(self) -> datetime | None:
        """When it ended (UTC); None while it runs."""
        return None if self.record.stopped_at is None else _moment(self.record.stopped_at)

    @property
    def seconds(self) -> float | None:
        """How long it took, in the execution's own time; None while it runs."""
        stopped = self.record.stopped_at
        return None if stopped is None else round(stopped - self.record.started_at, 6)

    def describe(self) -> dict[str, Any]:
        """Return what DescribeMapRun answers."""
        said = {
            "mapRunArn": self.arn,
            "executionArn": self.execution_arn,
            "status": self.status,
            "startDate": self.start_date,
            "stopDate": self.stop_date,
            "maxConcurrency": self.max_concurrency,
            "toleratedFailurePercentage": self.tolerated_failure_percentage,
            "toleratedFailureCount": self.tolerated_failure_count,
            "itemCounts": self.item_counts,
            "executionCounts": self.execution_counts,
            "redriveCount": self.redrive_count,
        }
        return {name: value for name, value in said.items() if value is not None}

    @cached_property
    def executions(self) -> ChildExecutions:
        """The child executions, in the order of their items or batches."""
        return ChildExecutions(self)

    @property
    def df(self) -> pd.DataFrame:
        """A row per child execution; columns and dtypes are those of `sflab.views.tables.children_frame`."""
        return self.executions.df

    @cached_property
    def processor(self) -> StateMachine:
        """The state machine the child executions run: the Map state's ItemProcessor."""
        place = next(p for p in self.machine.definition.places() if p.pointer == self.record.pointer)
        return processor(self.machine, place.state, self.record.label, self.record.type)

    def billed(self) -> Children:
        """Return the child executions as `sflab.costs.usage.Meter` counts them."""
        from sflab.costs.usage import Children

        record = self.record
        statuses = maprun.STATUSES[1:]
        counts = {status: record.codes.count(code) for code, status in enumerate(statuses, 1)}
        return Children(record.arn, self.state, self.processor.definition, record.type, counts, self._histories())

    def _histories(self) -> Iterator[tuple[str, list[Event], list[Children]]]:
        for child in self.executions:
            if child.status != "PENDING" and child.kept:
                yield child.status, child._events(), [run.billed() for run in child.map_runs]  # noqa: SLF001 - its own

    def __repr__(self) -> str:
        return repr(self.record)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        import pandas as pd

        counts = pd.DataFrame([self.execution_counts, self.item_counts], index=["child executions", "items"])
        table = self.executions.df.to_html(max_rows=10, notebook=True)
        head = escape(repr(self))
        some, each = counts.loc[:, counts.any()].to_string(), self.executions._repr_mimebundle_()["text/plain"]
        words = f"{self!r}\n{some}\n{each}"
        return {"text/plain": words, "text/html": f"<div><b>{head}</b>{counts.to_html()}{table}</div>"}


def processor(machine: StateMachine, state: Mapping[str, Any], label: str, type: str) -> StateMachine:
    """Return the state machine that the child executions of a Map *state* run: its ItemProcessor."""
    inner = dict(state.get("ItemProcessor") or state.get("Iterator") or {})
    language = machine.definition.raw.get("QueryLanguage")
    raw = {**({"QueryLanguage": language} if language else {}), **inner}
    return StateMachine.load(raw, name=f"{machine.name}-{label}"[:80], type=type)


class ChildExecutions(Sequence["ChildExecution"]):
    """The child executions of a Map Run; made when they are looked at."""

    def __init__(self, map_run: MapRun) -> None:
        self.map_run = map_run

    @overload
    def __getitem__(self, index: int) -> ChildExecution: ...
    @overload
    def __getitem__(self, index: slice) -> list[ChildExecution]: ...
    def __getitem__(self, index: int | slice) -> ChildExecution | list[ChildExecution]:
        places = range(len(self))
        if isinstance(index, slice):
            return [ChildExecution(self.map_run, i) for i in places[index]]
        return ChildExecution(self.map_run, places[index])

    def __len__(self) -> int:
        return len(self.map_run.record.inputs)

    @property
    def df(self) -> pd.DataFrame:
        """A row per child execution; columns and dtypes are those of `sflab.views.tables.children_frame`."""
        from sflab.views.tables import children_frame

        return children_frame(self.map_run.record)

    def __repr__(self) -> str:
        return f"ChildExecutions({len(self):,} of {self.map_run.state})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.tables import mimebundle

        return mimebundle(repr(self), self.df, ("name", "status", "items", "seconds", "error"))


class ChildExecution(Execution):
    """One child execution of a Map Run: an `Execution` of the Map state's ItemProcessor.

    ``status`` is PENDING where it was not started. Its history may not have been kept (``kept``): then ``history``
    raises SflabError, and says how to keep it.
    """

    def __init__(self, map_run: MapRun, index: int) -> None:
        record = map_run.record
        super().__init__(map_run.processor, arn=record.child_arn(index), input=compact(record.inputs[index]))
        self.map_run, self.index = map_run, index

    @property
    def kept(self) -> bool:
        """Whether there is a history to look at."""
        record = self.map_run.record
        return self.index in record.live or self.index in record.kept or isinstance(record.histories.sink, Archive)

    @property
    def items(self) -> int:
        """How many items it processes: those of its batch, else one."""
        weights = self.map_run.record.weights
        return 1 if weights is None else weights[self.index]

    @property
    def map_runs(self) -> MapRuns:
        """The Map Runs of Distributed Maps inside it."""
        return map_runs(self.map_run.machine, self.map_run.others, self.arn)

    @property
    def seconds(self) -> float:
        """How long it has taken, in the execution's own time."""
        started, stopped = self.map_run.record.starts[self.index], self.map_run.record.stops[self.index]
        return round(stopped - started, 6) if stopped == stopped else 0.0  # noqa: PLR0124 - NaN: not yet

    def _events(self, start: int = 0) -> list[Event]:
        record, sink = self.map_run.record, self.map_run.record.histories.sink
        run = record.live.get(self.index) or record.kept.get(self.index)
        if run is not None:
            return run.log.events(start)
        if record.child_status(self.index) == "PENDING":
            return []
        events = sink.get(record, self.index) if isinstance(sink, Archive) else None
        if events is None:
            raise SflabError(
                f"the history of child execution {self.index} of {record.state} was not kept: a Map Run of "
                f"{len(record.inputs):,} keeps a sample and those that failed. "
                'Run it with sf.Local(histories="all"), or histories="./a-folder" to keep all of them on disk.'
            )
        return events[start:]

    def _outcome(self) -> Outcome:
        record = self.map_run.record
        value, (error, cause) = record.results[self.index], record.errors.get(self.index, (None, None))
        output = None if value is maprun.PENDING else compact(value)
        return Outcome(record.child_status(self.index), output, error, cause)

    def stop(self, error: str | None = None, cause: str | None = None) -> None:  # noqa: ARG002 - see the next line
        """A child execution is stopped with the execution it belongs to."""
        raise SflabError("a child execution cannot be stopped here; stop the execution its Map state is in")

    def __repr__(self) -> str:
        outcome = self._outcome()
        said = f", error={outcome.error!r}" if outcome.error else ""
        what = "1 item" if self.items == 1 else f"{self.items} items"
        return f"ChildExecution({self.map_run.state}[{self.index}] {outcome.status}{said}, {what})"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return super()._repr_mimebundle_(**options) if self.kept else {"text/plain": repr(self)}


class MapRuns(list[MapRun]):
    """The Map Runs of an execution, in the order they started; ``df`` is a table with a row for each."""

    @property
    def df(self) -> pd.DataFrame:
        """A row per Map Run; columns and dtypes are those of `sflab.views.tables.map_runs_frame`."""
        from sflab.views.tables import map_runs_frame

        return map_runs_frame(run.record for run in self)

    def _repr_html_(self) -> str:
        return self.df.to_html(max_rows=60, notebook=True)


def map_runs(machine: StateMachine, records: Sequence[maprun.MapRun], execution_arn: str) -> MapRuns:
    """Return the Map Runs of one execution, of all those *records* that its root execution has."""
    return MapRuns(MapRun(machine, record, records) for record in records if record.execution_arn == execution_arn)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(round(at, 3), UTC)


def dispatch(rates: Mapping[str, float] | None) -> dict[str, float]:
    """Return the child executions started in a second, by type: AWS's quotas, and what *rates* says instead."""
    out = {**maprun.DISPATCH, **(rates or {})}
    wrong = [name for name in out if name not in maprun.DISPATCH or not out[name] >= 1]
    if wrong:
        raise ValueError(f"dispatch_rate is STANDARD and EXPRESS child executions a second, at least 1: not {rates}")
    return out

"""Histories as pandas tables: a row per event, per passage through a state, per execution, per error.

Moments are ``datetime64[us, UTC]``, lengths of time are float seconds, names that repeat are categories, JSON stays
text (``df.details.map(json.loads)`` parses it). An empty history gives an empty table with the same columns and dtypes.

`events_frame`, one row per event, in the order of ids:

=========== ================= =========================================================================================
column      dtype             what it holds
=========== ================= =========================================================================================
id          int64             the event's number, from 1
timestamp   datetime64[, UTC] when it happened
type        category          ``TaskStateEntered`` …
state       category          the state it belongs to; missing for the execution's own events
previous_id int64             ``previousEventId``: the event this one follows from, 0 for none
seconds     float64           since the first event
error       category          the error's name, of events that report one
details     string            the event's details as JSON text; ``{}`` where it has none
=========== ================= =========================================================================================

`visits_frame`, one row per visit, in the order of entering:

============ ================= ========================================================================================
column       dtype             what it holds
============ ================= ========================================================================================
state, type  category          the state's name and Type
status       category          RUNNING, SUCCEEDED, FAILED, CAUGHT (failed, and a Catch took it), ABORTED
entered      datetime64[, UTC] when it was entered
exited       datetime64[, UTC] when it was left; missing while it runs
seconds      float64           from entering to leaving; missing while it runs
waiting      float64           of these, the seconds it only waited: for its time, a retry, a worker, a token, a redrive
attempts     int64             how often it was attempted: 1 + retries
error        category          the error it failed with, also if it was caught
cause        string            the text that came with the error
input_bytes  Int64             the size of its input as UTF-8 JSON
output_bytes Int64             the size of its output; missing until there is one
cost         float64           dollars at list price: its transitions and calls; what is inside it has rows of its own
next         category          the state entered after it
path         string            the Map iterations and Parallel branches around it: ``Ship items[2] > Pack[0]``
iteration    Int64             the index of the innermost Map iteration around it; missing outside of a Map
entered_id   int64             the id of its StateEntered event
exited_id    Int64             the id of its StateExited event
============ ================= ========================================================================================

`executions_frame`, one row per execution, in the order given:

============ ================= ========================================================================================
column       dtype             what it holds
============ ================= ========================================================================================
name         string            its name, or that of the file the history is from
machine      category          the state machine's name; missing where only a history is known
kind         category          STANDARD or EXPRESS
status       category          RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED
started      datetime64[, UTC] the first event
stopped      datetime64[, UTC] the last event; missing while it runs
seconds      float64           between these; so far, while it runs
visits       int64             states entered
retries      int64             attempts beyond the first ones
events       int64             events of its history
redrives     int64             how often it was redriven
error        category          the error that ended it
cause        string            the text that came with the error
failed_state category          the state in which it failed, the innermost
input_bytes  Int64             the size of its input as UTF-8 JSON
output_bytes Int64             the size of its output; missing unless it succeeded
cost         float64           dollars at list price, as `Execution.cost` counts, with its child executions
parent       string            the execution that started it; missing where none did
============ ================= ========================================================================================

`errors_frame`, one row per error, the most frequent first:

============ ================= ========================================================================================
column       dtype             what it holds
============ ================= ========================================================================================
error        string            its name
times        int64             how often something failed with it, each attempt counted
retried      int64             of these, how often another attempt followed
caught       int64             how often a Catch took it
ended        int64             executions that ended with it
executions   int64             executions in which it happened
states       string            where, the most frequent first: ``Charge (12), Ship (1)``
cause        string            the text that came with it, the first time that there was one
example      string            the name of that execution
============ ================= ========================================================================================

`map_runs_frame`, one row per Map Run:

============ ================= ========================================================================================
column       dtype             what it holds
============ ================= ========================================================================================
state        category          the Map state's name
status       category          RUNNING, SUCCEEDED, FAILED or ABORTED
started      datetime64[, UTC] when it started
stopped      datetime64[, UTC] when it ended; missing while it runs
seconds      float64           between these; missing while it runs
items        int64             how many items there are
executions   int64             how many child executions
succeeded    int64             child executions that succeeded
failed       int64             child executions that failed, timed out or were aborted
unfinished   int64             child executions that run or have not begun
redrives     int64             how often it was redriven
arn          string            the Map Run's ARN
============ ================= ========================================================================================

`children_frame`, one row per child execution of a Map Run, in the order of items:

============ ================= ========================================================================================
column       dtype             what it holds
============ ================= ========================================================================================
name         string            its name, the last part of its ARN
status       category          PENDING, RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED
items        int64             how many items it processes: those of its batch, else one
started      datetime64[, UTC] when it started; missing before
stopped      datetime64[, UTC] when it ended; missing before
seconds      float64           from start to end
error        category          the error's name
cause        string            the text that came with the error
============ ================= ========================================================================================
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.engine import history, maprun
from sflab.views.phases import Phase, pauses, phases, waiting
from sflab.views.progress import STATUS as ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from sflab.engine.history import Event, Visit
    from sflab.engine.maprun import MapRun

STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "CAUGHT", "ABORTED")
EXECUTION_STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


def events_frame(events: Iterable[Event]) -> pd.DataFrame:
    """A table of events, in any of the shapes `history.normalise` takes; columns as described above."""
    known = history.normalise(events if isinstance(events, dict) else list(events))
    return all_events_frame([(None, None, known, history.visits(known))]).drop(columns=["machine", "execution"])


def all_events_frame(
    histories: Sequence[tuple[str | None, str | None, list[Event], Sequence[Visit]]],
) -> pd.DataFrame:
    """A table of the events of several histories, each given as (machine, execution, events, visits).

    ``machine`` (category) and ``execution`` (string) stand before the columns described above.
    """
    import pandas as pd

    known = [e for _, _, events, _ in histories for e in events]
    states: list[str | None] = []
    since: list[float] = []
    for _, _, events, visits in histories:
        owners = {i: v.state for v in visits for i in v.events}
        states += [owners.get(e["id"]) for e in events]
        since += [(e["timestamp"] - events[0]["timestamp"]).total_seconds() for e in events]
    found = [history.details(e) for e in known]
    return pd.DataFrame(
        {
            "machine": _names([machine for machine, _, events, _ in histories for _ in events]),
            "execution": _texts([name for _, name, events, _ in histories for _ in events]),
            "id": pd.Series([e["id"] for e in known], dtype="int64"),
            "timestamp": _moments([e["timestamp"].timestamp() for e in known]),
            "type": _names([e["type"] for e in known]),
            "state": _names(states),
            "previous_id": pd.Series([e["previousEventId"] for e in known], dtype="int64"),
            "seconds": pd.Series(since, dtype="float64"),
            "error": _names([d.get("error") for d in found]),
            "details": _texts([json.dumps(d, ensure_ascii=False, default=str) for d in found]),
        }
    )


class Visited(NamedTuple):
    """A row of `visits_frame`: a visit, and what is known of it beside."""

    visit: Visit
    waiting: float | None = None
    cost: float | None = None
    iteration: int | None = None
    execution: str | None = None
    machine: str | None = None


def visited(
    visits: Sequence[Visit],
    events: Sequence[Event] = (),
    costs: Sequence[float] | None = None,
    *,
    execution: str | None = None,
    machine: str | None = None,
) -> list[Visited]:
    """Return the rows of all *visits* of a history, in order; what needs its *events*, or *costs*, else is missing."""
    by_id, stops = {e["id"]: e for e in events}, pauses(events)
    now = events[-1]["timestamp"].timestamp() if events else 0.0
    out = []
    for v in visits:
        nth = next((n for i, n in reversed(v.context) if visits[i].type == "Map"), None)
        waited = waiting(phases(v, by_id, now=now, stops=stops)) if events else None
        cost = None if costs is None else costs[v.index]
        out.append(Visited(v, waited, cost, nth, execution, machine))
    return out


def visits_frame(visits: Iterable[Visit | Visited], *, named: bool = False) -> pd.DataFrame:
    """A table of state visits; columns as described above.

    With *named*, the columns ``machine`` (category) and ``execution`` (string) stand before the others.
    """
    import pandas as pd

    rows = [v if isinstance(v, Visited) else Visited(v) for v in visits]
    known = [row.visit for row in rows]
    whose = {"machine": _names([row.machine for row in rows]), "execution": _texts([row.execution for row in rows])}
    return pd.DataFrame(
        {
            **(whose if named else {}),
            "state": _names([v.state for v in known]),
            "type": _names([v.type for v in known]),
            "status": pd.Series(pd.Categorical([v.status for v in known], categories=STATUSES)),
            "entered": _moments([v.entered for v in known]),
            "exited": _moments([v.exited for v in known]),
            "seconds": _lengths([v.seconds for v in known]),
            "waiting": _lengths([row.waiting for row in rows]),
            "attempts": pd.Series([v.attempts for v in known], dtype="int64"),
            "error": _names([v.error for v in known]),
            "cause": _texts([v.cause for v in known]),
            "input_bytes": _sizes([v.input for v in known]),
            "output_bytes": _sizes([v.output for v in known]),
            "cost": pd.Series([row.cost for row in rows], dtype="float64"),
            "next": _names([v.next for v in known]),
            "path": _texts([" > ".join(f"{name}[{i}]" for name, i in v.path) for v in known]),
            "iteration": pd.Series([row.iteration for row in rows], dtype="Int64"),
            "entered_id": pd.Series([v.entered_id for v in known], dtype="int64"),
            "exited_id": pd.Series([v.exited_id for v in known], dtype="Int64"),
        }
    )


class Executed(NamedTuple):
    """A row of `executions_frame`, read from a history by `executed`."""

    name: str
    machine: str | None
    kind: str
    status: str
    started: float | None
    stopped: float | None
    seconds: float
    visits: int
    retries: int
    events: int
    redrives: int
    error: str | None
    cause: str | None
    failed_state: str | None
    input: str | None
    output: str | None
    cost: float | None = None
    parent: str | None = None


def executed(name: str, events: Sequence[Event], visits: Sequence[Visit], **known: Any) -> Executed:
    """Return the row of one execution, from its history; *known* are fields that a history does not tell."""
    first, last = (events[0], events[-1]) if events else ({}, {})
    began, now = (e["timestamp"].timestamp() if e else None for e in (first, last))
    status = ENDED.get(last.get("type", ""), "RUNNING")
    about = history.details(last) if status != "RUNNING" else {}
    broke = [v for v in visits if v.status == "FAILED"]
    fields: dict[str, Any] = {
        "machine": None,
        "kind": "STANDARD",
        "status": status,
        "started": began,
        "stopped": None if status == "RUNNING" else now,
        "seconds": (now or 0.0) - (began or 0.0),
        "visits": len(visits),
        "retries": sum(v.attempts - 1 for v in visits),
        "events": len(events),
        "redrives": sum(e["type"] == "ExecutionRedriven" for e in events),
        "error": about.get("error"),
        "cause": about.get("cause"),
        "failed_state": broke[-1].state if broke and status == "FAILED" else None,
        "input": history.details(first).get("input"),
        "output": about.get("output"),
    }
    return Executed(name, **{**fields, **known})


def executions_frame(rows: Iterable[Executed]) -> pd.DataFrame:
    """A table of executions; columns as described above."""
    import pandas as pd

    known = list(rows)
    counts = ("visits", "retries", "events", "redrives")
    return pd.DataFrame(
        {
            "name": _texts([r.name for r in known]),
            "machine": _names([r.machine for r in known]),
            "kind": pd.Series(pd.Categorical([r.kind for r in known], categories=("STANDARD", "EXPRESS"))),
            "status": pd.Series(pd.Categorical([r.status for r in known], categories=EXECUTION_STATUSES)),
            "started": _moments([r.started for r in known]),
            "stopped": _moments([r.stopped for r in known]),
            "seconds": _lengths([r.seconds for r in known]),
            **{name: pd.Series([getattr(r, name) for r in known], dtype="int64") for name in counts},
            "error": _names([r.error for r in known]),
            "cause": _texts([r.cause for r in known]),
            "failed_state": _names([r.failed_state for r in known]),
            "input_bytes": _sizes([r.input for r in known]),
            "output_bytes": _sizes([r.output for r in known]),
            "cost": pd.Series([r.cost for r in known], dtype="float64"),
            "parent": _texts([r.parent for r in known]),
        }
    )


class Failure(NamedTuple):
    """One thing that failed: an attempt, a state, or a whole execution where no state did (``state`` is None)."""

    error: str
    name: str
    state: str | None
    cause: str | None
    how: str  # "retried", "caught", "" for neither


def failures(name: str, events: Sequence[Event], visits: Sequence[Visit]) -> list[Failure]:
    """Return what failed in the execution called *name*; a Map or Parallel state only with an error of its own."""
    by_id, out = {e["id"]: e for e in events}, []
    inner: dict[int, set[str | None]] = {}
    for v in reversed(visits):
        found = [p for p in phases(v, by_id, now=v.entered) if p.error and p.error not in inner.get(v.index, ())]
        for outer, _ in v.context:
            inner.setdefault(outer, set()).update({v.error, *(p.error for p in found)})
        for p in reversed(found):
            final = p is found[-1] and v.status in ("FAILED", "CAUGHT") and v.error == p.error
            how = "retried" if not final else "caught" if v.caught else ""
            out.append(Failure(str(p.error), name, v.state, v.cause if final else _cause(by_id, v, p), how))
    out.reverse()
    last = history.details(events[-1]) if events and events[-1]["type"] in ENDED else {}
    if (error := last.get("error")) and all(f.error != error for f in out):
        out.append(Failure(error, name, None, last.get("cause"), ""))
    return out


def _cause(events: Mapping[int, Event], visit: Visit, phase: Phase) -> str | None:
    """The cause told by the event that ended an attempt."""
    about = (history.details(events[i]) for i in visit.events if i > phase.id)
    return next((d.get("cause") for d in about if d.get("error") == phase.error), None)


def errors_frame(found: Iterable[list[Failure]], ended: Iterable[str | None]) -> pd.DataFrame:
    """A table of errors; of each execution what failed in it, and the error that *ended* it. Columns as above."""
    import pandas as pd

    groups: dict[str, list[Failure]] = {}
    spread: Counter[str] = Counter()
    for execution in found:
        spread.update({failure.error for failure in execution})
        for failure in execution:
            groups.setdefault(failure.error, []).append(failure)
    ends = Counter(ended)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    told = [next((f for f in group if f.cause), group[0]) for _, group in ranked]
    counts = {
        "times": [len(group) for _, group in ranked],
        "retried": [sum(f.how == "retried" for f in group) for _, group in ranked],
        "caught": [sum(f.how == "caught" for f in group) for _, group in ranked],
        "ended": [ends[error] for error, _ in ranked],
        "executions": [spread[error] for error, _ in ranked],
    }
    where = [Counter(f.state for f in group if f.state is not None).most_common() for _, group in ranked]
    return pd.DataFrame(
        {
            "error": _texts([error for error, _ in ranked]),
            **{name: pd.Series(values, dtype="int64") for name, values in counts.items()},
            "states": _texts([", ".join(f"{state} ({n})" for state, n in states) for states in where]),
            "cause": _texts([f.cause for f in told]),
            "example": _texts([f.name for f in told]),
        }
    )


def map_runs_frame(runs: Iterable[MapRun]) -> pd.DataFrame:
    """A table of Map Runs; columns as described above."""
    import pandas as pd

    known = list(runs)
    counts = [run.execution_counts for run in known]
    numbers = {
        "items": [run.item_counts["total"] for run in known],
        "executions": [c["total"] for c in counts],
        "succeeded": [c["succeeded"] for c in counts],
        "failed": [c["failed"] + c["timedOut"] + c["aborted"] for c in counts],
        "unfinished": [c["pending"] + c["running"] for c in counts],
        "redrives": [run.redrive_count for run in known],
    }
    taken = [None if run.stopped_at is None else run.stopped_at - run.started_at for run in known]
    return pd.DataFrame(
        {
            "state": _names([run.state for run in known]),
            "status": _names([run.status for run in known]),
            "started": _moments([run.started_at for run in known]),
            "stopped": _moments([run.stopped_at for run in known]),
            "seconds": _lengths(taken),
            **{name: pd.Series(values, dtype="int64") for name, values in numbers.items()},
            "arn": _texts([run.arn for run in known]),
        }
    )


def children_frame(run: MapRun) -> pd.DataFrame:
    """A table of a Map Run's child executions; columns as described above."""
    import pandas as pd

    total = len(run.inputs)
    errors = [run.errors.get(i, (None, None)) for i in range(total)]
    started, stopped = (pd.Series(list(times), dtype="float64") for times in (run.starts, run.stops))
    statuses = pd.Categorical([maprun.STATUSES[code] for code in run.codes], categories=maprun.STATUSES)
    return pd.DataFrame(
        {
            "name": _texts([run.name(i) for i in range(total)]),
            "status": pd.Series(statuses),
            "items": pd.Series([1] * total if run.weights is None else run.weights, dtype="int64"),
            "started": _moments([None if s != s else s for s in started]),  # noqa: PLR0124 - NaN
            "stopped": _moments([None if s != s else s for s in stopped]),  # noqa: PLR0124 - NaN
            "seconds": (stopped - started).round(6),
            "error": _names([error for error, _ in errors]),
            "cause": _texts([cause for _, cause in errors]),
        }
    )


def mimebundle(headline: str, table: pd.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """A table for ``_repr_mimebundle_``: whole as HTML, its most telling *columns* as text, 60 rows at most of each."""
    shown = table[list(columns)]
    kept = [name for name in columns if name in columns[:3] or shown[name].notna().any()]
    words = shown[kept].to_string(max_rows=60, index=False, na_rep="", max_colwidth=60) if len(table) else ""
    text = "\n".join([headline, *(line.rstrip() for line in words.splitlines())])
    return {"text/plain": text, "text/html": table.to_html(max_rows=60, notebook=True)}


def _moments(seconds: Sequence[float | None]) -> Any:
    """Epoch seconds as UTC timestamps, exact to the microsecond: a double holds no more."""
    import pandas as pd

    micros = [None if s is None else round(s * 1e6) for s in seconds]
    moments = pd.to_datetime(pd.Series(micros, dtype="Int64"), unit="us", utc=True)
    return pd.Series(moments).astype("datetime64[us, UTC]")


def _lengths(seconds: Sequence[float | None]) -> Any:
    import pandas as pd

    return pd.Series([None if s is None else round(s, 6) for s in seconds], dtype="float64")


def _names(values: Sequence[Any]) -> Any:
    """Names as categories, in the order they first appear."""
    import pandas as pd

    texts = [None if v is None else str(v) for v in values]
    return pd.Series(pd.Categorical(texts, categories=list(dict.fromkeys(t for t in texts if t is not None))))


def _texts(values: Sequence[str | None]) -> Any:
    import pandas as pd

    return pd.Series(values, dtype="string")


def _sizes(texts: Sequence[str | None]) -> Any:
    import pandas as pd

    sizes = [None if t is None else len(str(t).encode("utf-8", "surrogatepass")) for t in texts]
    return pd.Series(sizes, dtype="Int64")

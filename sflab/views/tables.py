"""Histories as pandas tables: a row per event, or a row per passage through a state.

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
attempts     int64             how often it was attempted: 1 + retries
error        category          the error it failed with, also if it was caught
cause        string            the text that came with the error
input_bytes  Int64             the size of its input as UTF-8 JSON
output_bytes Int64             the size of its output; missing until there is one
next         category          the state entered after it
path         string            the Map iterations and Parallel branches around it: ``Ship items[2] > Pack[0]``
entered_id   int64             the id of its StateEntered event
exited_id    Int64             the id of its StateExited event
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
from typing import TYPE_CHECKING, Any

from sflab.engine import history, maprun

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from sflab.engine.history import Event, Visit
    from sflab.engine.maprun import MapRun

STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "CAUGHT", "ABORTED")


def events_frame(events: Iterable[Event]) -> pd.DataFrame:
    """A table of events, in any of the shapes `history.normalise` takes; columns as described above."""
    import pandas as pd

    known = history.normalise(events if isinstance(events, dict) else list(events))
    owners = {i: v.state for v in history.visits(known) for i in v.events}
    found = [history.details(e) for e in known]
    begun = known[0]["timestamp"] if known else None
    return pd.DataFrame(
        {
            "id": pd.Series([e["id"] for e in known], dtype="int64"),
            "timestamp": _moments([e["timestamp"].timestamp() for e in known]),
            "type": _names([e["type"] for e in known]),
            "state": _names([owners.get(e["id"]) for e in known]),
            "previous_id": pd.Series([e["previousEventId"] for e in known], dtype="int64"),
            "seconds": pd.Series([(e["timestamp"] - begun).total_seconds() for e in known], dtype="float64"),
            "error": _names([d.get("error") for d in found]),
            "details": _texts([json.dumps(d, ensure_ascii=False, default=str) for d in found]),
        }
    )


def visits_frame(visits: Iterable[Visit]) -> pd.DataFrame:
    """A table of state visits; columns as described above."""
    import pandas as pd

    known = list(visits)
    return pd.DataFrame(
        {
            "state": _names([v.state for v in known]),
            "type": _names([v.type for v in known]),
            "status": pd.Series(pd.Categorical([v.status for v in known], categories=STATUSES)),
            "entered": _moments([v.entered for v in known]),
            "exited": _moments([v.exited for v in known]),
            "seconds": pd.Series([None if v.seconds is None else round(v.seconds, 6) for v in known], dtype="float64"),
            "attempts": pd.Series([v.attempts for v in known], dtype="int64"),
            "error": _names([v.error for v in known]),
            "cause": _texts([v.cause for v in known]),
            "input_bytes": _sizes([v.input for v in known]),
            "output_bytes": _sizes([v.output for v in known]),
            "next": _names([v.next for v in known]),
            "path": _texts([" > ".join(f"{name}[{i}]" for name, i in v.path) for v in known]),
            "entered_id": pd.Series([v.entered_id for v in known], dtype="int64"),
            "exited_id": pd.Series([v.exited_id for v in known], dtype="Int64"),
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

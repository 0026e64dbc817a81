"""What came of simulating: a row for each execution, and what they say together.

A `Simulation` is a value: the same machine, seed and settings give an equal one, wherever it was computed. It is made
of `Row`s by whoever ran the executions (`sflab.backends.simulate`); here it is summed up, drawn, saved and loaded.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sflab.costs import statistics as stats
from sflab.costs.estimate import Bill, Line, priced
from sflab.costs.prices import Prices, dollars, html_table, text_table
from sflab.costs.statistics import Interval, span
from sflab.costs.usage import Meter, Usage
from sflab.errors import SflabError

if TYPE_CHECKING:
    import os

    import pandas as pd
    from matplotlib.figure import Figure

_FORMAT = "sflab.simulation/1"


class Row(NamedTuple):
    """One execution: when it arrived and began (seconds from the first possible arrival), how it went, what it cost.

    ``start`` is NaN and the status THROTTLED where StartExecution was refused for longer than its caller was patient.
    ``seconds`` is from start to end; ``error`` is the name, "" where there is none; ``transitions`` are as Standard
    counts them, those of Standard executions it started included; ``payload`` is the largest state data or parameters
    in bytes; ``throttled`` says how many calls Lambda refused; ``usd`` is the cost at list price.
    """

    number: int
    arrival: float
    start: float
    seconds: float
    status: str
    error: str
    transitions: int
    payload: int
    throttled: int
    usd: float


_DTYPES = {
    "number": "int64",
    "arrival": "float64",
    "start": "float64",
    "seconds": "float64",
    "status": "str",
    "error": "str",
    "transitions": "int64",
    "payload": "int64",
    "throttled": "int64",
    "usd": "float64",
}


@dataclass(frozen=True)
class Simulation:
    """*n* executions of one machine in virtual time.

    ``rows`` has one `Row` for each, ``bill`` is that of a mean execution, ``asked`` how many were asked for: more than
    ``n`` where it was interrupted. ``settings`` say in words what was simulated, ``notes`` what to know about it. As a
    cell's value it shows a table and a picture.
    """

    name: str
    type: str
    seed: int
    asked: int
    rows: tuple[Row, ...]
    bill: Bill
    settings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many executions there are."""
        return len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def durations(self) -> tuple[float, ...]:
        """How long those that began took, in ms, ascending."""
        return tuple(sorted(round(row.seconds * 1000, 3) for row in self.rows if row.status != "THROTTLED"))

    @cached_property
    def waits(self) -> tuple[float, ...]:
        """How long those that began had to wait to be let in, in ms, ascending."""
        return tuple(sorted(round(1000 * (r.start - r.arrival), 3) for r in self.rows if r.status != "THROTTLED"))

    @property
    def mean(self) -> float:
        """The mean duration, in ms."""
        return math.fsum(self.durations) / len(self.durations) if self.durations else math.nan

    def quantile(self, q: float) -> float:
        """Return the duration (ms) that a share *q* of the executions does not exceed: one that was observed."""
        return stats.quantile(self.durations, q) if self.durations else math.nan

    def interval(self, q: float) -> Interval:
        """Return the 95 % interval (ms) of the quantile, from order statistics."""
        return stats.interval(self.durations, q) if self.durations else Interval(math.nan, math.nan)

    @property
    def statuses(self) -> dict[str, int]:
        """How many ended how."""
        return dict(Counter(row.status for row in self.rows).most_common())

    @property
    def errors(self) -> dict[str, int]:
        """How many ended with which error, most frequent first."""
        return dict(Counter(row.error for row in self.rows if row.error).most_common())

    @property
    def failures(self) -> int:
        """How many did not succeed."""
        return sum(row.status != "SUCCEEDED" for row in self.rows)

    @property
    def transitions(self) -> float:
        """The mean number of state transitions, counted as Standard counts them."""
        return math.fsum(row.transitions for row in self.rows) / max(1, self.n)

    @property
    def payload(self) -> tuple[int, ...]:
        """The largest data of each execution, in bytes, ascending."""
        return tuple(sorted(row.payload for row in self.rows))

    @property
    def per_million(self) -> float:
        """Dollars for a million executions, at list price."""
        return self.bill.per(1_000_000).usd

    @property
    def usd_error(self) -> float:
        """The standard error of the mean cost, in dollars."""
        costs = [row.usd for row in self.rows]
        centre = math.fsum(costs) / max(1, len(costs))
        return math.sqrt(
            math.fsum((cost - centre) ** 2 for cost in costs) / max(1, len(costs) - 1) / max(1, len(costs))
        )

    @property
    def throughput(self) -> float:
        """Executions that ended in a second, from the first start to the last end; NaN where all took no time."""
        begun = [row for row in self.rows if row.status != "THROTTLED"]
        lasted = max((r.start + r.seconds for r in begun), default=0.0) - min((r.start for r in begun), default=0.0)
        return len(begun) / lasted if lasted else math.nan

    # ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def df(self) -> pd.DataFrame:
        """One row per execution; the columns are those of `Row`, and ``waited``, the seconds from arrival to start."""
        import pandas as pd

        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(_DTYPES)
        made = {
            name: pd.Series(list(values), dtype=dtype)
            for (name, dtype), values in zip(_DTYPES.items(), columns, strict=True)
        }
        frame = pd.DataFrame(made).set_index("number")
        frame.insert(2, "waited", (frame["start"] - frame["arrival"]).round(6))
        return frame

    @property
    def summary(self) -> pd.Series:
        """The numbers in one column: executions, failures, ms at p50, p90, p99 and their intervals, dollars, bytes."""
        import pandas as pd

        numbers: dict[str, float] = {"executions": self.n, "failures": self.failures}
        for q in (0.5, 0.9, 0.99):
            numbers[f"p{q * 100:g}_ms"] = self.quantile(q)
            numbers[f"p{q * 100:g}_low"], numbers[f"p{q * 100:g}_high"] = self.interval(q)
        numbers |= {"mean_ms": round(self.mean, 3), "usd_per_million": round(self.per_million, 2)}
        numbers |= {"transitions": round(self.transitions, 3)}
        if self.rows:
            numbers["payload_p99"] = stats.quantile(self.payload, 0.99)
        if any(self.waits):
            numbers["waited_p99_ms"] = stats.quantile(self.waits, 0.99)
        return pd.Series(numbers, name=self.name, dtype="float64")

    def plot(self) -> Figure:
        """Return the picture as a matplotlib figure: how durations are distributed, and what a million cost."""
        from sflab.costs.pictures import draw, style

        with style():
            return draw([self])

    def svg(self) -> str:
        """Return the picture as SVG; the same simulation gives the same bytes."""
        from sflab.costs.pictures import draw, style, svg

        with style():
            return svg(draw([self]), self._headline())

    def _headline(self) -> str:
        short = f" of {self.asked:,} asked for" if self.n < self.asked else ""
        return f"{self.n:,} executions{short} of {self.name} ({self.type.capitalize()}), seed {self.seed}"

    def _lines(self) -> list[tuple[str, str]]:
        out = []
        for q in (0.5, 0.9, 0.99):
            low, high = ("?" if math.isnan(end) else span(end) for end in self.interval(q))
            out.append((f"p{q * 100:g}", f"{span(self.quantile(q))} ({low} … {high})" if self.durations else "–"))
        out.append(("mean", span(self.mean) if self.durations else "–"))
        if any(self.waits):
            longest = f"{span(stats.quantile(self.waits, 0.99))} at p99, {span(self.waits[-1])} at most"
            out.append(("waited to start", longest))
        out.append(("ended", ", ".join(f"{count:,} {status}" for status, count in self.statuses.items())))
        if self.errors:
            most = list(self.errors.items())
            more = f", and {len(most) - 4} other errors" if len(most) > 4 else ""
            out.append(("errors", ", ".join(f"{count:,} {error}" for error, count in most[:4]) + more))
        if refused := sum(row.throttled for row in self.rows):
            out.append(("refused by Lambda", f"{refused:,} calls"))
        parts = ", ".join(f"{name} {dollars(float(usd) * 1e6)}" for name, usd in self.bill.by_service().items())
        out.append(("a million cost", f"{dollars(self.per_million)} ({parts})" if parts else "nothing"))
        out.append(("transitions", f"{self.transitions:,.2f}".rstrip("0").rstrip(".")))
        if self.rows:
            sizes = self.payload
            out.append(("largest data", f"{stats.quantile(sizes, 0.5):,} bytes at p50, {sizes[-1]:,} at most"))
        return out

    def __repr__(self) -> str:
        if not self.durations:
            return f"<Simulation of {self._headline()}>"
        return f"<Simulation of {self._headline()}: p50 {span(self.quantile(0.5))}, p99 {span(self.quantile(0.99))}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows, remarks = self._lines(), [*self.settings, *(f"note: {note}" for note in self.notes)]
        small = "<br>".join(f"<small>{escape(remark)}</small>" for remark in remarks)
        table = html_table(("", "95 % intervals in brackets"), rows)
        out = {
            "text/plain": "\n".join(
                [self._headline(), "", text_table(("", "95 % intervals in brackets"), rows), "", *remarks]
            ),
            "text/html": f"<div><b>{escape(self._headline())}</b>{table}{small}</div>",
        }
        return {**out, "image/svg+xml": self.svg()} if self.durations else out

    def _ipython_display_(self) -> None:
        """Show table and picture as two outputs."""
        from sflab.costs.pictures import display_apart

        display_apart(self._repr_mimebundle_(), f" of {self._headline()}")

    # ── kept ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON: its settings, and its rows by columns; compressed where the name ends with ``.gz``."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Simulation:
        """Read what `save` wrote. Raises SflabError where the file holds something else."""
        return cls.from_json(read_json(path, _FORMAT))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        columns: dict[str, list[Any]] = {name: [row[i] for row in self.rows] for i, name in enumerate(Row._fields)}
        columns["start"] = [None if math.isnan(start) else start for start in columns["start"]]
        about = {name: getattr(self, name) for name in ("name", "type", "seed", "asked", "settings", "notes")}
        return {"format": _FORMAT, **about, "columns": columns, "bill": bill_json(self.bill)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Simulation:
        """Return what `to_json` gave."""
        columns = {**data["columns"]}
        columns["start"] = [math.nan if start is None else start for start in columns["start"]]
        rows = tuple(Row(*values) for values in zip(*(columns[name] for name in Row._fields), strict=True))
        words = (tuple(data["settings"]), tuple(data["notes"]))
        return cls(data["name"], data["type"], data["seed"], data["asked"], rows, bill_of(data["bill"]), *words)


# ── made ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def pricer(prices: Prices) -> Callable[[Usage], float]:
    """Return what gives the dollars of a usage at list price."""
    unit = {price.item: float(price.usd) for price in prices}
    return lambda usage: math.fsum([float(q) * unit[item] for (item, _), q in usage.quantities.items()])


def simulation(
    rows: Iterable[Row],
    total: Usage,
    prices: Prices,
    *,
    name: str,
    type: str,
    seed: int,
    asked: int,
    settings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Simulation:
    """Return the simulation of these rows, whose usage is *total* together."""
    ordered = tuple(sorted(rows))
    n, mean = len(ordered), Usage()
    for (item, counted), quantity in total.quantities.items():
        mean.add(item, counted, quantity / max(1, n))
    mean.notes = total.notes
    bill = priced(mean, prices, title=f"one {type.capitalize()} execution, the mean of {n:,}")
    return Simulation(name, type, seed, asked, ordered, bill, tuple(settings), tuple(notes))


def metered(meter: Meter, run: Any) -> Usage:
    """Return what an execution used, with its child executions and those that its tasks started."""
    told = run.billed()
    return meter.read(told.events, told.children, told.nested)


def recorded(name: str, runs: Iterable[Any], meter: Meter, prices: Prices, *, seed: int = 0) -> Simulation:
    """Return the simulation that *runs* make, executions with a ``status`` and a ``history`` that has ``events``."""
    rows, total, cost = [], Usage(), pricer(prices)
    for number, run in enumerate(runs):
        events = run.history.events
        usage = metered(meter, run)
        error = getattr(run, "error", None) or ""
        size = largest(events)
        rows.append(Row(number, 0.0, 0.0, usage.seconds, run.status, error, usage.transitions, size, 0, cost(usage)))
        total += usage
    return simulation(rows, total, prices, name=name, type=meter.type, seed=seed, asked=len(rows))


def used(name: str, type: str, runs: Iterable[tuple[Usage, bool]], prices: Prices, *, seed: int = 0) -> Simulation:
    """Return the simulation of executions of which is known what each used, and whether it failed."""
    rows, total, cost = [], Usage(), pricer(prices)
    for number, (usage, failed) in enumerate(runs):
        total += usage
        status = "FAILED" if failed else "SUCCEEDED"
        rows.append(Row(number, 0.0, 0.0, usage.seconds, status, "", usage.transitions, 0, 0, cost(usage)))
    return simulation(rows, total, prices, name=name, type=type, seed=seed, asked=len(rows))


def largest(events: Sequence[Mapping[str, Any]]) -> int:
    """Return the bytes of the largest data in a history: inputs, outputs and parameters."""
    longest, text = 0, ""
    wide = 0  # of texts that are not ASCII: more bytes than characters
    for event in events:
        for key, details in event.items():
            if key[-7:] != "Details":
                continue
            for member in ("input", "output", "parameters"):
                data = details.get(member)
                if data is not None and len(data) > longest:
                    longest, text = len(data), data
                if data is not None and not data.isascii():
                    wide = max(wide, len(data.encode("utf-8", "surrogatepass")))
    return max(wide, longest if text.isascii() else 0)


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bill_json(bill: Bill) -> dict[str, Any]:
    """Return a bill as JSON data; amounts stay decimal."""

    def plain(value: Any) -> Any:
        return {"decimal": str(value)} if isinstance(value, Decimal) else value

    lines = [{f.name: plain(getattr(line, f.name)) for f in fields(line)} for line in bill.lines]
    return {**{f.name: plain(getattr(bill, f.name)) for f in fields(bill)}, "lines": lines}


def bill_of(data: Mapping[str, Any]) -> Bill:
    """Return the bill that `bill_json` wrote."""

    def whole(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"decimal"}:
            return Decimal(value["decimal"])
        return tuple(value) if isinstance(value, list) else value

    lines = tuple(Line(**{name: whole(value) for name, value in line.items()}) for line in data["lines"])
    return Bill(**{**{name: whole(value) for name, value in data.items()}, "lines": lines})


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write JSON to a file; compressed, and always the same bytes, where its name ends with ``.gz``."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"
    Path(path).write_bytes(gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text)


def read_json(path: str | os.PathLike[str], wanted: str) -> dict[str, Any]:
    """Read what `write_json` wrote. Raises SflabError unless it is of the format *wanted*."""
    try:
        raw = Path(path).read_bytes()
        data = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    except FileNotFoundError:
        raise SflabError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as e:
        raise SflabError(f"{path}: this is not a result that was saved here ({e})") from None
    if not isinstance(data, dict) or data.get("format") != wanted:
        found = data.get("format") if isinstance(data, dict) else None
        raise SflabError(f"{path}: expected a file of format {wanted!r}, this one says {found!r}")
    return data

"""Which of two workflows is cheaper, which is faster, and whether that is more than chance.

Every machine is simulated *n* times by the backend that is handed in; each run is metered from its history, so what is
compared is what is billed. What the numbers can tell is in `sflab.costs.statistics`: percentiles come with intervals
that assume no distribution, and a difference is called real when its interval excludes 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from html import escape
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from sflab.costs import statistics as stats
from sflab.costs.estimate import Bill
from sflab.costs.prices import Prices, dollars, html_table, load, text_table
from sflab.costs.simulation import Row, Simulation, metered, pricer, read_json, recorded, simulation, used, write_json
from sflab.costs.statistics import Interval, Z, span
from sflab.costs.usage import Meter, Usage
from sflab.errors import Interrupted, SflabError

if TYPE_CHECKING:
    import os

    import pandas as pd
    from matplotlib.figure import Figure

_FORMAT = "sflab.comparison/1"

#: The longest an Express execution may take, in ms (Step Functions service quotas).
_EXPRESS_LIMIT = 300_000


class Backend(Protocol):
    """What can simulate."""

    def simulate(self, machine: Any, input: Any, **options: Any) -> Simulation:
        """Run *machine* many times on *input*, with every chance taken from the option ``seed``."""
        ...


@dataclass(frozen=True)
class Result:
    """One of the compared: its name, and the simulation of it."""

    name: str
    simulation: Simulation

    @property
    def type(self) -> str:
        """STANDARD, EXPRESS, or CALLABLE."""
        return self.simulation.type

    @property
    def durations(self) -> tuple[float, ...]:
        """How long the executions took, in ms, ascending."""
        return self.simulation.durations

    @property
    def bill(self) -> Bill:
        """The bill of a mean execution."""
        return self.simulation.bill

    @cached_property
    def usd_error(self) -> float:
        """The standard error of the mean cost, in dollars."""
        return self.simulation.usd_error

    @property
    def failures(self) -> int:
        """How many did not succeed."""
        return self.simulation.failures

    @property
    def transitions(self) -> float:
        """The mean number of transitions, counted as Standard counts them."""
        return self.simulation.transitions

    @cached_property
    def payload(self) -> int:
        """The bytes that the largest data of 99 of 100 executions do not exceed."""
        return stats.quantile(self.simulation.payload, 0.99)

    @property
    def n(self) -> int:
        """How many executions."""
        return self.simulation.n

    @property
    def mean(self) -> float:
        """The mean duration, in ms."""
        return self.simulation.mean

    def quantile(self, q: float) -> float:
        """Return the duration (ms) that a share *q* of the executions does not exceed: one that was observed."""
        return self.simulation.quantile(q)

    def interval(self, q: float) -> Interval:
        """Return the 95 % interval (ms) of the quantile, from order statistics."""
        return self.simulation.interval(q)

    @property
    def per_million(self) -> float:
        """Dollars for a million executions, at list price."""
        return self.simulation.per_million


@dataclass(frozen=True)
class Comparison:
    """Machines side by side. As a cell's value it shows a table, a sentence in words and one picture.

    ``df`` has the numbers, ``bills`` the mean bill of each machine, ``verdict`` the sentence, ``plot()`` the picture.
    """

    results: tuple[Result, ...]
    n: int
    seed: int

    def __getitem__(self, name: str) -> Result:
        """Return the result of one machine."""
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(f"{name!r}; compared were {', '.join(r.name for r in self.results)}")

    @property
    def bills(self) -> dict[str, Bill]:
        """The bill of a mean execution, by name."""
        return {result.name: result.bill for result in self.results}

    @property
    def df(self) -> pd.DataFrame:
        """One row per machine: percentiles and mean (ms, 95 % intervals), dollars per million, failures, sizes.

        Rounded, so that stored outputs can be compared strictly: ms to one decimal, dollars to cents.
        """
        import pandas as pd

        results = self.results
        columns: dict[str, list[float]] = {}
        for q in (0.5, 0.9, 0.99):
            name = f"p{q * 100:g}"
            columns[f"{name}_ms"] = [r.quantile(q) for r in results]
            columns[f"{name}_low"] = [r.interval(q)[0] for r in results]
            columns[f"{name}_high"] = [r.interval(q)[1] for r in results]
        columns["mean_ms"] = [r.mean for r in results]
        frame = pd.DataFrame(columns, index=pd.Index([r.name for r in results], name="machine"), dtype="float64").round(
            1
        )
        frame.insert(0, "type", [r.type for r in results])
        frame["usd_per_million"] = [round(r.per_million, 2) for r in results]
        frame["failures"] = [r.failures for r in results]
        frame["transitions"] = [round(r.transitions, 2) for r in results]
        frame["payload_p99"] = [r.payload for r in results]
        return frame

    @property
    def costs(self) -> pd.DataFrame:
        """What a million cost, in dollars to the cent: one row per service and item, one column per machine."""
        import pandas as pd

        lines: dict[tuple[str, str], dict[str, float]] = {}
        for result in self.results:
            for line in result.bill.lines:
                of = lines.setdefault((line.service, line.item), {r.name: 0.0 for r in self.results})
                of[result.name] += float(line.usd) * 1_000_000
        index = pd.MultiIndex.from_tuples(list(lines), names=["service", "item"]) if lines else None
        names = [r.name for r in self.results]
        return pd.DataFrame(list(lines.values()), index=index, columns=names, dtype="float64").round(2)

    @property
    def simulations(self) -> dict[str, Simulation]:
        """The simulation of each, by name: every execution is in there."""
        return {result.name: result.simulation for result in self.results}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it with all its simulations as JSON; compressed where the name ends with ``.gz``."""
        results = [[r.name, r.simulation.to_json()] for r in self.results]
        write_json(path, {"format": _FORMAT, "n": self.n, "seed": self.seed, "results": results})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Comparison:
        """Read what `save` wrote. Raises SflabError where the file holds something else."""
        data = read_json(path, _FORMAT)
        results = tuple(Result(name, Simulation.from_json(each)) for name, each in data["results"])
        return cls(results, data["n"], data["seed"])

    @property
    def verdict(self) -> str:
        """Which is cheaper and faster, by how much, and whether the difference is real."""
        return " ".join(_verdict(self.results))

    def plot(self) -> Figure:
        """Return the picture as a matplotlib figure: how durations are distributed, and what a million cost."""
        from sflab.costs.pictures import draw, style

        with style():
            return draw(self.results)

    def svg(self) -> str:
        """Return the picture as SVG; the same results give the same bytes."""
        from sflab.costs.pictures import draw, style, svg

        with style():
            return svg(draw(self.results), f"{self._headline()}: {', '.join(r.name for r in self.results)}")

    def _headline(self) -> str:
        short = " and ".join(f"{r.n:,} of “{r.name}”" for r in self.results if r.n < self.n)
        early = f", stopped early: only {short}" if short else ""
        return f"{self.n:,} executions of each, seed {self.seed}{early}"

    def _rows(self) -> list[tuple[str, ...]]:
        def with_interval(result: Result, q: float) -> str:
            low, high = result.interval(q)
            return f"{span(result.quantile(q))} ({_bound(low)} … {_bound(high)})"

        return [
            (
                r.name,
                r.type,
                with_interval(r, 0.5),
                with_interval(r, 0.9),
                with_interval(r, 0.99),
                span(r.mean),
                f"{r.per_million:,.2f}",
                f"{r.failures:,}",
                f"{r.transitions:,.2f}".rstrip("0").rstrip("."),
                f"{r.payload:,}",
            )
            for r in self.results
        ]

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(r.name for r in self.results)}: {self._headline()}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head = (
            "machine",
            "type",
            "p50 (95 %)",
            "p90 (95 %)",
            "p99 (95 %)",
            "mean",
            "$ per million",
            "failed",
            "transitions",
            "bytes p99",
        )
        right = tuple(range(2, len(head)))
        rows, sentences = self._rows(), _verdict(self.results)
        table, words = html_table(head, rows, right=right), "<br>".join(map(escape, sentences))
        return {
            "text/plain": "\n".join([self._headline(), "", text_table(head, rows, right=right), "", *sentences]),
            "text/html": f"<div><b>{escape(self._headline())}</b>{table}<p>{words}</p></div>",
            "image/svg+xml": self.svg(),
        }

    def _ipython_display_(self) -> None:
        """Show table and picture as two outputs."""
        from sflab.costs.pictures import display_apart

        display_apart(self._repr_mimebundle_(), f" of {self._headline()}")


def compare(
    machines: Mapping[str, Any],
    backend: Backend | None = None,
    input: Any = None,
    *,
    n: int = 1000,
    seed: int = 0,
    prices: Prices | None = None,
    progress: Callable[[int, int], Any] | None = None,
    **options: Any,
) -> Comparison:
    """Simulate every machine *n* times on *input* and compare what it takes and costs.

    *machines* maps a name to a state machine, or to a callable: any other way to do the same, as ``work(input, rng)``.
    It returns an execution that it ran, or seconds, or a dict of ``seconds`` and, as it likes, ``usage`` (quantities by
    price item: ``{"lambda.request": 2}``), ``error`` (of one that failed) and ``payload`` (bytes). *backend* is one
    that simulates, such as ``Local`` with latency models. Every machine gets the same *seed*: they meet the same luck.
    *options* are those of `sf.simulate`: ``arrivals``, ``limits``, ``latencies``, ``faults``, ``executor``, and what is
    billed how. *progress* is called with (done, total); without it the backend shows how far it is.

    Where it is stopped it raises `sflab.errors.Interrupted`, whose ``partial`` is the comparison of what was done.
    """
    if not isinstance(machines, Mapping) or not machines:
        raise ValueError(
            'machines is a dict from names to state machines: {"saga": saga, "express": saga.as_express()}'
        )
    if n < 1:
        raise ValueError(f"n is the number of executions, 1 or more, not {n!r}")
    calls = {name for name, machine in machines.items() if not hasattr(machine, "definition")}
    for name in calls:
        if not callable(machines[name]):
            raise TypeError(
                f"{name!r} is a state machine or a callable(input, rng), not {type(machines[name]).__name__}"
            )
    if not hasattr(backend, "simulate") and len(calls) < len(machines):
        what = "no backend was given" if backend is None else f"{type(backend).__name__} cannot simulate"
        raise SflabError(f"{what}; compare with a local backend: sf.Local(…)")
    prices, results = prices or load(), list[Result]()
    shown = getattr(backend, "progress", None)
    with shown("comparing", n * len(machines)) if shown and progress is None else nullcontext(progress) as tell:
        for place, (name, machine) in enumerate(machines.items()):
            told = _nowhere if tell is None else _part(tell, place * n, len(machines) * n)
            try:
                if name in calls:
                    made = _called(name, machine, input, n=n, seed=seed, prices=prices, progress=told)
                else:
                    assert backend is not None  # noqa: S101 - seen to above
                    made = backend.simulate(machine, input, n=n, seed=seed, prices=prices, progress=told, **options)
            except KeyboardInterrupt as e:
                part = e.partial if isinstance(e, Interrupted) else None
                some = [Result(name, part)] if part is not None and part.n else []
                done = f"stopped after {some[0].n if some else 0:,} of {n:,} executions of {name!r}"
                raise Interrupted(done, Comparison((*results, *some), n, seed)) from None
            if not made.n:
                raise SflabError(f"the backend simulated no execution of {name!r}")
            results.append(Result(name, made))
    return Comparison(tuple(results), n, seed)


def measure(name: str, type: str, runs: Iterable[tuple[Usage, bool]], prices: Prices) -> Result:
    """Return the result of executions that somebody else ran: what each of *runs* used, and whether it failed."""
    made = used(name, type, runs, prices)
    if not made.n:
        raise SflabError(f"there is no execution of {name!r}")
    return Result(name, made)


def _nowhere(done: int, total: int) -> None:
    """Tell nobody."""


def _part(progress: Callable[[int, int], Any], before: int, total: int) -> Callable[[int, int], Any]:
    return lambda done, _: progress(before + done, total)


def _called(
    name: str,
    work: Callable[[Any, Random], Any],
    input: Any,
    *,
    n: int,
    seed: int,
    prices: Prices,
    progress: Callable[[int, int], Any] | None,
) -> Simulation:
    """Return the simulation of a callable, whose executions are what it says."""
    rows, total, cost = [], Usage(), pricer(prices)
    for number in range(n):
        told = work(input, Random(f"{seed}/{number}"))
        if hasattr(told, "history"):
            meter = Meter(told.machine.definition, told.machine.type)
            one = recorded(name, [told], meter, prices).rows[0]
            usage = metered(meter, told)
        else:
            one, usage = _told(name, told, cost)
        total += usage
        rows.append(one._replace(number=number))
        if progress is not None and (number % 100 == 99 or number == n - 1):
            progress(number + 1, n)
    return simulation(rows, total, prices, name=name, type="CALLABLE", seed=seed, asked=n)


def _told(name: str, told: Any, cost: Callable[[Usage], float]) -> tuple[Row, Usage]:
    """Read what a callable returned of one execution."""
    about = told if isinstance(told, Mapping) else {"seconds": told}
    seconds, known = about.get("seconds"), {"seconds", "usage", "error", "payload"}
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise TypeError(f"{name!r} returns an execution, seconds, or a dict with seconds; it returned {told!r}")
    if unknown := sorted(map(str, set(about) - known)):
        raise TypeError(f"{name!r} returned {', '.join(unknown)}; a dict has {', '.join(sorted(known))}")
    usage, error = Usage(seconds=float(seconds)), str(about.get("error") or "")
    for item, quantity in (about.get("usage") or {}).items():
        usage.add(item, "as the callable says", quantity)
    status = "FAILED" if error else "SUCCEEDED"
    return Row(0, 0.0, 0.0, float(seconds), status, error, 0, int(about.get("payload") or 0), 0, cost(usage)), usage


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _bound(ms: float) -> str:
    return "?" if math.isnan(ms) else span(ms)


def _verdict(results: Sequence[Result]) -> list[str]:
    if len(results) == 1:
        only = results[0]
        out = [f"“{only.name}” takes {span(only.quantile(0.5))} at the median and {span(only.quantile(0.99))} at p99."]
        out.append(f"A million executions cost {dollars(only.per_million)}.")
    else:
        out = [_cheaper(results), _faster(results, 0.5, "at the median"), _faster(results, 0.99, "at p99")]
    failed = [f"{r.failures:,} of {r.n:,} of “{r.name}”" for r in results if r.failures]
    if failed:
        out.append(f"Failed: {', '.join(failed)}; they are counted in every number.")
    late = [f"“{r.name}”" for r in results if r.type == "EXPRESS" and r.durations[-1] > _EXPRESS_LIMIT]
    if late:
        out.append(f"AWS ends an Express execution after five minutes; {', '.join(late)} took longer here.")
    return out


def _cheaper(results: Sequence[Result]) -> str:
    ranked = sorted(results, key=lambda r: r.bill.exact)
    best = ranked[0]
    if best.bill.exact == ranked[-1].bill.exact:
        return f"All cost the same: {dollars(best.per_million)} per million."

    def against(other: Result) -> str:
        gap, error = other.bill.usd - best.bill.usd, math.hypot(other.usd_error, best.usd_error)
        times = f", {_times(other.bill.usd / best.bill.usd)} as much" if best.bill.exact and gap else ""
        chance = "" if gap > Z * error else " (could be chance)" if gap else " (the same)"
        return f"{dollars(other.per_million)} for “{other.name}”{times}{chance}"

    return f"Cheapest is “{best.name}”: {dollars(best.per_million)} per million, against {_others(ranked, against)}."


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 100 else f"{ratio:.3g} times"


def _faster(results: Sequence[Result], q: float, where: str) -> str:
    ranked = sorted(results, key=lambda r: r.quantile(q))
    best = ranked[0]
    if best.quantile(q) == ranked[-1].quantile(q):
        return f"All take the same {where}: {span(best.quantile(q))}."

    def against(other: Result) -> str:
        return f"{span(other.quantile(q))} for “{other.name}” ({_gap(other, best, q)})"

    return f"Fastest {where} is “{best.name}”: {span(best.quantile(q))}, against {_others(ranked, against)}."


def _others(ranked: Sequence[Result], against: Callable[[Result], str]) -> str:
    """Say what the best is set against: the next, and the last where there are more; the table has the rest."""
    second, last = ranked[1], ranked[-1]
    return against(second) if second is last else f"{against(second)} and, at the far end, {against(last)}"


def _gap(slower: Result, faster: Result, q: float) -> str:
    gap, interval = stats.difference(slower.durations, faster.durations, q)
    if gap == 0:
        return "the same"
    real = interval.excludes_zero
    if real is None:
        return f"{span(gap)} more, but {min(slower.n, faster.n):,} executions are too few to tell whether that is real"
    said = "a real difference" if real else "could be chance"
    return f"{span(gap)} more, 95 % between {span(interval.low)} and {span(interval.high)}: {said}"

"""Which of two workflows is cheaper, which is faster, and whether that is more than chance.

Every machine is simulated *n* times by the backend that is handed in; each run is metered from its history, so what is
compared is what is billed. Percentiles come with intervals from order statistics: the number of runs below a percentile
is binomial, whatever the distribution, so the interval holds without assuming one. The interval of a difference is put
together from the two (Zou and Donner 2008, doi:10.1002/sim.3095), and a difference is called real when it excludes 0.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sflab.costs.estimate import Bill, priced
from sflab.costs.prices import Prices, dollars, html_table, load, text_table
from sflab.costs.usage import Meter, Usage
from sflab.errors import Interrupted, SflabError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Two-sided: 95 of 100 such intervals hold what they are about.
_LEVEL = 0.95
_Z = 1.959963984540054

#: The longest an Express execution may take, in ms (Step Functions service quotas).
_EXPRESS_LIMIT = 300_000


class Backend(Protocol):
    """What can simulate: yields *n* executions, each with a ``status`` and a ``history`` that has ``events``."""

    def simulate(self, machine: Any, input: Any, *, n: int, seed: int) -> Iterable[Any]:
        """Run *machine* *n* times on *input*, with every chance taken from *seed*."""
        ...


class Interval(NamedTuple):
    """A 95 % interval; an end is NaN where there are too few runs to say."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool | None:
        """Whether 0 is outside; None when it cannot be told."""
        if math.isnan(self.low) or math.isnan(self.high):
            return None
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Result:
    """What *n* executions of one machine took and cost.

    ``durations`` (ms) ascend; ``bill`` is that of a mean execution; ``usd_error`` the standard error of its total;
    ``transitions`` are the mean number, counted as Standard counts them.
    """

    name: str
    type: str
    durations: tuple[float, ...]
    bill: Bill
    usd_error: float
    failures: int
    transitions: float

    @property
    def n(self) -> int:
        """How many executions."""
        return len(self.durations)

    @property
    def mean(self) -> float:
        """The mean duration, in ms."""
        return math.fsum(self.durations) / self.n

    def quantile(self, q: float) -> float:
        """Return the duration (ms) that a share *q* of the executions does not exceed: one that was observed."""
        return self.durations[min(self.n, max(1, math.ceil(self.n * q - 1e-9))) - 1]

    def interval(self, q: float) -> Interval:
        """Return the 95 % interval (ms) of the quantile, from order statistics."""
        low, high = _ranks(self.n, q)
        return Interval(*(self.durations[i - 1] if 1 <= i <= self.n else math.nan for i in (low, high)))

    @property
    def per_million(self) -> float:
        """Dollars for a million executions, at list price."""
        return self.bill.per(1_000_000).usd


@dataclass(frozen=True, slots=True)
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
        """One row per machine: percentiles and mean (ms, 95 % intervals), dollars per million, failures, transitions.

        Rounded, so that stored outputs can be compared strictly: ms to one decimal, dollars to cents.
        """
        import pandas as pd

        results = self.results
        columns: dict[str, list[float]] = {}
        for q in (0.5, 0.9, 0.99):
            name = f"p{q * 100:g}"
            columns[f"{name}_ms"] = [r.quantile(q) for r in results]
            if q != 0.9:
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
        return frame

    @property
    def verdict(self) -> str:
        """Which is cheaper and faster, by how much, and whether the difference is real."""
        return " ".join(_verdict(self.results))

    def plot(self) -> Figure:
        """Return the picture as a matplotlib figure: how durations are distributed, and what a million cost."""
        with _style():
            return _draw(self.results)

    def svg(self) -> str:
        """Return the picture as SVG; the same results give the same bytes."""
        with _style():
            return _svg(_draw(self.results), f"{self._headline()}: {', '.join(r.name for r in self.results)}")

    def _headline(self) -> str:
        short = [f"{r.n:,} of “{r.name}”" for r in self.results if r.n < self.n]
        stopped = f"; stopped early: only {', '.join(short)}" if short else ""
        return f"{self.n:,} executions of each, seed {self.seed}{stopped}"

    def _rows(self) -> list[tuple[str, ...]]:
        def with_interval(result: Result, q: float) -> str:
            low, high = result.interval(q)
            return f"{span(result.quantile(q))} ({_bound(low)} … {_bound(high)})"

        return [
            (
                r.name,
                r.type,
                with_interval(r, 0.5),
                span(r.quantile(0.9)),
                with_interval(r, 0.99),
                span(r.mean),
                f"{r.per_million:,.2f}",
                f"{r.failures:,}",
                f"{r.transitions:,.2f}".rstrip("0").rstrip("."),
            )
            for r in self.results
        ]

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(r.name for r in self.results)}: {self._headline()}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head = ("machine", "type", "p50 (95 %)", "p90", "p99 (95 %)", "mean", "$ per million", "failed", "transitions")
        right = tuple(range(2, len(head)))
        rows, sentences = self._rows(), _verdict(self.results)
        table, words = html_table(head, rows, right=right), "<br>".join(map(escape, sentences))
        return {
            "text/plain": "\n".join([self._headline(), "", text_table(head, rows, right=right), "", *sentences]),
            "text/html": f"<div><b>{escape(self._headline())}</b>{table}<p>{words}</p></div>",
            "image/svg+xml": self.svg(),
        }

    def _ipython_display_(self) -> None:
        """Show the table and the picture as two outputs: of one bundle, a front end would show the table alone."""
        from IPython.display import display

        bundle = self._repr_mimebundle_()
        picture = {"image/svg+xml": bundle.pop("image/svg+xml"), "text/plain": f"<picture of {self._headline()}>"}
        display(bundle, raw=True)  # type: ignore[no-untyped-call]
        display(picture, raw=True)  # type: ignore[no-untyped-call]


def compare(
    machines: Mapping[str, Any],
    backend: Backend,
    input: Any,
    *,
    n: int = 1000,
    seed: int = 0,
    prices: Prices | None = None,
    memory_mb: int | Mapping[str, int] = 128,
    architecture: str = "x86_64",
    start_end: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Simulate every machine *n* times on *input* and compare what it takes and costs.

    *machines* maps a name to a state machine (with ``definition`` and ``type``); *backend* is one that simulates, such
    as ``Local`` with latency models. Every machine gets the same *seed*. *prices*, *memory_mb*, *architecture* and
    *start_end* are those of `sflab.costs.estimate.bill`. *progress* is told (executions done, executions in all);
    by default the backend shows it where it can.

    Raises Interrupted when it is stopped: its ``partial`` is the Comparison of what was simulated until then.
    """
    if not isinstance(machines, Mapping) or not machines:
        raise ValueError(
            'machines is a dict from names to state machines: {"saga": saga, "express": saga.as_express()}'
        )
    if n < 1:
        raise ValueError(f"n is the number of executions, 1 or more, not {n!r}")
    if not hasattr(backend, "simulate"):
        raise SflabError(f"{type(backend).__name__} cannot simulate; compare with a local backend: sf.Local(…)")
    prices = prices or load()
    tallies: list[_Tally] = []
    shown = getattr(backend, "progress", None)
    with shown("comparing", n * len(machines)) if shown and progress is None else nullcontext(progress) as tell:
        try:
            for name, machine in machines.items():
                meter = Meter(
                    machine.definition,
                    machine.type,
                    start_end=start_end,
                    memory_mb=memory_mb,
                    architecture=architecture,
                )
                tallies.append(tally := _Tally(name, meter, prices))
                for run in backend.simulate(machine, input, n=n, seed=seed):
                    tally.take(run)
                    if tell is not None:
                        tell(n * (len(tallies) - 1) + len(tally.durations), n * len(machines))
        except KeyboardInterrupt:
            done = [tally.result() for tally in tallies if tally.durations]
            last = (
                f"{len(tallies[-1].durations):,} of {n:,} executions of {tallies[-1].name!r}" if tallies else "nothing"
            )
            raise Interrupted(f"stopped after {last}", Comparison(tuple(done), n, seed)) from None
    return Comparison(tuple(tally.result() for tally in tallies), n, seed)


class _Tally:
    """Adds up the executions of one machine."""

    def __init__(self, name: str, meter: Meter, prices: Prices) -> None:
        self.name, self.meter, self.prices, self.total, self.failures = name, meter, prices, Usage(), 0
        self.unit = {price.item: float(price.usd) for price in prices}
        self.costs: list[float] = []
        self.durations: list[float] = []

    def take(self, run: Any) -> None:
        """Meter one execution."""
        usage = self.meter.read(run.history.events, [children.billed() for children in run.map_runs])
        failed = run.status != "SUCCEEDED"
        self.total += usage
        self.failures += failed
        self.costs.append(math.fsum(float(q) * self.unit[item] for (item, _), q in usage.quantities.items()))
        self.durations.append(round(usage.seconds * 1000, 3))

    def result(self) -> Result:
        """Return what they took and cost. Raises SflabError where there was none."""
        n, mean, costs = len(self.durations), Usage(), self.costs[: len(self.durations)]
        if not n:
            raise SflabError(f"the backend simulated no execution of {self.name!r}")
        for (item, counted), quantity in self.total.quantities.items():
            mean.add(item, counted, quantity / n)
        mean.notes = self.total.notes
        bill = priced(mean, self.prices, title=f"one {self.meter.type.capitalize()} execution, the mean of {n:,}")
        centre = math.fsum(costs) / n
        error = math.sqrt(math.fsum((cost - centre) ** 2 for cost in costs) / max(1, n - 1) / n)
        durations, transitions = tuple(sorted(self.durations)), self.total.transitions / n
        return Result(self.name, self.meter.type, durations, bill, error, self.failures, transitions)


# ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _ranks(n: int, q: float) -> tuple[int, int]:
    """Return the ranks (from 1) of the order statistics between which the quantile *q* lies; 0 or n + 1 for neither.

    How many of *n* runs do not exceed the quantile is binomial(n, q): the low rank is the largest l with
    P(fewer than l) <= 2.5 %, the high one the smallest u with P(fewer than u) >= 97.5 %.
    """
    tail = (1 - _LEVEL) / 2
    spread = 12 * math.sqrt(n * q * (1 - q)) + 1  # what is further out has no weight a float can hold
    first, last = max(0, int(n * q - spread)), min(n, int(n * q + spread))
    log = math.lgamma(n + 1) - math.lgamma(first + 1) - math.lgamma(n - first + 1)
    weight = math.exp(log + first * math.log(q) + (n - first) * math.log1p(-q))
    below, low, high = 0.0, first, n + 1
    for k in range(first, last + 1):  # `below` is P(fewer than k)
        if below <= tail:
            low = k
        below += weight
        if below >= 1 - tail:
            high = k + 1
            break
        weight *= (n - k) / (k + 1) * q / (1 - q)
    return low, high


def _difference(a: Result, b: Result, q: float) -> tuple[float, Interval]:
    """Return how much longer *a* takes than *b* at the quantile, in ms, with the interval of it."""
    x, y = a.quantile(q), b.quantile(q)
    (low_x, high_x), (low_y, high_y) = a.interval(q), b.interval(q)
    d = x - y
    return d, Interval(d - math.hypot(x - low_x, high_y - y), d + math.hypot(high_x - x, y - low_y))


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────

#: Units of time: their size in ms, their sign and their name.
_UNITS = ((86_400_000, "d", "days"), (3_600_000, "h", "hours"), (60_000, "min", "minutes"), (1000, "s", "seconds"))


def span(ms: float) -> str:
    """Write a duration: three digits up to two minutes, from there in days, hours, minutes and tenths of a second.

    >>> [span(x) for x in (0, 8.25, 812.4, 3210, -349, 259_201_530)]
    ['0 ms', '8.25 ms', '812 ms', '3.21 s', '−349 ms', '3 d 1.5 s']
    """
    if ms < 0:
        return f"−{span(-ms)}"
    if ms < 120_000:
        value, sign = (ms / 1000, "s") if ms >= 1000 else (ms, "ms")
        places = 0 if value >= 100 or value == 0 else 1 if value >= 10 else 2
        return f"{value:.{places}f} {sign}"
    tenths, parts = round(ms / 100), []
    for size, sign, _ in _UNITS[:3]:
        whole, tenths = divmod(tenths, size // 100)
        parts += [f"{whole:,} {sign}"] if whole else []
    return " ".join([*parts, *([f"{tenths / 10:g} s"] if tenths else [])])


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
        chance = "" if gap > _Z * error else " (could be chance)" if gap else " (the same)"
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
    gap, interval = _difference(slower, faster, q)
    if gap == 0:
        return "the same"
    real = interval.excludes_zero
    if real is None:
        return f"{span(gap)} more, but {min(slower.n, faster.n):,} executions are too few to tell whether that is real"
    said = "a real difference" if real else "could be chance"
    return f"{span(gap)} more, 95 % between {span(interval.low)} and {span(interval.high)}: {said}"


# ── in a picture ─────────────────────────────────────────────────────────────────────────────────────────────────────

#: Okabe and Ito's colours, told apart by everybody; then again with another line.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.5)))
_INK, _FAINT, _RULE = "#1f2328", "#656d76", "#d0d7de"


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib as it is out of the box, whatever the reader has set, and with bytes that depend on the data only."""
    import matplotlib as mpl
    import matplotlib.style

    ours = {
        "svg.hashsalt": "sflab",
        "svg.fonttype": "none",
        "text.parse_math": False,  # a name may hold a $
        "font.size": 9,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _FAINT,
        "ytick.color": _FAINT,
    }
    with mpl.style.context(["default", ours]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the reader's fonts will have it
        yield


def _draw(results: Sequence[Result]) -> Figure:
    from matplotlib.figure import Figure

    class Card(Figure):
        """A figure that a notebook shows without pyplot."""

        def _repr_svg_(self) -> str:
            with _style():
                return _svg(self, ", ".join(r.name for r in results))

    tall = max(3.2, 0.9 + 0.62 * len(results))  # inches; the widest that JupyterLab shows unscaled is 7.9
    figure = Card(figsize=(7.9, tall), facecolor="white")
    left = figure.add_axes((0.065, 0.5 / tall, 0.51, 1 - 1.0 / tall))
    right = figure.add_axes((0.635, 0.2 / tall, 0.355, 1 - 0.7 / tall))
    for axes, title in ((left, "How long executions take"), (right, "What a million cost")):
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=12)
        axes.set_facecolor("white")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    _draw_durations(left, results)
    _draw_costs(right, results)
    return figure


def _draw_durations(axes: Axes, results: Sequence[Result]) -> None:
    scale = _scale(axes, results)
    for q in (0.5, 0.99):
        axes.axhline(q, color=_RULE, linewidth=0.8, zorder=0)
    for i, result in enumerate(results):
        shares, times = _steps(result)
        colour, line = _look(i)
        axes.plot(
            [scale(t) for t in times], shares, color=colour, linestyle=line, linewidth=1.8, drawstyle="steps-post"
        )
        for q in (0.5, 0.99):
            axes.plot(scale(result.quantile(q)), q, "o", color=colour, markersize=5, markeredgecolor="white", zorder=3)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 0.99], ["0 %", "25 %", "50 %", "75 %", "99 %"])
    axes.tick_params(length=3, color=_RULE)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_RULE)


def _scale(axes: Axes, results: Sequence[Result]) -> Callable[[float], float]:
    """Set up the axis of time; returns what turns ms into its unit.

    Times far apart get a logarithmic axis. Times that differ little beside what all have in common, such as a long
    Wait, are drawn as what they are above it. The last per cent runs out of the frame: it would squeeze the other 99.
    """
    from matplotlib.ticker import LogLocator

    medians = [r.quantile(0.5) for r in results]
    first, last = min(r.durations[0] for r in results), max(r.quantile(0.99) for r in results)
    base = math.floor(first / 1000) * 1000.0 if last - first < 0.02 * first else 0.0
    size, _, unit = next((u for u in _UNITS if last - base >= 1.5 * u[0]), (1, "ms", "milliseconds"))
    beyond = f" above {span(base)}" if base else ""
    if min(medians) > 0 and max(medians) / min(medians) > 12:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(LogLocator(subs=()))
        axes.set_xlim(0.8 * min(r.quantile(0.01) for r in results) / size, 1.25 * last / size)
    else:
        axes.set_xlim(0, 1.1 * (last - base) / size or 1)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.6g}")
    axes.set_xlabel(f"{unit}{beyond}", color=_FAINT, loc="right", labelpad=1)
    return lambda ms: (ms - base) / size


def _steps(result: Result) -> tuple[list[float], list[float]]:
    """Return the empirical distribution function as at most some 400 points: enough for a picture, and no megabyte."""
    n = result.n
    ranks = sorted({min(n, max(1, round(n * i / 380))) for i in range(381)} | set(range(max(1, n - 20), n + 1)))
    return [0.0, *(rank / n for rank in ranks)], [result.durations[0], *(result.durations[rank - 1] for rank in ranks)]


def _draw_costs(axes: Axes, results: Sequence[Result]) -> None:
    most = max(r.per_million for r in results) or 1
    for i, result in enumerate(results):
        colour, start = _look(i)[0], 0.0
        services = result.bill.by_service()
        for k, usd in enumerate(services.values()):
            tint = _tint(colour, 0.66 * k / max(1, len(services) - 1))
            axes.barh(i, float(usd) * 1_000_000, 0.26, start, color=tint)
            start += float(usd) * 1_000_000
        axes.text(0, i - 0.17, _short(result.name), va="bottom", fontweight="bold", color=colour)
        axes.text(start + most * 0.015, i, _whole(result.per_million), va="center")
        axes.text(0, i + 0.17, _shares(services), va="top", fontsize=6.6, color=_FAINT)
    axes.set_xlim(0, most * (1.04 + 0.034 * max(len(_whole(r.per_million)) for r in results)))  # room for the amounts
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _shares(services: Mapping[str, Decimal]) -> str:
    """Say what a bill is made of, largest first, as much of it as there is room for."""
    total = sum(services.values()) or Decimal(1)
    out = ""
    for service, usd in sorted(services.items(), key=lambda item: -item[1]):
        part = f"{' · ' if out else ''}{service} {100 * usd / total:.0f} %"
        if 100 * usd < total or len(out + part) > 52:
            break
        out += part
    return out


def _whole(usd: float) -> str:
    """Write an amount; from ten thousand dollars on without the cents."""
    return f"${usd:,.0f}" if usd >= 10_000 else dollars(usd)


def _look(i: int) -> tuple[str, Any]:
    """Return the colour and the line of the machine at place *i*."""
    return _COLOURS[i % len(_COLOURS)], _LINES[i // len(_COLOURS) % len(_LINES)]


def _tint(colour: str, share: float) -> str:
    """Mix *share* of white into a colour."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= 28 else f"{name[:27]}…"


def _svg(figure: Figure, title: str) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Title": title, "Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]

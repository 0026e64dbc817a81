"""Where one way to build something becomes cheaper than another: lines computed from prices, not simulated.

Three questions, each answered by a `BreakEven`: Standard against Express over transitions and duration, the batch size
of a distributed Map, and polling against a callback. All assumptions are parameters, and are printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from sflab.costs.prices import Prices, dollars, load
from sflab.costs.simulation import read_json, write_json
from sflab.costs.statistics import span
from sflab.costs.usage import billed_memory_mb

if TYPE_CHECKING:
    import os

    import pandas as pd
    from matplotlib.figure import Figure

_FORMAT = "sflab.break-even/1"
_EXPRESS_SECONDS = 300.0  # the longest an Express execution may take (quotas page)


@dataclass(frozen=True)
class BreakEven:
    """Lines over ``x``, by name, and where they cross. ``y`` names what they are; ``verdict`` says it in words.

    ``crossings`` are the points (x, y) at which what is better changes, None where it never does.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, tuple[tuple[float, float], ...]]
    crossings: Mapping[str, float | None]
    verdict: str
    assumed: tuple[str, ...]
    log: bool = False

    @property
    def df(self) -> pd.DataFrame:
        """One row per x, one column per line."""
        import pandas as pd

        columns = {name: pd.Series(dict(points), dtype="float64") for name, points in self.lines.items()}
        return pd.DataFrame(columns).rename_axis(self.x).round(9)

    def plot(self) -> Figure:
        """Return the lines as a matplotlib figure."""
        from sflab.costs.pictures import FAINT, card, lines, panel, style

        with style():
            figure = card(7.9, 3.6, self.title)
            axes = panel(figure, (0.1, 0.14, 0.86, 0.75), self.title, x=self.x, y=self.y)
            if self.log:
                axes.set_xscale("log")
                axes.set_yscale("log")
            lines(axes, {name: tuple(zip(*points, strict=True)) for name, points in self.lines.items()})  # type: ignore[misc]
            for at in self.crossings.values():
                if at is not None:
                    axes.axvline(at, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
            return figure

    def svg(self) -> str:
        """Return the picture as SVG; the same lines give the same bytes."""
        from sflab.costs.pictures import style, svg

        figure = self.plot()
        with style():
            return svg(figure, self.title)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; compressed where the name ends with ``.gz``."""
        about = {name: getattr(self, name) for name in self.__dataclass_fields__}
        write_json(path, {"format": _FORMAT, **about})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BreakEven:
        """Read what `save` wrote. Raises SflabError where the file holds something else."""
        data = read_json(path, _FORMAT)
        data.pop("format")
        data["lines"] = {name: tuple((x, y) for x, y in points) for name, points in data["lines"].items()}
        return cls(**{**data, "assumed": tuple(data["assumed"])})

    def __repr__(self) -> str:
        return f"<BreakEven: {self.verdict}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        small = "<br>".join(f"<small>{escape(each)}</small>" for each in self.assumed)
        return {
            "text/plain": "\n".join([self.title, "", self.verdict, "", *self.assumed]),
            "text/html": f"<div><p>{escape(self.verdict)}</p>{small}</div>",
            "image/svg+xml": self.svg(),
        }

    def _ipython_display_(self) -> None:
        """Show table and picture as two outputs."""
        from sflab.costs.pictures import display_apart

        display_apart(self._repr_mimebundle_(), f": {self.title}", picture_first=True)


def standard_express(
    transitions: Sequence[int] = tuple(range(1, 31)),
    *,
    memory_mb: float = 64,
    start_end: int = 1,
    prices: Prices | None = None,
) -> BreakEven:
    """Return up to which duration Express is cheaper than Standard, over the number of states entered.

    *memory_mb* is what the Express execution takes, rounded up to 64 MB; *start_end* how many transitions start and end
    count as. Durations are in seconds.
    """
    prices = prices or load()
    memory = billed_memory_mb(memory_mb)
    step, request = float(prices["stepfunctions.transition"].usd), float(prices["stepfunctions.express-request"].usd)
    second = float(prices["stepfunctions.express-gb-second"].usd) * memory / 1024

    def until(entered: int) -> float:
        # Time is billed in steps of 100 ms, rounded up: the last step that is still cheaper counts.
        tenths = ((entered + start_end) * step - request) / second * 10
        return max(0.0, math.floor(tenths + 1e-9) / 10)

    counts = sorted({int(each) for each in transitions})
    if not counts or counts[0] < 1:
        raise ValueError("transitions are numbers of states entered, 1 or more")
    always = next((each for each in range(1, 10_000) if until(each) >= _EXPRESS_SECONDS), None)
    fewest = f"{counts[0]} state{'s' if counts[0] > 1 else ''}"
    said = f"With {fewest} entered, Express is cheaper up to {span(until(counts[0]) * 1000)}"
    said += f"; each state more adds {span(step / second * 1000)}."
    if always is not None:
        said += f" From {always} states on it is cheaper for as long as an Express execution may take (5 minutes)."
    return BreakEven(
        "Below the line Express is cheaper, above it Standard",
        "states entered",
        "seconds",
        {
            "as cheap as each other": tuple((float(n), min(until(n), _EXPRESS_SECONDS)) for n in counts),
            "the longest Express execution": tuple((float(n), _EXPRESS_SECONDS) for n in counts),
        },
        {"always Express from": float(always) if always is not None and always <= counts[-1] else None},
        said,
        (f"{memory} MB of memory; start and end count as {start_end} of Standard's transitions", _dated(prices)),
    )


def batch_size(
    items: int = 1_000_000,
    *,
    seconds: float = 0.1,
    states: int = 1,
    child: str = "EXPRESS",
    memory_mb: float = 64,
    start_end: int = 1,
    prices: Prices | None = None,
) -> BreakEven:
    """Return what a distributed Map over *items* costs by the size of its batches, beside an inline Map, in dollars.

    An item takes *seconds* of a child execution; a child enters *states* states, whatever its batch. Lambda functions
    and other services are not in it: they do the same work either way.
    """
    prices = prices or load()
    if child not in ("EXPRESS", "STANDARD"):
        raise ValueError(f"child is EXPRESS or STANDARD, not {child!r}")
    if items < 1 or seconds < 0 or states < 1:
        raise ValueError("items and states are whole numbers, 1 or more; seconds 0 or more")
    step, request = float(prices["stepfunctions.transition"].usd), float(prices["stepfunctions.express-request"].usd)
    second = float(prices["stepfunctions.express-gb-second"].usd) * billed_memory_mb(memory_mb) / 1024

    def cost(size: int) -> float:
        children = -(-items // size)
        if child == "STANDARD":
            return children * (1 + states + start_end) * step
        return children * (step + request + math.ceil(max(1.0, round(seconds * size * 10, 6))) / 10 * second)

    inline = items * states * step
    most = items if child == "STANDARD" or not seconds else min(items, int(_EXPRESS_SECONDS / seconds))
    if most < 1:
        raise ValueError(f"an item of {seconds:g} s does not fit into an Express child execution: five minutes at most")
    sizes = sorted({min(most, max(1, round(10 ** (k / 8)))) for k in range(8 * 7)})
    from_here = _first(lambda size: cost(size) < inline, most)
    said = f"Batches of 1 cost {dollars(cost(1))}, of {most:,} {dollars(cost(most))}; an inline Map {dollars(inline)}."
    said += (
        f" The distributed Map is cheaper from batches of {from_here:,} on."
        if from_here
        else " The inline Map stays cheaper."
    )
    near = _first(lambda size: cost(size) <= 1.1 * cost(most), most)
    said += f" From {near:,} on there is less than 10 % left to save." if near and near > 1 else ""
    return BreakEven(
        f"What a Map over {items:,} items costs, by the size of its batches",
        "items in a batch",
        "dollars",
        {
            f"distributed, {child.capitalize()} children": tuple((float(size), cost(size)) for size in sizes),
            "inline": tuple((float(size), inline) for size in sizes),
        },
        {"distributed is cheaper from": float(from_here) if from_here else None},
        said,
        (
            f"an item takes {seconds:g} s, a child execution enters {states} state{'s' if states > 1 else ''}",
            "Step Functions alone; an inline Map also has to keep within 25,000 events and 256 KiB",
            f"start and end count as {start_end} transitions",
            _dated(prices),
        ),
        log=True,
    )


def polling_callback(
    every: float = 60.0,
    *,
    longest: float = 3600.0,
    states: int = 3,
    call: Mapping[str, float] | None = None,
    callback: Mapping[str, float] | None = None,
    prices: Prices | None = None,
) -> BreakEven:
    """Return what it costs to wait for something by polling *every* so many seconds, and by a callback, per million.

    A poll enters *states* states (Wait, Task, Choice) and makes a *call*; a callback waits in one state and takes a
    *callback*: quantities by price item, ``{"lambda.request": 1}``. By default a poll is a read from DynamoDB, a
    callback a message to SQS.
    """
    prices = prices or load()
    if not every > 0 or not longest > every:
        raise ValueError("every is the seconds between polls, more than 0, and longest more than that")
    step = float(prices["stepfunctions.transition"].usd)

    def priced(quantities: Mapping[str, float]) -> float:
        return math.fsum(float(prices[item].usd) * quantity for item, quantity in quantities.items())

    poll = states * step + priced({"dynamodb.read-unit": 0.5} if call is None else call)
    once = step + priced({"sqs.request": 2} if callback is None else callback)
    waits = [every * k for k in range(1, max(2, int(longest / every)) + 1)]
    crossing = max(1, math.floor(once / poll) + 1)
    said = f"A callback costs {dollars(once * 1e6)} per million however long it waits, a poll {dollars(poll * 1e6)}."
    if crossing == 1:
        times = math.ceil(longest / every) * poll / once
        said += " The callback is cheaper from the first poll on;"
        said += f" after {span(longest * 1000)} polling costs {times:,.0f} times as much."
    else:
        said += f" The callback is cheaper from {crossing} polls on, that is after {span(crossing * every * 1000)}."
    return BreakEven(
        "What waiting costs: polling against a callback",
        "seconds until it is done",
        "dollars per million",
        {
            f"polling every {every:g} s": tuple((wait, math.ceil(wait / every - 1e-9) * poll * 1e6) for wait in waits),
            "a callback": tuple((wait, once * 1e6) for wait in waits),
        },
        {"a callback is cheaper from": crossing * every if crossing * every <= longest else None},
        said,
        (
            f"a poll enters {states} states and takes {_quantities(call, 'half a DynamoDB read unit')}",
            f"a callback takes {_quantities(callback, 'two requests to SQS')}",
            _dated(prices),
        ),
    )


_QUESTIONS: dict[str, Callable[..., BreakEven]] = {
    "standard or express": standard_express,
    "batch size": batch_size,
    "polling or callback": polling_callback,
}


def break_even(question: str, *args: Any, **options: Any) -> BreakEven:
    """Return where one way becomes cheaper: ``"standard or express"``, ``"batch size"``, ``"polling or callback"``.

    The options are those of `standard_express`, `batch_size` and `polling_callback`.
    """
    if question not in _QUESTIONS:
        raise ValueError(f"break_even answers {', '.join(map(repr, _QUESTIONS))}, not {question!r}")
    return _QUESTIONS[question](*args, **options)


def _dated(prices: Prices) -> str:
    return f"list prices of {prices.region}, {prices.as_of}"


def _quantities(given: Mapping[str, float] | None, usual: str) -> str:
    if given is None:
        return usual
    return ", ".join(f"{quantity:g} {item}" for item, quantity in given.items()) or "nothing else"


def _first(holds: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number up to *most* from which on something *holds*, which it does for no smaller one."""
    if not holds(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high

"""What a sample tells: quantiles and their intervals, differences of them, and how a duration is written.

Percentiles come with intervals from order statistics: the number of runs below a percentile is binomial, whatever the
distribution, so the interval holds without assuming one. The interval of a difference is put together from the two
(Zou and Donner 2008, doi:10.1002/sim.3095), and a difference is called real when it excludes 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

N = TypeVar("N", int, float)

#: Two-sided: 95 of 100 such intervals hold what they are about.
_LEVEL = 0.95
Z = 1.959963984540054


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


def quantile(values: Sequence[N], q: float) -> N:
    """Return the value that a share *q* of the ascending *values* does not exceed: one that was observed."""
    n = len(values)
    return values[min(n, max(1, math.ceil(n * q - 1e-9))) - 1]


def interval(values: Sequence[float], q: float) -> Interval:
    """Return the 95 % interval of the quantile of ascending *values*, from order statistics."""
    n = len(values)
    low, high = ranks(n, q)
    return Interval(*(values[i - 1] if 1 <= i <= n else math.nan for i in (low, high)))


def ranks(n: int, q: float) -> tuple[int, int]:
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


def difference(a: Sequence[float], b: Sequence[float], q: float) -> tuple[float, Interval]:
    """Return by how much the quantile of *a* exceeds that of *b* (both ascending), with the interval of it."""
    x, y = quantile(a, q), quantile(b, q)
    (low_x, high_x), (low_y, high_y) = interval(a, q), interval(b, q)
    d = x - y
    return d, Interval(d - math.hypot(x - low_x, high_y - y), d + math.hypot(high_x - x, y - low_y))


#: Units of time: their size in ms, their sign and their name.
UNITS = ((86_400_000, "d", "days"), (3_600_000, "h", "hours"), (60_000, "min", "minutes"), (1000, "s", "seconds"))


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
    for size, sign, _ in UNITS[:3]:
        whole, tenths = divmod(tenths, size // 100)
        parts += [f"{whole:,} {sign}"] if whole else []
    return " ".join([*parts, *([f"{tenths / 10:g} s"] if tenths else [])])

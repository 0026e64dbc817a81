"""When executions come, and what AWS lets them do: patterns of arrival, and the quotas that make them wait.

An arrival pattern gives the seconds at which *n* executions arrive, from 0 on. A token bucket holds ``size`` tokens and
gains ``per_second`` of them; each request takes one. `Limits` are the quotas that executions share; the numbers are
dated rows of ``data/quotas``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

from sflab.costs.prices import data_directory, read_rows
from sflab.errors import SflabError

# ── arrivals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Arrivals(Protocol):
    """When executions come."""

    def times(self, n: int, rng: Random) -> list[float]:
        """Return when *n* of them come: ascending seconds from 0 on, drawn with *rng* and nothing else."""
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second, evenly or (``random``) with independent gaps: a Poisson process."""

    per_second: float
    random: bool

    def times(self, n: int, rng: Random) -> list[float]:
        """Return the moments; the first is 0 where they come evenly."""
        if not self.random:
            return [i / self.per_second for i in range(n)]
        out, at = [], 0.0
        for _ in range(n):
            at -= math.log1p(-rng.random()) / self.per_second
            out.append(at)
        return out

    def __repr__(self) -> str:
        return f"{'poisson' if self.random else 'rate'}({self.per_second:g})"


@dataclass(frozen=True, slots=True)
class Burst:
    """``size`` at once, and again ``every`` so many seconds."""

    size: float
    every: float

    def times(self, n: int, rng: Random) -> list[float]:  # noqa: ARG002 - the interface of every pattern
        """Return the moments; draws nothing."""
        return [0.0 if math.isinf(self.size) else i // int(self.size) * self.every for i in range(n)]

    def __repr__(self) -> str:
        return "burst()" if math.isinf(self.size) else f"burst({self.size:g}, every={self.every:g})"


@dataclass(frozen=True, slots=True)
class Trace:
    """When others came: seconds from the first on."""

    seconds: tuple[float, ...]

    def times(self, n: int, rng: Random) -> list[float]:  # noqa: ARG002 - the interface of every pattern
        """Return the first *n* moments; draws nothing. Raises ValueError where there are fewer."""
        if n > len(self.seconds):
            raise ValueError(f"the trace has {len(self.seconds):,} arrivals, {n:,} executions are asked for")
        return list(self.seconds[:n])

    def __repr__(self) -> str:
        return f"trace({len(self.seconds):,} arrivals in {self.seconds[-1]:g} s)"


def rate(per_second: float) -> Rate:
    """Return arrivals at even distances, *per_second* of them."""
    return Rate(_positive("per_second", per_second), random=False)


def poisson(per_second: float) -> Rate:
    """Return arrivals at random, *per_second* of them on average: each comes whenever it likes."""
    return Rate(_positive("per_second", per_second), random=True)


def burst(size: float = math.inf, *, every: float = 0.0) -> Burst:
    """Return arrivals all at once; or *size* at once, *every* so many seconds."""
    if not size >= 1 or (size != math.inf and size != int(size)):
        raise ValueError(f"size is how many arrive at once, a whole number, not {size!r}")
    if size != math.inf and not every > 0:
        raise ValueError("every is the seconds from one burst to the next: sf.burst(100, every=60)")
    return Burst(size, float(every))


def trace(times: Iterable[Any]) -> Trace:
    """Return arrivals as they were: *times* are seconds, or datetimes, in any order; the first becomes 0."""
    found = [t.timestamp() if hasattr(t, "timestamp") else float(t) for t in times]
    if not found:
        raise ValueError("a trace needs at least one arrival")
    first = min(found)
    return Trace(tuple(sorted(t - first for t in found)))


# ── token buckets ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: ``size`` tokens at most, ``per_second`` of them come back."""

    size: float
    per_second: float

    def __repr__(self) -> str:
        return f"{self.size:g} + {self.per_second:g}/s"


class Meter:
    """A bucket in use, full at the beginning; the moments it is asked about ascend.

    Kept as the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371): one number, no refilling.
    """

    __slots__ = ("bucket", "due", "slack")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket, self.due = bucket, -math.inf
        self.slack = (bucket.size - 1) / bucket.per_second

    def ready(self, at: float) -> float:
        """Return from when on, not before *at*, it has a token."""
        return max(at, self.due - self.slack)

    def take(self, tokens: int, at: float) -> None:
        """Take *tokens* at *at*; it may go into debt, which the next ones wait for."""
        self.due = max(self.due, at) + tokens / self.bucket.per_second


def started(arrivals: Sequence[float], bucket: Bucket | None, patience: float = math.inf) -> list[float | None]:
    """Return when each StartExecution call of ascending *arrivals* is let through; None where it gave up.

    Callers wait their turn, first come first served, for at most *patience* seconds. (An SDK that is refused tries
    again with growing pauses instead: it comes through at the same rate, in no such order.)
    """
    if bucket is None:
        return list(arrivals)
    meter, out = Meter(bucket), list[float | None]()
    for at in arrivals:
        when = meter.ready(at)
        if when - at > patience + 1e-9:  # sums of floats
            out.append(None)
        else:
            meter.take(1, when)
            out.append(when)
    return out


# ── quotas ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Limits:
    """What executions share; None is no limit.

    ``start`` and ``transitions`` are the buckets of StartExecution and StateTransition by workflow type,
    ``patience`` the seconds a caller waits for a start. ``lambda_concurrency`` is the account's, ``functions`` reserved
    concurrency by function name, ``scaling`` the bucket of a function's new environments, ``keep_alive`` the seconds
    an idle one is kept (None: who starts cold is the latency model's to say). ``workers`` says how many tasks go
    on at a time, by state name, function name, resource or ``service:action``; others wait their turn. ``dispatch`` is
    how many child executions a Map Run starts in a second, by their type.
    """

    start: Mapping[str, Bucket] = field(default_factory=dict)
    transitions: Mapping[str, Bucket] = field(default_factory=dict)
    patience: float = math.inf
    lambda_concurrency: int | None = None
    functions: Mapping[str, int] = field(default_factory=dict)
    scaling: Bucket | None = None
    keep_alive: float | None = None
    workers: Mapping[str, int] = field(default_factory=dict)
    dispatch: Mapping[str, float] | None = None
    region: str | None = None

    def shared(self, type: str) -> bool:
        """Whether executions of *type* can get into each other's way once they run: then they need one timeline."""
        pool = self.lambda_concurrency is not None or self.functions or self.scaling or self.keep_alive is not None
        return bool(type in self.transitions or pool or self.workers)

    def __repr__(self) -> str:
        return f"limits({', '.join(self._said())})"

    def _said(self) -> list[str]:
        out = [f"region={self.region!r}"]
        out += [f"StartExecution {kind} {bucket!r}" for kind, bucket in self.start.items()]
        out += [f"StateTransition {kind} {bucket!r}" for kind, bucket in self.transitions.items()]
        names = ("lambda_concurrency", "scaling", "keep_alive", "functions", "workers")
        return out + [f"{name}={value!r}" for name in names if (value := getattr(self, name)) not in (None, {})]


def limits(
    region: str | None = "us-east-1",
    *,
    start: tuple[float, float] | None = None,
    transitions: tuple[float, float] | None = None,
    patience: float = math.inf,
    lambda_concurrency: int | None = None,
    functions: Mapping[str, int] | None = None,
    keep_alive: float | None = None,
    workers: Mapping[str, int] | None = None,
    directory: str | Path | None = None,
) -> Limits:
    """Return AWS's quotas of a *region*, as ``data/quotas`` has them, with yours put in; region None: yours alone.

    *start* and *transitions* are (bucket, tokens a second) of StartExecution and StateTransition; *patience* is how
    long a caller waits to be let in. A Lambda call beyond *lambda_concurrency*, or beyond what *functions* reserves for
    its function, is refused with ``Lambda.TooManyRequestsException``, which is the definition's to retry. With
    *keep_alive* (seconds) each function has environments that are warm or cold. *workers* are task, activity and job
    queues: ``{"Pack": 3}``, of which others wait their turn.
    """
    rows = read_rows((Path(directory) if directory else data_directory("quotas")) / "quotas.csv") if region else []

    def quota(name: str) -> dict[str, Bucket]:
        mine = [row for row in rows if row["quota"] == name]
        there = {row["type"]: row for row in mine if row["region"] == "*"}
        there |= {row["type"]: row for row in mine if row["region"] == region}
        return {kind: Bucket(float(row["bucket"]), float(row["per_second"] or math.inf)) for kind, row in there.items()}

    def given(pair: tuple[float, float] | None, name: str) -> dict[str, Bucket]:
        if pair is None:
            return quota(name)
        size, per_second = pair
        made = Bucket(_positive("a bucket", size), _positive("tokens a second", per_second))
        return {"STANDARD": made, "EXPRESS": made} if name == "StartExecution" else {"STANDARD": made}

    if region and not _is_region(region):
        raise SflabError(f"region is a name such as us-east-1, not {region!r}; None takes only the limits you give")
    for name, most in {**(functions or {}), **(workers or {})}.items():
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ValueError(f"{name!r} may do a whole number of tasks at a time, 1 or more, not {most!r}")
    account = quota("LambdaConcurrency").get("*")
    dispatch = {kind: bucket.per_second for kind, bucket in quota("MapDispatch").items()}
    return Limits(
        given(start, "StartExecution"),
        given(transitions, "StateTransition"),
        patience,
        lambda_concurrency if lambda_concurrency is not None else int(account.size) if account else None,
        dict(functions or {}),
        quota("LambdaScaling").get("*"),
        keep_alive,
        dict(workers or {}),
        dispatch or None,
        region,
    )


def _is_region(name: str) -> bool:
    return name.count("-") >= 2 and name[-1].isdigit()


def _positive(name: str, number: Any) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise ValueError(f"{name} must be a number above 0, not {number!r}")
    return float(number)

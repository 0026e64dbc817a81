"""What goes wrong, and how often: error rates of tasks, throttling, slow tails.

Faults are values, as latencies are, and draw only from the `random.Random` they are given. A fault strikes an attempt:
a Retry of the definition is another attempt, that it may strike again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from sflab.costs.latency import Model

#: What AWS says with an error that has always the same words, request ids left out.
CAUSES = {
    "Lambda.TooManyRequestsException": (
        "Rate Exceeded. (Service: AWSLambda; Status Code: 429; Error Code: TooManyRequestsException; Proxy: null)"
    ),
    "Lambda.ServiceException": "Service: AWSLambda; Status Code: 500; Error Code: ServiceException; Proxy: null",
    "DynamoDB.ProvisionedThroughputExceededException": (
        "The level of configured provisioned throughput for the table was exceeded."
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that strikes a share ``rate`` of the attempts.

    With an ``error`` the attempt fails so, after the seconds of ``after`` (a model; None: as long as it would have
    taken). Without one it takes ``times`` as long.
    """

    rate: float
    error: str | None
    cause: str | None
    after: Model | None
    times: float

    def __repr__(self) -> str:
        if self.error is None:
            return f"slow_tail({self.rate:g}, times={self.times:g})"
        after = f", after={self.after!r}" if self.after is not None else ""
        return f"fault({self.rate:g}, {self.error!r}{after})"


def fault(
    rate: float, error: str = "States.TaskFailed", cause: str | None = None, *, after: Model | float | None = None
) -> Fault:
    """Return the fault that fails a share *rate* of the attempts with *error*.

    ``fault(0.02, "Lambda.TooManyRequestsException")`` is throttling. *after* is how long the failed attempt takes:
    seconds or a model; as long as it would have taken, unless told.
    """
    from sflab.costs.latency import constant

    model = constant(after) if isinstance(after, int | float) else after
    return Fault(_share(rate), error, CAUSES.get(error) if cause is None else cause, model, 1.0)


def slow_tail(rate: float, *, times: float) -> Fault:
    """Return the fault that lets a share *rate* of the attempts take *times* as long."""
    if not times > 0:
        raise ValueError(f"times is how many times as long it takes, more than 0, not {times!r}")
    return Fault(_share(rate), None, None, None, float(times))


@dataclass(frozen=True, slots=True)
class Faults:
    """What may strike which task: ``rules`` by state name, function name, ``service:action`` or ``*``."""

    rules: Mapping[str, tuple[Fault, ...]]

    def of(self, names: Iterable[str | None]) -> tuple[Fault, ...]:
        """Return what may strike a task, by the first of its *names* that has rules."""
        return next((self.rules[name] for name in (*names, "*") if name is not None and name in self.rules), ())

    def strike(self, names: Iterable[str | None], rng: Random) -> tuple[Fault | None, float]:
        """Draw what strikes one attempt: the fault that fails it, or None; and how many times as long it takes.

        A number is drawn for each fault, whatever the others do, so that raising one rate changes only what it strikes.
        """
        failing, times = None, 1.0
        for one in self.of(names):
            if rng.random() < one.rate:
                if one.error is None:
                    times *= one.times
                else:
                    failing = failing or one
        return failing, times

    def __repr__(self) -> str:
        return f"faults({{{', '.join(f'{name!r}: {list(rule)!r}' for name, rule in self.rules.items())}}})"


def faults(rules: Mapping[str, Any] | Faults | None) -> Faults:
    """Return faults by task: ``{"ChargeCard": 0.02, "*": [sf.fault(…), sf.slow_tail(0.01, times=10)]}``.

    A key is a state's name, a Lambda function's, ``service:action`` as in ``dynamodb:putItem``, or ``*`` for all that
    nothing else names; a value a rate (of ``States.TaskFailed``), a fault, or several.
    """
    if isinstance(rules, Faults):
        return rules
    made: dict[str, tuple[Fault, ...]] = {}
    for name, rule in (rules or {}).items():
        several = rule if isinstance(rule, list | tuple) else [rule]
        made[name] = tuple(one if isinstance(one, Fault) else fault(one) for one in several)
    return Faults(made)


def _share(rate: Any) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise ValueError(f"a rate is the share of attempts that is struck, between 0 and 1, not {rate!r}")
    return float(rate)

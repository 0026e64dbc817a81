"""How long things take: distributions to draw seconds from, and what is known about AWS.

A model has one verb, ``sample(rng) -> seconds``, and draws only from the `random.Random` it is given, one number a
draw, so the same seed gives the same times and two variants of a workflow can meet the same luck. Models are values:
they compare, print as the call that makes them, and nest.

`measured` makes a `Measured` from ``data/latency``, whose rows say source, date, and whether a number was measured,
derived from measurements, or assumed. It answers for a task: ``sample(resource_type, action, workflow_type, rng)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

from sflab.costs.charges import SERVICES
from sflab.costs.prices import data_directory, read_rows, text_table
from sflab.errors import SflabError

if TYPE_CHECKING:
    import pandas as pd

_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)


class Model(Protocol):
    """Anything that draws a number of seconds."""

    def sample(self, rng: Random) -> float:
        """Draw seconds, at least 0, from *rng* and nothing else."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same number of seconds."""

    seconds: float

    def sample(self, rng: Random) -> float:  # noqa: ARG002 - the interface of every model
        """Return the seconds; draws nothing."""
        return self.seconds

    def __repr__(self) -> str:
        return f"constant({self.seconds:g})"


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Seconds whose logarithm is normal with mean ``mu`` and standard deviation ``sigma``."""

    mu: float
    sigma: float

    def sample(self, rng: Random) -> float:
        """Draw by inverting the distribution function: one uniform number makes one sample."""
        return math.exp(self.mu + self.sigma * _NORMAL.inv_cdf(rng.random() or 2.0**-54))

    def quantile(self, q: float) -> float:
        """Return the seconds that a share *q* of the samples stays below."""
        return math.exp(self.mu + self.sigma * _NORMAL.inv_cdf(q))

    def __repr__(self) -> str:
        return f"lognormal(p50={self.quantile(0.5):.4g}, p99={self.quantile(0.99):.4g})"


@dataclass(frozen=True, slots=True)
class Empirical:
    """Seconds drawn from those observed, each as likely."""

    values: tuple[float, ...]

    def sample(self, rng: Random) -> float:
        """Draw one of the observations."""
        return self.values[int(rng.random() * len(self.values))]

    def __repr__(self) -> str:
        return f"empirical({len(self.values)} values, {self.values[0]:g} to {self.values[-1]:g})"


@dataclass(frozen=True, slots=True)
class Mixture:
    """One of several models, each with its share; the shares add up to 1."""

    parts: tuple[tuple[float, Model], ...]

    def sample(self, rng: Random) -> float:
        """Draw which model, then from it."""
        u = rng.random()
        for share, model in self.parts:
            if u < share:
                return model.sample(rng)
            u -= share
        return self.parts[-1][1].sample(rng)

    def __repr__(self) -> str:
        return f"mixture({', '.join(f'({share:g}, {model!r})' for share, model in self.parts)})"


@dataclass(frozen=True, slots=True)
class Sum:
    """One model's time after another's."""

    parts: tuple[Model, ...]

    def sample(self, rng: Random) -> float:
        """Draw from each and add."""
        return math.fsum(model.sample(rng) for model in self.parts)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))


# ── as one writes them ───────────────────────────────────────────────────────────────────────────────────────────────


def constant(seconds: float) -> Constant:
    """Return the model that always takes *seconds*."""
    return Constant(_duration("seconds", seconds))


def lognormal(*, p50: float, p99: float) -> Lognormal:
    """Return the lognormal model with this median and 99th percentile, in seconds: what most service times look like.

    Raises ValueError unless 0 < p50 <= p99.
    """
    if not 0 < _duration("p50", p50) <= _duration("p99", p99):
        raise ValueError(f"lognormal needs 0 < p50 <= p99 (seconds), not p50={p50!r}, p99={p99!r}")
    return Lognormal(math.log(p50), math.log(p99 / p50) / _Z99)


def empirical(values: Iterable[float]) -> Empirical:
    """Return the model that draws one of the observed *values* (seconds)."""
    observed = tuple(sorted(_duration("each value", value) for value in values))
    if not observed:
        raise ValueError("empirical needs at least one value (seconds)")
    return Empirical(observed)


def mixture(*parts: tuple[float, Model]) -> Mixture:
    """Return the model that is each of *parts*, (share, model), with the probability of its share.

    Raises ValueError unless the shares are not negative and add up to 1.
    """
    shares = [share for share, _ in parts]
    if not parts or min(shares) < 0 or not math.isclose(math.fsum(shares), 1, abs_tol=1e-9):
        raise ValueError(f"the shares of a mixture add up to 1 and none is negative; these are {shares}")
    return Mixture(parts)


def cold_start(warm: Model, *start: Model, share: float = 0.01) -> Mixture:
    """Return the model that takes *warm*, and in a *share* of the cases the times of *start* on top."""
    return mixture((1 - share, warm), (share, Sum((*start, warm))))


def _duration(name: str, seconds: float) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {seconds!r}")
    return float(seconds)


# ── what is known about AWS ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of ``data/latency``: seconds at the median and the 99th percentile, with where they come from."""

    part: str
    workflow: str
    service: str
    action: str
    p50: float
    p99: float
    n: int | None
    basis: str
    measured: str
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class Measured:
    """How long a task takes beyond what its Lambda function does itself, by workflow type and service.

    ``steps`` holds the workflow service's own time per task by workflow type, ``calls`` the time of a call by
    ``service:action``, ``service:*`` or ``*``; the most specific one counts. ``facts`` are the rows they were made of.
    """

    steps: Mapping[str, Model]
    calls: Mapping[str, Model]
    facts: tuple[Fact, ...] = ()

    def sample(self, resource_type: str, action: str, workflow_type: str, rng: Random) -> float:
        """Draw the seconds of one task: the workflow's own time and the call's.

        *resource_type* and *action* are as in TaskScheduled: ``lambda``, ``invoke``; ``sqs``,
        ``sendMessage.waitForTaskToken``. What follows an accepted request (a job, a callback) is not included.
        """
        return self.step(workflow_type, rng) + self.call(resource_type, action).sample(rng)

    def step(self, workflow_type: str, rng: Random) -> float:
        """Draw the seconds the workflow service itself takes to go on to a state."""
        model = self.steps.get(workflow_type)
        if model is None:
            raise ValueError(f"workflow_type is one of {', '.join(sorted(self.steps))}, not {workflow_type!r}")
        return model.sample(rng)

    def call(self, resource_type: str, action: str) -> Model:
        """Return the model of a call."""
        service = SERVICES.get(resource_type, resource_type)
        for key in (f"{service}:{action.partition('.')[0]}", f"{service}:*", "*"):
            if (model := self.calls.get(key)) is not None:
                return model
        raise SflabError(f"no latency for {service}:{action}; give one with using({{'{service}:*': lognormal(…)}})")

    def using(self, models: Mapping[str, Model]) -> Measured:
        """Return a copy with *models* put in, by ``service:action``, ``service:*``, ``*`` or workflow type."""
        steps = {key: model for key, model in models.items() if key in self.steps}
        calls = {key: model for key, model in models.items() if key not in steps}
        return replace(self, steps={**self.steps, **steps}, calls={**self.calls, **calls})

    @property
    def df(self) -> pd.DataFrame:
        """The facts: part, workflow, service, action, p50, p99 (seconds), n, basis, measured, source, note."""
        import pandas as pd

        columns = Fact.__slots__
        frame = pd.DataFrame({name: [getattr(fact, name) for fact in self.facts] for name in columns})
        return frame.astype({"n": "Int64"})

    def __repr__(self) -> str:
        return f"<Measured: {len(self.steps)} workflow types, {len(self.calls)} calls>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        basis = {f"{f.service}:{f.action}".removesuffix(":*"): f.basis for f in self.facts if f.part == "call"}
        basis |= {f.workflow: f.basis for f in self.facts if f.part == "step"}
        models = {**self.steps, **self.calls}
        rows = [(key, basis.get(key.removesuffix(":*"), ""), repr(model)) for key, model in models.items()]
        return {"text/plain": text_table(("of", "basis", "seconds"), rows)}


def measured(
    *,
    runtime: str = "python3.13",
    memory_mb: int = 512,
    architecture: str = "x86_64",
    cold_share: float = 0.01,
    directory: str | Path | None = None,
) -> Measured:
    """Return what ``data/latency`` knows: workflow steps, calls to services, and Lambda with its cold starts.

    The function is of *runtime*, *memory_mb* and *architecture*; a *cold_share* of its calls starts cold. Raises
    SflabError naming the runtimes or sizes there are when no cold start was measured for those given.
    """
    folder = Path(directory) if directory is not None else data_directory("latency")
    facts = tuple(_fact(row) for row in read_rows(folder / "latency.csv"))
    steps: dict[str, Model] = {f.workflow: lognormal(p50=f.p50, p99=f.p99) for f in facts if f.part == "step"}
    calls: dict[str, Model] = {}
    for fact in facts:
        if fact.part == "call":
            key = "*" if fact.service == "*" else f"{fact.service}:{fact.action}"
            calls[key] = lognormal(p50=fact.p50, p99=fact.p99)
    sandbox = next(lognormal(p50=f.p50, p99=f.p99) for f in facts if f.part == "sandbox")
    init = _init(read_rows(folder / "coldstart.csv"), runtime, memory_mb, architecture)
    calls["lambda:invoke"] = cold_start(calls["lambda:invoke"], sandbox, init, share=cold_share)
    return Measured(steps, calls, facts)


def _fact(row: Mapping[str, str]) -> Fact:
    texts = {
        name: row[name] for name in ("part", "workflow", "service", "action", "basis", "measured", "source", "note")
    }
    return Fact(p50=float(row["p50"]), p99=float(row["p99"]), n=int(row["n"]) if row["n"] else None, **texts)


def _init(rows: list[dict[str, str]], runtime: str, memory_mb: int, architecture: str) -> Lognormal:
    for row in rows:
        if (row["runtime"], row["memory_mb"], row["architecture"]) == (runtime, str(memory_mb), architecture):
            return lognormal(p50=float(row["p50"]), p99=float(row["p99"]))
    known = [f"{name} {', '.join(dict.fromkeys(row[name] for row in rows))}" for name in list(rows[0])[:3]]
    raise SflabError(
        f"no cold start measured for {runtime} with {memory_mb} MB on {architecture}; there are {'; '.join(known)}"
    )

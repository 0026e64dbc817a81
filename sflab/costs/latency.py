"""How long things take: distributions to draw seconds from, and what is known about AWS.

A model has one verb, ``sample(rng) -> seconds``, and draws only from the `random.Random` it is given, one number a
draw, so the same seed gives the same times and two variants of a workflow can meet the same luck. Models are values:
they compare, print as the call that makes them, and nest.

`measured` makes a `Measured` from ``data/latency``, whose rows say source, date, and whether a number was measured,
derived from measurements, or assumed. It answers for a task: ``sample(resource_type, action, workflow_type, rng)``.
`fit` learns one from histories. `cold_share` says how often a function starts cold at a rate of arrivals.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

from sflab.costs.charges import SERVICES
from sflab.costs.prices import data_directory, read_rows, text_table
from sflab.errors import SflabError

if TYPE_CHECKING:
    import pandas as pd

    from sflab.costs.fitting import Fit

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


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The time of a warm environment, and in a *share* of the cases that of ``start`` before it.

    Where a simulation keeps the environments of a function (`sflab.costs.traffic.limits` with ``keep_alive``), it says
    itself which call starts cold.
    """

    warm: Model
    start: Sum
    share: float

    def sample(self, rng: Random, *, cold: bool | None = None) -> float:
        """Draw whether it starts cold, unless told, then how long it takes."""
        u = rng.random()
        if not (u >= 1 - self.share if cold is None else cold):
            return self.warm.sample(rng)
        return math.fsum([model.sample(rng) for model in (*self.start.parts, self.warm)])

    def __repr__(self) -> str:
        return f"cold_start({self.warm!r}, {', '.join(map(repr, self.start.parts))}, share={self.share:g})"


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


def cold_start(warm: Model, *start: Model, share: float = 0.01) -> ColdStart:
    """Return the model that takes *warm*, and in a *share* of the cases the times of *start* on top.

    `cold_share` says what the share is at a rate of arrivals.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is between 0 and 1: how many of the calls start cold, not {share!r}")
    return ColdStart(warm, Sum(start), share)


def cold_share(*, per_second: float, seconds: float, keep_alive: float = 600.0) -> float:
    """Return the share of calls that start cold when *per_second* of them arrive at random, each taking *seconds*.

    An environment is kept for *keep_alive* seconds after its last call. How long AWS keeps one is not documented, and
    observed to vary: the default is an assumption. So is that a call takes the environment that was used last. The
    share is that of 50,000 calls after the first 5,000, always the same ones.
    """
    if not per_second > 0:
        raise ValueError(f"per_second is how many calls arrive in a second, more than 0, not {per_second!r}")
    took, keep = _duration("seconds", seconds), _duration("keep_alive", keep_alive)
    rng, at, cold = Random("cold starts"), 0.0, 0
    busy, idle = deque[float](), deque[float]()  # when each is or was free: all take as long, so in order
    for number in range(-5_000, 50_000):
        at -= math.log1p(-rng.random()) / per_second
        while busy and busy[0] <= at:
            idle.append(busy.popleft())
        while idle and at - idle[0] > keep:
            idle.popleft()
        if idle:
            idle.pop()
        elif number >= 0:
            cold += 1
        busy.append(at + took)
    return cold / 50_000


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
    ``service:action``, ``service:*`` or ``*``; the most specific one counts. ``functions`` are calls of the Lambda
    functions that have a runtime and memory of their own, by name. ``tasks`` are whole tasks, what the function or
    service does included, by state name, function name or resource: they count before any other, and before the latency
    that a mock has. ``facts`` are the rows they were made of.
    """

    steps: Mapping[str, Model]
    calls: Mapping[str, Model]
    facts: tuple[Fact, ...] = ()
    functions: Mapping[str, Model] = field(default_factory=dict)
    tasks: Mapping[str, Model] = field(default_factory=dict)

    def sample(
        self,
        resource_type: str,
        action: str,
        workflow_type: str,
        rng: Random,
        *,
        function: str | None = None,
        cold: bool | None = None,
    ) -> float:
        """Draw the seconds of one task: the workflow's own time and the call's.

        *resource_type* and *action* are as in TaskScheduled: ``lambda``, ``invoke``; ``sqs``,
        ``sendMessage.waitForTaskToken``. What follows an accepted request (a job, a callback) is not included.
        *function* is the name of the Lambda function, *cold* whether it starts cold, where that is known.
        """
        model = self.functions.get(function) if function is not None and self.functions else None
        model = model or self.call(resource_type, action)
        return self.step(workflow_type, rng) + _sampled(model, rng, cold)

    def whole(self, names: Iterable[str | None]) -> Model | None:
        """Return the model of a whole task by the first of its *names* that has one."""
        return next((self.tasks[name] for name in names if name is not None and name in self.tasks), None)

    def whole_sample(self, model: Model, workflow_type: str, rng: Random, *, cold: bool | None = None) -> float:
        """Draw the seconds of a task that has a *model* of its own: the workflow's own time and the task's."""
        return self.step(workflow_type, rng) + _sampled(model, rng, cold)

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
        """Return a copy with *models* put in.

        A key is a workflow type, a call (``service:action``, ``service:*``, ``*``), or a whole task: a state's name, a
        Lambda function's, or a resource's ARN.
        """
        for key, model in models.items():
            if not hasattr(model, "sample"):
                raise TypeError(f"{key!r} needs a model such as sf.constant(0.2) or sf.lognormal(…), not {model!r}")
        steps = {key: model for key, model in models.items() if key in self.steps}
        calls = {key: model for key, model in models.items() if key == "*" or key.count(":") == 1}
        tasks = {key: model for key, model in models.items() if key not in steps and key not in calls}
        return replace(
            self,
            steps={**self.steps, **steps},
            calls={**self.calls, **calls},
            tasks={**self.tasks, **tasks},
        )

    @property
    def df(self) -> pd.DataFrame:
        """The facts: part, workflow, service, action, p50, p99 (seconds), n, basis, measured, source, note."""
        import pandas as pd

        columns = Fact.__slots__
        frame = pd.DataFrame({name: [getattr(fact, name) for fact in self.facts] for name in columns})
        return frame.astype({"n": "Int64"})

    def __repr__(self) -> str:
        more = "".join(f", {len(x)} {name}" for name, x in (("functions", self.functions), ("tasks", self.tasks)) if x)
        return f"<Measured: {len(self.steps)} workflow types, {len(self.calls)} calls{more}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        basis = {f"{f.service}:{f.action}".removesuffix(":*"): f.basis for f in self.facts if f.part == "call"}
        basis |= {f.workflow: f.basis for f in self.facts if f.part == "step"}
        models = {**self.steps, **self.calls, **self.functions, **self.tasks}
        rows = [(key, basis.get(key.removesuffix(":*"), ""), repr(model)) for key, model in models.items()]
        return {"text/plain": text_table(("of", "basis", "seconds"), rows)}


def measured(
    *,
    runtime: str = "python3.13",
    memory_mb: int = 512,
    architecture: str = "x86_64",
    cold_share: float = 0.01,
    functions: Mapping[str, Mapping[str, Any]] | None = None,
    directory: str | Path | None = None,
) -> Measured:
    """Return what ``data/latency`` knows: workflow steps, calls to services, and Lambda with its cold starts.

    A function is of *runtime*, *memory_mb* and *architecture*; a *cold_share* of its calls starts cold. *functions*
    says what is different for some, by name: ``{"Resize": {"runtime": "java21", "cold_share": 0.2}}``. Raises
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
    rows, warm = read_rows(folder / "coldstart.csv"), calls["lambda:invoke"]
    usual = {"runtime": runtime, "memory_mb": memory_mb, "architecture": architecture, "cold_share": cold_share}

    def invoked(about: Mapping[str, Any]) -> ColdStart:
        if unknown := sorted(set(about) - set(usual)):
            raise ValueError(f"a function has {', '.join(usual)}, not {', '.join(unknown)}")
        *what, share = ({**usual, **about}[name] for name in usual)
        return cold_start(warm, sandbox, _init(rows, *what), share=share)

    calls["lambda:invoke"] = invoked({})
    return Measured(steps, calls, facts, {name: invoked(about) for name, about in (functions or {}).items()})


def latencies(given: Any) -> Measured:
    """Return *given* as a `Measured`: itself, what was measured with the models of a dict put in, or that alone."""
    if given is None:
        return measured()
    if isinstance(given, Mapping):
        return measured().using(given)
    if isinstance(given, Measured):
        return given
    raise TypeError(f"latencies are sf.measured(…), sf.latency.fit(…) or a dict of models, not {type(given).__name__}")


def fit(histories: Any, **options: Any) -> Fit:
    """Learn models from executions that ran: `sflab.costs.fitting.fit`."""
    from sflab.costs.fitting import fit as learned

    return learned(histories, **options)


def _sampled(model: Model, rng: Random, cold: bool | None) -> float:  # noqa: FBT001 - as everywhere in this file
    return model.sample(rng, cold=cold) if isinstance(model, ColdStart) else model.sample(rng)


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

"""Latency models learned from executions that ran: how long each state's tasks took, and what went wrong with them.

A task's time is from its …Scheduled event to the one that ends it; what the workflow itself took is what lies between
the end of one state and the task of the next. For each state the model is the simplest that holds, by Schwarz's
criterion (BIC): a constant, a lognormal, or two lognormals, the second being the slow tail of cold starts. Where none
comes near what was observed, the observations themselves are the model.

How near is told by Kolmogorov and Smirnov's distance: the most by which the two distribution functions differ. The
probability of one as large comes from seeded samples of a lognormal, fitted anew (Lilliefors); with two lognormals it
is Kolmogorov's, which is too large for a model that was fitted: read it as an upper bound.
"""

from __future__ import annotations

import json
import math
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from sflab.costs.faults import Fault, Faults
from sflab.costs.latency import Constant, Empirical, Lognormal, Measured, Mixture, Model, empirical, measured
from sflab.costs.prices import html_table, text_table
from sflab.costs.statistics import quantile, span
from sflab.engine.history import Event, details, normalise
from sflab.errors import SflabError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

_NORMAL = NormalDist()
_TICK = 0.001  # histories say milliseconds
_SCHEDULED = ("TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled")
_ENDED = {
    f"{kind}{end}": end
    for kind in ("Task", "LambdaFunction", "Activity")
    for end in ("Succeeded", "Failed", "TimedOut")
}


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned of one state: its attempts' ``seconds`` (ascending, of those that succeeded) and the ``model``.

    ``ks`` is the distance of the fitted model, ``p`` the probability of one as large if the model were true; None where
    there is nothing to compare. ``attempts`` counts all, ``errors`` those that failed, by name.
    """

    name: str
    seconds: tuple[float, ...]
    model: Model
    ks: float | None
    p: float | None
    attempts: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Fit(Measured):
    """A `Measured` that was learned: ``sf.Local(latency=fit)``, ``sf.simulate(…, latencies=fit, faults=fit.faults)``.

    ``learned`` has a `Learned` for each state, ``faults`` what went wrong, ``executions`` counts the histories. As a
    cell's value it shows a table and a picture of how well the models fit.
    """

    learned: tuple[Learned, ...] = ()
    faults: Faults = field(default_factory=lambda: Faults({}))
    executions: int = 0

    def __getitem__(self, name: str) -> Learned:
        """Return what was learned of a state."""
        for one in self.learned:
            if one.name == name:
                return one
        raise KeyError(f"{name!r}; learned were {', '.join(one.name for one in self.learned)}")

    @property
    def df(self) -> pd.DataFrame:
        """One row per state: n, observed and modelled p50 and p99 (seconds), the model, ks, p, attempts, error_rate."""
        import pandas as pd

        rows = [
            {
                "state": one.name,
                "n": len(one.seconds),
                "p50": quantile(one.seconds, 0.5) if one.seconds else math.nan,
                "model_p50": _inverse(one.model, 0.5) if one.seconds else math.nan,
                "p99": quantile(one.seconds, 0.99) if one.seconds else math.nan,
                "model_p99": _inverse(one.model, 0.99) if one.seconds else math.nan,
                "model": repr(one.model) if one.seconds else "",
                "ks": math.nan if one.ks is None else one.ks,
                "p": math.nan if one.p is None else one.p,
                "attempts": one.attempts,
                "error_rate": sum(one.errors.values()) / one.attempts,
            }
            for one in self.learned
        ]
        return pd.DataFrame(rows).set_index("state").round(6)

    def plot(self) -> Figure:
        """Return the picture: what was observed of each state, and its model, as distribution functions."""
        from sflab.costs.pictures import FAINT, card, look, panel, style

        shown = [one for one in self.learned if len(one.seconds) > 1][:9]
        with style():
            columns = min(3, max(1, len(shown)))
            down = max(1, -(-len(shown) // columns))
            tall = 2.3 * down
            figure = card(7.9, tall, f"fit of {len(shown)} states")
            for i, one in enumerate(shown):
                across, row = i % columns, i // columns
                left, bottom = (0.5 + across * 7.4 / columns) / 7.9, (tall - 2.3 * (row + 1) + 0.45) / tall
                axes = panel(
                    figure, (left, bottom, (7.4 / columns - 0.55) / 7.9, 1.45 / tall), one.name[:26], x="seconds"
                )
                n = len(one.seconds)
                high = max(quantile(one.seconds, 0.995), _inverse(one.model, 0.99)) * 1.05 or 1.0
                low = max(0.0, one.seconds[0] - 0.1 * (high - one.seconds[0]))
                ranks = sorted({min(n, max(1, round(n * k / 300))) for k in range(301)})
                xs = [one.seconds[k - 1] for k in ranks]
                axes.plot(
                    xs,
                    [k / n for k in ranks],
                    color=look(0)[0],
                    drawstyle="steps-post",
                    linewidth=1.6,
                    label="observed",
                )
                grid = [low + (high - low) * k / 200 for k in range(201)]
                axes.plot(
                    grid,
                    [cdf(one.model, x) for x in grid],
                    color=look(1)[0],
                    linewidth=1.2,
                    linestyle=(0, (4, 2)),
                    label="model",
                )
                axes.set_xlim(low, high)
                axes.set_ylim(0, 1.03)
                said = (
                    f"n = {n:,}"
                    if one.ks is None
                    else f"n = {n:,}\nKS {one.ks:.3f}" + ("" if one.p is None else f", p {one.p:.2f}")
                )
                axes.text(0.97, 0.06, said, transform=axes.transAxes, ha="right", fontsize=7, color=FAINT)
                if i == 0:
                    axes.legend(frameon=False, fontsize=7, loc="center right")
            return figure

    def svg(self) -> str:
        """Return the picture as SVG; the same histories give the same bytes."""
        from sflab.costs.pictures import style, svg

        figure = self.plot()
        with style():
            return svg(figure, self._headline())

    def _headline(self) -> str:
        tasks = sum(one.attempts for one in self.learned)
        return f"learned from {self.executions:,} executions: {len(self.learned)} states, {tasks:,} attempts"

    def __repr__(self) -> str:
        return f"<Fit: {self._headline()}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head = ("state", "n", "p50", "p99", "model", "KS", "p", "failed")
        rows = [
            (
                one.name,
                f"{len(one.seconds):,}",
                span(quantile(one.seconds, 0.5) * 1000) if one.seconds else "–",
                span(quantile(one.seconds, 0.99) * 1000) if one.seconds else "–",
                repr(one.model) if one.seconds else "",
                "" if one.ks is None else f"{one.ks:.3f}",
                "" if one.p is None else f"{one.p:.2f}",
                ", ".join(f"{count:,} {error}" for error, count in one.errors.items()) or "0",
            )
            for one in self.learned
        ]
        right = (1, 2, 3, 5, 6)
        between = "; ".join(f"{kind.capitalize()}: {self.steps[kind]!r}" for kind in self.steps)
        words, table = f"between states, {between}", html_table(head, rows, right=right)
        picture = self.svg() if any(len(one.seconds) > 1 for one in self.learned) else ""
        return {
            "text/plain": "\n".join([self._headline(), "", text_table(head, rows, right=right), "", words]),
            "text/html": f"<div><b>{escape(self._headline())}</b>{table}<p>{escape(words)}</p>{picture}</div>",
        }


def fit(histories: Any, *, type: str | None = None, model: str = "auto", seed: int = 0) -> Fit:
    """Learn latency models and faults from executions that ran, on AWS or here.

    *histories* is an execution, a history (in any shape `normalise` accepts, or the path of a saved one), or a list of
    them. *type* is their workflow type: that of the executions, STANDARD where nothing says. *model* is ``auto``,
    ``lognormal`` or ``empirical``. *seed* decides the samples that goodness of fit is judged by.

    States that were not seen keep the times of `sf.measured`. Raises SflabError where no task ended.
    """
    if model not in ("auto", "lognormal", "empirical"):
        raise ValueError(f"model is auto, lognormal or empirical, not {model!r}")
    took: dict[str, list[float]] = {}
    failed: dict[str, list[tuple[str, str | None, float]]] = {}
    gaps: dict[str, list[float]] = {}
    count = 0
    for kind, events in _each(histories, type):
        count += 1
        for state, end, seconds, error, cause in _attempts(events, gaps.setdefault(kind, [])):
            if end == "Succeeded":
                took.setdefault(state, []).append(seconds)
            else:
                failed.setdefault(state, []).append((error, cause, seconds))
    if not took and not failed:
        raise SflabError("there is nothing to learn: in these histories no task ended")
    base = measured()
    learned, rules = [], {}
    for state in sorted({*took, *failed}):
        found, errors = sorted(took.get(state, [])), failed.get(state, [])
        made, ks, p = _model(found, model, seed) if found else (Constant(0.0), None, None)
        attempts = len(found) + len(errors)
        names = dict(Counter(error for error, *_ in errors).most_common())
        learned.append(Learned(state, tuple(found), made, ks, p, attempts, names))
        if errors:
            rules[state] = _faults(errors, attempts, seed)
    steps = {kind: _model(sorted(between), model, seed)[0] for kind, between in gaps.items() if between}
    tasks = {one.name: one.model for one in learned if one.seconds}
    return Fit(
        {**base.steps, **steps}, base.calls, base.facts, base.functions, tasks, tuple(learned), Faults(rules), count
    )


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _each(histories: Any, type: str | None) -> Iterator[tuple[str, list[Event]]]:
    """Give the workflow type and the events of each history."""
    if hasattr(histories, "history"):  # an execution
        machine = getattr(histories, "machine", None)
        yield type or getattr(machine, "type", None) or "STANDARD", histories.history.events
    elif hasattr(histories, "events"):  # a history
        yield type or "STANDARD", normalise(histories.events)
    elif isinstance(histories, str | os.PathLike):
        try:
            raw = json.loads(Path(histories).read_text("utf-8"))
        except (OSError, ValueError) as e:
            raise SflabError(f"{histories}: this is not an execution history ({e})") from None
        yield type or "STANDARD", normalise(raw)
    elif isinstance(histories, Mapping):
        yield type or "STANDARD", normalise(histories)
    elif isinstance(histories, Iterable):
        several = list(histories)
        if several and all(isinstance(one, Mapping) and "type" in one for one in several):
            yield type or "STANDARD", normalise(several)
        else:
            for one in several:
                yield from _each(one, type)
    else:
        raise TypeError(f"histories are executions, histories, paths or a list of them, not {histories!r}")


def _attempts(events: list[Event], gaps: list[float]) -> Iterator[tuple[str, str, float, str, str | None]]:
    """Give (state, end, seconds, error, cause) of each attempt that ended; what was between states goes to *gaps*."""
    state: dict[int, str] = {}
    at: dict[int, float] = {}
    begun: dict[int, float] = {}  # latest event of a task that goes on -> when it was scheduled
    entered: dict[int, float] = {}  # …StateEntered -> the moment of what came before it
    gap: dict[int, float] = {}  # latest event of a visit -> what was between states so far
    for e in events:
        number, before, kind = e["id"], e["previousEventId"], e["type"]
        at[number] = moment = e["timestamp"].timestamp()
        if kind.endswith("StateEntered"):
            state[number] = details(e).get("name", "")
            entered[number] = at.get(before, moment)
            continue
        state[number] = state.get(before, "")
        if kind in _SCHEDULED:
            begun[number] = moment
            if before in entered:
                gap[number] = moment - entered[before]
            continue
        if before in begun:
            if kind in _ENDED:
                told = details(e)
                error = told.get("error") or ("States.Timeout" if _ENDED[kind] == "TimedOut" else "")
                yield state[number], _ENDED[kind], moment - begun[before], error, told.get("cause")
            else:
                begun[number] = begun[before]
        if before in gap:
            gap[number] = gap.pop(before)
            if kind == "TaskStateExited":
                gaps.append(max(0.0, round(gap.pop(number) + moment - at[before], 6)))


def _faults(errors: Sequence[tuple[str, str | None, float]], attempts: int, seed: int) -> tuple[Fault, ...]:
    """Return faults that strike as often as these errors did: each, where those before it did not strike."""
    out, left = [], attempts
    for error, count in Counter(error for error, *_ in errors).most_common():
        mine = [(cause, seconds) for name, cause, seconds in errors if name == error]
        cause = Counter(cause for cause, _ in mine).most_common(1)[0][0]
        after, *_ = _model(sorted(seconds for _, seconds in mine), "auto", seed)
        out.append(Fault(count / left, error or "States.TaskFailed", cause, after, 1.0))
        left -= count
    return tuple(out)


# ── fitting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _model(seconds: Sequence[float], wanted: str, seed: int) -> tuple[Model, float | None, float | None]:
    """Return the model of ascending *seconds*, its distance, and the probability of one as large."""
    import numpy as np

    n = len(seconds)
    if wanted == "empirical":
        return empirical(seconds), None, None
    if n < 3 or seconds[-1] - seconds[0] <= 2 * _TICK:
        return Constant(round(quantile(seconds, 0.5), 6)), None, None
    logs = np.log(np.maximum(np.array(seconds), _TICK / 2))
    one = Lognormal(float(logs.mean()), max(float(logs.std()), 1e-6))
    made: Model = one
    if wanted == "auto" and n >= 30:
        two, likelihood = _two(logs)
        if -2 * likelihood + 5 * math.log(n) < -2 * _likelihood(logs, one.mu, one.sigma) + 2 * math.log(n):
            made = two
    ks = _distance(seconds, made)
    if wanted == "auto" and ks > max(0.05, 2.0 / math.sqrt(n)):
        return empirical(seconds), None, None
    return made, ks, _probability(ks, n, seed) if made is one else _kolmogorov(ks * math.sqrt(n))


def _likelihood(logs: np.ndarray[Any, Any], mu: float, sigma: float) -> float:
    return float((-0.5 * ((logs - mu) / sigma) ** 2).sum() - len(logs) * math.log(sigma * math.sqrt(2 * math.pi)))


def _two(logs: np.ndarray[Any, Any]) -> tuple[Mixture, float]:
    """Fit two lognormals by expectation and maximisation, from the slowest tenth on; return them and the likelihood."""
    import numpy as np

    cut = np.quantile(logs, 0.9)
    floor = max(0.02 * float(logs.std()), 1e-4)  # else one of them could sit on a single observation
    mu = np.array([logs[logs <= cut].mean(), logs[logs >= cut].mean()])
    sigma = np.maximum(np.array([logs[logs <= cut].std(), logs[logs >= cut].std()]), floor)
    share = np.array([0.9, 0.1])
    before = -math.inf
    for _ in range(500):
        density = share * np.exp(-0.5 * ((logs[:, None] - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
        total = np.maximum(density.sum(axis=1), 1e-300)
        likelihood = float(np.log(total).sum())
        weights = density / total[:, None]
        mass = np.maximum(weights.sum(axis=0), 1e-9)
        share = mass / mass.sum()
        mu = (weights * logs[:, None]).sum(axis=0) / mass
        sigma = np.maximum(np.sqrt((weights * (logs[:, None] - mu) ** 2).sum(axis=0) / mass), floor)
        if likelihood - before < 1e-7 * len(logs):
            break
        before = likelihood
    order = np.argsort(mu)
    parts = [(float(share[i]), Lognormal(float(mu[i]), float(sigma[i]))) for i in order]
    return Mixture(((1 - parts[1][0], parts[0][1]), parts[1])), likelihood


def cdf(model: Model, seconds: float) -> float:
    """Return the share of a model's samples that do not exceed *seconds*."""
    match model:
        case Constant():
            return float(seconds >= model.seconds)
        case Lognormal():
            return _NORMAL.cdf((math.log(seconds) - model.mu) / model.sigma) if seconds > 0 else 0.0
        case Empirical():
            return bisect_right(model.values, seconds) / len(model.values)
        case Mixture():
            return math.fsum(share * cdf(part, seconds) for share, part in model.parts)
    raise TypeError(f"the distribution function of {model!r} is not known")


def _inverse(model: Model, q: float) -> float:
    if isinstance(model, Empirical):
        return quantile(model.values, q)
    if isinstance(model, Constant):
        return model.seconds
    if isinstance(model, Lognormal):
        return model.quantile(q)
    low, high = 0.0, 1.0
    while cdf(model, high) < q:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(model, middle) < q else (low, middle)
    return high


def _distance(seconds: Sequence[float], model: Model) -> float:
    """Return Kolmogorov and Smirnov's distance."""
    n = len(seconds)
    found = [cdf(model, x) for x in seconds]
    return max(max((i + 1) / n - f, f - i / n) for i, f in enumerate(found))


def _probability(ks: float, n: int, seed: int) -> float:
    """Return how often a lognormal that is fitted to a sample of itself is as far from it."""
    import numpy as np

    m = min(n, 500)
    drawn = np.sort(np.random.default_rng(seed).normal(size=(400, m)), axis=1)
    z = (drawn - drawn.mean(axis=1, keepdims=True)) / drawn.std(axis=1, keepdims=True)
    shares = np.vectorize(_NORMAL.cdf)(z)
    upper, lower = np.arange(1, m + 1) / m - shares, shares - np.arange(m) / m
    distances = np.maximum(upper, lower).max(axis=1) * math.sqrt(m)
    return float((distances >= ks * math.sqrt(n)).mean())


def _kolmogorov(t: float) -> float:
    """Return the probability that the distance times the root of n exceeds *t*, for a model that was not fitted."""
    if t < 0.2:
        return 1.0
    return min(1.0, max(0.0, 2 * math.fsum((-1) ** (k - 1) * math.exp(-2 * k * k * t * t) for k in range(1, 101))))

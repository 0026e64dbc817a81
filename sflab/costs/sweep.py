"""The same simulation with one thing changed after another: what more memory, larger batches, faster retries bring."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from sflab.costs import statistics as stats
from sflab.costs.prices import dollars, html_table, text_table
from sflab.costs.simulation import Simulation, read_json, write_json
from sflab.costs.statistics import span
from sflab.errors import Interrupted

if TYPE_CHECKING:
    import os

    import pandas as pd
    from matplotlib.figure import Figure

_FORMAT = "sflab.sweep/1"


@dataclass(frozen=True)
class Sweep:
    """A simulation for each combination of parameters, in their order. ``df`` is the table, ``plot()`` the picture."""

    parameters: Mapping[str, tuple[Any, ...]]
    points: tuple[tuple[tuple[Any, ...], Simulation], ...]

    def __getitem__(self, values: Any) -> Simulation:
        """Return the simulation at the value of the parameter, or at a tuple of values of several."""
        wanted = values if isinstance(values, tuple) else (values,)
        for at, made in self.points:
            if at == wanted:
                return made
        raise KeyError(f"{values!r}; swept were {', '.join(f'{k}={list(v)}' for k, v in self.parameters.items())}")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def df(self) -> pd.DataFrame:
        """One row per combination: the parameters, p50, p90, p99 (ms, intervals), dollars per million, failures."""
        import pandas as pd

        columns: dict[str, list[Any]] = {
            name: [at[i] for at, _ in self.points] for i, name in enumerate(self.parameters)
        }
        made = [each for _, each in self.points]
        for q in (0.5, 0.9, 0.99):
            name = f"p{q * 100:g}"
            columns[f"{name}_ms"] = [round(each.quantile(q), 1) for each in made]
            columns[f"{name}_low"] = [round(each.interval(q)[0], 1) for each in made]
            columns[f"{name}_high"] = [round(each.interval(q)[1], 1) for each in made]
        columns["usd_per_million"] = [round(each.per_million, 2) for each in made]
        columns["failures"] = [each.failures for each in made]
        columns["transitions"] = [round(each.transitions, 2) for each in made]
        return pd.DataFrame(columns)

    @property
    def verdict(self) -> str:
        """Where it is cheapest and where it is fastest, and whether the best is really faster than the second."""
        cheap = min(self.points, key=lambda point: point[1].bill.exact)
        out = [f"Cheapest at {self._said(cheap[0])}: {dollars(cheap[1].per_million)} per million."]
        for q, where in ((0.5, "at the median"), (0.99, "at p99")):
            best, *others = sorted(self.points, key=lambda point: point[1].quantile(q))
            text = f"Fastest {where} at {self._said(best[0])}: {span(best[1].quantile(q))}"
            if others:
                second = others[0]
                gap, interval = stats.difference(second[1].durations, best[1].durations, q)
                real = "a real difference" if interval.excludes_zero else "which could be chance"
                text += (
                    f"; {self._said(second[0])} takes {span(gap)} more, {real}"
                    if gap
                    else f", and so does {self._said(second[0])}"
                )
            out.append(f"{text}.")
        return " ".join(out)

    def plot(self) -> Figure:
        """Return the picture: p50 and p99, and dollars per million, over the first parameter; a line for each other."""
        from sflab.costs.pictures import card, lines, panel, style

        with style():
            names = list(self.parameters)
            figure = card(7.9, 3.4, f"sweep of {', '.join(names)}")
            left = panel(figure, (0.08, 0.15, 0.40, 0.72), "How long executions take", x=names[0], y="seconds")
            right = panel(figure, (0.58, 0.15, 0.40, 0.72), "What a million cost", x=names[0], y="dollars")
            first = self.parameters[names[0]]
            numbers = all(isinstance(x, int | float) for x in first)
            xs: list[float] = [float(x) for x in first] if numbers else list(range(len(first)))
            times: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
            costs: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
            for rest in itertools.product(*list(self.parameters.values())[1:]):
                made = [self[(x, *rest)] for x in first]
                about = ", ".join(f"{name}={value}" for name, value in zip(names[1:], rest, strict=True))
                for q in (0.5, 0.99):
                    times[f"p{q * 100:g} {about}".strip()] = xs, [each.quantile(q) / 1000 for each in made]
                costs[about] = xs, [each.per_million for each in made]
            for axes, series in ((left, times), (right, costs)):
                if numbers and min(xs) > 0 and max(xs) / min(xs) > 20:
                    axes.set_xscale("log")
                lines(axes, series, points=True)
                axes.set_ylim(0, 1.08 * max(y for _, ys in series.values() for y in ys) or 1)
                if not numbers:
                    axes.set_xticks(xs, [str(x) for x in first])
            return figure

    def svg(self) -> str:
        """Return the picture as SVG; the same results give the same bytes."""
        from sflab.costs.pictures import style, svg

        figure = self.plot()
        with style():
            return svg(figure, self._headline())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON (its parameters' values are JSON); compressed where the name ends with ``.gz``."""
        points = [[list(at), made.to_json()] for at, made in self.points]
        parameters = {name: list(values) for name, values in self.parameters.items()}
        write_json(path, {"format": _FORMAT, "parameters": parameters, "points": points})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sweep:
        """Read what `save` wrote. Raises SflabError where the file holds something else."""
        data = read_json(path, _FORMAT)
        points = tuple((tuple(at), Simulation.from_json(made)) for at, made in data["points"])
        return cls({name: tuple(values) for name, values in data["parameters"].items()}, points)

    def _said(self, at: Sequence[Any]) -> str:
        return ", ".join(f"{name}={value}" for name, value in zip(self.parameters, at, strict=True))

    def _headline(self) -> str:
        return f"{len(self.points)} simulations over {', '.join(self.parameters)}"

    def __repr__(self) -> str:
        return f"<Sweep: {self._headline()}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head = (*self.parameters, "p50 (95 %)", "p99 (95 %)", "$ per million", "failed")
        right = tuple(range(len(self.parameters), len(head)))

        def timed(made: Simulation, q: float) -> str:
            low, high = ("?" if math.isnan(end) else span(end) for end in made.interval(q))
            return f"{span(made.quantile(q))} ({low} … {high})"

        rows = [
            (*map(str, at), timed(made, 0.5), timed(made, 0.99), f"{made.per_million:,.2f}", f"{made.failures:,}")
            for at, made in self.points
        ]
        table, words = html_table(head, rows, right=right), escape(self.verdict)
        return {
            "text/plain": "\n".join([self._headline(), "", text_table(head, rows, right=right), "", self.verdict]),
            "text/html": f"<div><b>{escape(self._headline())}</b>{table}<p>{words}</p></div>",
            "image/svg+xml": self.svg(),
        }

    def _ipython_display_(self) -> None:
        """Show table and picture as two outputs."""
        from sflab.costs.pictures import display_apart

        display_apart(self._repr_mimebundle_(), f" of {self._headline()}")


def sweep(run: Callable[..., Simulation], **parameters: Sequence[Any]) -> Sweep:
    """Call *run* with every combination of *parameters*, each a list of values; it returns a simulation.

    ``sf.sweep(lambda memory_mb: sf.simulate(saga, order, local=local, memory_mb=memory_mb), memory_mb=[128, 1024])``
    Where it is stopped it raises `sflab.errors.Interrupted`, whose ``partial`` is the sweep of what was done.
    """
    if not parameters:
        raise ValueError("name at least one parameter and its values: sf.sweep(run, memory_mb=[128, 512])")
    values = {name: tuple(given) for name, given in parameters.items()}
    for name, given in values.items():
        if not given:
            raise ValueError(f"{name} has no values")
    points: list[tuple[tuple[Any, ...], Simulation]] = []
    for at in itertools.product(*values.values()):
        try:
            made = run(**dict(zip(values, at, strict=True)))
        except KeyboardInterrupt as e:
            part = getattr(e, "partial", None)
            some = [(at, part)] if isinstance(part, Simulation) and part.n else []
            raise Interrupted(f"stopped at point {len(points) + 1}", Sweep(values, (*points, *some))) from None
        if not isinstance(made, Simulation):
            raise TypeError(f"run(…) returns what sf.simulate does, not {type(made).__name__}")
        points.append((at, made))
    return Sweep(values, tuple(points))

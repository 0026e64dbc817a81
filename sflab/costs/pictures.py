"""Pictures of what was simulated: how durations are distributed, what a million cost. Matplotlib without pyplot."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from sflab.costs.prices import dollars
from sflab.costs.statistics import UNITS, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sflab.costs.estimate import Bill


class Drawn(Protocol):
    """What has a line in the picture: a name, ascending durations (ms), and the bill of a mean execution."""

    @property
    def name(self) -> str: ...  # noqa: D102 - declared only
    @property
    def durations(self) -> Sequence[float]: ...  # noqa: D102 - declared only
    @property
    def bill(self) -> Bill: ...  # noqa: D102 - declared only
    @property
    def per_million(self) -> float: ...  # noqa: D102 - declared only
    def quantile(self, q: float) -> float: ...  # noqa: D102 - declared only


#: Okabe and Ito's colours, told apart by everybody; then again with another line.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.5)))
INK, FAINT, RULE = "#1f2328", "#656d76", "#d0d7de"


def display_apart(bundle: Mapping[str, str], words: str, *, picture_first: bool = False) -> None:
    """Show a cell's value as two outputs, the table and the picture, which *words* tell of.

    Of one bundle a front end shows the table alone, and GitHub keeps no picture that stands inside HTML.
    """
    from IPython.display import display

    table = {kind: said for kind, said in bundle.items() if kind != "image/svg+xml"}
    parts = [table]
    if "image/svg+xml" in bundle:
        picture = {"image/svg+xml": bundle["image/svg+xml"], "text/plain": f"<picture{words}>"}
        parts.insert(0 if picture_first else 1, picture)
    for part in parts:
        display(part, raw=True)  # type: ignore[no-untyped-call]


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib as it is out of the box, whatever the reader has set, and with bytes that depend on the data only."""
    import matplotlib as mpl
    import matplotlib.style

    ours = {
        "svg.hashsalt": "sflab",
        "svg.fonttype": "none",
        "text.parse_math": False,  # a name may hold a $
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
    }
    with mpl.style.context(["default", ours]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the reader's fonts will have it
        yield


def card(width: float, height: float, title: str) -> Figure:
    """Return an empty figure (inches) that a notebook shows without pyplot; *title* is its SVG's."""
    from matplotlib.figure import Figure

    class Card(Figure):
        """A figure that draws itself."""

        def _repr_svg_(self) -> str:
            with style():
                return svg(self, title)

    return Card(figsize=(width, height), facecolor="white")


def draw(results: Sequence[Drawn]) -> Figure:
    """Return the picture of some results: their distribution functions, and bars of what they cost."""
    tall = max(3.2, 0.9 + 0.62 * len(results))  # inches; the widest that JupyterLab shows unscaled is 7.9
    figure = card(7.9, tall, ", ".join(r.name for r in results))
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


def _draw_durations(axes: Axes, results: Sequence[Drawn]) -> None:
    scale = _scale(axes, results)
    for q in (0.5, 0.99):
        axes.axhline(q, color=RULE, linewidth=0.8, zorder=0)
    for i, result in enumerate(results):
        shares, times = _steps(result)
        colour, line = look(i)
        axes.plot(
            [scale(t) for t in times], shares, color=colour, linestyle=line, linewidth=1.8, drawstyle="steps-post"
        )
        for q in (0.5, 0.99):
            axes.plot(scale(result.quantile(q)), q, "o", color=colour, markersize=5, markeredgecolor="white", zorder=3)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 0.99], ["0 %", "25 %", "50 %", "75 %", "99 %"])
    axes.tick_params(length=3, color=RULE)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)


def _scale(axes: Axes, results: Sequence[Drawn]) -> Callable[[float], float]:
    """Set up the axis of time; returns what turns ms into its unit.

    Times far apart get a logarithmic axis. Times that differ little beside what all have in common, such as a long
    Wait, are drawn as what they are above it. The last per cent runs out of the frame: it would squeeze the other 99.
    """
    from matplotlib.ticker import LogLocator

    medians = [r.quantile(0.5) for r in results]
    first, last = min(r.durations[0] for r in results), max(r.quantile(0.99) for r in results)
    base = math.floor(first / 1000) * 1000.0 if last - first < 0.02 * first else 0.0
    size, _, unit = next((u for u in UNITS if last - base >= 1.5 * u[0]), (1, "ms", "milliseconds"))
    beyond = f" above {span(base)}" if base else ""
    if min(medians) > 0 and max(medians) / min(medians) > 12:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(LogLocator(subs=()))
        axes.set_xlim(0.8 * min(r.quantile(0.01) for r in results) / size, 1.25 * last / size)
    else:
        axes.set_xlim(0, 1.1 * (last - base) / size or 1)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.6g}")
    axes.set_xlabel(f"{unit}{beyond}", color=FAINT, loc="right", labelpad=1)
    return lambda ms: (ms - base) / size


def _steps(result: Drawn) -> tuple[list[float], list[float]]:
    """Return the empirical distribution function as at most some 400 points: enough for a picture, and no megabyte."""
    n = len(result.durations)
    ranks = sorted({min(n, max(1, round(n * i / 380))) for i in range(381)} | set(range(max(1, n - 20), n + 1)))
    return [0.0, *(rank / n for rank in ranks)], [result.durations[0], *(result.durations[rank - 1] for rank in ranks)]


def _draw_costs(axes: Axes, results: Sequence[Drawn]) -> None:
    most = max(r.per_million for r in results) or 1
    for i, result in enumerate(results):
        colour, start = look(i)[0], 0.0
        services = result.bill.by_service()
        for k, usd in enumerate(services.values()):
            tint = _tint(colour, 0.66 * k / max(1, len(services) - 1))
            axes.barh(i, float(usd) * 1_000_000, 0.26, start, color=tint)
            start += float(usd) * 1_000_000
        axes.text(0, i - 0.17, _short(result.name), va="bottom", fontweight="bold", color=colour)
        axes.text(start + most * 0.015, i, _whole(result.per_million), va="center")
        axes.text(0, i + 0.17, _shares(services), va="top", fontsize=6.6, color=FAINT)
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


def look(i: int) -> tuple[str, Any]:
    """Return the colour and the line of the machine at place *i*."""
    return _COLOURS[i % len(_COLOURS)], _LINES[i // len(_COLOURS) % len(_LINES)]


def _tint(colour: str, share: float) -> str:
    """Mix *share* of white into a colour."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= 28 else f"{name[:27]}…"


def svg(figure: Figure, title: str) -> str:
    """Return a figure as SVG; the same data give the same bytes."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Title": title, "Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def panel(figure: Figure, place: tuple[float, float, float, float], title: str, *, x: str = "", y: str = "") -> Axes:
    """Return axes at *place* (left, bottom, width, height as shares of the figure), with a title and named axes."""
    axes = figure.add_axes(place)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=10)
    axes.set_facecolor("white")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(length=3, color=RULE)
    axes.set_xlabel(x, color=FAINT, loc="right", labelpad=1)
    axes.set_ylabel(y, color=FAINT, loc="top", labelpad=2)
    return axes


def lines(axes: Axes, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, points: bool = False) -> None:
    """Draw each of *series*, x and y by name, in its colour, with its name at its end."""
    for i, (name, (xs, ys)) in enumerate(series.items()):
        colour, line = look(i)
        marker = "o" if points else ""
        axes.plot(xs, ys, color=colour, linestyle=line, linewidth=1.8, label=name, marker=marker, markersize=3.5)
    if len(series) > 1 or next(iter(series), ""):
        axes.legend(frameon=False, fontsize=8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.6g}")

"""What an execution costs: quantities times prices, line by line.

`bill` is the bill of one execution, from its definition and history; `per_visit` is how that divides among its state
visits; `month` takes a bill, or bare quantities, through the monthly tiers. Every line is quantity × unit price and
says its source and what was counted: a bill that cannot be checked is worth nothing. What counts as what is decided in
`sflab.costs.usage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, Definition
from sflab.costs.prices import FALLBACK_REGION, Prices, count, dollars, exact, html_table, load, rate, text_table
from sflab.costs.usage import Children, Meter, Nested, Usage
from sflab.engine.history import normalise, steps, visits
from sflab.errors import SflabError

if TYPE_CHECKING:
    import pandas as pd

#: Services as AWS writes them.
SERVICE_NAMES = {
    "apigateway": "API Gateway",
    "apprunner": "App Runner",
    "cloudwatch": "CloudWatch",
    "dynamodb": "DynamoDB",
    "events": "EventBridge",
    "lambda": "Lambda",
    "s3": "S3",
    "sns": "SNS",
    "sqs": "SQS",
    "stepfunctions": "Step Functions",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill: ``usd`` is ``quantity`` × ``unit_price``, exactly; ``assumption`` says what was counted."""

    service: str
    item: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    source: str
    assumption: str

    @property
    def usd(self) -> Decimal:
        """Dollars."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Bill:
    """What something costs, line by line.

    Bills add, ``bill * 1_000_000`` is so many of the same at list price, and ``a < b`` compares what they come to.
    ``usd`` is the sum in dollars, ``exact`` the same as a Decimal, ``df`` the lines as a table; ``a.compare(b)`` sets
    two bills side by side. Monthly tiers and free tiers are the business of `month`.
    """

    lines: tuple[Line, ...]
    region: str
    parts: tuple[str, ...]  # what it is the bill of
    notes: tuple[str, ...] = ()
    single: bool = True  # of one execution (parent and children together): then "per million" is worth saying

    @property
    def title(self) -> str:
        """What it is the bill of: ``one Standard execution``, ``2 × one Express execution`` …."""
        return " + ".join(f"{count(n)} × {part}" if n > 1 else part for part, n in Counter(self.parts).items())

    @property
    def exact(self) -> Decimal:
        """The sum, in dollars, as an exact decimal."""
        return sum((line.usd for line in self.lines), Decimal(0))

    @property
    def usd(self) -> float:
        """The sum, in dollars."""
        return float(self.exact)

    def per(self, executions: float | Decimal) -> Bill:
        """Return the bill of *executions* times the same, at list price: no monthly tier, no free tier."""
        times = exact(executions)
        if not times.is_finite() or times < 0:
            raise SflabError(f"a bill is multiplied by a number of executions, 0 or more, not {executions!r}")
        lines = tuple(replace(line, quantity=line.quantity * times) for line in self.lines)
        return replace(self, lines=lines, parts=(f"{count(times)} × {_bracketed(self.title)}",), single=False)

    def __add__(self, other: Bill) -> Bill:
        if not isinstance(other, Bill):
            return NotImplemented
        merged: dict[Line, Decimal] = {}
        for line in (*self.lines, *other.lines):
            key = replace(line, quantity=Decimal(0))
            merged[key] = merged.get(key, Decimal(0)) + line.quantity
        lines = _grouped(replace(line, quantity=quantity) for line, quantity in merged.items())
        regions = ", ".join(dict.fromkeys((*self.region.split(", "), *other.region.split(", "))))
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        return Bill(lines, regions, (*self.parts, *other.parts), notes, self.single and other.single)

    def __radd__(self, other: object) -> Bill:
        return self if other == 0 else NotImplemented  # so that sum(bills) works

    def __mul__(self, executions: object) -> Bill:
        return self.per(executions) if isinstance(executions, (int, float, Decimal)) else NotImplemented

    __rmul__ = __mul__

    def __lt__(self, other: Bill) -> bool:
        return self.exact < other.exact if isinstance(other, Bill) else NotImplemented

    def __gt__(self, other: Bill) -> bool:
        return self.exact > other.exact if isinstance(other, Bill) else NotImplemented

    def compare(self, other: Bill, *, names: tuple[str, str] = ("this", "other")) -> Contrast:
        """Set this bill beside *other*: what each pays for each item, and the difference. *names* head the columns."""
        return Contrast((self, other), names)

    @property
    def df(self) -> pd.DataFrame:
        """One row per line: service, item, quantity, unit, unit_price and usd (dollars), source, assumption."""
        import pandas as pd

        lines = self.lines
        return pd.DataFrame(
            {
                "service": [SERVICE_NAMES.get(line.service, line.service) for line in lines],
                "item": [line.item for line in lines],
                "quantity": [float(line.quantity) for line in lines],
                "unit": [line.unit for line in lines],
                "unit_price": [float(line.unit_price) for line in lines],
                "usd": [float(line.usd) for line in lines],
                "source": [line.source for line in lines],
                "assumption": [line.assumption for line in lines],
            }
        )

    def by_service(self) -> dict[str, Decimal]:
        """Dollars by service (AWS's names), in the order of the lines."""
        out: dict[str, Decimal] = {}
        for line in self.lines:
            name = SERVICE_NAMES.get(line.service, line.service)
            out[name] = out.get(name, Decimal(0)) + line.usd
        return out

    def __repr__(self) -> str:
        return f"<Bill {self._headline()}>"

    def _headline(self) -> str:
        million = f", {dollars(self.exact * 1_000_000)} per million" if self.single and self.exact else ""
        return f"{self.title}, {self.region}: {dollars(self.exact)}{million}"

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                SERVICE_NAMES.get(line.service, line.service),
                line.item,
                count(line.quantity),
                line.unit,
                rate(line.unit_price),
                dollars(line.usd),
                line.assumption,
            )
            for line in self.lines
        ]

    def _remarks(self) -> list[str]:
        sources = dict.fromkeys(line.source for line in self.lines)
        return [*([f"prices: {'; '.join(sources)}"] if sources else []), *(f"note: {note}" for note in self.notes)]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head, right = ("service", "item", "quantity", "unit", "unit price", "usd", "counted"), (2, 4, 5)
        rows = self._rows() or [("nothing to pay", "", "", "", "", "$0", "")]
        remarks = self._remarks()
        table = html_table(head, rows, right=right)
        small = "<br>".join(f"<small>{escape(remark)}</small>" for remark in remarks)
        return {
            "text/plain": "\n".join([self._headline(), "", text_table(head, rows, right=right), "", *remarks]).rstrip(),
            "text/html": f"<div><b>{escape(self._headline())}</b>{table}{small}</div>",
        }


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two bills side by side: dollars by item, and how much more the second one is. ``df`` is the same as a table."""

    bills: tuple[Bill, Bill]
    names: tuple[str, str]

    def _items(self) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
        out: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        for second, bill in enumerate(self.bills):
            for line in bill.lines:
                key = SERVICE_NAMES.get(line.service, line.service), line.item
                ours, theirs = out.get(key, (Decimal(0), Decimal(0)))
                out[key] = (ours, theirs + line.usd) if second else (ours + line.usd, theirs)
        return out

    @property
    def df(self) -> pd.DataFrame:
        """One row per item: service, item, dollars of either bill under its name, difference (second less first)."""
        import pandas as pd

        items = self._items()
        columns: dict[str, list[Any]] = {"service": [s for s, _ in items], "item": [item for _, item in items]}
        columns[self.names[0]] = [float(ours) for ours, _ in items.values()]
        columns[self.names[1]] = [float(theirs) for _, theirs in items.values()]
        columns["difference"] = [float(theirs - ours) for ours, theirs in items.values()]
        return pd.DataFrame(columns)

    @property
    def verdict(self) -> str:
        """Which of the two is cheaper, in a sentence."""
        (ours, theirs), (one, other) = (bill.exact for bill in self.bills), self.names
        if ours == theirs:
            return f"both come to {dollars(ours)}"
        cheap, dear, low, high = (one, other, ours, theirs) if ours < theirs else (other, one, theirs, ours)
        times = f", {float(high / low):.3g} times as much" if low else ""
        return f"{cheap} is cheaper: {dollars(low)}, and {dear} comes to {dollars(high)}{times}"

    def __repr__(self) -> str:
        return f"<{self.names[0]} beside {self.names[1]}: {self.verdict}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head, right = ("service", "item", *self.names, "difference"), (2, 3, 4)
        sums = [bill.exact for bill in self.bills]
        rows = [
            (*key, dollars(ours), dollars(theirs), dollars(theirs - ours))
            for key, (ours, theirs) in [*self._items().items(), (("total", ""), (sums[0], sums[1]))]
        ]
        return {
            "text/plain": "\n".join([self.verdict, "", text_table(head, rows, right=right)]),
            "text/html": f"<div><b>{escape(self.verdict)}</b>{html_table(head, rows, right=right)}</div>",
        }


def bill(
    definition: Definition | Mapping[str, JSON],
    events: Any,
    *,
    type: str = "STANDARD",
    region: str | None = None,
    prices: Prices | None = None,
    children: Sequence[Children] = (),
    nested: Sequence[Nested] = (),
    **counting: Any,
) -> Bill:
    """Return the bill of one execution, at list prices: no tier, no free tier (see `month`).

    *events* is its history in any shape `sflab.engine.history.normalise` accepts; one that has not ended is billed up
    to its last event. *children* are those of its Map Runs and *nested* the executions that its tasks started: they are
    billed with it, in lines of their own. *prices* are those of *region*, us-east-1 unless given. *counting* are what
    no history tells, and how to count: ``start_end`` (0, 1 or 2), ``memory_mb``, ``architecture``, ``ephemeral_mb``,
    ``express_memory_mb``, ``child_executions``, ``logging``, ``include_execution_data``, ``api_type``; see `Meter`.

    Raises SflabError for a region without prices, ValueError for an option that cannot be.
    """
    meter = _meter(definition, type, counting)
    started = sum(run.started for run in children)
    some = f" and its {started:,} child execution{'s' if started > 1 else ''}" if started else ""
    some += f"{' and' if some else ' and its'} {len(nested):,} nested" if nested else ""
    used = meter.read(events, children, nested)
    return priced(used, prices_of(region, prices), title=f"one {type.capitalize()} execution{some}")


def _meter(definition: Definition | Mapping[str, JSON], type: str, counting: Mapping[str, Any]) -> Meter:
    known = [each.name for each in fields(Meter) if each.init and each.name not in ("definition", "type")]
    for name in counting:
        if name not in known:
            raise TypeError(f"there is no option {name!r}; there are region, prices, {', '.join(known)}")
    return Meter(definition, type, **counting)


def prices_of(region: str | None, prices: Prices | None) -> Prices:
    """Return *prices*, or those of *region*; they must not disagree."""
    if prices is not None and region not in (None, prices.region):
        raise ValueError(f"give region={region!r} or prices= of {prices.region}, not both")
    return prices or load(region or FALLBACK_REGION)


def per_visit(
    definition: Definition | Mapping[str, JSON],
    events: Any,
    *,
    type: str = "STANDARD",
    region: str | None = None,
    prices: Prices | None = None,
    children: Sequence[Children] = (),
    **counting: Any,
) -> dict[int, Decimal]:
    """Return what each state visit cost, in dollars, by the id of its StateEntered event; in the order of entering.

    Transitions (of a Standard execution), Lambda functions and calls of services belong to the visit they happened in;
    the states inside a Map or a Parallel have visits of their own. The start and the end of the execution, an Express
    execution's request and duration, logs and child executions belong to no visit. Parameters are those of `bill`.
    """
    meter, rates = _meter(definition, type, counting), prices_of(region, prices)
    known = normalise(events if isinstance(events, dict) else list(events))
    seen = visits(known)
    reading = meter.reading(known, children)
    reading.settle()
    owner = {step.id: step.visit for step in steps(known)}
    out = {visit.entered_id: Decimal(0) for visit in seen}
    posted: list[tuple[int | None, str, int | Decimal]] = [(event, item, n) for event, item, _, n in reading.posted]
    if type == "STANDARD":
        posted += [(event, "stepfunctions.transition", n) for event, _, n in reading.transitions]
    for event, item, quantity in posted:
        visit = owner.get(event) if event is not None else None
        if visit is not None:
            out[seen[visit].entered_id] += quantity * rates[item].usd
    return out


def priced(usage: Usage, prices: Prices, *, title: str) -> Bill:
    """Return the bill of *usage* at the first tier of *prices*."""
    lines = _grouped(
        _line(prices, item, quantity, prices[item].usd, counted)
        for (item, counted), quantity in usage.quantities.items()
    )
    return Bill(lines, prices.region, (title,), tuple(usage.notes))


def month(
    used: Bill | Mapping[str, float],
    per_month: float = 1,
    *,
    prices: Prices | None = None,
    free_tier: bool = False,
) -> Bill:
    """Return the bill of a month: *per_month* times a bill, or quantities by item, through the monthly tiers.

    *free_tier* takes off what is free each month; the price data say how much that is. Without *prices* those of the
    bill's region are read. A line per tier, so that every line is still quantity × unit price.
    """
    times = exact(per_month)
    if not times.is_finite() or times < 0:
        raise SflabError(f"per_month is a number of executions, 0 or more, not {per_month!r}")
    if prices is None and isinstance(used, Bill) and ", " in used.region:
        raise SflabError(
            f"tiers are a region's own, and this bill is of {used.region}: make a month of each, and add them"
        )
    prices = prices or load(used.region if isinstance(used, Bill) else FALLBACK_REGION)
    lines: list[Line] = []
    left: dict[str, Decimal] = {}  # what of a pool of free units is left
    for item, (quantity, counted) in _by_item(used).items():
        price, total = prices[item], quantity * times
        pool = price.pool or item
        free = min(total, left.setdefault(pool, price.free)) if free_tier else Decimal(0)
        if free:
            left[pool] -= free
            shared = f", shared by {pool} of every kind" if price.pool else ""
            lines.append(_line(prices, item, free, Decimal(0), f"free: {count(price.free)} a month{shared}"))
        start = free
        for units, usd in price.split(total - free, free):
            tier = f"units {count(start)} to {count(start + units)} of the month" if len(price.tiers) > 1 else ""
            lines.append(_line(prices, item, units, usd, "; ".join(part for part in (counted, tier) if part)))
            start += units
    title = f"a month of {count(times)} × {_bracketed(used.title)}" if isinstance(used, Bill) else "a month"
    return Bill(tuple(lines), prices.region, (title,), used.notes if isinstance(used, Bill) else (), single=False)


def mixed(bills: Sequence[tuple[str, Bill, float]]) -> Bill:
    """Return the bill of a mean execution, of (name, bill, weight): what of 100 executions so many are of each kind."""
    total = sum((exact(weight) for *_, weight in bills), Decimal(0))
    if total <= 0 or any(weight < 0 or not exact(weight).is_finite() for *_, weight in bills):
        raise SflabError("weights say how often each execution happens: 0 or more, and not all of them 0")
    bills = [each for each in bills if each[2]]
    if len(bills) == 1:
        return bills[0][1]
    out = sum((bill.per(exact(weight) / total) for _, bill, weight in bills), start=Bill((), bills[0][1].region, ()))
    shares = ", ".join(f"{count(100 * exact(weight) / total)} % {name}" for name, _, weight in bills)
    return replace(out, parts=(f"one execution ({shares})",), single=True)


def _by_item(used: Bill | Mapping[str, float]) -> dict[str, tuple[Decimal, str]]:
    if not isinstance(used, Bill):
        return {item: (exact(quantity), "") for item, quantity in used.items()}
    out: dict[str, tuple[Decimal, str]] = {}
    for line in used.lines:
        item = f"{line.service}.{line.item}"
        before, counted = out.get(item, (Decimal(0), ""))
        parts = dict.fromkeys(part for part in (*counted.split("; "), *line.assumption.split("; ")) if part)
        out[item] = (before + line.quantity, "; ".join(parts))
    return out


def _bracketed(title: str) -> str:
    return f"({title})" if " + " in title else title


def _grouped(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Put lines of one item together, items in the order of their first line."""
    order: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        order.setdefault((line.service, line.item), []).append(line)
    return tuple(line for group in order.values() for line in group)


def _line(prices: Prices, item: str, quantity: Decimal, usd: Decimal, counted: str) -> Line:
    price = prices[item]
    notes = [counted] if counted else []
    if price.region != prices.region:
        notes.append(f"at the price of {price.region}: that of {prices.region} is not in the data")
    service, _, name = item.partition(".")
    return Line(service, name, quantity, price.unit, usd, f"{price.source} ({price.as_of})", "; ".join(notes))

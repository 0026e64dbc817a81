"""What an execution costs: quantities times prices, line by line.

`bill` is the bill of one execution, from its definition and history; `month` takes a bill, or bare quantities, through
the monthly tiers. Every line is quantity × unit price and says its source and what was counted: a bill that cannot be
checked is worth nothing. What counts as what is decided in `sflab.costs.usage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, Definition
from sflab.costs.prices import Prices, count, dollars, exact, html_table, load, rate, text_table
from sflab.costs.usage import Children, Meter, Usage

if TYPE_CHECKING:
    import pandas as pd

#: Services as AWS writes them.
SERVICE_NAMES = {
    "apigateway": "API Gateway",
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
    """What something costs, line by line. Bills add; ``bill.per(1_000_000)`` is so many of the same, at list price.

    ``usd`` is the sum in dollars, ``exact`` the same as a Decimal, ``df`` the lines as a table. Monthly tiers and free
    tiers are the business of `month`.
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

    def per(self, executions: float) -> Bill:
        """Return the bill of *executions* times the same, at list price: no monthly tier, no free tier."""
        times = exact(executions)
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


def bill(
    definition: Definition | Mapping[str, JSON],
    events: Any,
    *,
    type: str = "STANDARD",
    prices: Prices | None = None,
    start_end: int = 1,
    memory_mb: int | Mapping[str, int] = 128,
    architecture: str = "x86_64",
    ephemeral_mb: int = 512,
    express_memory_mb: float | None = None,
    child_executions: int | None = None,
    children: Sequence[Children] = (),
) -> Bill:
    """Return the bill of one execution, at list prices: no tier, no free tier (see `month`).

    *children* are those of its Map Runs, billed with it, in lines of their own.

    *events* is its history in any shape `sflab.engine.history.normalise` accepts; one that has not ended is billed up
    to its last event. *prices* are those of us-east-1 unless given; `Meter` tells the other parameters.
    """
    meter = Meter(
        definition,
        type,
        start_end=start_end,
        memory_mb=memory_mb,
        architecture=architecture,
        ephemeral_mb=ephemeral_mb,
        express_memory_mb=express_memory_mb,
        child_executions=child_executions,
    )
    started = sum(run.started for run in children)
    some = f" and its {started:,} child execution{'s' if started > 1 else ''}" if started else ""
    return priced(meter.read(events, children), prices or load(), title=f"one {type.capitalize()} execution{some}")


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
    prices = prices or load(used.region if isinstance(used, Bill) else "us-east-1")
    lines: list[Line] = []
    for item, (quantity, counted) in _by_item(used).items():
        price, total = prices[item], quantity * times
        free = min(total, price.free) if free_tier else Decimal(0)
        if free:
            lines.append(_line(prices, item, free, Decimal(0), f"free: {count(price.free)} a month"))
        start = free
        for units, usd in price.split(total - free, free):
            tier = f"units {count(start)} to {count(start + units)} of the month" if len(price.tiers) > 1 else ""
            lines.append(_line(prices, item, units, usd, "; ".join(part for part in (counted, tier) if part)))
            start += units
    title = f"a month of {count(times)} × {_bracketed(used.title)}" if isinstance(used, Bill) else "a month"
    return Bill(tuple(lines), prices.region, (title,), used.notes if isinstance(used, Bill) else (), single=False)


def _by_item(used: Bill | Mapping[str, float]) -> dict[str, tuple[Decimal, str]]:
    if not isinstance(used, Bill):
        return {item: (exact(quantity), "") for item, quantity in used.items()}
    out: dict[str, tuple[Decimal, str]] = {}
    for line in used.lines:
        item = f"{line.service}.{line.item}"
        before, counted = out.get(item, (Decimal(0), ""))
        out[item] = (before + line.quantity, "; ".join(part for part in (counted, line.assumption) if part))
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

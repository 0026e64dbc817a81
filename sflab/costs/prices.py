"""What AWS charges: the dated rows of ``data/prices`` as functions of a monthly quantity.

A price is a list of tiers (units a month from which it holds, dollars a unit) and a monthly free quantity. Money is
`Decimal` throughout: the published prices are decimal, so sums and tiers come out exact. The columns of the data are
described in ``data/prices/README.md``; every row names its source and date, and so does every `Price`.

Prices that `sflab.backends.pricelist` fetched from AWS lie in a folder of the user's own (`user_directory`), in files
of the same columns: of two prices for one thing the later one holds.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.errors import SflabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

#: The region whose price stands in for an item that has no row of its own region.
FALLBACK_REGION = "us-east-1"

#: The item whose rows say which regions are known.
_REGIONAL = "stepfunctions.transition"


@dataclass(frozen=True, slots=True)
class Tier:
    """From ``start`` units a month on, a unit costs ``usd`` dollars."""

    start: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """What one item costs in one region.

    ``tiers`` begin at 0 and ascend; ``free`` units a month cost nothing where a free tier is asked for, and items with
    the same ``pool`` share them. ``region`` is the region the price was published for, which is us-east-1 for items
    without a price of their own.
    """

    item: str
    unit: str
    tiers: tuple[Tier, ...]
    free: Decimal
    region: str
    as_of: str
    source: str
    note: str = ""
    pool: str = ""

    @property
    def service(self) -> str:
        """The part of the item's name before the dot: ``stepfunctions``, ``lambda`` …."""
        return self.item.partition(".")[0]

    @property
    def usd(self) -> Decimal:
        """Dollars a unit in the first tier: the list price."""
        return self.tiers[0].usd

    def split(self, quantity: Decimal, already: Decimal = Decimal(0)) -> Iterator[tuple[Decimal, Decimal]]:
        """How *quantity* units fall into tiers when *already* units were used this month: (units, dollars a unit)."""
        used = already
        end = already + quantity
        for tier, after in zip(self.tiers, (*self.tiers[1:], None), strict=True):
            upper = end if after is None else min(end, after.start)
            if upper > used:
                yield upper - used, tier.usd
                used = upper

    def cost(self, quantity: float | Decimal, already: float | Decimal = 0) -> Decimal:
        """Dollars for *quantity* units when *already* units were used this month; no free tier."""
        parts = self.split(exact(quantity), exact(already))
        return sum((units * usd for units, usd in parts), Decimal(0))


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of one region, by item: ``prices["lambda.request"]``, ``prices.cost("lambda.request", 3_000_000)``."""

    region: str
    items: Mapping[str, Price]

    def __getitem__(self, item: str) -> Price:
        """Return the price of *item*; raises SflabError naming the items there are."""
        try:
            return self.items[item]
        except KeyError:
            known = ", ".join(sorted(self.items))
            raise SflabError(f"no price for {item!r}; there are prices for: {known}") from None

    def __contains__(self, item: object) -> bool:
        return item in self.items

    def __iter__(self) -> Iterator[Price]:
        return iter(self.items.values())

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"<Prices of {self.region}: {len(self.items)} items, {self.as_of}>"

    @property
    def as_of(self) -> str:
        """The oldest and the newest date among the prices."""
        dates = sorted(price.as_of for price in self.items.values())
        return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"

    def cost(self, item: str, quantity: float | Decimal, already: float | Decimal = 0) -> Decimal:
        """Dollars for *quantity* units of *item* when *already* units of it were used this month."""
        return self[item].cost(quantity, already)

    @property
    def df(self) -> pd.DataFrame:
        """One row per item and tier: unit, where the tier starts, dollars a unit, free units, region, date, source."""
        import pandas as pd

        columns: dict[str, list[Any]] = {
            name: [] for name in ("item", "unit", "from", "usd", "free", "region", "as_of", "source")
        }
        for price in self:
            for tier in price.tiers:
                row = (price.item, price.unit, float(tier.start), float(tier.usd), float(price.free))
                for name, value in zip(columns, (*row, price.region, price.as_of, price.source), strict=True):
                    columns[name].append(value)
        return pd.DataFrame(columns)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = [
            (price.item, rate(price.usd), price.unit, price.region, price.as_of, price.source)
            for price in sorted(self, key=lambda p: p.item)
        ]
        head = ("item", "first tier", "per", "region", "as of", "source")
        return {"text/plain": text_table(head, rows, right=(1,)), "text/html": html_table(head, rows, right=(1,))}


def data_directory(name: str) -> Path:
    """Return the folder *name* of the project's data: beside the package in a checkout, inside it when installed."""
    home = Path(__file__).parents[1]
    inside = home / "data"
    return (inside if inside.is_dir() else home.parent / "data") / name


def user_directory() -> Path | None:
    """Return the folder of prices that were fetched from AWS: ``$SFLAB_PRICES``, or one under the user's data folder.

    None where ``SFLAB_PRICES`` is set and empty: then only the project's prices are used.
    """
    given = os.environ.get("SFLAB_PRICES")
    if given is not None:
        return Path(given).expanduser() if given else None
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "sflab" / "prices"


def load(region: str = FALLBACK_REGION, *, directory: str | Path | None = None) -> Prices:
    """Read the prices of *region*: the project's ``data/prices`` and what was fetched from AWS, or *directory* alone.

    Raises SflabError when the region is not known, naming those that are, or when a row cannot be read.
    """
    folder = Path(directory) if directory is not None else data_directory("prices")
    found = _read_folder(folder)
    if not found:
        raise SflabError(f"no price data in {folder}: expected .csv files as data/prices/README.md describes them")
    if directory is None and (fetched := user_directory()) is not None and fetched.is_dir():
        for key, price in _read_folder(fetched).items():
            if key not in found or price.as_of >= found[key].as_of:
                found[key] = price
    known = sorted(where for item, where in found if item == _REGIONAL)
    if region not in known:
        raise SflabError(
            f"no prices for region {region!r}; known are: {', '.join(known)}. Fetch them from AWS: "
            f"sf.refresh_prices({region!r}), or add rows to {folder}, or pass directory="
        )
    items = sorted({item for item, _ in found})
    chosen = {item: found.get((item, region)) or found.get((item, FALLBACK_REGION)) for item in items}
    return Prices(region, {item: price for item, price in chosen.items() if price is not None})


def _read_folder(folder: Path) -> dict[tuple[str, str], Price]:
    """Read every price of a folder, by item and region; of two files that both have it, the later date holds."""
    sources = folder / "sources.csv"
    titles = {row["source"]: row["title"] for row in read_rows(sources)} if sources.is_file() else {}
    out: dict[tuple[str, str], Price] = {}
    for path in sorted(path for path in folder.glob("*.csv") if path.name != "sources.csv"):
        found: dict[tuple[str, str], Price] = {}
        for line, row in enumerate(read_rows(path), start=2):
            _add(found, row, titles, f"{path}:{line}")
        out |= {key: price for key, price in found.items() if key not in out or price.as_of >= out[key].as_of}
    return out


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a table of the data folder: a CSV file with a header line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise SflabError(f"{path}: this cannot be read as a table ({problem})") from problem


def exact(number: float | Decimal) -> Decimal:
    """Return *number* as the decimal it is written as: 0.1 becomes 0.1, not the nearest binary fraction."""
    return number if isinstance(number, Decimal) else Decimal(number if isinstance(number, int) else str(number))


def _add(found: dict[tuple[str, str], Price], row: dict[str, str], titles: dict[str, str], where: str) -> None:
    try:
        key = (f"{row['service']}.{row['item']}", row["region"])
        tier = Tier(Decimal(row["from"]), Decimal(row["usd"]) / Decimal(row["per"]))
        dated = (row["region"], row["as_of"], titles.get(row["source"], row["source"]), row["note"])
        price = Price(key[0], row["unit"], (tier,), Decimal(row["free"]), *dated, row.get("pool") or "")
    except (KeyError, TypeError, InvalidOperation, ZeroDivisionError) as problem:
        raise SflabError(f"{where}: not a price: {problem!r}; data/prices/README.md describes the columns") from problem
    if not (tier.usd.is_finite() and tier.usd >= 0 and tier.start.is_finite() and price.free >= 0):
        raise SflabError(f"{where}: not a price: {row['usd']} for {row['per']} from {row['from']}, {row['free']} free")
    before = found.get(key)
    if (before.tiers[-1].start >= tier.start) if before else tier.start != 0:
        raise SflabError(f"{where}: the tiers of {key[0]} in {key[1]} must begin at 0 and ascend")
    found[key] = replace(before, tiers=(*before.tiers, tier)) if before else price


# ── how money and tables are written ─────────────────────────────────────────────────────────────────────────────────


def dollars(amount: float | Decimal) -> str:
    """Write an amount so that micro-dollars stay readable: four digits below a dollar, never an exponent.

    >>> [dollars(x) for x in (0, 0.000275, 0.0000166667, 12.5, 1234567.891)]
    ['$0', '$0.000275', '$0.00001667', '$12.50', '$1,234,567.89']
    """
    value = exact(amount)
    if value == 0:
        return "$0"
    sign, value = ("-" if value < 0 else ""), abs(value)
    if value >= 1:
        return f"{sign}${value:,.2f}"
    digits = f"{value:.{3 - value.adjusted()}f}".rstrip("0")
    whole, _, cents = digits.partition(".")
    return f"{sign}${whole}.{cents.ljust(2, '0')}"


def rate(amount: Decimal) -> str:
    """Write a unit price with every digit it was published with: ``$0.0000166667``."""
    return dollars(amount) if amount >= 1 or amount == 0 else f"${amount.normalize():f}"


def count(quantity: float | Decimal) -> str:
    """Write a quantity: whole numbers in full, others with six significant digits."""
    value = exact(quantity)
    if value == value.to_integral_value():
        return f"{value:,.0f}"
    return f"{value:,.{max(0, 5 - value.adjusted())}f}".rstrip("0").rstrip(".")


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return an aligned table of text; *right* lists the columns that are set flush right."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]

    def aligned(line: Sequence[str]) -> str:
        cells = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return "\n".join(aligned(line) for line in [head, ["─" * w for w in widths], *rows])


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return the same table as HTML, every cell escaped."""
    align = [f"text-align:{'right' if i in right else 'left'}" for i in range(len(head))]

    def cells(tag: str, line: Sequence[str]) -> str:
        return "".join(f'<{tag} style="{a}">{escape(c)}</{tag}>' for c, a in zip(line, align, strict=True))

    body = "".join(f"<tr>{cells('td', line)}</tr>" for line in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"

"""What each state visit of an execution costs: the bill, taken apart by who caused it.

A visit is charged the transitions it is counted as (its entry, its retries, a Map Run's child executions) and the calls
it made. It is not charged what belongs to the execution as a whole: its start and end, redrives as such, and, of an
Express execution, the request and its duration times memory. What is inside a Map or Parallel state has visits of its
own; the child executions of a Map Run have histories of their own. So the sum over all visits is the bill less these.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sflab.costs.prices import load
from sflab.costs.usage import Children, Meter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sflab.asl.model import JSON, Definition
    from sflab.costs.prices import Prices
    from sflab.engine.history import Event, Visit

#: What an Express execution is charged for as a whole.
_WHOLE = "stepfunctions.express-"


def total(
    definition: Definition | Mapping[str, JSON] | None,
    events: Sequence[Event],
    *,
    type: str = "STANDARD",
    children: Sequence[Children] = (),
    prices: Prices | None = None,
    **options: Any,
) -> float:
    """Return the dollars of a whole execution, at list price: what `sflab.costs.estimate.bill` adds up to."""
    used = Meter(definition or {}, type, **options).read(list(events), children).quantities
    return _dollars(used, prices or load())


def _dollars(used: Mapping[tuple[str, str], Decimal], prices: Prices) -> float:
    return float(sum((n * prices[item].usd for (item, _), n in used.items()), Decimal(0)))


def visit_costs(
    definition: Definition | Mapping[str, JSON] | None,
    events: Sequence[Event],
    visits: Sequence[Visit],
    *,
    type: str = "STANDARD",
    prices: Prices | None = None,
    **options: Any,
) -> list[float]:
    """Return the dollars of each of *visits*, at list price; *options* are `Meter`'s.

    *events* is the history they were read from, in order. A call that was still running when the execution ended is
    charged until then.
    """
    prices = prices or load()
    meter = Meter(definition or {}, type, **{**options, "start_end": 0})
    by_id = {event["id"]: event for event in events}
    out = []
    for visit in visits:
        own = [by_id[i] for i in visit.events]
        if visit.exited_id is None and events and events[-1] is not own[-1]:
            own.append(_clock(events[-1]))
        used = meter.read(own).quantities
        out.append(_dollars({key: n for key, n in used.items() if not key[0].startswith(_WHOLE)}, prices))
    return out


def _clock(last: Event) -> Event:
    """Return an event that tells only how late it is."""
    return {"id": last["id"], "previousEventId": 0, "type": "", "timestamp": last["timestamp"]}

"""What a month of executions costs: representative ones are run or read here, and priced by `sflab.costs.estimate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON
from sflab.backends.execution import Execution, History
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine
from sflab.costs.estimate import Bill, mixed, month
from sflab.errors import SflabError

if TYPE_CHECKING:
    from sflab.costs.prices import Prices

#: What stands for one execution.
Sample = Execution | History | Bill


def estimate(
    machine: StateMachine | Sample,
    local: Local | None = None,
    input: JSON = None,
    *,
    per_month: float,
    runs: Sample | Sequence[Sample] | Mapping[str, Sample] | None = None,
    weights: Sequence[float] | Mapping[str, float] | None = None,
    free_tier: bool = False,
    region: str | None = None,
    prices: Prices | None = None,
    **counting: Any,
) -> Bill:
    """Return the bill of a month with *per_month* executions, through the monthly tiers, line by line.

    What one execution uses is read from *runs*: one, several, or named ones (``{"paid": run, "declined": other}``),
    each an execution, a history or a bill; *weights* say how often each happens (``{"paid": 95, "declined": 5}``; equal
    unless given). Without *runs*, *machine* is run once, by *local* on *input*. An execution, a history or a bill may
    stand in the machine's place.

    *free_tier* takes off what is free each month. Prices are those of *region*, or where the executions ran; *counting*
    is as for `sflab.costs.estimate.bill`: ``memory_mb``, ``architecture``, ``logging``, ``start_end`` ….

    Raises SflabError for weights that do not fit, a region without prices, or a machine whose tasks nothing does.
    """
    if runs is None:
        runs = (local or Local()).start_execution(machine, input) if isinstance(machine, StateMachine) else machine
    elif local is not None or input is not None:
        raise SflabError("give runs=, or what to run the machine with (local, input), not both")
    named = _named(runs)
    shares = _weights(named, weights)
    if prices is None and region is None and isinstance(machine, StateMachine) and local is not None:
        region = local.region
    given = {"region": region} if prices is None else {"prices": prices}
    bills = [(name, _bill(machine, run, given | counting), shares[name]) for name, run in named.items()]
    regions = dict.fromkeys(bill.region for _, bill, _ in bills)
    if len(regions) > 1:
        raise SflabError(
            f"executions of {', '.join(regions)} have prices of their own: give region=, or estimate apart"
        )
    return month(mixed(bills), per_month, prices=prices, free_tier=free_tier)


def _named(runs: Any) -> dict[str, Sample]:
    """Return the executions by name: ``run 1``, ``run 2`` … unless they have some."""
    if isinstance(runs, Mapping):
        named = {str(name): run for name, run in runs.items()}
    elif isinstance(runs, (Execution, History, Bill)):
        named = {"run 1": runs}
    else:
        named = {f"run {i}": run for i, run in enumerate(runs, 1)} if isinstance(runs, Sequence) else {"": runs}
    if not named:
        raise SflabError("there are no runs to estimate from")
    for run in named.values():
        if not isinstance(run, (Execution, History, Bill)):
            raise SflabError(f"a run is an execution, a History or a Bill, not {type(run).__name__}")
    return named


def _weights(named: Mapping[str, Sample], weights: Sequence[float] | Mapping[str, float] | None) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(named, 1)
    if isinstance(weights, Mapping):
        given = {str(name): weight for name, weight in weights.items()}
    else:
        given = dict(zip(named, weights, strict=False)) if len(weights) == len(named) else {}
    if set(given) != set(named):
        raise SflabError(f"weights= has one number for each of {', '.join(named)}; given were {weights!r}")
    return given


def _bill(machine: Any, run: Sample, options: dict[str, Any]) -> Bill:
    if isinstance(run, Bill):
        if set(options) - {"region", "prices"} or options.get("region") not in (None, run.region):
            raise SflabError("a bill is what it is: give what changes it (region, memory_mb …) where it is made")
        return run
    if isinstance(run, History):
        return run.cost(machine if isinstance(machine, StateMachine) else None, **options)
    return run.cost(**options)

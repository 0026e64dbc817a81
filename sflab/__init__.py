"""sflab: a lab for AWS Step Functions workflows.

import sflab as sf
machine = sf.StateMachine.load("data/machines/order-saga.asl.json")
run = sf.Local(functions={"Charge": lambda event, context: {"paid": True}}).start_execution(machine, {"id": 42})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sflab.asl.model import Definition, Diagnostic, StatesError
    from sflab.backends.aws import AWS, attach
    from sflab.backends.estimates import estimate
    from sflab.backends.execution import Execution, History
    from sflab.backends.functions import mock
    from sflab.backends.gateway import Route
    from sflab.backends.local import Local
    from sflab.backends.mockconfig import mock_config
    from sflab.backends.pricelist import refresh as refresh_prices
    from sflab.backends.replay import Moment, Replayed, replay
    from sflab.backends.rest import RestApi
    from sflab.backends.simulate import simulate
    from sflab.backends.statemachine import StateMachine
    from sflab.backends.statetest import StateTest
    from sflab.backends.table import table
    from sflab.costs import latency
    from sflab.costs.breakeven import BreakEven, break_even
    from sflab.costs.compare import Comparison, compare
    from sflab.costs.estimate import bill
    from sflab.costs.faults import fault, faults, slow_tail
    from sflab.costs.latency import cold_start, constant, empirical, lognormal, measured, mixture
    from sflab.costs.prices import load as prices
    from sflab.costs.simulation import Simulation
    from sflab.costs.sweep import Sweep, sweep
    from sflab.costs.traffic import burst, limits, poisson, rate, trace
    from sflab.errors import (
        ApiError,
        BackendError,
        DefinitionError,
        ExecutionFailed,
        Interrupted,
        ReplayError,
        SflabError,
        TaskNotFoundError,
    )
    from sflab.workshop.check import check
    from sflab.workshop.patterns import patterns

__version__ = "0.1.0"

#: Public name -> module, with ``:name`` where it has another name there. Each is imported when it is first used
#: (PEP 562): `import sflab` stays a matter of milliseconds.
_HOME = {
    # definitions
    "StateMachine": "backends.statemachine",
    "Definition": "asl.model",
    "Diagnostic": "asl.model",
    # running
    "Local": "backends.local",
    "AWS": "backends.aws",
    "attach": "backends.aws",
    "Execution": "backends.execution",
    "History": "backends.execution",
    "RestApi": "backends.rest",
    "Route": "backends.gateway",
    "replay": "backends.replay",
    "Replayed": "backends.replay",
    "Moment": "backends.replay",
    "StateTest": "backends.statetest",
    "table": "backends.table",
    "mock": "backends.functions",
    "mock_config": "backends.mockconfig",
    "StatesError": "asl.model",
    # numbers
    "bill": "costs.estimate",
    "compare": "costs.compare",
    "Comparison": "costs.compare",
    "constant": "costs.latency",
    "estimate": "backends.estimates",
    "empirical": "costs.latency",
    "lognormal": "costs.latency",
    "measured": "costs.latency",
    "prices": "costs.prices:load",
    "refresh_prices": "backends.pricelist:refresh",
    "mixture": "costs.latency",
    "cold_start": "costs.latency",
    "latency": "costs",
    "fault": "costs.faults",
    "faults": "costs.faults",
    "slow_tail": "costs.faults",
    "simulate": "backends.simulate",
    "Simulation": "costs.simulation",
    "rate": "costs.traffic",
    "poisson": "costs.traffic",
    "burst": "costs.traffic",
    "trace": "costs.traffic",
    "limits": "costs.traffic",
    "break_even": "costs.breakeven",
    "BreakEven": "costs.breakeven",
    "sweep": "costs.sweep",
    "Sweep": "costs.sweep",
    # the workshop
    "check": "workshop.check",
    "patterns": "workshop.patterns",
    # errors
    "ApiError": "errors",
    "BackendError": "errors",
    "DefinitionError": "errors",
    "ExecutionFailed": "errors",
    "Interrupted": "errors",
    "ReplayError": "errors",
    "SflabError": "errors",
    "TaskNotFoundError": "errors",
}

__all__ = [
    "AWS",
    "ApiError",
    "BackendError",
    "BreakEven",
    "Comparison",
    "Definition",
    "DefinitionError",
    "Diagnostic",
    "Execution",
    "ExecutionFailed",
    "History",
    "Interrupted",
    "Local",
    "Moment",
    "ReplayError",
    "Replayed",
    "RestApi",
    "Route",
    "SflabError",
    "Simulation",
    "StateMachine",
    "StateTest",
    "StatesError",
    "Sweep",
    "TaskNotFoundError",
    "attach",
    "bill",
    "break_even",
    "burst",
    "check",
    "cold_start",
    "compare",
    "constant",
    "empirical",
    "estimate",
    "fault",
    "faults",
    "latency",
    "limits",
    "lognormal",
    "measured",
    "mixture",
    "mock",
    "mock_config",
    "patterns",
    "poisson",
    "prices",
    "rate",
    "refresh_prices",
    "replay",
    "simulate",
    "slow_tail",
    "sweep",
    "table",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sflab' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    home = import_module(f"sflab.{module}")
    value = getattr(home, attribute or name, None) or import_module(f"{home.__name__}.{name}")  # `latency` is a module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext sflab``: the magics ``%%asl``, ``%%teststate`` and ``%sfn``."""
    import_module("sflab.magics").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext sflab``: take them away again."""
    import_module("sflab.magics").unload(shell)

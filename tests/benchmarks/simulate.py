"""How many executions are simulated in a second: ``python tests/benchmarks/simulate.py [--n N]``; judges nothing.

The order saga, a Map over 1,000 items, and a workflow of ten Lambda tasks, on one core and on all, each execution with
latencies of its own, metered and summed up. Seconds are the wall's: the machine should have nothing else to do. With
``--dask`` also on a Dask LocalCluster with a process for each core, whose start is not counted. Every row says whether
the table was the same as on one core. ``--n 100000 --only ten --cores 2`` is a hundred thousand executions of the
ten-state workflow, on two cores alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import Any

import sflab as sf

SAGA = Path(__file__).resolve().parents[2] / "data" / "machines" / "order-saga.asl.json"


def ten() -> tuple[sf.StateMachine, sf.Local, Any]:
    """A workflow of ten Lambda tasks, one after the other."""
    states: dict[str, Any] = {}
    for i in range(10):
        states[f"T{i}"] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": f"f{i}", "Payload.$": "$"},
            "ResultSelector": {"value.$": "$.Payload.value"},
            "ResultPath": "$.result",
            **({"Next": f"T{i + 1}"} if i < 9 else {"End": True}),
        }
    machine = sf.StateMachine.load({"StartAt": "T0", "States": states}, name="ten")
    return machine, sf.Local(tasks={"*": sf.mock({"value": 1})}), {"order": 42}


def saga() -> tuple[sf.StateMachine, sf.Local, Any]:
    """The order saga with two lines."""
    local = sf.Local(
        functions={
            "ReserveStock": sf.mock({"reservation": "R-7"}, latency=0.1),
            "ChargeCard": sf.mock({"receipt": "C-1"}, latency=sf.lognormal(p50=0.35, p99=1.4)),
            "PackLine": sf.mock({"packed": True}, latency=0.2),
            "SendInvoice": sf.mock({"sent": True}),
            "RefundCard": sf.mock({}),
            "ReleaseStock": sf.mock({}),
        },
        faults={"ChargeCard": [sf.fault(0.05, "CardNetworkBusy"), sf.fault(0.02, "CardDeclined")]},
    )
    order = {"orderId": "42", "total": 9.5, "lines": [{"sku": "a"}, {"sku": "b"}], "returnWindowSeconds": 86400}
    return sf.StateMachine.load(SAGA), local, order


def items() -> tuple[sf.StateMachine, sf.Local, Any]:
    """An inline Map over 1,000 items, a Lambda task for each."""
    inner = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
    inner |= {"Parameters": {"FunctionName": "f", "Payload.$": "$"}, "ResultSelector": {}}
    states = {"M": {"Type": "Map", "ItemProcessor": {"StartAt": "P", "States": {"P": inner}}, "End": True}}
    machine = sf.StateMachine.load({"StartAt": "M", "States": states}, name="map")
    return machine, sf.Local(functions={"f": sf.mock({})}), list(range(1000))


#: Workload -> what makes it, and how many executions are simulated unless told.
WORK = {"saga": (saga, 4_000), "ten": (ten, 4_000), "map": (items, 40)}


def measure(name: str, n: int, client: Any, cores: int | None) -> None:
    """Print the rows of one workload."""
    machine, local, data = WORK[name][0]()
    every = os.cpu_count() or 1
    counts = [1, every] if cores is None else [cores]
    ways: list[tuple[str, dict[str, Any]]] = [(f"{k} core{'s' * (k > 1)}", {"cores": k}) for k in counts]
    if client is not None:
        ways.append(("Dask", {"executor": client.get_executor()}))
    first = None
    for way, options in ways:
        begun = time.perf_counter()
        made = sf.simulate(machine, data, n=n, local=local, **options)
        took = time.perf_counter() - begun
        first = first or made
        same = "same table" if made == first else "ANOTHER TABLE"
        print(f"{name:<6}  {way:<9}  {n:>9,}  {took:>8.2f}  {n / took:>12,.0f}  {same}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, help="executions of each workload")
    parser.add_argument("--only", choices=list(WORK), help="one workload alone")
    parser.add_argument("--cores", type=int, help="on so many cores alone")
    parser.add_argument("--dask", action="store_true", help="also on a Dask LocalCluster")
    asked = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores\n")
    print("what    on         executions   seconds  executions/s")
    if not asked.dask:
        for name in [asked.only] if asked.only else WORK:
            measure(name, asked.n or WORK[name][1], None, asked.cores)
        return
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=os.cpu_count(), threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        for name in [asked.only] if asked.only else WORK:
            measure(name, asked.n or WORK[name][1], client, asked.cores)


if __name__ == "__main__":
    main()

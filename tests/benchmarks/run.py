"""Speed, side by side in one run: ``python tests/benchmarks/run.py [DIR] [--peers]``; prints a table, judges nothing.

DIR holds workloads ``wN.json``, ``wN.input.json``, ``wN.expect.json`` (default: ``../shared/workloads`` beside the
checkout). For each: state transitions a second with the whole history kept, and with every event rendered as AWS's
JSON, beside the floor: a loop that copies a dict and writes the two AWS-shaped events of every transition with
``json.dumps``. Medians of five, taken in turn, so that a machine that slows down slows all of them. With
``--peers`` moto's engine is timed too. A second table is of scale: Map states over many items, each in a process of its
own, with the seconds of processor time and the most memory it took (``--scale`` prints this table alone).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sflab as sf
from sflab.asl.program import compile_program
from sflab.backends.drivers import drive
from sflab.engine.machine import Machine

HOME = Path(__file__).resolve().parents[2].parent / "shared" / "workloads"
ROUNDS = 5
#: Executions in one round: enough to take some tens of milliseconds.
REPEATS = {"w1": 200, "w2": 5, "w3": 1, "w4": 200, "w5": 100, "w6": 200}


def transitions(machine: Machine) -> int:
    """How many states the execution entered."""
    return sum(entry[0].endswith("StateEntered") for entry in machine.log.entries)


def floor(text: str, count: int) -> Callable[[], None]:
    """The least anybody must do: copy the data, write two events with it, for every transition."""
    data = json.loads(text)

    def run() -> None:
        events = []
        value = data
        for i in range(count):
            value = dict(value) if isinstance(value, dict) else list(value)
            said = json.dumps(value, separators=(",", ":"))
            for kind, key in (("PassStateEntered", "input"), ("PassStateExited", "output")):
                details = {"name": "S", key: said, f"{key}Details": {"truncated": False}}
                events.append({"timestamp": i, "type": kind, "id": i, "previousEventId": i - 1, "details": details})

    return run


def ours(raw: dict[str, Any], text: str, repeats: int, *, rendered: bool) -> Callable[[], Machine]:
    """Run the workload *repeats* times; the history is kept, or rendered as well."""
    program = compile_program(raw)

    def run() -> Machine:
        for _ in range(repeats):
            machine = Machine(program, max_events=10_000_000)
            drive(machine, text, lambda _command: ())
            if rendered:
                machine.log.events()
        return machine

    return run


def moto(raw: dict[str, Any], text: str) -> Callable[[], None]:
    """One execution on moto's engine, in this process, through boto3."""
    import boto3

    client = boto3.client("stepfunctions", region_name="us-east-1")
    role = "arn:aws:iam::123456789012:role/r"
    arn = client.create_state_machine(name=f"m{time.monotonic_ns()}", definition=json.dumps(raw), roleArn=role)

    def run() -> None:
        name = f"e{time.monotonic_ns()}"
        started = client.start_execution(stateMachineArn=arn["stateMachineArn"], name=name, input=text)
        while client.describe_execution(executionArn=started["executionArn"])["status"] == "RUNNING":
            time.sleep(0.002)

    return run


#: Map states over many items: (name, mode, items, items in a batch).
SCALE = (
    ("inline Map", "INLINE", 1_000, 0),
    ("inline Map", "INLINE", 10_000, 0),
    ("inline Map", "INLINE", 100_000, 0),
    ("Distributed Map, Express, batches of 1,000", "EXPRESS", 1_000_000, 1_000),
    ("Distributed Map, Express, an item each", "EXPRESS", 100_000, 0),
    ("Distributed Map, Express, an item each", "EXPRESS", 1_000_000, 0),
    ("the same, results written to a folder", "WRITER", 1_000_000, 0),
)


def scaled(mode: str, items: int, batch: int) -> None:
    """Run one row of the table of scale here, and print its seconds and megabytes."""
    processor: dict[str, Any] = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    state: dict[str, Any] = {"Type": "Map", "ItemProcessor": processor, "End": True, "ResultPath": None}
    text = "".join(f'{{"i":{i}}}\n' for i in range(items))
    begun = time.process_time()
    if mode == "INLINE":
        program = compile_program({"StartAt": "M", "States": {"M": {**state, "ResultSelector": {}}}})
        machine = Machine(program, max_events=100_000_000)
        drive(machine, f"[{','.join(text.split())}]", lambda _command: ())
        # More than 256 KiB of results fail the state when all iterations have ended: that is all of the work.
        assert machine.status == "SUCCEEDED" or machine.error == "States.DataLimitExceeded", machine.cause
    else:
        processor["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}
        processor["States"]["P"]["Result"] = 1
        where = {"Bucket": "lab", "Key": "in.jsonl"}
        reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": where}
        state["ItemReader"] = {**reader, "ReaderConfig": {"InputType": "JSONL"}}
        if batch:
            state["ItemBatcher"] = {"MaxItemsPerBatch": batch}
        if mode == "WRITER":
            state["ResultWriter"] = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "out"}}
        with tempfile.TemporaryDirectory() as out:
            local = sf.Local(objects={"lab": {"in.jsonl": text}, "out": out})
            (run,) = local.start_execution(sf.StateMachine.load({"StartAt": "M", "States": {"M": state}})).map_runs
            assert run.item_counts["succeeded"] == items, run
    took = time.process_time() - begun
    print(f"{took} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}")


def scale() -> None:
    """Print the table of scale."""
    print("items        seconds  us/item  peak MB  what")
    for name, mode, items, batch in SCALE:
        call = [sys.executable, __file__, "--row", mode, str(items), str(batch)]
        took, peak = map(float, subprocess.run(call, capture_output=True, text=True, check=True).stdout.split())
        print(f"{items:>9,}  {took:>9.2f}  {took / items * 1e6:>7.1f}  {peak:>7,.0f}  {name}")


def timed(runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each, taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def measure(folder: Path, name: str, *, peers: bool) -> dict[str, float | str]:
    """One row of the table: transitions a second, and ratios to the floor."""
    raw = json.loads((folder / f"{name}.json").read_text())
    text = (folder / f"{name}.input.json").read_text()
    repeats = REPEATS[name]
    first = ours(raw, text, 1, rendered=False)()
    assert first.output is not None, f"{name}: {first.error}: {first.cause}"
    assert json.loads(first.output) == json.loads((folder / f"{name}.expect.json").read_text()), f"{name}: wrong output"
    count = transitions(first)
    small = text if name in ("w1", "w5") else '{"i":0,"odd":0}'  # in w2 and w3 a transition's data is an item
    runs: dict[str, Callable[[], Any]] = {
        "floor": floor(small, count * repeats),
        "kept": ours(raw, text, repeats, rendered=False),
        "rendered": ours(raw, text, repeats, rendered=True),
    }
    if peers and name in ("w1", "w4"):
        runs["moto"] = moto(raw, text)
    seconds = timed(runs)
    rate = {kind: count * (1 if kind == "moto" else repeats) / taken for kind, taken in seconds.items()}
    row: dict[str, float | str] = {"workload": name, "transitions": count, **rate}
    row["kept/floor"] = rate["kept"] / rate["floor"]
    row["rendered/floor"] = rate["rendered"] / rate["floor"]
    return row


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path, default=HOME)
    parser.add_argument("--peers", action="store_true", help="time moto's engine as well")
    parser.add_argument("--scale", action="store_true", help="only the table of scale")
    parser.add_argument("--row", nargs=3, metavar=("MODE", "ITEMS", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        scaled(options.row[0], int(options.row[1]), int(options.row[2]))
        return 0
    if options.scale:
        scale()
        return 0
    if not options.dir.is_dir():
        print(f"{options.dir}: no such folder; nothing was measured", file=sys.stderr)
        return 2
    if options.peers:
        from moto import mock_aws

        mock_aws(config={"stepfunctions": {"execute_state_machine": True}}).start()
    print("workload  transitions    floor/s     kept/s  x floor  rendered/s  x floor     moto/s")
    for name in REPEATS:
        row = measure(options.dir, name, peers=options.peers)
        moto_rate = f"{row['moto']:>10,.0f}" if "moto" in row else " " * 9 + "-"
        print(
            f"{row['workload']:8}  {row['transitions']:>11,}  {row['floor']:>9,.0f}  {row['kept']:>9,.0f}  "
            f"{row['kept/floor']:>7.2f}  {row['rendered']:>10,.0f}  {row['rendered/floor']:>7.2f}  {moto_rate}"
        )
    print()
    scale()
    return 0


if __name__ == "__main__":
    sys.exit(main())

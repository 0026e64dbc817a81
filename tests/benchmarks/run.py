"""Speed, side by side in one run: ``python tests/benchmarks/run.py [DIR] [--peers] [--node DIR]``; judges nothing.

DIR holds workloads ``wN.json``, ``wN.input.json``, ``wN.expect.json`` (default: ``../shared/workloads`` beside the
checkout). For each, state transitions a second

* *kept*: the execution run to its end, its whole history kept, nothing of it read;
* *events*: and every event read as boto3 gives it (`Log.events`);
* *rendered*: and every event written as JSON text, which is how histories are saved (`Log.json`);
* *floor*: the least anybody must do, a loop that copies a dict and writes the two AWS-shaped events of every
  transition, the data in each with its own ``json.dumps``. ``x`` columns are ratios to it.

Medians of five, taken in turn, so that a machine that slows down slows all of them; seconds are the processor's, so
that what else the machine does counts less. The garbage collector is on, and has just run, for all of them alike.
*noise* is how much longer the floor's slowest round took than its fastest.

``--peers`` times moto's engine and npm's ``aws-local-stepfunctions`` (installed by npm in a folder, named by
``--node``), each in a process of its own, by the clock on the wall. Then: a fresh process from `import sflab` to the
output of a one-state machine, and Map states over many items, each in a process of its own, with the seconds of the
processor and the most memory it took; ``--scale`` prints that table alone, with its rows of a million items.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import sflab as sf
from sflab.asl.program import compile_program
from sflab.backends.drivers import drive
from sflab.engine.machine import Machine

HERE = Path(__file__).resolve()
HOME = HERE.parents[2].parent / "shared" / "workloads"
ROUNDS = 5
#: Executions in one round: enough to take some tens of milliseconds.
REPEATS = {"w1": 1000, "w2": 5, "w3": 1, "w4": 300, "w5": 300, "w6": 500}
#: Of a peer: executions in a round, and rounds; what is not here it gets wrong, or sleeps through.
PEERS = {
    "node": {"w1": (1000, ROUNDS), "w2": (5, ROUNDS), "w3": (1, ROUNDS), "w4": (300, ROUNDS)},
    "moto": {"w1": (3, ROUNDS), "w2": (1, 3), "w3": (1, 1), "w4": (3, ROUNDS)},
}
MISSING = {
    "node": "it takes Node, and aws-local-stepfunctions installed by npm in the folder that --node names",
    "moto": "it takes moto[stepfunctions] and boto3",
}
HEAVY = ("boto3", "botocore", "pandas", "numpy", "moto", "IPython", "ipywidgets", "anywidget")

Run = Callable[[], Any]


# ── what is timed ────────────────────────────────────────────────────────────────────────────────────────────────────


def floor(text: str, count: int, repeats: int) -> Run:
    """The least anybody must do for *repeats* executions of *count* transitions."""
    data = json.loads(text)

    def execution() -> list[dict[str, Any]]:
        events = []
        value = data
        for i in range(0, 2 * count, 2):
            events.append(
                {
                    "timestamp": i,
                    "type": "PassStateEntered",
                    "id": i + 1,
                    "previousEventId": i,
                    "stateEnteredEventDetails": {
                        "name": "S",
                        "input": json.dumps(value),
                        "inputDetails": {"truncated": False},
                    },
                }
            )
            value = dict(value)
            events.append(
                {
                    "timestamp": i,
                    "type": "PassStateExited",
                    "id": i + 2,
                    "previousEventId": i + 1,
                    "stateExitedEventDetails": {
                        "name": "S",
                        "output": json.dumps(value),
                        "outputDetails": {"truncated": False},
                    },
                }
            )
        return events

    def run() -> None:
        for _ in range(repeats):
            execution()

    return run


def ours(raw: dict[str, Any], text: str, repeats: int, read: Callable[[Machine], Any] | None = None) -> Run:
    """Run the workload *repeats* times and *read* each history."""
    program = compile_program(raw)

    def run() -> Machine:
        for _ in range(repeats):
            machine = Machine(program, max_events=10_000_000)
            drive(machine, text, lambda _command: ())
            if read:
                read(machine)
        return machine

    return run


def moto() -> None:
    """Be the peer that runs moto's engine, through boto3: a line of JSON in, seconds out, as in peer.cjs."""
    import boto3
    from moto import mock_aws

    mock_aws(config={"stepfunctions": {"execute_state_machine": True}}).start()
    client = boto3.client("stepfunctions", region_name="us-east-1")
    for line in sys.stdin:
        asked = json.loads(line)
        unique, text = f"m{time.monotonic_ns()}", json.dumps(asked["input"])
        role = "arn:aws:iam::123456789012:role/r"
        made = client.create_state_machine(name=unique, definition=json.dumps(asked["definition"]), roleArn=role)
        begun = time.perf_counter()
        for i in range(asked["repeats"]):
            arn = made["stateMachineArn"]
            started = client.start_execution(stateMachineArn=arn, name=f"{unique}-{i}", input=text)
            while client.describe_execution(executionArn=started["executionArn"])["status"] == "RUNNING":
                time.sleep(0.002)
        print(time.perf_counter() - begun, flush=True)


class Peer:
    """Another engine, in a process that lives as long as the table, so that nothing of it is in our memory."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds(self, raw: dict[str, Any], text: str, repeats: int) -> float:
        """Seconds *repeats* executions took, by the peer's own clock. Raises ValueError, OSError: it is not there."""
        line = json.dumps({"definition": raw, "input": json.loads(text), "repeats": repeats})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def peers(folder: Path | None) -> dict[str, Peer]:
    """Return the peers that are there; say on stderr what is missing for the others."""
    paths = [str(folder / "node_modules")] if folder else []
    env = {"NODE_PATH": os.pathsep.join([*paths, os.environ.get("NODE_PATH", "")])}
    commands = {
        "node": ([shutil.which("node") or "", str(HERE.parent / "peer.cjs")], env),
        "moto": ([sys.executable, str(HERE), "--moto"], {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}),
    }
    found = {}
    for name, (command, more) in commands.items():
        try:
            found[name] = Peer(command, more)
            found[name].seconds({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}, "{}", 1)
        except (OSError, ValueError):
            print(f"{name} is left out: {MISSING[name]}", file=sys.stderr)
            found.pop(name, None)
    return found


# ── timing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def clocked(run: Run) -> Callable[[], float]:
    """Seconds of the processor that one round takes, the collector having just been."""

    def clock() -> float:
        gc.collect()
        begun = time.process_time()
        run()
        return time.process_time() - begun

    return clock


def taken(clocks: dict[str, tuple[Callable[[], float], int]]) -> dict[str, list[float]]:
    """Seconds of every round of each, in turn; each with the number of rounds it takes part in."""
    seconds: dict[str, list[float]] = {name: [] for name in clocks}
    for turn in range(ROUNDS):
        for name, (clock, rounds) in clocks.items():
            if turn < rounds:
                seconds[name].append(clock())
    return seconds


def measure(folder: Path, name: str, others: dict[str, Peer]) -> dict[str, float]:
    """One row of the table: transitions a second of each, and the noise."""
    raw = json.loads((folder / f"{name}.json").read_text())
    text = (folder / f"{name}.input.json").read_text()
    repeats = REPEATS[name]
    first = ours(raw, text, 1)()
    assert first.output is not None, f"{name}: {first.error}: {first.cause}"
    assert json.loads(first.output) == json.loads((folder / f"{name}.expect.json").read_text()), f"{name}: wrong output"
    count = sum(entry[0].endswith("StateEntered") for entry in first.log.entries)
    del first
    small = text if name in ("w1", "w5") else '{"i":0,"odd":0}'  # in w2 and w3 a transition's data is an item
    runs = {
        "floor": floor(small, count, repeats),
        "kept": ours(raw, text, repeats),
        "events": ours(raw, text, repeats, lambda machine: machine.log.events()),
        "rendered": ours(raw, text, repeats, lambda machine: machine.log.json()),
    }
    clocks = {kind: (clocked(run), ROUNDS) for kind, run in runs.items()}
    done = dict.fromkeys(runs, repeats)
    for kind, peer in others.items():
        if name in PEERS[kind]:
            done[kind], rounds = PEERS[kind][name]
            clocks[kind] = partial(peer.seconds, raw, text, done[kind]), rounds
    seconds = taken(clocks)
    rates = {kind: count * done[kind] / statistics.median(each) for kind, each in seconds.items()}
    return {"transitions": count, **rates, "noise": max(seconds["floor"]) / min(seconds["floor"]) - 1}


# ── in processes of their own ────────────────────────────────────────────────────────────────────────────────────────

COLD = f"""
import sflab, sys
machine = sflab.StateMachine.load(sys.argv[1])
assert sflab.Local().start_execution(machine, {{}}).output == {{"ok": True}}
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""


def cold(definition: Path) -> tuple[float, float, str]:
    """Seconds of a fresh process that runs a one-state machine, of one that does nothing, and heavy imports found."""
    loaded = ""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def process(*arguments: str) -> Callable[[], float]:
        def clock() -> float:
            nonlocal loaded
            begun = time.perf_counter()
            said = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=env)
            seconds = time.perf_counter() - begun
            loaded = loaded or said.stdout.strip()
            return seconds

        return clock

    run = process("-c", COLD, str(definition))
    run()  # that compiles what was never imported here; an installed package has its bytecode
    seconds = taken({"run": (run, ROUNDS), "bare": (process("-c", "pass"), ROUNDS)})
    return statistics.median(seconds["run"]), statistics.median(seconds["bare"]), loaded


def peak_mb() -> float:
    """The most memory this process has had, in MB (Linux: what getrusage says is inherited from the parent)."""
    if Path("/proc/self/status").exists():
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


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
    print(f"{time.process_time() - begun} {peak_mb()}")


def scale(most: int) -> None:
    """Print the table of Map states over up to *most* items."""
    print("\nitems        seconds  us/item  peak MB  what")
    for name, mode, items, batch in SCALE:
        if items > most:
            continue
        call = [sys.executable, __file__, "--row", mode, str(items), str(batch)]
        took, peak = map(float, subprocess.run(call, capture_output=True, text=True, check=True).stdout.split())
        print(f"{items:>9,}  {took:>9.2f}  {took / items * 1e6:>7.1f}  {peak:>7,.0f}  {name}")


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def table(folder: Path, others: dict[str, Peer]) -> None:
    """Print a row for each workload."""
    print(
        "          transitions   floor/s    kept/s      x  events/s      x  rendered/s      x  noise     node/s  moto/s"
    )
    for name in REPEATS:
        row = measure(folder, name, others)
        print(f"{name:8}  {row['transitions']:>11,} {row['floor']:>9,.0f}", end="")
        for kind, width in (("kept", 9), ("events", 9), ("rendered", 11)):
            print(f" {row[kind]:>{width},.0f}  {row[kind] / row['floor']:>5.2f}", end="")
        peer = (f"{row[kind]:>{w},.0f}" if kind in row else "-".rjust(w) for kind, w in (("node", 10), ("moto", 7)))
        print(f"  {row['noise']:>4.0%} ", *peer)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path, default=HOME)
    parser.add_argument("--peers", action="store_true", help="time moto's engine and npm's as well")
    parser.add_argument("--node", type=Path, metavar="DIR", help="the folder that npm installed its engine in")
    parser.add_argument("--moto", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--scale", action="store_true", help="only the table of Map states, up to a million items")
    parser.add_argument("--row", nargs=3, metavar=("MODE", "ITEMS", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        scaled(options.row[0], int(options.row[1]), int(options.row[2]))
        return 0
    if options.scale:
        scale(10**6)
        return 0
    if options.moto:
        moto()
        return 0
    if not options.dir.is_dir():
        print(f"{options.dir}: no such folder; nothing was measured", file=sys.stderr)
        return 2
    load = f"load {os.getloadavg()[0]:.2f}"
    table(options.dir, peers(options.node) if options.peers else {})
    run, bare, loaded = cold(options.dir / "w7.json")
    print(
        f"\ncold: {run:.3f} s from a fresh process to the output; Python alone {bare:.3f} s; heavy: {loaded or 'none'}"
    )
    scale(10**5)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"\n{python}, {os.cpu_count()} CPUs, {load} before and {os.getloadavg()[0]:.2f} after")
    return 0


if __name__ == "__main__":
    sys.exit(main())

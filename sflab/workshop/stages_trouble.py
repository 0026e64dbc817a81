"""Stages of the patterns about failure and about scale."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from sflab.asl.model import JSON, StatesError
from sflab.backends.functions import mock
from sflab.backends.local import Local, LocalExecution
from sflab.backends.statemachine import StateMachine
from sflab.workshop.stage import Stage, again, bucket, queue, table, void

# ── failure ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def made(*tables: str) -> Callable[[], Stage]:
    """Return what makes a stage with these tables, empty."""

    def prepare(local: Local) -> None:
        for name in tables:
            table(local, name)

    return lambda: Stage(prepare=prepare)


def three_callers() -> Stage:
    """F4: three executions, one after the other, ask a partner that is down."""

    def act(local: Local, machine: StateMachine, input: JSON) -> LocalExecution:
        return [local.start_execution(machine, input) for _ in range(3)][-1]

    return Stage(prepare=lambda local: void(table(local, "circuits")), act=act)


#: F5: the last step, once the backup has let go of the table.
_LOADED = {"Load": mock({"rows": 8990}, latency=120)}


def redriven() -> Stage:
    """F5: the failed execution goes on when the table is free."""

    def act(local: Local, machine: StateMachine, input: JSON) -> LocalExecution:
        run = local.start_execution(machine, input)
        run.redrive(functions=_LOADED)
        return run

    return Stage(act=act)


def started_over() -> Stage:
    """F5: a second execution when the table is free."""

    def act(local: Local, machine: StateMachine, input: JSON) -> LocalExecution:
        local.start_execution(machine, input)
        local.functions |= _LOADED
        return local.start_execution(machine, input)

    return Stage(act=act)


def _phases() -> dict[str, Any]:
    """F6: the work of a phase, which fails once in the last one."""
    tried: Counter[str] = Counter()

    def work(event: Any) -> JSON:
        tried[event["phase"]] += 1
        if event["phase"] == "deliver" and tried["deliver"] == 1:
            raise StatesError("DoorClosed", "nobody was in")
        return event

    return {"Begin": mock(lambda event: event, latency=20), "Work": mock(work, latency=40)}


def one_phase_again() -> Stage:
    """F6: the parent is redriven, and repeats the phase that failed."""

    def act(local: Local, machine: StateMachine, input: JSON) -> LocalExecution:
        run = local.start_execution(machine, input)
        run.redrive()
        return run

    return Stage(functions=_phases(), act=act)


def all_phases_again() -> Stage:
    """F6: an Express execution cannot be redriven, and is started again."""
    return Stage(functions=_phases(), act=again)


def dead_letters() -> Stage:
    """F7: the queue that keeps what failed."""
    return Stage(prepare=lambda local: void(queue(local, "dead")))


def silent_worker() -> Stage:
    """F8: the encoder is heard of after 50 and 100 seconds, and never again."""

    def prepare(local: Local) -> None:
        def start_encoder(event: Any) -> JSON:
            for seconds in (50, 100):
                local.send_task_heartbeat(event["token"], after=seconds)
            return {"started": True}

        local.functions.setdefault("StartEncoder", start_encoder)

    return Stage(prepare=prepare)


def asked_twice() -> Stage:
    """F9: the client starts the workflow twice for one request."""

    def prepare(local: Local) -> None:
        table(local, "locks")
        table(local, "accounts")

    return Stage(prepare=prepare, act=again)


# ── scale ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def pictures() -> Stage:
    """S2: thirty pictures in a bucket."""
    return Stage(prepare=lambda local: void(bucket(local, "lab", {f"in/{i:03d}.jpg": "…" for i in range(30)})))


def price_list() -> Stage:
    """S3: a CSV file of 200 prices, and a function that splits it as people write such functions."""
    rows = [{"sku": f"sku-{i}", "price": str(i % 40 + 1)} for i in range(200)]
    text = "\n".join(["sku,price", *(f"{row['sku']},{row['price']}" for row in rows)])

    def split_file(_: Any) -> JSON:
        return {"batches": [rows[i : i + 20] for i in range(0, len(rows), 20)]}

    return Stage(
        functions={"SplitFile": split_file}, prepare=lambda local: void(bucket(local, "lab", {"prices.csv": text}))
    )


def inventoried() -> Stage:
    """S4: twenty objects, and the inventory that S3 wrote of them."""
    keys = [f"in/{i:03d}.txt" for i in range(20)]
    manifest = {
        "sourceBucket": "lab",
        "destinationBucket": "arn:aws:s3:::lab",
        "version": "2016-11-30",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "inventory/data/1.csv", "size": 1}],
    }
    objects = dict.fromkeys(keys, "…") | {
        "inventory/manifest.json": json.dumps(manifest),
        "inventory/data/1.csv": "\n".join(f'"lab","{key}","3"' for key in keys),
    }
    return Stage(prepare=lambda local: void(bucket(local, "lab", objects)))


def addresses() -> Stage:
    """S6: of sixty addresses every twentieth cannot be found."""

    def find(event: Any) -> JSON:
        if event["address"] % 20 == 0:
            raise StatesError("NoSuchAddress", f"address {event['address']} is not on the map")
        return {"lat": 59.9, "lon": 10.7}

    return Stage(functions={"Find": find}, prepare=lambda local: void(bucket(local, "lab", {})))


def slow_bank() -> Stage:
    """S7: the bank takes five calls that come in the same second, and refuses the others of it.

    A retry comes later than what it repeats: calls that were entered in one second and are retried as often count as
    coming together again.
    """
    taken: Counter[tuple[str, int]] = Counter()

    def pay(event: Any) -> JSON:
        second = (event["at"][:19], event["attempt"])
        taken[second] += 1
        if taken[second] > 5:
            raise StatesError("Throttled", "five a second, please")
        return {"paid": event["item"]}

    return Stage(functions={"Pay": mock(pay, latency=1)})


def ten_pages() -> Stage:
    """S8: a source of ten pages."""

    def read_page(event: Any) -> JSON:
        following = event["cursor"] + 1
        return {"cursor": following if following < 10 else None}

    return Stage(functions={"ReadPage": read_page})


def suppliers() -> Stage:
    """S9: twelve suppliers, each with a price of its own."""

    def ask_price(event: Any) -> JSON:
        return {"supplier": event["supplier"], "price": 90 + (event["supplier"] * 7) % 12}

    return Stage(functions={"SignIn": lambda event: event, "AskPrice": ask_price, "Convert": lambda event: event})


#: (pattern, side) -> what makes its stage; ``both`` where the designs need the same.
STAGES: dict[tuple[str, str], Callable[[], Stage]] = {
    ("F3", "both"): made("bookings"),
    ("F4", "both"): three_callers,
    ("F5", "with"): redriven,
    ("F5", "without"): started_over,
    ("F6", "with"): one_phase_again,
    ("F6", "without"): all_phases_again,
    ("F7", "with"): dead_letters,
    ("F8", "both"): silent_worker,
    ("F9", "both"): asked_twice,
    ("F10", "with"): made("semaphores"),
    ("S2", "both"): pictures,
    ("S3", "both"): price_list,
    ("S4", "both"): inventoried,
    ("S6", "both"): addresses,
    ("S7", "both"): slow_bank,
    ("S8", "both"): ten_pages,
    ("S9", "both"): suppliers,
}

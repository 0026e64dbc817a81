"""A frame: one thread of control in an execution, as plain data."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sflab.asl.model import JSON
from sflab.asl.program import Program, State
from sflab.engine.history import Log

if TYPE_CHECKING:
    from sflab.engine.machine import Machine
    from sflab.engine.maprun import MapRun

_NOBODY: dict[str, JSON] = {}


class Run:
    """One execution's own: its names, its log, and how it stands. A child of a Distributed Map has one of its own."""

    __slots__ = (
        "arn", "cap", "cause", "error", "input", "log", "machine_arn", "redriven_at", "redrives", "result", "role_arn",
        "started_at", "status", "sync", "type",
    )  # fmt: skip

    def __init__(self, arn: str, machine_arn: str, role_arn: str, *, type: str, cap: int) -> None:
        self.arn, self.machine_arn, self.role_arn, self.type, self.cap = arn, machine_arn, role_arn, type, cap
        self.log = Log()
        self.input: JSON = None
        self.started_at = self.redriven_at = 0.0
        self.redrives = 0
        self.status = "READY"
        self.result: JSON = None  # what it gave, once it has succeeded
        self.error: str | None = None
        self.cause: str | None = None
        self.sync = False  # whether StartSyncExecution started it

    @property
    def name(self) -> str:
        """The execution's name, as its ARN has it."""
        return self.arn.split(":")[7] if self.arn.count(":") >= 7 else self.arn

    @property
    def output(self) -> str | None:
        """The output as JSON text, once it has succeeded; made when somebody asks."""
        return self.log.text(self.result) if self.status == "SUCCEEDED" else None

    def begin(self, value: JSON, text: str | None, at: float) -> None:
        """Write the first event; *text* is the input as it was given, where somebody gave it as text."""
        self.status, self.input, self.started_at = "RUNNING", value, at
        if text is not None:
            self.log.root, self.log.root_text = value, text
        self.log.write("ExecutionStarted", 0, at, value, self.role_arn)

    def context(self) -> dict[str, JSON]:
        """Return the execution's part of the context object; its RedriveTime is there once it was redriven."""
        execution: dict[str, JSON] = {
            "Id": self.arn,
            "Input": self.input,
            "StartTime": iso(self.started_at),
            "Name": self.name,
            "RoleArn": self.role_arn,
        }
        if not self.sync:  # recorded: an Express execution has it too, unless it is synchronous
            execution["RedriveCount"] = self.redrives
        if self.redrives:
            execution["RedriveTime"] = iso(self.redriven_at)
        return {
            "Execution": execution,
            "StateMachine": {"Id": self.machine_arn, "Name": self.machine_arn.rpartition(":")[2]},
        }


class Frame:
    """One thread of control. ``last`` is the id of its latest event, ``size`` an upper bound of its value's bytes.

    ``size`` is None where nobody knows; the value is then measured where that matters.
    """

    __slots__ = (
        "attempt", "children", "deadline", "entered_at", "entered_id", "index", "input", "item", "last", "left",
        "limit", "log", "machine", "map_run", "parent", "program", "results", "retries", "run", "size", "started",
        "state", "status", "task_token", "variables", "waiting",
    )  # fmt: skip

    def __init__(
        self, machine: Machine, program: Program, run: Run, parent: Frame | None = None, index: int = 0
    ) -> None:
        self.machine = machine  # each by itself: the busiest lines of a Map make no tuples
        self.program = program
        self.run = run
        self.parent = parent
        self.index = index
        self.log = run.log
        self.status = "RUNNING"
        self.state: State = program.states[program.start]
        self.input: JSON = None
        self.item: JSON = None
        self.last = self.entered_id = 0
        self.entered_at = 0.0
        self.size: int | None = None
        self.attempt = 0
        self.retries: list[int] | None = None
        self.variables: Mapping[str, JSON] = parent.variables if parent and parent.run is run else _NOBODY
        self.map_run: MapRun | None = None
        self.waiting: tuple[int, ...] = ()
        self.task_token: str | None = None
        self.children: dict[int, Frame] = {}
        self.results: list[JSON] = []
        self.started = self.left = self.limit = self.deadline = 0

    def __repr__(self) -> str:
        return f"<Frame {'/'.join(f'{s}[{i}]' for s, i in self.path) or 'root'} {self.status} at {self.state.name!r}>"

    @property
    def path(self) -> tuple[tuple[str, int], ...]:
        """The Map iterations and Parallel branches around it, outermost first."""
        out: list[tuple[str, int]] = []
        frame = self
        while frame.parent is not None:
            out.append((frame.parent.state.name, frame.index))
            frame = frame.parent
        return tuple(reversed(out))

    # -- the Scope that expressions see

    @property
    def chance(self) -> random.Random:
        """The execution's seeded generator."""
        return self.machine.chance

    @property
    def now(self) -> float:
        """The execution's clock, in epoch seconds."""
        return self.machine.now

    def context(self) -> dict[str, JSON]:
        """Return the context object, ``$$`` (key order as recorded, conformance §6.2)."""
        context = self.run.context()
        state: dict[str, JSON] = {"Name": self.state.name, "EnteredTime": iso(self.entered_at)}
        if self.state.kind == "Task":
            state["RetryCount"] = max(self.attempt - 1, 0)
        context["State"] = state
        if self.task_token is not None:
            context["Task"] = {"Token": self.task_token}
        frame: Frame | None = self
        while frame is not None and frame.parent is not None and frame.parent.run is self.run:
            if frame.parent.state.kind == "Map":
                context["Map"] = {"Item": {"Index": frame.index, "Value": frame.item}}
                break
            frame = frame.parent
        return context


def iso(at: float) -> str:
    """Return *at* (epoch seconds) as the context object writes time: ``2030-01-01T00:00:00.000Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

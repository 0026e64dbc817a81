"""A frame: one thread of control in an execution, as plain data."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sflab.asl.model import JSON
from sflab.asl.program import Program, State

if TYPE_CHECKING:
    from sflab.engine.machine import Machine

_NOBODY: dict[str, JSON] = {}


class Frame:
    """One thread of control. ``last`` is the id of its latest event, ``size`` an upper bound of its value's bytes."""

    __slots__ = (
        "attempt", "children", "entered_at", "entered_id", "index", "input", "item", "last", "left", "limit", "machine",
        "parent", "program", "results", "retries", "size", "started", "state", "status", "task_token", "variables",
        "waiting",
    )  # fmt: skip

    def __init__(self, machine: Machine, program: Program, parent: Frame | None = None, index: int = 0) -> None:
        self.machine, self.program, self.parent, self.index = machine, program, parent, index
        self.status = "RUNNING"
        self.state: State = program.states[program.start]
        self.input: JSON = None
        self.item: JSON = None
        self.last = self.entered_id = 0
        self.entered_at = 0.0
        self.size: int | None = 0
        self.attempt = 0
        self.retries: list[int] | None = None
        self.variables: Mapping[str, JSON] = parent.variables if parent else _NOBODY
        self.waiting: tuple[int, ...] = ()
        self.task_token: str | None = None
        self.children: dict[int, Frame] = {}
        self.results: list[JSON] = []
        self.started = self.left = self.limit = 0

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
        context = self.machine.context()
        state: dict[str, JSON] = {"Name": self.state.name, "EnteredTime": iso(self.entered_at)}
        if self.state.kind == "Task":
            state["RetryCount"] = max(self.attempt - 1, 0)
        context["State"] = state
        if self.task_token is not None:
            context["Task"] = {"Token": self.task_token}
        frame: Frame | None = self
        while frame is not None and frame.parent is not None:
            if frame.parent.state.kind == "Map":
                context["Map"] = {"Item": {"Index": frame.index, "Value": frame.item}}
                break
            frame = frame.parent
        return context


def iso(at: float) -> str:
    """Return *at* (epoch seconds) as the context object writes time: ``2030-01-01T00:00:00.000Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

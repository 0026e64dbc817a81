"""What goes between the machine and the world: commands out, replies in. All of it plain data.

A command carries a ``token``; the replies to it carry the same one. The machine gives out commands in the order
they were decided, and takes replies in any order: a reply to a command that no longer matters is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sflab.asl.model import JSON


@dataclass(frozen=True, slots=True)
class ScheduleTask:
    """Do the work of a Task state, or of a Distributed Map's ItemReader or ResultWriter.

    ``kind`` is ``lambda`` (the function's ARN is ``resource``), ``task`` (a service integration: ``resource_type`` and
    ``action`` as the history shows them), ``activity``, ``reader`` or ``writer``; ``pattern`` is ``""``, ``sync`` or
    ``waitForTaskToken``; ``attempt`` counts from 1 in one visit; ``timeout`` and ``heartbeat`` are seconds or None.
    ``path`` names the Map iterations and Parallel branches around the state, as (state, index). ``config`` is the
    ReaderConfig or WriterConfig, its paths resolved; a writer's parameters hold the state's ``Result`` and, beside it,
    the ``Files`` to write (`sflab.engine.results.ResultFiles`).
    """

    token: int
    state: str
    pointer: str
    attempt: int
    kind: str
    resource: str
    resource_type: str
    action: str
    pattern: str
    parameters: JSON
    timeout: float | None = None
    heartbeat: float | None = None
    task_token: str | None = None
    credentials: JSON = None
    path: tuple[tuple[str, int], ...] = ()
    config: JSON = None


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Reply `TimerFired` after ``seconds``."""

    token: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelTask:
    """The outcome of ``token`` is not wanted any more: its state failed, timed out or was aborted."""

    token: int


Command = ScheduleTask | StartTimer | CancelTask


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A worker took the activity task."""

    token: int
    worker_name: str | None = None


@dataclass(frozen=True, slots=True)
class TaskSubmitted:
    """The service took the request of a ``.sync`` or ``.waitForTaskToken`` task, and said ``output``."""

    token: int
    output: JSON


@dataclass(frozen=True, slots=True)
class TaskSucceeded:
    """The work is done; ``output`` is its result."""

    token: int
    output: JSON


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """The work failed; either text may be missing."""

    token: int
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker is alive."""

    token: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The seconds of a `StartTimer` are over."""

    token: int


Reply = TaskStarted | TaskSubmitted | TaskSucceeded | TaskFailed | Heartbeat | TimerFired

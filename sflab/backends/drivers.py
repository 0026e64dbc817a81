"""What connects a machine to time: one driver, and the worker it asks to do the tasks.

A *worker* is ``worker(command) -> iterable of (delay in seconds, reply)``: what will be answered to a
ScheduleTask, and when, counted from its scheduling. At rate infinity (the default) time is virtual: a heap of
moments is emptied in order and nothing sleeps, so that a workflow that waits three days takes milliseconds and its
history still says three days. At a finite rate the driver sleeps: rate 1 is real time, rate 60 plays a minute a second.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sflab.engine.messages import Reply, ScheduleTask, StartTimer, TimerFired

if TYPE_CHECKING:
    from sflab.engine.machine import Machine
    from sflab.engine.messages import Command

Worker = Callable[[ScheduleTask], Iterable[tuple[float, Reply]]]

#: Where virtual time begins unless told otherwise: fixed, so that a notebook's outputs are the same every time.
EPOCH = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


class Drive:
    """Drives one machine from its start to its end, or to a moment in between.

    `run` returns when the execution has ended, when *until* (epoch seconds of the execution's time) is reached, or when
    nothing is left that could happen. `stop` may be called from any thread.
    """

    def __init__(
        self,
        machine: Machine,
        worker: Worker,
        *,
        start: float = EPOCH,
        rate: float = math.inf,
        on_progress: Callable[[], None] | None = None,
    ) -> None:
        if not rate > 0:
            msg = f"rate must be above 0, not {rate}: seconds of the execution per second of yours"
            raise ValueError(msg)
        self.machine, self.worker, self.start, self.rate, self.on_progress = machine, worker, start, rate, on_progress
        self.heap: list[tuple[float, int, Reply]] = []
        self.sequence = 0
        self.begun = 0.0
        self.wake = threading.Event()
        self.stopping: tuple[str | None, str | None] | None = None

    def run(self, text: str, *, until: float = math.inf) -> None:
        """Start the execution with the input *text* and see it through."""
        self.begun = time.monotonic()
        self._schedule(self.machine.start(text, self.start), self.start)
        self.proceed(until=until)

    def proceed(self, *, until: float = math.inf) -> None:
        """Go on with what is due."""
        machine, heap = self.machine, self.heap
        while machine.running and heap:
            while heap and heap[0][2].token not in machine.waits:
                heapq.heappop(heap)
            if not heap:
                break
            at = min(heap[0][0], machine.ends)
            if at > until or not self._reached(at):
                break
            if at < heap[0][0]:
                machine.expire()
                break
            due: list[Reply] = []
            while heap and heap[0][0] == at:
                due.append(heapq.heappop(heap)[2])
            self._schedule(machine.reply(*due, at=at), at)
            if self.on_progress:
                self.on_progress()
        if self.stopping and machine.running:
            machine.stop(*self.stopping, at=self._clock())
            if self.on_progress:
                self.on_progress()

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution: at once where it sleeps, else before its next moment."""
        self.stopping = (error, cause)
        self.wake.set()

    def _clock(self) -> float:
        if self.rate == math.inf:
            return self.machine.now
        return max(self.machine.now, self.start + (time.monotonic() - self.begun) * self.rate)

    def _reached(self, at: float) -> bool:
        """Sleep until the execution's moment *at*; False when told to stop."""
        if self.rate != math.inf:
            due = self.begun + (at - self.start) / self.rate
            while not self.wake.is_set() and (left := due - time.monotonic()) > 0:
                self.wake.wait(min(left, threading.TIMEOUT_MAX))
        return not self.wake.is_set()

    def _schedule(self, commands: list[Command], now: float) -> None:
        for command in commands:
            match command:
                case StartTimer():
                    self._push(now + command.seconds, TimerFired(command.token))
                case ScheduleTask():
                    for delay, reply in self.worker(command):
                        self._push(now + delay, reply)

    def _push(self, at: float, reply: Reply) -> None:
        self.sequence += 1
        heapq.heappush(self.heap, (at, self.sequence, reply))


def drive(machine: Machine, text: str, worker: Worker, *, start: float = EPOCH, rate: float = math.inf) -> None:
    """Run *machine* with the input *text* to its end."""
    Drive(machine, worker, start=start, rate=rate).run(text)

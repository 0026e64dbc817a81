"""What connects machines to time: a clock, and a driver for each machine on it.

A *worker* is asked to do the tasks: ``worker(command) -> iterable of (delay in seconds, reply)``: what will be
answered to a ScheduleTask, and when, counted from its scheduling. It gives nothing where somebody else will answer
(`Drive.tell`), and a callable that makes the replies where that may take time of yours.

At rate infinity (the default) time is virtual: the clock's heap of moments is emptied in order and nothing sleeps, so
that a workflow that waits three days takes milliseconds and its history still says three days. At a finite rate the
clock has a thread that sleeps from moment to moment for all its machines: rate 1 is real time, rate 60 plays a minute a
second. What may take time of yours then runs on a thread of its own, and its replies count from its end.

A clock and its machines belong to one thread at a time, the one that turns it: its own at a finite rate, in virtual
time whoever gave it something to do. Others post what they want done: no lock is held while code of the user runs.
"""

from __future__ import annotations

import functools
import heapq
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sflab.engine.messages import (
    CancelTask,
    Reply,
    ScheduleTask,
    StartTimer,
    TaskStarted,
    TaskSubmitted,
    TimerFired,
)

if TYPE_CHECKING:
    from sflab.engine.machine import Machine
    from sflab.engine.messages import Command
    from sflab.engine.replay import Due

Replies = Iterable[tuple[float, Reply]]
Worker = Callable[[ScheduleTask], "Replies | Callable[[], Replies]"]

#: Where virtual time begins unless told otherwise: fixed, so that a notebook's outputs are the same every time.
EPOCH = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


class Clock:
    """The moments to come of the machines on it. *rate* is how many of their seconds pass in one of yours."""

    def __init__(self, rate: float = math.inf) -> None:
        if not rate > 0:
            msg = f"rate must be above 0, not {rate}: seconds of the execution per second of yours"
            raise ValueError(msg)
        self.rate, self.virtual = rate, rate == math.inf
        self.heap: list[tuple[float, int, Drive, float, Reply]] = []  # (moment, number, whose, its own time, what)
        self.moment = 0.0
        self.sequence = 0
        self.begun = time.monotonic()
        self.open: set[Drive] = set()  # executions its thread has to see to their end
        self.inbox: deque[Callable[[], None]] = deque()
        self.gate = threading.Condition()  # guards the inbox and who turns
        self.turner: int | None = None
        self.watch: Callable[[], None] | None = None  # called after every moment and task of a virtual clock

    def now(self) -> float:
        """The moment: a virtual clock shows its machines' own time, another the seconds of it since it was made."""
        return self.moment if self.virtual else (time.monotonic() - self.begun) * self.rate

    def push(self, drive: Drive, at: float, reply: Reply) -> None:
        """Let *drive*'s machine be told *reply* at its own time *at*."""
        self.sequence += 1
        heapq.heappush(self.heap, (at - drive.zero, self.sequence, drive, at, reply))

    def post(self, action: Callable[[], None]) -> None:
        """Have *action* done by the thread that turns the clock; in virtual time, where none does, here and now."""
        with self.gate:
            self.inbox.append(action)
            self.gate.notify()
            if self.turner is not None:
                return
            if not self.virtual:
                thread = threading.Thread(target=self._see_through, name="sflab-clock", daemon=True)
                self.turner = -1  # until the thread says who it is
                thread.start()
                return
        self.proceed()

    def proceed(self, until: float = math.inf) -> None:
        """Turn the clock on this thread up to the moment *until*, or until nothing is left that could happen."""
        with self.gate:
            if self.turner is not None:
                return  # somebody else is at it, or this very thread
            self.turner = threading.get_ident()
        try:
            while self.turner is not None:
                while self._due(until):
                    self._turn()
                    if self.watch is not None:
                        self.watch()
                with self.gate:
                    if not self.inbox:
                        self.turner = None
        finally:
            self.turner = None

    def _see_through(self) -> None:
        """The clock's thread: it ends when no execution is open."""
        self.turner = threading.get_ident()
        try:
            while True:
                while self._due(math.inf):
                    self._turn()
                with self.gate:
                    if self.inbox:
                        continue
                    if not self.open:
                        self.turner = None
                        return
                    self.gate.wait()
        except BaseException:
            self.turner = None  # what is posted next starts another thread
            raise

    def _due(self, until: float) -> bool:
        """Wait for the next moment; False when there is none, or none up to *until*."""
        heap, inbox = self.heap, self.inbox
        while True:
            while inbox:
                inbox.popleft()()
            while heap and heap[0][4].token not in heap[0][2].machine.waits:
                heapq.heappop(heap)
            if not heap or heap[0][0] > until:
                return False
            if self.virtual or (left := heap[0][0] - self.now()) <= 0:
                return True
            with self.gate:
                if not inbox:
                    self.gate.wait(min(left / self.rate, threading.TIMEOUT_MAX))

    def _turn(self) -> None:
        """Tell one machine everything that happens to it at the next moment."""
        heap = self.heap
        self.moment, _, drive, at, reply = heapq.heappop(heap)
        replies = [reply]
        while heap and heap[0][2] is drive and heap[0][3] == at:
            replies.append(heapq.heappop(heap)[4])
        drive.take(replies, at)


class Drive:
    """Drives one machine from its start to its end, on a clock of its own or one it shares.

    *worker* does its tasks; *cancel* is told the token of a task that is not wanted any more; *on_progress* is called
    after every moment, *on_end* once when the execution has ended. `stop` and `tell` may be called from any thread.
    """

    def __init__(
        self,
        machine: Machine,
        worker: Worker,
        *,
        start: float = EPOCH,
        rate: float = math.inf,
        clock: Clock | None = None,
        cancel: Callable[[int], None] | None = None,
        on_progress: Callable[[], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.machine, self.worker, self.start, self.cancel = machine, worker, start, cancel
        self.on_progress, self.on_end = on_progress, on_end
        self.clock = clock or Clock(rate)
        self.zero = 0.0  # its time when the clock showed 0
        self.trouble: BaseException | None = None
        self.begun, self.ended = threading.Event(), threading.Event()
        self.working = 0  # threads that do a task of it

    def run(self, text: str, *, until: float = math.inf) -> None:
        """Start it with the input *text*; turn the clock on this thread up to *until* (epoch seconds of its time)."""
        self.clock.inbox.append(functools.partial(self.begin, text))
        self.proceed(until=until)

    def begin(self, text: str) -> None:
        """Start the execution with the input *text*; for the thread that turns the clock."""
        self._open()
        try:
            self._schedule(self.machine.start(text, self.start))
        except BaseException as e:  # noqa: BLE001
            self._broken(e)
        finally:
            self.begun.set()

    def _open(self) -> None:
        clock = self.clock
        clock.open.add(self)
        if clock.virtual:
            clock.moment = max(clock.moment, self.start)
        else:
            self.zero = self.start - clock.now()

    def proceed(self, *, until: float = math.inf) -> None:
        """Go on with what is due, on this thread."""
        self.clock.proceed(until - self.zero)

    def resume(self, pending: Iterable[tuple[float, Reply]]) -> None:
        """Go on with a machine that has begun: *pending* is what another drive said was to come."""
        self.clock.moment = max(self.clock.moment, self.machine.now)
        for at, reply in pending:
            self.clock.push(self, at, reply)
        self.proceed()

    def pending(self) -> list[tuple[float, Reply]]:
        """What its machine will be told, with its own time of it: with the machine, all that is needed to go on."""
        waits, entries = self.machine.waits, sorted(self.clock.heap, key=lambda entry: entry[:2])
        return [(at, reply) for _, _, whose, at, reply in entries if whose is self and reply.token in waits]

    @property
    def idle(self) -> bool:
        """Whether it has not ended and nothing will happen to it unless somebody tells it something."""
        return self.machine.running and not (self.working or self.clock.inbox or self.pending())

    def take(self, replies: list[Reply], at: float) -> None:
        """Tell the machine what happens at its time *at*."""
        machine = self.machine
        try:
            self._schedule(machine.expire() if at > machine.ends else machine.reply(*replies, at=at))
        except BaseException as e:  # noqa: BLE001
            self._broken(e)
        if self.on_progress:
            self.on_progress()

    def tell(self, reply: Reply, *, after: float = 0.0) -> None:
        """Give a reply from outside, *after* so many seconds of its time."""
        self.clock.post(lambda: self.clock.push(self, self.time() + after, reply))

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution: at once, or before its next moment where somebody is at it."""
        self.clock.post(functools.partial(self._abort, error, cause))

    def _abort(self, error: str | None, cause: str | None) -> None:
        if self.machine.running:
            self._schedule(self.machine.stop(error, cause, at=self.time()))
            if self.on_progress:
                self.on_progress()

    def time(self) -> float:
        """The machine's time, in epoch seconds."""
        return max(self.machine.now, self.clock.now() + self.zero)

    def _schedule(self, commands: list[Command]) -> None:
        clock, now = self.clock, self.machine.now
        for command in commands:
            match command:
                case StartTimer():
                    clock.push(self, now + command.seconds, TimerFired(command.token))
                case ScheduleTask():
                    self._ask(command, now)
                case CancelTask() if self.cancel:
                    self.cancel(command.token)
        if not self.machine.running:
            self._ended()

    def _ask(self, command: ScheduleTask, now: float, written: tuple[type, ...] = ()) -> None:
        """Have a task done; replies of the types *written* are in the history already."""
        replies = self.worker(command)
        if callable(replies):
            work: Callable[[], Replies] = replies
            if not self.clock.virtual:
                self.working += 1
                name = f"sflab-{command.state}"
                threading.Thread(target=self._work, args=(work, now, written), name=name, daemon=True).start()
                return
            replies = work()
            if self.clock.watch is not None:  # many tasks may be asked for at one moment
                self.clock.watch()
        for delay, reply in replies:
            if not isinstance(reply, written):
                self.clock.push(self, now + delay, reply)

    def _work(self, work: Callable[[], Replies], scheduled: float, written: tuple[type, ...]) -> None:
        """Do what takes time of yours; a reply comes when it is done, and not before its delay is over."""

        def done() -> None:
            self.working -= 1
            for delay, reply in replies:
                self.clock.push(self, max(self.time(), scheduled + delay), reply)

        try:
            replies = [(delay, reply) for delay, reply in work() if not isinstance(reply, written)]
        except BaseException as e:  # noqa: BLE001 - told to whoever asks how the execution stands
            self.clock.post(functools.partial(self._broken, e))
        else:
            self.clock.post(done)

    def _broken(self, e: BaseException) -> None:
        """Nobody can go on with it: in virtual time the caller is told, else whoever asks how it stands."""
        self.trouble = e
        self.machine.waits.clear()
        self._ended()
        if self.clock.virtual:
            raise e

    def _ended(self) -> None:
        self.clock.open.discard(self)
        if not self.ended.is_set():
            self.ended.set()
            if self.on_end:
                self.on_end()


class Resumed(Drive):
    """Drives a machine that goes on from a history: *first* gives its first commands, *due* is what was under way."""

    def __init__(
        self, machine: Machine, worker: Worker, *, due: Sequence[Due], first: Callable[[], list[Command]], clock: Clock
    ) -> None:
        super().__init__(machine, worker, start=machine.now, clock=clock)
        self.due, self.first = due, first

    def begin(self, text: str) -> None:  # noqa: ARG002 - it has its input
        """Go on; for the thread that turns the clock."""
        self._open()
        now = self.machine.now
        try:
            for one in self.due:
                if isinstance(one.command, StartTimer):
                    self.clock.push(self, max(one.at + one.command.seconds, now), TimerFired(one.command.token))
            self._schedule(self.first())
            for one in self.due:
                if isinstance(one.command, ScheduleTask) and one.command.token in self.machine.waits:
                    self._ask(one.command, now, _WRITTEN[one.seen])
        except BaseException as e:  # noqa: BLE001
            self._broken(e)
        finally:
            self.begun.set()


#: What the history has of a task that was under way -> the replies that have been written.
_WRITTEN: dict[str, tuple[type, ...]] = {
    "": (),
    "Started": (TaskStarted,),
    "Submitted": (TaskStarted, TaskSubmitted),
}


def drive(machine: Machine, text: str, worker: Worker, *, start: float = EPOCH, rate: float = math.inf) -> None:
    """Run *machine* with the input *text* to its end."""
    Drive(machine, worker, start=start, rate=rate).run(text)

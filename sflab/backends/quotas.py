"""Executions that get into each other's way: one timeline for all, and on it the quotas they share.

What is exact: calls of Lambda are let in or refused in the order they are made, with the account's concurrency, what is
reserved for a function, how fast it may scale, and which environments are warm; workers take tasks in the order they
were queued. What is approximated: a Lambda environment that is free is taken last in, first out (AWS does not say), and
kept for as long as is said; a task that waits for a worker and times out still takes the worker's time. StateTransition
is a bucket that is asked before each moment of an execution, and pays for all states entered in that moment: a moment
that enters several may go into debt, which the next ones wait for; over time the rate is the quota's.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sflab.backends.conditions import ThrottledError
from sflab.backends.drivers import Clock, Drive
from sflab.costs.traffic import Bucket, Limits, Meter

if TYPE_CHECKING:
    from sflab.engine.messages import Reply


class SharedClock(Clock):
    """A virtual clock whose machines' transitions come out of one bucket; None is no limit."""

    def __init__(self, bucket: Bucket | None) -> None:
        super().__init__()
        self.meter = Meter(bucket) if bucket else None
        self.held: deque[tuple[Drive, list[Reply]]] = deque()  # moments that wait for a token, first come first served
        self.serving = False

    @property
    def busy(self) -> bool:
        """Whether anything is left that will happen."""
        return bool(self.heap or self.held)

    def horizon(self, moments: int) -> float:
        """Return a moment that some *moments* of those to come lie before."""
        return max(self.moment, heapq.nsmallest(moments, self.heap)[-1][0]) if self.heap else math.inf

    def begin(self, drive: Drive, text: str, at: float) -> None:
        """Start an execution at *at*, with the input *text*."""
        self.moment = max(self.moment, at)
        drive.begin(text)
        self.charge(drive, 0, at)
        self.proceed(until=at)

    def _due(self, until: float) -> bool:
        due = super()._due(until)
        self.serving = False
        if self.held and self.meter is not None:
            ready = self.meter.ready(self.moment)
            if ready <= until and (not due or ready <= self.heap[0][0]):
                self.serving = due = True
        return due

    def _turn(self) -> None:
        if self.meter is None:
            super()._turn()
            return
        if self.serving:
            self.moment = self.meter.ready(self.moment)
            drive, replies = self.held.popleft()
            self._tell(drive, replies, self.moment)
            return
        heap = self.heap
        self.moment, _, drive, at, reply = heapq.heappop(heap)
        replies = [reply]
        while heap and heap[0][2] is drive and heap[0][3] == at:
            replies.append(heapq.heappop(heap)[4])
        if self.held or self.meter.ready(at) > at:
            self.held.append((drive, replies))
        else:
            self._tell(drive, replies, at)

    def _tell(self, drive: Drive, replies: list[Reply], at: float) -> None:
        before = len(drive.machine.log)
        drive.take(replies, at)
        self.charge(drive, before, at)

    def charge(self, drive: Drive, before: int, at: float) -> None:
        """Take a token for each state that *drive* entered since its log was *before* events long."""
        if self.meter is not None:
            entries = drive.machine.log.entries
            entered = sum(entries[i][0].endswith("StateEntered") for i in range(before, len(entries)))
            if entered:
                self.meter.take(entered, at)


@dataclass(slots=True)
class _Environments:
    """Those of one function: how many are busy, and since when each other one has been idle, oldest first."""

    busy: int = 0
    idle: deque[float] = field(default_factory=deque)
    scaling: Meter | None = None


class SharedQuotas:
    """The concurrency of Lambda and the workers of queues, as one timeline's executions use them up."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.functions: dict[str, _Environments] = {}
        self.calls: list[tuple[float, int, str]] = []  # a heap of those that go on: (end, number, function)
        self.number = self.free_for_all = self.refused = 0
        self.workers: dict[str, list[float]] = {}  # a heap for each queue: when its workers are free
        self.account = math.inf
        if limits.lambda_concurrency is not None:
            self.account = limits.lambda_concurrency - sum(limits.functions.values())

    def admit(self, function: str, now: float) -> bool | None:
        """Let a call of *function* in; return whether it starts cold, None where environments are not kept.

        Raises ThrottledError when it is refused.
        """
        self._settle(now)
        limits, mine = self.limits, self._of(function)
        reserved = limits.functions.get(function)
        if mine.busy >= reserved if reserved is not None else self.free_for_all >= self.account:
            self._refuse()
        idle, keep = mine.idle, limits.keep_alive
        while keep is not None and idle and now - idle[0] > keep:
            idle.popleft()
        cold = not idle
        if idle:
            idle.pop()
        elif mine.scaling is not None:
            if mine.scaling.ready(now) > now:
                self._refuse()
            mine.scaling.take(1, now)
        mine.busy += 1
        self.free_for_all += reserved is None
        return cold if keep is not None else None

    def hold(self, function: str, until: float) -> None:
        """Say when a call that was let in is over."""
        self.number += 1
        heapq.heappush(self.calls, (until, self.number, function))

    def queue(self, names: tuple[str | None, ...], now: float, seconds: float) -> float:
        """Queue for a worker for *seconds* of its time; return how long the wait for one is."""
        for name in names if self.limits.workers else ():
            most = self.limits.workers.get(name) if name is not None else None
            if most is not None and name is not None:
                free = self.workers.setdefault(name, [])
                begin = now if len(free) < most else max(now, heapq.heappop(free))
                heapq.heappush(free, begin + seconds)
                return begin - now
        return 0.0

    def _of(self, function: str) -> _Environments:
        if function not in self.functions:
            scaling = Meter(self.limits.scaling) if self.limits.scaling else None
            self.functions[function] = _Environments(scaling=scaling)
        return self.functions[function]

    def _settle(self, now: float) -> None:
        while self.calls and self.calls[0][0] <= now:
            end, _, function = heapq.heappop(self.calls)
            mine = self.functions[function]
            mine.busy -= 1
            mine.idle.append(end)
            self.free_for_all -= function not in self.limits.functions

    def _refuse(self) -> None:
        self.refused += 1
        raise ThrottledError

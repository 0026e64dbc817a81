"""The conditions a task is done under: how long it takes, what goes wrong, and what others leave of what is shared.

What is bound to a task says what it answers (`sflab.backends.functions`); this says when, and whether it gets that far.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sflab.engine.messages import TaskFailed, TaskSucceeded

if TYPE_CHECKING:
    from sflab.backends.drivers import Replies
    from sflab.costs.faults import Fault, Faults
    from sflab.costs.latency import Measured, Model
    from sflab.engine.messages import ScheduleTask

REFUSED = "Lambda.TooManyRequestsException"
_ENDS = (TaskSucceeded, TaskFailed)


class Shared(Protocol):
    """What executions share: the concurrency of Lambda, and queues of workers (`sflab.backends.quotas`)."""

    refused: int

    def admit(self, function: str, now: float) -> bool | None:
        """Let a call of a Lambda function in; return whether it starts cold, None where that is not known.

        Raises ThrottledError when it is refused.
        """
        ...

    def hold(self, function: str, until: float) -> None:
        """Say when a call that was let in is over."""
        ...

    def queue(self, names: tuple[str | None, ...], now: float, seconds: float) -> float:
        """Queue for a worker for *seconds* of its time; return how long the wait for one is."""
        ...


class ThrottledError(Exception):
    """Lambda refuses a call: too many go on."""


@dataclass(slots=True)
class Terms:
    """What one attempt of a task meets. ``refusal`` are its replies where it does not get as far as what is bound."""

    command: ScheduleTask
    names: tuple[str | None, ...]
    type: str
    rng: random.Random
    latency: Measured | None
    model: Model | None  # of the whole task
    shared: Shared | None
    now: float
    cold: bool | None = None
    admitted: bool = False
    failing: Fault | None = None
    times: float = 1.0
    refusal: list[Any] | None = None

    def shape(self, replies: Replies) -> Replies:
        """Return the replies with the time they take."""
        replies = list(replies)
        took = self._took()
        if self.model is None:
            took += max((delay for delay, reply in replies if isinstance(reply, _ENDS)), default=0.0)
        took *= self.times
        if self.failing is not None and self.failing.after is not None:
            took = self.failing.after.sample(self.rng)
        wait = 0.0
        if self.shared is not None:
            if self.shared_queue:
                wait = self.shared.queue(self.names, self.now, took)
            if self.admitted and self.names[1] is not None:
                self.shared.hold(self.names[1], self.now + wait + took)
        if not any(isinstance(reply, _ENDS) for _, reply in replies):
            return replies  # somebody else will say how it ends
        return [(wait + took if isinstance(reply, _ENDS) else wait + delay, reply) for delay, reply in replies]

    @property
    def shared_queue(self) -> bool:
        """Whether it asked for more than to be refused."""
        return self.refusal is None or self.failing is not None

    def _took(self) -> float:
        """Draw the seconds that the service and the workflow take."""
        if self.latency is None:
            return 0.0
        if self.model is not None:
            return self.latency.whole_sample(self.model, self.type, self.rng, cold=self.cold)
        if self.refusal is not None and self.failing is None:
            return self.latency.step(self.type, self.rng)  # a refusal is told at once
        action = "invoke" if self.command.kind == "lambda" else self.command.action
        return self.latency.sample(
            self.command.resource_type, action, self.type, self.rng, function=self.names[1], cold=self.cold
        )


def meet(
    command: ScheduleTask,
    function: str | None,
    type: str,
    *,
    rng: random.Random,
    seed: str,
    now: float,
    latency: Measured | None,
    faults: Faults | None,
    shared: Shared | None,
) -> Terms | None:
    """Return what an attempt at *now* meets; None where nothing was said of it. *seed* decides which faults strike."""
    if latency is None and faults is None and shared is None:
        return None
    short = f"{command.resource_type}:{command.action}" if command.kind == "task" else command.resource
    names = (command.state, function, command.resource, short, short.partition(".")[0])
    model = latency.whole(names) if latency is not None and latency.tasks else None
    terms = Terms(command, names, type, rng, latency, model, shared, now)
    if faults is not None:
        every = (*names, f"{command.resource_type}:*")
        terms.failing, terms.times = faults.strike(every, random.Random(f"fault/{seed}"))
    if shared is not None and function is not None and command.kind != "activity":
        try:
            terms.cold = shared.admit(function, now)
            terms.admitted = True
        except ThrottledError:
            from sflab.costs.faults import CAUSES

            terms.failing, terms.times, terms.model = None, 1.0, None
            terms.refusal = [(0.0, TaskFailed(command.token, REFUSED, CAUSES[REFUSED]))]
            return terms
    if terms.failing is not None:
        terms.refusal = [(0.0, TaskFailed(command.token, terms.failing.error, terms.failing.cause))]
    return terms

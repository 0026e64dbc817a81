"""Executions that run on AWS, or ran there.

Theory of operation. How an execution stands and what has happened in it are asked for apart: `DescribeExecution` is
small and answers `status` and `wait`; `GetExecutionHistory` is read when somebody looks at events, and then only what
is new. The first reading goes through all pages, oldest first. Later ones go newest first, a few events at a time,
and stop where they meet what is known, so that nothing is read twice but those few. Event ids are dense: an event is
taken when it is the next one, which makes doubles and gaps impossible whatever order pages come in. Whoever asks
again at once is answered from what is known (`Pace`), so a loop over `status` is no burden on the account's request
quota. What is to be masked is masked as it is read: nothing here holds it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sflab.asl.parse import loads
from sflab.backends.awsbills import started
from sflab.backends.bar import Bar
from sflab.backends.execution import Execution, Outcome
from sflab.backends.mapruns import MapRuns
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import ENDS, Event, details, normalise
from sflab.engine.masking import mask_event
from sflab.errors import BackendError

if TYPE_CHECKING:
    from sflab.backends.aws import AWS
    from sflab.backends.local import Local

SLOWEST = 5.0  # seconds between two questions when nothing happens
LATE = 30.0  # seconds a history or a log may lag behind the end of its execution
PAGE = 1000  # events: the most GetExecutionHistory gives at once
GLANCE = 10  # events: enough to see whether anything is new


class Pace:
    """When to ask again: soon after news, ever later while there is none. Seconds."""

    def __init__(self, fastest: float) -> None:
        self.fastest = self.gap = fastest
        self.due = 0.0

    def left(self) -> float:
        """Seconds until it is time to ask; 0 when it is."""
        return max(0.0, self.due - time.monotonic())

    def asked(self, *, news: bool) -> None:
        """It was asked just now, and there was news or not."""
        self.gap = self.fastest if news else min(1.5 * self.gap, SLOWEST)
        self.due = time.monotonic() + self.gap

    def hurry(self) -> None:
        """Ask as soon as somebody looks."""
        self.gap, self.due = self.fastest, 0.0


class AWSExecution(Execution):
    """An execution on AWS. What was read of it stays; interrupting a cell that waits or reads loses nothing.

    Where *machine* and *input* are None they are asked for when somebody looks, and so is how it stands, unless it had
    ended already when it was *listed* with that status.
    """

    def __init__(
        self, machine: StateMachine | None, aws: AWS, *, arn: str, input: str | None, listed: str = "RUNNING"
    ) -> None:
        self.aws, self.arn, self._listed = aws, arn, listed
        self._machine, self._input = machine, None if input is None else aws.masked(input)
        self._read: list[Event] = []
        self._known: Outcome | None = None
        self._glance = GLANCE
        self._before = 0  # events that were there when it was redriven: their end is not the end
        self._redrive: tuple[str, str | None] = ("", None)
        self._describing, self._reading = Pace(0.1), Pace(0.4)
        self._lock = threading.RLock()  # the live graph reads from a thread of its own

    @property
    def machine(self) -> StateMachine:  # type: ignore[override]
        """The state machine, as it was when the execution ran."""
        if self._machine is None:
            self._machine = state_machine(self.aws.call("describe_state_machine_for_execution", executionArn=self.arn))
        return self._machine

    @property
    def input_text(self) -> str:  # type: ignore[override]
        """What it was started with, as JSON text."""
        if self._input is None:
            self._describe()
        return self._input or "{}"

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""
        if self._known is None and self._listed not in ("RUNNING", "PENDING_REDRIVE"):
            return self._listed
        return super().status

    @property
    def _ended(self) -> bool:
        return self._known is not None and self._known.status != "RUNNING"

    @property
    def _whole(self) -> bool:
        return len(self._read) > self._before and self._read[-1]["type"] in ENDS

    def _outcome(self) -> Outcome:
        with self._lock:
            if self._known is None or not (self._ended or self._describing.left()):
                known = self._describe()
                self._describing.asked(news=self._known != known)
                self._known = known
                if known.status == "SUCCEEDED" and known.output is None:
                    # Some servers say so before they have the output; the history has it, sooner or later.
                    self._known = known._replace(output=details(self._events()[-1]).get("output"))
            return self._known

    def _describe(self) -> Outcome:
        said = self.aws.call("describe_execution", executionArn=self.arn)
        self._redrive = said.get("redriveStatus", ""), said.get("redriveStatusReason")
        if self._input is None:
            self._input = self.aws.masked(said.get("input", "{}"))
        told = (self.aws.masked(said.get(name)) for name in ("output", "error", "cause"))
        return Outcome(said["status"], *told)

    def _events(self, start: int = 0) -> list[Event]:
        with self._lock:
            due = time.monotonic() + LATE
            while not (self._ended and self._whole) and (self._ended or not self._reading.left()):
                before = len(self._read)
                self._fetch()
                self._reading.asked(news=len(self._read) > before)
                if self._whole and not self._ended:
                    self._describing.hurry()
                if self._whole or not self._ended:
                    break
                if time.monotonic() > due:
                    raise BackendError(
                        f"{self.arn} has ended, but {LATE:.0f} seconds later its history still stops at event "
                        f"{len(self._read)}: try again in a minute"
                    )
                time.sleep(self._reading.left())
            return self._read[start:]

    def _fetch(self) -> None:
        """Read the events that are not known yet."""
        if not self._read:
            token = None
            with Bar(f"reading {self}", unit="events") as bar:
                while True:
                    page = self._page(token, maxResults=PAGE)
                    self._add(page["events"])
                    token = page.get("nextToken")
                    if not token:
                        return
                    bar(len(self._read))
        fresh: list[Event] = []
        token = None
        while True:
            page = self._page(token, maxResults=self._glance, reverseOrder=True)
            new = [e for e in page["events"] if e["id"] > len(self._read)]
            fresh += new
            token = page.get("nextToken")
            if len(new) < len(page["events"]) or not token:
                break
            if self._glance < PAGE:  # more has happened than a glance shows: begin again with a longer one
                self._glance, token, fresh = min(4 * self._glance, PAGE), None, []
        self._add(fresh)
        self._glance = min(max(GLANCE, 2 * len(fresh)), PAGE)

    def _page(self, token: str | None, **given: Any) -> dict[str, Any]:
        more: dict[str, Any] = {"nextToken": token} if token else {}
        return self.aws.call("get_execution_history", executionArn=self.arn, **given, **more)

    def _add(self, events: list[Event]) -> None:
        for e in normalise(events):
            if e["id"] == len(self._read) + 1:
                self._read.append(mask_event({**e, "timestamp": e["timestamp"].astimezone(UTC)}, self.aws.masked))

    @property
    def map_runs(self) -> MapRuns:
        """The Map Runs of its Distributed Maps (ListMapRuns), in the order in which they started."""
        from sflab.backends.listings import AWSMapRun, distributed  # which list executions: these

        if not distributed(self.machine):
            return MapRuns()
        said: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            page = self.aws.call("list_map_runs", executionArn=self.arn, maxResults=PAGE, **more)
            said += page["mapRuns"]
            if not page.get("nextToken"):
                break
            more = {"nextToken": page["nextToken"]}
        ordered = sorted(said, key=lambda each: each["startDate"])
        return MapRuns(AWSMapRun(self.machine, self.aws, each["mapRunArn"]) for each in ordered)

    def wait(self, timeout: float | None = None) -> AWSExecution:
        """Wait until it has ended, at most *timeout* seconds; return it either way. Asks ever more rarely."""
        due = None if timeout is None else time.monotonic() + timeout
        with Bar(f"waiting for {self}") as bar:
            while self.status == "RUNNING":
                left = SLOWEST if due is None else due - time.monotonic()
                if left <= 0:
                    break
                bar(0, note=f"{len(self._read):,} events read" if self._read else "running")
                time.sleep(min(left, self._describing.left(), 1.0))
        return self

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution (StopExecution); nothing happens to one that has ended."""
        if self.status == "RUNNING":
            told: dict[str, Any] = {
                name: text for name, text in (("error", error), ("cause", cause)) if text is not None
            }
            self.aws.call("stop_execution", executionArn=self.arn, **told)
            self._describing.hurry()
            self._reading.hurry()

    def redrive(
        self,
        local: Local | None = None,
        *,
        functions: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> AWSExecution:
        """Go on from where it failed, timed out or was aborted (RedriveExecution); returns at once.

        It runs on AWS, with AWS's functions: to try others, redrive its history here:
        ``sf.replay(run.machine, run.history).redrive(functions={…})``. Raises BackendError where AWS refuses.
        """
        if local is not None or functions or tasks or at:
            raise BackendError(
                "a redrive on AWS uses what is deployed there, now. To try it with other functions, redrive its "
                "history here: sf.replay(run.machine, run.history).redrive(functions={…})"
            )
        with self._lock:
            before = len(self._events())
            self.aws.call("redrive_execution", executionArn=self.arn, clientToken=str(uuid.uuid4()))
            self._before, self._known = before, None
            self._describing.hurry()
            self._reading.hurry()
        return self

    def _redrivable(self) -> tuple[str, str | None]:
        with self._lock:
            self._known = None  # it depends on when one asks
            self._outcome()
            return self._redrive

    @property
    def nested(self) -> Sequence[AWSExecution]:
        """The Standard executions that its tasks started, as far as its history names them and one may read them."""
        return list(started(self))


def state_machine(said: Mapping[str, Any]) -> StateMachine:
    """Return the state machine that DescribeStateMachine, or …ForExecution, answers."""
    definition = loads(said["definition"], f"<{said['name']}>")
    return StateMachine(definition, name=said["name"], type=said.get("type", "STANDARD"))

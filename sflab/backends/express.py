"""Express executions on AWS: their events are in CloudWatch Logs, where their machine's logging is on."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sflab.backends.awsbills import express_bill
from sflab.backends.bar import Bar
from sflab.backends.execution import Execution, History, Outcome
from sflab.backends.remote import LATE, Pace
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import ENDS, Event, details
from sflab.engine.logs import logged, recorded
from sflab.engine.masking import mask_event
from sflab.errors import BackendError, ExecutionFailed

if TYPE_CHECKING:
    from sflab.asl.model import JSON
    from sflab.backends.aws import AWS
    from sflab.costs.estimate import Bill


class ExpressExecution(Execution):
    """An Express execution on AWS. Its events are in CloudWatch Logs, where its machine's logging is on.

    *said* is StartSyncExecution's answer where we waited for it; otherwise its log tells how it ended. *since* is when
    it began, or earlier: from there on the log is searched.
    """

    def __init__(
        self,
        machine: StateMachine,
        aws: AWS,
        *,
        arn: str,
        input: str,
        said: dict[str, Any] | None = None,
        since: datetime | None = None,
    ) -> None:
        super().__init__(machine, arn=arn, input=aws.masked(input))
        self.aws, self.said, self.since = aws, said, since
        self._read: list[Event] | None = None

    def _outcome(self) -> Outcome:
        if self.said is not None:
            told = (self.said.get(name) for name in ("output", "error", "cause"))
            return Outcome(self.said["status"], *(self.aws.masked(text) for text in told))
        events = self._events()
        kind = events[-1]["type"] if events else ""
        if kind not in ENDS:
            return Outcome("RUNNING")
        status = {"ExecutionTimedOut": "TIMED_OUT"}.get(kind, kind.removeprefix("Execution").upper())
        return Outcome(status, *(details(events[-1]).get(name) for name in ("output", "error", "cause")))

    def _events(self, start: int = 0) -> list[Event]:
        if self._read is None or (self.said is None and not (self._read and self._read[-1]["type"] in ENDS)):
            self._read = self._logged()
            started = next((details(e).get("input") for e in self._read if e["type"] == "ExecutionStarted"), None)
            if started is not None and self.said is None:
                self.input_text = started
        return self._read[start:]

    def _logged(self) -> list[Event]:
        """Read its log events; an ended execution's to the end, which arrives some seconds later."""
        group, level = self._log_group()
        client = self.aws.service("logs")
        given: dict[str, Any] = {"logGroupName": group, "filterPattern": f'"{self.arn}"'}
        began = self.said["startDate"] if self.said else self.since
        if began is not None:
            given["startTime"] = int(began.timestamp() * 1000) - 1000
        pace, due = Pace(0.5), time.monotonic() + LATE
        while True:
            found = self._pages(client, given)
            events = [mask_event(e, self.aws.masked) for e in recorded(found, self.arn)]
            ended = bool(events) and events[-1]["type"] in ENDS
            shall_end = self.said is not None and logged(f"Execution{self.said['status'].title()}", level)
            if ended or not shall_end:
                return events
            if time.monotonic() > due:
                raise BackendError(
                    f"{self.arn} has ended, but {LATE:.0f} seconds later its log in {group} has "
                    f"{len(events)} events and not the last one: try again in a minute"
                )
            pace.asked(news=False)
            time.sleep(pace.left())

    def _pages(self, client: Any, given: dict[str, Any]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        with Bar(f"searching {given['logGroupName']}", unit="log events found") as bar:
            while True:  # a page may be empty and not the last: AWS searches so much at a time
                page = self.aws.call("filter_log_events", client=client, **given, **more)
                out += page.get("events", ())
                bar(len(out))
                token = page.get("nextToken")
                if not token or token == more.get("nextToken"):
                    return out
                more = {"nextToken": token}

    def _log_group(self) -> tuple[str, str]:
        said = self.aws.call("describe_state_machine", stateMachineArn=self.machine_arn)
        logging = said.get("loggingConfiguration") or {}
        arns = [d.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "") for d in logging.get("destinations", ())]
        level = str(logging.get("level", "OFF"))
        if level == "OFF" or not any(arns):
            billed = (self.said or {}).get("billingDetails") or {}
            cost = (
                f" (Billed: {billed.get('billedDurationInMilliseconds', '?')} ms at "
                f"{billed.get('billedMemoryUsedInMB', '?')} MB.)"
            )
            raise BackendError(
                "AWS keeps the events of an Express execution in CloudWatch Logs only, and the logging of "
                f"{self.machine_arn} is off. Turn it on (level ALL, with execution data) and run it again, or run it "
                f"with sf.Local to see them.{cost if billed else ''}"
            )
        return arns[0].split(":log-group:")[-1].removesuffix(":*"), level

    def result(self) -> JSON:
        """Return the output. Raises ExecutionFailed unless it succeeded, with a history where there is a log."""
        outcome = self._outcome()
        if outcome.status == "SUCCEEDED":
            return self.output
        try:
            history = self.history
        except BackendError:  # its log is off, and how it ended is known all the same
            history = History([], self.machine.definition)
        raise ExecutionFailed(outcome.status, outcome.error, outcome.cause, history)

    def cost(self, **options: Any) -> Bill:
        """Return what it cost, from its log; *options* are those of `sflab.costs.estimate.bill`.

        Without a log it is what Step Functions billed, as StartSyncExecution told, and without what its tasks used.
        Raises BackendError where that is not known either.
        """
        billed = (self.said or {}).get("billingDetails") or {}
        ms, mb = billed.get("billedDurationInMilliseconds"), billed.get("billedMemoryUsedInMB")
        try:
            return super().cost(**({} if mb is None else {"express_memory_mb": mb}), **options)
        except BackendError:
            if ms is None or mb is None:
                raise
        return express_bill(self.arn, int(ms), int(mb), **options)

    @property
    def seconds(self) -> float:
        """How long it took."""
        if self.said is None:
            return super().seconds
        return float((self.said["stopDate"] - self.said["startDate"]).total_seconds())

    def stop(self, error: str | None = None, cause: str | None = None) -> None:  # noqa: ARG002
        """AWS cannot stop an Express execution: raises BackendError, unless it has ended."""
        if self.status == "RUNNING":
            raise BackendError("AWS cannot stop an Express execution: it ends by itself within five minutes")

    def __repr__(self) -> str:
        if self.said is None:
            return super().__repr__()
        outcome = self._outcome()
        said = f", error={outcome.error!r}" if outcome.error else ""
        return f"Execution({self.machine.name}/{self.name} {outcome.status}{said}, Express)"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        try:
            return super()._repr_mimebundle_(**options)
        except BackendError as e:
            return {"text/plain": f"{self!r}\n{e}"}

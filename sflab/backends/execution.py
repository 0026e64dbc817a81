"""An execution, wherever it runs, and its history: what a notebook looks at.

Everything here is read from *(definition, history)*, so it is the same for a run in this process, on AWS, and for
a history somebody saved. `Execution` is what both backends return; they only tell it where events and the outcome
come from.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from sflab.backends.eventbridge import status_changes
from sflab.engine.diff import differences
from sflab.engine.history import Event, Log, Visit, normalise, visits
from sflab.engine.logs import executions_in, log_events, recorded
from sflab.engine.masking import mask_event, masker
from sflab.engine.outline import outline
from sflab.errors import DefinitionError, ExecutionFailed, SflabError

if TYPE_CHECKING:
    import os

    import pandas as pd

    from sflab.asl.model import JSON, Definition
    from sflab.backends.local import Local, LocalExecution
    from sflab.backends.mapruns import MapRuns
    from sflab.backends.replay import Moment
    from sflab.backends.statemachine import StateMachine
    from sflab.costs.estimate import Bill
    from sflab.costs.usage import Nested
    from sflab.views.beside import Side
    from sflab.views.diff import Diff
    from sflab.views.timeline import Timeline


def _is_interactive() -> bool:
    """Whether a shell is there that shows the values of cells."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


class Outcome(NamedTuple):
    """How an execution stands: ``output`` is JSON text, given when it succeeded."""

    status: str
    output: str | None = None
    error: str | None = None
    cause: str | None = None


class History(Sequence[Event]):
    """The events of an execution, oldest first, in the shape boto3's ``get_execution_history`` gives them.

    ``.df`` is a table with a row per event; ``save`` writes AWS's own JSON, ``load`` reads it, whoever wrote it. A
    history that comes without its *definition* is drawn as far as its events show one (`drawn`). *name* is the
    execution's, *type* its state machine's (STANDARD or EXPRESS), where they are known.
    """

    def __init__(
        self,
        events: Iterable[Event] | Log,
        definition: Definition | None = None,
        *,
        name: str | None = None,
        type: str = "STANDARD",
    ) -> None:
        self.definition, self.name, self.type = definition, name, type
        self._log, self._count = Log(), 0
        if isinstance(events, Log):
            self._log, self._count = events, len(events)  # an execution that goes on makes it longer
        else:
            self.events = list(events)

    @functools.cached_property
    def events(self) -> list[Event]:
        """The events as a list; made when they are first looked at."""
        return self._log.events(0, self._count)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, definition: Definition | None = None) -> History:
        """Read a history saved by `save`, or by ``aws stepfunctions get-execution-history > FILE``.

        An Express execution's are its log events: ``aws logs filter-log-events --filter-pattern '"EXECUTION ARN"'``.
        Raises DefinitionError when the file is missing or holds no history, or those of several executions.
        """
        try:
            raw = json.loads(Path(path).read_text("utf-8"))
        except FileNotFoundError:
            raise DefinitionError(f"{path}: no such file") from None
        except (OSError, ValueError) as e:
            raise DefinitionError(f"{path}: this is not an execution history ({e})") from None
        try:
            return cls(normalise(_from_log(raw)), definition)
        except DefinitionError as e:
            raise DefinitionError(f"{path}: {e}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the history as the AWS CLI prints it: ``{"events": [...]}``, timestamps in ISO 8601."""
        if "events" not in self.__dict__:  # nobody has looked at one, or changed it
            text = self._log.json(0, self._count, indent=1)
        else:
            text = json.dumps({"events": self.events}, indent=1, default=datetime.isoformat, ensure_ascii=False)
        # Half a surrogate pair has no UTF-8, but a JSON escape.
        Path(path).write_bytes(text.encode(errors="backslashreplace") + b"\n")

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self.events[index]

    def __len__(self) -> int:
        return len(self.events)

    @property
    def df(self) -> pd.DataFrame:
        """A row per event; columns and dtypes are those of `sflab.views.tables.events_frame`."""
        from sflab.views.tables import events_frame

        return events_frame(self.events)

    @property
    def visits(self) -> Visits:
        """A row per passage through a state."""
        return Visits(visits(self.events, self.definition), self)

    def timeline(self, *, title: str = "execution") -> Timeline:
        """Return the timeline: a bar for each state visit, with its attempts and waits, and the critical path."""
        from sflab.views.timeline import Timeline

        return Timeline(self.events, self.definition, title=title)

    @functools.cached_property
    def drawn(self) -> Definition:
        """The definition; where there is none, the one its events show (`sflab.engine.outline`)."""
        from sflab.asl.parse import load

        return self.definition or load(outline(self.events))

    def diff(self, other: History) -> Diff:
        """Return what differs from *other*, branch by branch, times and ids aside: empty where they did the same."""
        from sflab.views.diff import Diff

        names = (self.name, other.name)
        return Diff(differences(self.events, other.events, self.definition, other.definition, names=names))

    def masked(self, *fields: str) -> History:
        """Return a copy whose data has *fields* masked: ``"password"``, ``"card.number"``, ``"*token*"``.

        `sflab.engine.masking` says how they are found. Raises DefinitionError for a field that is no name.
        """
        hide = masker(fields)
        return History([mask_event(e, hide) for e in self.events], self.definition, name=self.name, type=self.type)

    def show(self) -> Any:
        """Return the live graph: the colours of what happened, a slider through it, a click for a state's data."""
        from sflab.views.widget import live

        return live(self.drawn, self.events, title=self.name or "history", running=False)

    def cost(self, machine: StateMachine | Definition | None = None, **options: Any) -> Bill:
        """Return what the execution cost; *machine* is what ran, *options* are those of `sflab.costs.estimate.bill`.

        Raises DefinitionError where neither *machine* nor `load` gave the definition.
        """
        from sflab.costs.estimate import bill

        ran: Any = machine
        known = self.definition if machine is None else getattr(ran, "definition", ran)
        if known is None:
            raise DefinitionError("a history does not hold its definition: history.cost(machine)")
        return bill(known, self.events, **{"type": getattr(ran, "type", self.type), **options})

    def __repr__(self) -> str:
        if not self.events:
            return "History(no events)"
        return f"History({len(self)} events, {self.events[0]['type']} … {self.events[-1]['type']})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.tables import mimebundle

        shown = mimebundle(repr(self), self.df, ("id", "seconds", "type", "state", "error"))
        if self.definition is None and self.events:
            from sflab.views.graph import svg

            said = "<p>The graph is rebuilt from the events: it has what happened.</p>"
            shown["text/html"] = f"{svg(self.drawn, self.events)}{said}{shown['text/html']}"
        return shown


def _from_log(raw: Any) -> Any:
    """Return the events that a file of CloudWatch log events holds; anything else as it is."""
    found = raw.get("events") if isinstance(raw, dict) else raw
    if not isinstance(found, list) or not any(
        isinstance(e, dict) and {"message", "execution_arn"} & {*e} for e in found
    ):
        return raw
    messages = [e for e in found if isinstance(e, dict)]
    arns = executions_in(messages)
    if len(arns) > 1:
        raise DefinitionError(
            f"these are the log events of {len(arns)} executions: filter them by one's ARN, for example {arns[0]}"
        )
    return recorded(messages)


class Visits(Sequence[Visit]):
    """The state visits of an execution, in order of entering; ``.df`` is a table with a row for each."""

    def __init__(self, items: Iterable[Visit], history: History) -> None:
        self.items, self.history = tuple(items), history

    @overload
    def __getitem__(self, index: int) -> Visit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Visit, ...]: ...
    def __getitem__(self, index: int | slice) -> Visit | tuple[Visit, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Visit]:
        return iter(self.items)

    @property
    def df(self) -> pd.DataFrame:
        """A row per visit; columns and dtypes are those of `sflab.views.tables.visits_frame`."""
        from sflab.costs.visited import visit_costs
        from sflab.views.tables import visited, visits_frame

        of, events = self.history, normalise(self.history.events)
        costs = visit_costs(of.definition, events, self.items, type=of.type)
        return visits_frame(visited(self.items, events, costs))

    def __repr__(self) -> str:
        return f"Visits({len(self)}: {', '.join(v.state for v in self.items[:6])}{', …' if len(self) > 6 else ''})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.tables import mimebundle

        return mimebundle(repr(self), self.df, ("state", "type", "status", "seconds", "attempts", "error", "next"))


class Execution:
    """One execution of a state machine. A failed one is data; only `result` raises.

    Backends derive from it and say where its events and its outcome come from (`_events`, `_outcome`, `stop`).
    """

    def __init__(self, machine: StateMachine, *, arn: str, input: str) -> None:
        self.machine, self.arn = machine, arn
        self.input_text = input

    # -- what a backend says

    def _events(self, start: int = 0) -> list[Event]:
        """The events after the first *start*, as far as they have happened."""
        raise NotImplementedError

    def _outcome(self) -> Outcome:
        """How the execution stands now."""
        raise NotImplementedError

    @property
    def waiting(self) -> str | None:
        """What it waits for that only somebody outside can give, in words; None where that cannot be told."""
        return None

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution, as StopExecution does; nothing happens to one that has ended."""
        raise NotImplementedError

    # -- what people read

    @property
    def name(self) -> str:
        """The execution's name: the last part of its ARN."""
        return self.arn.split(":")[7] if self.arn.count(":") >= 7 else self.arn

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""
        return self._outcome().status

    @property
    def input(self) -> JSON:
        """What the execution was started with."""
        return json.loads(self.input_text)

    @property
    def output(self) -> JSON:
        """What it gave, once it has succeeded; None before, and if it did not."""
        text = self._outcome().output
        return None if text is None else json.loads(text)

    @property
    def output_text(self) -> str | None:
        """The output as JSON text."""
        return self._outcome().output

    @property
    def machine_arn(self) -> str:
        """The ARN of its state machine, without a version or an alias."""
        parts = self.arn.split(":")
        return ":".join([*parts[:5], "stateMachine", *parts[6:7]])

    @property
    def error(self) -> str | None:
        """The name of the error that ended it, None if none did."""
        return self._outcome().error

    @property
    def cause(self) -> str | None:
        """The text that came with the error."""
        return self._outcome().cause

    @property
    def history(self) -> History:
        """Its events so far."""
        return History(self._events(), self.machine.definition, name=self.name, type=self.machine.type)

    @property
    def visits(self) -> Visits:
        """Its passages through states so far."""
        return self.history.visits

    @property
    def seconds(self) -> float:
        """How long it has taken, in the execution's own time."""
        events = self._events()
        return (events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds() if events else 0.0

    def result(self) -> JSON:
        """Wait for the end and return the output. Raises ExecutionFailed unless it succeeded."""
        self.wait()
        outcome = self._outcome()
        if outcome.status == "RUNNING" and (waiting := self.waiting):
            raise ExecutionFailed("RUNNING", None, waiting, self.history)
        if outcome.status != "SUCCEEDED":
            history = History(self._events(), self.machine.definition)
            raise ExecutionFailed(outcome.status, outcome.error, outcome.cause, history)
        return self.output

    def wait(self, timeout: float | None = None) -> Execution:
        """Wait until it has ended, at most *timeout* seconds of yours; return it either way."""
        due = None if timeout is None else time.monotonic() + timeout
        while self.status == "RUNNING" and (due is None or time.monotonic() < due):
            time.sleep(0.02)
        return self

    @property
    def nested(self) -> Sequence[Execution]:
        """The executions that its tasks started, as far as the backend tells of them."""
        return ()

    @property
    def map_runs(self) -> MapRuns:
        """The Map Runs of its Distributed Maps, as far as the backend tells of them; ``.df`` is a table of them."""
        from sflab.backends.mapruns import MapRuns

        return MapRuns()

    def logs(self, level: str = "ALL", *, include_execution_data: bool = True) -> list[dict[str, Any]]:
        """Return what Step Functions logs of it: CloudWatch log events, at *level* ALL, ERROR, FATAL or OFF."""
        events = self._events()
        return log_events(events, self.arn, level=level, include_execution_data=include_execution_data)

    def status_changes(self) -> list[dict[str, Any]]:
        """Return the "Step Functions Execution Status Change" events that EventBridge is sent of it (Standard only)."""
        return status_changes(self) if self.machine.type == "STANDARD" else []

    def cost(self, **options: Any) -> Bill:
        """Return what it cost, with its child executions and those its tasks started, each in lines of its own.

        Prices are those of the region it ran in. *options* are those of `sflab.costs.estimate.bill`: ``region``,
        ``memory_mb``, ``architecture``, ``logging``, ``start_end`` …. Raises SflabError for a region without prices.
        """
        from sflab.costs.estimate import bill

        if "prices" not in options and options.get("region") is None:
            options["region"] = self.arn.split(":")[3] if self.arn.count(":") >= 5 else None
        told = self.billed()
        return bill(told.definition, told.events, type=told.type, children=told.children, nested=told.nested, **options)

    def billed(self) -> Nested:
        """Return the execution as `sflab.costs.usage.Meter` counts it."""
        from sflab.costs.usage import Nested

        family: list[tuple[Execution, Sequence[Execution]]] = [(self, self.nested)]
        for _, started in family:  # grows by what each has started, to any depth
            family += [(each, each.nested) for each in started]
        told: dict[int, Nested] = {}
        for one, started in reversed(family):
            about = (one.arn, one.machine.name, one.machine.definition, one.machine.type, one.history.events)
            children = tuple(run.billed() for run in one.map_runs)
            told[id(one)] = Nested(*about, children, tuple(told[id(each)] for each in started))
        return told[id(self)]

    def show(self, *, beside: Execution | None = None) -> Any:
        """Return the live graph: the colours of what happened, a slider through it, a click for a state's data.

        With another execution *beside*, both as they stand now, and what differs marked. In a plain terminal it shows
        itself as an outline; in a script, where nothing is shown, it prints that.
        """
        if beside is not None:
            from sflab.views.beside import live as both

            return both(self._side(), beside._side())  # noqa: SLF001 - its own
        from sflab.views.widget import live

        running = self.status == "RUNNING"
        side = self._side()
        events = side.events
        if not _is_interactive():
            from sflab.views.graph import text

            sys.stdout.write(text(side.definition, events, title=side.title) + "\n")
        widget = live(
            side.definition, events, title=side.title, running=running, map_runs=side.map_runs, context=side.context
        )
        if running:
            self._stream(widget, len(events))
        return widget

    def timeline(self) -> Timeline:
        """Return the timeline: a bar for each state visit, with its attempts and waits, and the critical path."""
        return self.history.timeline(title=str(self))

    def _side(self) -> Side:
        from sflab.views.beside import Side

        execution = {"Id": self.arn, "Name": self.name, "RedriveCount": self.redrive_count}
        about = {"Execution": execution, "StateMachine": {"Id": self.machine_arn, "Name": self.machine.name}}
        return Side(self.machine.definition, self._events(), str(self), lambda: self.map_runs, about)

    def at(self, event_id: int) -> Moment:
        """Return the execution as it stood after an event: its frames, what each waits for, and its data there.

        Raises ReplayError where the history has no such event, or its definition would not have produced it.
        """
        from sflab.backends.replay import moment

        return moment(self, event_id)

    def fork(
        self,
        at: int,
        machine: StateMachine | None = None,
        *,
        input: JSON = ...,
        local: Local | None = None,
        functions: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> LocalExecution:
        """Keep what happened up to event *at* and go on from there, here, as a new execution.

        *machine* is the definition it goes on with (default: its own), *input* what the next state is given; where *at*
        is a StateEntered event, that state is entered anew. Tasks are done by *local*, or the backend the run had, with
        *functions* and *tasks* laid over it.

        Raises ReplayError where the definition has no state that the execution stands at, or there is no next state.
        """
        from sflab.backends.replay import fork

        return fork(self, at, machine, input=input, local=local, functions=functions, tasks=tasks, name=name)

    def redrive(
        self,
        local: Local | None = None,
        *,
        functions: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> Execution:
        """Go on from where it failed, timed out or was aborted, as RedriveExecution does: the same execution.

        Only what did not succeed is run again. Tasks are done by *local*, or the backend the run had, with *functions*
        and *tasks* laid over it. *at* is when (default: the moment it ended); after 14 days AWS refuses. An execution
        that was replayed from a history stays as it is: the redriven one is another object.

        Raises ApiError in AWS's words: ``ExecutionNotRedrivable``, ``InvalidArn`` for an Express execution.
        """
        from sflab.backends.replay import redrive

        return redrive(self, local, functions=functions, tasks=tasks, at=at)

    @property
    def redrive_count(self) -> int:
        """How often it was redriven."""
        return sum(e["type"] == "ExecutionRedriven" for e in self._events())

    @property
    def redrive_status(self) -> str:
        """REDRIVABLE or NOT_REDRIVABLE, at the moment of its last event (on AWS: now)."""
        return self._redrivable()[0]

    @property
    def redrive_status_reason(self) -> str | None:
        """Why it cannot be redriven, in AWS's words; None if it can."""
        return self._redrivable()[1]

    def _redrivable(self) -> tuple[str, str | None]:
        from sflab.engine.redrive import not_redrivable

        if self.machine.type == "EXPRESS":
            return "NOT_REDRIVABLE", None
        events = self._events()
        began, ended = (events[i]["timestamp"].timestamp() if events else 0.0 for i in (0, -1))
        reason = not_redrivable(self.status, events=len(events), started=began, stopped=ended, now=ended)
        return ("NOT_REDRIVABLE" if reason else "REDRIVABLE"), reason

    def _stream(self, widget: Any, seen: int) -> None:
        """Feed *widget* from a thread of its own while the execution runs."""
        import threading

        def pump() -> None:
            sent, looked = seen, 0.0
            while True:
                begun = time.monotonic()
                try:
                    outcome, fresh = self._outcome(), self._events(sent)
                except SflabError:  # told to whoever asks for the status; a thread has nobody to tell
                    widget.finish()
                    return
                if fresh:
                    sent += len(fresh)
                    widget.extend(fresh)
                elif begun > looked + 0.5:
                    looked = begun
                    widget.refresh()
                if outcome.status != "RUNNING":
                    widget.finish(outcome.status)
                    return
                # A long history takes long to follow: the execution itself has the processor at least as long.
                time.sleep(max(0.05, time.monotonic() - begun))

        threading.Thread(target=pump, name=f"sflab-show-{self.name}", daemon=True).start()

    def __str__(self) -> str:
        return f"{self.machine.name} · {self.name}"

    def __repr__(self) -> str:
        outcome = self._outcome()
        said = f", error={outcome.error!r}" if outcome.error else ""
        return f"Execution({self.machine.name}/{self.name} {outcome.status}{said}, {len(self._events())} events)"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.graph import mimebundle

        return mimebundle(self.machine.definition, self._events(), headline=repr(self))

"""Many executions at once, as tables: `table`, and what ``local.executions`` and ``run.map_runs`` are.

A *source* is anything with a history: an execution, a `History`, a file that one was saved to, or events. Whatever it
is, it is read into the same rows (`sflab.views.tables` describes the columns), one history after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, SupportsIndex, TypeVar, overload

from sflab.backends.bar import tracked
from sflab.backends.execution import Execution, History
from sflab.engine.history import normalise, visits
from sflab.errors import DefinitionError, Interrupted

if TYPE_CHECKING:
    import pandas as pd

    from sflab.asl.model import Definition
    from sflab.costs.prices import Prices
    from sflab.engine.history import Event, Visit

Source = Execution | History | str | os.PathLike[str] | Mapping[str, Any] | list[dict[str, Any]]
E = TypeVar("E", bound=Execution)
Rows = Literal["visits", "executions", "events", "errors"]


class _Read(NamedTuple):
    """One history, read."""

    name: str
    execution: Execution | None
    definition: Definition | None
    type: str
    events: list[Event]
    visits: list[Visit]

    @property
    def machine(self) -> str | None:
        """The state machine's name, where it is known."""
        return self.execution.machine.name if self.execution else None


def table(histories: Source | Iterable[Source], rows: Rows = "visits") -> pd.DataFrame:
    """Return one pandas table of many histories: executions, `History` objects, files, folders of files, or events.

    *rows* says what a row is: ``"visits"`` (a passage through a state; the columns of ``run.visits.df`` after
    ``machine`` and ``execution``), ``"executions"``, ``"events"`` (the columns of ``run.history.df`` after the same
    two) or ``"errors"``. `sflab.views.tables` describes the columns and their dtypes.

    Raises DefinitionError where something is no history, naming it; Interrupted, with the table of those that were
    read as ``partial``, when it is stopped.
    """
    if rows not in _MAKERS:
        raise ValueError(f"rows is one of {', '.join(map(repr, _MAKERS))}, not {rows!r}")
    from sflab.costs.prices import load

    read, make = _MAKERS[rows]
    sources, parts, done, prices = list(_sources(histories)), [], 0, load()
    try:
        for number, source in enumerate(tracked(sources, "reading histories", unit="histories"), 1):
            parts.append(read(_read(source, number), prices))
            done = number
    except KeyboardInterrupt:
        raise Interrupted(f"stopped after {done:,} of {len(sources):,} histories", make(parts[:done])) from None
    return make(parts)


def _sources(histories: Any) -> Iterator[Any]:
    """Yield each source by itself; a folder is the ``.json`` files in it, in order of their names."""
    if isinstance(histories, (Execution, History, str, os.PathLike, Mapping)):
        histories = [histories]
    elif isinstance(histories, list) and histories and isinstance(histories[0], dict) and "type" in histories[0]:
        histories = [histories]  # the events of one history
    for source in histories:
        if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
            found = sorted(Path(source).glob("*.json"))
            if not found:
                raise DefinitionError(f"{source}: there is no .json file in this folder")
            yield from found
        else:
            yield source


def _read(source: Any, number: int) -> _Read:
    name, type_, definition, execution = f"history-{number:04d}", "STANDARD", None, None
    if isinstance(source, (str, os.PathLike)):
        name = Path(source).name.partition(".")[0]
        events = History.load(source).events
    elif isinstance(source, Execution):
        execution, name, type_ = source, source.name, source.machine.type
        definition, events = source.machine.definition, source.history.events
    elif isinstance(source, History):
        definition, type_, events = source.definition, source.type, normalise(source.events)
    else:
        try:
            events = normalise(source)
        except DefinitionError as e:
            raise DefinitionError(f"the {number}. of the histories: {e}") from None
    return _Read(name, execution, definition, type_, events, visits(events, definition))


# ── what a row is ────────────────────────────────────────────────────────────────────────────────────────────────────


def _visits(one: _Read, prices: Prices) -> list[Any]:
    from sflab.costs.visited import visit_costs
    from sflab.views.tables import visited

    costs = visit_costs(one.definition, one.events, one.visits, type=one.type, prices=prices)
    return visited(one.visits, one.events, costs, execution=one.name, machine=one.machine)


def _visits_table(parts: list[list[Any]]) -> pd.DataFrame:
    from sflab.views.tables import visits_frame

    return visits_frame([row for part in parts for row in part], named=True)


def _execution(one: _Read, prices: Prices) -> Any:
    from sflab.costs.visited import total
    from sflab.views.tables import executed

    known: dict[str, Any] = {"machine": one.machine, "kind": one.type}
    children = []
    if one.execution is not None:
        outcome = one.execution._outcome()  # noqa: SLF001 - its own
        parent = getattr(one.execution, "parent", None)
        known |= {"status": outcome.status, "error": outcome.error, "cause": outcome.cause, "output": outcome.output}
        known["parent"] = parent.name if parent is not None else None
        children = [run.billed() for run in one.execution.map_runs]
    known["cost"] = total(one.definition, one.events, type=one.type, children=children, prices=prices)
    return executed(one.name, one.events, one.visits, **known)


def _executions_table(parts: list[Any]) -> pd.DataFrame:
    from sflab.views.tables import executions_frame

    return executions_frame(parts)


def _events(one: _Read, _: Prices) -> _Read:
    return one


def _events_table(parts: list[_Read]) -> pd.DataFrame:
    from sflab.views.tables import all_events_frame

    return all_events_frame([(one.machine, one.name, one.events, one.visits) for one in parts])


def _errors(one: _Read, _: Prices) -> tuple[list[Any], str | None]:
    from sflab.engine.history import ENDS, details
    from sflab.views.tables import failures

    ended = details(one.events[-1]).get("error") if one.events and one.events[-1]["type"] in ENDS else None
    return failures(one.name, one.events, one.visits), ended


def _errors_table(parts: list[tuple[list[Any], str | None]]) -> pd.DataFrame:
    from sflab.views.tables import errors_frame

    return errors_frame([found for found, _ in parts], [ended for _, ended in parts])


#: What a row is -> how one history is read, and how the table is made of what was read.
_MAKERS: dict[str, tuple[Callable[[_Read, Prices], Any], Callable[[list[Any]], pd.DataFrame]]] = {
    "visits": (_visits, _visits_table),
    "executions": (_execution, _executions_table),
    "events": (_events, _events_table),
    "errors": (_errors, _errors_table),
}


# ── lists that show themselves as tables ─────────────────────────────────────────────────────────────────────────────


class Executions(list[E]):
    """A list of executions that shows itself as a table; ``df`` is that table, ``errors`` one of what failed.

    It grows by `append`, and knows its executions by their ARNs (`find`).
    """

    def __init__(self, executions: Iterable[E] = ()) -> None:
        super().__init__(executions)
        self._by_arn = {execution.arn: execution for execution in self}

    def append(self, execution: E) -> None:
        """Add an execution at the end."""
        super().append(execution)
        self._by_arn[execution.arn] = execution

    def remove(self, execution: E) -> None:
        """Take an execution out. Raises ValueError where it is not in."""
        super().remove(execution)
        self._by_arn.pop(execution.arn, None)

    def clear(self) -> None:
        """Forget them all."""
        super().clear()
        self._by_arn.clear()

    def find(self, arn: str) -> E | None:
        """Return the execution with this ARN, the latest where several have it (redrives of one history); else None."""
        return self._by_arn.get(arn)

    @property
    def df(self) -> pd.DataFrame:
        """A row per execution; columns and dtypes are those of `sflab.views.tables.executions_frame`."""
        return table(list(self), "executions")

    @property
    def errors(self) -> pd.DataFrame:
        """A row per error; columns and dtypes are those of `sflab.views.tables.errors_frame`."""
        return table(list(self), "errors")

    @property
    def visits(self) -> pd.DataFrame:
        """A row per state visit of all executions; see `table`."""
        return table(list(self), "visits")

    @overload
    def __getitem__(self, index: SupportsIndex) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> Executions[E]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> E | Executions[E]:
        found = super().__getitem__(index)
        return Executions(found) if isinstance(found, list) else found

    def __repr__(self) -> str:
        shown = ", ".join(f"{run} {run.status}" for run in self[:6])
        return f"Executions({len(self):,}: {shown}{', …' if len(self) > 6 else ''})" if self else "Executions(none)"

    def _repr_html_(self) -> str:
        if len(self) <= 60:
            return self.df.to_html(notebook=True)
        head = f"{len(self):,} executions; the last 60 of them. All: .df"
        return f"<div><b>{escape(head)}</b>{self[-60:].df.to_html(notebook=True)}</div>"

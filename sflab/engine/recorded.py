"""A recorded history as the log of a machine that is run again.

Theory of operation. `Recorded` stands where a machine has its `Log`. What the machine writes is looked up among the
recorded events, by type and previousEventId, and compared; the id the machine is given is the recorded one. So events
of concurrent branches may come in any order that the history has them in, and nothing is numbered twice. Where the two
may differ (ids, tokens, times, random numbers: whatever a state takes from ``States.UUID``, ``$random()``, the context
object …) the machine goes on with the recorded value; any other difference is a `ReplayError` that names the event.

Events that a redrive took back are *passed over*: they stay in the history, and nobody has to write them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sflab.asl.model import JSON, compact
from sflab.engine.history import ENDS, SHAPES, Event, Log, details, normalise
from sflab.errors import ReplayError

#: What a state may use that gives something else the next time.
_CHANCE = re.compile(
    r"States\.(UUID|MathRandom)|\$(uuid|random|now|millis|shuffle)\b|\$\$|\$states\.context|context\(\)"
)
_NESTED = ("ItemProcessor", "Iterator", "Branches")
_ANY = frozenset({"roleArn", "mapRunArn", "region", "taskCredentials"})  # whose they are cannot be known from elsewhere
_DATA = {"input": "inputDetails", "output": "outputDetails", "parameters": ""}
_ENTERED_AT = re.compile(r"#\d+")
_LATELY = frozenset({"RedriveCount", "RedriveTime"})  # of the context object: AWS added them in 2023 and 2024
NO_DATA = (
    "the history was read without its data (includeExecutionData=False): read it again with "
    "`aws stepfunctions get-execution-history --include-execution-data`"
)


def uses_chance(raw: Mapping[str, JSON]) -> bool:
    """Whether a state's own fields use something that differs from run to run: ids, times, random numbers."""
    return bool(_CHANCE.search(json.dumps({k: v for k, v in raw.items() if k not in _NESTED})))


def parsed(text: Any) -> JSON:
    """Return the value of a recorded JSON text; what is no JSON is a string."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def checked(history: Any) -> list[Event]:
    """Return the events of *history*, oldest first, ready to be replayed.

    Raises ReplayError: no event, not from the first one on, an event missing, or read without its data.
    """
    events = normalise(history)
    if not events:
        raise ReplayError("the history has no events: there is nothing to replay")
    for number, event in enumerate(events, 1):
        if event["id"] != number:
            found = f"event {event['id']} is there twice" if event["id"] < number else f"event {number} is not there"
            raise ReplayError(
                f"{found}: a page of the history was read twice or is missing; read it again, whole", number
            )
    if events[0]["type"] != "ExecutionStarted":
        raise ReplayError(f"event 1: the history begins with {events[0]['type']}, not with ExecutionStarted", 1)
    for event in events:
        kind, about = event["type"], details(event)
        if kind.endswith(("StateEntered", "ExecutionStarted")) and "input" not in about:
            raise ReplayError(f"event {event['id']}: {NO_DATA}", event["id"])
    started = details(events[0])
    if (started.get("inputDetails") or {}).get("truncated"):
        raise ReplayError("event 1: the input was cut off when the history was read; replay needs all of it", 1)
    return events


def entry_of(event: Event) -> tuple[Any, ...]:
    """Return *event* as a log entry: ``(type, previousEventId, at, *values)``, its data parsed."""
    kind, about = event["type"], details(event)
    values = []
    for member in SHAPES[kind][1] if kind in SHAPES else ():
        value = about.get(member)
        if member in _DATA:
            value = parsed(value)
        elif member == "assignedVariables" and value is not None:
            value = {name: parsed(text) for name, text in value.items()}
        values.append(value)
    while values and values[-1] is None:
        values.pop()
    return kind, event["previousEventId"], event["timestamp"].timestamp(), *values


class Continued(Log):
    """The log of an execution that goes on from a recorded history: those events as they were, then the machine's."""

    __slots__ = ("kept",)

    def __init__(self, kept: Iterable[Event], more: Iterable[tuple[Any, ...]] = ()) -> None:
        super().__init__()
        self.kept = list(kept)
        self.entries = [*map(entry_of, self.kept), *more]

    def events(self, start: int = 0, stop: int | None = None) -> list[Event]:
        """Return events ``start+1 … stop``; those that were recorded as they were."""
        return [*self.kept[start:stop], *super().events(max(start, len(self.kept)), stop)]


class Recorded(Log):
    """The recorded events, and which of them the machine has written.

    ``loose`` says whether the state at work uses chance; ``moment`` is when the event written last happened;
    ``values`` are its values, the recorded ones where they may differ; ``ahead`` is what the machine wrote after the
    last recorded event of a history that has no end yet. The events *passed* are not looked for; *doomed* are the
    last events of what they took back.
    """

    __slots__ = (
        "ahead", "at", "cursor", "doomed", "highest", "loose", "moment", "over", "passed", "recorded", "taken",
        "values",
    )  # fmt: skip

    def __init__(
        self,
        events: Sequence[Event],
        passed: Iterable[int] = (),
        doomed: Iterable[int] = (),
        *,
        over: bool | None = None,
    ) -> None:
        super().__init__()
        self.recorded = events
        self.passed, self.doomed = set(passed), set(doomed)
        self.over = events[-1]["type"] in ENDS if over is None else over
        self.at: dict[int, list[int]] = {}  # previousEventId -> the events that point there and are still to come
        for event in events:
            if event["id"] not in self.passed:
                self.at.setdefault(event["previousEventId"], []).append(event["id"])
        self.taken = [False] * (len(events) + 1)
        self.cursor = 1
        self.highest = 0
        self.loose = False
        self.moment = 0.0
        self.values: list[Any] = []
        self.ahead: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return self.highest

    def next(self) -> Event | None:
        """The first event that nobody has written yet; None when all have been."""
        while self.cursor <= len(self.recorded) and (self.taken[self.cursor] or self.cursor in self.passed):
            self.highest = max(self.highest, self.cursor)
            self.cursor += 1
        return self.recorded[self.cursor - 1] if self.cursor <= len(self.recorded) else None

    def peek(self, kind: str, *previous: int) -> Event | None:
        """The first event of a type, still to come, that points at one of *previous* (at anything if there is none)."""
        found = [i for p in previous or self.at for i in self.at.get(p, ()) if self.recorded[i - 1]["type"] == kind]
        return self.recorded[min(found) - 1] if found else None

    def write(self, *entry: Any) -> int:
        """Find the event the machine writes, and return its recorded id. Raises ReplayError where there is none."""
        kind, previous = entry[0], entry[1]
        first = None
        for candidate in self._candidates(kind, previous):
            wrong = self._compare(candidate, entry)
            if wrong is None:
                return self._take(candidate, entry)
            first = first or (candidate, wrong)
        if first is not None:
            raise self.divergence(first[0], wrong=first[1])
        rivals = [self.recorded[i - 1] for i in self.at.get(previous, ())]
        if rivals or self.over:
            raise self.divergence(rivals[0] if rivals else self.next(), gives=entry)
        self.entries.append(entry)
        self.ahead.append(entry)
        self.values, self.moment = list(entry[3:]), entry[2]
        self.highest = len(self.recorded) + len(self.ahead)
        return self.highest

    def _candidates(self, kind: str, previous: int) -> list[Event]:
        ids = [i for i in self.at.get(previous, ()) if self.recorded[i - 1]["type"] == kind]
        if not ids and kind in _ELSEWHERE:  # AWS has changed where these point (conformance §6.3)
            ids = [i for where in sorted(self.at) for i in self.at[where] if self.recorded[i - 1]["type"] == kind]
        return [self.recorded[i - 1] for i in ids]

    def _take(self, event: Event, entry: tuple[Any, ...]) -> int:
        number: int = event["id"]
        self.at[event["previousEventId"]].remove(number)
        self.taken[number] = True
        self.highest = max(self.highest, number)
        self.moment = event["timestamp"].timestamp()
        self.entries.append((*entry[:3], *self.values))
        return number

    # -- comparing

    def _compare(self, event: Event, entry: tuple[Any, ...]) -> str | None:
        """Return what differs, in words, or None; fills ``values``."""
        about, self.values = details(event), []
        members = SHAPES[entry[0]][1] if entry[0] in SHAPES else ()
        given = dict(zip(members, entry[3:], strict=False))
        for member in members:
            mine, theirs = given.get(member), about.get(member)
            if member in _DATA and member not in about:
                mine_is_absent = mine is None
                self.values.append(mine)
                if not mine_is_absent:
                    return f"it has no {member}"
                continue
            if member in _DATA:
                if (about.get(_DATA[member]) or {}).get("truncated"):
                    self.values.append(mine)
                    continue
                theirs = parsed(theirs)
            elif member == "assignedVariables" and theirs is not None:
                theirs = {name: parsed(text) for name, text in theirs.items()}
            wrong = self._member(member, mine, theirs)
            if wrong:
                return wrong
            self.values.append(mine if member != "cause" and same(mine, theirs) else theirs)
        while len(self.values) > len(entry) - 3 and self.values[-1] is None:
            self.values.pop()
        return None

    def _member(self, member: str, mine: Any, theirs: Any) -> str | None:
        if member in _ANY or (member == "cause" and _cause(mine) == _cause(theirs)):
            return None
        found = difference(mine, theirs, loose=self.loose)
        if found is None:
            return None
        where, one, other = found
        return f"its {member}{where and ' at ' + where} is {_brief(other)}, the definition gives {_brief(one)}"

    def divergence(
        self, event: Event | None, *, gives: tuple[Any, ...] | None = None, wrong: str | None = None
    ) -> ReplayError:
        """Return the error that names *event* as the first that the definition would not have produced."""
        number = event["id"] if event else len(self.recorded)
        if wrong is not None and event is not None:
            said = f"{_named(event)}: {wrong}"
        else:
            has = _named(event) if event else "nothing more"
            said = f"the history has {has}, the definition gives {_name_of(gives) if gives else 'nothing there'}"
        kept = f", or fork the run at event {number - 1} to go on from there with this one" if number > 1 else ""
        return ReplayError(f"event {number}: {said}. Replay it with the definition it ran with{kept}.", number)


#: What AWS has let point elsewhere over the years: looked for by its type and its data alone.
_ELSEWHERE = frozenset({"EvaluationFailed", "MapStateExited", "ExecutionTimedOut"})


def same(mine: JSON, theirs: JSON) -> bool:
    """Whether two JSON values are equal; ``true`` is not 1."""
    return mine is theirs or difference(mine, theirs, loose=False) is None


def difference(mine: JSON, theirs: JSON, *, loose: bool, path: str = "") -> tuple[str, JSON, JSON] | None:
    """Return (where, mine, theirs) of the first difference, None if there is none.

    *loose*: a string or number may differ from another, and the context object may lack what it lacked once.
    """
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in [*mine, *(k for k in theirs if k not in mine)]:
            if key in mine and key in theirs:
                found = difference(mine[key], theirs[key], loose=loose, path=f"{path}/{key}")
                if found:
                    return found
            elif not (loose and key in _LATELY):
                return f"{path}/{key}", mine.get(key, _NOTHING), theirs.get(key, _NOTHING)
        return None
    if isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) != len(theirs):
            return path, mine, theirs
        pairs = enumerate(zip(mine, theirs, strict=True))
        return next((f for i, (a, b) in pairs if (f := difference(a, b, loose=loose, path=f"{path}/{i}"))), None)
    scalar = not isinstance(mine, (dict, list)) and not isinstance(theirs, (dict, list))
    if scalar and loose and isinstance(mine, bool) == isinstance(theirs, bool) and None not in (mine, theirs):
        return None
    if isinstance(mine, bool) != isinstance(theirs, bool) or mine != theirs:
        return path, mine, theirs
    return None


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING: Any = _Nothing()


def _cause(text: Any) -> Any:
    """A cause without what may differ: the id of an event in it, the spaces of JSON."""
    return parsed(_ENTERED_AT.sub("#", text)) if isinstance(text, str) else text


def _brief(value: Any) -> str:
    text = repr(value) if value is _NOTHING else compact(value)
    return text if len(text) < 100 else f"{text[:97]}…"


def _named(event: Event) -> str:
    name = details(event).get("name")
    return f"{event['type']} of {name!r}" if name else str(event["type"])


def _name_of(entry: tuple[Any, ...]) -> str:
    members = SHAPES[entry[0]][1] if entry[0] in SHAPES else ()
    return f"{entry[0]} of {entry[3]!r}" if members[:1] == ("name",) and len(entry) > 3 else str(entry[0])

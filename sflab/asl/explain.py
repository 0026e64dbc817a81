"""What each expression of one state reads and what it comes to, for an input somebody wonders about.

Theory of operation. The fields are taken in the order the state works through them (see `dataflow`), each evaluated by
the closures that run it, on what the fields before it made of the input. A field whose value depends on what failed, or
on a result that was not given, is listed and says so. JSONata expressions are evaluated one by one, and tell of their
decisions: which comparison was false, which items a filter turned away.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sflab.asl import choice, dataflow, jsonata
from sflab.asl.model import JSON, StatesError

UNKNOWN: Any = object()  # a value that is not there: the result of work not done, or of a field that failed

_INNER = ("Branches", "ItemProcessor", "Iterator", "Catch", "Retry", "Comment", "Type", "Next", "End", "Default")
_RESULT = re.compile(r"\$states\s*\.\s*result\b")
#: A quoted text of an intrinsic call, or a path.
_PATHS = re.compile(r"'(?:[^'\\]|\\.)*'|(\$(?:\[[^\]]*\]|[^\s,()'\[\]])*)")
_LIMITS = (
    "SecondsPath", "TimestampPath", "TimeoutSecondsPath", "HeartbeatSecondsPath", "MaxConcurrencyPath",
    "ToleratedFailureCountPath", "ToleratedFailurePercentagePath",
)  # fmt: skip
_NO_RESULT = "not evaluated: it reads the result; give result=…"
_NOT_REACHED = "not evaluated: {} fails before it"


class Explained(NamedTuple):
    """One expression: ``field`` is where it stands, ``reads`` the paths it reads; ``error`` is None beside a value.

    ``decisions`` are lines such as ``✘ $states.input.a > 5 → false (3 > 5)``.
    """

    field: str
    expression: str
    reads: tuple[str, ...]
    value: JSON
    error: str | None = None
    decisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sight:
    """What the expressions see beside the input: a `Scope` that stands still."""

    now: float
    given: Mapping[str, JSON]
    variables: Mapping[str, JSON]
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    def context(self) -> dict[str, JSON]:
        """Return the context object."""
        return dict(self.given)


def explain(
    raw: dict[str, JSON], value: JSON, sight: Sight, *, language: str, result: JSON = UNKNOWN
) -> list[Explained]:
    """Explain the state *raw* (which validates) for the input *value*; *result* is what its work gave, if known."""
    steps = _Steps(raw, value, sight, result)
    (steps.jsonata if language == "JSONata" else steps.jsonpath)()
    return steps.rows


class _Steps:
    """The walk through one state."""

    def __init__(self, raw: dict[str, JSON], value: JSON, sight: Sight, result: JSON) -> None:
        self.raw, self.value, self.sight, self.result = raw, value, sight, result
        self.rows: list[Explained] = []
        self.why = _NO_RESULT  # why a value is UNKNOWN

    def note(self, where: str, text: str, value: JSON, run: Callable[[JSON, Any], JSON] | None, sight: Sight) -> JSON:
        """Evaluate *run* on *value* and list it; returns what it gave, or UNKNOWN."""
        reads = tuple(dict.fromkeys(m for m in _PATHS.findall(text) if m)) if isinstance(text, str) else ()
        if value is UNKNOWN:
            self.rows.append(Explained(where, text, reads, None, self.why))
            return UNKNOWN
        try:
            found = run(value, sight) if run else value
        except StatesError as e:
            self.rows.append(Explained(where, text, reads, None, f"{e.error}: {e.cause}"))
            self.why = _NOT_REACHED.format(where)
            return UNKNOWN
        self.rows.append(Explained(where, text, reads, found))
        return found

    # ── JSONPath ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def jsonpath(self) -> None:
        raw = self.raw
        seen = self.path("InputPath", self.value)
        for name in _LIMITS:
            self.path(name, seen)
        for name in ("ErrorPath", "CausePath"):
            if name in raw:
                self.note(name, raw[name], seen, dataflow.expression(raw[name], name), self.sight)
        if raw["Type"] == "Choice":
            self.choices(seen)
        made = self.items(seen) if raw["Type"] == "Map" else self.template("Parameters", seen, self.sight)
        result = self.result
        if raw["Type"] in ("Pass", "Choice", "Wait", "Succeed"):
            result = raw.get("Result", made)
        selected = self.template("ResultSelector", result, self.sight)
        self.template("Assign", result, self.sight)
        self.path("OutputPath", self.placed(selected))

    def path(self, name: str, value: JSON) -> JSON:
        """A field that is a path; what it selects, or *value* itself where there is none."""
        text = self.raw.get(name)
        if text is None:  # null selects nothing
            return {} if name in self.raw and value is not UNKNOWN else value
        return self.note(name, text, value, dataflow.path_field(text), self.sight)

    def template(self, name: str, value: JSON, sight: Sight, *, within: str = "", raw: JSON = None) -> JSON:
        """A payload template: a row for each of its ``.$`` fields; what it builds."""
        built = self.raw.get(name) if raw is None else raw
        if built is None:
            return value
        whole = True
        for where, text in _dynamic(built, within + name):
            key = where.rpartition("/")[2]
            whole &= self.note(where, text, value, dataflow.expression(text, key), sight) is not UNKNOWN
        if value is UNKNOWN or not whole:
            return UNKNOWN
        return dataflow.template(built)(value, replace(sight, chance=random.Random(0)))

    def items(self, seen: JSON) -> JSON:
        """A Map state's items, and what its first iteration is given."""
        items = self.path("ItemsPath", seen)
        sight = self.sight
        if isinstance(items, list) and items:
            sight = replace(sight, given={**sight.given, "Map": {"Item": {"Index": 0, "Value": items[0]}}})
        self.template("ItemSelector" if "ItemSelector" in self.raw else "Parameters", seen, sight)
        return seen

    def placed(self, selected: JSON) -> JSON:
        if selected is UNKNOWN or self.raw.get("ResultPath", "$") == "$":
            return selected
        place = dataflow.placer(self.raw["ResultPath"])
        try:
            return place(self.value, selected) if place else selected
        except StatesError as e:
            self.rows.append(Explained("ResultPath", self.raw["ResultPath"], (), None, f"{e.error}: {e.cause}"))
            self.why = _NOT_REACHED.format("ResultPath")
            return UNKNOWN

    def choices(self, seen: JSON) -> None:
        """Each rule's comparisons, whether it matches, and what the first that does assigns."""
        matched = False
        for i, rule in enumerate(self.raw["Choices"]):
            where = f"Choices[{i}]"
            for place, name, text in _compared(rule, where):
                self.note(f"{place}/{name}", text, seen, dataflow.expression(text, name), self.sight)
            found = self.note(where, _said(rule), seen, choice.compile_rule(rule), self.sight)
            if found is True and not matched:
                matched = True
                self.template("Assign", seen, self.sight, within=f"{where}/", raw=rule.get("Assign"))

    # ── JSONata ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def jsonata(self) -> None:
        members: dict[str, JSON] = {"input": self.value}
        if self.result is not UNKNOWN:
            members["result"] = self.result
        sight = self.sight
        for name, item in self.raw.items():
            if name in _INNER:
                continue
            if name == "ItemSelector":
                sight = self.first_item(members)
            for where, text in _expressions(item, name):
                self.evaluate(where, text, members, sight if name == "ItemSelector" else self.sight)

    def evaluate(self, where: str, text: str, members: dict[str, JSON], sight: Sight) -> None:
        body = text[2:-2].strip()
        try:
            reads = jsonata.reads(text)
        except jsonata.JsonataSyntaxError as e:  # a ${Token} that is not substituted
            self.rows.append(Explained(where, body, (), None, f"not evaluated: {e}"))
            return
        if "result" not in members and _RESULT.search(body):
            self.rows.append(Explained(where, body, reads, None, _NO_RESULT))
            return
        decisions = jsonata.decisions(text, members, replace(sight, chance=random.Random(0)))
        try:
            value = jsonata.compile_field(text, where)(members, replace(sight, chance=random.Random(0)))
        except StatesError as e:
            self.rows.append(Explained(where, body, reads, None, f"{e.error}: {e.cause}", decisions))
        else:
            self.rows.append(Explained(where, body, reads, value, None, decisions))

    def first_item(self, members: dict[str, JSON]) -> Sight:
        items = self.value
        if "Items" in self.raw:
            try:
                items = jsonata.compile_field(self.raw["Items"], "Items")(members, self.sight)
            except StatesError:
                items = None
        if not isinstance(items, list) or not items:
            return self.sight
        return replace(self.sight, given={**self.sight.given, "Map": {"Item": {"Index": 0, "Value": items[0]}}})


def _dynamic(value: JSON, where: str) -> Iterator[tuple[str, str]]:
    """Every ``name.$`` of a payload template, with where it stands."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name.endswith(".$") and isinstance(item, str):
                yield f"{where}/{name}", item
            else:
                yield from _dynamic(item, f"{where}/{name}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _dynamic(item, f"{where}[{i}]")


def _expressions(value: JSON, where: str) -> Iterator[tuple[str, str]]:
    """Every ``{% … %}``, with where it stands, as AWS writes that."""
    if isinstance(value, str) and jsonata.is_expression(value):
        yield where, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _expressions(item, f"{where}/{name}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _expressions(item, f"{where}[{i}]")


def _compared(rule: dict[str, JSON], where: str) -> Iterator[tuple[str, str, str]]:
    """Yield the paths a choice rule compares: (where, field, path); none that it only asks to be present."""
    for name in ("And", "Or"):
        for i, inner in enumerate(rule.get(name, ())):
            yield from _compared(inner, f"{where}/{name}[{i}]")
    if "Not" in rule:
        yield from _compared(rule["Not"], f"{where}/Not")
    if "IsPresent" not in rule:
        for name, text in rule.items():
            if name == "Variable" or (name.endswith("Path") and name in choice.RULE_FIELDS):
                yield where, name, text


def _said(rule: dict[str, JSON]) -> str:
    """Return a choice rule in one line."""
    for name, word in (("And", " and "), ("Or", " or ")):
        if name in rule:
            return word.join(f"({_said(inner)})" for inner in rule[name])
    if "Not" in rule:
        return f"not ({_said(rule['Not'])})"
    name = next(n for n in rule if n in choice.RULE_FIELDS)
    return f"{rule['Variable']} {name} {rule[name]!r}"

"""What may be written at a cursor in a definition: names of states, fields, words, resources, paths and functions.

`complete` is for any editor. Its facts are those that validation reads (`fields`, `choice`, `intrinsics`, `jsonata`);
what AWS's services have is not the language's to know and comes in as a `Catalogue`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sflab.asl import choice, cursor, fields, intrinsics, jsonata
from sflab.asl.fields import Field
from sflab.asl.model import JSON, STATE_TYPES, walk

_ARN = "arn:aws:states:::"
#: What a field names that a state of the same scope must be.
_TARGETS = ("Next", "Default", "StartAt")
_MEMBERS: dict[str, Mapping[str, Field]] = {
    "machine": fields.TOP_LEVEL,
    "branch": fields.BRANCH,
    "item_processor": fields.ITEM_PROCESSOR,
    "processor": fields.PROCESSOR,
    "retrier": fields.RETRIER,
    "catcher": fields.CATCHER,
    "item_reader": fields.ITEM_READER,
    "reader_config": fields.READER_CONFIG,
    "item_batcher": fields.ITEM_BATCHER,
    "result_writer": fields.RESULT_WRITER,
    "writer_config": fields.WRITER_CONFIG,
    "credentials": {"RoleArn": Field("text", required=True)},
}
_TESTS = {name: Field("path" if name.endswith("Path") else "any") for name in choice.RULE_FIELDS}
_INNER = {
    "Variable": Field("path", "JSONPath"),
    **{name: field._replace(language="JSONPath") for name, field in _TESTS.items()},
    "And": Field("inner_rules", "JSONPath"),
    "Or": Field("inner_rules", "JSONPath"),
    "Not": Field("inner_rule", "JSONPath"),
    "Comment": Field("text"),
}
_MEMBERS["inner_rule"] = _INNER
_MEMBERS["rule"] = {
    "Next": Field("text", required=True),
    "Condition": Field("any", "JSONata", required=True),
    **_INNER,
    "Assign": Field("assign"),
    "Output": Field("any", "JSONata"),
}
#: The kind of an array's items.
_ITEMS = {
    "branches": "branch",
    "retriers": "retrier",
    "catchers": "catcher",
    "rules": "rule",
    "inner_rules": "inner_rule",
    "errors": "error",
}
_PAYLOADS = ("template", "any", "assign", "batch_input", "payload")
_PATHS = ("path", "reference", "expression", "text_expression")
_WORKS = ("Task", "Map", "Parallel")  # the states whose work gives a result
_PLAIN = re.compile(r"[A-Za-z_$][\w .$/()?+-]*(?<! )")  # a YAML scalar that needs no quotes


class Completion(NamedTuple):
    """One thing that may be written: *text* replaces what was typed; *kind* is what it is, ``state`` say."""

    text: str
    kind: str


class Catalogue(Protocol):
    """What AWS's services have, as Step Functions spells it."""

    def services(self) -> Iterable[str]:
        """Return the services that ``aws-sdk:`` tasks may name."""

    def actions(self, service: str) -> Iterable[str]:
        """Return the actions of one of them."""

    def members(self, resource: str, path: tuple[str | int, ...]) -> Iterable[str]:
        """Return the members of a task's parameters at *path* inside them."""


@dataclass(frozen=True, slots=True)
class _Where:
    """What stands around the cursor: the *kind* of the value there, and the *payload*'s path inside its field."""

    kind: str
    language: str
    scope: Mapping[str, JSON]
    state: Mapping[str, JSON]
    around: tuple[str, ...]  # the kinds passed on the way
    payload: tuple[str | int, ...] = ()


def complete(
    text: str, offset: int, *, functions: Iterable[str] = (), catalogue: Catalogue | None = None
) -> tuple[int, list[Completion]]:
    """Return what may stand at *offset* of a definition, JSON or YAML, and where the text that it replaces begins.

    *functions* are names of Lambda functions that are known, *catalogue* what AWS's services have. What was typed in
    part comes first where it begins a name, then where it is inside one, whatever the case. A text that is not
    finished, or is no definition at all, is no error: it gives less.
    """
    spot = cursor.find(text, offset)
    if spot.role == "none" or not isinstance(spot.root, dict):
        return offset, []
    where = _where(spot.root, spot.path)
    if spot.role == "value" and not (spot.yaml and where.kind in _MEMBERS):
        start, typed, found = _value(spot, where, functions, catalogue)
    else:
        start, typed, found = spot.start, spot.typed, _names(spot, where, catalogue)
    low = typed.lower()
    rank = {c: 0 if c.text.lower().startswith(low) else 1 for c in found if c.text and low in c.text.lower()}
    fits = sorted(rank, key=rank.__getitem__)  # stable: otherwise in the order of the tables
    if start != spot.start or spot.quoted:
        return start, [_escaped(c, spot) for c in fits]
    return start, [_quoted(c, yaml=spot.yaml) for c in fits]


def _escaped(c: Completion, spot: cursor.Spot) -> Completion:
    """Write a name into the quotes that stand there."""
    return c if spot.yaml else Completion(json.dumps(c.text, ensure_ascii=False)[1:-1], c.kind)


def _quoted(c: Completion, *, yaml: bool) -> Completion:
    """Give a name the quotes it needs."""
    if c.text in ("true", "false") or (yaml and (_PLAIN.fullmatch(c.text) or c.text.startswith(_ARN))):
        return c
    return Completion(json.dumps(c.text, ensure_ascii=False), c.kind)


def _where(root: dict[str, JSON], path: tuple[str | int, ...]) -> _Where:
    """Follow *path* from the root, and say what each step leads to."""
    language, kind = _language(root, "JSONPath"), "machine"
    value: JSON = root
    scope: Mapping[str, JSON] = root
    state: Mapping[str, JSON] = {}
    around: list[str] = []
    payload: tuple[str | int, ...] = ()
    for name in path:
        if kind in ("machine", "branch", "item_processor") and isinstance(value, dict):
            scope, state = value, {}
        elif kind == "state" and isinstance(value, dict):
            state, language = value, _language(value, _language(root, "JSONPath"))
        around.append(kind)
        payload = (*payload, name) if kind in _PAYLOADS else ()
        if kind == "states":
            kind = "state"
        elif kind in _ITEMS:
            kind = _ITEMS[kind]
        elif kind in _PAYLOADS:
            kind = "payload"
        else:
            field = _fields(kind, value, language).get(str(name))
            kind = field.kind if field else "unknown"
        value = _member(value, name)
    if kind == "state" and isinstance(value, dict):
        state, language = value, _language(value, language)
    return _Where(kind, language, scope, state, tuple(around), payload)


def _language(owner: Mapping[str, JSON], around: str) -> str:
    own = owner.get("QueryLanguage")
    return own if own in ("JSONPath", "JSONata") else around


def _member(value: JSON, name: str | int) -> JSON:
    if isinstance(value, dict):
        return value.get(name)
    return value[name] if isinstance(value, list) and isinstance(name, int) and name < len(value) else None


def _fields(kind: str, value: JSON, language: str) -> dict[str, Field]:
    """Return the fields that an object of this kind has in *language*; of a state that has no type yet, all."""
    if kind == "state":
        given = value.get("Type") if isinstance(value, dict) else None
        own = fields.STATES.get(given) if isinstance(given, str) else None
        known: Mapping[str, Field] = own or {n: f for table in fields.STATES.values() for n, f in table.items()}
        if isinstance(value, dict):
            language = _language(value, language)
    else:
        known = _MEMBERS.get(kind, {})
    return {name: field for name, field in known.items() if field.language in (None, language)}


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _names(spot: cursor.Spot, where: _Where, catalogue: Catalogue | None) -> list[Completion]:
    """Return the fields that the object at the cursor may have, those it must have first."""
    value: JSON = spot.root
    for name in spot.path:
        value = _member(value, name)
    given = [name for name in value if name != spot.whole] if isinstance(value, dict) else []
    if where.kind in _PAYLOADS and catalogue and (inside := _parameters(where)) is not None:
        members = catalogue.members(str(where.state.get("Resource")), inside)
        here = {name.removesuffix(".$") for name in given}
        return [Completion(name, "parameter") for name in members if name not in here]
    if where.kind == "states":  # a name that some transition leads to, and no state has
        return [Completion(name, "state") for name in _missing(where.scope, given)]
    known = _fields(where.kind, value, where.language)
    closed = _closed(where, given)
    open_ = [name for name in known if name not in given and name not in closed]
    return [Completion(name, "field") for name in sorted(open_, key=lambda name: not known[name].required)]


#: What stands in the table of fields that exclude each other, by kind; a state stands there by its type.
_GROUPED = {"reader_config": "ReaderConfig", "item_batcher": "ItemBatcher"}


def _closed(where: _Where, given: list[str]) -> set[str]:
    """Return the fields that those *given* leave no room for."""
    if where.kind == "state":
        groups = (*fields.EXCLUSIVE.get(str(where.state.get("Type")), ()), ("Next", "End"))
    elif where.kind in ("rule", "inner_rule"):
        groups = ((*choice.RULE_FIELDS, "And", "Or", "Not", "Condition"), ("Variable", "And", "Or", "Not", "Condition"))
    else:
        groups = fields.EXCLUSIVE.get(_GROUPED.get(where.kind, ""), ())
    closed = {name for group in groups if any(g in given for g in group) for name in group}
    config = _member(where.state.get("ItemProcessor"), "ProcessorConfig") if where.kind == "state" else None
    return closed | (set(fields.DISTRIBUTED_ONLY) if _member(config, "Mode") == "INLINE" else set())


def _parameters(where: _Where) -> tuple[str | int, ...] | None:
    """Return the path inside a task's parameters; None where the cursor is in no such thing."""
    if where.state.get("Type") != "Task" or not isinstance(where.state.get("Resource"), str):
        return None
    inside = where.kind in ("template", "payload") or (where.kind == "any" and where.language == "JSONata")
    return where.payload if inside and where.around.count("state") else None


def _missing(scope: Mapping[str, JSON], given: list[str]) -> list[str]:
    """Return the names that the scope's transitions lead to, and that no state has."""
    return [name for name in dict.fromkeys(_targets(scope)) if name not in given]


def _targets(value: JSON) -> Iterator[str]:
    """Every state that a scope's own transitions name."""
    todo = [value]
    while todo:
        value = todo.pop(0)
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in _TARGETS and isinstance(inner, str):
                    yield inner
                elif name in ("States", "Choices", "Catch"):
                    todo += inner.values() if name == "States" and isinstance(inner, dict) else [inner]
        elif isinstance(value, list):
            todo += value


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _value(
    spot: cursor.Spot, where: _Where, functions: Iterable[str], catalogue: Catalogue | None
) -> tuple[int, str, list[Completion]]:
    """Return what may be the value at the cursor: (where it begins, what was typed of it, what it may be)."""
    kind, name = where.kind, str(spot.path[-1]) if spot.path else ""
    if name in _TARGETS and kind == "text":
        return spot.start, spot.typed, [Completion(n, "state") for n in _siblings(where, spot, name)]
    if kind in fields.WORDS:
        return spot.start, spot.typed, [Completion(word, "word") for word in fields.WORDS[kind]]
    if kind == "text" and name == "Resource":
        return _resources(spot, catalogue)
    simple: dict[str, Callable[[], Iterable[str]]] = {
        "type": lambda: STATE_TYPES,
        "flag": lambda: ("true", "false"),
        "error": lambda: fields.PREDEFINED_ERRORS,
        "errors": lambda: (),
        "reader": lambda: (f"{_ARN}s3:getObject", f"{_ARN}s3:listObjectsV2"),
    }
    if kind in simple:
        return spot.start, spot.typed, [Completion(word, "word") for word in simple[kind]()]
    if kind == "any" and where.around[-1:] in (("rule",), ("inner_rule",)) and choice.RULE_FIELDS.get(name) is bool:
        return spot.start, spot.typed, [Completion(word, "word") for word in ("true", "false")]
    if name == "FunctionName" and (inside := _parameters(where)) is not None and len(inside) == 1:
        return spot.start, spot.typed, [Completion(each, "function") for each in functions]
    return _expression(spot, where, name)


def _siblings(where: _Where, spot: cursor.Spot, name: str) -> list[str]:
    """Return the names of the states that a transition may lead to; its own comes last."""
    states = where.scope.get("States")
    names = [str(each) for each in states] if isinstance(states, dict) else []
    if name == "StartAt":
        return names
    places = [i for i, step in enumerate(spot.path) if step == "States"]
    inside = [spot.path[i + 1] for i in places if i + 1 < len(spot.path)]
    own = next((each for each in reversed(inside) if each in names), None)
    return sorted(names, key=lambda each: each == own)


def _resources(spot: cursor.Spot, catalogue: Catalogue | None) -> tuple[int, str, list[Completion]]:
    """Return integrations: the optimized ones with their patterns; ``aws-sdk:`` by service, then by action."""
    typed = spot.typed.removeprefix(_ARN)
    if catalogue and (m := re.fullmatch(r"aws-sdk:([\w-]+):.*", typed)):
        found = [f"{_ARN}aws-sdk:{m[1]}:{action}" for action in catalogue.actions(m[1])]
        return spot.start, spot.typed, [Completion(each, "resource") for each in found]
    if catalogue and typed.startswith("aws-sdk:"):
        found = [f"{_ARN}aws-sdk:{service}:" for service in catalogue.services()]
    else:
        found = [*_optimized(), f"{_ARN}aws-sdk:"]
    return spot.start, spot.typed, [Completion(each, "resource") for each in found]


def _optimized() -> Iterator[str]:
    for service, actions in fields.OPTIMIZED.items():
        for action in sorted(actions):
            yield f"{_ARN}{service}:{action}"
            for pattern, without in fields.NO_PATTERN.items():
                if service not in without:
                    yield f"{_ARN}{service}:{action}.{pattern}"
            if service == "states":
                yield f"{_ARN}{service}:{action}.sync:2"


# ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────────────

_TAIL = re.compile(r"(\$\$?[\w.]*|States\.\w*)$")


def _expression(spot: cursor.Spot, where: _Where, name: str) -> tuple[int, str, list[Completion]]:
    """Return how a path, an intrinsic call or a JSONata expression may go on."""
    typed = spot.typed
    if where.language == "JSONata":
        inside = typed.rfind("{%") > typed.rfind("%}") or ("{%" in spot.whole and "%}" not in typed)
        known = _jsonata(spot, where) if inside else ["{%  %}"]
    elif where.kind in _PATHS or (where.kind == "payload" and name.endswith(".$")):
        inside, known = True, _jsonpath(spot, where)
    else:
        return spot.start, typed, []
    tail = _TAIL.search(typed)
    part = tail[0] if tail else ""
    if not inside and typed:
        return spot.start, typed, []
    if not tail and typed.strip() and not re.search(r"[\s(,%&+*/<>=\[:-]$", typed):
        return spot.start, typed, []
    head, dot, last = part.rpartition(".")
    steps = [each[len(head) + 1 :] if dot else each for each in known if not dot or each.startswith(head + ".")]
    last = last if dot else part
    shown = dict.fromkeys(step.partition(".")[0] if dot else step for step in steps)
    found = [Completion(step, "function" if step.endswith("(") else "path") for step in shown]
    return spot.start + len(typed) - len(last), last, found


def _jsonpath(spot: cursor.Spot, where: _Where) -> list[str]:
    only_path = where.kind == "reference" or spot.path[-1:] in (("InputPath",), ("OutputPath",), ("Variable",))
    calls = [] if only_path else [f"{name}(" for name in intrinsics.FUNCTIONS]
    return ["$", "$.", *(f"${name}" for name in _variables(spot.root)), *_context("$$", spot.path), *calls]


def _jsonata(spot: cursor.Spot, where: _Where) -> list[str]:
    roots = ["input"]
    caught = "catcher" in where.around
    if where.state.get("Type") in _WORKS and not caught and _after(spot.path):
        roots.append("result")
    if caught:
        roots.append("errorOutput")
    known = ["$states", *(f"$states.{root}" for root in roots), *_context("$states.context", spot.path)]
    known += [f"${name}" for name in _variables(spot.root)]
    return known + [f"${name}(" for name in sorted(jsonata.BUILT_IN)]


def _after(path: tuple[str | int, ...]) -> bool:
    """Whether a state's work is done when the field at *path* is evaluated."""
    return any(step in ("Output", "Assign") for step in path)


def _context(root: str, path: tuple[str | int, ...]) -> Iterator[str]:
    """The context object's paths, each after what it is part of."""
    yield root
    mapped = any(step in ("ItemSelector", "ItemProcessor", "Iterator") for step in path)
    for part, members in fields.CONTEXT.items():
        if part == "Map" and not mapped:
            continue
        yield f"{root}.{part}"
        yield from (f"{root}.{part}.{member}" for member in members)
        if part == "Map":
            yield from (f"{root}.Map.Item.{member}" for member in ("Index", "Value"))


def _variables(root: dict[str, JSON]) -> list[str]:
    """Return the variables that are assigned anywhere in the definition."""
    names: dict[str, None] = {}
    for place in walk(root):
        parts: list[Any] = [place.state]
        for name in ("Choices", "Catch"):
            inner = place.state.get(name)
            parts += inner if isinstance(inner, list) else []
        for part in parts:
            assigned = part.get("Assign") if isinstance(part, dict) else None
            if isinstance(assigned, dict):
                names.update(dict.fromkeys(name.removesuffix(".$") for name in assigned if name))
    return list(names)

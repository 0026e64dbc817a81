"""What is wrong with a definition: everything at once, each thing with its location.

Errors are what AWS refuses, in AWS's words where they are known (`SCHEMA_VALIDATION_FAILED: These fields are
required: [StartAt]`, conformance §8.2 and §8.3). Warnings are ours: what AWS takes and a person would want to know.
`sflab.asl.fields` says which fields there are; `_KINDS` what the value of each kind of field must be. ``${Token}``s
that are not substituted yet fit everywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from sflab.asl import choice, fields, jsonata, mapstate, variables
from sflab.asl.fields import Field
from sflab.asl.intrinsics import IntrinsicSyntaxError, compile_call, java_order
from sflab.asl.model import JSON, STATE_TYPES, TOKEN, resource, scopes, step, unstep
from sflab.asl.paths import PathSyntaxError, compile_path, is_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sflab.asl.model import Definition, Diagnostic

SCHEMA = "SCHEMA_VALIDATION_FAILED"
TARGET = "MISSING_TRANSITION_TARGET"
UNRESOLVED = "UNRESOLVED_VALUE"  # a token in the place of a number: drawn and validated, but not run

_NUMBERS = ("count", "positive", "seconds", "percentage", "rate", "flag", "timestamp")

#: Fields whose strings are never JSONata; branches and processors are checked state by state.
_NOT_EVALUATED = ("Comment", "Resource", "Branches", "ItemProcessor", "Iterator", "Next", "Default", "Type", "Label")
_NAME_LIMIT = 80  # characters of a state's name (quotas page)
_VARIABLE = re.compile(r"[^\W\d]\w{0,79}")


def validate(definition: Definition, type: str = "STANDARD") -> list[Diagnostic]:
    """Return everything found, in the order of the text; *type* is ``STANDARD`` or ``EXPRESS``."""
    checker = _Checker(definition, type)
    checker.top(definition.raw)
    known = variables.assigned(definition.raw)
    pointers = {place.name: place.pointer for place in definition.places()}
    for state, names in variables.references(definition.raw).items():
        for name in sorted(set(names) - known):
            checker.warn("UNDEFINED_VARIABLE", f"no state assigns the variable ${name}", pointers[state])
    for token in definition.unresolved:
        checker.warn(
            "UNRESOLVED_SUBSTITUTION",
            f"{token} is not substituted; give substitutions={{…}}",
            _place(definition, token),
        )
    return sorted(checker.found, key=lambda d: (d.line or 0, d.column or 0))


def _place(definition: Definition, token: str) -> str:
    """Return the location of the first value that holds *token*."""
    todo: list[tuple[str, JSON]] = [("", definition.raw)]
    while todo:
        pointer, value = todo.pop(0)
        if isinstance(value, str) and token in value:
            return pointer
        if isinstance(value, dict):
            if any(token in name for name in value):
                return pointer
            todo += [(pointer + step(k), v) for k, v in value.items()]
        elif isinstance(value, list):
            todo += [(f"{pointer}/{i}", v) for i, v in enumerate(value)]
    return ""


class _Checker:
    """One validation. Methods take a value and its pointer and add what they find; none of them stops at the first."""

    def __init__(self, definition: Definition, type: str) -> None:
        self.definition, self.type = definition, type
        self.found: list[Diagnostic] = []
        self.language = "JSONPath"

    def error(self, message: str, pointer: str, code: str = SCHEMA) -> None:
        self.found.append(self.definition.diagnostic("ERROR", code, message, pointer or "/"))

    def warn(self, code: str, message: str, pointer: str) -> None:
        self.found.append(self.definition.diagnostic("WARNING", code, message, pointer or "/"))

    # ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def top(self, raw: dict[str, JSON]) -> None:
        language = raw.get("QueryLanguage", "JSONPath")
        self.language = language if language in ("JSONPath", "JSONata") else "JSONPath"
        self.table(raw, fields.TOP_LEVEL, "", None)
        self.scope(raw, "", self.language)
        names = Counter(place.name for place in self.definition.places())
        for place in self.definition.places():
            if names[place.name] > 1:
                names[place.name] = 0  # said once
                self.error(
                    f"Duplicate state name: {place.name}; a name is used once in the whole definition", place.pointer
                )
        labels: dict[Any, str] = {}
        for place in self.definition.places():
            label = place.state.get("Label")
            if isinstance(label, str) and labels.setdefault(label, place.pointer) != place.pointer:
                self.error(f"Duplicate label: {label}; a label is used once in the whole definition", place.pointer)

    def scope(self, raw: dict[str, JSON], pointer: str, language: str) -> None:
        """The states of a definition, a branch or an item processor."""
        states = raw.get("States")
        if not isinstance(states, dict):
            return
        start = raw.get("StartAt")
        if isinstance(start, str) and start not in states and "${" not in start:
            self.error(f"Missing 'StartAt' target: {start}", f"{pointer}/StartAt", TARGET)
        for name, state in states.items():
            where = f"{pointer}/States{step(name)}"
            if not isinstance(state, dict):
                self.error("Expected value of type Object", where)
                continue
            if len(name) > _NAME_LIMIT and "${" not in name:
                # Documented as a limit; yet definitions in production have longer ones.
                self.warn(
                    "LONG_STATE_NAME",
                    f"the name has {len(name)} characters; {_NAME_LIMIT} is the documented limit",
                    where,
                )
            self.state(state, where, states, language)
        self.flow(raw, pointer, states)

    def flow(self, raw: dict[str, JSON], pointer: str, states: dict[str, JSON]) -> None:
        """Reachable states, and a way to the end."""
        start = raw.get("StartAt")
        known = {n: s for n, s in states.items() if isinstance(s, dict)}
        if not isinstance(start, str) or start not in known:
            return
        reached, todo = {start}, [start]
        while todo:
            for target, _ in _targets(known[todo.pop()], ""):
                if target in known and target not in reached:
                    reached.add(target)
                    todo.append(target)
        for name in known:
            if name not in reached:
                self.warn("UNREACHABLE_STATE", f"no state leads to {name!r}", f"{pointer}/States{step(name)}")
        if not any(_ends(known[n]) for n in reached):
            self.error(
                'No terminal state: a Succeed or Fail state, or a state with "End": true, must be reachable',
                f"{pointer}/States",
            )

    # ── states ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def state(self, state: dict[str, JSON], pointer: str, siblings: dict[str, JSON], language: str) -> None:
        kind = state.get("Type")
        if isinstance(kind, str) and "${" in kind:
            return
        if kind not in STATE_TYPES:
            if kind is None:
                self.required(["Type"], pointer)
            else:
                self.error(
                    f"The field 'Type' should have one of these values: [{', '.join(STATE_TYPES)}]", f"{pointer}/Type"
                )
            return
        own = state.get("QueryLanguage", language)
        if own == "JSONPath" and self.language == "JSONata" and "QueryLanguage" in state:
            self.error("'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine", pointer)
        own = own if own in ("JSONPath", "JSONata") else language
        self.table(state, fields.STATES[kind], pointer, own)
        for group in fields.EXCLUSIVE.get(kind, ()):
            given = [name for name in group if name in state]
            if len(given) > 1:
                self.error(f"Only one of these fields may be given: [{', '.join(given)}]", pointer)
        for target, where in _targets(state, pointer):
            if isinstance(target, str) and target not in siblings and "${" not in target:
                self.error(
                    f"Missing {unstep(where)[-1]!r} target: {target}{_elsewhere(self.definition, target)}",
                    where,
                    TARGET,
                )
        if "Next" in fields.STATES[kind]:
            self.next_or_end(state, pointer)
        if own == "JSONata":
            self.expressions({n: v for n, v in state.items() if n not in _NOT_EVALUATED}, pointer)
        getattr(self, f"_{kind.lower()}", lambda *_: None)(state, pointer, own)

    def next_or_end(self, state: dict[str, JSON], pointer: str) -> None:
        if ("Next" in state) == (state.get("End") is True):
            both = "Next" in state
            self.error("Exactly one of 'Next' and 'End' must be given" + ("" if both else "; neither is"), pointer)

    def _task(self, state: dict[str, JSON], pointer: str, _language: str) -> None:
        text = state.get("Resource")
        timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
        if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
            self.warn(
                "HEARTBEAT_NOT_BELOW_TIMEOUT", "HeartbeatSeconds is not below TimeoutSeconds: it never matters", pointer
            )
        if not isinstance(text, str) or "${" in text:
            return
        where, found = f"{pointer}/Resource", resource(text)
        if not text.startswith("arn:") or (found.kind == "task" and not _recognised(found)):
            self.error(
                f"The resource provided {text} is not recognized. The value is not a valid resource ARN, or the "
                "resource is not available in this region.",
                where,
            )
        if self.type == "EXPRESS":
            if found.kind == "activity":
                self.error("Express state machine does not support Activity ARN", where)
            elif found.pattern == "sync":
                self.error("Express state machine does not support '.sync' service integration", where)
            elif found.pattern == "waitForTaskToken":
                self.error("Express state machine does not support '.waitForTaskToken' service integration ", where)

    def _choice(self, state: dict[str, JSON], pointer: str, _language: str) -> None:
        if "Default" not in state:
            self.warn(
                "NO_DEFAULT", "without a Default, an input no rule matches fails with States.NoChoiceMatched", pointer
            )

    def _wait(self, state: dict[str, JSON], pointer: str, _language: str) -> None:
        group = fields.EXCLUSIVE["Wait"][0]
        if not any(name in state for name in group):
            self.error(f"One of these fields is required: [{', '.join(group)}]", pointer)

    def _parallel(self, state: dict[str, JSON], pointer: str, _language: str) -> None:
        for where, branch in scopes(state, pointer):
            self.scope(branch, where, self.language)  # a state's own QueryLanguage is for itself alone

    def _map(self, state: dict[str, JSON], pointer: str, language: str) -> None:
        if "ItemProcessor" not in state and "Iterator" not in state:
            self.required(["ItemProcessor"], pointer)
        self._parallel(state, pointer, language)
        for where, words in mapstate.problems(state):
            self.error(words, pointer + where)
        processor = state.get("ItemProcessor", state.get("Iterator"))
        config = processor.get("ProcessorConfig") if isinstance(processor, dict) else None
        if isinstance(config, dict) and config.get("Mode") == "DISTRIBUTED" and self.type == "EXPRESS":
            self.error("Express state machine does not support Distributed Map", pointer)

    # ── fields ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def required(self, names: Iterable[str], pointer: str) -> None:
        self.error(f"These fields are required: [{', '.join(java_order(names))}]", pointer)

    def table(self, value: dict[str, JSON], known: dict[str, Field], pointer: str, language: str | None) -> None:
        """The fields of an object against a table of `fields`."""
        missing = [name for name, field in known.items() if field.required and name not in value]
        if missing:
            self.required(missing, pointer)
        for name, item in value.items():
            field = known.get(name)
            where = pointer + step(name)
            if field is None:
                self.error(f"Field '{name}' is not supported{_did_you_mean(name, known)}", where)
            elif field.language and language and field.language != language:
                self.error(f"Field '{name}' is not supported when 'QueryLanguage' is '{language}'", where)
            else:
                self.value(field.kind, item, where, language or self.language)

    def value(self, kind: str, value: JSON, pointer: str, language: str) -> None:
        if isinstance(value, str) and kind != "any" and TOKEN.search(value):
            if kind in _NUMBERS:
                self.warn(UNRESOLVED, f"{value} has to become a value before this can run", pointer)
            return
        if (
            isinstance(value, str)
            and language == "JSONata"
            and jsonata.is_expression(value)
            and kind not in ("text", "timestamp")
        ):
            return
        _KINDS[kind](self, value, pointer, language)

    def template(self, value: JSON, owner: str) -> None:
        """A payload template: each ``name.$`` is a path or an intrinsic call, and no name comes twice."""
        todo = [value]
        while todo:
            item = todo.pop()
            if isinstance(item, list):
                todo += item
            elif isinstance(item, dict):
                for name, inner in item.items():
                    if name.endswith(".$"):
                        self.dynamic(name, inner, owner)
                        if name[:-2] in item:
                            self.error(f"The fields '{name[:-2]}' and '{name}' would both become '{name[:-2]}'", owner)
                    else:
                        todo.append(inner)

    def dynamic(self, name: str, value: JSON, owner: str) -> None:
        if isinstance(value, str) and ("${" in value or _compiles(value)):
            return
        self.error(
            f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call", owner
        )

    def expressions(self, value: JSON, pointer: str) -> None:
        """Every ``{% … %}`` below *value*: it parses, and is written whole."""
        todo: list[tuple[JSON, str]] = [(value, pointer)]
        while todo:
            item, where = todo.pop()
            if isinstance(item, dict):
                todo += [(inner, where + step(name)) for name, inner in item.items()]
            elif isinstance(item, list):
                todo += [(inner, f"{where}/{i}") for i, inner in enumerate(item)]
            elif isinstance(item, str) and not TOKEN.search(item):
                self.expression(item, where)

    def expression(self, text: str, pointer: str) -> None:
        if text.strip().startswith("{%") != text.strip().endswith("%}") or (
            not jsonata.is_expression(text) and jsonata.is_expression(text.strip())
        ):
            self.error("A JSONata expression begins with {% and ends with %}, with nothing around them", pointer)
        elif jsonata.is_expression(text):
            try:
                jsonata.check(text)
            except jsonata.JsonataSyntaxError as e:
                self.error(f"Invalid JSONata expression: {e}", pointer)

    def errors_of(self, items: list[JSON], pointer: str, what: str) -> None:
        """States.ALL must stand alone and last; what comes after it can never match."""
        for i, item in enumerate(items):
            names = item.get("ErrorEquals") if isinstance(item, dict) else None
            if not isinstance(names, list) or "States.ALL" not in names:
                continue
            where = f"{pointer}/{i}/ErrorEquals"
            if len(names) > 1:
                self.warn("STATES_ALL_NOT_ALONE", "States.ALL must stand alone in ErrorEquals", where)
            if i < len(items) - 1:
                self.warn(
                    "STATES_ALL_NOT_LAST", f"States.ALL takes every error, so the {what}s after it never match", where
                )

    def rule(self, rule: JSON, pointer: str, language: str, depth: int = 0) -> None:
        """One rule of a Choice state; only the outermost has a Next."""
        if not isinstance(rule, dict):
            self.error("Expected value of type Object", pointer)
            return
        if not depth and "Next" not in rule:
            self.required(["Next"], pointer)
        if depth and "Next" in rule:
            self.error("Field 'Next' is not supported inside And, Or and Not", f"{pointer}/Next")
        if "Assign" in rule:
            self.value("assign", rule["Assign"], f"{pointer}/Assign", language)
        if language == "JSONata":
            if "Condition" not in rule:
                self.required(["Condition"], pointer)
            return
        self.comparison(rule, pointer, language, depth)

    def comparison(self, rule: dict[str, JSON], pointer: str, language: str, depth: int) -> None:
        combined = [name for name in ("And", "Or", "Not") if name in rule]
        tests = [name for name in rule if name in choice.RULE_FIELDS]
        if len(combined) + len(tests) != 1:
            found = f"; found [{', '.join(combined + tests)}]" if combined or tests else ""
            self.error(f"A choice rule has exactly one comparison, or one of And, Or, Not{found}", pointer)
        for name in rule:
            if name not in {*choice.RULE_FIELDS, "And", "Or", "Not", "Variable", "Next", "Comment", "Assign"}:
                self.error(
                    f"Field '{name}' is not supported{_did_you_mean(name, choice.RULE_FIELDS)}", pointer + step(name)
                )
        for name in ("And", "Or"):
            if name in rule:
                if not isinstance(rule[name], list) or not rule[name]:
                    self.error("Expected value of type Array, not empty", f"{pointer}/{name}")
                else:
                    for i, inner in enumerate(rule[name]):
                        self.rule(inner, f"{pointer}/{name}/{i}", language, depth + 1)
        if "Not" in rule:
            self.rule(rule["Not"], f"{pointer}/Not", language, depth + 1)
        if tests:
            if "Variable" not in rule:
                self.required(["Variable"], pointer)
            else:
                self.value("path", rule["Variable"], f"{pointer}/Variable", language)
            self.expected(tests[0], rule[tests[0]], f"{pointer}/{tests[0]}", language)

    def expected(self, name: str, value: JSON, pointer: str, language: str) -> None:
        if isinstance(value, str) and "${" in value:
            return
        wanted = choice.RULE_FIELDS[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            kinds = {str: "String", bool: "Boolean"}
            self.error(f"Expected value of type {kinds.get(wanted, 'Number')}", pointer)  # type: ignore[arg-type]
        elif name.endswith("Path"):
            self.value("path", value, pointer, language)
        elif name.startswith("Timestamp"):
            self.value("timestamp", value, pointer, language)


# ── what a field's value must be ─────────────────────────────────────────────────────────────────────────────────────


def _text(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)


def _states(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)
    elif not value:
        c.error("Value cannot be empty", pointer)


def _number(least: float, most: float, *, whole: bool = True) -> Callable[[_Checker, JSON, str, str], None]:
    def check(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
        kinds = int if whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            c.error(f"Expected value of type {'Integer' if whole else 'Number'}", pointer)
        elif not least <= value <= most:
            c.error(f"Value must be between {least:g} and {most:g}, not {value}", pointer)

    return check


def _flag(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, bool):
        c.error("Expected value of type Boolean", pointer)


def _one_of(*allowed: str) -> Callable[[_Checker, JSON, str, str], None]:
    def check(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
        if value not in allowed:
            c.error(
                f"The field '{unstep(pointer)[-1]}' should have one of these values: [{', '.join(allowed)}]", pointer
            )

    return check


def _path(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if value is None and unstep(pointer)[-1] in ("InputPath", "OutputPath"):
        return
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)
        return
    if value.lstrip().startswith("States.") and unstep(pointer)[-1] not in ("InputPath", "OutputPath", "Variable"):
        _expression(c, value, pointer, _language)
        return
    try:
        compile_path(value)
    except PathSyntaxError as e:
        c.error(f"Value is not a valid JSONPath: {e}", pointer)


def _reference(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        c.error("Expected value of type String", pointer)
        return
    try:
        if not is_reference(compile_path(value)):
            c.error("Value is not a Reference Path: only names and indexes may follow $", pointer)
    except PathSyntaxError as e:
        c.error(f"Value is not a Reference Path: {e}", pointer)


def _expression(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, str) or not _compiles(value):
        c.error("Value must be a valid JSONPath or a valid intrinsic function call", pointer)


def _timestamp(c: _Checker, value: JSON, pointer: str, language: str) -> None:
    if (
        language == "JSONata"
        and isinstance(value, str)
        and jsonata.is_expression(value)
        and pointer.endswith("/Timestamp")
    ):
        return
    if choice.timestamp(value) is None:
        c.error("String does not match RFC3339 timestamp", pointer)


def _template(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    c.template(value, pointer)


def _any(c: _Checker, value: JSON, pointer: str, language: str) -> None:
    if language == "JSONPath" and unstep(pointer)[-1] == "ItemSelector":
        c.template(value, pointer)


def _assign(c: _Checker, value: JSON, pointer: str, language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)
        return
    for name in value:
        bare = name.removesuffix(".$")
        if bare == "states" or not (_VARIABLE.fullmatch(bare) or "${" in bare):
            c.error(f"'{bare}' is not a valid variable name", pointer + step(name))
    if language == "JSONPath":
        c.template(value, pointer)


def _list(c: _Checker, value: JSON, pointer: str) -> list[JSON]:
    if not isinstance(value, list):
        c.error("Expected value of type Array", pointer)
        return []
    return value


def _retriers(c: _Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    for i, item in enumerate(items):
        if isinstance(item, dict):
            c.table(item, fields.RETRIER, f"{pointer}/{i}", language)
        else:
            c.error("Expected value of type Object", f"{pointer}/{i}")
    c.errors_of(items, pointer, "retrier")


def _catchers(c: _Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    for i, item in enumerate(items):
        if isinstance(item, dict):
            c.table(item, fields.CATCHER, f"{pointer}/{i}", language)
        else:
            c.error("Expected value of type Object", f"{pointer}/{i}")
    c.errors_of(items, pointer, "catcher")


def _errors(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    items = _list(c, value, pointer)
    if isinstance(value, list) and not value:
        c.error("Value cannot be empty", pointer)
    for i, name in enumerate(items):
        if not isinstance(name, str):
            c.error("Expected value of type String", f"{pointer}/{i}")
        elif name.startswith("States.") and name not in fields.PREDEFINED_ERRORS and not name.startswith("States.Http"):
            c.warn("UNKNOWN_ERROR_NAME", f"there is no predefined error {name}", f"{pointer}/{i}")


def _rules(c: _Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    if isinstance(value, list) and not value:
        c.error("Value cannot be empty", pointer)
    for i, rule in enumerate(items):
        c.rule(rule, f"{pointer}/{i}", language)


def _branches(c: _Checker, value: JSON, pointer: str, language: str) -> None:
    items = _list(c, value, pointer)
    if isinstance(value, list) and not value:
        c.error("Value cannot be empty", pointer)
    for i, branch in enumerate(items):
        _processor_states(c, branch, f"{pointer}/{i}", language)


def _processor_states(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if isinstance(value, dict):
        c.table(value, fields.TOP_LEVEL, pointer, None)
    else:
        c.error("Expected value of type Object", pointer)


def _credentials(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)
    elif "RoleArn" not in value and "RoleArn.$" not in value:
        c.error("The field 'RoleArn' is required but was missing", pointer)


def _object(c: _Checker, value: JSON, pointer: str, _language: str) -> None:
    if not isinstance(value, dict):
        c.error("Expected value of type Object", pointer)


_KINDS: dict[str, Callable[[_Checker, Any, str, str], None]] = {
    "text": _text,
    "type": _text,
    "states": _states,
    "count": _number(0, 2**31),
    "positive": _number(1, 99_999_999),
    "seconds": _number(0, 99_999_999),
    "percentage": _number(0, 100, whole=False),
    "rate": _number(1, 1e9, whole=False),
    "flag": _flag,
    "language": _one_of("JSONPath", "JSONata"),
    "jitter": _one_of("FULL", "NONE"),
    "path": _path,
    "reference": _reference,
    "expression": _expression,
    "timestamp": _timestamp,
    "template": _template,
    "any": _any,
    "assign": _assign,
    "retriers": _retriers,
    "catchers": _catchers,
    "errors": _errors,
    "rules": _rules,
    "branches": _branches,
    "processor_states": _processor_states,
    "processor": _object,
    "credentials": _credentials,
    "object": _object,
}


# ── small questions ──────────────────────────────────────────────────────────────────────────────────────────────────


def _compiles(text: str) -> bool:
    try:
        (compile_call if text.lstrip().startswith("States.") else compile_path)(text)
    except (PathSyntaxError, IntrinsicSyntaxError):
        return False
    return True


def _recognised(found: Any) -> bool:
    if found.type.startswith("aws-sdk:"):
        return True
    return found.action.partition(".")[0] in fields.OPTIMIZED.get(found.type, ())


def _targets(state: dict[str, JSON], pointer: str) -> list[tuple[JSON, str]]:
    """Every state this one names, with where it does."""
    out = [(state[name], f"{pointer}/{name}") for name in ("Next", "Default") if isinstance(state.get(name), str)]
    for name in ("Choices", "Catch"):
        items = state.get(name)
        for i, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict) and isinstance(item.get("Next"), str):
                out.append((item["Next"], f"{pointer}/{name}/{i}/Next"))
    return out


def _ends(state: dict[str, JSON]) -> bool:
    return state.get("Type") in ("Succeed", "Fail") or bool(state.get("End")) or "${" in str(state.get("Next"))


def _elsewhere(definition: Definition, name: str) -> str:
    """A hint for a target that is not beside the state: elsewhere, or nearly so named."""
    names = [place.name for place in definition.places()]
    if name in names:
        return " (it stands in another branch, which no transition can enter or leave)"
    return _did_you_mean(name, names)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f" (did you mean {near[0]!r}?)" if near else ""

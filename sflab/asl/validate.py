"""What is wrong with a definition: everything at once, each thing with its location.

Errors are what AWS refuses, with AWS's code, words and location where they are known: recorded (conformance §8.2 and
§8.3), or reported by users of CreateStateMachine and ValidateStateMachineDefinition. Warnings are what AWS takes and a
person would want to know; AWS has three of its own (NO_DOLLAR, NO_PATH, PASS_RESULT_IS_STATIC), the others are ours.
`sflab.asl.fields` says which fields there are, `sflab.asl.kinds` what the value of each kind must be, and
`sflab.asl.advice` has the warnings. ``${Token}``s that are not substituted yet fit everywhere.

Codes: https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinitionDiagnostic.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sflab.asl import advice, choice, fields, jsonata, loops, variables
from sflab.asl.fields import Field
from sflab.asl.intrinsics import java_order
from sflab.asl.kinds import KINDS, compiles, did_you_mean
from sflab.asl.model import JSON, STATE_TYPES, TOKEN, resource, scopes, step, unstep
from sflab.asl.parse import repeated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sflab.asl.model import Definition, Diagnostic

SCHEMA = "SCHEMA_VALIDATION_FAILED"
TARGET = "MISSING_TRANSITION_TARGET"
NO_END = "MISSING_END_STATE"
UNRESOLVED = "UNRESOLVED_VALUE"  # a token that a run cannot do without: drawn and validated, but not run

_NUMBERS = (*fields.NUMBERS, "flag", "timestamp")

#: Fields whose strings are never JSONata; branches and processors are checked state by state.
_NOT_EVALUATED = (
    "Comment", "Resource", "Branches", "ItemProcessor", "Iterator", "Next", "Default", "Type", "Label", "Retry",
    "ErrorEquals", "CSVHeaders",
)  # fmt: skip
_NAME_LIMIT = 80  # characters of a state's name (quotas page)
_HOLE = re.compile(r"\$\{[^}]*\}")  # a token, or Terraform's ${a.b["c"]}
_ARN = re.compile(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:.+", re.DOTALL)
_RULE = ("And", "Or", "Not", "Variable", "Condition")  # what a choice rule has one of


def validate(definition: Definition, type: str = "STANDARD") -> list[Diagnostic]:
    """Return everything found, in the order of the text; *type* is ``STANDARD`` or ``EXPRESS``."""
    checker = _Checker(definition, type)
    checker.top(definition.raw)
    for pointer in repeated(definition.text, definition.source):
        checker.repeated(pointer)
    for pointer, code, message in variables.unset(definition.raw):
        checker.warn(code, message, pointer)
    for token in definition.unresolved:
        checker.warn(
            "UNRESOLVED_SUBSTITUTION",
            f"{token} is not substituted; give substitutions={{…}}",
            _place(definition, token),
        )
    return sorted(checker.found, key=lambda d: (d.code == NO_END, d.line or 0, d.column or 0))


def refusal(found: Iterable[Diagnostic]) -> str:
    """Return CreateStateMachine's message about the errors among *found*: all of them, as AWS lists them."""
    said = [f"{d.code}: {d.message} at {d.location or 'null'}" for d in found if d.severity == "ERROR"]
    return f"Invalid State Machine Definition: '{', '.join(said)}'"


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
        self.inline = 0  # how many inline Maps are around

    def error(
        self, message: str, pointer: str, code: str = SCHEMA, *, hint: str = "", location: str | None = None
    ) -> None:
        """Add what AWS refuses; *hint* is ours, *location* where AWS points elsewhere than *pointer*."""
        said = f"{message}{hint}" if hint else ""
        self.found.append(self.definition.diagnostic("ERROR", code, message, pointer, said=said, location=location))

    def warn(self, code: str, message: str, pointer: str) -> None:
        self.found.append(self.definition.diagnostic("WARNING", code, message, pointer))

    # ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def top(self, raw: dict[str, JSON]) -> None:
        self.language = _language(raw, "JSONPath")
        self.table(raw, fields.TOP_LEVEL, "", None)
        self.scope(raw, "")
        self.unique("State", [(place.name, place.pointer) for place in self.definition.places()])
        labels = [(place.state.get("Label"), f"{place.pointer}/Label") for place in self.definition.places()]
        self.unique("Label", [(name, where) for name, where in labels if isinstance(name, str) and "${" not in name])

    def unique(self, what: str, named: list[tuple[str, str]]) -> None:
        """Each name is used once in the whole definition."""
        first: dict[str, str] = {}
        for name, where in named:
            if name in first:
                hint = f"; it is that of {self.definition.location(first[name])} as well"
                self.error(f"Duplicate {what} name: {name}", where, f"DUPLICATE_{what.upper()}_NAME", hint=hint)
            first.setdefault(name, where)

    def repeated(self, pointer: str) -> None:
        """A member that its object has twice: of States an error, elsewhere the last one counts."""
        steps = unstep(pointer)
        if steps[-2:-1] == ["States"]:
            self.error(f"Duplicate State name: {steps[-1]}", pointer, "DUPLICATE_STATE_NAME")
        else:
            self.warn("DUPLICATE_FIELD", f"{steps[-1]!r} stands here twice; the last one counts", pointer)

    def scope(self, raw: dict[str, JSON], pointer: str) -> None:
        """The states of a definition, a branch or an item processor."""
        states = raw.get("States")
        if not isinstance(states, dict):
            return
        for name, state in states.items():
            where = f"{pointer}/States{step(name)}"
            if not isinstance(state, dict):
                self.error("Expected value of type Object", where)
                continue
            if len(name) > _NAME_LIMIT and "${" not in name:
                # A limit by the quotas page; yet definitions in production have longer ones.
                self.warn(
                    "LONG_STATE_NAME",
                    f"the name has {len(name)} characters; {_NAME_LIMIT} is the documented limit",
                    where,
                )
            self.state(state, where, states)
        self.flow(raw, pointer, states)

    def flow(self, raw: dict[str, JSON], pointer: str, states: dict[str, JSON]) -> None:
        """A way in for each state, a way to the end, and loops.

        AWS asks of the top level alone that some state is terminal, and says nothing of unreachable states where
        none is; it refuses a state that nothing names, and takes one that only unreachable states name (all reported).
        """
        start = raw.get("StartAt")
        if not isinstance(start, str):  # said; AWS says no more then (recorded)
            return
        known = {name: state for name, state in states.items() if isinstance(state, dict)}
        after = {name: [t for t, _ in advice.targets(state, "") if t in known] for name, state in known.items()}
        tokens = any(
            "${" in str(t) for t in (start, *known, *(t for s in known.values() for t, _ in advice.targets(s, "")))
        )
        if start not in states:
            self.target(start, f"{pointer}/StartAt", states)
        if known and not any(map(_ends, known.values())):
            where = f"{pointer}/States"
            if not pointer:
                hint = ': no Succeed or Fail state, and none with "End": true'
                self.error("Workflow has no terminal state", where, NO_END, hint=hint, location="")
                return
            self.warn("NO_END", "no state here is terminal, so this never ends", where)
        named = {start, *(t for each in after.values() for t in each)}
        reached = set(known) if tokens else loops.reachable(after, start) if start in known else set()
        for name in known:
            where = f"{pointer}/States{step(name)}"
            if not tokens and name not in named:
                self.error(f'State "{name}" is not reachable.', where, TARGET)
            elif not tokens and start in known and name not in reached:
                self.warn("UNREACHABLE_STATE", f"no way from StartAt leads to {name!r}", where)
        if reached and any(map(_ends, known.values())) and not any(_ends(known[n]) for n in reached):
            self.warn(
                "NO_END", f"no way from {start!r} leads to a terminal state, so this never ends", f"{pointer}/States"
            )
        if self.type == "STANDARD":
            advice.endless(raw, pointer, reached, self.warn)

    def target(self, target: str, pointer: str, siblings: dict[str, JSON]) -> None:
        """A transition to a state that there is not."""
        if "${" in target:
            self.warn(UNRESOLVED, f"{target} has to become a state's name before this can run", pointer)
            return
        hint = _elsewhere(self.definition, target, siblings)
        self.error(f"Missing 'Next' target: {target}", pointer, TARGET, hint=hint)  # AWS's words, also of StartAt

    # ── states ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def state(self, state: dict[str, JSON], pointer: str, siblings: dict[str, JSON]) -> None:
        kind = state.get("Type")
        if isinstance(kind, str) and "${" in kind:
            self.warn(UNRESOLVED, f"{kind} has to become a type before this can run", f"{pointer}/Type")
            return
        if kind not in STATE_TYPES:
            if kind is None:
                self.required(["Type"], pointer)
            else:
                hint = did_you_mean(str(kind), STATE_TYPES)
                self.error(
                    f"The field 'Type' should have one of these values: [{', '.join(STATE_TYPES)}]",
                    f"{pointer}/Type",
                    hint=hint,
                )
            return
        own = _language(state, self.language)
        mixed = own == "JSONPath" and self.language == "JSONata"
        if mixed:
            self.error("'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine", pointer)
        self.table(state, fields.STATES[kind], pointer, own, mixed=mixed)
        self.one_each(state, kind, pointer)
        for target, where in advice.targets(state, pointer):
            if isinstance(target, str) and target not in siblings:
                self.target(target, where, siblings)
        if "Next" in fields.STATES[kind]:
            self.next_or_end(state, pointer)
        if own == "JSONata":
            self.expressions({n: v for n, v in state.items() if n not in _NOT_EVALUATED}, pointer, kind)
        else:
            advice.literals(state, pointer, self.warn)
        advice.never_matches(state, pointer, self.warn)
        if self.type == "STANDARD":
            advice.attempts(state, pointer, self.warn)
        getattr(self, f"_{kind.lower()}", lambda *_: None)(state, pointer)

    def next_or_end(self, state: dict[str, JSON], pointer: str) -> None:
        if "Next" in state and state.get("End") is True:
            self.error("There should only be one of the following fields: [Next, End]", pointer)
        elif "Next" not in state and state.get("End") is not True and not TOKEN.search(str(state.get("End"))):
            self.error(
                "This object should have only one of the following fields: [Next, End]", pointer, hint="; it has none"
            )

    def _task(self, state: dict[str, JSON], pointer: str) -> None:
        advice.task(state, pointer, self.warn)
        text = state.get("Resource")
        if not isinstance(text, str) or _HOLE.search(text):
            return
        where, found = f"{pointer}/Resource", resource(text)
        if not text.startswith("arn:"):
            self.error("Value is not a valid resource ARN", where, hint=f": {text!r} does not begin with arn:")
        elif not _ARN.match(text) or (found.kind == "task" and not _recognised(found)):
            self.error(
                f"The resource provided {text} is not recognized. The value is not a valid resource ARN, or the "
                "resource is not available in this region.",
                where,
                hint=_near_resource(found),
            )
        elif text.split(":")[2] == "":
            said = "an ARN names its service between the second colon and the third; here is nothing"
            self.warn("MALFORMED_ARN", said, where)
        if found.kind == "activity" and "Credentials" in state:
            self.error("The field 'Credentials' is not supported for activities", f"{pointer}/Credentials")
        if self.type == "EXPRESS":
            if found.kind == "activity":
                self.error("Express state machine does not support Activity ARN", where)
            elif found.pattern == "sync":
                self.error("Express state machine does not support '.sync' service integration", where)
            elif found.pattern == "waitForTaskToken":
                self.error("Express state machine does not support '.waitForTaskToken' service integration ", where)

    def _choice(self, state: dict[str, JSON], pointer: str) -> None:
        if "Default" not in state:
            self.warn(
                "NO_DEFAULT", "without a Default, an input no rule matches fails with States.NoChoiceMatched", pointer
            )

    def _parallel(self, state: dict[str, JSON], pointer: str) -> None:
        for where, branch in scopes(state, pointer):
            self.scope(branch, where)  # a state's own QueryLanguage is for itself alone (reported)

    def _map(self, state: dict[str, JSON], pointer: str) -> None:
        around = self.type, self.inline
        if advice.distributed(state):
            configs = [each.get("ProcessorConfig") for _, each in scopes(state, pointer)]
            express = any(isinstance(each, dict) and each.get("ExecutionType") == "EXPRESS" for each in configs)
            self.type = "EXPRESS" if express else "STANDARD"  # each item has an execution of its own
            self.inline = 0
        else:
            for name in fields.DISTRIBUTED_ONLY:
                if name in state:
                    self.warn("DISTRIBUTED_ONLY", f"{name} is for a Distributed Map only", pointer + step(name))
            if self.type == "STANDARD":
                advice.items(state, pointer, self.inline, self.warn)
            self.inline += 1
        self._parallel(state, pointer)
        self.type, self.inline = around

    # ── fields ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def required(self, names: Iterable[str], pointer: str) -> None:
        self.error(f"These fields are required: [{', '.join(java_order(names))}]", pointer)

    def one_each(self, value: dict[str, JSON], groups: str, pointer: str) -> None:
        """No two fields of a group of `fields.EXCLUSIVE`, and one of `fields.ONE_OF`."""
        for group in fields.EXCLUSIVE.get(groups, ()):
            given = [name for name in group if name in value]
            if len(given) > 1:
                hint = f"; it has {', '.join(given)}"
                self.error(
                    f"There should only be one of the following fields: [{', '.join(group)}]", pointer, hint=hint
                )
            elif not given and group == fields.ONE_OF.get(groups):
                names = ", ".join(group)
                self.error(
                    f"This object should have only one of the following fields: [{names}]",
                    pointer,
                    hint="; it has none",
                )

    def table(
        self,
        value: dict[str, JSON],
        known: dict[str, Field],
        pointer: str,
        language: str | None,
        *,
        mixed: bool = False,
    ) -> None:
        """The fields of an object against a table of `fields`; *mixed*: nothing more is said of the query language."""
        missing = [name for name, field in known.items() if field.required and name not in value]
        if missing:
            self.required(missing, pointer)
        around = self.definition.location(pointer)  # AWS points there, not at the field
        for name, item in value.items():
            field = known.get(name)
            where = pointer + step(name)
            if field is None:
                hint = did_you_mean(name, known)
                self.error(f"Field '{name}' is not supported", where, hint=hint, location=around)
            elif field.language and language and field.language != language:
                if not mixed:
                    self.error(_other_language(name, language, field.language), where, location=around)
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
        KINDS[kind](self, value, pointer, language)

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
        if isinstance(value, str) and ("${" in value or compiles(value)):
            return
        self.error(
            f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call", owner
        )

    def expressions(self, value: JSON, pointer: str, kind: str) -> None:
        """Every ``{% … %}`` below *value*, a state of that *kind*: it parses, reads what there is, is written whole."""
        todo: list[tuple[JSON, str]] = [(value, pointer)]
        while todo:
            item, where = todo.pop()
            if isinstance(item, dict):
                literal = unstep(where[len(pointer) :])  # a payload's members may be named as the language's fields are
                skipped = (
                    ()
                    if set(literal) & {"Output", "Assign", "Arguments", "ItemSelector", "BatchInput"}
                    else _NOT_EVALUATED
                )
                todo += [(inner, where + step(name)) for name, inner in item.items() if name not in skipped]
                for name in item:
                    if name.endswith(".$") and literal:
                        said = f"{name!r} is a name like any other: JSONata reads what stands between {{% and %}}"
                        self.warn("NOT_EVALUATED", said, where + step(name))
            elif isinstance(item, list):
                todo += [(inner, f"{where}/{i}") for i, inner in enumerate(item)]
            elif isinstance(item, str) and (token := TOKEN.search(item)):
                if jsonata.is_expression(item) and any(jsonata.faults(item)):
                    self.warn(UNRESOLVED, f"{token[0]} has to become a value before this can run", where)
            elif isinstance(item, str):
                self.expression(item, where, unstep(where[len(pointer) :]), kind)

    def expression(self, text: str, pointer: str, field: list[str], kind: str) -> None:
        """One string of a JSONata state; *field* is its place in the state, by steps."""
        if not jsonata.is_expression(text) and jsonata.is_expression(text.strip()):
            # AWS takes it for text (recorded: " {% states.input %} ")
            self.warn("NOT_EVALUATED", "this is text: an expression begins with {% and ends with %}", pointer)
        elif text.strip().startswith("{%") != text.strip().endswith("%}"):
            self.error("JSONata string must start with {% and end with %}", pointer, hint=", with nothing around them")
        elif jsonata.is_expression(text):
            for fault in jsonata.faults(text):
                said = str(fault)
                hint = "" if said == fault.message else f" [{said}]"
                self.error(fault.message, pointer, fault.code, hint=hint)
            read, caught = jsonata.members(text), field[0] == "Catch"
            if "errorOutput" in read and not caught:
                self.error("Field '$states.errorOutput' does not exist.", pointer, jsonata.UNSUPPORTED)
            has_result = not caught and kind in ("Task", "Parallel", "Map") and field[0] in ("Output", "Assign")
            for name in sorted(read - {"input", "context", "errorOutput", *(["result"] if has_result else [])}):
                self.warn("NO_SUCH_INPUT", f"$states.{name} is not there in this field", pointer)

    def errors_of(self, items: list[JSON], pointer: str) -> None:
        """States.ALL stands alone and last."""
        for i, item in enumerate(items):
            names = item.get("ErrorEquals") if isinstance(item, dict) else None
            if isinstance(names, list) and "States.ALL" in names and (len(names) > 1 or i < len(items) - 1):
                self.error("States.ALL must appear alone and at end of list", f"{pointer}/{i}/ErrorEquals")

    def rule(self, rule: JSON, pointer: str, language: str, depth: int = 0) -> None:
        """One rule of a Choice state; only the outermost has a Next, an Assign and an Output."""
        if not isinstance(rule, dict):
            self.error("Expected value of type Object", pointer)
            return
        if not depth and "Next" not in rule:
            self.required(["Next"], pointer)
        around = self.definition.location(pointer)
        outer = ("Next", "Assign", *(["Output"] if language == "JSONata" else []))
        known = {*choice.RULE_FIELDS, *_RULE, "Comment", *(outer if not depth else ())}
        for name in rule:
            if name not in known:
                hint = " inside And, Or and Not" if depth and name in outer else did_you_mean(name, choice.RULE_FIELDS)
                self.error(f"Field '{name}' is not supported", pointer + step(name), hint=hint, location=around)
        if "Assign" in rule and not depth:
            self.value("assign", rule["Assign"], f"{pointer}/Assign", language)
        foreign = (
            ["Condition"] if language == "JSONPath" else [n for n in rule if n in (*_RULE[:-1], *choice.RULE_FIELDS)]
        )
        for name in foreign:
            if name in rule:
                other = "JSONata" if language == "JSONPath" else "JSONPath"
                self.error(_other_language(name, language, other), pointer + step(name), location=around)
        if any(name in rule for name in foreign):
            return
        if sum(name in rule for name in _RULE) != 1:
            given = [name for name in _RULE if name in rule]
            hint = f"; it has {', '.join(given) or 'none'}"
            self.error(
                f"The object must have only one of the following fields, [{', '.join(_RULE)}]", pointer, hint=hint
            )
        if language == "JSONPath":
            self.comparison(rule, pointer, language, depth)

    def comparison(self, rule: dict[str, JSON], pointer: str, language: str, depth: int) -> None:
        tests = [name for name in rule if name in choice.RULE_FIELDS]
        if "Variable" in rule and len(tests) != 1:
            hint = "; it has none" if not tests else ""
            names = ", ".join(tests or ("StringEquals", "…"))
            self.error(f"There should only be one of the following fields: [{names}]", pointer, hint=hint)
        for name in ("And", "Or"):
            if name in rule:
                if not isinstance(rule[name], list) or not rule[name]:
                    self.error("Expected value of type Array, not empty", f"{pointer}/{name}")
                else:
                    for i, inner in enumerate(rule[name]):
                        self.rule(inner, f"{pointer}/{name}/{i}", language, depth + 1)
        if "Not" in rule:
            self.rule(rule["Not"], f"{pointer}/Not", language, depth + 1)
        if "Variable" in rule:
            self.value("reference", rule["Variable"], f"{pointer}/Variable", language)
        if tests:
            self.expected(tests[0], rule[tests[0]], f"{pointer}/{tests[0]}", language)

    def expected(self, name: str, value: JSON, pointer: str, language: str) -> None:
        if isinstance(value, str) and "${" in value:
            return
        wanted = choice.RULE_FIELDS[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            kinds = {str: "String", bool: "Boolean"}
            self.error(f"Expected value of type {kinds.get(wanted, 'Number')}", pointer)  # type: ignore[arg-type]
        elif name.endswith("Path"):
            self.value("reference", value, pointer, language)
        elif name.startswith("Timestamp"):
            self.value("timestamp", value, pointer, language)


# ── small questions ──────────────────────────────────────────────────────────────────────────────────────────────────


def _language(owner: dict[str, JSON], around: str) -> str:
    """The query language of a state or a definition: JSONata unless it says exactly ``JSONPath`` (reported)."""
    own = owner.get("QueryLanguage", around)
    if isinstance(own, str) and "${" in own:
        return around
    return "JSONPath" if own == "JSONPath" else "JSONata"


def _other_language(name: str, language: str, other: str) -> str:
    only = f"field '{name}' is only supported for the '{other}' QueryLanguage"
    return f"The QueryLanguage is set to '{language}', but {only}"


def _recognised(found: Any) -> bool:
    action, _, suffix = found.action.partition(".")
    service = "aws-sdk" if found.type.startswith("aws-sdk:") else found.type
    if suffix and (found.pattern not in fields.NO_PATTERN or service in fields.NO_PATTERN[found.pattern]):
        return False
    if suffix not in ("", found.pattern) and (service, suffix) != ("states", "sync:2"):
        return False
    return service == "aws-sdk" or action in fields.OPTIMIZED.get(service, ())


def _near_resource(found: Any) -> str:
    """A hint at what the integration may be: its actions, or aws-sdk."""
    actions = fields.OPTIMIZED.get(found.type)
    if found.kind != "task":
        return ""
    if not actions:
        return f" Other services are called as arn:aws:states:::aws-sdk:{found.type}:{found.action}."
    if found.action.partition(".")[0] not in actions:
        return f" {found.type} has {', '.join(sorted(actions))}; others are called as aws-sdk:{found.type}:…"
    return f" {found.type} has no .{found.pattern}."


def _ends(state: dict[str, JSON]) -> bool:
    return (
        state.get("Type") in ("Succeed", "Fail")
        or bool(state.get("End"))
        or "${" in f"{state.get('Next')}{state.get('Type')}"
    )


def _elsewhere(definition: Definition, name: str, siblings: dict[str, JSON]) -> str:
    """A hint for a target that is not beside the state: elsewhere, or nearly so named."""
    if near := did_you_mean(name, siblings):
        return near
    if any(place.name == name for place in definition.places()):
        return " (it stands in another branch, which no transition can enter or leave)"
    return did_you_mean(name, [place.name for place in definition.places()])

"""Choice rules: one small function per operator in a table, compiled once into closures over (input, scope).

Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html and 295 recorded comparisons: a value of
another type than the operator's makes the rule false, never an error; only a path that leads nowhere is one.
"""

from __future__ import annotations

import operator
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, runtime_error
from sflab.asl.paths import Path, PathNotFoundError, Scope, compile_path

if TYPE_CHECKING:
    from collections.abc import Callable

Test = "Callable[[JSON, Scope], bool]"

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def timestamp(value: JSON) -> datetime | None:
    """Return the moment an RFC 3339 text (upper-case T and Z) names; None for anything else."""
    m = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if not m:
        return None
    try:
        moment = datetime.fromisoformat(m[1] + ("+00:00" if m[3] == "Z" else m[3]))
        return moment.replace(microsecond=int((m[2] or "0").ljust(6, "0")[:6])).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: JSON) -> JSON:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _string(value: JSON) -> JSON:
    return value if isinstance(value, str) else None


def _boolean(value: JSON) -> JSON:
    return value if isinstance(value, bool) else None


#: What an operator compares: its prefix -> (the value as that type, or None).
KINDS: dict[str, Callable[[JSON], Any]] = {
    "String": _string,
    "Numeric": _number,
    "Boolean": _boolean,
    "Timestamp": timestamp,
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "GreaterThan": operator.gt,
    "LessThanEquals": operator.le,
    "GreaterThanEquals": operator.ge,
}
#: "NumericLessThan" -> (as number, <); Booleans can only be equal.
OPERATORS: dict[str, tuple[Callable[[JSON], Any], Callable[[Any, Any], bool]]] = {
    kind + name: (cast, compare)
    for kind, cast in KINDS.items()
    for name, compare in COMPARISONS.items()
    if kind != "Boolean" or name == "Equals"
}
#: The Is… operators on a value that is there.
CHECKS: dict[str, Callable[[JSON], bool]] = {
    "IsNull": lambda v: v is None,
    "IsString": lambda v: isinstance(v, str),
    "IsNumeric": lambda v: _number(v) is not None,
    "IsBoolean": lambda v: isinstance(v, bool),
    "IsTimestamp": lambda v: timestamp(v) is not None,
}
_WRITTEN: dict[str, type | tuple[type, ...]] = {"S": str, "N": (int, float), "B": bool, "T": str}
#: Every field of a rule that compares, with the type its value must have.
RULE_FIELDS: dict[str, type | tuple[type, ...]] = {
    **{n: _WRITTEN[n[0]] for n in OPERATORS},
    **{f"{n}Path": str for n in OPERATORS},
    "StringMatches": str,
    "IsPresent": bool,
    **dict.fromkeys(CHECKS, bool),
}


def compile_rule(rule: dict[str, JSON]) -> Callable[[JSON, Scope], bool]:
    """Compile one rule of a Choice state (a comparison, or And, Or, Not over rules); the definition must be valid."""
    if "And" in rule:
        tests = [compile_rule(r) for r in rule["And"]]
        return lambda value, scope: all(test(value, scope) for test in tests)
    if "Or" in rule:
        tests = [compile_rule(r) for r in rule["Or"]]
        return lambda value, scope: any(test(value, scope) for test in tests)
    if "Not" in rule:
        inner = compile_rule(rule["Not"])
        return lambda value, scope: not inner(value, scope)
    variable = compile_path(rule["Variable"])
    name = next(field for field in rule if field in RULE_FIELDS)
    return _comparison(name, rule[name], variable)


def _comparison(name: str, expected: JSON, variable: Path) -> Callable[[JSON, Scope], bool]:
    if name == "IsPresent":
        return lambda value, scope: _present(variable, value, scope) is expected
    if name in CHECKS:
        check = CHECKS[name]
        return lambda value, scope: check(_read(variable, value, scope)) is expected
    if name == "StringMatches":
        pattern = _glob(expected)
        return lambda value, scope: isinstance(found := _read(variable, value, scope), str) and pattern(found)
    cast, compare = OPERATORS[name.removesuffix("Path")]
    if name.endswith("Path"):
        other = compile_path(expected)
        return lambda value, scope: _both(
            compare, cast(_read(variable, value, scope)), cast(_read(other, value, scope))
        )
    wanted = cast(expected)
    return lambda value, scope: _both(compare, cast(_read(variable, value, scope)), wanted)


def _both(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    return left is not None and right is not None and compare(left, right)


def _read(path: Path, value: JSON, scope: Scope) -> JSON:
    try:
        return path.read(value, scope)
    except PathNotFoundError:
        cause = f"Invalid path '{path.text}': The choice state's condition path references an invalid value."
        raise runtime_error(cause) from None


def _present(path: Path, value: JSON, scope: Scope) -> bool:
    try:
        found = path.read(value, scope)
    except PathNotFoundError:
        return False
    return path.definite or found != []


def _glob(pattern: str) -> Callable[[str], bool]:
    r"""``*`` stands for any text; ``\*`` is a star, ``\\`` a backslash (States Language, "StringMatches").

    Pieces are looked for from left to right, so that no pattern takes more than a pass over the text.
    """
    tokens = re.findall(r"\\[*\\]|\*|[^*\\]+|\\", pattern, re.DOTALL)
    pieces = [""]
    for token in tokens:
        if token == "*":
            pieces.append("")
        else:
            pieces[-1] += token[1:] if token in (r"\*", "\\\\") else token
    first, *middle = pieces
    if not middle:
        return lambda text: text == first
    last = middle.pop()

    def matches(text: str) -> bool:
        end = len(text) - len(last)
        at = len(first)
        if at > end or not text.startswith(first) or not text.endswith(last):
            return False
        for piece in middle:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return matches

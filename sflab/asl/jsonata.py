"""JSONata as Step Functions has it: the one place that knows which engine evaluates it.

Every ``{% … %}`` string of a template is compiled when the definition is loaded, all of them into *one*
expression, which reads ``$states`` lazily from the input document. Differences from plain JSONata, as AWS
documents them (https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html): ``$states`` with
``input``, ``result``, ``errorOutput`` and ``context``; the functions ``$partition $range $hash $random(seed) $uuid
$parse``; no ``$eval``; ``$`` and ``$$`` and bare field names name nothing at the top level. The clock is the
execution's, chance its seeded generator, and every evaluation is bounded in steps, depth and time, so that no
expression can hang.

Failures are `StatesError` ``States.QueryEvaluationError`` with AWS's text and the location of the field
(``Output/total``), as recorded (conformance §6.1, §8.1).
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import uuid
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, StatesError, compact
from sflab.asl.paths import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    Closure = Callable[[JSON, Scope], JSON]  # (the members of $states, scope) -> value

MAX_SECONDS = 2.0  # of yours: an evaluation that takes longer is hostile, and fails
MAX_STEPS = 5_000_000
MAX_DEPTH = 500
MAX_ITEMS = 10_000_000
MAX_RESULT = 4 * 1024 * 1024  # bytes; the state's own limit of 256 KiB comes after

_PREFIX = "($states := states; "
_NAMES = re.compile(r"\$([A-Za-z_]\w*)")
_FREE_CONTEXT = re.compile(r"context|\$states(?!\s*\.\s*(?:input|result|errorOutput)\b)")
_EVAL = re.compile(r"\$eval\b")
_ASIDE = re.compile(r"/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)  # comments and strings


class JsonataSyntaxError(ValueError):
    """The text between ``{%`` and ``%}`` is no JSONata that Step Functions takes; the message says why."""


def is_expression(value: JSON) -> bool:
    """Whether a string is to be evaluated: it begins with ``{%`` and ends with ``%}``."""
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def check(text: str) -> None:
    """Raise JsonataSyntaxError unless ``{% … %}`` holds an expression that Step Functions takes."""
    body = text[2:-2].strip()
    if not body:
        raise JsonataSyntaxError("the expression is empty")
    compiled = _parsed(body)
    if _EVAL.search(_ASIDE.sub("''", body)):
        raise JsonataSyntaxError("$eval is not available in Step Functions")
    for name in _FUNCTIONS:
        compiled.register_function(name, lambda *_: None)
    named = compiled.reads().get("input")  # True where it cannot tell: a function made in the expression is called
    if body in ("$", "$$") or (isinstance(named, dict) and named):
        raise JsonataSyntaxError("$, $$ and bare field names name nothing here; data is in $states.input")


def variables(text: str) -> set[str]:
    """Return the names ``{% … %}`` reads that it does not bind itself; none where it does not parse."""
    try:
        compiled = _parsed(text[2:-2].strip())
    except JsonataSyntaxError:
        return set()
    return set(compiled.reads().get("bindings", ())) - {"states", *_FUNCTIONS}


def _parsed(body: str) -> Any:
    import jlens

    try:
        return jlens.Expression(body)
    except jlens.JlensError as e:
        where = "" if e.position is None else f" at character {e.position + 1}"
        raise JsonataSyntaxError(f"{e.code}: {e}{where}") from None
    except ValueError as e:  # half a surrogate pair
        raise JsonataSyntaxError(str(e)) from None


class _Part:
    """One ``{% … %}`` of a template: where it stands and what it says."""

    __slots__ = ("body", "code", "field")

    def __init__(self, text: str, field: str) -> None:
        self.body, self.field = text[2:-2].strip(), field
        self.code: Any = None  # compiled alone when a failure has to be explained


def compile_field(raw: JSON, field: str, *, expect: str | None = None) -> Closure:
    """Compile a field's value: JSON with ``{% … %}`` strings anywhere in it.

    The closure is given the members of ``$states`` (``{"input": …}``; the context is added when it is read) and
    the scope.
    *field* is its name in AWS's messages, *expect* the JSON type the whole value must have (``array``, ``boolean``).
    """
    parts: list[_Part] = []
    build = _builder(raw, field, parts)
    if build is None:
        return lambda _states, _scope: raw
    flat = isinstance(raw, dict) and all(map(is_expression, raw.values()))  # what is evaluated is the value already
    keys = list(raw) if flat else [str(i) for i in range(len(parts))]
    members = [f"{json.dumps(k, ensure_ascii=False)}: ({p.body}\n)" for k, p in zip(keys, parts, strict=True)]
    whole = _Code(f"{_PREFIX}{{{', '.join(members)}}})")
    wants_context = any(_FREE_CONTEXT.search(part.body) for part in parts)
    count = len(parts)

    def evaluate(states: JSON, scope: Any) -> JSON:
        if wants_context:
            states = {**states, "context": scope.context()}
        try:
            found = whole.run(states, scope)
        except whole.failures:
            found = None
        if found is None or len(found) < count:
            _explain(parts, states, scope)
        value = found if flat else build(found)
        if expect is not None and _type(value) != expect:
            found_type = f"but was '{_type(value)}' for value: {compact(value)}"
            raise _failure(parts[0], f"returned an unexpected result type. Expected '{expect}', {found_type}")
        return value

    return evaluate


def evaluated(raw: JSON, field: str, expect: str | None = None) -> Closure:
    """Compile a field of a state that has no result yet: a closure over (the state's input, scope)."""
    evaluate = compile_field(raw, field, expect=expect)
    return lambda value, scope: evaluate({"input": value}, scope)


def query_error(cause: str, location: str) -> StatesError:
    """``States.QueryEvaluationError`` of the field at *location*; ``""`` where AWS names none."""
    return StatesError("States.QueryEvaluationError", cause, runtime=True, location=location)


def _builder(raw: JSON, field: str, parts: list[_Part]) -> Callable[[dict[str, JSON]], JSON] | None:
    """Return what puts the evaluated parts into their places, or None for a constant."""
    if is_expression(raw):
        key = str(len(parts))
        parts.append(_Part(raw, field))
        return lambda found: found[key]
    if isinstance(raw, dict):
        members = [(name, item, _builder(item, f"{field}/{name}", parts)) for name, item in raw.items()]
        if all(build is None for _, _, build in members):
            return None
        return lambda found: {name: build(found) if build else item for name, item, build in members}
    if isinstance(raw, list):
        items = [(item, _builder(item, f"{field}[{i}]", parts)) for i, item in enumerate(raw)]
        if all(build is None for _, build in items):
            return None
        return lambda found: [build(found) if build else item for item, build in items]
    return None


class _Code:
    """An expression compiled, with what it may read beside ``$states``."""

    __slots__ = ("added", "code", "failures", "names")

    def __init__(self, text: str) -> None:
        import jlens

        self.code = _parsed(text)
        self.failures = (jlens.JlensError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError)
        names = _NAMES.findall(text)
        self.names = frozenset(names)
        self.added = tuple(name for name in _FUNCTIONS if name in self.names)

    def run(self, states: JSON, scope: Any) -> JSON:
        """Evaluate within the limits; raises one of ``failures``."""
        bindings = {name: value for name, value in scope.variables.items() if name in self.names}
        for name in self.added:
            if name not in bindings:  # a variable of that name wins
                bindings[name] = _FUNCTIONS[name](scope.chance)
        return self.code.evaluate(
            {"states": states},
            bindings or None,
            timeout=MAX_SECONDS,
            max_steps=MAX_STEPS,
            max_depth=MAX_DEPTH,
            max_string_length=MAX_RESULT,
            max_array_length=MAX_ITEMS,
            max_result_size=MAX_RESULT,
            now=int(scope.now * 1000),
        )


def _explain(parts: list[_Part], states: JSON, scope: Any) -> None:
    """Find the first part that fails, alone, and raise its failure in AWS's words."""
    for part in parts:
        if part.code is None:
            part.code = _Code(f'{_PREFIX}{{"type": $type(({part.body}\n)), "value": ({part.body}\n)}})')
        try:
            found = part.code.run(states, scope)
        except part.code.failures as e:
            code = getattr(e, "code", None)
            raise _failure(part, f"threw an error during evaluation. {f'{code}: ' if code else ''}{e}") from None
        if found.get("type") == "function":
            raise _failure(part, "returned an unsupported result type.")
        if "value" not in found:
            raise _failure(part, "returned nothing (undefined).")
    raise _failure(parts[0], "returned an unsupported result type.")


def _failure(part: _Part, what: str) -> StatesError:
    cause = f"The JSONata expression '{part.body}' specified for the field '{part.field}' {what}"
    return StatesError("States.QueryEvaluationError", cause, runtime=True, location=part.field)


def _type(value: JSON) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {type(None): "null", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "number")


# ── the functions AWS adds ───────────────────────────────────────────────────────────────────────────────────────────

_HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def _partition(items: JSON, size: JSON) -> JSON:
    if not isinstance(items, list) or not isinstance(size, (int, float)) or size < 1:
        raise ValueError("$partition takes an array and a size of at least 1")
    width = int(size)
    return [items[i : i + width] for i in range(0, len(items), width)]


def _range(first: JSON, last: JSON, by: JSON) -> JSON:
    if not all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (first, last, by)) or not by:
        raise ValueError("$range takes a first number, a last number and a step that is not 0")
    count = int((last - first) / by) + 1 if (last - first) / by >= 0 else 0
    if count > 100_000:
        raise ValueError("$range would give more than 100,000 numbers")
    numbers = [first + i * by for i in range(count)]
    return numbers[0] if count == 1 else numbers  # a sequence of one is its item (recorded)


def _hash(value: JSON, algorithm: JSON = "SHA-256") -> JSON:
    if algorithm not in _HASHES:
        raise ValueError(f"$hash knows {', '.join(_HASHES)}")
    text = value if isinstance(value, str) else compact(value)
    return hashlib.new(_HASHES[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def _parse(text: JSON) -> JSON:
    if not isinstance(text, str):
        raise ValueError("$parse takes a string")  # noqa: TRY004 - an evaluation error, whatever the type
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"$parse: the text is not JSON ({e})") from None


def _random(chance: random.Random) -> Callable[..., float]:
    return lambda seed=None: (chance if seed is None else random.Random(int(seed))).random()


#: name -> (the execution's chance) -> the function
_FUNCTIONS: dict[str, Callable[[random.Random], Callable[..., JSON]]] = {
    "partition": lambda _: _partition,
    "range": lambda _: _range,
    "hash": lambda _: _hash,
    "parse": lambda _: _parse,
    "random": _random,
    "uuid": lambda chance: lambda: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
}

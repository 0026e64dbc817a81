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
from typing import TYPE_CHECKING, Any

from sflab.asl.intrinsics import HASHES, unique
from sflab.asl.model import JSON, StatesError, compact, drawn_uuid
from sflab.asl.paths import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    Closure = Callable[[JSON, Scope], JSON]  # (the members of $states, scope) -> value

MAX_SECONDS = 2.0  # of yours: an evaluation that takes longer is hostile, and fails
MAX_STEPS = 5_000_000
MAX_DEPTH = 10_000
MAX_ITEMS = 1_000_000
MAX_RANGE = 100_000
MAX_DECISIONS = 20  # lines of an explanation
MAX_SAID = 2_000  # characters of the engine's message, which may quote the value
MAX_RESULT = 4 * 1024 * 1024  # bytes; the state's own limit of 256 KiB comes after

#: The codes of AWS's diagnostics: it does not parse, and it reads what there is not (reported by users).
INVALID, UNSUPPORTED = "INVALID_JSONATA_EXPRESSION", "UNSUPPORTED_JSONATA_EXPRESSION"

_LIMITS = {
    "timeout": MAX_SECONDS,
    "max_steps": MAX_STEPS,
    "max_depth": MAX_DEPTH,
    "max_string_length": MAX_RESULT,
    "max_array_length": MAX_ITEMS,
    "max_result_size": MAX_RESULT,
}
_PREFIX = "($states := states; "
#: The engine compares every item, and every key, with every other, however long that takes. Above a few thousand
#: these are ours instead; a variable of the name stays what it is.
_GUARDS = {
    "distinct": "function($xs)<x:x>{$count($xs) > 2000 ? $distinctOfMany($xs) : $few($xs)}",
    "keys": "function($xs)<x-:x>{$count($spread($xs)) > 2000 ? $keysOfMany($xs) : $few($xs)}",
}
_NAMES = re.compile(r"\$([A-Za-z_]\w*)")
_FREE_CONTEXT = re.compile(r"context|\$states(?!\s*\.\s*(?:input|result|errorOutput)\b)")
_CONTEXT_ITEM = re.compile(r"\$(?![\w$])")
_EVAL = re.compile(r"\$eval\b")
_ASIDE = re.compile(r"/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)  # comments and strings


class JsonataSyntaxError(ValueError):
    """The text between ``{%`` and ``%}`` is no JSONata that Step Functions takes; the message says why.

    ``code`` and ``message`` are those of ValidateStateMachineDefinition's diagnostic.
    """

    def __init__(self, said: str, message: str = "", code: str = INVALID) -> None:
        super().__init__(said)
        self.message, self.code = message or said, code


def is_expression(value: JSON) -> bool:
    """Whether a string is to be evaluated: it begins with ``{%`` and ends with ``%}``."""
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def check(text: str) -> None:
    """Raise JsonataSyntaxError unless ``{% … %}`` holds an expression that Step Functions takes."""
    for fault in faults(text):
        raise fault


def faults(text: str) -> list[JsonataSyntaxError]:
    """Return why AWS refuses ``{% … %}``: that it does not parse, or each name that names nothing.

    A path begins with ``$states`` or a variable; what is read from no context at all is refused by its name.
    """
    body = text[2:-2].strip()
    if not body:
        return [JsonataSyntaxError("the expression is empty", "Unexpected end of expression")]
    try:
        compiled = _parsed(body)
    except JsonataSyntaxError as e:
        return [e]
    code = _ASIDE.sub("''", body)
    if _EVAL.search(code):
        return [JsonataSyntaxError("$eval is not available in Step Functions", "", UNSUPPORTED)]
    for name in _FUNCTIONS:
        compiled.register_function(name, lambda *_: None)
    named = compiled.reads().get("input")  # True where it cannot tell: a function made in the expression is called
    if named and "$$" in code:
        return [_nothing("Reference to '$$' is not supported.")]
    if body == "$" or (named and _CONTEXT_ITEM.match(code)):
        return [_nothing("Reference to '$' at the top level is not supported.")]
    names = named if isinstance(named, dict) else {}
    return [_nothing(f"Reference to '{name}' at the top level is not supported.") for name in names]


def _nothing(message: str) -> JsonataSyntaxError:
    said = f"{message[:-1]}: $, $$ and bare field names name nothing here; data is in $states.input"
    return JsonataSyntaxError(said, message, UNSUPPORTED)


def members(text: str) -> set[str]:
    """Return the members of ``$states`` that ``{% … %}`` reads: input, result …; none where it does not parse."""
    try:
        states = _parsed(text[2:-2].strip()).reads().get("bindings", {}).get("states")
    except JsonataSyntaxError:
        return set()
    return set(states) if isinstance(states, dict) else set()


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
        raise JsonataSyntaxError(f"{e.code}: {e}{where}", str(e)) from None
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
    whole = _Code(f"{{{', '.join(members)}}}")
    wants_context = any(_FREE_CONTEXT.search(part.body) for part in parts)
    count = len(parts)

    def evaluate(states: JSON, scope: Any) -> JSON:
        if wants_context:
            states = {**states, "context": scope.context()}
        try:
            found = whole.run(states, scope)
        except whole.failures as e:
            raise _explain(parts, states, scope, e) from None
        if len(found) < count:
            raise _explain(parts, states, scope, None)
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


def reads(text: str) -> tuple[str, ...]:
    """Return the paths ``{% … %}`` reads: ``$states.input.items.price``, ``$name``."""
    found = _parsed(text[2:-2].strip()).reads().get("bindings", {})
    todo = [(f"${name}", found[name]) for name in sorted(found, key=lambda name: text.find(f"${name}"))]
    out = []
    while todo:
        path, tree = todo.pop(0)
        if path[1:] in _FUNCTIONS:
            continue
        if isinstance(tree, dict) and tree:
            todo = [(f"{path}.{name}", inner) for name, inner in tree.items()] + todo
        else:
            out.append(path)
    return tuple(out)


def decisions(text: str, states: JSON, scope: Any) -> tuple[str, ...]:
    """Return how ``{% … %}`` came to its value, a line a decision: comparisons, branches taken, items filtered out."""
    body = text[2:-2].strip()
    code = _Code(f'{{"value": ({body}\n)}}')
    if _FREE_CONTEXT.search(body):
        states = {**states, "context": scope.context()}
    lines = code.run(states, scope, audited=True)["explanation"]["lines"]
    ours = (_PREFIX, '{"value": (', "$states := ", "($few := ", *(f"${name} := " for name in _GUARDS))
    kept = [line for line in lines if not line["text"].startswith(ours) and " → error " not in line["text"]]
    marks = {True: "✔ ", False: "✘ ", None: ""}
    said = tuple(dict.fromkeys(marks[line["passed"]] + " ".join(line["text"].split()) for line in kept))
    return said if len(said) <= MAX_DECISIONS else (*said[:MAX_DECISIONS], f"… {len(said) - MAX_DECISIONS} more")


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

        self.names = frozenset(_NAMES.findall(text))
        guards = [
            f"${name} := $type(${name}) != 'function' ? ${name} : ($few := ${name}; {guard}); "
            for name, guard in _GUARDS.items()
            if name in self.names
        ]
        self.code = _parsed(f"{_PREFIX}{''.join(guards)}{text})")
        self.failures = (jlens.JlensError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError)
        if guards:
            self.code.register_function("distinctOfMany", unique)
            self.code.register_function("keysOfMany", _keys)
        self.added = tuple(name for name in _FUNCTIONS if name in self.names)

    def run(self, states: JSON, scope: Any, *, audited: bool = False) -> JSON:
        """Evaluate within the limits; raises one of ``failures``, or when *audited* returns the record of how."""
        bindings: dict[str, Any] | None = None
        if self.names and scope.variables:
            bindings = {name: value for name, value in scope.variables.items() if name in self.names}
        if self.added:  # a variable of that name wins
            bindings = {**{name: _FUNCTIONS[name](scope.chance) for name in self.added}, **(bindings or {})}
        evaluate = self.code.evaluate_with_audit if audited else self.code.evaluate
        return evaluate({"states": states}, bindings, now=int(scope.now * 1000), **_LIMITS)


def _explain(parts: list[_Part], states: JSON, scope: Any, error: Exception | None) -> StatesError:
    """Return the failure of the first part that fails, in AWS's words; *error* is what the whole failed with."""
    if error and len(parts) == 1:
        return _threw(parts[0], error)
    for part in parts:
        if part.code is None:
            part.code = _Code(f'{{"type": $type(({part.body}\n)), "value": ({part.body}\n)}}')
        try:
            found = part.code.run(states, scope)
        except part.code.failures as e:
            return _threw(part, e)
        if found.get("type") == "function":
            return _failure(part, "returned an unsupported result type.")
        if "value" not in found:
            return _failure(part, "returned nothing (undefined).")
    if error:  # together they are too much, or they are not alike twice
        return _threw(parts[0], error)
    return _failure(parts[0], "returned an unsupported result type.")


def _threw(part: _Part, e: Exception) -> StatesError:
    code = getattr(e, "code", None)
    return _failure(part, f"threw an error during evaluation. {f'{code}: ' if code else ''}{str(e)[:MAX_SAID]}")


def _failure(part: _Part, what: str) -> StatesError:
    cause = f"The JSONata expression '{part.body}' specified for the field '{part.field}' {what}"
    return StatesError("States.QueryEvaluationError", cause, runtime=True, location=part.field)


def _type(value: JSON) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {type(None): "null", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "number")


# ── the functions AWS adds ───────────────────────────────────────────────────────────────────────────────────────────


def _number(value: JSON) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _partition(items: JSON, size: JSON) -> JSON:
    if not isinstance(items, list) or not _number(size) or size < 1:
        raise ValueError("$partition takes an array and a size of at least 1")
    width = int(size)
    return [items[i : i + width] for i in range(0, len(items), width)]


def _range(first: JSON, last: JSON, by: JSON) -> JSON:
    if not all(map(_number, (first, last, by))) or not by:
        raise ValueError("$range takes a first number, a last number and a step that is not 0")
    steps = (last - first) / by
    if steps >= MAX_RANGE:
        raise ValueError(f"$range would give more than {MAX_RANGE:,} numbers")
    numbers = [first + i * by for i in range(int(steps) + 1 if steps >= 0 else 0)]
    return numbers[0] if len(numbers) == 1 else numbers  # a sequence of one is its item (recorded)


def _hash(value: JSON, algorithm: JSON = "SHA-256") -> JSON:
    if not isinstance(algorithm, str) or algorithm not in HASHES:
        raise ValueError(f"$hash knows {', '.join(HASHES)}")
    text = value if isinstance(value, str) else compact(value)
    return hashlib.new(HASHES[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def _keys(value: JSON) -> JSON:
    objects = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(name for item in objects if isinstance(item, dict) for name in item))


def _parse(text: JSON) -> JSON:
    if not isinstance(text, str):
        raise ValueError("$parse takes a string")  # noqa: TRY004 - an evaluation error, whatever the type
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"$parse: the text is not JSON ({e})") from None


def _random(chance: random.Random) -> Callable[..., float]:
    def number(seed: JSON = None) -> float:
        if seed is not None and not _number(seed):
            raise ValueError("$random takes a number as its seed")
        return (chance if seed is None else random.Random(seed)).random()

    return number


#: name -> (the execution's chance) -> the function
_FUNCTIONS: dict[str, Callable[[random.Random], Callable[..., JSON]]] = {
    "partition": lambda _: _partition,
    "range": lambda _: _range,
    "hash": lambda _: _hash,
    "parse": lambda _: _parse,
    "random": _random,
    "uuid": lambda chance: lambda: drawn_uuid(chance),
}

#: Every function an expression can call by name: JSONata's (https://docs.jsonata.org) and AWS's.
BUILT_IN = frozenset(_FUNCTIONS) | {
    "abs", "append", "assert", "average", "base64decode", "base64encode", "boolean", "ceil", "clone", "contains",
    "count", "decodeUrl", "decodeUrlComponent", "distinct", "each", "encodeUrl", "encodeUrlComponent", "error",
    "exists", "filter", "floor", "formatBase", "formatInteger", "formatNumber", "fromMillis", "join", "keys",
    "length", "lookup", "lowercase", "map", "match", "max", "merge", "millis", "min", "not", "now", "number", "pad",
    "parseInteger", "power", "reduce", "replace", "reverse", "round", "shuffle", "sift", "single", "sort", "split",
    "spread", "sqrt", "string", "substring", "substringAfter", "substringBefore", "sum", "toMillis", "trim", "type",
    "uppercase", "zip",
}  # fmt: skip

"""How data flows through a state: InputPath, Parameters, ResultSelector, ResultPath, OutputPath, Assign.

Theory of operation. Each field is compiled once, when the definition is loaded, into a closure ``f(value, scope)``:
*value* is the JSON the field works on, *scope* gives it the context object, the variables and seeded chance. Values are
shared and never changed in place; a closure returns the same object wherever nothing was rebuilt, which is also how the
history knows that the input's own text may be shown. The stages of a state in JSONPath
(https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html):

    raw input ─InputPath─▶ ─Parameters─▶ effective input ─(the state's work)─▶ result ─ResultSelector─▶
        ─ResultPath (into the *raw* input)─▶ ─OutputPath─▶ output

A payload template's fields come out in AWS's own order: the literal ones first, as written, then the ``.$`` ones as a
Java HashMap iterates over their names (conformance §6.2).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sflab.asl.intrinsics import RESULT_BYTES, called, compile_call, java_order
from sflab.asl.model import JSON, StatesError, compact, runtime_error
from sflab.asl.paths import Path, PathNotFoundError, Scope, compile_path, put

if TYPE_CHECKING:
    from collections.abc import Callable

    Closure = Callable[[JSON, Scope], JSON]

#: "Maximum input or output size for a task, state, or execution: 256 KiB of data as a UTF-8 encoded string"
#: (quotas page)
MAX_BYTES = 256 * 1024


#: Levels a value may be nested: far below where reading or writing JSON exhausts the stack; deeper counts as too large.
MAX_NESTING = 400


def size(value: JSON) -> int:
    """Return how many bytes *value* is as JSON text; more than the limit where it is nested too deeply."""
    try:
        text = compact(value)
    except RecursionError:
        return MAX_BYTES + 1
    if (inside := text.count("[") + text.count("{")) > MAX_NESTING and too_deep(value, inside):
        return MAX_BYTES + 1
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def too_deep(value: JSON, inside: float = math.inf) -> bool:
    """Whether *value* is nested deeper than `MAX_NESTING`; it has at most *inside* arrays and objects."""
    level, depth = [value], 0
    while level and depth <= MAX_NESTING:
        inside -= len(level)
        if depth + inside < MAX_NESTING:
            return False  # were each of the others inside the one before
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list)))
        level, depth = [w for v in inner for w in v if isinstance(w, (dict, list))], depth + 1
    return depth > MAX_NESTING


def too_large(what: str) -> StatesError:
    """``States.DataLimitExceeded`` of a state (by name) or a task (by resource), as recorded."""
    limit = "returned a result with a size exceeding the maximum number of bytes service limit."
    return StatesError("States.DataLimitExceeded", f"The state/task '{what}' {limit}")


def bare(value: JSON) -> str:
    """Return *value* as AWS shows it inside a sentence: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else compact(value)


def constant(value: JSON) -> Closure:
    """Return the closure that always gives *value*."""
    return lambda _value, _scope: value


# ── fields that are one expression ───────────────────────────────────────────────────────────────────────────────────


def expression(text: str, field: str) -> Closure:
    """Compile the value of a ``name.$`` field: a path or an intrinsic call. *field* names it in the failure's text."""
    if text.lstrip().startswith("States."):
        return _located(compile_call(text), field)
    path = compile_path(text)
    if path.root == "$" and not path.keys and path.definite:
        return lambda value, _scope: value
    return _read(path, field)


def _read(path: Path, field: str) -> Closure:
    def read(value: JSON, scope: Scope) -> JSON:
        try:
            return path.read(value, scope)
        except PathNotFoundError:
            raise _not_found(path.text, field, value) from None

    return read


def _not_found(path: str, field: str, value: JSON) -> StatesError:
    return runtime_error(
        f"The JSONPath '{path}' specified for the field '{field}' could not be found in the input '{compact(value)}'"
    )


def _located(call: Closure, field: str) -> Closure:
    def run(value: JSON, scope: Scope) -> JSON:
        try:
            return call(value, scope)
        except PathNotFoundError as e:
            raise _not_found(str(e).partition("path")[2].strip(": "), field, value) from None

    return run


def path_field(text: str | None) -> Closure | None:
    """InputPath, OutputPath, ItemsPath, TimeoutSecondsPath …: None where the field passes its value on.

    A null path selects nothing: ``{}``.
    """
    if text is None:
        return lambda _value, _scope: {}
    if text.lstrip().startswith("States."):
        return compile_call(text)
    path = compile_path(text)
    if path.root == "$" and path.definite and not path.keys:
        return None

    def select(value: JSON, scope: Scope) -> JSON:
        try:
            return path.read(value, scope)
        except PathNotFoundError as e:
            raise runtime_error(f"Invalid path '{path.text}' : {e}") from None

    return select


# ── payload templates ────────────────────────────────────────────────────────────────────────────────────────────────


def template(raw: JSON) -> Closure:
    """Compile a payload template (Parameters, ResultSelector, ItemSelector, Assign)."""
    built = _template(raw)
    return built if built is not None else (lambda _value, _scope: raw)


def _template(raw: JSON) -> Closure | None:
    """Return the closure that builds *raw*, or None where it is a constant."""
    if isinstance(raw, list):
        parts = [_template(item) for item in raw]
        if not any(parts):
            return None
        pairs = list(zip(parts, raw, strict=True))
        return lambda value, scope: [part(value, scope) if part else item for part, item in pairs]
    if not isinstance(raw, dict):
        return None
    literal = {name: item for name, item in raw.items() if not (name.endswith(".$") and isinstance(item, str))}
    dynamic = {name[:-2]: item for name, item in raw.items() if name not in literal}
    nested = [(name, part) for name, item in literal.items() if (part := _template(item))]
    if not nested and not dynamic:
        return None
    fields = nested + [(name, expression(dynamic[name], f"{name}.$")) for name in java_order(dynamic)]

    def build(value: JSON, scope: Scope) -> JSON:
        out = dict(literal)
        for name, part in fields:
            out[name] = part(value, scope)
        return out

    return build


def growth(raw: JSON) -> tuple[int, int] | None:
    """Return (n, bytes): what a payload template makes is no larger than n times its input and so many bytes.

    None where that cannot be told without looking at what it makes. A field of the input may stand at the top of the
    template only: below, a loop would nest it ever deeper in a few bytes.
    """
    if not isinstance(raw, dict):
        return (0, size(raw)) if _template(raw) is None else None
    copies, most = 0, size(raw)
    for name, item in raw.items():
        if not (name.endswith(".$") and isinstance(item, str)):
            if _template(item) is not None:
                return None
        elif (call := called(item)) is not None:
            if call not in RESULT_BYTES:
                return None
            most += RESULT_BYTES[call]
        else:
            path = compile_path(item)
            if path.root != "$" or not path.definite or not path.keys:
                return None
            copies += 1
    return copies, most


# ── the stages of a state ────────────────────────────────────────────────────────────────────────────────────────────


def effective_input(state: dict[str, JSON], fields: tuple[str, ...] = ("Parameters",)) -> Closure | None:
    """InputPath, then Parameters; None where the state works on its input as it is."""
    path = path_field(state["InputPath"]) if "InputPath" in state else None
    built = next((template(state[name]) for name in fields if name in state), None)
    if path is None or built is None:
        return path or built
    return lambda value, scope: built(path(value, scope), scope)


def result_selector(state: dict[str, JSON]) -> Closure | None:
    """ResultSelector over the state's result; None where there is none."""
    return template(state["ResultSelector"]) if "ResultSelector" in state else None


def placer(text: str | None) -> Callable[..., JSON] | None:
    """ResultPath: ``f(raw input, result) -> state output``; None for ``$``, where the result replaces the input.

    It takes a scope as well, which it does not look at, so that it can be all there is to finishing a state.
    """
    if text is None:
        return lambda raw, _result, _scope=None: raw
    path = compile_path(text)
    if not path.keys:
        return None
    keys, only = path.keys, path.keys[0] if len(path.keys) == 1 else None
    if not isinstance(only, str):
        return lambda raw, result, _scope=None: put(keys, raw, result, text)

    def place(raw: JSON, result: JSON, _scope: Scope | None = None) -> JSON:
        if type(raw) is dict:  # the common case, by hand
            out = dict(raw)
            out[only] = result
            return out
        return put(keys, raw, result, text)

    return place

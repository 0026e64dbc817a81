"""The eighteen intrinsic functions, ``States.Format('{}', $.name)``, compiled once into closures.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html and what AWS recorded: MathAdd
rounds each operand half up first, StringSplit takes each character of its second argument as a delimiter and drops
empty parts (Java's StringTokenizer), Format writes objects as Java does (``{Arg1=1, Arg2=[]}``), JsonMerge orders its
keys as a HashMap does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, StatesError, compact, drawn_uuid, read_json
from sflab.asl.paths import PathSyntaxError, Scope, compile_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Closure = "Callable[[JSON, Scope], JSON]"

MAX_ARRAY = 1_000  # ArrayRange's documented limit; ArrayPartition gives no more parts than items
MAX_TEXT = 10_000  # characters Hash and Base64 take (documented)
MAX_NESTING = 10  # "You can nest up to 10 intrinsic functions" (documented)


class IntrinsicSyntaxError(ValueError):
    """The text is no intrinsic function call; the message says where."""


# ── Java's order and Java's text ─────────────────────────────────────────────────────────────────────────────────────


def java_hash(text: str) -> int:
    """``String.hashCode``, as 32 unsigned bits, over UTF-16 units."""
    h = 0
    data = text.encode("utf-16-be", "surrogatepass")
    for i in range(0, len(data), 2):
        h = (31 * h + (data[i] << 8 | data[i + 1])) & 0xFFFFFFFF
    return h


def java_order(names: Iterable[str]) -> list[str]:
    """Return *names* in the order a Java HashMap iterates over them (36 of 36 recorded templates, conformance §6.2)."""
    names = list(names)
    if len(names) < 2:
        return names
    buckets = 16
    while len(names) > buckets * 0.75:
        buckets *= 2
    spread = {n: (h ^ (h >> 16)) & (buckets - 1) for n in names for h in (java_hash(n),)}
    return sorted(names, key=spread.__getitem__)


def java_text(value: JSON) -> str:
    """Return the text Java's ``toString`` gives: strings bare, ``{a=1, b=[x, y]}``."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={java_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(java_text(v) for v in value) + "]"
    return compact(value)


# ── the functions ────────────────────────────────────────────────────────────────────────────────────────────────────


class _Refusal(Exception):  # noqa: N818 - turned into States.IntrinsicFailure at once
    """The arguments do not fit; the message is ours, after AWS's "Invalid arguments in …"."""


def _need(*, that: bool, what: str) -> None:
    if not that:
        raise _Refusal(what)


def _array(value: JSON) -> list[JSON]:
    _need(that=isinstance(value, list), what="an array is needed")
    return value  # type: ignore[no-any-return]


def _text(value: JSON, limit: int | None = None) -> str:
    _need(that=isinstance(value, str), what="a string is needed")
    _need(that=limit is None or len(value) <= limit, what=f"at most {limit} characters are taken")
    return str(value)


def _bytes(value: JSON) -> bytes:
    return _text(value, MAX_TEXT).encode(errors="replace")  # as Java does: half a surrogate pair is a ?


def _integer(value: JSON) -> int:
    _need(that=isinstance(value, (int, float)) and not isinstance(value, bool), what="a number is needed")
    whole = value if isinstance(value, int) else math.floor(value + 0.5)
    _need(that=abs(whole) < 2**63, what="the number is too large")
    return whole


def _format(template: JSON, *args: JSON) -> JSON:
    parts = _PART.findall(_text(template))
    holes = parts.count("{}")
    _need(that=holes == len(args), what=f"{holes} {{}} for {len(args)} arguments")
    given = iter(args)
    return "".join([java_text(next(given)) if p == "{}" else p[1:] if len(p) == 2 else p for p in parts])


_PART = re.compile(r"\\[{}\\']|\{\}|.", re.DOTALL)  # an escape, a place for an argument, any other character


def _same(a: JSON, b: JSON) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(v, b[k]) for k, v in a.items())
    return type(a) is type(b) and bool(a == b)


def unique(items: JSON) -> JSON:
    """The *items* without those that equal an earlier one; the order of an object's fields makes no difference."""
    out: dict[str, JSON] = {}
    for item in _array(items):
        out.setdefault(json.dumps(item, sort_keys=True), item)
    return list(out.values())


def _partition(items: JSON, size: JSON) -> JSON:
    _array(items)
    size = _integer(size)
    _need(that=size > 0, what="the size must be above 0")
    return [items[i : i + size] for i in range(0, len(items), size)]


def _range(first: JSON, last: JSON, by: JSON) -> JSON:
    first, last, by = _integer(first), _integer(last), _integer(by)
    _need(that=by != 0, what="the step must not be 0")
    _need(that=(last - first) // by < MAX_ARRAY, what=f"more than {MAX_ARRAY} elements")
    return list(range(first, last + (1 if by > 0 else -1), by))


def _get_item(items: JSON, index: JSON) -> JSON:
    index = _integer(index)
    _need(that=0 <= index < len(_array(items)), what=f"there is no element {index}")
    return items[index]


def _split(text: JSON, delimiters: JSON) -> JSON:
    text, delimiters = _text(text), _text(delimiters)
    parts = re.split("[" + re.escape(delimiters) + "]", text) if delimiters else [text]
    return [part for part in parts if part]


def _decode(text: JSON) -> JSON:
    try:
        return base64.b64decode(_text(text, MAX_TEXT), validate=True).decode()
    except ValueError:  # also of binascii and of UTF-8
        what = "this is not Base64 of a text"
        raise _Refusal(what) from None


HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def _hash(value: JSON, algorithm: JSON) -> JSON:
    known = isinstance(algorithm, str) and algorithm in HASHES
    _need(that=known, what=f"the algorithm must be one of {', '.join(HASHES)}")
    text = value if isinstance(value, str) else compact(value)
    return hashlib.new(HASHES[algorithm], _bytes(text), usedforsecurity=False).hexdigest()


def _merge(first: JSON, second: JSON, deep: JSON) -> JSON:
    _need(that=isinstance(first, dict) and isinstance(second, dict), what="two objects are needed")
    _need(that=deep is False, what="only a shallow merge (false) is supported")  # documented: deep is not available
    merged = {**first, **second}
    return {name: merged[name] for name in java_order(merged)}


def _parse(text: JSON) -> JSON:
    try:
        return read_json(_text(text))
    except (ValueError, RecursionError):
        what = "this text is not JSON"
        raise _Refusal(what) from None


def _math_random(chance: random.Random, start: JSON, end: JSON, seed: JSON = None) -> JSON:
    start, end = _integer(start), _integer(end)
    _need(that=start < end, what="the first number must be below the second")
    return (chance if seed is None else random.Random(_integer(seed))).randrange(start, end)


#: name -> (least arguments, most, function); Format takes any number.
FUNCTIONS: dict[str, tuple[int, int, Callable[..., JSON]]] = {
    "States.Array": (0, 1_000, lambda *items: list(items)),
    "States.ArrayContains": (2, 2, lambda items, x: any(_same(x, item) for item in _array(items))),
    "States.ArrayGetItem": (2, 2, _get_item),
    "States.ArrayLength": (1, 1, lambda items: len(_array(items))),
    "States.ArrayPartition": (2, 2, _partition),
    "States.ArrayRange": (3, 3, _range),
    "States.ArrayUnique": (1, 1, unique),
    "States.Base64Decode": (1, 1, _decode),
    "States.Base64Encode": (1, 1, lambda text: base64.b64encode(_bytes(text)).decode()),
    "States.Format": (1, 1_000, _format),
    "States.Hash": (2, 2, _hash),
    "States.JsonMerge": (3, 3, _merge),
    "States.JsonToString": (1, 1, compact),
    "States.MathAdd": (2, 2, lambda a, b: _integer(a) + _integer(b)),
    "States.MathRandom": (2, 3, _math_random),
    "States.StringSplit": (2, 2, _split),
    "States.StringToJson": (1, 1, _parse),
    "States.UUID": (0, 0, drawn_uuid),
}
#: Most bytes of JSON text a result has, for the functions whose arguments make no difference.
RESULT_BYTES = {
    "States.ArrayContains": 5,
    "States.ArrayLength": 20,
    "States.Hash": 130,
    "States.MathAdd": 21,
    "States.MathRandom": 20,
    "States.UUID": 38,
}
_BY_CHANCE = {"States.MathRandom", "States.UUID"}


# ── the parser ───────────────────────────────────────────────────────────────────────────────────────────────────────

_CALL = re.compile(r"\s*(States\.\w+)\s*\(")
_LITERAL = re.compile(r"\s*'((?:[^'\\]|\\['{}\\])*)'", re.DOTALL)  # AWS refuses any other escape (recorded)
_WORD = re.compile(r"\s*(true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?=\s*(?:[,)]|\Z))")
_PUNCTUATION = re.compile(r"\s*([,)])")


def called(text: str) -> str | None:
    """Return the name of the function a ``States.Name(…)`` calls outermost; None for any other text."""
    m = _CALL.match(text)
    return m[1] if m else None


def compile_call(text: str) -> Callable[[JSON, Scope], JSON]:
    """Compile ``States.Name(args…)`` into a closure over (input, scope); raises IntrinsicSyntaxError."""
    closure, at = _call(text, 0, 0)
    if text[at:].strip():
        msg = f"unexpected text after the call: {text[at:].strip()[:60]!r}"
        raise IntrinsicSyntaxError(msg)
    return closure


def _call(text: str, at: int, depth: int) -> tuple[Callable[[JSON, Scope], JSON], int]:
    m = _CALL.match(text, at)
    if not m:
        msg = f"a call States.Name(…) is missing at character {at + 1} of {text[:200]!r}"
        raise IntrinsicSyntaxError(msg)
    name, at = m[1], m.end()
    if name not in FUNCTIONS:
        msg = f"there is no intrinsic function {name}; there are {', '.join(FUNCTIONS)}"
        raise IntrinsicSyntaxError(msg)
    if depth >= MAX_NESTING:
        msg = f"more than {MAX_NESTING} functions are nested"
        raise IntrinsicSyntaxError(msg)
    args: list[Callable[[JSON, Scope], JSON]] = []
    end = re.compile(r"\s*\)").match(text, at)
    if end:
        at = end.end()
    while not end:
        # Format must tell its own \{ from {}: the template keeps its backslashes until it is split.
        arg, at = _argument(text, at, depth, keep=name == "States.Format" and not args)
        args.append(arg)
        mark = _PUNCTUATION.match(text, at)
        if not mark:
            msg = f", or ) is missing at character {at + 1} of {text[:200]!r}"
            raise IntrinsicSyntaxError(msg)
        at = mark.end()
        end = mark if mark[1] == ")" else None
    least, most, function = FUNCTIONS[name]
    if not least <= len(args) <= most:
        msg = f"{name} takes {least if least == most else f'{least} to {most}'} arguments, not {len(args)}"
        raise IntrinsicSyntaxError(msg)
    return _apply(name, function, args), at


def _apply(
    name: str, function: Callable[..., JSON], args: list[Callable[[JSON, Scope], JSON]]
) -> Callable[[JSON, Scope], JSON]:
    def apply(value: JSON, scope: Any) -> JSON:
        given = [arg(value, scope) for arg in args]
        if name in _BY_CHANCE:
            given.insert(0, scope.chance)
        try:
            return function(*given)
        except _Refusal as e:
            raise StatesError("States.IntrinsicFailure", f"Invalid arguments in {name}: {e}", runtime=True) from None

    return apply


def _argument(text: str, at: int, depth: int, *, keep: bool) -> tuple[Callable[[JSON, Scope], JSON], int]:
    if m := _LITERAL.match(text, at):
        literal = m[1] if keep else re.sub(r"\\(.)", r"\1", m[1])
        return (lambda _value, _scope: literal), m.end()
    if m := _WORD.match(text, at):
        try:
            constant = read_json(m[1])
        except ValueError:
            msg = f"{m[1][:60]} is no number"
            raise IntrinsicSyntaxError(msg) from None
        return (lambda _value, _scope: constant), m.end()
    if _CALL.match(text, at):
        return _call(text, at, depth + 1)
    end = _path_end(text, at)
    path = text[at:end].strip()
    if not path.startswith("$"):
        msg = f"an argument is missing or is no path at character {at + 1} of {text[:200]!r}"
        raise IntrinsicSyntaxError(msg)
    try:
        return compile_path(path).read, end
    except PathSyntaxError as e:
        raise IntrinsicSyntaxError(str(e)) from None


def _path_end(text: str, at: int) -> int:
    """Where a path argument ends: at the comma or parenthesis that stands outside its own brackets and quotes."""
    depth, quote = 0, ""
    for i in range(at, len(text)):
        c = text[i]
        if quote:
            quote = "" if c == quote and text[i - 1] != "\\" else quote
        elif c in "'\"":
            quote = c
        elif c in "[(":
            depth += 1
        elif depth and c in "])":
            depth -= 1
        elif not depth and c in ",)":
            return i
    return len(text)

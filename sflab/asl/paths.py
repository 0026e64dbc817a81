"""JSONPath as Step Functions has it: Jayway's dialect, compiled once.

A path reads the state's input (``$.a``), the context object (``$$.Execution.Id``) or a variable (``$name.a``). A
*definite* path names one place and fails where there is none; any wildcard, slice, union, filter or deep scan makes it
indefinite: it gives an array, ``[]`` where nothing matches (recorded: 12 of 12, conformance §6.2). The plain dotted
path, 93 % of real use, is a loop over dict look-ups; the rest is interpreted step by step.

Jayway's grammar: https://github.com/json-path/JsonPath (README). Filters: ``== != < <= > >= =~ in nin contains
size empty && || !`` and existence; functions ``length() min() max() avg() sum() stddev() keys() first() last()
index(n)``.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import re
from typing import TYPE_CHECKING, Any, Protocol

from sflab.asl.model import JSON, StatesError, compact
from sflab.asl.regex import Regex, RegexSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Operand = Callable[[JSON, "_Reading"], Any]

Key = str | int
MAX_NODES = 1_000_000  # values one path may look at: a document of 256 KiB has an eighth of it


class Scope(Protocol):
    """What expressions see beside the input: the context object, the variables, the time and seeded chance."""

    @property
    def now(self) -> float:
        """The execution's clock, in epoch seconds."""

    @property
    def chance(self) -> random.Random:
        """The execution's seeded generator."""

    def context(self) -> dict[str, JSON]:
        """Return the context object, ``$$``."""

    @property
    def variables(self) -> Mapping[str, JSON]:
        """The variables in scope, by name."""


class PathSyntaxError(ValueError):
    """The text is no path; the message says where."""


class PathNotFoundError(LookupError):
    """A definite path leads nowhere. ``str(e)`` is Jayway's text (``No results for path: $['x']``)."""


class Path:
    """A compiled path. ``definite`` tells whether it names one place; ``root`` is ``$``, ``$$`` or ``$name``."""

    __slots__ = ("definite", "keys", "root", "steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.root, self.steps = _Parser(text).path()
        self.definite = all(step[0] == "key" for step in self.steps)
        self.keys: tuple[Key, ...] = tuple(s[1] for s in self.steps) if self.definite else ()

    def __repr__(self) -> str:
        return f"Path({self.text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_path, (self.text,)

    def read(self, value: JSON, scope: Scope) -> JSON:
        """Return what the path names; raises PathNotFoundError, and StatesError for an undefined variable."""
        if self.root == "$$":
            value = scope.context()
        elif self.root != "$":
            try:
                value = scope.variables[self.root[1:]]
            except KeyError:
                msg = f"No results for path: $['{self.root[1:]}']"
                raise PathNotFoundError(msg) from None
        return self.find(value)

    def find(self, value: JSON) -> JSON:
        """Return what the path names in *value*, whatever its root."""
        if not self.definite:
            return _search(self.steps, value, _Reading(value))
        top = value
        for key in self.keys:
            if type(value) is dict or isinstance(value, dict):
                try:
                    value = value[key]
                    continue
                except KeyError:
                    pass
            elif isinstance(value, list) and type(key) is int and -len(value) <= key < len(value):
                value = value[key]
                continue
            raise PathNotFoundError(self._missing(top))
        return value

    def _missing(self, value: JSON) -> str:
        """Jayway's two wordings: at the last step ``No results``, on the way there ``Missing property``."""
        so_far = ""
        for n, key in enumerate(self.keys, 1):
            so_far += f"['{key}']" if isinstance(key, str) else f"[{key}]"
            found = (isinstance(value, dict) and key in value) or (
                isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value)
            )
            if not found:
                head = "No results for path:" if n == len(self.keys) and n == 1 else "Missing property in path"
                return f"{head} ${so_far}"
            value = value[key]
        return f"No results for path: ${so_far}"


@functools.lru_cache(maxsize=8192)
def compile_path(text: str) -> Path:
    """Compile a path; raises PathSyntaxError."""
    try:
        return Path(text)
    except PathSyntaxError:
        raise
    except ValueError as e:  # a number of thousands of digits
        raise PathSyntaxError(str(e)) from None


def is_reference(path: Path) -> bool:
    """Whether it is a reference path (names and indexes only), as ResultPath and Variable demand."""
    return path.definite and path.root == "$"


def put(keys: tuple[Key, ...], target: JSON, value: JSON, text: str = "$") -> JSON:
    """Return *target* with *value* at *keys*: copied along the path only, objects made where they are missing.

    Raises StatesError ``States.ResultPathMatchFailure`` where the path meets something that is no object.
    """
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if type(key) is str and isinstance(target, dict):
        copy = dict(target)
        copy[key] = put(rest, target.get(key, _EMPTY), value, text) if rest else value
        return copy
    if type(key) is int and isinstance(target, list) and -len(target) <= key < len(target):
        items = list(target)
        items[key] = put(rest, target[key], value, text) if rest else value
        return items
    cause = f"Unable to apply ReferencePath {text} to input {compact(target)}"
    raise StatesError("States.ResultPathMatchFailure", cause, runtime=True)


_EMPTY: dict[str, JSON] = {}


# ── evaluation of indefinite paths ───────────────────────────────────────────────────────────────────────────────────

Step = tuple[
    Any, ...
]  # ("key", k) ("any",) ("keys", [..]) ("slice", a, b, s) ("filter", test) ("deep",) ("call", name, args)


class _Reading:
    """One reading of a path: the document, and how much more of it may be looked at."""

    __slots__ = ("left", "root")

    def __init__(self, root: JSON) -> None:
        self.root, self.left = root, MAX_NODES

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            msg = "the path selects too much"
            raise PathNotFoundError(msg)

    def take(self, values: Iterable[JSON]) -> list[JSON]:
        found = list(itertools.islice(values, max(self.left, 0) + 1))
        self.spend(len(found))
        return found


def _search(steps: tuple[Step, ...], top: JSON, reading: _Reading) -> JSON:
    found = [top]
    single = True  # still one place: a function is then given the value itself, and answers with a value
    for step in steps:
        kind = step[0]
        if kind == "call":
            return _call(step[1], step[2], found[0] if single and found else found)
        single = single and kind == "key"
        found = reading.take(_STEPS[kind](found, step, reading))
    return found


def _keys(found: list[JSON], names: Iterable[Any]) -> Iterator[JSON]:
    for value in found:
        for key in names:
            if (isinstance(value, dict) and key in value) or (
                isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value)
            ):
                yield value[key]


def _children(value: JSON) -> Iterable[JSON]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _deep(found: list[JSON]) -> Iterator[JSON]:
    todo = list(reversed(found))
    while todo:
        value = todo.pop()
        if isinstance(value, (dict, list)):
            yield value
            todo += reversed(list(_children(value)))


def _filter(found: list[JSON], test: Operand, reading: _Reading) -> Iterator[JSON]:
    for item in reading.take(item for value in found for item in (value if isinstance(value, list) else (value,))):
        if _truthy(test(item, reading)):
            yield item


_STEPS: dict[str, Callable[[list[JSON], Step, _Reading], Iterable[JSON]]] = {
    "key": lambda found, step, _: _keys(found, (step[1],)),
    "keys": lambda found, step, _: _union(found, step[1]),
    "any": lambda found, _, __: (child for value in found for child in _children(value)),
    "slice": lambda found, step, _: (x for v in found if isinstance(v, list) for x in v[step[1] : step[2] : step[3]]),
    "filter": lambda found, step, reading: _filter(found, step[1], reading),
    "deep": lambda found, _, __: _deep(found),
}


def _union(found: list[JSON], names: list[Key]) -> Iterable[JSON]:
    """``['a','b']`` on an object gives one object with those members (Jayway); indexes give the items."""
    if all(isinstance(n, int) for n in names):
        return _keys(found, names)
    return [{n: value[n] for n in names if n in value} for value in found if isinstance(value, dict)]


def _call(name: str, args: tuple[JSON, ...], value: JSON) -> JSON:
    if name in ("length", "size"):
        return len(value) if isinstance(value, (list, dict, str)) else None
    if name == "keys":
        return list(value) if isinstance(value, dict) else None
    items = value if isinstance(value, list) else []
    if name in ("first", "last", "index"):
        at = {"first": 0, "last": -1}.get(name, args[0] if args else 0)
        if isinstance(at, int) and -len(items) <= at < len(items):
            return items[at]
        msg = "Aggregation function attempted to calculate value using empty array"
        raise PathNotFoundError(msg)
    numbers = [x for x in items if isinstance(x, (int, float)) and not isinstance(x, bool)]
    if not numbers:
        msg = "Aggregation function attempted to calculate value using empty array"
        raise PathNotFoundError(msg)
    try:
        return _AGGREGATES[name](numbers)
    except OverflowError:
        msg = "the numbers are too large"
        raise PathNotFoundError(msg) from None


def _stddev(xs: list[float]) -> float:
    mean = math.fsum(xs) / len(xs)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in xs) / len(xs))


_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "min": lambda xs: float(min(xs)),
    "max": lambda xs: float(max(xs)),
    "sum": lambda xs: float(math.fsum(xs)),
    "avg": lambda xs: math.fsum(xs) / len(xs),
    "stddev": _stddev,
}
_FUNCTIONS = {*_AGGREGATES, "length", "size", "keys", "first", "last", "index"}


# ── the parser ───────────────────────────────────────────────────────────────────────────────────────────────────────

_NAME = re.compile(r"[^\s.\[\]()*$@,'\"?:!=<>&|~/]+")
_VARIABLE = re.compile(r"[^\W\d]\w*")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_INT = re.compile(r"-?\d+")
_SLICE = re.compile(r"\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(-?\d+))?\s*\]")
_REGEX = re.compile(r"/((?:[^/\\]|\\.)+)/([a-zA-Z]*)")
_OPERATOR = re.compile(
    r"\s*(==|!=|<=|>=|=~|<|>|(?:in|nin|contains|size|empty|anyof|noneof|subsetof|type)\b)", re.IGNORECASE
)
_WORD = re.compile(r"[^\s()\[\],&|]+")


class _Parser:
    """Recursive descent over one text; nesting is bounded, so that no text can exhaust the stack."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text.strip(), 0, 0  # Jayway trims

    def fail(self, what: str) -> PathSyntaxError:
        return PathSyntaxError(f"{what} at character {self.at + 1} of {self.text[:200]!r}")

    def eat(self, literal: str) -> bool:
        if self.text.startswith(literal, self.at):
            self.at += len(literal)
            return True
        return False

    def match(self, rx: re.Pattern[str]) -> re.Match[str] | None:
        m = rx.match(self.text, self.at)
        if m:
            self.at = m.end()
        return m

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def path(self) -> tuple[str, tuple[Step, ...]]:
        if not self.eat("$"):
            raise self.fail("a path begins with $")
        root = "$"
        if self.eat("$"):
            root = "$$"
        elif m := self.match(_VARIABLE):
            root += m[0]
        steps = tuple(self.steps())
        if self.at < len(self.text):
            raise self.fail("unexpected text")
        return root, steps

    def steps(self) -> list[Step]:
        steps: list[Step] = []
        while self.at < len(self.text):
            if self.eat(".."):
                steps.append(("deep",))
                if not self.text.startswith("[", self.at):
                    steps.append(self.dotted())
            elif self.eat("."):
                if not self.text.startswith("[", self.at):
                    steps.append(self.dotted())
            elif self.eat("["):
                steps.append(self.bracket())
            else:
                break
        return steps

    def dotted(self) -> Step:
        if self.eat("*"):
            return ("any",)
        m = self.match(_NAME)
        if not m:
            raise self.fail("a name is missing")
        if self.eat("("):
            return self.function(m[0])
        return ("key", m[0])

    def function(self, name: str) -> Step:
        args: list[JSON] = []
        self.space()
        while not self.eat(")"):
            m = self.match(_NUMBER)
            if not m:
                raise self.fail("a number or ) is missing")
            args.append(int(m[0]) if _INT.fullmatch(m[0]) else float(m[0]))
            self.space()
            self.eat(",")
            self.space()
        if name not in _FUNCTIONS:
            raise self.fail(f"there is no function {name}()")
        return ("call", name, tuple(args))

    def bracket(self) -> Step:
        self.space()
        if self.eat("*"):
            return self.closed(("any",))
        if self.eat("?"):
            self.space()
            if not self.eat("("):
                raise self.fail("( is missing after ?")
            test = self.either()
            self.space()
            if not self.eat(")"):
                raise self.fail(") is missing")
            return self.closed(("filter", test))
        if self.eat("("):
            return self.computed()
        if m := self.match(_SLICE):
            start, stop, by = (int(x) if x else None for x in m.groups())
            if by == 0:
                raise self.fail("a slice cannot step by 0")
            return ("slice", start, stop, by)
        return self.names()

    def computed(self) -> Step:
        """``[(@.length-1)]``: counted from the end."""
        m = self.match(re.compile(r"\s*@\.length(?:\(\))?\s*-\s*(\d+)\s*\)"))
        if not m:
            raise self.fail("only (@.length-n) can be computed here")
        return self.closed(("key", -int(m[1])))

    def names(self) -> Step:
        names: list[Key] = []
        while True:
            self.space()
            if m := self.match(_QUOTED):
                names.append(_unescape(m))
            elif m := self.match(_INT):
                names.append(int(m[0]))
            else:
                raise self.fail("a quoted name, an index, a slice, a filter or * is missing")
            self.space()
            if not self.eat(","):
                break
        return self.closed(("key", names[0]) if len(names) == 1 else ("keys", names))

    def closed(self, step: Step) -> Step:
        self.space()
        if not self.eat("]"):
            raise self.fail("] is missing")
        return step

    # -- filters: closures (item, reading) -> value

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > 50:
            raise self.fail("nested too deeply")

    def either(self) -> Operand:
        self.deeper()
        tests = [self.both()]
        while self.spaced("||"):
            tests.append(self.both())
        self.depth -= 1
        return tests[0] if len(tests) == 1 else lambda item, reading: any(_truthy(t(item, reading)) for t in tests)

    def both(self) -> Operand:
        tests = [self.one()]
        while self.spaced("&&"):
            tests.append(self.one())
        return tests[0] if len(tests) == 1 else lambda item, reading: all(_truthy(t(item, reading)) for t in tests)

    def spaced(self, literal: str) -> bool:
        self.space()
        return self.eat(literal)

    def one(self) -> Operand:
        self.space()
        if self.eat("!"):
            self.deeper()
            test = self.one()
            self.depth -= 1
            return lambda item, reading: not _truthy(test(item, reading))
        if self.eat("("):
            test = self.either()
            self.space()
            if not self.eat(")"):
                raise self.fail(") is missing")
            return test
        asks = self.text.startswith(("@", "$"), self.at)
        left = self.operand()
        m = self.match(_OPERATOR)
        if not m:  # a bare path asks whether it is there: false and null are
            return (lambda item, reading: left(item, reading) is not _NOTHING) if asks else left
        self.space()
        return _comparison(m[1].lower(), left, self.operand())

    def operand(self) -> Operand:
        self.space()
        if self.text[self.at : self.at + 1] in ("@", "$") and self.at < len(self.text):
            own = self.text[self.at] == "@"
            self.at += 1
            steps = tuple(self.steps())
            definite = all(s[0] == "key" for s in steps)
            return lambda item, reading: _operand(steps, item if own else reading.root, reading, definite=definite)
        value = self.literal()
        return lambda _item, _reading: value

    def literal(self) -> Any:
        if m := self.match(_QUOTED):
            return _unescape(m)
        if m := self.match(_REGEX):
            try:
                return Regex(m[1], ignore_case="i" in m[2], dot_all="s" in m[2])
            except RegexSyntaxError as e:
                raise self.fail(f"the regular expression is wrong ({e})") from None
        if self.eat("["):
            self.deeper()
            items = []
            self.space()
            while not self.eat("]"):
                items.append(self.literal())
                self.space()
                self.eat(",")
                self.space()
            self.depth -= 1
            return items
        if m := self.match(_WORD):
            word = m[0]
            if _NUMBER.fullmatch(word):
                return int(word) if _INT.fullmatch(word) else float(word)
            return {"true": True, "false": False, "null": None}.get(word, word)  # Jayway takes a bare word as text
        raise self.fail("a value is missing")


def _unescape(m: re.Match[str]) -> str:
    r"""Only the quote in use and the backslash are escaped; any other backslash is text (recorded: ``$['a\"']``)."""
    if m[1] is not None:
        return re.sub(r"\\(['\\])", r"\1", m[1]) if "\\" in m[1] else m[1]
    return re.sub(r"\\([\"\\])", r"\1", m[2]) if "\\" in m[2] else m[2]


_NOTHING: Any = object()


def _comparison(name: str, left: Operand, right: Operand) -> Operand:
    compare = _COMPARE[name]
    if name in ("==", "!=", "<", "<=", ">", ">="):
        return lambda item, reading: compare(left(item, reading), right(item, reading))

    def through(item: JSON, reading: _Reading) -> bool:
        a, b = left(item, reading), right(item, reading)
        reading.spend(sum(len(x) for x in (a, b) if isinstance(x, (str, list))))  # what these look through
        return compare(a, b)

    return through


def _operand(steps: tuple[Step, ...], value: JSON, reading: _Reading, *, definite: bool) -> Any:
    if not definite:
        try:
            return _search(steps, value, reading)
        except PathNotFoundError:
            if reading.left < 0:
                raise
            return _NOTHING
    for step in steps:
        found = list(_keys([value], (step[1],)))
        if not found:
            return _NOTHING
        value = found[0]
    return value


def _truthy(value: Any) -> bool:
    return value is not _NOTHING and value is not False


def _ordered(left: Any, right: Any) -> bool:
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (left, right))
    return numbers or (isinstance(left, str) and isinstance(right, str))


def _same(left: Any, right: Any) -> bool:
    return left is right or (left == right and isinstance(left, bool) == isinstance(right, bool))


def _matches(left: Any, right: Any) -> bool:
    if isinstance(left, Regex):
        left, right = right, left
    return isinstance(left, str) and isinstance(right, Regex) and right.matches(left)


def _size(left: Any) -> int:
    return len(left) if isinstance(left, (str, list, dict)) else -1


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": _same,
    "!=": lambda a, b: not _same(a, b),
    "<": lambda a, b: _ordered(a, b) and a < b,
    "<=": lambda a, b: _ordered(a, b) and a <= b,
    ">": lambda a, b: _ordered(a, b) and a > b,
    ">=": lambda a, b: _ordered(a, b) and a >= b,
    "=~": _matches,
    "in": lambda a, b: isinstance(b, list) and any(_same(a, x) for x in b),
    "nin": lambda a, b: not (isinstance(b, list) and any(_same(a, x) for x in b)),
    "contains": lambda a, b: (isinstance(a, list) and b in a) or (isinstance(a, str) and isinstance(b, str) and b in a),
    "size": lambda a, b: _size(a) == (b if isinstance(b, int) else _size(b)),
    "empty": lambda a, b: _size(a) >= 0 and (_size(a) == 0) == bool(b),
    "anyof": lambda a, b: isinstance(a, list) and isinstance(b, list) and any(x in b for x in a),
    "noneof": lambda a, b: isinstance(a, list) and isinstance(b, list) and not any(x in b for x in a),
    "subsetof": lambda a, b: isinstance(a, list) and isinstance(b, list) and all(x in b for x in a),
    "type": lambda a, b: type(a).__name__ == {"string": "str", "array": "list", "object": "dict"}.get(str(b), str(b)),
}

"""Mapping templates: as much of the Velocity Template Language as API Gateway's are written in.

Theory of operation. A template is parsed once into a tuple of parts: text, references (``$input.path('$.id')``) and
directives (``#set``, ``#if``, ``#foreach``). Rendering walks them with a dict of names; what a reference stands for is
read by `_member`, so a template sees values and the few methods of `_METHODS`, never an object of ours. A reference
that has no value is written as it stands in the template, and as nothing when it is ``$!quiet``, as Velocity does
(Velocity user guide 1.7); what API Gateway's own variables do not hold is nothing (`Blank`). A variable with functions
of its own, such as ``$util``, is an object with ``functions``, and maybe ``members``, by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sflab.errors import SflabError

Names = dict[str, Any]

#: How many parts one rendering may write: a loop in a loop in a loop ends here.
_MOST = 200_000
#: How long a text may become, in characters: what is doubled and doubled again ends here.
_LONGEST = 10_485_760
_TOO_DEEP = "the mapping template is nested too deep"


class TemplateError(SflabError):
    """A mapping template cannot be read, or cannot be rendered for a request."""


class Blank(dict[str, Any]):
    """One of API Gateway's own variables: a member that it does not have is empty, not missing."""

    def __missing__(self, key: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class _Reference:
    source: str
    quiet: bool
    name: str
    steps: tuple[tuple[str, Any], ...]  # ("member", name), ("call", (name, arguments)), ("index", expression)


@dataclass(frozen=True, slots=True)
class _Set:
    target: _Reference
    value: Any


@dataclass(frozen=True, slots=True)
class _If:
    branches: tuple[tuple[Any, tuple[Any, ...]], ...]  # (condition or None for else, parts)


@dataclass(frozen=True, slots=True)
class _Each:
    name: str
    items: Any
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Stop:
    loop: bool  # #break leaves the loop it is in, #stop the template


@dataclass(frozen=True, slots=True)
class _Operation:
    operator: str
    operands: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Quoted:
    parts: tuple[Any, ...]  # a "text with $references"


class Template:
    """A template, parsed. Raises TemplateError with the line where it cannot be."""

    def __init__(self, text: str) -> None:
        self.text = text
        parser = _Parser(text)
        try:
            self.parts = parser.block(())
        except RecursionError:
            raise TemplateError(_TOO_DEEP) from None
        if parser.at < len(text):
            raise parser.wrong("there is an #end, #else or #elseif too many")

    def render(self, names: Mapping[str, Any]) -> str:
        """Return the text for the variables *names*. Raises TemplateError."""
        rendering = _Rendering(dict(names))
        try:
            rendering.write(self.parts)
        except _Stopped:
            pass
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, re.error) as e:
            raise TemplateError(f"the mapping template cannot be rendered: {type(e).__name__}: {e}") from None
        except RecursionError:
            raise TemplateError(_TOO_DEEP) from None
        return "".join(rendering.out)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DIRECTIVE = re.compile(r"#(\{)?(set|if|elseif|else|end|foreach|stop|break)\b(?(1)\})")
_OPERATORS: tuple[tuple[str, ...], ...] = (
    ("||", "or"), ("&&", "and"), ("==", "!=", "eq", "ne"), ("<=", ">=", "<", ">", "le", "ge", "lt", "gt"), ("+", "-"),
    ("*", "/", "%"),
)  # fmt: skip


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def wrong(self, what: str) -> TemplateError:
        line = self.text.count("\n", 0, self.at) + 1
        near = self.text[self.at : self.at + 30].split("\n")[0]
        return TemplateError(f"the mapping template cannot be read, line {line}: {what}, at {near!r}")

    # -- text, references and directives

    def block(self, ends: tuple[str, ...]) -> tuple[Any, ...]:
        """Read parts up to one of the directives *ends*, which is left, or to the end of the text."""
        parts: list[Any] = []
        plain: list[str] = []

        def flush() -> None:
            if plain:
                parts.append("".join(plain))
                plain.clear()

        while self.at < len(self.text):
            here = self.text[self.at]
            found = _DIRECTIVE.match(self.text, self.at) if here == "#" else None
            if found and found[2] in ("elseif", "else", "end"):
                if found[2] not in ends and not ends:
                    break
                self._left(plain)
                flush()
                return tuple(parts)
            if found:
                gobbled = self._left(plain)
                flush()
                self.at = found.end()
                parts.append(self._directive(found[2]))
                self._right(gobbled=gobbled)
            elif self.text.startswith("##", self.at):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end + 1
            elif self.text.startswith("#*", self.at):
                end = self.text.find("*#", self.at)
                self.at = len(self.text) if end < 0 else end + 2
            elif here == "$" and (reference := self.reference()) is not None:
                flush()
                parts.append(reference)
            else:
                plain.append(here)
                self.at += 1
        if ends:
            raise self.wrong(f"{' or '.join('#' + end for end in ends)} is missing")
        flush()
        return tuple(parts)

    def _left(self, plain: list[str]) -> bool:
        """Take away the blanks before a directive that begins its line; whether it does."""
        text = "".join(plain)
        line = text.rpartition("\n")[2]
        start = self.at - len(line)
        if line.strip(" \t") or (start and self.text[start - 1] != "\n"):
            return False
        plain[:] = [text[: len(text) - len(line)]] if len(text) > len(line) else []
        return True

    def _right(self, *, gobbled: bool) -> None:
        """Take away the end of a line that held nothing but a directive."""
        rest = re.compile(r"[ \t]*(\r?\n|$)").match(self.text, self.at)
        if gobbled and rest:
            self.at = rest.end()

    def _directive(self, name: str) -> Any:
        match name:
            case "set":
                self._expect("(")
                target = self.reference()
                if target is None:
                    raise self.wrong("#set takes a $reference")
                self._expect("=")
                value = self.expression()
                self._expect(")")
                return _Set(target, value)
            case "if":
                return self._if()
            case "foreach":
                self._expect("(")
                item = self.reference()
                if item is None or not self._word("in"):
                    raise self.wrong("#foreach is written #foreach($item in $items)")
                items = self.expression()
                self._expect(")")
                self._line()
                parts = self.block(("end",))
                self._end()
                return _Each(item.name, items, parts)
        return _Stop(loop=name == "break")

    def _if(self) -> _If:
        branches = []
        self._expect("(")
        condition: Any = self.expression()
        self._expect(")")
        while True:
            self._line()
            branches.append((condition, self.block(("elseif", "else", "end"))))
            found = _DIRECTIVE.match(self.text, self.at)
            if found is None or found[2] == "end":
                break
            self.at = found.end()
            condition = None
            if found[2] == "elseif":
                self._expect("(")
                condition = self.expression()
                self._expect(")")
        self._end()
        return _If(tuple(branches))

    def _line(self) -> None:
        """Take away the rest of a line after ``#if(…)`` and its like, where that is blank."""
        self._right(gobbled=True)

    def _end(self) -> None:
        found = _DIRECTIVE.match(self.text, self.at)
        if found is None or found[2] != "end":
            raise self.wrong("#end is missing")
        self.at = found.end()

    def reference(self) -> _Reference | None:
        """Read ``$name``, ``$!name``, ``${name}`` with members, calls and indices; None, if it is none."""
        start = self.at
        self._space()
        found = re.compile(r"\$(!?)(\{?)").match(self.text, self.at)
        name = _NAME.match(self.text, found.end()) if found else None
        if found is None or name is None:
            self.at = start
            return None
        begin, self.at = self.at, name.end()
        steps: list[tuple[str, Any]] = []
        while self.at < len(self.text):
            member = _NAME.match(self.text, self.at + 1) if self.text[self.at] == "." else None
            if member:
                self.at = member.end()
                if self.text.startswith("(", self.at):
                    steps.append(("call", (member[0], self._arguments())))
                else:
                    steps.append(("member", member[0]))
            elif self.text[self.at] == "[":
                self.at += 1
                steps.append(("index", self.expression()))
                self._expect("]")
            else:
                break
        if found[2]:
            if not self.text.startswith("}", self.at):
                raise self.wrong("} is missing")
            self.at += 1
        return _Reference(self.text[begin : self.at], bool(found[1]), name[0], tuple(steps))

    def _arguments(self) -> tuple[Any, ...]:
        self._expect("(")
        items: list[Any] = []
        while not self._eat(")"):
            if items:
                self._expect(",")
            items.append(self.expression())
        return tuple(items)

    # -- expressions

    def expression(self, level: int = 0) -> Any:
        """Read an expression; *level* is how strongly its operators bind."""
        if level == len(_OPERATORS):
            return self._unary()
        left = self.expression(level + 1)
        while (operator := self._operator(_OPERATORS[level])) is not None:
            left = _Operation(operator, (left, self.expression(level + 1)))
        return left

    def _operator(self, known: Sequence[str]) -> str | None:
        self._space()
        for operator in known:
            if operator.isalpha():
                if self._word(operator):
                    return operator
            elif self.text.startswith(operator, self.at):
                self.at += len(operator)
                return operator
        return None

    def _unary(self) -> Any:
        if self._eat("!"):
            return _Operation("!", (self._unary(),))
        if self._eat("("):
            inner = self.expression()
            self._expect(")")
            return inner
        return self._literal()

    def _literal(self) -> Any:
        self._space()
        here = self.text[self.at : self.at + 1]
        if here == "$" and (reference := self.reference()) is not None:
            return reference
        if here in ("'", '"'):
            return self._string(here)
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            return float(number[0]) if number[1] else int(number[0])
        if here == "[":
            return self._list()
        if here == "{":
            return self._map()
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self._word(word):
                return value
        raise self.wrong("a value is missing")

    def _list(self) -> _Operation:
        """Read ``[a, b]`` or the range ``[a..b]``."""
        self._expect("[")
        items: list[Any] = []
        while not self._eat("]"):
            if items:
                self._expect(",")
            items.append(self.expression())
            if len(items) == 1 and self._eat(".."):
                items.append(self.expression())
                self._expect("]")
                return _Operation("..", tuple(items))
        return _Operation("[", tuple(items))

    def _map(self) -> _Operation:
        self._expect("{")
        pairs: list[Any] = []
        while not self._eat("}"):
            if pairs:
                self._expect(",")
            pairs.append(self.expression())
            self._expect(":")
            pairs.append(self.expression())
        return _Operation("{", tuple(pairs))

    def _string(self, quote: str) -> Any:
        out: list[str] = []
        self.at += 1
        while self.at < len(self.text):
            here = self.text[self.at]
            if here == quote:
                self.at += 1
                if not self.text.startswith(quote, self.at):
                    text = "".join(out)
                    return text if quote == "'" or "$" not in text else _Quoted(_Parser(text).interpolated())
            out.append(here)  # a doubled quote is one
            self.at += 1
        raise self.wrong(f"{quote} is missing")

    def interpolated(self) -> tuple[Any, ...]:
        """Read the inside of a quoted text: references and nothing else."""
        parts: list[Any] = []
        while self.at < len(self.text):
            reference = self.reference() if self.text[self.at] == "$" else None
            if reference is None:
                parts.append(self.text[self.at])
                self.at += 1
            else:
                parts.append(reference)
        return tuple(parts)

    # -- characters

    def _space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def _eat(self, literal: str) -> bool:
        self._space()
        if self.text.startswith(literal, self.at):
            self.at += len(literal)
            return True
        return False

    def _word(self, word: str) -> bool:
        self._space()
        found = _NAME.match(self.text, self.at)
        if found is None or found[0] != word:
            return False
        self.at = found.end()
        return True

    def _expect(self, literal: str) -> None:
        if not self._eat(literal):
            raise self.wrong(f"{literal} is missing")


# ── rendering ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Stopped(Exception):  # noqa: N818 - #stop, which is no error
    pass


class _Broken(_Stopped):
    """#break: outside of a loop it ends the template."""


class _Rendering:
    def __init__(self, names: Names) -> None:
        self.names, self.left = names, _MOST
        self.out: list[str] = []

    def write(self, parts: tuple[Any, ...]) -> None:
        for part in parts:
            self.left -= 1
            if self.left < 0:
                raise TemplateError(f"the mapping template writes more than {_MOST:,} parts")
            match part:
                case str():
                    self.out.append(part)
                case _Reference():
                    self.out.append(self.shown(part))
                case _Set():
                    self._assign(part.target, self.value(part.value))
                case _If():
                    chosen = (inner for test, inner in part.branches if test is None or _true(self.value(test)))
                    self.write(next(chosen, ()))
                case _Each():
                    self._each(part)
                case _Stop(loop=loop):
                    raise _Broken if loop else _Stopped

    def _each(self, part: _Each) -> None:
        items = self.value(part.items)
        items = list(items.values()) if isinstance(items, Mapping) else list(items or ())
        kept = {name: self.names.get(name) for name in (part.name, "foreach", "velocityCount")}
        for i, item in enumerate(items):
            last = i + 1 == len(items)
            loop = {"hasNext": not last, "count": i + 1, "index": i, "first": i == 0, "last": last}
            self.names |= {part.name: item, "foreach": loop, "velocityCount": i + 1}
            try:
                self.write(part.parts)
            except _Broken:
                break
        self.names |= kept

    def _assign(self, target: _Reference, value: Any) -> None:
        if isinstance(value, str) and len(value) > _LONGEST:
            raise TemplateError(f"a text of more than {_LONGEST:,} characters")
        if not target.steps:
            self.names[target.name] = value
            return
        holder = self.value(_Reference(target.source, target.quiet, target.name, target.steps[:-1]))
        kind, key = target.steps[-1]
        if kind == "index":
            key = self.value(key)
        if kind == "call" or not isinstance(holder, dict | list):
            raise TemplateError(f"#set cannot set {target.source}")
        holder[key] = value

    def shown(self, reference: _Reference) -> str:
        value = self.value(reference)
        if value is None:
            own = isinstance(self.names.get(reference.name), Blank) or hasattr(
                self.names.get(reference.name), "functions"
            )
            return "" if reference.quiet or own else reference.source
        return text_of(value)

    def value(self, node: Any) -> Any:
        match node:
            case _Reference():
                value = self.names.get(node.name)
                for kind, about in node.steps:
                    value = self._step(value, kind, about)
                return value
            case _Quoted():
                return "".join(part if isinstance(part, str) else self.shown(part) for part in node.parts)
            case _Operation():
                return self._operation(node.operator, node.operands)
        return node

    def _step(self, value: Any, kind: str, about: Any) -> Any:
        if kind == "member":
            return _member(value, about)
        if kind == "index":
            key = self.value(about)
            if isinstance(value, list):
                return value[key] if isinstance(key, int) and -len(value) <= key < len(value) else None
            return _member(value, key)
        name, arguments = about
        given = [self.value(argument) for argument in arguments]
        own = getattr(value, "functions", None)
        if own is not None:
            if name not in own:
                raise TemplateError(f"there is no function {name}; there are {', '.join(own)}")
            return own[name](*given)
        return None if value is None else _call(value, name, given)

    def _operation(self, operator: str, operands: tuple[Any, ...]) -> Any:
        if operator in ("||", "or"):
            return any(_true(self.value(each)) for each in operands)
        if operator in ("&&", "and"):
            return all(_true(self.value(each)) for each in operands)
        values = [self.value(each) for each in operands]
        if operator == "[":
            return values
        if operator == "{":
            return dict(zip(map(text_of, values[::2]), values[1::2], strict=True))
        return _ARITHMETIC[operator](*values)


def _true(value: Any) -> bool:
    """Whether Velocity takes it for true: all but null and false (Velocity 1.7)."""
    return value is not None and value is not False


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or type(a) is type(b):
        return bool(a == b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b
    return a is not None and b is not None and text_of(a) == text_of(b)


def _plus(a: Any, b: Any) -> Any:
    return text_of(a) + text_of(b) if isinstance(a, str) or isinstance(b, str) else a + b


def _span(a: int, b: int) -> list[int]:
    step = 1 if b >= a else -1
    if abs(b - a) >= _MOST:
        raise TemplateError(f"a range of more than {_MOST:,} numbers")
    return list(range(a, b + step, step))


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "!": lambda a: not _true(a),
    "..": _span,
    **dict.fromkeys(("==", "eq"), _equal),
    **dict.fromkeys(("!=", "ne"), lambda a, b: not _equal(a, b)),
    **dict.fromkeys(("<", "lt"), lambda a, b: a < b),
    **dict.fromkeys((">", "gt"), lambda a, b: a > b),
    **dict.fromkeys(("<=", "le"), lambda a, b: a <= b),
    **dict.fromkeys((">=", "ge"), lambda a, b: a >= b),
    "+": _plus,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: int(a / b) if isinstance(a, int) and isinstance(b, int) else a / b,
    "%": lambda a, b: a % b,
}


def text_of(value: Any) -> str:
    """Write a value as Java's toString does: ``{a=1}``, ``[1, 2]``, ``true``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "{" + ", ".join(f"{key}={text_of(each)}" for key, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(text_of, value)) + "]"
    return str(value)


def _member(value: Any, name: Any) -> Any:
    if isinstance(value, Mapping):
        return value[name] if isinstance(value, Blank) else value.get(name)
    if isinstance(members := getattr(value, "members", None), Mapping):
        return members.get(name)
    if name == "empty" and isinstance(value, str | list):
        return not value
    return None


def _java(replacement: str) -> str:
    """Write a replacement of Java's replaceAll as Python's re.sub takes it: ``$1`` is a group, a backslash quotes."""
    parts = re.findall(r"\\.|\$\d|.", replacement, re.DOTALL)
    return "".join(
        rf"\g<{part[1]}>" if part[0] == "$" and len(part) > 1 else part[-1].replace("\\", r"\\") for part in parts
    )


def _entries(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, each in value.items():
        yield {"key": key, "value": each}


def _put(holder: Any, key: Any, value: Any) -> None:
    holder[key] = value


#: What may be called of a value, by its type; `_ANY` of every one.
_ANY: dict[str, Callable[..., Any]] = {"toString": text_of, "equals": _equal}
_METHODS: tuple[tuple[type | tuple[type, ...], dict[str, Callable[..., Any]]], ...] = (
    (str, {
        "length": len, "isEmpty": lambda s: not s, "trim": str.strip, "toLowerCase": str.lower,
        "toUpperCase": str.upper,
        "substring": lambda s, a, b=None: s[a : len(s) if b is None else b], "indexOf": lambda s, t: s.find(t),
        "replace": lambda s, a, b: s.replace(a, b), "replaceAll": lambda s, a, b: re.sub(a, _java(b), s),
        "replaceFirst": lambda s, a, b: re.sub(a, _java(b), s, count=1), "contains": lambda s, t: t in s,
        "startsWith": str.startswith, "endsWith": str.endswith, "split": lambda s, r: re.split(r, s),
        "matches": lambda s, r: re.fullmatch(r, s) is not None, "concat": lambda s, t: s + t,
        "equalsIgnoreCase": lambda s, t: s.lower() == str(t).lower(), "charAt": lambda s, i: s[i],
    }),
    (list, {
        "size": len, "isEmpty": lambda v: not v, "get": lambda v, i: v[i], "contains": lambda v, x: x in v,
        "add": lambda v, x: v.append(x) or True,
    }),
    (Mapping, {
        "size": len, "isEmpty": lambda v: not v, "get": lambda v, k: v.get(k), "keySet": list, "put": _put,
        "values": lambda v: list(v.values()), "entrySet": lambda v: list(_entries(v)),
        "containsKey": lambda v, k: k in v,
    }),
    ((int, float), {"intValue": int}),
)  # fmt: skip


def _call(value: Any, name: str, given: list[Any]) -> Any:
    for kind, methods in _METHODS:
        if isinstance(value, kind) and name in methods:
            return methods[name](value, *given)
    if name in _ANY:
        return _ANY[name](value, *given)
    raise TemplateError(f"{text_of(value)[:40]!r} has no method {name}")

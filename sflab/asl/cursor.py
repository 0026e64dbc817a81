"""Where a cursor stands in a definition that is still being written, JSON or YAML.

Nothing here may fail: text that somebody is in the middle of is hardly ever JSON. `find` reads on past what is missing
(a comma, a value, a bracket) and takes as much of the rest as can be told, because what stands below the cursor says
what may be written at it: the names of the states to come, or the type of the state around.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from sflab.asl.model import JSON

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_COLON = re.compile(r":(?=\s|$)")
_DASH = re.compile(r"-(\s+|$)")
_SCALAR = re.compile(r"[|>][-+\d]*\s*(#.*)?$")  # the header of a block scalar
_WORDS = {"true": True, "false": False, "null": None}


class Spot(NamedTuple):
    """A place in a text: *path* leads to the value, or to the object whose member's name is being written.

    *role* is ``key``, ``value``, or ``none`` where nothing can be written (a comma is due, say). *typed* is what stands
    there up to the cursor, from offset *start* on, without its opening quote; *whole* what stands there altogether.
    *root* is the whole text, as far as it can be told.
    """

    path: tuple[str | int, ...]
    role: str
    typed: str
    start: int
    whole: str
    quoted: bool
    yaml: bool
    root: JSON


def find(text: str, offset: int) -> Spot:
    """Return where *offset* is in *text*: YAML, unless its first character is JSON's."""
    offset = max(0, min(offset, len(text)))
    if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", '"'):
        reader = _Json(text, offset)
        reader.read()
        return _spot(reader.spot, offset, reader.root, yaml=False)
    lines = _Yaml(text, offset)
    lines.read()
    return _spot(lines.spot, offset, lines.root, yaml=True)


#: [path, role, typed, start, whole, quoted] of the cursor, once it has been passed.
_Found = tuple[tuple[str | int, ...], str, str, int, str, bool]


def _spot(found: _Found | None, offset: int, root: JSON, *, yaml: bool) -> Spot:
    path, role, typed, start, whole, quoted = found or ((), "none", "", offset, "", False)
    return Spot(path, role, typed, start, whole, quoted, yaml, root)


def _plain(token: str) -> JSON:
    """Return a scalar as it was meant; a number stays text: nobody asks for one."""
    bare = token.strip()
    if bare[:1] == '"':
        try:
            return json.loads(bare)
        except ValueError:  # it is not closed yet
            return bare[1:].removesuffix('"')
    if bare[:1] == "'":
        return bare[1:].removesuffix("'").replace("''", "'")
    return _WORDS.get(bare, bare)


class _Open:
    """A container that is being read: ``key`` is the member whose value is due once ``colon`` is true."""

    def __init__(self, value: Any, path: tuple[str | int, ...]) -> None:
        self.value, self.path = value, path
        self.key: str | None = None
        self.colon = False
        self.latest: str | None = None  # the member that was given a string last

    def next(self) -> tuple[str | int, ...]:
        """Return the path of the value that comes next."""
        return (*self.path, len(self.value) if isinstance(self.value, list) else str(self.key))

    def role(self) -> str:
        """Say what may be written next."""
        if isinstance(self.value, list) or self.colon:
            return "value"
        return "key" if self.key is None else "none"

    def put(self, value: JSON) -> None:
        """Take the value that was due."""
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is not None:
            self.value[self.key] = value
            self.latest = self.key if isinstance(value, str) else None
            self.key, self.colon = None, False


class _Json:
    """Reads JSON; *base* is where the text stands in another."""

    def __init__(self, text: str, offset: int, base: tuple[str | int, ...] = (), at: int = 0) -> None:
        self.text, self.offset, self.base, self.at = text, offset, base, at
        self.root: JSON = None
        self.spot: _Found | None = None
        self.open: list[_Open] = []

    def read(self) -> None:
        """Read all of it."""
        for m in _TOKEN.finditer(self.text):
            token, start = m[0], m.start()
            if self.spot is None and start >= self.offset:
                self._here("", self.offset, "", quoted=False)
            if self.spot is None and token not in "{}[]:,":
                self._within(token, start)
            self._take(token)
        if self.spot is None:
            self._here("", self.offset, "", quoted=False)

    def _within(self, token: str, start: int) -> None:
        """Note the cursor where it stands in, or at the end of, a name or a string."""
        quoted = token[0] == '"'
        closed = quoted and len(token) > 1 and token[-1] == '"'
        if not start < self.offset <= start + len(token) - closed:
            return
        self._here(self.text[start + quoted : self.offset], start + quoted, str(_plain(token)), quoted=quoted)

    def _here(self, typed: str, start: int, whole: str, *, quoted: bool) -> None:
        top = self.open[-1] if self.open else None
        role, path = (top.role(), top.path) if top else ("none", ())
        if top and role == "none" and quoted:  # a name that no value follows stands before this one
            role = "key"
        path = top.next() if top and role == "value" else path
        self.spot = (self.base + path, role, typed, start + self.at, whole, quoted)

    def _take(self, token: str) -> None:
        top = self.open[-1] if self.open else None
        match token:
            case "{" | "[":
                made: Any = {} if token == "{" else []
                path = top.next() if top else ()
                if top:
                    top.put(made)
                elif self.root is None:
                    self.root = made
                self.open.append(_Open(made, path))
            case "}" | "]":
                kind = dict if token == "}" else list
                while any(isinstance(each.value, kind) for each in self.open):
                    if isinstance(self.open.pop().value, kind):
                        break
            case ":":
                self._colon(top)
            case "," if top and isinstance(top.value, dict):
                top.key, top.colon = None, False
            case _ if top and token != ",":
                if top.role() == "value":
                    top.put(_plain(token))
                else:  # a name; one before it that no colon followed was none
                    top.key, top.colon = str(_plain(token)), False

    def _colon(self, top: _Open | None) -> None:
        if top is None or isinstance(top.value, list):
            return
        if top.key is None and top.latest is not None:  # `"Next": ⏎ "End": true`: what seemed the value is a name
            top.key = str(top.value[top.latest])
            top.value[top.latest] = None
        if top.key is not None:
            top.value.setdefault(top.key, None)
            top.colon = True


class _Yaml:
    """Reads YAML's block style by its indentation, and its flow style as JSON."""

    def __init__(self, text: str, offset: int) -> None:
        self.text, self.offset = text, offset
        self.root: Any = {}
        self.spot: _Found | None = None
        self.open: list[tuple[int, _Open]] = [(0, _Open(self.root, ()))]  # (indentation, container)
        self.block: int | None = None  # what stands further in than this belongs to a block scalar

    def read(self) -> None:
        """Read every line."""
        start = 0
        for line in self.text.split("\n"):
            here = self.offset - start if start <= self.offset <= start + len(line) else None
            self._line(line, start, here)
            start += len(line) + 1

    def _line(self, line: str, start: int, here: int | None) -> None:
        body = line.lstrip(" ")
        indent = len(line) - len(body)
        if self.block is not None:
            if not body or indent > self.block:
                if here is not None:
                    typed = line[min(indent, here) : here]
                    self._note(self.scalar, "value", typed, start + here - len(typed), body, quoted=True)
                return
            self.block = None
        if not body.strip() or body.startswith(("#", "---")):
            if here is not None and not body.startswith(("#", "---")):
                self._empty(here, start)
            return
        while (m := _DASH.match(line, indent)) and (here is None or here > indent):
            self._item(indent)
            indent = m.end()
            if indent >= len(line):
                if here is not None:
                    self._note(self._top().next(), "value", "", start + here, "", quoted=False)
                return
        self._entry(line, indent, start, here)

    def _top(self) -> _Open:
        return self.open[-1][1]

    def _note(
        self, path: tuple[str | int, ...], role: str, typed: str, start: int, whole: str, *, quoted: bool
    ) -> None:
        self.spot = (path, role, typed, start, whole, quoted)

    def _close(self, indent: int, *, item: bool) -> None:
        """Leave the containers that a line at *indent* is not in."""
        while len(self.open) > 1:
            depth, top = self.open[-1]
            is_list = isinstance(top.value, list)
            if depth < indent or (depth == indent and is_list == item) or (depth == indent and item and not is_list):
                return
            self.open.pop()

    def _push(self, indent: int, value: Any) -> None:
        path = self._top().next()
        self._top().put(value)
        self.open.append((indent, _Open(value, path)))

    def _item(self, indent: int) -> None:
        """Begin an item of a list."""
        self._close(indent, item=True)
        top = self._top()
        if not isinstance(top.value, list) or self.open[-1][0] != indent:
            if isinstance(top.value, dict) and top.key is None:
                return  # an item that no name stands above
            self._push(indent, [])

    def _entry(self, line: str, indent: int, start: int, here: int | None) -> None:
        """Read what stands on a line after its dashes: ``name: value``, or a value."""
        quote = line[indent] if line[indent] in "\"'" else ""
        end = line.find(quote, indent + 1) + 1 if quote else 0
        colon = _COLON.search(line, max(end, indent))
        if colon is None or line[indent] in "{[":
            self._loose(line, indent, start, here, quote)
            return
        name = str(_plain(line[indent : colon.start()]))
        top = self._object(indent)
        top.key, top.colon = name, True
        if here is not None and indent <= here <= colon.start():
            quoted = bool(quote) and here > indent
            self._note(top.path, "key", line[indent + quoted : here], start + indent + quoted, name, quoted=quoted)
        top.value.setdefault(name, None)
        self._value(line, colon.end(), indent, start, here)

    def _object(self, indent: int) -> _Open:
        """Return the object that a name at *indent* belongs to."""
        self._close(indent, item=False)
        depth, top = self.open[-1]
        if isinstance(top.value, list) or (depth < indent and top.key is not None):
            self._push(indent, {})
        return self._top()

    def _value(self, line: str, at: int, indent: int, start: int, here: int | None) -> None:
        """Read the value after a name's colon."""
        top, after = self._top(), line[at:]
        rest = after.lstrip()
        begins = len(line) - len(rest)
        path = top.next()
        if rest[:1] in ("{", "["):
            self._flow(line, begins, path, start, here)
            return
        if here is not None and here >= at:
            quoted = rest[:1] in ("'", '"') and here > begins
            first = min(begins + quoted, here) if rest else here
            self._note(path, "value", line[first:here], start + first, str(_plain(rest)), quoted=quoted)
        if _SCALAR.match(rest):
            self.block, self.scalar = indent, path
            top.put(rest)
        elif rest and not rest.startswith("#"):
            top.put(_plain(rest.partition(" #")[0]))

    def _flow(self, line: str, at: int, path: tuple[str | int, ...], start: int, here: int | None) -> None:
        inner = _Json(line[at:], len(line) if here is None else here - at, path, start + at)
        inner.read()
        if here is not None and here > at:
            self.spot = inner.spot
        self._top().put(inner.root)

    def _loose(self, line: str, indent: int, start: int, here: int | None, quote: str) -> None:
        """Read a line that is no ``name: value``: an item of a list, or a name that is not finished."""
        top = self._top()
        item = isinstance(top.value, list) and self.open[-1][0] < indent
        if item and line[indent] in "{[":
            self._flow(line, indent, top.next(), start, here)
            return
        if here is not None and here >= indent:
            first = indent + (bool(quote) and here > indent)
            path, role = (top.next(), "value") if item else (self._object(indent).path, "key")
            self._note(path, role, line[first:here], start + first, str(_plain(line[indent:])), quoted=bool(quote))
        if item:
            top.put(_plain(line[indent:]))

    def _empty(self, here: int, start: int) -> None:
        """Note the cursor on a line with nothing on it: a name may begin there."""
        around = [(d, top) for d, top in self.open if d < here or (d == here and isinstance(top.value, dict))]
        depth, top = around[-1] if around else self.open[0]
        path = top.next() if depth < here and (top.key is not None or isinstance(top.value, list)) else top.path
        self._note(path, "key", "", start + here, "", quoted=False)

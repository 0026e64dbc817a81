"""Regular expressions that cannot hang: matched in time proportional to the text, whatever the pattern.

A filter's ``=~`` takes its pattern from the definition and its text from the input. Python's `re` tries every way a
pattern can match, so that ``(a+)+b`` against thirty a's outlives the notebook. Here a pattern becomes Thompson's
automaton, and the text is read once with the set of places the pattern could stand at (Russ Cox, "Regular Expression
Matching Can Be Simple And Fast"). What needs backtracking (back-references, looking around) is refused when the
definition is checked.

    pattern = one ('|' one)*        one = (atom quantifier?)*        atom = character | class | . | ( pattern ) | ^ | $
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_NODES = 2_000  # of an automaton: (a{1000}){1000} is refused, not built
MAX_DEPTH = 50  # groups inside groups

_ATOM = re.compile(r"\\[AzZ]|\\[^0-9bBGkpPQEX]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\](){}*+?|]", re.DOTALL)
_QUANTIFIER = re.compile(r"([*+?]|\{(\d{1,4})(?:(,)(\d{0,4}))?\})(\?)?")
_FLAGS = re.compile(r"\(\?([is]+)\)")
_GROUP = re.compile(r"\((?:\?(?::|<[A-Za-z]\w*>))?(?!\?)")
_TIMES: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}

#: ("char", test) ("start",) ("end",) ("all", [trees]) ("any", [trees]) ("repeat", tree, least, most)
Tree = tuple[Any, ...]


class RegexSyntaxError(ValueError):
    """The pattern is wrong, or needs what cannot be matched in one reading."""


class Regex:
    """A compiled pattern. `matches` tells whether it takes the whole of a text."""

    __slots__ = ("_known", "_nodes", "_start", "pattern")

    def __init__(self, pattern: str, *, ignore_case: bool = False, dot_all: bool = False) -> None:
        self.pattern = pattern
        said = _FLAGS.match(pattern)
        letters = said[1] if said else ""
        flags = re.IGNORECASE if ignore_case or "i" in letters else 0
        flags |= re.DOTALL if dot_all or "s" in letters else 0
        tree = _Parser(pattern, flags, said.end() if said else 0).whole()
        self._nodes: list[Any] = [("match",)]
        self._start = self._emit(tree, 0)
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r})"

    def matches(self, text: str) -> bool:
        """Whether the pattern takes all of *text*."""
        at = self._closure([self._start], start=True, end=not text)
        for i, c in enumerate(text):
            if not at:
                return False
            ending = i == len(text) - 1
            after = None if ending else self._known.get((at, c))
            if after is None:
                steps = [n[2] for n in (self._nodes[k] for k in at) if n[0] == "char" and n[1](c)]
                after = self._closure(steps, start=False, end=ending)
                if not ending:
                    if len(self._known) > MAX_NODES:
                        self._known.clear()
                    self._known[at, c] = after
            at = after
        return 0 in at

    def _closure(self, places: Iterable[int], *, start: bool, end: bool) -> frozenset[int]:
        """Every place that can be reached from *places* without reading a character."""
        todo, seen = list(places), set()
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            match self._nodes[place]:
                case ("split", after):
                    todo += after
                case ("start", after) if start:
                    todo.append(after)
                case ("end", after) if end:
                    todo.append(after)
        return frozenset(seen)

    def _add(self, *node: Any) -> int:
        if len(self._nodes) >= MAX_NODES:
            msg = f"the regular expression repeats too much: {self.pattern[:60]!r}"
            raise RegexSyntaxError(msg)
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _emit(self, tree: Tree, after: int) -> int:
        """Add the nodes of *tree*, going on at *after*; return where it begins."""
        match tree:
            case ("char", test):
                return self._add("char", test, after)
            case ("start" | "end" as kind,):
                return self._add(kind, after)
            case ("all", trees):
                for one in reversed(trees):
                    after = self._emit(one, after)
                return after
            case ("any", trees):
                return self._add("split", [self._emit(one, after) for one in trees])
        _, inner, least, most = tree
        if most is None:
            loop = self._add("split", [after])
            self._nodes[loop][1].append(self._emit(inner, loop))
            after = loop
        else:
            out = after
            for _ in range(most - least):
                after = self._add("split", [self._emit(inner, after), out])
        for _ in range(least):
            after = self._emit(inner, after)
        return after


class _Parser:
    """Recursive descent over the pattern."""

    def __init__(self, text: str, flags: int, at: int) -> None:
        self.text, self.flags, self.at = text, flags, at

    def whole(self) -> Tree:
        tree = self.either(0)
        if self.at < len(self.text):
            raise self.wrong()
        return tree

    def wrong(self) -> RegexSyntaxError:
        rest = self.text[self.at : self.at + 20]
        return RegexSyntaxError(f"not supported in a regular expression: {rest!r} at its character {self.at + 1}")

    def either(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self.wrong()
        trees = [self.sequence(depth)]
        while self.text.startswith("|", self.at):
            self.at += 1
            trees.append(self.sequence(depth))
        return ("any", trees) if len(trees) > 1 else trees[0]

    def sequence(self, depth: int) -> Tree:
        trees: list[Tree] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            tree = self.atom(depth)
            if m := _QUANTIFIER.match(self.text, self.at):
                self.at = m.end()
                tree = ("repeat", tree, *self.times(m))
            trees.append(tree)
        return ("all", trees)

    def times(self, m: re.Match[str]) -> tuple[int, int | None]:
        if m[1] in _TIMES:
            return _TIMES[m[1]]
        least = int(m[2])
        most = least if not m[3] else int(m[4]) if m[4] else None
        if most is not None and most < least:
            raise self.wrong()
        return least, most

    def atom(self, depth: int) -> Tree:
        if m := _GROUP.match(self.text, self.at):
            self.at = m.end()
            tree = self.either(depth + 1)
            if not self.text.startswith(")", self.at):
                raise self.wrong()
            self.at += 1
            return tree
        m = _ATOM.match(self.text, self.at)
        if not m:
            raise self.wrong()
        if m[0] in ("^", r"\A", "$", r"\Z", r"\z"):
            self.at = m.end()
            return ("start",) if m[0] in ("^", r"\A") else ("end",)
        try:
            test: Callable[[str], Any] = re.compile(m[0], self.flags).fullmatch
        except (re.error, RecursionError):
            raise self.wrong() from None
        self.at = m.end()
        return ("char", test)

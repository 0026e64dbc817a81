"""Reading a definition: JSON or YAML, from a file, a text or a dict, with ``${Token}`` substitutions and positions."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.asl import jackson
from sflab.asl.model import JSON, TOKEN, Definition, Diagnostic, read_json, step
from sflab.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEPTH = 200  # deeper than any real definition (6 is the deepest known), far from Python's recursion limit
MAX_VALUES = 500_000  # a definition is at most 1 MiB; YAML aliases can stand for any number of values

# A string that is not closed goes on to the end; to look again at each of its quotes would take the square of that.
_LEXEME = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|\$\{[^{}\s"]+\}|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_BARE = re.compile(r'("(?:[^"\\]|\\.)*(?:"|\\?\Z))|\$\{([^{}\s"]+)\}', re.DOTALL)


def load(
    source: str | os.PathLike[str] | Mapping[str, JSON], *, substitutions: Mapping[str, JSON] | None = None
) -> Definition:
    """Read a definition from a path, a JSON or YAML text, or a mapping.

    A string that holds a newline or begins with ``{`` is a text, any other a path. *substitutions* replaces
    ``${Name}`` as AWS SAM's DefinitionSubstitutions does; what stays unresolved is listed in ``Definition.unresolved``.

    Raises DefinitionError: no such file, not JSON or YAML (with line and column), not an object.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _finish(_plain(source), "", "<definition>", substitutions or {}, None)
    text, name = _read(source)
    return loads(text, name, substitutions=substitutions)


def loads(text: str, name: str = "<definition>", *, substitutions: Mapping[str, JSON] | None = None) -> Definition:
    """Read a definition from JSON or YAML text; *name* stands in messages."""
    given = substitutions or {}
    text = text.removeprefix("\ufeff")
    is_json = text.lstrip()[:1] in ("{", "[", '"') and not name.endswith((".yaml", ".yml"))
    raw = _json(text, name, given) if is_json or name.endswith(".json") else _yaml(text, name)
    return _finish(raw, text, name, given, json_positions if is_json else yaml_positions)


def data(text: str, name: str = "<data>") -> JSON:
    """Read JSON or YAML text that may hold any value. Raises DefinitionError, with line and column."""
    text = text.removeprefix("\ufeff")
    is_json = text.lstrip()[:1] in ("{", "[", '"')
    return _Substitution({}, name).value(_json(text, name, {}) if is_json else _yaml(text, name), 0)


def _read(source: str | os.PathLike[str]) -> tuple[str, str]:
    if isinstance(source, str) and ("\n" in source or source.lstrip("\ufeff \t\r").startswith("{")):
        return source, "<definition>"
    path = Path(source)
    try:
        return path.read_text("utf-8-sig"), str(source)
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.asl.*")) if path.parent.is_dir() else []
        hint = f"; {path.parent}/ holds {', '.join(near[:5])}" if near else ""
        msg = f"{source}: no such file{hint}. Give the path of a JSON or YAML definition, a dict, or the text itself."
        raise DefinitionError(msg) from None
    except (OSError, UnicodeDecodeError, ValueError) as e:
        msg = f"{str(source)[:200]}: cannot be read as UTF-8 text ({e})"
        raise DefinitionError(msg) from None


def _fail(name: str, message: str, line: int | None, column: int | None, text: str = "") -> DefinitionError:
    """Return the error in our words; where *text* was to be JSON, its diagnostic is in AWS's."""
    source = "" if name.startswith("<") else name
    said, location = message, ""
    if text and (found := jackson.problem(text)):
        said, location = found.full, found.location
    problem = Diagnostic("ERROR", "INVALID_JSON_DESCRIPTION", said, location, line, column, source, message)
    where = f"line {line}, column {column}" if line else "the text"
    return DefinitionError(f"{name}: {where}: {message}", [problem])


def _json(text: str, name: str, given: Mapping[str, JSON]) -> JSON:
    try:
        return read_json(text)
    except json.JSONDecodeError as e:
        # A token in the place of a number (`"Seconds": ${Delay}`) is text until it is substituted.
        bare = _BARE.sub(lambda m: m[1] or _bare(m[0], m[2], given), text)
        if bare != text:
            try:
                return read_json(bare)
            except (ValueError, RecursionError):
                pass
        raise _fail(name, _advice(text, e), e.lineno, e.colno, text) from None
    except ValueError as e:
        raise _fail(name, str(e), None, None, text) from None
    except RecursionError:
        raise _fail(name, f"nested deeper than {MAX_DEPTH} levels", None, None) from None


def _bare(token: str, key: str, given: Mapping[str, JSON]) -> str:
    return _given(given[key], key) if key in given else json.dumps(token)


def _given(value: JSON, key: str) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as e:
        msg = f"substitutions[{key!r}] must be a string or JSON data: {e}"
        raise DefinitionError(msg) from None


def _advice(text: str, e: json.JSONDecodeError) -> str:
    """Return what to do about the commonest slips, in words."""
    before = text[: e.pos].rstrip()
    if e.msg.startswith("Expecting property name") and before.endswith(","):
        return "a comma stands before the closing brace; take it out"
    if e.msg.startswith("Expecting value") and before.endswith(","):
        return "a value is missing after the comma; add it or take the comma out"
    if e.msg.startswith("Expecting ',' delimiter"):
        return "a comma is missing here, or a bracket is not closed"
    if e.msg.startswith("Expecting property name") and text[e.pos : e.pos + 1] == "'":
        return "JSON takes double quotes, not single ones"
    if text[e.pos : e.pos + 2] in ("//", "/*"):
        return "JSON has no comments; use the Comment field"
    return e.msg[:1].lower() + e.msg[1:]


def _yaml(text: str, name: str) -> JSON:
    import yaml

    try:
        _bounded(text, name)
        return yaml.load(text, Loader=_yaml_loader())  # noqa: S506 - a SafeLoader, less its dates
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise _fail(name, " ".join(filter(None, (e.context, e.problem))), line, column) from None
    except yaml.YAMLError as e:
        raise _fail(name, str(e), None, None) from None
    except (RecursionError, ValueError) as e:
        raise _fail(name, f"cannot be read as YAML ({e})", None, None) from None


def _bounded(text: str, name: str) -> None:
    """Refuse exploding aliases, and nesting too deep for libyaml's composer: it recurses in C and ends the process."""
    import yaml

    sizes: dict[str | None, int] = {}  # anchor -> how many values its aliases stand for
    open_: list[list[Any]] = [[None, 0]]  # [anchor, values so far] of the document and of each collection around
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        anchor, count = None, 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append([event.anchor, 1])
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, count = open_.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, count = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            count = sizes.get(event.anchor, 1)
        if anchor:
            sizes[anchor] = count
        open_[-1][1] += count
        deep = len(open_) > MAX_DEPTH
        if deep or open_[-1][1] > MAX_VALUES:
            what = f"nested deeper than {MAX_DEPTH} levels" if deep else f"more than {MAX_VALUES:,} values"
            mark = event.start_mark
            raise _fail(name, what, mark.line + 1 if mark else None, mark.column + 1 if mark else None)


def _yaml_loader() -> type:
    """PyYAML's safe loader with JSON's scalars: a timestamp stays text, ``yes`` and ``no`` stay words."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers = {  # noqa: RUF012 - a class attribute PyYAML looks up
            first: [(tag, rx) for tag, rx in rules if not _is_word(tag, first)]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    # CloudFormation's short forms (!Sub, !GetAtt …) are text to us: keep the name they were given.
    Loader.add_multi_constructor("!", _short_form)
    return Loader


def _is_word(tag: str, first: str) -> bool:
    """Whether a scalar that YAML 1.1 resolves to *tag* is text to us: a date, or yes, no, on, off."""
    return tag.endswith(":timestamp") or (tag.endswith(":bool") and first in "yYnNoO")


def _short_form(loader: JSON, suffix: str, node: JSON) -> JSON:
    if not hasattr(node, "value") or not isinstance(node.value, str):
        return {f"Fn::{suffix}": "…"}
    value = loader.construct_scalar(node)
    return value if suffix == "Sub" else f"${{{value}}}"


def _plain(value: Mapping[str, JSON]) -> JSON:
    """A mapping as JSON data of our own, so that nobody can change it under us."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as e:
        msg = f"the definition is not JSON data: {e}"
        raise DefinitionError(msg) from None


def _finish(
    raw: JSON,
    text: str,
    name: str,
    given: Mapping[str, JSON],
    index: Callable[[str], Mapping[str, tuple[int, int]]] | None,
) -> Definition:
    if not isinstance(raw, dict):
        what = f"Definition must be a valid JSON object; this is {_kind(raw)}"
        problem = Diagnostic("ERROR", "SCHEMA_VALIDATION_FAILED", "Definition must be a valid JSON object")
        is_json = index is yaml_positions and text.strip() and not name.endswith((".yaml", ".yml"))
        if is_json and (no := jackson.problem(text)):
            # A scalar of YAML, which takes almost any text; AWS reads JSON alone.
            where = no.line, no.column
            problem = Diagnostic("ERROR", "INVALID_JSON_DESCRIPTION", no.full, no.location, *where, "", what)
        raise DefinitionError(f"{name}: {what}", [problem])
    filled = _Substitution(given, name)
    raw = filled.value(raw, 0)
    return Definition(raw, text, name, tuple(filled.left), index)


def _kind(value: JSON) -> str:
    kinds = {str: "a string", list: "an array", bool: "a boolean", type(None): "nothing"}
    return kinds.get(type(value), "a number")


class _Substitution:
    """Copies a definition with its tokens filled in; what it cannot fill is in ``left``."""

    def __init__(self, given: Mapping[str, JSON], name: str) -> None:
        self.given, self.name = given, name
        self.left: dict[str, None] = {}

    def value(self, value: JSON, depth: int) -> JSON:
        if depth > MAX_DEPTH:
            raise _fail(self.name, f"nested deeper than {MAX_DEPTH} levels", None, None)
        if isinstance(value, str):
            whole = TOKEN.fullmatch(value)  # a token alone becomes its value as it is: a number stays a number
            return self._whole(whole[1]) if whole and whole[1] in self.given else self.text(value)
        if isinstance(value, list):
            return [self.value(v, depth + 1) for v in value]
        if isinstance(value, dict):
            return {self.text(str(k)): self.value(v, depth + 1) for k, v in value.items()}
        if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise _fail(self.name, f"{str(value)[:60]} is not JSON; write a number, or a string", None, None)

    def _whole(self, key: str) -> JSON:
        text = _given(self.given[key], key)  # refuses what is no JSON
        return self.given[key] if isinstance(self.given[key], str) else json.loads(text)

    def text(self, text: str) -> str:
        return TOKEN.sub(self._one, text) if "${" in text else text

    def _one(self, m: re.Match[str]) -> str:
        if m[1] in self.given:
            return _given(self.given[m[1]], m[1])
        self.left[m[0]] = None
        return m[0]


def json_positions(text: str) -> dict[str, tuple[int, int]]:
    """Where each value of a JSON text begins: pointer to (line, column), both from 1; a member, at its name."""
    where: dict[str, tuple[int, int]] = {}
    stack: list[list[JSON]] = []  # [pointer, next index or None for an object, pending member pointer]
    pointer, line, start, seen = "", 1, 0, 0
    for m in _LEXEME.finditer(text):
        line, start, seen = line + text.count("\n", seen, m.start()), _line_start(text, seen, m, start), m.start()
        at, token = (line, m.start() - start + 1), m[0]
        if token in "]}":
            if stack:
                pointer = stack.pop()[0]
            continue
        if token in ",:":
            continue
        if stack and stack[-1][1] is None and stack[-1][2] is None:  # a member's name
            stack[-1][2] = member = str(stack[-1][0]) + step(_unquote(token))
            where[member] = at
            continue
        if stack:
            pointer = _value_pointer(stack[-1], where, at)
        else:
            where[""] = at
        if token in "{[":
            stack.append([pointer, None if token == "{" else 0, None])
    return where


def _line_start(text: str, seen: int, m: re.Match[str], start: int) -> int:
    newline = text.rfind("\n", seen, m.start())
    return newline + 1 if newline >= 0 else start


def _value_pointer(top: list[JSON], where: dict[str, tuple[int, int]], at: tuple[int, int]) -> str:
    if top[1] is None:
        member, top[2] = str(top[2]), None
        return member
    pointer, top[1] = f"{top[0]}/{top[1]}", top[1] + 1
    where[pointer] = at
    return pointer


def _unquote(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def yaml_positions(text: str) -> dict[str, tuple[int, int]]:
    """Return the same for a YAML text."""
    import yaml

    where: dict[str, tuple[int, int]] = {}
    todo = [("", yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), None)]
    while todo:
        pointer, node, mark = todo.pop()
        if node is None or pointer in where:
            continue
        mark = mark or node.start_mark
        where[pointer] = (mark.line + 1, mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            todo += [(pointer + step(str(k.value)), v, k.start_mark) for k, v in node.value]
        elif isinstance(node, yaml.SequenceNode):
            todo += [(f"{pointer}/{i}", v, None) for i, v in enumerate(node.value)]
    return where


def repeated(text: str, name: str = "") -> list[str]:
    """Return the pointers of the members that an object of a JSON or YAML text has twice: reading keeps the last."""
    if text.lstrip()[:1] == "{" and not name.endswith((".yaml", ".yml")):
        try:
            return _twice(json.loads(text, object_pairs_hook=_Pairs))
        except (ValueError, RecursionError):
            return []
    return _twice_in_yaml(text) if text else []


class _Pairs(tuple):  # type: ignore[type-arg]  # an object's (name, value) pairs as they are written
    __slots__ = ()


def _twice(top: JSON) -> list[str]:
    out, todo = [], [("", top)]
    while todo:
        pointer, value = todo.pop()
        if isinstance(value, _Pairs):
            names: set[str] = set()
            for name, inner in value:
                out += [pointer + step(name)] if name in names else []
                names.add(name)
                todo.append((pointer + step(name), inner))
        elif isinstance(value, list):
            todo += [(f"{pointer}/{i}", inner) for i, inner in enumerate(value)]
    return out


def _twice_in_yaml(text: str) -> list[str]:
    import yaml

    out: list[str] = []
    todo = [("", yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))]
    seen: set[int] = set()  # an alias stands for a node that was looked at
    while todo:
        pointer, node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, inner in node.value:
                where = pointer + step(str(key.value))
                out += [where] if where in names else []
                names.add(where)
                todo.append((where, inner))
        elif isinstance(node, yaml.SequenceNode):
            todo += [(f"{pointer}/{i}", inner) for i, inner in enumerate(node.value)]
    return out

"""Which variables a definition reads and sets, state by state, without running it.

``references`` is what DescribeStateMachine reports as ``variableReferences``: for each state that reads variables,
their names in order. In JSONPath they stand in paths (``$name.field``) and intrinsic calls; in JSONata in ``{% … %}``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sflab.asl import jsonata
from sflab.asl.model import JSON, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

_INNER = ("Branches", "ItemProcessor", "Iterator")  # states of their own
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"(?<![\w$.])\$([^\W\d]\w*)")


def references(raw: dict[str, JSON]) -> dict[str, list[str]]:
    """Return {state: names of the variables its own fields read}, for the states that read any."""
    default = raw.get("QueryLanguage", "JSONPath")
    out = {}
    for place in walk(raw):
        own = {name: value for name, value in place.state.items() if name not in _INNER}
        read = _in_jsonata if place.state.get("QueryLanguage", default) == "JSONata" else _in_jsonpath
        if names := sorted(set(read(own))):
            out[place.name] = names
    return out


def assigned(raw: dict[str, JSON]) -> set[str]:
    """Return the names of all variables that a state, a catcher or a choice rule sets."""
    names: set[str] = set()
    for place in walk(raw):
        rules = [r for field in ("Choices", "Catch") for r in _list(place.state.get(field)) if isinstance(r, dict)]
        for owner in (place.state, *rules):
            if isinstance(owner.get("Assign"), dict):
                names.update(name.removesuffix(".$") for name in owner["Assign"])
    return names


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []


def _texts(value: JSON) -> Iterator[tuple[str, str]]:
    """Every string below *value*, with the name of the field it stands in."""
    todo = [("", value)]
    while todo:
        field, item = todo.pop()
        if isinstance(item, str):
            yield field, item
        elif isinstance(item, dict):
            todo += item.items()
        elif isinstance(item, list):
            todo += [(field, inner) for inner in item]


def _in_jsonpath(fields: JSON) -> Iterator[str]:
    for field, text in _texts(fields):
        if field.endswith((".$", "Path")) or field == "Variable":
            yield from _NAME.findall(_QUOTED.sub("''", text) if text.lstrip().startswith("States.") else text)


def _in_jsonata(fields: JSON) -> Iterator[str]:
    for _, text in _texts(fields):
        if jsonata.is_expression(text):
            yield from jsonata.variables(text)

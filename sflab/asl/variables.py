"""Which variables a definition reads and sets, state by state, without running it.

``references`` is what DescribeStateMachine reports as ``variableReferences``: for each state that reads variables,
their names in order. In JSONPath they stand in paths (``$name.field``) and intrinsic calls; in JSONata in ``{% … %}``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sflab.asl import jsonata
from sflab.asl.model import JSON, scopes, step, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

_INNER = ("Branches", "ItemProcessor", "Iterator")  # states of their own
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"(?<![\w$.])\$([^\W\d]\w*)")


def references(raw: dict[str, JSON]) -> dict[str, list[str]]:
    """Return {state: names of the variables its own fields read}, for the states that read any."""
    default = raw.get("QueryLanguage", "JSONPath")
    found = {place.name: sorted(_reads(place.state, default)) for place in walk(raw)}
    return {name: names for name, names in found.items() if names}


def assigned(raw: dict[str, JSON]) -> set[str]:
    """Return the names of all variables that a state, a catcher or a choice rule sets."""
    return {name for place in walk(raw) for name in _own(place.state)}


def unset(raw: dict[str, JSON]) -> Iterator[tuple[str, str, str]]:
    """Return (state's pointer, code, message) for each variable that a state reads and cannot have been set.

    A name that is assigned on some way to the state is taken to be set. An inner scope reads the variables around it,
    but a Distributed Map's does not, and none of its own is seen outside (developer guide, "Workflow variable scope").
    """
    everywhere = assigned(raw)
    todo: list[tuple[dict[str, JSON], str, frozenset[str], frozenset[str]]] = [(raw, "", frozenset(), frozenset())]
    default = raw.get("QueryLanguage", "JSONPath")
    while todo:
        owner, scope, set_, around = todo.pop()
        states = {n: s for n, s in _dict(owner.get("States")).items() if isinstance(s, dict)}
        here = frozenset(name for state in states.values() for name in _own(state))
        before = _set_before(states, owner.get("StartAt"), here)
        for name, state in states.items():
            pointer = f"{scope}/States{step(name)}"
            known = set_ | before.get(name, here)
            for read in sorted(_reads(state, default) - known):
                if read not in everywhere:
                    yield pointer, "UNDEFINED_VARIABLE", f"no state assigns the variable ${read}"
                elif read in here | around:
                    yield pointer, "READ_BEFORE_ASSIGNED", f"no state on the way here assigns the variable ${read}"
                else:
                    said = f"${read} is assigned in another branch, item processor or scope, and is not seen here"
                    yield pointer, "OUT_OF_SCOPE", said
            for hidden in sorted(_own(state) & around):
                said = f"this ${hidden} is the scope's own; the ${hidden} around it stays as it is"
                yield pointer, "HIDES_VARIABLE", said
            for where, inner in scopes(state, pointer):
                alone = _dict(inner.get("ProcessorConfig")).get("Mode") == "DISTRIBUTED"
                none: frozenset[str] = frozenset()
                todo.append((inner, where, none, none) if alone else (inner, where, known, around | here))


def _set_before(states: dict[str, dict[str, JSON]], start: JSON, every: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return {state: names assigned on some way from *start* to it}; without the states no way leads to."""
    if not isinstance(start, str) or any(t not in states for s in states.values() for t, _ in _transitions(s)):
        return dict.fromkeys(states, every)  # a token, or a mistake that is said elsewhere
    out: dict[str, frozenset[str]] = {start: frozenset()}
    todo = [start] if start in states else []
    while todo:
        name = todo.pop()
        for target, names in _transitions(states[name]):
            more = out[name] | names
            if not more <= out.get(target, frozenset()) or target not in out:
                out[target] = out.get(target, frozenset()) | more
                todo.append(target)
    return out


def _transitions(state: dict[str, JSON]) -> Iterator[tuple[str, frozenset[str]]]:
    """Each transition out of a state: its target, and the names that are assigned when it is taken."""
    own = _names(state)
    for field in ("Next", "Default"):
        if isinstance(state.get(field), str):
            yield state[field], own
    for field in ("Choices", "Catch"):
        for item in _list(state.get(field)):
            if isinstance(item, dict) and isinstance(item.get("Next"), str):
                yield item["Next"], _names(item) | (own if field == "Choices" else frozenset())


def _own(state: dict[str, JSON]) -> frozenset[str]:
    rules = [r for field in ("Choices", "Catch") for r in _list(state.get(field)) if isinstance(r, dict)]
    return frozenset(name for owner in (state, *rules) for name in _names(owner))


def _names(owner: dict[str, JSON]) -> frozenset[str]:
    return frozenset(name.removesuffix(".$") for name in _dict(owner.get("Assign")))


def _reads(state: dict[str, JSON], default: str) -> set[str]:
    own = {name: value for name, value in state.items() if name not in _INNER}
    return set((_in_jsonata if state.get("QueryLanguage", default) == "JSONata" else _in_jsonpath)(own))


def _dict(value: JSON) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}


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

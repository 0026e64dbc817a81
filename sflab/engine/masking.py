"""Fields of an execution's data made unreadable, before anything is shown or saved.

A field is named as in the data: ``password`` masks every member of that name, however deep, ``card.number`` those
within a ``card``, ``*token*`` all whose names hold the word; upper and lower case are the same. The member stays, its
value becomes ``"***"``. JSON inside a string is looked into (a Lambda function's body, a cause), and where a text only
quotes JSON, as error messages do, what it quotes of the field is masked there; what is cut off in the middle goes to
its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Any

from sflab.asl.model import compact
from sflab.engine.history import Event
from sflab.errors import DefinitionError

MASK = "***"
_DECODE = json.JSONDecoder()


def masker(fields: Iterable[str]) -> Callable[[Any], Any]:
    """Return the function that masks *fields* in a JSON value, a text or an event; it changes nothing in place.

    Raises DefinitionError for a field that is no name.
    """
    given = [fields] if isinstance(fields, str) else list(fields)
    wrong = [f for f in given if not isinstance(f, str) or not all(f.removeprefix("$.").split("."))]
    if wrong:
        raise DefinitionError(f"a field to mask is named like 'password', 'card.number' or '*token*', not {wrong[0]!r}")
    paths = [[re.compile(translate(n), re.IGNORECASE) for n in f.removeprefix("$.").split(".")] for f in given]
    lasts = [path[-1] for path in paths]

    def hidden(name: str, around: tuple[str, ...]) -> bool:
        where = (*around, name)
        return any(
            len(path) <= len(where) and all(p.match(n) for p, n in zip(reversed(path), reversed(where), strict=False))
            for path in paths
        )

    def masked(value: Any, around: tuple[str, ...] = ()) -> Any:
        if isinstance(value, dict):
            return {k: MASK if hidden(str(k), around) else masked(v, (*around, str(k))) for k, v in value.items()}
        if isinstance(value, list):
            return [masked(v, around) for v in value]
        return text(value, around) if isinstance(value, str) else value

    def text(value: str, around: tuple[str, ...]) -> str:
        if "{" not in value:
            return value
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            return _quoted(value, lasts)
        hid = masked(inner, around)
        return value if hid == inner else compact(hid)

    return masked


#: A member's name in a text, its quotes escaped as often as the JSON it stands in is nested in strings.
_MEMBER = re.compile(r'(?P<quote>\\*")(?P<name>(?:[^"\\]|\\(?!"))*)(?P=quote)\s*[:=]\s*')


def _quoted(text: str, names: list[re.Pattern[str]]) -> str:
    """Mask what a text that is no JSON quotes of the fields."""
    out, at = [], 0
    for found in _MEMBER.finditer(text):
        if found.start() < at or not any(n.match(found["name"]) for n in names):
            continue
        out.append(text[at : found.end()] + f"{found['quote']}{MASK}{found['quote']}")
        at = _end(text, found.end(), found["quote"])
    return "".join(out) + text[at:]


def _end(text: str, start: int, quote: str) -> int:
    """Return where the JSON value that begins at *start* ends; the end of the text where it cannot be told."""
    if len(quote) == 1:
        try:
            return _DECODE.raw_decode(text, start)[1]
        except (ValueError, RecursionError):
            return len(text)
    if text.startswith(quote, start):
        closed = re.compile(rf"(?<!\\){re.escape(quote)}").search(text, start + len(quote))
        return closed.end() if closed else len(text)
    plain = re.compile(r"[-+.\w]+").match(text, start)
    return plain.end() if plain else len(text)


def mask_event(event: Event, masked: Callable[[Any], Any]) -> Event:
    """Return an event with the data in its details masked; what AWS itself calls ``name`` or ``error`` there stays."""
    return {
        k: {member: masked(value) for member, value in v.items()}
        if k.endswith("Details") and isinstance(v, dict)
        else v
        for k, v in event.items()
    }

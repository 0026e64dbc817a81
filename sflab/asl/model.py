"""What a definition is: its JSON, where each part of it stands in its file, and what was found wrong with it."""

from __future__ import annotations

import json
import math
import re
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

JSON = Any  # None | bool | int | float | str | list[JSON] | dict[str, JSON]: never changed in place


#: A text as a JSON string, nothing but control characters and quotes escaped.
quote: Callable[[str], str] = json.encoder.encode_basestring


def _encoder() -> Callable[[JSON], str]:
    """Return ``json.JSONEncoder(…).encode``; of CPython's, the part in C, which it would make anew for every value."""
    standard = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return standard.encode
    chunks = make(None, standard.default, quote, None, ":", ",", False, False, True)  # noqa: FBT003 - C takes no names
    return lambda value: "".join(chunks(value, 0))


#: JSON text as AWS writes it: no spaces, nothing but control characters and quotes escaped. Raises TypeError for
#: what is no JSON, RecursionError where it is nested too deeply.
compact = _encoder()


def read_json(text: str) -> JSON:
    """Return what JSON text says; NaN, Infinity and numbers beyond a double (``1e999``) are no JSON.

    Raises ValueError (JSONDecodeError where the place is known), RecursionError.
    """
    return json.loads(text, parse_constant=_no_json, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_json(text)


def _no_json(word: str) -> NoReturn:
    msg = f"{word} is not JSON; write a number, or a string"
    raise ValueError(msg)


STATE_TYPES = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")

#: ``${Name}`` as DefinitionSubstitutions, Fn::Sub and Terraform write it. A JSONata group-by (``${ a: b }``) is
#: not one.
TOKEN = re.compile(r"\$\{([^{}\s\"':,]+(?::{1,2}[^{}\s\"':,]+)*)\}")


class StatesError(Exception):
    """An error of the States Language inside an execution: what Retry and Catch match, and what ends an execution.

    ``error`` is its name, ``cause`` its text; either may be None. ``runtime`` marks the ones AWS words as "An error
    occurred while executing the state …": the machine, which knows the state and its event, writes that beginning.
    ``location`` is the field a failed evaluation is reported at (``Output/total``), None where AWS records no such
    event.
    """

    def __init__(
        self, error: str | None, cause: str | None = None, *, runtime: bool = False, location: str | None = None
    ) -> None:
        super().__init__(error, cause)
        self.error, self.cause, self.runtime, self.location = error, cause, runtime, location


def runtime_error(cause: str) -> StatesError:
    """``States.Runtime`` with *cause* after AWS's "An error occurred while executing the state …" (ERRORS §8.1)."""
    return StatesError("States.Runtime", cause, runtime=True)


def drawn_uuid(chance: random.Random) -> str:
    """Return a version 4 UUID drawn with *chance*, so that the same seed gives the same one."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing found in a definition, as ValidateStateMachineDefinition reports it.

    ``severity`` is ``ERROR`` (AWS refuses the definition) or ``WARNING``; ``location`` is where, as AWS writes it
    (``/States/Pick/Choices[0]/Next``; empty where it names no place); ``line`` and ``column`` count from 1 and are
    None where the text is not known. ``said`` is the message in our words, where AWS's say less; ``pointer`` the JSON
    pointer (RFC 6901) of exactly what is meant, where AWS points at the state around it.
    """

    severity: str
    code: str
    message: str
    location: str = ""
    line: int | None = None
    column: int | None = None
    source: str = ""
    said: str = ""
    pointer: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.source, self.line, self.column) if part)
        place = self.location if self.location and not self.location.startswith("[") else "/"
        return f"{where + ': ' if where else ''}{self.severity} {place}: {self.said or self.message} [{self.code}]"


class Place(NamedTuple):
    """One state and where it stands: ``scope`` is the pointer of the object that holds its StartAt and States."""

    pointer: str
    name: str
    state: dict[str, JSON]
    parent: str
    scope: str


@dataclass(frozen=True)
class Definition:
    """An ASL definition: the JSON with its substitutions made, and the text it was read from."""

    raw: dict[str, JSON]
    text: str = ""
    source: str = "<definition>"
    unresolved: tuple[str, ...] = ()
    index: Callable[[str], Mapping[str, tuple[int, int]]] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def _positions(self) -> Mapping[str, tuple[int, int]]:
        return self.index(self.text) if self.index else {}

    def position(self, pointer: str) -> tuple[int, int] | None:
        """Line and column (from 1) of what *pointer* names, or of the nearest thing around it; None without a text."""
        while pointer and pointer not in self._positions:
            pointer = pointer.rpartition("/")[0]
        return self._positions.get(pointer)

    def places(self) -> Iterator[Place]:
        """Every state, outer before inner, in the order written."""
        return walk(self.raw)

    def diagnostic(
        self, severity: str, code: str, message: str, pointer: str, *, said: str = "", location: str | None = None
    ) -> Diagnostic:
        """Return a diagnostic about *pointer*, with its line and column; *location* where AWS points elsewhere."""
        line, column = self.position(pointer) or (None, None)
        source = "" if self.source.startswith("<") else self.source
        where = self.location(pointer) if location is None else location
        return Diagnostic(severity, code, message, where, line, column, source, said, pointer)

    def location(self, pointer: str) -> str:
        """Return *pointer* as AWS writes it: names as they are, an item of an array as ``Choices[0]`` (reported)."""
        out, value = "", self.raw
        for name in unstep(pointer):
            is_item = isinstance(value, list)
            out += f"[{name}]" if is_item else f"/{name}"
            value = _member(value, name)
        return out or "/"


def step(name: str | int) -> str:
    """One step of a JSON pointer (RFC 6901 §3)."""
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


def unstep(pointer: str) -> list[str]:
    """Return the steps of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _member(value: JSON, name: str) -> JSON:
    if isinstance(value, dict):
        return value.get(name)
    return value[int(name)] if isinstance(value, list) and name.isdecimal() and int(name) < len(value) else None


def scopes(state: dict[str, JSON], pointer: str) -> Iterator[tuple[str, dict[str, JSON]]]:
    """Return the (pointer, object) pairs inside a Map or Parallel state that hold a StartAt and States."""
    for name in ("ItemProcessor", "Iterator"):
        if isinstance(state.get(name), dict):
            yield f"{pointer}/{name}", state[name]
    branches = state.get("Branches")
    for i, branch in enumerate(branches if isinstance(branches, list) else ()):
        if isinstance(branch, dict):
            yield f"{pointer}/Branches/{i}", branch


def walk(raw: dict[str, JSON], scope: str = "", parent: str = "") -> Iterator[Place]:
    """Every state of a definition, outer before inner, in the order written; whatever is not a state is passed over."""
    todo = [(raw, scope, parent)]
    while todo:
        owner, scope, parent = todo.pop()
        inner: list[tuple[dict[str, JSON], str, str]] = []
        states = owner.get("States")
        for name, state in states.items() if isinstance(states, dict) else ():
            if not isinstance(state, dict):
                continue
            pointer = f"{scope}/States{step(name)}"
            yield Place(pointer, str(name), state, parent, scope)
            inner += [(child, where, pointer) for where, child in scopes(state, pointer)]
        todo += reversed(inner)


_INTEGRATION = re.compile(r"arn:[^:]*:states:[^:]*:[^:]*:((?:aws-sdk:)?[^:]+):([^.:]+)(\.[\w:]+)?$")


@dataclass(frozen=True, slots=True)
class Resource:
    """What a Task calls. ``kind`` is ``lambda`` (by ARN), ``task`` (a service integration) or ``activity``."""

    text: str
    kind: str
    type: str  # "lambda", "dynamodb", "aws-sdk:s3" …
    action: str  # "invoke", "putItem", "startExecution.sync:2" …
    pattern: str  # "", "sync", "waitForTaskToken"

    @property
    def function(self) -> str:
        """Return the name of the Lambda function an ARN names, or the text itself."""
        parts = self.text.split(":")
        return parts[6] if len(parts) > 6 and parts[2] == "lambda" else self.text


def resource(text: str) -> Resource:
    """Read a Task's Resource. What is no service integration is a Lambda function, unless it names an activity."""
    if m := _INTEGRATION.match(text):
        kind, action, suffix = m[1], m[2], m[3] or ""
        if kind != "activity":
            pattern = suffix[1:].partition(":")[0]
            return Resource(text, "task", kind, action + suffix, pattern)
    if ":activity:" in text or (not text.startswith("arn:") and "activity" in text.lower()):
        return Resource(text, "activity", "activity", text, "")
    return Resource(text, "lambda", "lambda", text, "")

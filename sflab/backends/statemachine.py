"""The state machine as people hold it: a definition with a name and a type, that checks, draws and copies itself."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.asl import parse
from sflab.asl.program import Program, compile_program
from sflab.asl.validate import UNRESOLVED, validate
from sflab.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sflab.asl.model import JSON, Definition, Diagnostic

TYPES = ("STANDARD", "EXPRESS")


class StateMachine:
    """A definition in the Amazon States Language, with a name and a type.

    Make one with `StateMachine.load`. As a cell's value it draws itself; it is never changed.
    """

    def __init__(self, definition: Definition, *, name: str = "machine", type: str = "STANDARD") -> None:
        if type not in TYPES:
            raise DefinitionError(f"type must be STANDARD or EXPRESS, not {type!r}")
        self.definition, self.name, self.type = definition, name, type

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | Mapping[str, JSON],
        *,
        substitutions: Mapping[str, JSON] | None = None,
        name: str | None = None,
        type: str = "STANDARD",
    ) -> StateMachine:
        """Load a definition from a JSON or YAML file, from its text, or from a dict.

        *substitutions* fills ``${Token}``s as DefinitionSubstitutions does; those left are reported by `validate`
        and do not keep it from being drawn. *name* defaults to the file's.

        Raises DefinitionError when the file is missing or is not JSON or YAML, with line and column; what is wrong
        *inside* a
        definition is `validate`'s to say.
        """
        definition = parse.load(source, substitutions=substitutions)
        return cls(definition, name=name or _name(definition.source), type=type)

    def validate(self) -> list[Diagnostic]:
        """Everything found, each with its location: ``severity`` ERROR (AWS refuses it) or WARNING."""
        return validate(self.definition, self.type)

    def check(self) -> None:
        """Raise DefinitionError, listing every reason, if the definition cannot run."""
        errors = [d for d in self._diagnostics if d.severity == "ERROR" or d.code == UNRESOLVED]
        if errors:
            many = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
            raise DefinitionError.of(f"{self.definition.source}: the definition cannot run ({many}):", errors)

    @cached_property
    def _diagnostics(self) -> list[Diagnostic]:
        return self.validate()

    @cached_property
    def program(self) -> Program:
        """The definition compiled, ready for the machine. Raises DefinitionError where it does not validate."""
        self.check()
        return compile_program(self.definition.raw)

    @property
    def states(self) -> tuple[str, ...]:
        """The names of all states, outer before inner."""
        return tuple(place.name for place in self.definition.places())

    def as_express(self) -> StateMachine:
        """Return the same definition as an Express workflow.

        Raises DefinitionError, with each reason and its location, where it uses what Express does not have.
        """
        express = StateMachine(self.definition, name=self.name, type="EXPRESS")
        express.check()
        return express

    def as_standard(self) -> StateMachine:
        """Return the same definition as a Standard workflow."""
        return StateMachine(self.definition, name=self.name)

    def __repr__(self) -> str:
        count = sum(1 for _ in self.definition.places())
        return f"StateMachine({self.name!r}, {self.type}, {count} state{'' if count == 1 else 's'})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StateMachine) and (self.definition.raw, self.type) == (
            other.definition.raw,
            other.type,
        )

    __hash__ = None  # type: ignore[assignment]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sflab.views.graph import mimebundle

        return mimebundle(self.definition)


def _name(source: str) -> str:
    """``data/machines/order-saga.asl.json`` is the machine order-saga."""
    stem = "machine" if source.startswith("<") else Path(source).name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:80] or "machine"

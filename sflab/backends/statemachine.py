"""The state machine as people hold it: a definition with a name and a type, that checks, draws and copies itself."""

from __future__ import annotations

import difflib
import os
import re
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.asl import parse
from sflab.asl.explain import UNKNOWN, Sight, explain
from sflab.asl.program import Program, compile_program
from sflab.asl.validate import UNRESOLVED, validate
from sflab.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sflab.asl.model import JSON, Definition, Diagnostic
    from sflab.backends.functions import Mock
    from sflab.backends.statetest import StateTest
    from sflab.views.explained import Explanation
    from sflab.views.findings import Findings

TYPES = ("STANDARD", "EXPRESS")


class StateMachine:
    """A definition in the Amazon States Language, with a name and a type.

    Make one with `StateMachine.load`. As a cell's value it draws itself; it is never changed. ``role_arn`` is the role
    it was created with over the API, None otherwise.
    """

    def __init__(
        self, definition: Definition, *, name: str = "machine", type: str = "STANDARD", role_arn: str | None = None
    ) -> None:
        if type not in TYPES:
            raise DefinitionError(f"type must be STANDARD or EXPRESS, not {type!r}")
        self.definition, self.name, self.type, self.role_arn = definition, name, type, role_arn

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

    def validate(self) -> Findings:
        """Everything found, each with its location: ``severity`` ERROR (AWS refuses it) or WARNING.

        A list of diagnostics; as a cell's value it shows the lines that are meant.
        """
        from sflab.views.findings import Findings

        return Findings(validate(self.definition, self.type), self.definition.text)

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

    def test_state(
        self,
        name: str,
        input: JSON = None,
        *,
        variables: Mapping[str, JSON] | None = None,
        context: Mapping[str, JSON] | None = None,
        mock: Mock | Mapping[str, Any] | None = None,
        task: Any = None,
        retry_count: int = 0,
        error_caused_by: str | None = None,
        iteration_failures: int | None = None,
        item_reader_data: str | None = None,
        inspection_level: str = "DEBUG",
        validation: str = "STRICT",
    ) -> StateTest:
        """Test one state alone, as AWS's TestState does; *name* may be of a state inside a Map or Parallel state.

        *input* is JSON data, or JSON text as AWS takes it. *mock* says what the work of a Task, Map or Parallel state
        comes to: ``sf.mock(…)``, ``{"result": …}`` (data, or JSON text) or ``{"errorOutput": {"error": …}}``. A mocked
        result is checked against the service's own API model: *validation* ``STRICT``, ``PRESENT`` (only what is there)
        or ``NONE``. Without a mock, *task* does a Task's work: ``callable(event, context)``, a mock, or a `Local` with
        what is bound there.

        *retry_count* is how often the state was retried already, *error_caused_by* the state inside a Map or Parallel
        state that a mocked error comes from, *iteration_failures* how many iterations of a Map failed,
        *item_reader_data* the file an ItemReader reads; *variables* and *context* are what the expressions see.

        Raises DefinitionError when the definition does not validate, ApiError where AWS refuses the test.
        """
        from sflab.backends.statetest import run

        return run(
            self,
            name,
            input,
            variables=variables,
            context=context,
            mock=mock,
            task=task,
            validation=validation,
            inspection_level=inspection_level,
            configuration={
                "retrierRetryCount": retry_count or None,
                "errorCausedByState": error_caused_by,
                "mapIterationFailureCount": iteration_failures,
                "mapItemReaderData": item_reader_data,
            },
        )

    def explain(
        self,
        name: str,
        input: JSON = None,
        *,
        variables: Mapping[str, JSON] | None = None,
        context: Mapping[str, JSON] | None = None,
        result: JSON = UNKNOWN,
    ) -> Explanation:
        """Explain every expression of one state: what it reads, its value for *input* or its error, and why.

        *input* (JSON data, default ``{}``) is what the state is given, *result* what its work answered: fields that
        read a result are not evaluated without one. *variables* and *context* are what the expressions see beside it;
        *context* is laid over one such as an execution here has.

        Raises DefinitionError when the definition does not validate or has no such state.
        """
        from sflab.backends.drivers import EPOCH
        from sflab.views.explained import Explanation

        self.check()
        places = {place.name: place.state for place in self.definition.places()}
        if name not in places:
            near = difflib.get_close_matches(name, places, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(places)}"
            raise DefinitionError(f"{self.definition.source}: there is no state {name!r}; {hint}")
        raw, given = places[name], {} if input is None else input
        when = datetime.fromtimestamp(EPOCH, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        account = "us-east-1:123456789012"
        seen = {
            "Execution": {
                "Id": f"arn:aws:states:{account}:execution:{self.name}:explained",
                "Input": given,
                "Name": "explained",
                "RoleArn": "arn:aws:iam::123456789012:role/sflab",
                "StartTime": when,
            },
            "StateMachine": {"Id": f"arn:aws:states:{account}:stateMachine:{self.name}", "Name": self.name},
            "State": {"Name": name, "EnteredTime": when},
            **(context or {}),
        }
        language = raw.get("QueryLanguage") or self.definition.raw.get("QueryLanguage") or "JSONPath"
        sight = Sight(EPOCH, seen, variables or {})
        return Explanation(name, explain(raw, given, sight, language=str(language), result=result))

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

        return mimebundle(self.definition, headline=repr(self))


def _name(source: str) -> str:
    """``data/machines/order-saga.asl.json`` is the machine order-saga."""
    stem = "machine" if source.startswith("<") else Path(source).name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem)[:80] or "machine"

"""Mock configuration files of Step Functions Local, as ``tasks`` of `sflab.Local`.

The format is AWS's (developer guide, "Using mocked service integrations for testing"):

    {"StateMachines": {"OrderSaga": {"TestCases": {"HappyPath": {"ChargeCard": "Charged"}}}},
     "MockedResponses": {"Charged": {"0": {"Throw": {"Error": "Busy", "Cause": "…"}}, "1-2": {"Return": {…}}}}}

A response is a task's whole result, by the number of the state's invocation in the execution, counted from 0.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sflab.asl.model import JSON, step
from sflab.backends.functions import Mock, mock
from sflab.errors import DefinitionError, TaskNotFoundError

if TYPE_CHECKING:
    import os


@dataclass(frozen=True, slots=True)
class MockedResponses:
    """The answers of one state: ``answers[n]`` is that of its invocation *n* in an execution."""

    name: str
    answers: tuple[Mock, ...]

    def at(self, n: int, state: str) -> Mock:
        """Return the answer of invocation *n*. Raises TaskNotFoundError when the file has none."""
        if n < len(self.answers):
            return self.answers[n]
        many = f"{len(self.answers)} invocation{'s' if len(self.answers) != 1 else ''}"
        raise TaskNotFoundError(
            f"the task {state!r} is invoked for the {n + 1}. time, but the mocked response {self.name!r} has {many}. "
            f'Add "{n}" to it, or a range such as "0-{n}".'
        )


def mock_config(
    source: str | os.PathLike[str] | Mapping[str, JSON], state_machine: str, test_case: str
) -> dict[str, MockedResponses]:
    """Read one test case of a mock configuration: state name -> its answers, to give to ``sf.Local(tasks=…)``.

    *source* is the path of a file, or its content as a dict. States the test case does not name are answered by what
    else is bound. Raises DefinitionError, with the place in the file, for what is missing or is not of the format.
    """
    where, config = ("the mock configuration", source) if isinstance(source, Mapping) else (str(source), _read(source))
    machine = _member(config, where, "StateMachines", state_machine)
    states = _member(machine, f"{where}: /StateMachines{step(state_machine)}", "TestCases", test_case)
    place = f"{where}: /StateMachines{step(state_machine)}/TestCases{step(test_case)}"
    out = {}
    for state, name in _object(states, place).items():
        if not isinstance(name, str):
            raise DefinitionError(
                f"{place}{step(state)}: must be the name of a mocked response, not {json.dumps(name)}"
            )
        answers = _member(config, where, "MockedResponses", name)
        out[state] = MockedResponses(name, _answers(answers, f"{where}: /MockedResponses{step(name)}"))
    return out


def _read(path: str | os.PathLike[str]) -> JSON:
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as e:
        raise DefinitionError(f"{path}: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise DefinitionError(f"{path}: not JSON: {e}") from None


def _object(value: JSON, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DefinitionError(f"{where}: must be an object, not {json.dumps(value)[:60]}")
    return value


def _member(value: JSON, where: str, *names: str) -> JSON:
    for name in names:
        known = _object(value, where)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or sorted(known)
            raise DefinitionError(f"{where}: there is no {name!r}; there is {', '.join(map(repr, near)) or 'nothing'}")
        value = known[name]
    return value


def _answers(given: JSON, where: str) -> tuple[Mock, ...]:
    answers: dict[int, Mock] = {}
    for key, answer in _object(given, where).items():
        numbers = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", key)
        if not numbers:
            raise DefinitionError(f'{where}{step(key)}: a response is for an invocation, "0", or for some, "1-3"')
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        for n in range(first, last + 1):
            if n in answers:
                raise DefinitionError(f"{where}{step(key)}: invocation {n} has an answer already")
            answers[n] = _answer(answer, f"{where}{step(key)}")
    missing = [n for n in range(len(answers)) if n not in answers]
    if missing or not answers:
        raise DefinitionError(f"{where}: invocation {missing[0] if missing else 0} has no answer; they count from 0")
    return tuple(answers[n] for n in range(len(answers)))


def _answer(given: JSON, where: str) -> Mock:
    known = _object(given, where)
    if list(known) == ["Return"]:
        return mock(known["Return"])
    if list(known) == ["Throw"]:
        thrown = _object(known["Throw"], f"{where}/Throw")
        error, cause = thrown.get("Error"), thrown.get("Cause")
        if isinstance(error, str) and isinstance(cause, str | None):
            return mock(error=error, cause=cause)
        raise DefinitionError(f'{where}/Throw: must be {{"Error": text, "Cause": text}}')
    raise DefinitionError(f"{where}: must have either Return or Throw, not {', '.join(known) or 'nothing'}")

"""Exercises and their checks: what of an answer is right, what is not yet, and a hint for who asks.

Theory of operation. An `Exercise` has an id (notebook and number, ``03.2``), a task, what kind of answer it wants, a
hint, and a check: a function of the answer that yields a `Part` for each thing it looks at, by running the answer where
that can be. The ``exercises_…`` modules register them with `exercise`. A check never raises for a wrong answer: what
goes wrong inside it is one more thing that is not yet right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

from sflab.asl.model import JSON
from sflab.backends.execution import Execution
from sflab.backends.local import Local, LocalExecution
from sflab.backends.statemachine import StateMachine
from sflab.backends.statetest import StateTest
from sflab.errors import DefinitionError, SflabError


class Part(NamedTuple):
    """One thing that was looked at: whether it is right, and what there is to say of it."""

    right: bool
    said: str


def part(right: object, if_right: str, if_not: str) -> Part:
    """Return what to say of one thing, where it is right and where it is not yet."""
    return Part(bool(right), if_right if right else if_not)


def yes(said: str) -> Part:
    """Return something that is right."""
    return Part(right=True, said=said)


def no(said: str) -> Part:
    """Return something that is not right yet."""
    return Part(right=False, said=said)


Check = Callable[[Any], Iterator[Part]]


@dataclass(frozen=True, slots=True)
class Exercise:
    """An exercise: its ``id``, the ``task`` in words, what its answer is (``wants``), a ``hint``, and its check."""

    id: str
    task: str
    wants: str
    hint: str
    check: Check


#: Every exercise by its id; filled by the exercise modules.
EXERCISES: dict[str, Exercise] = {}


def exercise(id: str, *, wants: str, task: str, hint: str) -> Callable[[Check], Check]:
    """Register a check: a function of the answer that yields a `Part` for each thing it looks at."""

    def register(function: Check) -> Check:
        if id in EXERCISES:
            raise ValueError(f"there are two exercises {id}")
        if wants not in _KINDS:
            raise ValueError(f"exercise {id} wants {wants!r}, which is none of {', '.join(_KINDS)}")
        EXERCISES[id] = Exercise(id, task, wants, hint, function)
        return function

    return register


# ── what an answer may be ────────────────────────────────────────────────────────────────────────────────────────────


def _machine(answer: Any) -> Any:
    """A machine may come as a definition: a dict, JSON or YAML text, a path."""
    return answer if isinstance(answer, StateMachine) else StateMachine.load(answer)


def _is_number(answer: Any) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool) and math.isfinite(answer)


def _is_api(answer: Any) -> bool:
    from sflab.backends.rest import RestApi

    return isinstance(answer, RestApi)


#: kind -> (what it is in words, whether an answer is one)
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "machine": ("a StateMachine, or a definition", lambda a: isinstance(a, StateMachine)),
    "execution": ("an execution: what start_execution or run returns", lambda a: isinstance(a, Execution)),
    "number": ("a number", _is_number),
    "text": ("a text", lambda a: isinstance(a, str)),
    "choices": ("a dict", lambda a: isinstance(a, Mapping)),
    "test": ("what test_state returns", lambda a: isinstance(a, StateTest)),
    "api": ("an sf.RestApi", _is_api),
}


# ── checking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Checked:
    """What a check found. As a cell's value it says what is right and what is not yet.

    ``ok`` is whether all of it is right, ``right`` and ``not_yet`` are what was found, ``hint`` is the exercise's.
    """

    def __init__(self, exercise: Exercise, parts: tuple[Part, ...], *, hint: bool = False, asked: bool = True) -> None:
        self.exercise, self.parts, self._hint, self._asked = exercise, parts, hint, asked

    @property
    def ok(self) -> bool:
        """Whether the answer is right."""
        return self._asked and all(each.right for each in self.parts)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def right(self) -> tuple[str, ...]:
        """What is right."""
        return tuple(each.said for each in self.parts if each.right)

    @property
    def not_yet(self) -> tuple[str, ...]:
        """What is not right yet."""
        return tuple(each.said for each in self.parts if not each.right)

    @property
    def hint(self) -> str:
        """A hint."""
        return self.exercise.hint

    @property
    def _headline(self) -> str:
        if not self._asked:
            return f"Exercise {self.exercise.id}"
        return f"Exercise {self.exercise.id}: {'right' if self.ok else 'not yet'}"

    @property
    def _rest(self) -> str:
        if self._hint:
            return f"Hint: {self.hint}"
        if self.ok:
            return ""
        answer = "" if not self._asked else "answer, "
        return f'For a hint: sf.check("{self.exercise.id}", {answer}hint=True)'

    def _lines(self) -> list[str]:
        if not self._asked:
            return [self.exercise.task, f"The answer is {_KINDS[self.exercise.wants][0]}."]
        return [f"{'✓' if each.right else '✗'} {each.said}" for each in self.parts]

    def __repr__(self) -> str:
        return "\n".join(
            [self._headline, *(f"  {line}" for line in self._lines()), *([self._rest] if self._rest else [])]
        )

    def _repr_html_(self) -> str:
        lines = "<br>".join(map(escape, self._lines()))
        rest = f"<br><i>{escape(self._rest)}</i>" if self._rest else ""
        return f"<div><b>{escape(self._headline)}</b><br>{lines}{rest}</div>"


_NOTHING: Any = object()


def check(id: str, answer: Any = _NOTHING, *, hint: bool = False) -> Checked:
    """Check the answer to an exercise and say what is right, what is not yet, and with *hint* how to go on.

    Without an answer the task is told. An answer is a machine (or its definition), an execution, a number, a text, as
    the exercise wants. Raises SflabError for an id that is none, listing those there are.
    """
    found = _all().get(str(id).strip())
    if found is None:
        ids = ", ".join(sorted(_all()))
        raise SflabError(f"there is no exercise {id!r}; there are {ids}")
    if answer is _NOTHING:
        return Checked(found, (), hint=hint, asked=False)
    return Checked(found, tuple(_parts(found, answer)), hint=hint)


def _all() -> dict[str, Exercise]:
    from sflab.workshop import exercises_language, exercises_practice  # noqa: F401 - they register themselves

    return EXERCISES


def _parts(exercise: Exercise, answer: Any) -> Iterator[Part]:
    words, fits = _KINDS[exercise.wants]
    if answer is None or answer is ...:
        yield no(f"There is no answer yet. It is {words}.")
        return
    try:
        answer = _machine(answer) if exercise.wants == "machine" else answer
    except (SflabError, TypeError, AttributeError, OSError) as e:
        yield no(f"The answer is {words}; this is none: {e}")
        return
    if not fits(answer):
        yield no(f"The answer is {words}, and this is of type {type(answer).__name__}.")
        return
    if isinstance(answer, StateMachine):
        try:
            answer.check()
        except DefinitionError as e:
            yield no(f"The definition cannot run yet. {e}")
            return
    try:
        yield from exercise.check(answer)
    except Exception as e:  # noqa: BLE001 - whatever an answer does to its check, it is not right yet
        yield no(f"It could not be tried out: {type(e).__name__}: {e}")


# ── what checks have in common ───────────────────────────────────────────────────────────────────────────────────────


class Calls(dict[str, list[Any]]):
    """Functions that remember the events they were called with: ``calls["Charge"]``."""

    def function(self, name: str, work: Callable[[Any], JSON] | JSON) -> Callable[[Any], JSON]:
        """Return a function that remembers its event and answers with *work*, or what that returns."""
        self[name] = []

        def remembered(event: Any) -> JSON:
            self[name].append(event)
            return work(event) if callable(work) else work

        return remembered


def tried(machine: StateMachine, input: JSON = None, **functions: Any) -> tuple[LocalExecution, Calls]:
    """Run *machine* as a Standard one (which ends, however it loops) with functions that remember their calls."""
    calls = Calls()
    made = {name: calls.function(name, work) for name, work in functions.items()}
    return Local(made).start_execution(machine.as_standard(), input), calls


def outcome(run: Execution) -> str:
    """Say how an execution ended, in a few words."""
    return (
        f"{run.status} with {run.output!r}" if run.status == "SUCCEEDED" else f"{run.status} ({run.error}: {run.cause})"
    )


def gives(machine: StateMachine, *pairs: tuple[JSON, JSON], **functions: Any) -> Iterator[Part]:
    """Yield whether *machine* makes of each input the output that is wanted; the first that is not is told."""
    for given, wanted in pairs:
        run, _ = tried(machine, given, **functions)
        if run.status != "SUCCEEDED" or run.output != wanted:
            yield no(f"From {given!r} it should make {wanted!r}; it ended {outcome(run)}.")
            return
    yield yes(f"It makes of {pairs[0][0]!r} what it should, and of {len(pairs) - 1} other inputs.")


def near(answer: float, wanted: float, unit: str, *, percent: float = 1.0) -> Part:
    """Return whether a number is the wanted one, within *percent*; if not, on which side it is."""
    right = math.isclose(answer, wanted, rel_tol=percent / 100, abs_tol=1e-12)
    side = "more" if answer > wanted else "less"
    return part(right, f"{answer:g} {unit} it is.", f"{answer:g} {unit} is {side} than it is.")


def says(answer: str, *wanted: str) -> bool:
    """Whether a text is one of those wanted, whatever its case, quotes and spaces."""
    return answer.strip(" .'\"`\n").lower() in {each.lower() for each in wanted}


def uses(machine: StateMachine, field: str) -> bool:
    """Whether a state of the machine has *field*."""
    return any(field in place.state for place in machine.definition.places())


def kinds(machine: StateMachine) -> set[str]:
    """Return the types of the machine's states."""
    return {str(place.state.get("Type")) for place in machine.definition.places()}

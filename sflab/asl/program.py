"""A definition made ready to run: every state with its expressions compiled, linked to the states after it.

`compile_program` turns a definition (which validates) into a `Program`; the machine in `sflab.engine` walks it.
What a state does with data is closures made by `dataflow` and `choice`; control flow stays data, so that a frame
can be saved: a State pickles as *its definition and its pointer*, and is compiled again where it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sflab.asl import choice, dataflow, jsonata
from sflab.asl.mapstate import MapFields, compile_map
from sflab.asl.model import JSON, Resource, StatesError, resource, runtime_error, scopes, step
from sflab.asl.paths import PathNotFoundError, Scope, compile_path

if TYPE_CHECKING:
    Closure = Callable[[JSON, Scope], JSON]
    Stage = Callable[[JSON, JSON, Scope], JSON]  # (raw input, result, scope) -> output, or the variables assigned

INSTANT = ("Pass", "Choice", "Succeed", "Fail")
MAX_WAIT = 2**31 - 1  # seconds; recorded: 24,855 days are taken, 24,856 are "too long"
INLINE_CONCURRENCY = 40  # what an inline Map runs at once (developer guide, "Map state processing modes")


@dataclass(frozen=True, slots=True)
class Retrier:
    """One retrier; the defaults are the States Language's."""

    errors: tuple[str, ...]
    interval: float
    attempts: int
    rate: float
    longest: float
    jitter: bool

    def delay(self, attempt: int, chance: Any) -> float:
        """Seconds before retry number *attempt* (from 0); with jitter, drawn between 0 and that."""
        try:
            seconds = min(self.interval * float(self.rate) ** attempt, self.longest)
        except OverflowError:
            seconds = self.longest
        return chance.uniform(0, seconds) if self.jitter else seconds


@dataclass(frozen=True, slots=True)
class Catcher:
    """One catcher: where to go, and what the next state is given."""

    errors: tuple[str, ...]
    next: str
    output: Stage | None  # (the state's input, the error output, scope); None: the error output itself
    assign: Stage | None


class State:
    """One state, compiled. Fields that its type does not have are None."""

    __slots__ = (
        "assign",
        "catchers",
        "copies",
        "credentials",
        "effective",
        "entered",
        "exited",
        "finish",
        "growth",
        "hands_on",
        "heartbeat",
        "jsonata",
        "kind",
        "map",
        "name",
        "next",
        "pointer",
        "program",
        "programs",
        "raw",
        "resource",
        "retriers",
        "run",
        "timeout",
        "wait",
    )  # fmt: skip

    def __init__(self, program: Program, name: str, raw: dict[str, JSON], pointer: str) -> None:
        self.program, self.name, self.raw, self.pointer = program, name, raw, pointer
        self.kind: str = raw["Type"]
        self.entered, self.exited = f"{self.kind}StateEntered", f"{self.kind}StateExited"
        self.next: str | None = raw.get("Next")
        self.jsonata = raw.get("QueryLanguage", program.root.raw.get("QueryLanguage")) == "JSONata"
        self.effective: Closure | None = _arguments(raw) if self.jsonata else dataflow.effective_input(raw)
        self.finish: Stage | None = _output(raw, "Output") if self.jsonata else _finish(raw)
        self.assign: Stage | None = _assign(raw, "Assign", jsonata_=self.jsonata)
        self.retriers = tuple(_retrier(r) for r in raw.get("Retry", ()))
        self.catchers = tuple(_catcher(c, i, jsonata_=self.jsonata) for i, c in enumerate(raw.get("Catch", ())))
        self.run: Callable[[JSON, Scope], tuple[JSON, str | None, dict[str, JSON] | None]] | None = None
        self.copies = 1  # its output is at most so many times its input …
        self.growth: int | None = None  # … and so many bytes larger; None: its output has to be measured
        self.resource: Resource | None = None
        self.timeout: Closure | None = None
        self.heartbeat: Closure | None = None
        self.wait: Closure | None = None
        self.credentials: Closure | None = None
        self.map: MapFields | None = None
        self.hands_on = _hands_on(raw)
        self.programs: tuple[Program, ...] = ()
        _COMPILERS[self.kind](self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _state_at, (self.program.root, self.pointer)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def _hands_on(raw: dict[str, JSON]) -> bool:
    """Whether what its branches and iterations are given is part of its input, and so no larger."""
    path = raw.get("ItemsPath", "$")
    of_input = isinstance(path, str) and (path == "$" or path.startswith(("$.", "$[")))
    return of_input and not {"Parameters", "Arguments", "Items"} & raw.keys()


class Program:
    """The states of one scope: the whole definition, a branch, or an item processor."""

    __slots__ = ("at", "pointer", "raw", "root", "start", "states")

    def __init__(self, raw: dict[str, JSON], pointer: str, root: Program | None) -> None:
        self.raw, self.pointer, self.root = raw, pointer, root or self
        self.at: dict[str, State] = {} if root is None else root.at  # every state of the tree, by pointer
        self.start: str = raw["StartAt"]
        self.states: dict[str, State] = {}
        for name, state in raw["States"].items():
            where = f"{pointer}/States{step(name)}"
            self.states[name] = self.at[where] = State(self, name, state, where)

    def __reduce__(self) -> tuple[Any, ...]:
        return (compile_program, (self.raw,)) if self.root is self else (_program_at, (self.root, self.pointer))


def compile_program(raw: dict[str, JSON]) -> Program:
    """Compile a definition that validates."""
    return Program(raw, "", None)


def _state_at(root: Program, pointer: str) -> State:
    return root.at[pointer]


def _program_at(root: Program, pointer: str) -> Program:
    return next(p for state in root.at.values() for p in state.programs if p.pointer == pointer)


# ── what a state does to its data, in either language ────────────────────────────────────────────────────────────────

_NO_RESULT: Any = object()  # what `$states.result` is in a state that has none


def _members(value: JSON, result: JSON) -> dict[str, JSON]:
    """``$states``, but for its context."""
    return {"input": value} if result is _NO_RESULT else {"input": value, "result": result}


def _arguments(raw: dict[str, JSON]) -> Closure | None:
    return jsonata.evaluated(raw["Arguments"], "Arguments") if "Arguments" in raw else None


def _output(raw: dict[str, JSON], field: str) -> Stage | None:
    if "Output" not in raw:
        return None
    evaluate = jsonata.compile_field(raw["Output"], field)
    return lambda value, result, scope: evaluate(_members(value, result), scope)


def _assign(raw: dict[str, JSON], field: str, *, jsonata_: bool) -> Stage | None:
    if not raw.get("Assign"):
        return None
    if jsonata_:
        evaluate = jsonata.compile_field(raw["Assign"], field)
        return lambda value, result, scope: evaluate(_members(value, result), scope)
    build = dataflow.template(raw["Assign"])
    return lambda _value, result, scope: build(result, scope)


def _finish(raw: dict[str, JSON]) -> Stage | None:
    """ResultSelector, ResultPath, OutputPath in one; None where the result is the output."""
    select = dataflow.result_selector(raw)
    place = dataflow.placer(raw["ResultPath"]) if "ResultPath" in raw else None
    output = dataflow.path_field(raw["OutputPath"]) if "OutputPath" in raw else None
    if not (select or output):
        return place

    def finish(value: JSON, result: JSON, scope: Scope) -> JSON:
        if select:
            result = select(result, scope)
        if place:
            result = place(value, result)
        return output(result, scope) if output else result

    return finish


# ── instant states: run(value, scope) -> (output, next, assigned) ────────────────────────────────────────────────────


def _pass(state: State) -> None:
    if state.jsonata:
        _pass_on(state)
        return
    raw, effective, finish, assign, after = state.raw, state.effective, state.finish, state.assign, state.next
    fixed, result = "Result" in raw, raw.get("Result")

    def run(value: JSON, scope: Scope) -> tuple[JSON, str | None, dict[str, JSON] | None]:
        made = result if fixed else effective(value, scope) if effective else value
        assigned = assign(value, made, scope) if assign else None
        return (finish(value, made, scope) if finish else made), after, assigned

    if fixed and finish and not assign:  # the one shape that is worth its own closure
        run = lambda value, scope: (finish(value, result, scope), after, None)  # noqa: E731
    state.run = run
    if "OutputPath" in raw or (effective and "InputPath" in raw):
        return
    bound = (0, dataflow.size(result)) if fixed else dataflow.growth(raw["Parameters"]) if effective else (1, 0)
    if bound is not None and finish:  # by ResultPath, under which a copy of the input would nest ever deeper
        bound = None if bound[0] else (1, bound[1] + len(raw["ResultPath"] or "") * 4 + 8)
    if bound is not None:
        state.copies, state.growth = bound


def _pass_on(state: State) -> None:
    """A JSONata state without a result: Pass and Succeed."""
    finish, assign, after = state.finish, state.assign, state.next

    def run(value: JSON, scope: Scope) -> tuple[JSON, str | None, dict[str, JSON] | None]:
        output = finish(value, _NO_RESULT, scope) if finish else value
        return output, after, assign(value, _NO_RESULT, scope) if assign else None

    state.run = run
    state.growth = None if finish else 0


def _choice(state: State) -> None:
    effective, finish, assign, default = state.effective, state.finish, state.assign, state.raw.get("Default")
    rules = [_rule(state, rule, f"Choices[{i}]") for i, rule in enumerate(state.raw["Choices"])]
    none = _NO_RESULT if state.jsonata else None

    def run(value: JSON, scope: Scope) -> tuple[JSON, str | None, dict[str, JSON] | None]:
        seen = effective(value, scope) if effective else value
        result = seen if none is None else none
        for test, after, out, set_ in rules:
            if test(seen, scope):
                output = out(value, result, scope) if out else seen
                return output, after, set_(value, result, scope) if set_ else None
        if default is None:
            cause = f"No choice rule matched and no Default is given in state '{state.name}'"
            raise StatesError("States.NoChoiceMatched", cause)
        output = finish(value, result, scope) if finish else seen
        return output, default, assign(value, result, scope) if assign else None

    state.run = run
    state.growth = 0 if not effective and not finish and not any(rule[2] for rule in rules) else None


def _rule(
    state: State, rule: dict[str, JSON], field: str
) -> tuple[Callable[[JSON, Scope], Any], str, Stage | None, Stage | None]:
    """Return (test, next, output, assign) of one choice rule."""
    assign = _assign(rule, f"{field}/Assign", jsonata_=state.jsonata)
    if not state.jsonata:
        return choice.compile_rule(rule), rule["Next"], state.finish, assign
    test = jsonata.evaluated(rule["Condition"], f"{field}/Condition", "boolean")
    return test, rule["Next"], _output(rule, f"{field}/Output"), assign


def _succeed(state: State) -> None:
    if state.jsonata:
        _pass_on(state)
        return
    effective, output = state.effective, state.finish

    def run(value: JSON, scope: Scope) -> tuple[JSON, str | None, dict[str, JSON] | None]:
        seen = effective(value, scope) if effective else value
        return (output(value, seen, scope) if output else seen), None, None

    state.run = run
    state.growth = 0 if not effective and not output else None


def _fail(state: State) -> None:
    parts = [_said(state, name) for name in ("Error", "Cause")]

    def run(value: JSON, scope: Scope) -> tuple[JSON, str | None, dict[str, JSON] | None]:
        error, cause = (said if (said := part(value, scope)) is None else dataflow.bare(said) for part in parts)
        raise StatesError(error, cause)

    state.run = run


def _said(state: State, name: str) -> Closure:
    """Return a Fail state's Error or Cause."""
    raw = state.raw
    if state.jsonata and name in raw:
        return jsonata.evaluated(raw[name], name, "string")
    if f"{name}Path" in raw:
        return dataflow.expression(raw[f"{name}Path"], f"{name}Path")
    return dataflow.constant(raw.get(name))


# ── states that wait for something ───────────────────────────────────────────────────────────────────────────────────


def _wait(state: State) -> None:
    raw = state.raw
    if state.jsonata:
        state.wait = _wait_jsonata(raw)
        state.finish, state.assign = _without_result(state.finish), _without_result(state.assign)
    elif "Seconds" in raw:
        state.wait = dataflow.constant(("seconds", raw["Seconds"]))
    elif "Timestamp" in raw:
        state.wait = dataflow.constant(("until", choice.timestamp(raw["Timestamp"])))
    elif "SecondsPath" in raw:
        state.wait = _seconds_path(raw["SecondsPath"])
    else:
        state.wait = _timestamp_path(raw["TimestampPath"])


def _without_result(stage: Stage | None) -> Stage | None:
    """A Wait state has no result: ``$states.result`` is undefined in it."""
    return (lambda value, _result, scope: stage(value, _NO_RESULT, scope)) if stage else None


def _wait_jsonata(raw: dict[str, JSON]) -> Closure:
    name = "Seconds" if "Seconds" in raw else "Timestamp"
    evaluate = jsonata.evaluated(raw[name], name)

    def wait(value: JSON, scope: Scope) -> JSON:
        found = evaluate(value, scope)
        if name == "Timestamp":
            moment = choice.timestamp(found)
            if moment is None:
                what = "cannot be parsed as an ISO-8601 extended offset date-time format string"
                raise jsonata.query_error(f"The Timestamp field {what}: {dataflow.bare(found)}", name)
            return "until", moment
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise jsonata.query_error(
                f"The Seconds field must be a whole number of at least 0: {dataflow.bare(found)}", name
            )
        return "seconds", found

    return wait


def _seconds_path(text: str) -> Closure:
    path = compile_path(text)

    def seconds(value: JSON, scope: Scope) -> JSON:
        try:
            found = path.read(value, scope)
        except PathNotFoundError:
            raise runtime_error(f"The SecondsPath parameter does not reference an input value: {text}") from None
        if not isinstance(found, int) or isinstance(found, bool):
            cause = f"The SecondsPath parameter cannot be parsed as a long value: {text} == {dataflow.bare(found)}"
            raise runtime_error(cause)
        if found < 0:
            raise runtime_error(f"The SecondsPath parameter references a negative value: {text} == {found}")
        return "seconds", found

    return seconds


def _timestamp_path(text: str) -> Closure:
    path = compile_path(text)

    def until(value: JSON, scope: Scope) -> JSON:
        try:
            found = path.read(value, scope)
        except PathNotFoundError:
            raise runtime_error(f"The TimestampPath parameter does not reference an input value: {text}") from None
        moment = choice.timestamp(found)
        if moment is None:
            what = "does not reference a valid ISO-8601 extended offset date-time format string"
            raise runtime_error(f"The TimestampPath parameter {what}: {text} == {dataflow.bare(found)}")
        return "until", moment

    return until


def _task(state: State) -> None:
    state.resource = resource(state.raw["Resource"])
    state.timeout = _limit(state, "TimeoutSeconds")
    state.heartbeat = _limit(state, "HeartbeatSeconds")
    if credentials := state.raw.get("Credentials"):
        state.credentials = (
            jsonata.evaluated(credentials, "Credentials") if state.jsonata else dataflow.template(credentials)
        )


def _limit(state: State, name: str) -> Closure | None:
    """Return a time limit in seconds, from ``name`` or ``namePath``; a path that leads nowhere fails the state."""
    raw = state.raw
    if state.jsonata and name in raw:
        return jsonata.evaluated(raw[name], name, "number")
    if f"{name}Path" in raw:
        return dataflow.path_field(raw[f"{name}Path"])
    return dataflow.constant(raw[name]) if name in raw else None


def _parallel(state: State) -> None:
    state.programs = tuple(
        Program(branch, where, state.program.root) for where, branch in scopes(state.raw, state.pointer)
    )


def _map(state: State) -> None:
    _parallel(state)
    state.effective = dataflow.path_field(state.raw["InputPath"]) if "InputPath" in state.raw else None
    state.map = compile_map(state.raw, jsonata_=state.jsonata)


_COMPILERS: dict[str, Callable[[State], None]] = {
    "Pass": _pass,
    "Choice": _choice,
    "Succeed": _succeed,
    "Fail": _fail,
    "Wait": _wait,
    "Task": _task,
    "Parallel": _parallel,
    "Map": _map,
}


def _retrier(raw: dict[str, JSON]) -> Retrier:
    return Retrier(
        errors=tuple(raw["ErrorEquals"]),
        interval=raw.get("IntervalSeconds", 1),
        attempts=raw.get("MaxAttempts", 3),
        rate=raw.get("BackoffRate", 2.0),
        longest=raw.get("MaxDelaySeconds", MAX_WAIT),
        jitter=raw.get("JitterStrategy") == "FULL",
    )


def _catcher(raw: dict[str, JSON], index: int, *, jsonata_: bool) -> Catcher:
    output: Stage | None = None
    if jsonata_:
        if "Output" in raw:
            evaluate = jsonata.compile_field(raw["Output"], f"Catch[{index}]/Output")
            output = lambda value, said, scope: evaluate({"input": value, "errorOutput": said}, scope)  # noqa: E731
    elif (place := dataflow.placer(raw.get("ResultPath", "$"))) is not None:
        output = lambda value, said, _scope: place(value, said)  # noqa: E731
    assign: Stage | None = None
    if raw.get("Assign") and jsonata_:
        variables = jsonata.compile_field(raw["Assign"], f"Catch[{index}]/Assign")
        assign = lambda value, said, scope: variables({"input": value, "errorOutput": said}, scope)  # noqa: E731
    elif raw.get("Assign"):
        assign = _assign(raw, "Assign", jsonata_=False)
    return Catcher(tuple(raw["ErrorEquals"]), raw["Next"], output, assign)


def matches(errors: tuple[str, ...], error: str | None) -> bool:
    """Whether a retrier's or catcher's ErrorEquals takes *error*.

    States.ALL takes everything but States.Runtime, States.TaskFailed everything but States.Timeout; States.Runtime
    can not be caught even by name, States.DataLimitExceeded can (both recorded, conformance §6.2).
    """
    if error == "States.Runtime":
        return False
    return any(e in ("States.ALL", error) or (e == "States.TaskFailed" and error != "States.Timeout") for e in errors)

"""TestState: one state, alone, and what each of its fields does to the data.

Theory of operation. `run` takes the request of AWS's TestState API as boto3 has it (texts are JSON text) and
answers with the API's response, plus the stages the data went through. The state is compiled by `sflab.asl.program`
like any other and its closures are called one after another here, each result noted: nothing of the language is written
twice. What a Task would do in the world is the caller's (*work*), and so is what services answer (*check*). A Map or
Parallel state never runs its inside: AWS takes a mock of its result, or of the error that came out of it.

What is refused is an `ApiError` in AWS's words; an error of the States Language is a result (``FAILED``,
``RETRIABLE``, ``CAUGHT_ERROR``), without the "An error occurred while executing the state …" of histories. Which
``inspectionData`` members each type of state has is as recorded (conformance §6.2): a Parallel state, for one, does not
tell what its InputPath gave. Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_TestState.html.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

from sflab.asl import dataflow
from sflab.asl.fields import CONTEXT
from sflab.asl.jackson import problem
from sflab.asl.model import JSON, Definition, Resource, StatesError, compact, read_json, unstep, walk
from sflab.asl.parse import loads
from sflab.asl.program import MAX_WAIT, State, compile_program, matches
from sflab.asl.validate import NO_END, SCHEMA, TARGET, refusal, validate
from sflab.engine.frames import iso
from sflab.engine.items import Items, batches, read
from sflab.engine.messages import ScheduleTask
from sflab.errors import ApiError, DefinitionError

Request = Mapping[str, Any]
Work = Callable[[ScheduleTask], JSON]  # does the task: its result, or raises StatesError
Check = Callable[[Resource, JSON, str], None]  # raises ApiError unless the service could have answered so

ALONE = "StateName"  # what AWS calls a state given without a definition, and any tested state in its context object
LEVELS = ("INFO", "DEBUG", "TRACE")
MODES = ("STRICT", "PRESENT", "NONE")
MOCKED = ("Task", "Map", "Parallel")  # the types of state that take a mock, and that can be retried
SECONDS = 300  # "The TestState API can run for up to five minutes" (API reference)


class Stage(NamedTuple):
    """One step of the data's way: ``name`` is the field that made ``value`` (or input, result, output).

    ``field`` is what the definition says there, ``given`` whether it says anything (null is something).
    """

    name: str
    field: JSON
    value: JSON
    given: bool


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of it: the API's ``response``, and every stage whatever the inspection level."""

    state: str
    kind: str
    response: dict[str, Any]
    stages: tuple[Stage, ...]


def run(
    request: Request,
    *,
    work: Work,
    check: Check,
    at: float = 0.0,
    seed: int | str = 0,
    machine_arn: str = "arn:aws:states:us-east-1:123456789012:stateMachine:test",
) -> Tested:
    """Test the state *request* names, at epoch second *at*; *seed* decides UUIDs and random numbers.

    *machine_arn* stands in the context object, and in the ARN of the execution there.

    Raises ApiError where AWS refuses the request.
    """
    _parameters(request)
    mock: Request | None = request.get("mock")
    _request(request, mock)
    definition, raw, name = _subject(request)
    _permitted(raw, mock, request)
    test = _Test(_compiled(definition, raw, name), request, work)
    test.now, test.chance, test.machine_arn = at, random.Random(seed), machine_arn
    if request.get("context") is not None:
        test.given = _context(request["context"], test.state.resource)
    if mock is not None and mock.get("result") is not None:
        test.mocked = _mocked(test.state, mock, check)
        test.texts.append((test.mocked, mock["result"]))
    caused = _configuration(request).get("errorCausedByState")
    if caused is not None and caused not in {place.name for place in walk({"States": {name: raw}})}:
        raise _refused("State not found in definition")
    return test.run()


# ── what AWS refuses ─────────────────────────────────────────────────────────────────────────────────────────────────


def _refused(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def _configuration(request: Request) -> Request:
    return request.get("stateConfiguration") or {}


def _parameters(request: Request) -> None:
    """What boto3 says before AWS sees the request, and what AWS says of words it does not know."""
    settings = _configuration(request)
    texts = {"stateName": request.get("stateName"), "errorCausedByState": settings.get("errorCausedByState")}
    counts = {name: settings.get(name) for name in ("retrierRetryCount", "mapIterationFailureCount")}
    said = [
        f"Invalid length for parameter {_path(name)}, value: 0, valid min length: 1"
        for name, value in texts.items()
        if value == ""
    ] + [
        f"Invalid value for parameter {_path(name)}, value: {value}, valid min value: 0"
        for name, value in counts.items()
        if value is not None and value < 0
    ]
    if said:
        raise ApiError("ParamValidationError", "\n".join(["Parameter validation failed:", *said]))
    _word(request.get("inspectionLevel", "INFO"), "inspectionLevel", LEVELS)
    _word((request.get("mock") or {}).get("fieldValidationMode", "STRICT"), "mock.fieldValidationMode", MODES)


def _path(name: str) -> str:
    return name if name == "stateName" else f"stateConfiguration.{name}"


def _word(value: str, name: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise _refused(
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(words)}]"
        )


def _request(request: Request, mock: Request | None) -> None:
    """What does not go together in a request, whatever the state is."""
    if mock is None:
        if _configuration(request).get("mapIterationFailureCount") is not None:
            raise _refused("TestState does not support MapIterationFailureCount when a mock is not specified.")
        if request.get("context") is not None:
            raise _refused("TestState does not support Context when a mock is not specified.")
        return
    given = [name for name in ("result", "errorOutput") if mock.get(name) is not None]
    if len(given) != 1:
        count = "only" if given else "exactly"
        raise _refused(f"A test mock should have {count} one of the following fields: [result, errorOutput].")
    if request.get("revealSecrets"):
        raise _refused("TestState does not support RevealSecrets when a mock is specified.")


def _subject(request: Request) -> tuple[Definition, dict[str, JSON], str]:
    """Return (the definition, the state under test, its name)."""
    wanted = request.get("stateName")
    try:
        definition = loads(request["definition"])
        if wanted is None:
            definition = loads(compact({"StartAt": ALONE, "States": {ALONE: definition.raw}}))
        found = [d for d in validate(definition) if d.severity == "ERROR" and not (wanted is None and _open(d))]
    except DefinitionError as e:
        found = list(e.diagnostics)
        if not found:
            raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: '{SCHEMA}: {e}'") from None
    if found:
        raise ApiError("InvalidDefinition", refusal(found))
    name = ALONE if wanted is None else wanted
    for place in definition.places():
        if place.name == name:
            return definition, place.state, name
    raise _refused("State not found in definition")


def _open(d: Any) -> bool:
    """Whether a diagnostic is only about states that a state tested alone does not have around it."""
    inside = {"ItemProcessor", "Iterator", "Branches"} & set(unstep(d.pointer)[2:])
    return d.code == NO_END or (d.code == TARGET and not inside)


def _permitted(raw: dict[str, JSON], mock: Request | None, request: Request) -> None:
    """Whether this type of state can be tested so."""
    kind = raw["Type"]
    if mock is not None:
        if kind not in MOCKED:
            raise _refused(f"State type '{kind}' is not supported when a mock is specified")
        return
    if kind in ("Map", "Parallel"):
        types = "Task, Wait, Pass, Succeed, Fail, Choice"
        raise ApiError(
            "InvalidDefinition",
            f"TestState API does not support Map or Parallel states. Supported state types include: [{types}]",
        )
    if kind == "Task" and not request.get("roleArn"):
        raise _refused("RoleArn must be specified when testing a Task state")


def _mocked(state: State, mock: Request, check: Check) -> JSON:
    """Return the mocked result, if the state could have it."""
    try:
        result = read_json(mock["result"])
    except (ValueError, RecursionError):
        raise _refused("Mocked result must be valid JSON") from None
    if state.resource is not None:
        check(state.resource, result, mock.get("fieldValidationMode", "STRICT"))
    elif state.kind == "Map" and "ResultWriter" in state.raw:
        if not isinstance(result, dict):
            raise _refused("Mocked result must be a JSON object.")
    elif not isinstance(result, list):
        raise _refused("Mocked result must be an array.")
    elif state.kind == "Parallel" and len(result) != len(state.raw["Branches"]):
        raise _refused("Mocked result must contain the same number of items as number of Parallel branches.")
    return result


#: What of the context object a request may give: everything but Map.
_CONTEXT = {part: members for part, members in CONTEXT.items() if part != "Map"}


def _context(text: str, resource: Resource | None) -> dict[str, JSON]:
    """Return the context object a request gives."""
    try:
        context = read_json(text)
    except (ValueError, RecursionError):
        _bad_context("it must be valid JSON")
    if not isinstance(context, dict):
        _bad_context("it must be a JSON object")
    if "Map" in context:
        _bad_context("'Map' field is not supported when mocking a Context object")
    for part, members in context.items():
        if part not in _CONTEXT:
            _bad_context(f"Field '{part}' is not allowed")
        if not isinstance(members, dict):
            _bad_context(f"{part} must be an object")
        for name, value in members.items():
            kind = _CONTEXT[part].get(name)
            if kind is None:
                _bad_context(f"Field '{name}' is not allowed")
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                _bad_context(f"{part}.{name} must be {'a string' if kind is str else 'an integer'}")
    if "Task" in context and not (resource and resource.pattern):
        kinds = "a Task state with a '.sync' or '.waitForTaskToken' service integration pattern"
        _bad_context(f"Context object contains 'Task' when state is not {kinds}")
    return context


def _bad_context(what: str) -> NoReturn:
    raise _refused(f"Invalid Context object provided: {what}")


# ── the state, and its way through one visit ─────────────────────────────────────────────────────────────────────────


def _compiled(definition: Definition, raw: dict[str, JSON], name: str) -> State:
    """Compile the state alone; what a Map or Parallel state holds does not run, and is left out."""
    inside: JSON = {"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}
    if raw["Type"] == "Map":
        raw = {k: v for k, v in raw.items() if k != "Iterator"} | {"ItemProcessor": inside}
    elif raw["Type"] == "Parallel":
        raw = raw | {"Branches": [inside for _ in raw["Branches"]]}
    top = {"StartAt": name, "States": {name: raw}}
    if "QueryLanguage" in definition.raw:
        top["QueryLanguage"] = definition.raw["QueryLanguage"]
    return compile_program(top).states[name]


class _Test:
    """One test; also the Scope its expressions see."""

    now: float
    chance: random.Random
    machine_arn: str
    patience: float = SECONDS

    def __init__(self, state: State, request: Request, work: Work) -> None:
        self.state, self.request, self.work = state, request, work
        self.settings = _configuration(request)
        self.mock: Request = request.get("mock") or {}
        self.mocked: JSON = None
        self.given: dict[str, JSON] | None = None  # the context object, where the request has one
        self.item: JSON = None
        text = request.get("input")
        self.value = _json(text, "{}", "InvalidExecutionInput", "Invalid State Machine Execution Input: '{}'")
        self.texts: list[tuple[JSON, str]] = [(self.value, "{}" if text is None else text)]
        said = "The variables must be a valid JSON object: {}"
        self.variables: dict[str, JSON] = _json(request.get("variables"), "{}", "ValidationException", said)
        if not isinstance(self.variables, dict):
            raise _refused(said.replace("{}", compact(self.variables)[:80]))
        self.inspection: dict[str, Any] = {}
        self.stages: list[Stage] = []

    def context(self) -> dict[str, JSON]:
        """Return the context object: the request's, or one as AWS makes it (as recorded, with its key order)."""
        if self.given is not None:
            context = dict(self.given)
        else:
            state: dict[str, JSON] = {"Name": ALONE, "EnteredTime": iso(self.now)}
            if self.state.kind in MOCKED:
                state["RetryCount"] = self.settings.get("retrierRetryCount") or 0
            here, _, machine = self.machine_arn.rpartition(":stateMachine:")
            context = {
                "Execution": {
                    "Id": f"{here}:express:{machine}:test",
                    "Input": self.value,
                    "Name": "test",
                    "RoleArn": self.request.get("roleArn"),
                    "StartTime": iso(self.now),
                },
                "StateMachine": {"Id": self.machine_arn, "Name": machine},
                "State": state,
            }
            if self.state.resource is not None and self.state.resource.pattern == "waitForTaskToken":
                context["Task"] = {"Token": f"{random.Random(self.machine_arn).getrandbits(512):0128x}"}
        return context if self.item is None else {**context, "Map": {"Item": self.item}}

    def text(self, value: JSON) -> str:
        """Return *value* as AWS shows it: input and mock verbatim, what was selected or built compact."""
        return next((text for known, text in self.texts if value is known), None) or compact(value)

    def see(self, name: str, value: JSON, member: str = "") -> JSON:
        """Note that the stage *name* made *value*; *member* is where AWS reports it, if it does."""
        raw = self.state.raw
        self.stages.append(Stage(name, raw.get(name), value, name in raw))
        if member:
            self.inspection[member] = self.text(value)
        return value

    def run(self) -> Tested:
        """Visit the state."""
        self.see("input", self.value, "input")
        answer: dict[str, Any]
        try:
            output, after, assigned = _VISITS[self.state.kind](self)
            self.assigned(assigned)
            answer = {"status": "SUCCEEDED", "output": self.text(self.see("output", output)), "nextState": after}
        except StatesError as e:
            answer = self.failed(e)
        if self.variables:
            self.inspection["variables"] = compact(self.variables)
        if self.request.get("inspectionLevel", "INFO") != "INFO":
            answer["inspectionData"] = self.inspection
        response = {name: answer[name] for name in _RESPONSE if answer.get(name) is not None}
        return Tested(self.state.name, self.state.kind, response, tuple(self.stages))

    def assigned(self, variables: dict[str, JSON] | None) -> None:
        """Set variables."""
        if variables:
            self.variables = {**self.variables, **variables}
            self.see("Assign", variables)

    def failed(self, e: StatesError) -> dict[str, Any]:
        """The state failed: what its Retry and Catch make of that."""
        state, count = self.state, self.settings.get("retrierRetryCount") or 0
        answer: dict[str, Any] = {"status": "FAILED", "error": e.error, "cause": e.cause}
        details: dict[str, int] = {}
        self.see("error", {"Error": e.error, "Cause": e.cause})
        index = next((i for i, r in enumerate(state.retriers) if matches(r.errors, e.error)), None)
        if index is not None:
            retrier = state.retriers[index]
            details["retryIndex"] = index
            if count < retrier.attempts:
                # A test has no jitter: the interval is the longest it can be.
                seconds = replace(retrier, jitter=False).delay(count, self.chance)
                details["retryBackoffIntervalSeconds"] = int(min(seconds, MAX_WAIT))
                answer["status"] = "RETRIABLE"
        if answer["status"] == "FAILED":
            index = next((i for i, c in enumerate(state.catchers) if matches(c.errors, e.error)), None)
            if index is not None:
                details["catchIndex"] = index
                try:
                    answer |= self.caught(index, e)
                except StatesError as again:
                    answer |= {"error": again.error, "cause": again.cause}
        if details:
            self.inspection["errorDetails"] = details
        return answer

    def caught(self, index: int, e: StatesError) -> dict[str, Any]:
        """Catcher number *index* takes the error."""
        catcher, said = self.state.catchers[index], {"Error": e.error, "Cause": e.cause}
        assigned = catcher.assign(self.value, said, self) if catcher.assign else None
        output = catcher.output(self.value, said, self) if catcher.output else said
        self.assigned(assigned)
        return {
            "status": "CAUGHT_ERROR",
            "output": self.text(self.see("output", output)),
            "nextState": catcher.next,
        }

    # ── the stages that several types of state have ──────────────────────────────────────────────────────────────────

    def input_path(self, member: str = "afterInputPath") -> JSON:
        """InputPath; JSONata has none."""
        if self.state.jsonata:
            return self.value
        raw = self.state.raw
        path = dataflow.path_field(raw["InputPath"]) if "InputPath" in raw else None
        return self.see("InputPath", path(self.value, self) if path else self.value, member)

    def payload(self, *, shown: bool = True) -> JSON:
        """InputPath and Parameters, or Arguments; *shown* where AWS reports them."""
        state, raw = self.state, self.state.raw
        if state.jsonata:
            if not state.effective:
                return self.value
            return self.see("Arguments", state.effective(self.value, self), "afterArguments" if shown else "")
        value = self.input_path("afterInputPath" if shown else "")
        if "Parameters" in raw:
            value = dataflow.template(raw["Parameters"])(value, self)
        return self.see("Parameters", value, "afterParameters" if shown else "")

    def outcome(self) -> JSON:
        """Return the mocked result; raises the mocked error."""
        if (error := self.mock.get("errorOutput")) is not None:
            raise StatesError(error.get("error"), error.get("cause"))
        return self.mocked

    def finish(self, result: JSON) -> Visit:
        """ResultSelector, ResultPath, OutputPath and Assign, or Output and Assign."""
        state, raw = self.state, self.state.raw
        assigned = state.assign(self.value, result, self) if state.assign else None
        if state.jsonata:
            if state.finish:
                result = self.see("Output", state.finish(self.value, result, self))
            return result, state.next, assigned
        select = dataflow.result_selector(raw)
        value = self.see("ResultSelector", select(result, self) if select else result, "afterResultSelector")
        place = dataflow.placer(raw["ResultPath"]) if "ResultPath" in raw else None
        value = self.see("ResultPath", place(self.value, value) if place else value, "afterResultPath")
        path = dataflow.path_field(raw["OutputPath"]) if "OutputPath" in raw else None
        return self.see("OutputPath", path(value, self) if path else value), state.next, assigned


Visit = tuple[JSON, str | None, dict[str, JSON] | None]  # output, next, variables assigned

_RESPONSE = ("output", "error", "cause", "inspectionData", "nextState", "status")  # in the API's order


def _json(text: str | None, default: str, code: str, message: str) -> JSON:
    try:
        return read_json(default if text is None else text)
    except (ValueError, RecursionError) as e:
        found = problem(text or default)
        raise ApiError(code, message.replace("{}", found.message if found else str(e))) from None


# ── one function per type of state ───────────────────────────────────────────────────────────────────────────────────


def _instant(test: _Test) -> Visit:
    """Choice, Succeed, Fail, and Pass in JSONata: all is in the state's own closure."""
    run = test.state.run
    assert run is not None  # noqa: S101 - compiled with it
    test.input_path()
    output, after, assigned = run(test.value, test)
    for name in ("OutputPath", "Output"):
        if name in test.state.raw:
            test.see(name, output)
    return output, after, assigned


def _pass(test: _Test) -> Visit:
    if test.state.jsonata:
        return _instant(test)
    value = test.payload()
    if "Result" in test.state.raw:
        value = test.see("Result", test.state.raw["Result"])
    return test.finish(value)


def _wait(test: _Test) -> Visit:
    state = test.state
    assert state.wait is not None  # noqa: S101 - compiled with it
    value = test.input_path()
    how, until = state.wait(value, test)
    if (until if how == "seconds" else until.timestamp() - test.now) > test.patience:
        raise StatesError("States.Timeout")
    assigned = state.assign(test.value, value, test) if state.assign else None
    output = state.finish(test.value, value, test) if state.finish else value
    return output, state.next, assigned


def _task(test: _Test) -> Visit:
    state, resource = test.state, test.state.resource
    assert resource is not None  # noqa: S101 - compiled with it
    parameters = test.payload()
    timeout, heartbeat, credentials = (
        limit(test.value, test) if limit else None for limit in (state.timeout, state.heartbeat, state.credentials)
    )
    if test.mock:
        result = test.outcome()
    else:
        if resource.pattern or resource.kind == "activity":
            what = "Activity tasks" if resource.kind == "activity" else f"the .{resource.pattern} integration pattern"
            raise _refused(f"TestState does not support {what} when a mock is not specified.")
        attempt = 1 + (test.settings.get("retrierRetryCount") or 0)
        result = test.work(
            ScheduleTask(
                1, state.name, state.pointer, attempt, resource.kind, resource.text, resource.type, resource.action,
                resource.pattern, parameters, timeout, heartbeat, None, credentials,
            )
        )  # fmt: skip
    return test.finish(test.see("result", result, "result"))


def _parallel(test: _Test) -> Visit:
    test.payload(shown=False)
    return test.finish(test.see("result", test.outcome()))


def _map(test: _Test) -> Visit:
    state = test.state
    assert state.map is not None  # noqa: S101 - compiled with it
    value = test.input_path()
    items = _items(test, value)
    test.inspection["maxConcurrency"] = int(state.map.limit(value, test))
    tolerated = _tolerated(test, value)
    if items is not None:
        _inputs(test, value, items)
    failures = test.settings.get("mapIterationFailureCount") or 0
    if items is not None and failures > len(items):
        raise _refused("Map iteration failure count must be less than or equal to the number of Map iterations")
    result = test.outcome()
    percentage = failures * 100 / len(items) if items else 0
    if failures > tolerated.get("Count", failures) or percentage > tolerated.get("Percentage", 100):
        cause = "The specified tolerated failure threshold was exceeded"
        raise StatesError("States.ExceedToleratedFailureThreshold", cause)
    test.see("result", result)
    return test.finish(result)


def _items(test: _Test, value: JSON) -> list[JSON] | None:
    """Return what the Map iterates over; None where that is a file whose content the request does not tell."""
    state, raw = test.state, test.state.raw
    assert state.map is not None  # noqa: S101 - compiled with it
    if "ItemReader" not in raw:
        name, member = ("Items", "") if state.jsonata else ("ItemsPath", "afterItemsPath")
        return Items.of(test.see(name, state.map.items(value, test), member)).inputs()
    text = test.settings.get("mapItemReaderData")
    if text is None or state.map.reader is None:
        return None
    config = state.map.reader.config(value, test)
    assert state.map.reader.resource is not None  # noqa: S101 - a reader has one
    items = read(text, config, state.map.reader.resource.action).inputs()
    return list(test.see("ItemReader", items, "afterItemsPointer" if "ItemsPointer" in config else ""))


def _tolerated(test: _Test, value: JSON) -> dict[str, float]:
    """Return the failures the Map tolerates, as ``Count`` and ``Percentage``, where it says so."""
    state, out = test.state, {}
    assert state.map is not None  # noqa: S101 - compiled with it
    for what, cast, found in zip(("Count", "Percentage"), (int, float), state.map.tolerated(value, test), strict=True):
        name = f"ToleratedFailure{what}"
        if name in state.raw or f"{name}Path" in state.raw:
            out[what] = test.inspection[name[0].lower() + name[1:]] = cast(found)
    return out


def _inputs(test: _Test, value: JSON, items: list[JSON]) -> None:
    """ItemSelector and ItemBatcher: what each iteration would be given."""
    state = test.state
    assert state.map is not None  # noqa: S101 - compiled with it
    if state.map.select:
        selected = []
        for index, item in enumerate(items):
            test.item = {"Index": index, "Value": item}
            selected.append(state.map.select(value, test))
        test.item = None
        items = test.see("ItemSelector" if "ItemSelector" in state.raw else "Parameters", selected, "afterItemSelector")
    if state.map.batcher:
        test.see("ItemBatcher", list(batches(items, *state.map.batcher(value, test))), "afterItemBatcher")


_VISITS: dict[str, Callable[[_Test], Visit]] = {
    "Pass": _pass,
    "Choice": _instant,
    "Succeed": _instant,
    "Fail": _instant,
    "Wait": _wait,
    "Task": _task,
    "Parallel": _parallel,
    "Map": _map,
}

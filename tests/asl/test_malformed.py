"""Whatever text, definition or input is given: a DefinitionError, diagnostics or an error of the language; nothing else."""

# ruff: noqa: E501 - tables of what to draw from

import contextlib
import copy
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sflab.asl import fields
from sflab.asl.choice import RULE_FIELDS
from sflab.asl.intrinsics import FUNCTIONS, IntrinsicSyntaxError, compile_call
from sflab.asl.model import STATE_TYPES, StatesError
from sflab.asl.parse import load, loads
from sflab.asl.paths import PathNotFoundError, PathSyntaxError, compile_path
from sflab.backends.local import Local, input_text
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import normalise, steps, visits
from sflab.errors import DefinitionError

some = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
few = settings(some, max_examples=60)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**30, 2**53, -(2**63), 1.5, -0.0, 1e300]),
    st.sampled_from(
        ["", "$", "$.a", "$$.Execution.Id", "$x", "a", "b", "2024-01-01T00:00:00Z", "States.ALL", "\ud800", "${T}"]
    ),
    st.text(max_size=4),
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("ab"), v, max_size=2), max_leaves=6
)


@contextlib.contextmanager
def refusing(*kinds, saying=""):
    """The body runs, or ends in one of these errors, which says something."""
    try:
        yield
    except kinds as refusal:
        text = str(refusal)
    else:
        return
    assert text
    assert saying in text


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

SOUND = json.dumps(
    {
        "StartAt": "A",
        "States": {
            "A": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.x", "NumericEquals": 1.5e0, "Next": "B"}],
                "Default": "B",
            },
            "B": {"Type": "Wait", "Seconds": 5, "End": True},
        },
    },
    indent=1,
)
YAML = "StartAt: A\nStates:\n  A: &a\n    Type: Pass\n    Result: [1, '2', {x: y}]\n    End: true\n"


def judge(text):
    with refusing(DefinitionError):
        for found in StateMachine(loads(text)).validate():
            assert str(found)
            assert found.line is None or 1 <= found.line <= text.count("\n") + text.count("\r") + 1


@some
@given(st.data(), st.sampled_from([SOUND, YAML]))
def test_a_definition_text_with_anything_cut_out_put_in_or_changed(data, text):
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 6))
        put = data.draw(st.text('{}[]",:\\ \n\t-&*!|>?#%@`~01eE.+$/\ufeff\0aA', max_size=4))
        text = text[:at] + put + text[at + cut :]
    judge(text + "\n")


@some
@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("latin-1")))
def test_any_text_at_all(text):
    judge(text + "\n")
    judge("{" + text)


@some
@given(values | st.lists(values))
def test_any_data_at_all(value):
    with refusing(DefinitionError):
        StateMachine(load(value) if not isinstance(value, str) else loads(value + "\n")).validate()


# ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────────────

pieces = st.lists(
    st.sampled_from(
        ["$", ".", "..", "[", "]", "*", "?", "(", ")", "@", "'", '"', "a", "b", "0", "-1", ":", ",", "==", "=~", "/a*/", "&&",
         "||", "!", "in", "size", "length()", "sum()", "min()", " ", "\\", "$$", "(@.length-1)", "true", "{}", "~"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


class Scope:
    now = 0.0

    def __init__(self):
        self.variables, self.chance = {"x": {"a": 1}}, random.Random(0)

    def context(self):
        return {"a": {"b": 1}}


@some
@given(pieces | pieces.map(lambda p: "$" + p) | pieces.map(lambda p: f"$.a[?(@{p})]") | st.text(max_size=8), values)
def test_any_text_as_a_path(text, value):
    with refusing(PathSyntaxError, PathNotFoundError):
        json.dumps(compile_path(text).read(value, Scope()))


arguments = st.one_of(
    st.sampled_from(
        [
            "$",
            "$.a",
            "$.a[*]",
            "$$.a",
            "$x",
            "1",
            "-1.5",
            "true",
            "null",
            "''",
            "'a,b'",
            "'{}'",
            "'\\{'",
            "1e400",
            "$.a[?(@ > 1)]",
        ]
    ),
    st.text(max_size=3),
    pieces,
)
calls = st.builds(
    lambda name, args, tail: f"{name}({', '.join(args)}){tail}",
    st.sampled_from([*FUNCTIONS, "States.Nothing", "states.Array", ""]),
    st.lists(arguments, max_size=4),
    st.sampled_from(["", "", "", " ", ")", "x"]),
)


@some
@given(calls, values)
def test_any_text_as_an_intrinsic_call(text, value):
    with refusing(IntrinsicSyntaxError, StatesError, PathNotFoundError):
        json.dumps(compile_call(text)(value, Scope()), allow_nan=False)


@some
@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(values, max_size=4))
def test_any_values_as_the_arguments_of_an_intrinsic_function(name, given_):
    text = f"{name}({', '.join(f'$[{n}]' for n in range(len(given_)))})"
    least, most, _ = FUNCTIONS[name]
    before = copy.deepcopy(given_)
    if not least <= len(given_) <= most:
        with pytest.raises(IntrinsicSyntaxError, match="arguments, not"):
            compile_call(text)
        return
    with refusing(StatesError, saying="States.IntrinsicFailure"):
        json.dumps(compile_call(text)(given_, Scope()), allow_nan=False)
    assert given_ == before


# ── definitions: load, validate, run ─────────────────────────────────────────────────────────────────────────────────

RESOURCES = ["arn:aws:lambda:us-east-1:123456789012:function:f", "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
             "arn:aws:states:us-east-1:123456789012:activity:a", "arn:aws:states:::lambda:invoke", "${F}"]  # fmt: skip
PLAUSIBLE = {
    "text": ["A", "B", "C", "arn:x", "Name"],
    "count": [0, 1, 2, 5],
    "version": ["1.0"],
    "timeout": [1, 30],
    "attempts": [0, 1, 5],
    "delay": [1, 60],
    "label": ["Label"],
    "seconds": [0, 1, 30, 99_999_999],
    "percentage": [0, 50.5, 100],
    "rate": [1, 1.5, 10, 1e9],
    "flag": [True, False],
    "language": ["JSONPath", "JSONata"],
    "jitter": ["FULL", "NONE"],
    "path": ["$", "$.a", "$.b[0]", "$..a", "$.a[*]", "$$.Execution.Input", "$x", None],
    "reference": ["$", "$.a", "$.a.b", "$.b[0]", None],
    "expression": ["$.a", "States.Format('{}', $.a)", "$"],
    "timestamp": ["2024-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"],
    "template": [{"a.$": "$.a"}, {"b": 1}, {"a.$": "States.ArrayRange(0, $.a, 1)"}, {"a.$": "States.UUID()", "b": [{"c.$": "$"}]}, []],
    "any": [1, {"a": [1]}, "{% $states.input.a %}", "{% $states.context.Execution %}", "{% $nope() %}", "{% 1/0 %}"],
    "assign": [{"x.$": "$.a"}, {"x": 1}, {"x": "{% $states.input %}"}],
    "errors": [["States.ALL"], ["Boom"], ["States.Timeout", "States.TaskFailed"]],
    "text_expression": ["$.a", "States.Format('{}', $.a)", "States.UUID()"],
    "item_reader": [{"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON", "MaxItems": 2}}],
    "item_batcher": [{"MaxItemsPerBatch": 2}, {"MaxInputBytesPerBatch": 9, "BatchInput": {"a.$": "$.a"}}],
    "result_writer": [{"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix.$": "$.a"}}],
    "credentials": [{"RoleArn": "r"}, {"RoleArn.$": "$.a"}],
    "processor": [{}, {"Mode": "INLINE"}, {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}],
}  # fmt: skip
names = st.sampled_from("ABC")


@st.composite
def rules(draw, depth=0):
    if depth < 2 and draw(st.integers(0, 4)) == 0:
        inner = rules(depth + 1)
        rule = draw(st.sampled_from([{"And": [draw(inner)]}, {"Or": [draw(inner), draw(inner)]}, {"Not": draw(inner)}]))
    else:
        name = draw(st.sampled_from(sorted(RULE_FIELDS)))
        of = RULE_FIELDS[name]
        value = draw(
            st.sampled_from(["$.a", "a", "2024-01-01T00:00:00Z"])
            if of is str
            else st.booleans()
            if of is bool
            else scalars
        )
        rule = {"Variable": draw(st.sampled_from(PLAUSIBLE["reference"][:-1])), name: value}
    return rule if depth else {**rule, "Next": draw(names)}


def last(items):
    """States.ALL comes after the others, and once."""
    every = [item for item in items if "States.ALL" in str(item)]
    return [item for item in items if "States.ALL" not in str(item)] + every[:1]


@st.composite
def members(draw, kind, depth):
    """A value for a field: nearly always of its kind, so that much of what is made here runs."""
    if draw(st.integers(0, 40)) == 0:
        return draw(values)
    match kind:
        case "retriers":
            return last(draw(st.lists(tables(fields.RETRIER, depth), max_size=2)))
        case "catchers":
            return last(draw(st.lists(tables(fields.CATCHER, depth), max_size=2)))
        case "rules":
            return draw(st.lists(rules(), min_size=1, max_size=2))
        case "branches":
            return draw(st.lists(scopes(depth + 1), min_size=1, max_size=2))
        case "item_processor":
            return draw(scopes(depth + 1))
        case "states" | "type":
            return draw(values)
    return draw(st.sampled_from(PLAUSIBLE[kind]))


@st.composite
def tables(draw, known, depth, chance=6):
    wanted = [
        n
        for n, f in known.items()
        if f.required or (n not in ("States", "StartAt", "Type") and draw(st.integers(0, chance)) == 0)
    ]
    made = {name: draw(members(known[name].kind, depth)) for name in wanted}
    if "Next" in known:
        made["Next"] = draw(names)
    return made


@st.composite
def states(draw, depth):
    kinds = STATE_TYPES if depth < 2 else STATE_TYPES[:6]
    kind = draw(st.sampled_from(kinds))
    made = {**draw(tables(fields.STATES[kind], depth)), "Type": kind}
    if "Next" in fields.STATES[kind]:
        made.pop("Next", None)
        made.pop("End", None)
        made |= draw(st.sampled_from([{"End": True}, {"End": True}, {"Next": "B"}, {"Next": "C"}]))
    if kind == "Wait" and draw(st.booleans()):
        made |= {"Seconds": 1}
    if kind == "Task":
        made["Resource"] = draw(st.sampled_from(RESOURCES))
    if kind == "Map" and "Iterator" not in made:
        made["ItemProcessor"] = draw(scopes(depth + 1))
    return made


@st.composite
def scopes(draw, depth=0):
    """States A, B, C; inside another scope their names are longer, so that they differ."""
    chosen = {name: draw(states(depth)) for name in "ABC"[: draw(st.integers(1, 3))]}
    for _ in chosen:  # AWS refuses a state that nothing names
        said = json.dumps(chosen)
        chosen = {name: state for name, state in chosen.items() if name == "A" or f': "{name}"' in said}
    made = {"StartAt": "A", "States": chosen}
    return json.loads(json.dumps(made).replace('"A"', f'"A{"+" * depth}"')) if depth and draw(st.booleans()) else made


@st.composite
def definitions(draw):
    made = {**draw(scopes()), **draw(tables({k: v for k, v in fields.TOP_LEVEL.items() if not v.required}, 0, 8))}
    return renamed(made, [0])


def renamed(scope, count):
    """State names made unique, with the transitions to them."""
    if not isinstance(scope, dict) or not isinstance(scope.get("States"), dict):
        return scope
    number = count[0] = count[0] + 1
    new = {name: f"{name}{number}" for name in scope["States"]}

    def rename(value, key=""):
        if isinstance(value, dict):
            if "States" in value:
                return renamed(value, count)
            return {k: rename(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [rename(v) for v in value]
        return new.get(value, value) if key in ("Next", "Default") and isinstance(value, str) else value

    inner = {new[name]: rename(state) for name, state in scope["States"].items()}
    return {**scope, "StartAt": new.get(scope["StartAt"], scope["StartAt"]), "States": inner}


def answer(event):
    """A task that answers with its event, or fails, by what it is given."""
    if isinstance(event, dict) and event.get("b"):
        raise ValueError("Boom")
    return event


def run(raw, input):
    """Load, validate and run; returns the status, or None where it was refused."""
    machine = StateMachine.load(raw)
    refused = [d for d in machine.validate() if d.severity == "ERROR"]
    execution = None
    with refusing(DefinitionError):
        execution = Local(functions={"f": answer}, tasks={"*": answer}).start_execution(machine, input)
    if execution is None:
        return None
    assert not refused
    assert execution.status in ("SUCCEEDED", "FAILED", "TIMED_OUT", "RUNNING")
    events = execution.history.events
    text = json.dumps({"events": events}, default=lambda moment: moment.isoformat(), allow_nan=False)
    assert normalise(json.loads(text)) == events
    assert len(visits(events, machine.definition)) == sum(e["type"].endswith("StateEntered") for e in events)
    assert len(steps(events, machine.definition)) == len(events)
    for event in events:
        for details in (v for k, v in event.items() if k.endswith("EventDetails")):
            assert all(isinstance(details[k], str) for k in ("input", "output", "error", "cause") if k in details), (
                details
            )
    if execution.status == "SUCCEEDED":
        json.dumps(execution.output, allow_nan=False)
    return execution.status


@settings(some, max_examples=300)
@given(definitions(), values)
def test_any_definition_with_any_input_is_refused_or_runs_to_an_outcome(raw, input):
    before = copy.deepcopy(raw)
    run(raw, input if not isinstance(input, str) else json.dumps(input))
    assert raw == before


def test_a_good_part_of_these_definitions_runs_and_ends_in_every_way():
    seen = {}

    @settings(some, max_examples=250, derandomize=True, database=None)
    @given(definitions())
    def look(raw):
        status = run(raw, {"a": 1, "b": [], "x": [{"a": 2}]})
        seen[status] = seen.get(status, 0) + 1

    look()
    assert seen["SUCCEEDED"] + seen["FAILED"] > 20, seen
    assert {None, "SUCCEEDED", "FAILED"} <= set(seen)


@few
@given(st.text(max_size=30) | values)
def test_any_input_is_refused_or_becomes_json_text(input):
    with refusing(DefinitionError, saying="Invalid State Machine Execution Input"):
        json.dumps(json.loads(input_text(input)), allow_nan=False)


@few
@given(
    values
    | st.lists(
        st.dictionaries(st.sampled_from(["id", "type", "timestamp", "previousEventId", "x"]), values, max_size=4),
        max_size=3,
    )
)
def test_any_data_as_a_history_is_refused_or_read(value):
    with refusing(DefinitionError, saying="not an execution history"):
        events = normalise(value)
        visits(events)
        steps(events)

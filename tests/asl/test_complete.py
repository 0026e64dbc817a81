"""Completion: what may be written at a cursor, shown as ▮, in definitions that are not finished."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sflab.asl import fields
from sflab.asl.complete import complete
from sflab.asl.cursor import find
from sflab.backends.catalogue import Catalogue

ROOT = Path(__file__).parents[2]
SAGA = (ROOT / "data/machines/order-saga.asl.json").read_text()
INVOKE = '"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"'


def at(text, **known):
    """What is offered at the ▮, and the text it replaces."""
    offset = text.index("▮")
    text = text.replace("▮", "", 1)
    start, found = complete(text, offset, **known)
    return [c.text for c in found], text[start:offset]


def state(inside, *, top=""):
    """A definition with one state that holds *inside*, beside another."""
    return f'{{{top}"StartAt": "A", "States": {{"A": {{{inside}}}, "Check stock": {{"Type": "Succeed"}}}}}}'


JSONATA = '"QueryLanguage": "JSONata", '

OFFERED = [
    # names of states
    ('{"StartAt": "▮", "States": {"A": {}, "B": {}}}', ["A", "B"], ""),
    (state('"Type": "Pass", "Next": "▮"'), ["Check stock", "A"], ""),
    (state('"Type": "Pass", "Next": "st▮"'), ["Check stock"], "st"),
    (state('"Type": "Pass", "Next": ▮'), ['"Check stock"', '"A"'], ""),
    (state('"Type": "Pass", "Next": ▮\n"Comment": "x"'), ['"Check stock"', '"A"'], ""),
    (state('"Type": "Choice", "Choices": [{"Next": "c▮"}]'), ["Check stock"], "c"),
    (state('"Type": "Choice", "Default": "▮"'), ["Check stock", "A"], ""),
    (state('"Type": "Task", "Catch": [{"Next": "▮"}]'), ["Check stock", "A"], ""),
    (state('"Type": "Map", "ItemProcessor": {"StartAt": "▮", "States": {"In": {}}}'), ["In"], ""),
    (state('"Type": "Parallel", "Branches": [{"States": {"P": {"Next": "▮"}, "Q": {}}}]'), ["Q", "P"], ""),
    ('{"StartAt": "Go", "States": {"▮', ["Go"], ""),
    ('{"StartAt": "A", "States": {"A": {"Next": "Quoted \\"B\\""}, "▮"', ['Quoted \\"B\\"'], ""),
    # fields
    ("▮", ["StartAt", "States", "Comment", "Version", "TimeoutSeconds", "QueryLanguage"], ""),
    ('{"St▮', ["StartAt", "States"], "St"),
    (state('"Type": "Pass", "▮"'), None, ""),
    (state('"Type": "Fail", "Err▮"'), ["Error", "ErrorPath"], "Err"),
    (state('"Type": "Fail", "Error": "x", "Err▮": 1'), [], "Err"),
    (state('"Type": "Wait", "Seconds": 1, "Ti▮"'), [], "Ti"),
    (state('"Type": "Wait", "Ti▮"'), ["Timestamp", "TimestampPath"], "Ti"),
    (state('"Ne▮\n"Type": "Pass"'), ["Next"], "Ne"),
    (state('"Type": "Pass", "End": true, "Ne▮"'), [], "Ne"),
    (state('"Type": "Task", "Retry": [{"Max▮"}]'), ["MaxAttempts", "MaxDelaySeconds"], "Max"),
    (state('"Type": "Task", "Catch": [{"▮"}]'), ["ErrorEquals", "Next", "ResultPath", "Assign", "Comment"], ""),
    (state('"Type": "Choice", "Choices": [{"Is▮"}]'), None, "Is"),
    (state('"Type": "Choice", "Choices": [{"Variable": "$.a", "StringEquals": "b", "Str▮"}]'), [], "Str"),
    (state('"Type": "Choice", "Choices": [{"And": [{"V▮"}]}]'), ["Variable"], "V"),
    (state('"Type": "Map", "ItemProcessor": {"ProcessorConfig": {"▮"}}'), ["Mode", "ExecutionType"], ""),
    (
        state('"Type": "Map", "ItemReader": {"ReaderConfig": {"CSV▮"}}'),
        ["CSVHeaderLocation", "CSVHeaders", "CSVDelimiter"],
        "CSV",
    ),
    (state('"Type": "Task", "Arg▮"', top=JSONATA), ["Arguments"], "Arg"),
    (state('"Type": "Task", "Arg▮"'), [], "Arg"),
    (state('"Type": "Task", "QueryLanguage": "JSONata", "Arg▮"'), ["Arguments"], "Arg"),
    # words
    (state('"Type": "▮"'), ["Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map"], ""),
    (state('"Type": "Pass", "End": ▮'), ["true", "false"], ""),
    (state('"QueryLanguage": "▮"'), ["JSONPath", "JSONata"], ""),
    (state('"Type": "Task", "Retry": [{"JitterStrategy": "▮"}]'), ["NONE", "FULL"], ""),
    (state('"Type": "Task", "Retry": [{"ErrorEquals": ["States.Time▮"]}]'), ["States.Timeout"], "States.Time"),
    (state('"Type": "Choice", "Choices": [{"IsPresent": ▮}]'), ["true", "false"], ""),
    # resources
    (
        state('"Type": "Task", "Resource": "lambda▮"'),
        ["arn:aws:states:::lambda:invoke", "arn:aws:states:::lambda:invoke.waitForTaskToken"],
        "lambda",
    ),
    (state('"Type": "Task", "Resource": "arn:aws:states:::states:▮"'), None, "arn:aws:states:::states:"),
    (
        state('"Type": "Map", "ItemReader": {"Resource": "▮"}'),
        ["arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2"],
        "",
    ),
    (state(f'{INVOKE}, "Parameters": {{"FunctionName": "▮"}}'), ["Charge", "Ship"], ""),
    # paths and functions
    (state('"Type": "Pass", "Parameters": {"x.$": "$$.▮"}'), ["Execution", "State", "StateMachine", "Task"], ""),
    (state('"Type": "Pass", "Parameters": {"x.$": "$$.State.▮"}'), ["EnteredTime", "Name", "RetryCount"], ""),
    (state('"Type": "Map", "ItemSelector": {"x.$": "$$.Map.Item.▮"}'), ["Index", "Value"], ""),
    (state('"Type": "Pass", "Parameters": {"x.$": "States.Math▮"}'), ["MathAdd(", "MathRandom("], "Math"),
    (state('"Type": "Pass", "Parameters": {"x.$": "States.Format(\'{}\', $$.Exec▮"}'), ["Execution"], "Exec"),
    (state('"Type": "Pass", "Assign": {"total": 1}, "Parameters": {"x.$": "$t▮"}'), ["$total"], "$t"),
    (state('"Type": "Pass", "Parameters": {"x": "States.F▮"}'), [], "States.F"),
    (state('"Type": "Pass", "InputPath": "$$.Tas▮"'), ["Task"], "Tas"),
    # JSONata
    (state('"Type": "Task", "Output": "{% $states.▮ %}"', top=JSONATA), ["input", "result", "context"], ""),
    (state('"Type": "Task", "Arguments": {"a": "{% $states.▮ %}"}', top=JSONATA), ["input", "context"], ""),
    (state('"Type": "Pass", "Output": "{% $states.▮ %}"', top=JSONATA), ["input", "context"], ""),
    (
        state('"Type": "Task", "Catch": [{"Output": "{% $states.▮ %}"}]', top=JSONATA),
        ["input", "errorOutput", "context"],
        "",
    ),
    (state('"Type": "Pass", "Output": "{% $states.context.State.Na▮ %}"', top=JSONATA), ["Name"], "Na"),
    (state('"Type": "Pass", "Output": "{% $upp▮ %}"', top=JSONATA), ["$uppercase("], "$upp"),
    (
        state('"Type": "Pass", "Assign": {"upper": 1}, "Output": "{% $upp▮ %}"', top=JSONATA),
        ["$upper", "$uppercase("],
        "$upp",
    ),
    (state('"Type": "Pass", "Output": "$upp▮"', top=JSONATA), [], "$upp"),
    # nothing to say
    (state('"Type": "Pass", "Comment": "▮"'), [], ""),
    (state('"Type": "Nonsense", "Ne▮"'), ["Next"], "Ne"),
    ('{"a": 1} ▮', [], ""),
    ("[▮]", [], ""),
    # YAML
    ("St▮", ["StartAt", "States"], "St"),
    ("StartAt: ▮\nStates:\n  A b:\n    Type: Pass\n  'no':\n    Type: Pass", ["A b", "no"], ""),
    ("StartAt: A\nStates:\n  A:\n    ▮", None, ""),
    (
        "StartAt: A\nStates:\n  A:\n    Type: Fail\n    ▮\n    Comment: x",
        ["QueryLanguage", "Error", "ErrorPath", "Cause", "CausePath"],
        "",
    ),
    ("StartAt: A\nStates:\n  A:\n    Type: Task\n    Retry:\n      - ▮", None, ""),
    (
        "StartAt: A\nStates:\n  A:\n    Type: Task\n    Retry:\n    - ErrorEquals: [States.Time▮]\n",
        ["States.Timeout"],
        "States.Time",
    ),
    (
        "StartAt: A\nStates:\n  A:\n    Type: Task\n    Retry:\n    - ErrorEquals:\n      - States.Time▮\n",
        ["States.Timeout"],
        "States.Time",
    ),
    ("StartAt: A\nStates:\n  A:\n    Type: Choice\n    Choices:\n      - Variable: $.a\n        Num▮", None, "Num"),
    (
        "StartAt: A\nQueryLanguage: JSONata\nStates:\n  A:\n    Type: Task\n    Output: >-\n      {% $states.▮ %}",
        ["input", "result", "context"],
        "",
    ),
    (
        "StartAt: A\nStates:\n  A:\n    Type: Task\n    Resource: sns▮",
        ["arn:aws:states:::sns:publish", "arn:aws:states:::sns:publish.waitForTaskToken"],
        "sns",
    ),
    ("# ▮", [], ""),
]


@pytest.mark.parametrize(("text", "expected", "typed"), OFFERED)
def test_what_is_offered(text, expected, typed):
    found, replaced = at(text, functions=["Charge", "Ship"])
    assert replaced == typed
    if expected is not None:
        assert found == expected
    else:
        assert found


@pytest.mark.parametrize(
    ("inside", "some"),
    [
        ('"Resource": "▮"', ["arn:aws:states:::dynamodb:putItem", "arn:aws:states:::aws-sdk:"]),
        ('"Resource": "aws-sdk:▮"', ["arn:aws:states:::aws-sdk:s3:", "arn:aws:states:::aws-sdk:cloudwatchlogs:"]),
        ('"Resource": "arn:aws:states:::aws-sdk:s3:▮"', ["arn:aws:states:::aws-sdk:s3:listObjectsV2"]),
        (f'{INVOKE}, "Parameters": {{"▮"}}', ["FunctionName", "Payload"]),
        ('"Resource": "arn:aws:states:::http:invoke", "Parameters": {"▮"}', ["ApiEndpoint", "Method"]),
        (
            (
                '"Resource": "arn:aws:states:::ecs:runTask.sync", "Parameters": {"NetworkConfiguration": '
                '{"AwsvpcConfiguration": {"▮"}}}'
            ),
            ["Subnets", "SecurityGroups"],
        ),
        (
            '"Resource": "arn:aws:states:::aws-sdk:rds:describeDBClusters", "Parameters": {"Db▮"}',
            ["DbClusterIdentifier"],
        ),
    ],
)
def test_what_services_have(inside, some):
    inside = inside if inside.startswith('"Type"') else f'"Type": "Task", {inside}'
    found, _ = at(state(inside), catalogue=Catalogue())
    assert set(some) <= set(found)


def test_what_is_given_is_not_offered_again():
    found, _ = at(state(f'{INVOKE}, "Parameters": {{"FunctionName.$": "$.f", "▮"}}'), catalogue=Catalogue())
    assert "FunctionName" not in found
    assert "Payload" in found


def pairs(value, pointer=()):
    """Every member and item of a JSON value, with its path."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in inside:
        yield (*pointer, name), inner
        yield from pairs(inner, (*pointer, name))


def cursors(text):
    """Each string of a JSON text: where it begins, where it ends, and what it says."""
    decoder, at_ = json.JSONDecoder(), 0
    while (at_ := text.find('"', at_)) >= 0:
        said, end = decoder.raw_decode(text, at_)
        yield at_ + 1, end - 1, said
        at_ = end


@pytest.mark.parametrize("keep", ["nothing", "half"])
def test_what_stands_there_is_among_what_is_offered(keep):
    """Take any name out of a finished definition, whole or in part: completion offers it."""
    asked = 0
    for start, end, said in cursors(SAGA):
        left = said[: len(said) // 2] if keep == "half" else ""
        text = SAGA[:start] + left + SAGA[end:]
        spot = find(SAGA, start)
        known = (spot.role == "key" and len(spot.path) <= 2) or spot.path[-1:] in (("Type",), ("Next",), ("StartAt",))
        if known and spot.path != ("States",):
            asked += 1
            found = [c.text for c in complete(text, start + len(left))[1]]
            assert said in found, (said, spot, found)
    assert asked > 50


def test_json_and_yaml_are_offered_the_same():
    raw = json.loads(SAGA)
    flow = yaml.safe_dump(raw, sort_keys=False, width=10_000)
    spot = flow.index("Next: ChargeCard") + len("Next: ")
    names = [c.text for c in complete(flow[:spot] + flow[spot + len("ChargeCard") :], spot)[1]]
    assert sorted(names) == sorted(raw["States"])


@given(st.data())
def test_half_a_definition_is_never_an_error(data):
    """Wherever it is cut off, and whatever is taken out of the middle: an answer, and one that fits into the text."""
    text = data.draw(st.sampled_from([SAGA, yaml.safe_dump(json.loads(SAGA))]))
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    text = text[:a] + data.draw(st.text("{}[]:,\"'\n -|>%$ab\\#", max_size=8)) + text[b:]
    offset = data.draw(st.integers(0, len(text)))
    start, found = complete(text, offset, functions=["f"])
    assert 0 <= start <= offset
    assert "\n" not in text[start:offset]
    assert all(c.text for c in found)


@given(st.text())
def test_any_text_is_never_an_error(text):
    for offset in range(0, len(text) + 1, 3):
        complete(text, offset)


def test_reading_on_past_a_gap_finds_what_finished_text_says():
    """A cursor in a finished text does not change what the text says."""
    raw = json.loads(SAGA)
    seen = dict(pairs(find(SAGA, 0).root))
    wanted = {path: value for path, value in pairs(raw) if isinstance(value, str)}
    assert {path: seen[path] for path in wanted} == wanted
    flow = yaml.safe_dump(raw, sort_keys=False, width=10_000)
    seen = dict(pairs(find(flow, 0).root))
    assert {path: str(seen[path]) for path in wanted} == wanted


def test_every_kind_of_field_is_known_here():
    """A field of a kind with members of its own is followed into."""
    from sflab.asl.complete import _ITEMS, _MEMBERS, _PATHS, _PAYLOADS

    simple = {*fields.WORDS, *fields.NUMBERS, *_PATHS, *_PAYLOADS, "text", "type", "flag", "timestamp", "label",
              "reader", "states", "texts"}  # fmt: skip
    tables = [*fields.STATES.values(), *_MEMBERS.values()]
    kinds = {field.kind for table in tables for field in table.values()}
    assert kinds <= {*simple, *_MEMBERS, *_ITEMS}

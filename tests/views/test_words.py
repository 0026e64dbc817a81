"""What states, rules and lengths of time are called; how wide texts are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.views import words


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"Variable": "$.paid", "BooleanEquals": True}, "$.paid = true"),
        ({"Variable": "$.n", "NumericGreaterThanEquals": 5}, "$.n ≥ 5"),
        ({"Variable": "$.s", "StringEquals": 'a"b'}, '$.s = "a\\"b"'),
        ({"Variable": "$.s", "StringMatches": "log-*"}, '$.s matches "log-*"'),
        ({"Variable": "$.a", "NumericLessThanPath": "$.b"}, "$.a < $.b"),
        ({"Variable": "$.t", "TimestampLessThan": "2030-01-01T00:00:00Z"}, "$.t < 2030-01-01T00:00:00Z"),
        ({"Variable": "$.a", "IsPresent": True}, "$.a is present"),
        ({"Variable": "$.a", "IsPresent": False}, "$.a is not present"),
        ({"Variable": "$.a", "IsNumeric": True}, "$.a is a number"),
        ({"Not": {"Variable": "$.a", "IsNull": True}}, "$.a is not null"),
        ({"Not": {"Variable": "$.a", "StringEquals": "x"}}, '$.a ≠ "x"'),
        ({"Not": {"Variable": "$.a", "StringMatches": "x*"}}, '$.a does not match "x*"'),
        (
            {"And": [{"Variable": "$.a", "IsNull": True}, {"Variable": "$.b", "IsNull": True}]},
            "$.a is null and $.b is null",
        ),
        (
            {
                "Or": [
                    {"And": [{"Variable": "$.a", "IsNull": True}, {"Variable": "$.c", "IsNull": True}]},
                    {"Variable": "$.b", "IsNull": True},
                ]
            },
            "($.a is null and $.c is null) or $.b is null",
        ),
        (
            {"Not": {"Or": [{"Variable": "$.a", "IsNull": True}, {"Variable": "$.b", "IsNull": True}]}},
            "not ($.a is null or $.b is null)",
        ),
        ({"Condition": "{% $states.input.n > 3 %}"}, "input.n > 3"),
        ({"Condition": "{% $states.input.n >= 3 and $x != 'a != b' %}"}, "input.n ≥ 3 and $x ≠ 'a != b'"),
        ({"Condition": "{% $exists($states.input.a.b) %}"}, "input.a.b is present"),
        ({"Condition": "{% $not($exists($states.input.a[0])) %}"}, "input.a[0] is not present"),
        ({"Condition": '{% $contains($states.input.s, "$states.input") %}'}, 'input.s contains "$states.input"'),
        ({"Condition": "{% $not($states.context.State.RetryCount <= 2) %}"}, "not (context.State.RetryCount ≤ 2)"),
        ({"Condition": '{% "unfinished %}'}, '"unfinished'),
        ({"Condition": True}, "always"),
        ({}, "?"),
        (None, "null"),
    ],
)
def test_a_rule_in_words(rule, text) -> None:
    assert words.condition(rule) == text


@pytest.mark.parametrize(
    ("state", "text", "pattern"),
    [
        ({"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "F"}}, "lambda: F", ""),
        (
            {
                "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                "Parameters": {"FunctionName": "arn:aws:lambda:eu-west-1:1:function:F:prod"},
            },
            "lambda: F:prod",
            "callback",
        ),
        (
            {"Resource": "arn:aws:states:::lambda:invoke", "Arguments": {"FunctionName": "{% $fn %}"}},
            "lambda: $fn",
            "",
        ),
        ({"Resource": "arn:aws:lambda:us-east-1:1:function:G:$LATEST"}, "lambda: G", ""),
        ({"Resource": "arn:aws:states:us-east-1:1:activity:Wash"}, "activity: Wash", ""),
        ({"Resource": "arn:aws:states:::dynamodb:putItem"}, "dynamodb: putItem", ""),
        ({"Resource": "arn:aws-cn:states:::glue:startJobRun.sync"}, "glue: startJobRun", "sync"),
        ({"Resource": "arn:aws:states:::states:startExecution.sync:2"}, "states: startExecution", "sync"),
        ({"Resource": "arn:aws:states:::aws-sdk:s3:getObject"}, "s3: getObject", ""),
        ({"Resource": "${Token.Arn}"}, "${Token.Arn}", ""),
        ({"Resource": 7}, "7", ""),
        ({}, "", ""),
    ],
)
def test_what_a_task_calls(state, text, pattern) -> None:
    called = words.service(state)
    assert (called.text, called.pattern) == (text, pattern)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.04, "40 ms"),
        (1.25, "1.25 s"),
        (61, "1 min 1 s"),
        (3725, "1 h 2 min"),
        (259200, "3 days"),
        (90000, "1 day 1 h"),
    ],
)
def test_durations(seconds, text) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"Type": "Wait", "Seconds": 60}, "1 min"),
        ({"Type": "Wait", "SecondsPath": "$.s"}, "$.s s"),
        ({"Type": "Wait", "Timestamp": "2030-01-01T00:00:00Z"}, "until 2030-01-01T00:00:00Z"),
        ({"Type": "Fail", "Error": "E"}, "E"),
        ({"Type": "Parallel", "Branches": [{}]}, "1 branch"),
        ({"Type": "Map", "Items": "{% $xs %}", "MaxConcurrency": 2}, "each of $xs · 2 at once"),
        ({"Type": "Map", "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}}}, "each item · distributed"),
        ({"Type": "Pass", "Assign": {"a": 1, "b.$": "$"}}, "assigns a, b"),
        ({"Type": "Succeed"}, ""),
        ({"Type": ["no"]}, ""),
    ],
)
def test_second_lines(state, text) -> None:
    assert words.subtitle(state) == text


def test_retries_are_added_up() -> None:
    state = {"Retry": [{"ErrorEquals": ["A"]}, {"ErrorEquals": ["B", "C"], "MaxAttempts": 1}, "nonsense"]}
    assert words.retries(state) == (4, "A: 3 retries; B, C: 1 retry")
    assert words.retries({"Retry": {"not": "a list"}}) == (0, "")


def test_what_cannot_be_shown_is_replaced() -> None:
    assert words.clean("a\x00b\u202ec\ud800d\n e") == "a\ufffdb\ufffdc\ufffdd e"
    assert words.clean({"a": [1]}) == '{"a": [1]}'


@given(st.text(max_size=120), st.floats(40, 300), st.booleans())
def test_cut_text_fits(text, room, bold) -> None:
    assert words.width(words.shorten(text, room, 13, bold=bold), 13, bold=bold) <= max(room, words.width("…", 13))
    lines = words.wrap(words.clean(text), room, 13, bold=bold, lines=2)
    assert 1 <= len(lines) <= 2
    assert all(words.width(line, 13, bold=bold) <= room for line in lines)


def test_text_that_fits_is_left_alone() -> None:
    assert words.wrap("Reserve stock", 190, 13, bold=True) == ("Reserve stock",)
    assert words.wrap("ReserveStockOfTheWarehouse", 120, 13, bold=True) == ("ReserveStockOf", "TheWarehouse")
    assert "".join(words.wrap("a" * 90, 120, 13))[-5:] == "…aaaa"

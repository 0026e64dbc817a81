"""The exercises: a right answer to each is right, and wrong answers are told what is not right yet."""

import json
import re
from pathlib import Path

import pytest

import sflab as sf
from sflab.costs.estimate import month
from sflab.costs.prices import load
from sflab.workshop.check import EXERCISES, exercise

LAMBDA = "arn:aws:states:::lambda:invoke"
DISTRIBUTED = {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}
CRUD = """\
#set($q = '"')
#set($text = "{${q}method${q}:${q}$context.httpMethod${q},${q}id${q}:${q}$input.params('id')${q},${q}body${q}:$input.json('$')}")
{"stateMachineArn": "{ARN}", "input": "$util.escapeJavaScript($text).replaceAll("\\\\'", "'")"}
"""  # noqa: E501 - a template's line


def machine(start, states, **more):
    return {"QueryLanguage": "JSONata", "StartAt": start, "States": states, **more}


def call(name, then=None, payload="{% $states.input %}", **more):
    task = {"Type": "Task", "Resource": LAMBDA, "Arguments": {"FunctionName": name, "Payload": payload}}
    return {**task, "Output": "{% $states.result.Payload %}", **more, **({"Next": then} if then else {"End": True})}


def chain(*names, **more):
    return machine(names[0], {n: call(n, then) for n, then in zip(names, (*names[1:], None), strict=True)}, **more)


def one(state):
    return machine("A", {"A": {**state, "End": True}})


def retry(*errors, times):
    return [{"ErrorEquals": list(errors), "MaxAttempts": times, "IntervalSeconds": 1}]


# ── answers that more than one case is made from ─────────────────────────────────────────────────────────────────────

BUSY = retry("CardNetworkBusy", times=2)
THREE = machine("Validate", {
    "Validate": call("Validate", "Charge"), "Charge": call("Charge", "Mail", Retry=BUSY), "Mail": call("Mail"),
})  # fmt: skip


def saga(*, fail=True, all_=False):
    caught = {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Release", "Output": "{% $states.input %}"}]}
    end = {"Type": "Fail", "Error": "Undone"} if fail else {"Type": "Succeed"}
    return machine("Reserve", {
        "Reserve": call("Reserve", "Charge", **(caught if all_ else {})),
        "Charge": call("Charge", **caught), "Release": call("Release", "End"), "End": end,
    })  # fmt: skip


def approval(seconds=259_200, *, catch=True):
    caught = {"Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "No"}]} if catch else {}
    asked = {"FunctionName": "Mail", "Payload": {"token": "{% $states.context.Task.Token %}"}}
    wait = {"Resource": f"{LAMBDA}.waitForTaskToken", "Arguments": asked, "TimeoutSeconds": seconds}
    otherwise = {"No": {"Type": "Pass", "Output": {"approved": False}, "End": True}} if catch else {}
    return machine("Ask", {"Ask": {"Type": "Task", "End": True, **wait, **caught}, **otherwise})


def spread(**more):
    inner = {"StartAt": "Work", "States": {"Work": call("Work")}}
    processor = {"ProcessorConfig": more.pop("config", DISTRIBUTED), **inner}
    return one({"Type": "Map", "Items": "{% $states.input.numbers %}", "ItemProcessor": processor, **more})


def http(*, retries=True, catch=("States.Http.StatusCode.404",)):
    about = {
        "ApiEndpoint": "https://rates.example/v1", "Method": "GET",
        "Authentication": {"ConnectionArn": "arn:aws:events:us-east-1:123456789012:connection/rates/0f"},
    }  # fmt: skip
    more = {"Retry": retry("States.Http.StatusCode.429", times=2)} if retries else {}
    return machine("Get", {
        "Get": {"Type": "Task", "Resource": "arn:aws:states:::http:invoke", "Arguments": about, "End": True, **more,
                "Catch": [{"ErrorEquals": list(catch), "Next": "None"}]},
        "None": {"Type": "Pass", "Output": {"found": False}, "End": True},
    })  # fmt: skip


def ran(id_, *, alternative=False):
    return (sf.patterns[id_].alternative if alternative else sf.patterns[id_]).run


def failed_and_redriven(*, works=True):
    def run():
        made = sf.Local({"A": sf.mock(error="Down")}).start_execution(sf.StateMachine.load(chain("A")))
        return made.redrive(functions={"A": sf.mock({"up": True} if works else None, error=None if works else "Down")})

    return run


def notes(**route):
    def serve():
        local = sf.Local()
        sf.patterns["M1"].stage().prepare(local)
        made = sf.Route(sf.patterns["M1"].machine, **{"request": CRUD, "status": "$.status", **route})
        return sf.RestApi({"ANY /notes/{id}": made}, local)

    return serve


def document(*routes, **options):
    express = sf.StateMachine.load(one({"Type": "Pass"}), type="EXPRESS")
    return lambda: sf.RestApi(dict.fromkeys(routes, express), **options).openapi()


def trial(error="Declined", caught="Declined"):
    catch = {"Catch": [{"ErrorEquals": [caught], "Next": "B"}]}
    made = sf.StateMachine.load(machine("A", {"A": call("A", "B", **catch), "B": {"Type": "Succeed"}}))
    return lambda: made.test_state("A", {}, mock=sf.mock(error=error) if error else sf.mock({"Payload": "1"}))


def mocked(last="2", *, case="BusyTwice"):
    return {
        "StateMachines": {"x2-mocked-integrations": {"TestCases": {case: {"Reserve": "R", "Charge": "C"}}}},
        "MockedResponses": {
            "R": {"0": {"Return": {"StatusCode": 200, "Payload": {}}}},
            "C": {f"0-{int(last) - 1}": {"Throw": {"Error": "CardNetworkBusy", "Cause": "busy"}},
                  last: {"Return": {"StatusCode": 200, "Payload": {"receipt": "C-1"}}}},
        },
    }  # fmt: skip


def fulfilment(retried=None, *, path=None):
    definition = json.loads(FULFILMENT.read_text("utf-8"))
    ship = definition["States"]["ShipParcels"]
    if retried:
        ship["ItemProcessor"]["States"]["BookCarrier"]["Retry"][0]["ErrorEquals"] = [retried]
    if path:
        ship["Catch"][0]["ResultPath"] = path
    return definition


FULFILMENT = Path(__file__).parents[2] / "data/machines/order-fulfilment.asl.json"
X3 = sf.patterns["X3"]
C3 = sf.patterns["C3"]
PRICES = {price.item: float(price.usd) for price in load()}
TRANSITION, GB_SECOND = PRICES["stepfunctions.transition"], PRICES["stepfunctions.express-gb-second"]
GREETING = {"greeting": "{% 'Hello, ' & $states.input.name %}", "count": "{% $count($states.input.tags) %}"}
CUSTOMER = call("GetCustomer", "Pay", Output="{% $states.input %}", Assign={"c": "{% $states.result.Payload %}"})
PAY = {"Output": {"customer": "{% $c %}", "receipt": "{% $states.result.Payload %}"}}
AMOUNT = {"amount": "{% $states.input.amount %}"}
TOKENS = json.dumps(chain("${ChargeFunction}"))


def t1_month(**options):
    return month(sf.patterns["T1"].alternative.run().cost(), 100_000, **options).usd


#: exercise -> right answers; a callable makes its answer when it is wanted
RIGHT = {
    "01.1": [
        one({"Type": "Pass", "Output": {"sum": "{% $states.input.a + $states.input.b %}"}}),
        {"StartAt": "A", "States": {
            "A": {"Type": "Pass", "Parameters": {"sum.$": "States.MathAdd($.a, $.b)"}, "End": True}}},
    ],
    "01.2": [
        one(call("Price", Output="{% $merge([$states.input, {'price': $states.result.Payload}]) %}") | {"End": True}),
        {"StartAt": "A", "States": {"A": {
            "Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "Price", "Payload.$": "$"},
            "ResultSelector": {"x.$": "$.Payload"}, "ResultPath": "$.got", "Next": "B"},
            "B": {"Type": "Pass", "InputPath": "$.got.x", "ResultPath": "$.price", "Next": "C"},
            "C": {"Type": "Pass", "QueryLanguage": "JSONata", "End": True,
                  "Output": "{% $sift($states.input, function($v, $k) { $k != 'got' }) %}"}}},
    ],
    "01.3": ["ResultPath", " `resultpath`. "],
    "02.1": [THREE],
    "02.2": [6, 6.0],
    "03.1": [{"approval": "STANDARD", "sensors": "Express", "job": "standard", "quote": "EXPRESS"}],
    "03.2": [lambda: sf.StateMachine.load(chain("CollectFigures", "RenderReport", "SendReport"), type="EXPRESS"),
             lambda: sf.patterns["T4"].machine],
    "03.3": [71, (3 * TRANSITION - PRICES["stepfunctions.express-request"]) / (GB_SECOND / 16)],
    "04.1": [lambda: C3.machine],
    "04.2": [30 * TRANSITION * 1e6],
    "04.3": [ran("C1")],
    "05.1": [one({"Type": "Pass", "Output": GREETING})],
    "05.2": [machine("G", {"G": CUSTOMER, "Pay": call("Pay", payload=AMOUNT, **PAY)})],
    "06.1": [one(call("Book", Retry=retry("Throttled", times=2)))],
    "06.2": [saga()],
    "06.3": [failed_and_redriven(), ran("F5")],
    "07.1": [approval()],
    "07.2": [lambda: sf.Local(
        {"A": sf.mock({"from": "child"})}, machines=[sf.StateMachine.load(chain("A"), name="child")]
    ).start_execution(sf.StateMachine.load(one({
        "Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:child"},
        "Output": {"child": "{% $states.result.Output %}"}})))],
    "08.1": [spread(ItemBatcher={"MaxItemsPerBatch": 10})],
    "08.2": [spread(ToleratedFailurePercentage=10)],
    "08.3": [99],
    "09.1": [notes()],
    "09.2": [document("GET /a", "PUT /a"), document("GET /a", "PUT /a", kind="HTTP")],
    "10.1": [http()],
    "10.2": ["States.Http.StatusCode.503"],
    "11.1": [trial()],
    "11.2": [mocked()],
    "12.1": [lambda: next(e["id"] for e in X3.alternative.run().history if e["type"] == "EvaluationFailed")],
    "12.2": [lambda: X3.machine],
    "12.3": [lambda: fulfilment("RateLimitExceeded", path="$.failure")],
    "13.1": [TOKENS],
    "13.2": [lambda: t1_month(free_tier=True)],
}  # fmt: skip

#: (exercise, wrong answer, what is said to be not right yet)
WRONG = [
    ("01.1", one({"Type": "Pass", "Output": {"sum": 5}}), "From {'a': 10, 'b': -4}"),
    ("01.1", chain("Add"), "no function is needed"),
    ("01.1", one({"Type": "Pass", "Output": "{% $error('x') %}"}), "FAILED"),
    ("01.2", chain("Price"), "it should make"),
    ("01.2", one({"Type": "Pass"}), "was not called"),
    ("01.3", "OutputPath", "not where the result is put"),
    ("01.3", "InputPath", "is not the one"),
    ("02.1", chain("Validate", "Charge", "Mail"), "FAILED"),
    ("02.1", machine("Charge", {name: THREE["States"][name] for name in ("Charge", "Mail")}), "Called were Charge"),
    ("02.2", 5, "5 transitions is less"),
    ("03.1", {"approval": "EXPRESS", "sensors": "EXPRESS", "job": "STANDARD", "quote": "EXPRESS"}, "approval: not"),
    ("03.1", {}, "'quote' is missing"),
    ("03.2", chain("CollectFigures", "RenderReport", "SendReport"), "a Standard machine"),
    ("03.2", lambda: sf.StateMachine.load(chain("CollectFigures", "SendReport"), type="EXPRESS"), "Called were Coll"),
    ("03.2", lambda: sf.patterns["T4"].alternative.machine, "It ended|could not be tried out|Standard machine"),
    ("03.3", 300, "more than it is"),
    ("04.1", lambda: C3.alternative.machine, "that is 7 transitions|That is 7 transitions"),
    ("04.1", chain("GetCustomer", "Charge"), "Charge should be called with"),
    ("04.2", 800, "more"),
    ("04.3", ran("C1", alternative=True), "No Express execution"),
    ("04.3", ran("T1"), "The parent is Express"),
    ("05.1", one({"Type": "Pass", "Output": {"greeting": "Hello, Ada", "count": 2}}), "From {'name': 'Linus'"),
    ("05.2", machine("G", {"G": CUSTOMER, "Pay": call("Pay", **PAY)}), "Pay was called with"),
    ("05.2", chain("GetCustomer", "Pay"), "No state assigns"),
    ("06.1", one(call("Book")), "should be asked 3 times"),
    ("06.1", one(call("Book", Retry=retry("States.ALL", times=2))), "With 1 × BadRequest Book is asked 2 times"),
    ("06.1", one(call("Book", Retry=retry("Throttled", times=3))), "is asked 4 times"),
    ("06.2", chain("Reserve", "Charge"), "Release is called 0 times"),
    ("06.2", saga(fail=False), "The execution should fail"),
    ("06.2", saga(all_=True), "though Reserve failed"),
    ("06.3", ran("T1"), "It never failed"),
    ("06.3", ran("F1", alternative=True), "It was not redriven"),
    ("06.3", failed_and_redriven(works=False), "It ended FAILED"),
    ("07.1", approval(3600), "it ended|waits"),
    ("07.1", approval(catch=False), "Nobody answers: it should give"),
    ("07.1", approval(864_000), "It waits 10 days"),
    ("07.2", ran("T1"), "started no execution"),
    ("07.2", ran("E3", alternative=True), "started no execution"),
    ("07.2", ran("S8"), "is in its output"),
    ("08.1", spread(), "95 items are 95 calls"),
    ("08.1", spread(config={"Mode": "INLINE"}), "the Map is inline"),
    ("08.1", spread(config={**DISTRIBUTED, "ExecutionType": "STANDARD"}, ItemBatcher={"MaxItemsPerBatch": 10}),
     "Its children are Standard"),
    ("08.2", spread(), "With 5 of 100 failing it ends FAILED"),
    ("08.2", spread(ToleratedFailurePercentage=90), "With 30 of 100 failing it ends SUCCEEDED"),
    ("08.3", 100, "more than it is"),
    ("09.1", notes(status=None), "GET answers 200, not 404"),
    ("09.1", notes(request=None), "not 404|not 201"),
    ("09.1", lambda: sf.RestApi({"GET /": sf.patterns["M1"].machine}), "Missing Authentication Token"),
    ("09.2", document("GET /a"), "1 routes start"),
    ("09.2", {"openapi": "2.0"}, "does not say openapi"),
    ("09.2", document("GET /a", "PUT /a", role_arn=""), "has no role"),
    ("10.1", http(retries=False), "After 429"),
    ("10.1", http(catch=("States.ALL",)), "After 500 it should fail"),
    ("10.1", one({"Type": "Pass", "Output": {"found": False}}), "no http:invoke task"),
    ("10.2", "Http.503", "would not match"),
    ("11.1", trial(caught="Other"), r"came out FAILED \(Declined\)"),
    ("11.1", trial(error=None), "came out SUCCEEDED"),
    ("11.2", mocked("1"), "Refused with: CardNetworkBusy"),
    ("11.2", mocked("3"), "It ended FAILED"),
    ("11.2", mocked(case="Other"), "could not be tried out.*BusyTwice"),
    ("12.1", lambda: X3.alternative.run().history[-1]["id"], "what failed it stands before"),
    ("12.1", 3, "not the first"),
    ("12.2", lambda: X3.alternative.machine, "Validation finds"),
    ("12.2", one({"Type": "Pass", "Output": {"confirmed": "R-1"}}), "It should confirm R-1"),
    ("12.3", fulfilment, "(?s)it is asked 1 time.*not refunded as charged.*not released.*States.Runtime"),
    ("12.3", lambda: fulfilment("RateLimitExceeded"), "not refunded as charged"),
    ("12.3", lambda: fulfilment("RateLimitExceeded", path="$.payment"), "not refunded as charged"),
    ("12.3", lambda: fulfilment(path="$.failure"), "busy twice, it is asked 1 time"),
    ("12.3", one({"Type": "Pass"}), "the order ended SUCCEEDED"),
    ("13.1", json.dumps(chain("Charge")), r"no \${Token}"),
    ("13.1", json.dumps(chain("arn:aws:lambda:us-east-1:123456789012:function:${F}")), "123456789012 is named"),
    ("13.1", json.dumps({"StartAt": "${A}", "States": {}}), "Filled in, it has errors"),
    ("13.1", "{", "could not be tried out"),
    ("13.2", t1_month, "without the free tier"),
    ("13.2", 1, "less than it is"),
]  # fmt: skip

RIGHT_CASES = [(id_, answer) for id_, answers in RIGHT.items() for answer in answers]


def made(answer):
    return answer() if callable(answer) else answer


@pytest.mark.parametrize(("id_", "answer"), RIGHT_CASES, ids=[id_ for id_, _ in RIGHT_CASES])
def test_a_right_answer_is_right(id_, answer):
    found = sf.check(id_, made(answer))
    assert found.ok, found
    assert found
    assert found.right
    assert not found.not_yet
    assert ": right" in repr(found)


@pytest.mark.parametrize(("id_", "answer", "said"), WRONG, ids=[f"{id_}-{said[:20]}" for id_, _, said in WRONG])
def test_a_wrong_answer_is_not_right_yet_and_says_why(id_, answer, said):
    found = sf.check(id_, made(answer))
    assert not found.ok
    assert not found
    assert re.search(said, "\n".join(found.not_yet)), found
    assert ": not yet" in repr(found)


def test_every_exercise_has_right_and_wrong_answers():
    sf.check("01.1")
    assert set(RIGHT) == set(EXERCISES) == {id_ for id_, _, _ in WRONG}
    numbers = {id_.partition(".")[0] for id_ in EXERCISES}
    assert numbers == {f"{n:02d}" for n in range(1, 14)}
    assert min(sum(id_.startswith(n) for id_ in EXERCISES) for n in numbers) >= 2


@pytest.mark.parametrize("id_", sorted(RIGHT))
def test_nonsense_is_an_answer_that_is_not_right_yet(id_):
    """Whatever is handed in: the check says so in words, and never raises."""
    nonsense = (
        None, ..., True, float("nan"), -1, "", "nonsense", [], {}, {"StartAt": 1}, object(), sf, b"x",
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}},
    )  # fmt: skip
    for answer in nonsense:
        found = sf.check(id_, answer)
        assert not found.ok, answer
        assert all(found.not_yet)


def test_an_api_can_be_checked_again():
    """Its table keeps what an earlier check put there."""
    local = sf.Local()
    sf.patterns["M1"].stage().prepare(local)
    for _ in range(2):
        made = sf.Route(sf.patterns["M1"].machine, request=CRUD, status="$.status")
        api = sf.RestApi({"ANY /notes/{id}": made}, local)
        assert sf.check("09.1", api).ok
        assert sf.check("09.1", api).ok


def test_a_hint_is_given_to_who_asks():
    found = sf.check("01.3", "InputPath")
    assert "being null" in found.hint
    assert found.hint not in repr(found)
    assert 'sf.check("01.3", answer, hint=True)' in repr(found)
    assert f"Hint: {found.hint}" in repr(sf.check("01.3", "InputPath", hint=True))
    assert "hint" not in repr(sf.check("01.3", "ResultPath"))


def test_an_exercise_tells_its_task():
    told = sf.check("03.3")
    assert not told.ok
    assert "Exercise 03.3" in repr(told)
    assert "The answer is a number." in repr(told)
    assert "Hint: " in repr(sf.check("03.3", hint=True))


@pytest.mark.parametrize("id_", ["03.9", "", "3.2", 3.2])
def test_an_unknown_exercise_is_said_with_those_there_are(id_):
    with pytest.raises(sf.SflabError, match=r"there is no exercise .*; there are 01\.1, 01\.2.*13\.2"):
        sf.check(id_, 1)


def test_it_reads_as_html():
    shown = sf.check("01.1", one({"Type": "Pass", "Output": {"sum": "<5>"}}))._repr_html_()
    assert "✗" in shown
    assert "&lt;5&gt;" in shown
    assert "<5>" not in shown


def test_an_answer_may_be_a_machine_a_definition_or_a_path(tmp_path):
    definition = one({"Type": "Pass", "Output": {"sum": "{% $states.input.a + $states.input.b %}"}})
    path = tmp_path / "sum.asl.json"
    path.write_text(json.dumps(definition))
    for answer in (definition, json.dumps(definition), path, str(path), sf.StateMachine.load(definition)):
        assert sf.check("01.1", answer).ok
    assert "no such file" in sf.check("01.1", str(tmp_path / "none.json")).not_yet[0]


def test_two_exercises_of_an_id_and_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match=r"two exercises 01\.1"):
        exercise("01.1", wants="text", task="t", hint="h")(iter)
    with pytest.raises(ValueError, match="wants 'poem'"):
        exercise("99.1", wants="poem", task="t", hint="h")(iter)
    assert "99.1" not in EXERCISES

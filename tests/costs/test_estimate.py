import importlib.util
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from sflab.asl.model import Definition
from sflab.costs import prices
from sflab.costs.estimate import Bill, bill, month
from sflab.costs.usage import Meter, billed_memory_mb, billed_ms, express_memory_mb, gb_seconds

ONE = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": "x", "End": True}}}


def amounts(bill):
    """{what was counted, without its explanation: quantity}"""
    return {
        line.item if line.service != "stepfunctions" else line.assumption: float(line.quantity) for line in bill.lines
    }


# ── Standard ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_state_entered_and_the_start_and_end(write):
    write("ExecutionStarted")
    for name in "ABC":
        write("PassStateEntered", name=name)
        write("PassStateExited", name=name)
    write("ExecutionSucceeded")
    one = bill({}, write.events)
    assert amounts(one) == {"each state entered": 3, "start and end of the execution, as 1: sources differ": 1}
    assert one.exact == Decimal("0.0001")
    assert one.usd == 0.0001
    assert bill({}, write.events, start_end=0).usd == 0.000075
    assert bill({}, write.events, start_end=2).usd == 0.000125
    assert bill({}, write.events, prices=prices.load("sa-east-1")).exact == Decimal("0.00015")


def test_each_retry_is_one_more_whatever_is_retried(write):
    write("ExecutionStarted")
    write.task("sqs", "sendMessage", outcome="TaskFailed", error="E")
    write.attempt("sqs", "sendMessage", seconds=1, outcome="TaskFailed", error="E")
    write.attempt("sqs", "sendMessage", seconds=2)
    entered = write("MapStateEntered", name="M")
    write("MapStateStarted", length=1)
    write("MapIterationStarted", name="M", index=0)
    write("FailStateEntered", name="F")
    write("MapStateStarted", length=1)  # recorded: a Map's second attempt follows the event that failed the first
    assert write.events[entered]["previousEventId"] == entered
    counts = amounts(bill(ONE, write.events))
    assert counts["each Retry attempt once more"] == 3
    assert counts["each state entered"] == 3
    assert counts["request"] == 3  # failed calls to SQS are calls


def test_iterations_of_an_inline_map_are_not_transitions(write):
    write("ExecutionStarted")
    write("MapStateEntered", name="M")
    started = write("MapStateStarted", length=2)
    for i in range(2):
        write("MapIterationStarted", previous=started, name="M", index=i)
        write("PassStateEntered", name="P")
        write("PassStateExited", name="P")
        write("MapIterationSucceeded", name="M", index=i)
    assert amounts(bill({}, write.events, start_end=0)) == {"each state entered": 3}


DISTRIBUTED = {"Type": "Map", "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "States": {}}}


@pytest.mark.parametrize(
    ("batcher", "items", "given", "children"),
    [
        (None, 250, None, 250),
        ({"MaxItemsPerBatch": 100}, 250, None, 3),
        ({"MaxItemsPerBatchPath": "$.n"}, 250, None, None),
        (None, 0, None, None),  # with an ItemReader AWS records a length of 0
        (None, 0, 7, 7),
    ],
)
def test_a_distributed_map_costs_one_for_each_child(write, batcher, items, given, children):
    write("ExecutionStarted")
    write("MapStateEntered", name="M")
    write("MapStateStarted", length=items)
    write("MapRunStarted", mapRunArn="arn")
    definition = {"States": {"M": {**DISTRIBUTED, **({"ItemBatcher": batcher} if batcher else {})}}}
    one = bill(definition, write.events, child_executions=given)
    assert amounts(one).get("each child execution a distributed Map starts") == children
    assert any("child_executions=" in note for note in one.notes) is (children is None)
    assert any("bills of their own" in note for note in one.notes)


def test_a_redrive_counts_and_so_does_what_it_attempts_again(write):
    write("ExecutionStarted")
    write.task("sqs", "sendMessage", outcome="TaskFailed", error="E")
    write("ExecutionFailed")
    write("ExecutionRedriven", redriveCount=1)
    write.last = 2  # the TaskStateEntered event, as AWS has it
    write.attempt("sqs", "sendMessage")
    counts = amounts(bill(ONE, write.events, start_end=0))
    assert counts["each redrive"] == 1
    assert counts["each state a redrive attempts again"] == 1
    assert counts["each state entered"] == 1


def test_a_child_is_rolled_up_by_adding(write):
    write("ExecutionStarted")
    write.task("states", "startExecution.sync:2")
    parent = bill(ONE, write.events)
    child = bill(ONE, write.events[:1], type="EXPRESS")
    both = parent + child
    assert both.exact == parent.exact + child.exact
    assert both.title == "one Standard execution + one Express execution"
    assert "executions it started have bills of their own: add them with +" in both.notes
    assert sum([parent, parent]) == parent + parent
    assert (parent + parent).title == "2 × one Standard execution"
    with pytest.raises(TypeError):
        parent + 1


# ── Express ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ms", "billed"), [(0, 100), (1, 100), (100, 100), (100.001, 200), (299_999.5, 300_000)])
def test_express_time_is_rounded_up_to_100_ms(write, ms, billed):
    write("ExecutionStarted")
    write("ExecutionSucceeded", ms / 1000)
    assert amounts(bill({}, write.events, type="EXPRESS"))[
        "64 MB (50 MB + definition + data of Map and Parallel steps, in steps of 64 MB), time in steps of 100 ms"
    ] == pytest.approx(billed / 1000 / 16)
    assert billed_ms(timedelta(milliseconds=ms)) == billed


def test_express_memory_is_the_definition_and_the_data_of_map_and_parallel_steps(write):
    write("ExecutionStarted")
    write("MapStateEntered", name="M", input="[]")
    started = write("MapStateStarted", length=400)
    for i in range(400):
        write("MapIterationStarted", previous=started, name="M", index=i)
        write("PassStateEntered", name="P", input="x" * 40_000)
    write("ExecutionSucceeded", 10)
    definition = Definition({}, text="d" * 50_000)
    one = bill(definition, write.events, type="EXPRESS")
    assert [line.assumption[:6] for line in one.lines[1:]] == ["128 MB"]  # 50 + 0.05 + 16 MB
    assert one.lines[1].quantity == 10 * Decimal(128) / 1024
    given = bill(definition, write.events, type="EXPRESS", express_memory_mb=60)
    assert given.lines[1].assumption.startswith("64 MB (as given")
    assert [line.item for line in one.lines] == ["express-request", "express-gb-second"]
    assert express_memory_mb(50_000, 400 * 32_000) == Decimal("62.85")
    assert [billed_memory_mb(mb) for mb in (0, 64, 64.001, 1200)] == [64, 64, 128, 1216]


# ── Lambda ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def lambda_bill(write, **options):
    out = amounts(bill(ONE, write.events, start_end=0, **options))
    out.pop("each state entered")
    return out


def test_failed_attempts_of_a_function_are_billed_too(write):
    write("ExecutionStarted")
    write("TaskStateEntered", name="T")
    for end, seconds in (
        ("LambdaFunctionFailed", 1),
        ("LambdaFunctionTimedOut", 3),
        ("LambdaFunctionSucceeded", 0.0501),
    ):
        write("LambdaFunctionScheduled", resource="arn:aws:lambda:us-east-1:123456789012:function:Charge:live")
        write("LambdaFunctionStarted", 0.5)  # waiting to start is not the function's time
        write(end, seconds)
    used = lambda_bill(write)
    assert used["request"] == 3
    assert used["gb-second-x86_64"] == float(gb_seconds(128, 1000 + 3000 + 51))  # 50.1 ms are billed as 51


def test_memory_by_function_architecture_and_ephemeral_storage(write):
    write("ExecutionStarted")
    write("TaskStateEntered", name="T")
    write("LambdaFunctionScheduled", resource="arn:aws:lambda:us-east-1:123456789012:function:Charge:live")
    write("LambdaFunctionStarted")
    write("LambdaFunctionSucceeded", 1)
    write.task("lambda", "invoke", seconds=2, parameters={"FunctionName": "Ship", "Payload": {}})
    write.task("aws-sdk:lambda", "invoke", seconds=4, parameters={"FunctionName": "arn:aws:lambda:r:1:function:Mail"})
    used = lambda_bill(
        write, memory_mb={"Charge": 1024, "*": 256, "Mail": 512}, architecture="arm64", ephemeral_mb=1024
    )
    assert used["request"] == 3
    one = bill(
        ONE, write.events, memory_mb={"Charge": 1024, "Mail": 512, "*": 256}, architecture="arm64", ephemeral_mb=1024
    )
    by_memory = {int(line.assumption.split()[0]): line.quantity for line in one.lines if line.item == "gb-second-arm64"}
    assert by_memory == {1024: 1, 256: Decimal("0.5"), 512: 2}
    assert sum(line.quantity for line in one.lines if line.item == "ephemeral-gb-second") == Decimal("3.5")


def test_a_callback_is_not_the_functions_time(write):
    write("ExecutionStarted")
    write.task("lambda", "invoke.waitForTaskToken", seconds=1, outcome="TaskSubmitted")
    write("TaskSucceeded", 86_400, resourceType="lambda", resource="invoke.waitForTaskToken")
    assert lambda_bill(write) == {"request": 1, "gb-second-x86_64": 0.125}


@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "Lambda.ResourceNotFoundException"])
def test_a_refused_invocation_is_not_billed(write, error):
    write("ExecutionStarted")
    write.task("lambda", "invoke", outcome="TaskFailed", error=error)
    assert lambda_bill(write) == {}


def test_a_function_still_running_at_the_end_is_billed_until_then(write):
    write("ExecutionStarted")
    write("TaskStateEntered", name="T")
    write("LambdaFunctionScheduled", resource="f")
    write("LambdaFunctionStarted")
    write("ExecutionAborted", 2)
    (line,) = (line for line in bill(ONE, write.events).lines if line.item == "gb-second-x86_64")
    assert line.quantity == Decimal("0.25")
    assert "still running" in line.assumption


# ── integrations ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("service", "action", "parameters", "charged"),
    [
        ("dynamodb", "putItem", {"Item": {}}, {"write-unit": 1}),
        ("dynamodb", "getItem", {"Key": {}}, {"read-unit": 0.5}),
        ("aws-sdk:dynamodb", "getItem", {"ConsistentRead": True}, {"read-unit": 1}),
        ("aws-sdk:dynamodb", "batchWriteItem", {"RequestItems": {"t": [1, 2, 3], "u": [4]}}, {"write-unit": 4}),
        ("aws-sdk:dynamodb", "batchGetItem", {"RequestItems": {"t": {"Keys": [1, 2, 3]}}}, {"read-unit": 1.5}),
        ("aws-sdk:dynamodb", "transactWriteItems", {"TransactItems": [1, 2]}, {"write-unit": 4}),
        ("aws-sdk:dynamodb", "transactGetItems", {"TransactItems": [1, 2]}, {"read-unit": 4}),
        ("sqs", "sendMessage", {"QueueUrl": "https://q", "MessageBody": "x" * 70_000}, {"request": 2}),
        ("sqs", "sendMessage.waitForTaskToken", {"QueueUrl": "https://q.fifo"}, {"fifo-request": 1}),
        ("sns", "publish", {"TopicArn": "t", "Message": "m"}, {"request": 1}),
        ("aws-sdk:sns", "publishBatch", {"PublishBatchRequestEntries": [{}, {}, {}]}, {"request": 3}),
        ("events", "putEvents", {"Entries": [{"Detail": "x"}, {"Detail": "y" * 65_536}]}, {"custom-event": 3}),
        ("aws-sdk:eventbridge", "putEvents", {"Entries": [{}]}, {"custom-event": 1}),
        ("aws-sdk:s3", "getObject", {}, {"read-request": 1}),
        ("aws-sdk:s3", "putObject", {}, {"write-request": 1}),
        ("apigateway", "invoke", {}, {"rest-request": 1}),
        ("glue", "startJobRun.sync", {}, {}),
    ],
)
def test_what_a_call_is_charged_as(write, service, action, parameters, charged):
    write("ExecutionStarted")
    write.task(service, action, parameters=parameters)
    one = bill(ONE, write.events)
    assert {line.item: float(line.quantity) for line in one.lines if line.service != "stepfunctions"} == charged
    assert one.notes == (() if charged else ("glue:startJobRun is not in the price data",))


def test_parameters_that_are_no_object_are_one_call(write):
    write("ExecutionStarted")
    write.task("dynamodb", "putItem", parameters=[1])
    assert amounts(bill(ONE, write.events))["write-unit"] == 1


# ── a bill, a month ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def one(write):
    write("ExecutionStarted")
    write.task("lambda", "invoke", seconds=0.25)
    write.task("dynamodb", "putItem")
    write("ExecutionSucceeded")
    return bill(ONE, write.events)


def test_lines_multiply_out_and_add_up_exactly(one):
    assert all(line.usd == line.quantity * line.unit_price for line in one.lines)
    assert one.exact == Decimal("0.000075") + Decimal("0.0000002") + Decimal("0.0000166667") / 32 + Decimal(
        "0.000000625"
    )
    assert one.per(1_000_000).exact == one.exact * 1_000_000
    assert one.per(1000).title == "1,000 × one Standard execution"
    assert one.by_service()["DynamoDB"] == Decimal("0.000000625")
    assert all(line.source and line.assumption for line in one.lines)


def test_it_draws_itself(one):
    text = one._repr_mimebundle_()["text/plain"]
    assert text.splitlines()[0] == "one Standard execution, us-east-1: $0.00007635, $76.35 per million"
    assert "each state entered" in text
    assert "prices: AWS Price List, AmazonStates (2025-08-28)" in text
    assert "<td" in one._repr_mimebundle_()["text/html"]
    assert repr(one) == "<Bill one Standard execution, us-east-1: $0.00007635, $76.35 per million>"
    assert "nothing to pay" in Bill((), "us-east-1", ("nothing",))._repr_mimebundle_()["text/plain"]


def test_it_is_a_table(one):
    frame = one.df
    assert list(frame.columns) == ["service", "item", "quantity", "unit", "unit_price", "usd", "source", "assumption"]
    assert [str(frame[name].dtype) for name in ("quantity", "unit_price", "usd")] == ["float64"] * 3
    assert frame["usd"].sum() == pytest.approx(one.usd)


def test_what_it_shows_is_escaped(write):
    write("ExecutionStarted")
    write.task("<script>", "alert")
    html = bill(ONE, write.events)._repr_mimebundle_()["text/html"]
    assert "<script>" not in html
    assert "&lt;script&gt;:alert is not in the price data" in html


def test_a_region_without_a_price_of_its_own_is_said(one, write):
    far = bill(ONE, write.events, prices=prices.load("eu-west-3"))
    lambda_line = next(line for line in far.lines if line.service == "lambda")
    assert "at the price of us-east-1: that of eu-west-3 is not in the data" in lambda_line.assumption
    assert far.region == "eu-west-3"
    assert (far + one).region == "eu-west-3, us-east-1"


def test_a_month_goes_through_tiers_and_free_units(one):
    assert month(one, 1_000_000).exact == one.exact * 1_000_000  # all within the first tier
    free = month(one, 1_000_000, free_tier=True)
    expected = (3_000_000 - 4000) * Decimal("0.000025") + Decimal("0.625")  # Lambda is all free
    assert free.exact == expected
    assert [float(line.usd) for line in free.lines if line.assumption.startswith("free: ")] == [0, 0, 0]
    assert month({"stepfunctions.transition": 4001}, free_tier=True).exact == Decimal("0.000025")
    assert month({"stepfunctions.transition": 4000}, free_tier=True).usd == 0
    tiers = month({"stepfunctions.express-gb-second": 62_500_000})
    assert [float(line.quantity) for line in tiers.lines] == [3_600_000, 14_400_000, 44_500_000]
    assert tiers.exact == Decimal("382.884")
    assert "units 18,000,000 to 62,500,000 of the month" in tiers.lines[-1].assumption
    assert month(one, 5).title == "a month of 5 × one Standard execution"
    assert "per million" not in repr(month(one, 5))


def test_bad_options_are_told():
    with pytest.raises(ValueError, match="STANDARD or EXPRESS, not 'standard'"):
        Meter({}, "standard")
    with pytest.raises(ValueError, match="x86_64 or arm64"):
        Meter({}, architecture="x86")


# ── recorded and worked ──────────────────────────────────────────────────────────────────────────────────────────────


def test_recorded_histories_can_all_be_billed(shared):
    billed = 0
    for path in sorted((shared / "conformance/cases").glob("*/*.json")):
        case = json.loads(path.read_text("utf-8"))
        events = case["expect"].get("history") if case["kind"] == "history" else None
        if not events or not isinstance(case["definition"], dict) or any(isinstance(e["id"], list) for e in events):
            continue
        used = Meter(case["definition"], case["type"]).read([{**e, "timestamp": e["id"]} for e in events])
        kinds = [e["type"] for e in events]
        calls = sum(kind.startswith("LambdaFunctionS") and kind.endswith("Scheduled") for kind in kinds)
        invoked = sum(
            "taskScheduledEventDetails" in e and e["taskScheduledEventDetails"]["resourceType"] == "lambda"
            for e in events
        )
        assert used.transitions >= 1 + sum(kind.endswith("StateEntered") for kind in kinds), case["id"]
        assert used.quantities.get(("lambda.request", "each attempt that ran, failed ones too"), 0) <= calls + invoked
        billed += 1
    assert billed > 400


@pytest.fixture
def reproduce(capsys, monkeypatch, tmp_path):
    """Run tests/costs/run.py over a file, or over examples: (exit code, lines printed)."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    spec = importlib.util.spec_from_file_location("costs_run", Path(__file__).with_name("run.py"))
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)

    def ran(examples):
        path = examples
        if not isinstance(examples, Path):
            path = tmp_path / "examples.json"
            path.write_text(json.dumps({"examples": examples}))
        return run.main(path), capsys.readouterr().out.splitlines()

    return ran


def test_worked_bills_are_reproduced(shared, reproduce):
    code, said = reproduce(shared / "costs/pricing_examples.json")
    assert code == 0
    assert int(said[-1].split()[0]) >= 61
    assert ", 0 failed, " in said[-1]


STANDARD = {"service": "stepfunctions", "type": "STANDARD"}
EXPRESS = {"service": "stepfunctions", "type": "EXPRESS"}


@pytest.mark.parametrize(
    ("example", "inputs", "expected", "said"),
    [
        (STANDARD, {"items": 10**6, "batch_size": 1, "child_duration_s": 1}, {"total_usd": 27.04}, "1 passed"),
        (STANDARD, {"items": 10**6, "batch_size": 100, "transitions_per_child": 3}, {"total_usd": 1.0}, "1 passed"),
        (STANDARD, {"parent_transitions": 5, "batches": 100, "states_per_batch": 3}, {"transitions": 405}, "1 passed"),
        (EXPRESS, {"executions": 1000, "avg_duration_s": 11.3, "memory_mb": 64}, {"total_usd": 0.0128}, "1 passed"),
        (
            {"service": "lambda"},
            {"memory_mb": 1024, "invocations": 1_200_000, "duration_s": 1, "provisioned_concurrency": 1000}
            | {"provisioned_hours": 2},
            {"provisioned_usd": 30.0, "duration_usd": 11.67, "request_usd": 0.24},
            "1 passed",
        ),
        (
            {"service": "sns"},
            {"usage": {"monthly_requests": 10**6, "request_size_kb": 128}, "resource": {"fifo_topic": "true"}},
            {"total_usd": 2.48},
            "1 passed",
        ),
        (STANDARD, {"transitions": 1_000_000}, {"total_usd": 24}, "failed: x: total_usd: 25"),
        (
            STANDARD,
            {"transitions": 1, "surcharge": 3},
            {"total_usd": 1},
            "not covered: x: no rule for the inputs surcharge",
        ),
        (STANDARD, {"moons": 3}, {"total_usd": 1}, "not covered: x: how many transitions is not said: moons"),
        (STANDARD, {"transitions": 1}, {"mood": 1}, "not covered: x: nothing of what is expected is known here: mood"),
        (EXPRESS, {"executions": 1}, {"total_usd": 1}, "not covered: x: how long an execution takes"),
        ({**STANDARD, "region": "cn-north-1"}, {"transitions": 1}, {"total_usd": 1}, "not covered: x: no prices for"),
        ({"service": "neptune"}, {"usage": {}}, {"total_usd": 1}, "not covered: x: no prices for neptune"),
        ({"service": "sqs"}, {"requests": "many"}, {"total_usd": 1}, "not covered: x: requests is 'many', which is no"),
    ],
)
def test_variants_of_worked_bills_pass_fail_or_are_not_covered(reproduce, example, inputs, expected, said):
    code, lines = reproduce([{"id": "x", **example, "inputs": inputs, "expected": expected}])
    assert lines[0].startswith(said)
    assert code == said.startswith("failed")

"""Exercises of notebooks 06 to 13: failure, extensibility, scale, APIs, testing, debugging, going to AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sflab.asl.model import StatesError
from sflab.backends.execution import Execution
from sflab.backends.functions import mock
from sflab.backends.local import Local
from sflab.backends.mockconfig import mock_config
from sflab.backends.statemachine import StateMachine
from sflab.backends.statetest import StateTest
from sflab.costs.estimate import month
from sflab.workshop.check import Calls, Part, exercise, near, no, outcome, part, tried, yes
from sflab.workshop.patterns import patterns

if TYPE_CHECKING:
    from sflab.backends.rest import RestApi

# ── 06 failure ───────────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "06.1",
    wants="machine",
    task="A task that asks the function Book: tried again when it is Throttled, up to twice more, and not when it "
    "fails with anything else.",
    hint="One Retry with ErrorEquals Throttled and MaxAttempts 2 (it counts retries, not attempts).",
)
def _retry(machine: StateMachine) -> Iterator[Part]:
    for error, times, status, calls in (
        ("Throttled", 2, "SUCCEEDED", 3), ("Throttled", 9, "FAILED", 3), ("BadRequest", 1, "FAILED", 1),
    ):  # fmt: skip
        left = [error] * times

        def book(_: Any, left: list[str] = left) -> Any:
            if left:
                raise StatesError(left.pop(), "not now")
            return {"booked": True}

        run, asked = tried(machine, {"slot": 1}, Book=book)
        said = f"With {times} × {error} Book is asked {len(asked['Book'])} times and it ends {run.status}"
        right = (run.status, len(asked["Book"])) == (status, calls)
        yield part(right, f"{said}.", f"{said}; it should be asked {calls} times and end {status}.")


@exercise(
    "06.2",
    wants="machine",
    task="Reserve, then Charge; when Charge fails, Release is called and the execution fails.",
    hint="A Catch on Charge whose Next is the task Release, and after that a Fail state.",
)
def _compensate(machine: StateMachine) -> Iterator[Part]:
    def declined(_: Any) -> Any:
        raise StatesError("CardDeclined", "no funds")

    run, calls = tried(machine, {"order": 1}, Reserve={"ok": 1}, Charge={"ok": 2}, Release={"ok": 3})
    fine = run.status == "SUCCEEDED" and len(calls["Charge"]) == 1 and not calls["Release"]
    yield part(fine, "When all goes well nothing is released.", f"When all goes well it ended {outcome(run)}.")
    run, calls = tried(machine, {"order": 1}, Reserve={"ok": 1}, Charge=declined, Release={"ok": 3})
    undone = len(calls["Release"]) == 1
    yield part(
        undone,
        "When Charge fails, Release is called.",
        f"When Charge fails, Release is called {len(calls['Release'])} times.",
    )
    yield part(
        run.status == "FAILED", "And the execution fails.", f"The execution should fail; it ended {outcome(run)}."
    )
    run, calls = tried(machine, {"order": 1}, Reserve=declined, Charge={"ok": 2}, Release={"ok": 3})
    yield part(
        not calls["Release"], "What was not reserved is not released.", "Release is called though Reserve failed."
    )


@exercise(
    "06.3",
    wants="execution",
    task="Let an execution fail, mend what failed, redrive it until it succeeds, and hand it in.",
    hint="run.redrive(functions={…}) goes on from the failed state with functions that work.",
)
def _redriven(run: Execution) -> Iterator[Part]:
    failed = any(event["type"] in ("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted") for event in run.history)
    yield part(failed, "It failed at first.", "It never failed.")
    yield part(run.redrive_count, f"It was redriven {run.redrive_count} time(s).", "It was not redriven.")
    yield part(run.status == "SUCCEEDED", "It succeeded in the end.", f"It ended {outcome(run)}.")


# ── 07 extensibility ─────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "07.1",
    wants="machine",
    task='Ask the function Mail with a task token (in its event as "token") and wait for the answer; whoever answers '
    '{"approved": true} makes it the output. Nobody answers for three days: the output is {"approved": false}.',
    hint="lambda:invoke.waitForTaskToken with TimeoutSeconds, and a Catch of States.Timeout that goes to a Pass state.",
)
def _token(machine: StateMachine) -> Iterator[Part]:
    for answers, after, wanted in ((True, 3600.0, True), (True, 2 * 86_400.0, True), (False, 0.0, False)):
        local = Local()

        def mail(event: Any, *, local: Local = local, answers: bool = answers, after: float = after) -> Any:
            if answers:
                local.send_task_success(event["token"], {"approved": True}, after=after)
            return {"mailed": True}

        local.functions["Mail"] = mail
        run = local.start_execution(machine.as_standard(), {"expense": 120})
        when = f"answered after {after / 3600:g} h" if answers else "nobody answers"
        yield part(
            run.output == {"approved": wanted},
            f"{when.capitalize()}: {run.output}.",
            f"{when.capitalize()}: it should give {{'approved': {wanted}}}; it ended {outcome(run)}.",
        )
    days = run.seconds / 86_400
    yield part(2.5 < days < 3.5, f"It waits {days:.2g} days.", f"It waits {days:.2g} days for an answer, not three.")


@exercise(
    "07.2",
    wants="execution",
    task="Run a workflow that starts another with .sync:2 and has that one's output in its own, as JSON.",
    hint='"Output": "{% $states.result.Output %}" in JSONata; with .sync instead of .sync:2 it would be text.',
)
def _parent(run: Execution) -> Iterator[Part]:
    yield part(run.status == "SUCCEEDED", "It succeeded.", f"It ended {outcome(run)}.")
    yield part(run.nested, "It started another.", "Its tasks started no execution.")
    if run.nested:
        inner = [child.output for child in run.nested]
        found = any(output is not None and _inside(output, run.output) for output in inner)
        yield part(found, "The other's output is in its own.", f"None of {inner!r} is in its output {run.output!r}.")


def _inside(wanted: Any, value: Any) -> bool:
    if value == wanted:
        return True
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(_inside(wanted, each) for each in parts)


# ── 08 scale ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "08.1",
    wants="machine",
    task='A Distributed Map over the "numbers" of the input, in batches of ten, whose function Work is called once for '
    "each batch, by Express children.",
    hint='ItemBatcher: {"MaxItemsPerBatch": 10}, and ProcessorConfig with Mode DISTRIBUTED and ExecutionType EXPRESS.',
)
def _batches(machine: StateMachine) -> Iterator[Part]:
    run, calls = tried(machine, {"numbers": list(range(95))}, Work={"done": True})
    yield part(run.status == "SUCCEEDED", "It succeeds.", f"It ended {outcome(run)}.")
    yield part(run.map_runs, "It has a Map Run.", "It has no Map Run: the Map is inline.")
    if run.map_runs:
        kind = run.map_runs[0].executions[0].machine.type
        yield part(kind == "EXPRESS", "Its children are Express.", "Its children are Standard.")
    count = len(calls["Work"])
    yield part(
        count == 10, "95 items are ten calls.", f"95 items are {count} calls; in batches of ten it would be ten."
    )


@exercise(
    "08.2",
    wants="machine",
    task='A Distributed Map over the "numbers" of the input, each given to the function Work by itself, that takes it '
    "when up to one in ten fails, and not when more do.",
    hint="ToleratedFailurePercentage 10.",
)
def _tolerant(machine: StateMachine) -> Iterator[Part]:
    for failing, wanted in ((0, "SUCCEEDED"), (5, "SUCCEEDED"), (30, "FAILED")):
        asked: list[Any] = []

        def work(event: Any, failing: int = failing, asked: list[Any] = asked) -> Any:
            asked.append(event)
            if len(asked) <= failing:
                raise StatesError("BadItem", "unreadable")
            return event

        run, _ = tried(machine, {"numbers": list(range(100))}, Work=work)
        said = f"With {failing} of 100 failing it ends {run.status}"
        yield part(run.status == wanted and asked, f"{said}.", f"{said}, not {wanted} ({run.error}).")


@exercise(
    "08.3",
    wants="number",
    task="How many seconds pass at the least before the last of 10,000 Standard child executions has been started, "
    "when a Map Run starts a hundred at the beginning of each second?",
    hint="The first hundred start at second 0.",
)
def _dispatch(answer: float) -> Iterator[Part]:
    yield near(answer, 10_000 / 100 - 1, "seconds", percent=0.1)


# ── 09 REST ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "09.1",
    wants="api",
    task="An API for notes: PUT /notes/{id} answers 201, GET /notes/{id} answers 200 with the note's text, and 404 "
    'where there is none. A note is {"text": …}.',
    hint='sf.patterns["M1"].machine does the work; sf.Route(machine, request=…, status="$.status") maps the rest.',
)
def _notes(api: RestApi) -> Iterator[Part]:
    path = f"/notes/exercise-09-1-{len(api.local.executions)}"  # a new one each time: the table keeps what was put
    asked = (
        ("GET", "", 404, "What is not there is 404."),
        ("PUT", '{"text": "buy O\'Brien\'s lamps"}', 201, "A note that is put is 201."),
        ("GET", "", 200, "What is there is 200."),
    )
    for method, body, wanted, right in asked:
        reply = api.test_invoke(method, path, body)
        why = f" ({reply.why})" if reply.why else ""
        wrong = f"{method} answers {reply.status}, not {wanted}: {reply.body[:200]}{why}"
        yield part(reply.status == wanted, right, wrong)
    yield part("O'Brien's lamps" in reply.body, "Its text comes back.", f"Its text is not in {reply.body[:200]!r}.")


@exercise(
    "09.2",
    wants="choices",
    task="An OpenAPI document that would deploy at least two routes to StartSyncExecution.",
    hint="api.openapi() writes it.",
)
def _document(answer: Mapping[str, Any]) -> Iterator[Part]:
    yield part(str(answer.get("openapi", "")).startswith("3."), "It is OpenAPI 3.", "It does not say openapi: 3.…")
    operations = [each for path in dict(answer.get("paths") or {}).values() for each in path.values()]
    made = [each.get("x-amazon-apigateway-integration", {}) for each in operations if isinstance(each, Mapping)]
    sync = [each for each in made if "StartSyncExecution" in f"{each.get('uri')}{each.get('integrationSubtype')}"]
    yield part(
        len(sync) >= 2,
        f"{len(sync)} routes start an execution.",
        f"{len(sync)} routes start an execution; two are asked for.",
    )
    yield part(all(each.get("credentials") for each in sync), "Each has a role.", "A route has no role (credentials).")


# ── 10 HTTP tasks ────────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "10.1",
    wants="machine",
    task="A task that calls an API with http:invoke, tries again when it is told to slow down (429), and gives "
    '{"found": false} when there is no such thing (404).',
    hint="The errors are States.Http.StatusCode.429 and …404: one in Retry, the other in Catch.",
)
def _http(machine: StateMachine) -> Iterator[Part]:
    answer = {"StatusCode": 200, "StatusText": "OK", "Headers": {}, "ResponseBody": {"rate": 11.7}}
    slow = mock(answer, fail_first=1, error="States.Http.StatusCode.429", cause="slow down")
    run = Local(tasks={"http:invoke": slow}).start_execution(machine.as_standard(), {"id": 1})
    calls = sum(e["type"] == "TaskScheduled" and "http" in str(e) for e in run.history)
    yield part(calls, "It calls an API.", "It has no http:invoke task that is reached.")
    yield part(
        run.status == "SUCCEEDED" and calls > 1, "It tries again after 429.", f"After 429 it ended {outcome(run)}."
    )
    missing = mock(error="States.Http.StatusCode.404", cause="no such thing")
    run = Local(tasks={"http:invoke": missing}).start_execution(machine.as_standard(), {"id": 1})
    yield part(run.output == {"found": False}, "It knows what 404 means.", f"After 404 it ended {outcome(run)}.")
    broken = mock(error="States.Http.StatusCode.500", cause="a fault")
    run = Local(tasks={"http:invoke": broken}).start_execution(machine.as_standard(), {"id": 1})
    yield part(
        run.status == "FAILED", "Another error is not hidden.", f"After 500 it should fail; it ended {outcome(run)}."
    )


@exercise(
    "10.2",
    wants="text",
    task="What is the error called that an HTTP task fails with when the API answers 503?",
    hint="States.Http., then what the number is, then the number.",
)
def _error(answer: str) -> Iterator[Part]:
    wrong = f"{answer!r} would not match it."
    yield part(answer.strip() == "States.Http.StatusCode.503", "So it is called.", wrong)


# ── 11 testing ───────────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "11.1",
    wants="test",
    task="Test one state with a mocked error that it catches, and hand in the test.",
    hint='machine.test_state("Charge", {…}, mock=sf.mock(error="CardDeclined")), of a state that catches it.',
)
def _caught(test: StateTest) -> Iterator[Part]:
    wrong = f"The test came out {test.status}" + (f" ({test.error})." if test.error else ".")
    yield part(test.status == "CAUGHT_ERROR", f"{test.error} was caught.", wrong)
    if test.status == "CAUGHT_ERROR":
        yield yes(f"It would go on at {test.next_state}.")


@exercise(
    "11.2",
    wants="choices",
    task='A mock configuration with a test case BusyTwice for the machine of sf.patterns["X2"]: Reserve answers, '
    "Charge is refused twice with CardNetworkBusy and then answers.",
    hint='The pattern\'s file is beside its definition; {"0-1": {"Throw": …}, "2": {"Return": …}} is three attempts.',
)
def _mocks(answer: Mapping[str, Any]) -> Iterator[Part]:
    tasks = mock_config(answer, "x2-mocked-integrations", "BusyTwice")
    run = Local(tasks=tasks).start_execution(patterns["X2"].machine, {"orderId": "42"})
    yield part(run.status == "SUCCEEDED", "It succeeds.", f"It ended {outcome(run)}.")
    failed = [e["taskFailedEventDetails"]["error"] for e in run.history if e["type"] == "TaskFailed"]
    right = failed == ["CardNetworkBusy"] * 2
    yield part(right, "Charge is refused twice.", f"Refused with: {', '.join(map(str, failed)) or 'nothing'}.")


# ── 12 debugging ─────────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "12.1",
    wants="number",
    task='run = sf.patterns["X3"].alternative.run() fails. What is the id of the first event that says so?',
    hint="run.history.df has a row for each event; look for the first type that ends in Failed.",
)
def _first(answer: float) -> Iterator[Part]:
    run = patterns["X3"].alternative.run()
    first = next(event for event in run.history if event["type"].endswith("Failed"))
    if answer == run.history[-1]["id"] != first["id"]:
        yield no(f"{answer:g} is where the execution failed; what failed it stands before.")
        return
    fits = f"{answer:g} it is: {first['type']}."
    yield part(answer == first["id"], fits, f"Event {answer:g} is not the first that says it.")


@exercise(
    "12.2",
    wants="machine",
    task='Mend the machine of sf.patterns["X3"].alternative: it is to confirm the id that Reserve gave.',
    hint="validate() names a variable that no state assigns.",
)
def _mended(machine: StateMachine) -> Iterator[Part]:
    found = [each for each in machine.validate() if each.severity == "WARNING"]
    said = "; ".join(f"{each.location}: {each.message}" for each in found)  # without the place of a file
    yield part(not found, "Validation finds nothing.", f"Validation finds: {said}")
    for reservation in ("R-1", "R-2"):
        run, calls = tried(machine, {"orderId": "42"}, Reserve={"id": reservation}, Charge={"receipt": "C-1"})
        if run.output != {"confirmed": reservation} or not calls["Charge"]:
            yield no(f"It should confirm {reservation} after Charge; it ended {outcome(run)}.")
            return
    yield yes("It confirms what was reserved.")


@exercise(
    "12.3",
    wants="machine",
    task="Mend data/machines/order-fulfilment.asl.json: a booking that the carrier refuses as the incident shows is "
    "tried again; what fails for good is refunded and released, and the execution says what began it.",
    hint="Two fields of ShipParcels: ErrorEquals in BookCarrier's Retry takes the name as the history has it, and a "
    "Catch with ResultPath keeps the order beside the error.",
)
def _order(machine: StateMachine) -> Iterator[Part]:
    def night(refusals: int, error: str) -> tuple[Execution, Calls]:
        left, calls = [error] * refusals, Calls()

        def book(_: Any) -> Any:
            if left:
                raise StatesError(left.pop(), "not now")
            return {"consignment": "PT1"}

        works: dict[str, Any] = {
            "stock-reserve": {"reservationId": "res-7"},
            "payments-charge": {"chargeId": "ch-7", "amount": 12.5},
            "shipping-book-carrier": book,
            "shipping-print-label": {"label": "1.pdf"},
            "mail-send-confirmation": {"sent": True},
            "payments-refund": {"refunded": True},
            "stock-release": {"released": True},
        }
        basket = {"customer": {"cardToken": "tok", "address": {}}, "amount": 12.5, "parcels": [{"parcel": "P-1"}]}
        item = {"orderId": {"S": "7"}, "status": {"S": "OPEN"}, "basket": {"S": json.dumps(basket)}}
        functions = {name: calls.function(name, work) for name, work in works.items()}
        local = Local(functions, {"dynamodb:getItem": mock({"Item": item})})
        return local.start_execution(machine.as_standard(), {"orderId": "7"}), calls

    run, calls = night(2, "RateLimitExceeded")
    tries = len(calls["shipping-book-carrier"])
    yield part(
        run.status == "SUCCEEDED" and tries == 3 and calls["mail-send-confirmation"],
        "A carrier that is busy twice is asked three times, and the order is confirmed.",
        f"Where the carrier is busy twice, it is asked {tries} time(s) and the order ended {outcome(run)}.",
    )
    run, calls = night(99, "ParcelTooHeavy")
    refunded = calls["payments-refund"] == [{"chargeId": "ch-7", "amount": 12.5}]
    yield part(refunded, "What cannot be shipped is refunded.", "What cannot be shipped is not refunded as charged.")
    released = calls["stock-release"] == [{"reservationId": "res-7"}]
    yield part(released, "Its stock is released.", "Its stock is not released.")
    yield part(
        (run.status, run.error) == ("FAILED", "ParcelTooHeavy"),
        "The execution fails with what began it.",
        f"It should fail with ParcelTooHeavy; it ended {outcome(run)}.",
    )


# ── 13 going to AWS ──────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "13.1",
    wants="text",
    task="The text of a definition that can go to any account: its functions and tables are ${Tokens}, and no "
    "account's number is in it.",
    hint='"FunctionName": "${ChargeFunction}"; sf.StateMachine.load(text, substitutions={…}) fills them in.',
)
def _tokens(answer: str) -> Iterator[Part]:
    machine = StateMachine.load(answer)
    text = json.dumps(machine.definition.raw)
    tokens = sorted(set(re.findall(r"\$\{([^}]+)\}", text)))
    yield part(tokens, f"Its tokens are {', '.join(tokens)}.", "It has no ${Token}.")
    numbers = re.findall(r"(?<!\d)\d{12}(?!\d)", text)
    yield part(not numbers, "No account is named in it.", f"The account {', '.join(numbers)} is named in it.")
    filled = StateMachine.load(answer, substitutions=dict.fromkeys(tokens, "filled-in"))
    errors = [each for each in filled.validate() if each.severity == "ERROR"]
    yield part(not errors, "Filled in, it validates.", f"Filled in, it has errors: {'; '.join(map(str, errors))}")


@exercise(
    "13.2",
    wants="number",
    task='What does a month of 100,000 runs of sf.patterns["T1"].alternative cost, in dollars, with the free tier?',
    hint="sflab.costs.estimate.month(run.cost(), 100_000, free_tier=True); run it with .run().",
)
def _month(answer: float) -> Iterator[Part]:
    bill = patterns["T1"].alternative.run().cost()
    without = month(bill, 100_000).usd
    if abs(answer - without) < 0.01 * without:
        yield no(f"{answer:g} dollars is without the free tier.")
        return
    yield near(answer, month(bill, 100_000, free_tier=True).usd, "dollars")

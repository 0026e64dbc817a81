"""Exercises of notebooks 01 to 05: states and data, types, costs, expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sflab.backends.execution import Execution
from sflab.backends.statemachine import StateMachine
from sflab.costs.prices import load
from sflab.workshop.check import Part, exercise, gives, kinds, near, no, outcome, part, says, tried, uses, yes
from sflab.workshop.patterns import patterns

# ── 01 states and data flow ──────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "01.1",
    wants="machine",
    task='Write a machine that makes {"sum": 5} of {"a": 2, "b": 3}, for any two numbers, without a Lambda function.',
    hint="A Pass state can do it: in JSONata by its Output, of $states.input; in JSONPath by States.MathAdd.",
)
def _sum(machine: StateMachine) -> Iterator[Part]:
    yield part("Task" not in kinds(machine), "It calls nobody.", "It has a Task state: no function is needed.")
    pairs = ((2, 3), (10, -4), (0, 0))
    yield from gives(machine, *(({"a": a, "b": b}, {"sum": a + b}) for a, b in pairs))


@exercise(
    "01.2",
    wants="machine",
    task="Write a machine with one Task that asks the function Price and puts its answer beside the order: of "
    '{"orderId": 1} it makes {"orderId": 1, "price": <what Price answered>}.',
    hint="In JSONPath: a ResultSelector that takes Payload out of the answer, and ResultPath $.price. "
    "In JSONata: Output with $merge, of $states.input and $states.result.Payload.",
)
def _beside(machine: StateMachine) -> Iterator[Part]:
    for order, price in (({"orderId": 1}, {"total": 9}), ({"orderId": 2, "for": "Ada"}, {"total": 4, "vat": 1})):
        run, calls = tried(machine, order, Price=price)
        if not calls["Price"]:
            yield no(f"The function Price was not called; it ended {outcome(run)}.")
            return
        if run.output != {**order, "price": price}:
            wanted = {**order, "price": price}
            yield no(f"Of {order!r} it should make {wanted!r}; it ended {outcome(run)}.")
            return
    yield yes("The price stands beside the order, whatever else is in it.")


@exercise(
    "01.3",
    wants="text",
    task="Which field of a JSONPath state says where in its input its result is put?",
    hint="It is the one that, being null, throws the result away.",
)
def _field(answer: str) -> Iterator[Part]:
    if says(answer, "OutputPath", "ResultSelector"):
        yield no(f"{answer} chooses what of the data is kept, not where the result is put.")
        return
    yield part(says(answer, "ResultPath"), "ResultPath it is.", f"{answer!r} is not the one.")


# ── 02 with and without Step Functions ───────────────────────────────────────────────────────────────────────────────


@exercise(
    "02.1",
    wants="machine",
    task="Make a workflow of one Lambda that did three things: the functions Validate, Charge and Mail, in this order, "
    "each given what the one before it made; Charge is tried up to three times when it fails with CardNetworkBusy.",
    hint="Three Task states, and a Retry on the second: ErrorEquals CardNetworkBusy, MaxAttempts 2 or more.",
)
def _three(machine: StateMachine) -> Iterator[Part]:
    class CardNetworkBusy(Exception):  # noqa: N818 - the error's name on AWS
        pass

    order: list[str] = []

    def step(name: str, fail: int = 0) -> Any:
        def work(event: Any) -> Any:
            order.append(name)
            if order.count(name) <= fail:
                raise CardNetworkBusy("busy")
            return {"after": name, "was": event.get("after") if isinstance(event, Mapping) else None}

        return work

    run, calls = tried(machine, {"id": 1}, Validate=step("Validate"), Charge=step("Charge", 2), Mail=step("Mail"))
    yield part(run.status == "SUCCEEDED", "It succeeds, though Charge fails twice.", f"It ended {outcome(run)}.")
    wanted = ["Validate", "Charge", "Charge", "Charge", "Mail"]
    yield part(order == wanted, "Each is called in turn, and only Charge again.", f"Called were {', '.join(order)}.")
    handed = [
        event.get("after") for name in ("Charge", "Mail") for event in calls[name][-1:] if isinstance(event, dict)
    ]
    yield part(
        handed == ["Validate", "Charge"],
        "Each is given what the one before it made.",
        "What one made is not handed on.",
    )


@exercise(
    "02.2",
    wants="number",
    task='How many transitions does one run of sf.patterns["T1"].alternative bill, one for its start and end included?',
    hint="Every state that is entered is a transition; .run().cost() lists what was counted.",
)
def _transitions(answer: float) -> Iterator[Part]:
    yield near(answer, patterns["T1"].alternative.usage()[0].transitions, "transitions", percent=0.01)


# ── 03 Standard and Express ──────────────────────────────────────────────────────────────────────────────────────────

_TYPES = {"approval": "STANDARD", "sensors": "EXPRESS", "job": "STANDARD", "quote": "EXPRESS"}


@exercise(
    "03.1",
    wants="choices",
    task='Which type for each? A dict with STANDARD or EXPRESS for "approval" (a manager answers within a week), '
    '"sensors" (10,000 readings a second, each claimed once in a table), "job" (a Glue job run with .sync) and "quote" '
    "(a price, while the customer waits).",
    hint="Two of them need what only Standard has: more than five minutes, .waitForTaskToken, .sync.",
)
def _types(answer: Mapping[str, Any]) -> Iterator[Part]:
    why = {
        "approval": "a week is more than five minutes, and only Standard has callbacks",
        "sensors": "Standard would pay a transition for each state of each reading",
        "job": "only Standard has .sync",
        "quote": "only Express can be started synchronously",
    }
    for name, wanted in _TYPES.items():
        if name not in answer:
            yield no(f"{name!r} is missing.")
        else:
            right = says(str(answer[name]), wanted)
            yield part(right, f"{name}: {wanted}, for {why[name]}.", f"{name}: not {answer[name]}; think again.")


@exercise(
    "03.2",
    wants="machine",
    task='Make an Express machine of sf.patterns["T4"].alternative: CollectFigures, RenderReport and SendReport, '
    "one after the other, without what Express does not have.",
    hint="validate() of the machine as EXPRESS names the state. What it waits for can be called: the function "
    "RenderReport does the work.",
)
def _express(machine: StateMachine) -> Iterator[Part]:
    wrong = 'It is a Standard machine: sf.StateMachine.load(…, type="EXPRESS"), or machine.as_express().'
    yield part(machine.type == "EXPRESS", "It is an Express machine.", wrong)
    order: list[str] = []
    names = ("CollectFigures", "RenderReport", "SendReport")

    def step(name: str) -> Any:
        return lambda _: order.append(name) or {"done": name}  # type: ignore[func-returns-value]

    run, _ = tried(machine, {"week": 47}, **{name: step(name) for name in names})
    yield part(run.status == "SUCCEEDED", "It succeeds.", f"It ended {outcome(run)}.")
    yield part(order == [*names], "All three are called, in order.", f"Called were {', '.join(order) or 'none'}.")


@exercise(
    "03.3",
    wants="number",
    task="A workflow of three transitions (the start and end counted) needs 64 MB as Express. Up to how many seconds a "
    "run is Express the cheaper, at list prices of us-east-1?",
    hint="Three transitions cost as much as one request and so many GB-seconds; 64 MB is 1/16 GB.",
)
def _break_even(answer: float) -> Iterator[Part]:
    prices = {price.item: float(price.usd) for price in load()}
    left = 3 * prices["stepfunctions.transition"] - prices["stepfunctions.express-request"]
    yield near(answer, left / (prices["stepfunctions.express-gb-second"] / 16), "seconds", percent=2)


# ── 04 cost ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@exercise(
    "04.1",
    wants="machine",
    task='Do what sf.patterns["C3"].alternative does (the same calls of Charge for the same input) in at most three '
    "transitions, the start and end counted.",
    hint="Two tasks, GetCustomer and Charge. Sums are JSONata: $sum($states.input.lines.(price * count)).",
)
def _fewer(machine: StateMachine) -> Iterator[Part]:
    given = patterns["C3"].input
    for regular, amount in ((True, 37.8), (False, 42)):
        customer = {"card": "4242", "regular": regular}
        run, calls = tried(machine, given, GetCustomer=customer, Charge={"receipt": "C-1"}, Total={"total": amount})
        wanted = {"card": "4242", "amount": amount}
        charged = calls["Charge"]
        fits = len(charged) == 1 and isinstance(charged[0], dict) and charged[0].get("card") == "4242"
        fits = fits and abs(float(charged[0].get("amount", 0)) - amount) < 0.005
        if not fits:
            told = f"with {charged[0]!r}" if charged else "not at all"
            yield no(f"Charge should be called with {wanted!r}; it was {told}. It ended {outcome(run)}.")
            return
    yield yes("Charge is called with the right card and amount, discount and all.")
    count = len(run.visits) + 1
    yield part(count <= 3, f"That is {count} transitions.", f"That is {count} transitions; three will do.")


@exercise(
    "04.2",
    wants="number",
    task='sf.patterns["C2"]: how many dollars of Standard transitions do a million runs save by a callback instead of '
    "polling every minute?",
    hint=".compare(1) tells the transitions of each design; data/prices what a transition costs.",
)
def _callback(answer: float) -> Iterator[Part]:
    ours, other = (design.usage()[0].transitions for design in (patterns["C2"], patterns["C2"].alternative))
    price = next(float(each.usd) for each in load() if each.item == "stepfunctions.transition")
    yield near(answer, (other - ours) * price * 1_000_000, "dollars")


@exercise(
    "04.3",
    wants="execution",
    task="Run a Standard workflow that has at least three steps done by an Express child, and hand in its execution.",
    hint="arn:aws:states:::aws-sdk:sfn:startSyncExecution, and sf.Local(machines=[child]): see pattern C1.",
)
def _nested(run: Execution) -> Iterator[Part]:
    yield part(run.status == "SUCCEEDED", "It succeeded.", f"It ended {outcome(run)}.")
    yield part(run.machine.type == "STANDARD", "The parent is Standard.", "The parent is Express: its child is to be.")
    express = [child for child in run.nested if child.machine.type == "EXPRESS"]
    yield part(express, "It has an Express child.", "No Express execution was started by its tasks.")
    if express:
        steps = max(len(child.visits) for child in express)
        yield part(steps >= 3, f"The child takes {steps} steps.", f"The child takes {steps} steps; give it three.")


# ── 05 intrinsics, JSONata, variables ────────────────────────────────────────────────────────────────────────────────


@exercise(
    "05.1",
    wants="machine",
    task='Of {"name": "Ada", "tags": ["a", "b"]} make {"greeting": "Hello, Ada", "count": 2}, without a function.',
    hint="States.Format and States.ArrayLength in a Pass state's Parameters; or JSONata's & and $count.",
)
def _greeting(machine: StateMachine) -> Iterator[Part]:
    yield part("Task" not in kinds(machine), "It calls nobody.", "It has a Task state: no function is needed.")
    people: tuple[tuple[str, list[Any]], ...] = (("Ada", ["a", "b"]), ("Linus", ["x"]), ("Grace", []))
    yield from gives(
        machine, *(({"name": n, "tags": t}, {"greeting": f"Hello, {n}", "count": len(t)}) for n, t in people)
    )


@exercise(
    "05.2",
    wants="machine",
    task="GetCustomer, then Pay, which is to be given the amount of the input and nothing else; the machine gives "
    '{"customer": <what GetCustomer answered>, "receipt": <what Pay answered>}. Keep the customer in a variable.',
    hint='Assign: {"customer": "{% $states.result.Payload %}"} in the first task, $customer in Output of the second.',
)
def _variable(machine: StateMachine) -> Iterator[Part]:
    customer, receipt = {"name": "Ada", "city": "London"}, {"receipt": "C-9"}
    run, calls = tried(machine, {"id": "A-1", "amount": 20}, GetCustomer=customer, Pay=receipt)
    yield part(uses(machine, "Assign"), "It has a variable.", "No state assigns a variable.")
    wanted = {"customer": customer, "receipt": receipt}
    yield part(run.output == wanted, "It gives both answers.", f"It should give {wanted!r}; it ended {outcome(run)}.")
    yield part(
        calls["Pay"] == [{"amount": 20}], "Pay is given the amount alone.", f"Pay was called with {calls['Pay']!r}."
    )

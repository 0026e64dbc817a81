"""Stages of the patterns about types, costs, extensibility, simplicity and testing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sflab.asl.model import JSON
from sflab.backends.functions import mock
from sflab.backends.local import Local, LocalExecution
from sflab.backends.mockconfig import mock_config
from sflab.backends.statemachine import StateMachine
from sflab.costs.prices import data_directory
from sflab.errors import DefinitionError
from sflab.workshop.stage import Stage, again, bucket, queue, table, void


def rates() -> Stage:
    """T2: a table of rates to read, and one where answers can be left."""

    def prepare(local: Local) -> None:
        table(local, "rates", {"id": "NO", "rate": 7}, {"id": "SE", "rate": 6})
        table(local, "answers")

    return Stage(prepare=prepare)


def delivered_twice() -> Stage:
    """T3: the stream delivers the same event twice."""

    def prepare(local: Local) -> None:
        table(local, "claims")
        table(local, "counters")

    return Stage(prepare=prepare, act=again)


def started_twice_by_name() -> Stage:
    """T3: the event's id is the execution's name, and the second start of a name is refused."""

    def act(local: Local, machine: StateMachine, input: Any) -> LocalExecution:
        run = local.start_execution(machine, input, name=input["eventId"])
        try:
            local.start_execution(machine, input, name=input["eventId"])
        except DefinitionError:  # ExecutionAlreadyExists: what is wanted
            return run
        raise AssertionError("a Standard machine's name was used twice")

    return Stage(prepare=lambda local: void(table(local, "counters")), act=act)


def job_of_ten_minutes() -> Stage:
    """C2: the job is done when it is asked about for the tenth time."""

    def ask_status(event: Any) -> JSON:
        return {"state": "DONE" if event["asked"] >= 10 else "RUNNING", "job": "J-1"}

    return Stage(functions={"AskStatus": ask_status})


def sum_of_lines() -> Stage:
    """C3: a function for what is an expression in the other design."""

    def total(event: Any) -> JSON:
        amount = sum(line["price"] * line["count"] for line in event["lines"])
        return {"total": amount * 0.9 if event["customer"]["regular"] else amount}

    return Stage(functions={"Total": total})


def orders_table() -> Stage:
    """C4: a table, and a function that writes to it as people write such functions."""
    stage = Stage()

    def prepare(local: Local) -> None:
        orders = table(local, "orders")

        def save_order(event: Any) -> JSON:
            orders.put_item(Item={"id": event["orderId"], "total": str(event["total"])})
            return {"saved": True}

        local.functions.setdefault("SaveOrder", save_order)

    stage.prepare = prepare
    return stage


def parking_queue() -> Stage:
    """C5: the queue where work waits until the partner is back."""
    return Stage(prepare=lambda local: void(queue(local, "later")))


def rule_on_failure() -> Stage:
    """E2: the import fails; a rule on its status event starts the clean-up with that event."""

    def act(local: Local, machine: StateMachine, input: JSON) -> LocalExecution:
        failing = local.start_execution(local.machines["e2-react-to-status-import"], input)
        (event,) = [one for one in failing.status_changes() if one["detail"]["status"] == "FAILED"]
        return local.start_execution(machine, event)

    return Stage(act=act)


def watcher() -> Stage:
    """E2: the import runs for a hundred seconds; a second workflow asks how it stands."""
    asked = []

    def describe(_: JSON) -> JSON:
        asked.append(1)
        return {"Status": "RUNNING" if len(asked) * 30 < 100 else "FAILED"}

    def act(local: Local, machine: StateMachine, input: JSON) -> LocalExecution:
        failing = local.start_execution(local.machines["e2-react-to-status-import"], input)
        return local.start_execution(machine, {"watched": failing.arn})

    return Stage(tasks={"AskStatus": describe}, act=act)


def manager_with_a_token() -> Stage:
    """E4: the manager reads the mail and answers with its token three hours later."""

    def prepare(local: Local) -> None:
        def mail_manager(event: Any) -> JSON:
            local.send_task_success(event["token"], {"approved": True, "by": "the manager"}, after=3 * 3600)
            return {"mailed": True}

        local.functions.setdefault("MailManager", mail_manager)

    return Stage(prepare=prepare)


def manager_in_a_table() -> Stage:
    """E4: the manager's answer is there when it is looked for three hours later."""

    def look_for_answer(event: Any) -> JSON:
        return {"answer": "yes" if event["asked"] * 600 >= 3 * 3600 else None}

    return Stage(functions={"MailManager": mock({"mailed": True}), "LookForAnswer": look_for_answer})


def customers() -> Stage:
    """E6: what is known of a customer."""
    return Stage(functions={"LookUpCustomer": lambda event: {**event, "segment": "regular"}})


def one_execution_an_event() -> Stage:
    """E6: each event of the batch starts an execution."""

    def act(local: Local, machine: StateMachine, input: Any) -> LocalExecution:
        return [local.start_execution(machine, event) for event in input][-1]

    stage = customers()
    stage.act = act
    return stage


def stock_elsewhere() -> Stage:
    """E7: the other account's table; here every account is the same one."""

    def prepare(local: Local) -> None:
        stock = table(local, "stock", {"id": "lamp", "left": 7})

        def read_stock(event: Any) -> JSON:
            return {"left": int(stock.get_item(Key={"id": event["sku"]})["Item"]["left"])}

        local.functions.setdefault("ReadStock", read_stock)

    return Stage(prepare=prepare)


def notes() -> Stage:
    """M1: the table of notes."""
    return Stage(prepare=lambda local: void(table(local, "notes")))


def glue_job() -> Stage:
    """M5: a job of ten minutes: asked each minute, it has ended at the tenth time."""
    asked = []

    def get_job_run(_: JSON) -> JSON:
        asked.append(1)
        return {"JobRun": {"JobRunState": "SUCCEEDED" if len(asked) >= 10 else "RUNNING"}}

    return Stage(tasks={"StartJob": mock({"JobRunId": "jr_1"}), "AskJob": get_job_run})


def two_stacks() -> Stage:
    """M6: the tables of two stacks."""

    def prepare(local: Local) -> None:
        table(local, "orders-dev")
        table(local, "orders-prod")

    return Stage(prepare=prepare)


def test_case() -> Stage:
    """X2: how each call answers, as the file's test case BusyOnce has it."""
    path = data_directory("machines") / "patterns" / "x2-mocked-integrations.mocks.json"
    return Stage(tasks=dict(mock_config(path, "x2-mocked-integrations", "BusyOnce")))


def large_document() -> Stage:
    """S10: a document of 300 KiB, whole, or put into S3 and named by its key."""

    def prepare(local: Local) -> None:
        s3 = bucket(local, "lab", {})

        def render_to_s3(event: Any) -> JSON:
            s3.put_object(Bucket="lab", Key=f"{event['invoice']}.txt", Body=b"x" * 300 * 1024)
            return {"key": f"{event['invoice']}.txt"}

        def send_from_s3(event: Any) -> JSON:
            return {"sent": s3.head_object(Bucket="lab", Key=event["key"])["ContentLength"]}

        local.functions.setdefault("RenderToS3", render_to_s3)
        local.functions.setdefault("SendFromS3", send_from_s3)

    return Stage(functions={"Render": lambda event: {**event, "text": "x" * 300 * 1024}}, prepare=prepare)


#: (pattern, side) -> what makes its stage; ``both`` where the designs need the same.
STAGES: dict[tuple[str, str], Callable[[], Stage]] = {
    ("T2", "both"): rates,
    ("T3", "with"): delivered_twice,
    ("T3", "without"): started_twice_by_name,
    ("C2", "without"): job_of_ten_minutes,
    ("C3", "without"): sum_of_lines,
    ("C4", "both"): orders_table,
    ("C5", "with"): parking_queue,
    ("E2", "with"): rule_on_failure,
    ("E2", "without"): watcher,
    ("E4", "with"): manager_with_a_token,
    ("E4", "without"): manager_in_a_table,
    ("E6", "with"): customers,
    ("E6", "without"): one_execution_an_event,
    ("E7", "both"): stock_elsewhere,
    ("M1", "both"): notes,
    ("M5", "without"): glue_job,
    ("M6", "both"): two_stacks,
    ("X2", "with"): test_case,
    ("S10", "both"): large_document,
}

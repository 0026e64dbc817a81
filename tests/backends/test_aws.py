"""sf.AWS with real boto3 over real HTTP: against moto's server, and against a scripted one for what moto cannot do."""

import collections
import json
import socket
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import sflab as sf
from sflab.backends.aws import AWSExecution
from sflab.views.graph import svg

ROLE = "arn:aws:iam::123456789012:role/states"
HOME = "arn:aws:states:us-east-1:123456789012"

PATHS = {
    "StartAt": "Look",
    "States": {
        "Look": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericGreaterThan": 10, "Next": "Refuse"}],
            "Default": "Each",
        },
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Keep",
                "States": {"Keep": {"Type": "Pass", "End": True}},
            },
            "ResultPath": "$.kept",
            "Next": "Pause",
        },
        "Pause": {"Type": "Wait", "Seconds": 1, "End": True},
        "Refuse": {"Type": "Fail", "Error": "TooMany", "Cause": "n is above 10"},
    },
}


def pass_machine(name="one", result="done", **given):
    return sf.StateMachine.load(
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": {"said": result}, "End": True}}}, name=name, **given
    )


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    connect = socket.socket.connect

    def guarded(self, address):
        assert address[0] in ("127.0.0.1", "::1", "localhost"), f"a request beyond loopback: {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


# ── moto's server ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def aws(moto):
    return sf.AWS(role_arn=ROLE, endpoint_url=moto)


def test_an_execution_is_the_same_object_as_a_local_one(aws):
    machine = sf.StateMachine.load(PATHS, name="paths")
    run = aws.start_execution(machine, {"n": 3, "items": [1, 2]})
    assert run.arn.startswith(f"{HOME}:execution:paths:sflab-")
    assert run.status == "RUNNING"
    assert run.output is None
    assert 1 <= len(run.history) < 20  # so far

    assert run.wait(30) is run
    local = sf.Local().start_execution(machine, {"n": 3, "items": [1, 2]})
    assert (run.status, run.output, run.input) == ("SUCCEEDED", local.output, {"n": 3, "items": [1, 2]})
    assert run.result() == local.result()
    assert [e["id"] for e in run.history] == list(range(1, len(run.history) + 1))
    assert run.history[-1]["type"] == "ExecutionSucceeded"
    assert all(e["timestamp"].utcoffset().total_seconds() == 0 for e in run.history)
    # moto's threads begin Map iterations in any order; what happened is the same.
    assert sorted(e["type"] for e in run.history) == sorted(e["type"] for e in local.history)
    assert {(v.state, v.status, v.pointer) for v in run.visits} == {
        (v.state, v.status, v.pointer) for v in local.visits
    }
    assert 0.9 < run.seconds < 10
    assert repr(run) == f"Execution(paths/{run.name} SUCCEEDED, {len(run.history)} events)"


def test_the_views_take_it(aws):
    run = aws.start_execution(sf.StateMachine.load(PATHS, name="views"), {"n": 3, "items": [1]}).wait(30)
    assert len(run.history.df) == len(run.history)
    assert list(run.visits.df["state"]) == ["Look", "Each", "Keep", "Pause"]
    drawn = svg(run.machine.definition, run.history)
    assert drawn != svg(run.machine.definition)
    assert run._repr_mimebundle_()["image/svg+xml"].startswith("<svg")
    assert run.cost().usd > 0


def test_history_saved_from_aws_reads_back(aws, tmp_path):
    run = aws.start_execution(pass_machine("saved")).wait(30)
    run.history.save(tmp_path / "h.json")
    assert sf.History.load(tmp_path / "h.json").events == run.history.events


def test_a_failed_execution_is_data(aws):
    run = aws.start_execution(sf.StateMachine.load(PATHS, name="failing"), {"n": 11}).wait(30)
    assert (run.status, run.error, run.cause, run.output) == ("FAILED", "TooMany", "n is above 10", None)
    assert run.visits[-1].status == "FAILED"
    with pytest.raises(sf.ExecutionFailed) as caught:
        run.result()
    assert caught.value.history.events == run.history.events


def test_stop(aws):
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    run = aws.start_execution(sf.StateMachine.load(wait, name="long"))
    assert run.wait(0.3).status == "RUNNING"
    run.stop("Enough", "of it")
    assert run.wait(30).status == "ABORTED"
    assert run.history[-1]["type"] == "ExecutionAborted"
    run.stop()  # nothing happens to one that has ended


def test_create_updates_only_what_differs(aws, moto):
    machine = pass_machine("twice")
    arn = aws.create(machine)
    assert arn == f"{HOME}:stateMachine:twice"
    when = aws.call("describe_state_machine", stateMachineArn=arn)
    assert aws.create(machine) == arn
    assert aws.call("describe_state_machine", stateMachineArn=arn)["definition"] == when["definition"]
    changed = pass_machine("twice", "changed")
    assert aws.start_execution(changed).wait(30).output == {"said": "changed"}
    # Without a role the machine is looked for by its name, and a new one can't be made.
    plain = sf.AWS(endpoint_url=moto)
    assert plain.start_execution(machine).wait(30).output == {"said": "done"}
    with pytest.raises(sf.BackendError, match=r"no state machine 'other' .*role_arn='arn:aws:iam::"):
        plain.create(pass_machine("other"))
    with pytest.raises(sf.BackendError, match="twice is STANDARD, and a machine's type cannot be changed"):
        aws.create(machine.as_express())


def test_start_by_arn_and_attach(aws):
    arn = aws.create(pass_machine("there"))
    run = aws.start_execution(arn, '{"a": 1}', name="mine")
    assert (run.name, run.machine.name, run.machine.states) == ("mine", "there", ("A",))
    again = aws.attach(run.arn)
    assert again.wait(30).output == {"said": "done"}
    assert again.input == {"a": 1}
    assert again.history.events == run.wait(30).history.events
    with pytest.raises(sf.BackendError, match=r"Execution Already Exists.*give another, or none"):
        aws.start_execution(arn, {"a": 2}, name="mine")


def test_bad_input_is_refused_before_anything_is_made(aws):
    with pytest.raises(sf.DefinitionError, match="256 KiB"):
        aws.start_execution(pass_machine("never"), {"a": "x" * 300_000})
    assert not aws._listed("never")


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda aws: aws.start_execution(f"{HOME}:stateMachine:nope"), r"DoesNotExist\)\. Check the ARN: .*us-east-1"),
        (lambda aws: aws.attach(f"{HOME}:execution:nope:x"), r"ExecutionDoesNotExist\)\. Check the ARN"),
        (lambda aws: aws.execution("nonsense"), r"Invalid.*\. Check the ARN"),
        (lambda aws: aws.attach(f"{HOME}:express:m:x:y"), r"DoesNotExist\)\. Check the ARN"),
    ],
)
def test_what_aws_refuses_says_what_to_do(aws, ask, expected):
    with pytest.raises(sf.BackendError, match=expected) as caught:
        ask(aws)
    if caught.value.__cause__ is not None:
        assert type(caught.value.__cause__).__module__.startswith("botocore")


# ── no way there ─────────────────────────────────────────────────────────────────────────────────────────────────────


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_wrong_port(monkeypatch):
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(
        sf.BackendError, match=rf"Could not connect .*the region \(us-east-1\).*{url} is where"
    ) as caught:
        sf.AWS(role_arn=ROLE, endpoint_url=url).start_execution(pass_machine())
    assert type(caught.value.__cause__).__name__ == "EndpointConnectionError"


@pytest.mark.parametrize(
    ("given", "gone", "expected"),
    [
        ({"endpoint_url": "http://127.0.0.1:1"}, "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY", "Give sf.AWS.profile="),
        ({"endpoint_url": "http://127.0.0.1:1"}, "AWS_SECRET_ACCESS_KEY", "run `aws configure`"),
        ({}, "AWS_DEFAULT_REGION", r"Give sf.AWS\(region="),
        ({"profile": "nope"}, "", r"\(nope\) could not be found.*list-profiles"),
        ({"region": "east of Eden"}, "", "like us-east-1"),
        ({"endpoint_url": "localhost"}, "", "like http://localhost"),
        ({"endpoint_url": "http://me:hidden@127.0.0.1"}, "", "holds a password"),
        ({"role_arn": "states"}, "", "role_arn is like 'arn:aws:iam"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, given, gone, expected):
    for name in gone.split():
        monkeypatch.delenv(name)
    with pytest.raises(sf.BackendError, match=expected) as caught:
        sf.AWS(**{"role_arn": ROLE, **given}).create(pass_machine())
    assert "hidden" not in str(caught.value)


# ── a server that is told what to do ─────────────────────────────────────────────────────────────────────────────────


class Scripted:
    """One execution, as a server in trouble shows it: `faults` are answered first, one a request."""

    def __init__(self):
        self.events, self.status, self.output = [], "RUNNING", "{}"
        self.faults, self.asked, self.sent, self.names = [], [], collections.Counter(), []
        self.shown = None  # how many of the events are visible
        self.answers = {}

    def happen(self, count=1, end=False):
        for n in range(len(self.events) + 1, len(self.events) + count + 1):
            kind = "ExecutionStarted" if n == 1 else "PassStateEntered"
            self.events.append({"timestamp": 1.5e9 + n, "type": kind, "id": n, "previousEventId": n - 1})
        if end:
            self.status = "SUCCEEDED"
            self.events[-1] |= {
                "type": "ExecutionSucceeded",
                "executionSucceededEventDetails": {"output": '{"from": "history"}'},
            }

    def answer(self, operation, body):
        if operation in self.answers:
            return 200, self.answers[operation]
        if operation == "DescribeExecution":
            said = {
                "executionArn": body["executionArn"],
                "stateMachineArn": "m",
                "status": self.status,
                "startDate": 1.5e9,
            }
            done = {"output": self.output} if self.status == "SUCCEEDED" and self.output else {}
            return 200, {**said, **done}
        if operation == "GetExecutionHistory":
            events = self.events[: self.shown]
            events = events[::-1] if body.get("reverseOrder") else events
            start = int(body.get("nextToken", 0))
            stop = start + body["maxResults"]
            self.sent.update(e["id"] for e in events[start:stop])
            return 200, {"events": events[start:stop], **({"nextToken": str(stop)} if stop < len(events) else {})}
        if operation == "DescribeStateMachine":
            return 200, {
                "stateMachineArn": body["stateMachineArn"], "name": "m", "status": "ACTIVE", "roleArn": ROLE,
                "type": "STANDARD", "creationDate": 1.5e9, "definition": json.dumps(pass_machine().definition.raw),
            }  # fmt: skip
        if operation == "StartExecution":
            if body["name"] in self.names:
                return 400, {"__type": "ExecutionAlreadyExists", "message": "Execution Already Exists"}
            self.names.append(body["name"])
            return 200, {"executionArn": f"{HOME}:execution:m:{body['name']}", "startDate": 1.5e9}
        return 400, {"__type": "ValidationException", "message": operation}


@pytest.fixture
def scripted():
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            script.asked.append(operation)
            fault = script.faults.pop(0) if script.faults else None
            if fault == "drop":
                return self.close()
            status, said = fault or script.answer(operation, body)
            if fault is None and script.faults[:1] == ["lose"]:  # done, but the answer gets lost
                script.faults.pop(0)
                return self.close()
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return None

        def close(self):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    script.aws = sf.AWS(role_arn=ROLE, endpoint_url=script.url)
    script.run = AWSExecution(pass_machine(), script.aws, arn=f"{HOME}:execution:m:e", input="{}")
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


THROTTLED = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})


def ids(run):
    return [e["id"] for e in run.history]


def look_at_once(run):
    run._reading.hurry()
    run._describing.hurry()


def test_faults_lose_nothing_and_double_nothing(scripted):
    scripted.happen(2500)
    assert scripted.run.status == "RUNNING"
    # in the midst of three pages
    scripted.faults = [THROTTLED, "drop", (429, "slow down"), (503, "")]
    assert ids(scripted.run) == list(range(1, 2501))
    scripted.happen(1300)
    scripted.happen(1, end=True)
    look_at_once(scripted.run)
    scripted.faults = ["drop", (500, {"__type": "InternalFailure", "message": ""}), THROTTLED]
    assert scripted.run.wait(30).status == "SUCCEEDED"
    assert ids(scripted.run) == list(range(1, 3802))


def test_only_what_is_new_is_read(scripted):
    scripted.happen(40)
    for _ in range(25):  # a busy execution, looked at again and again
        assert ids(scripted.run) == list(range(1, len(scripted.events) + 1))
        scripted.happen(7)
        look_at_once(scripted.run)
    for _ in range(25):  # a quiet one
        scripted.run.history  # noqa: B018
        look_at_once(scripted.run)
    scripted.happen(end=True)
    look_at_once(scripted.run)
    assert scripted.run.wait(10).history[-1]["type"] == "ExecutionSucceeded"
    assert ids(scripted.run) == list(range(1, len(scripted.events) + 1))
    assert scripted.sent[1] == 1  # never read again
    assert sum(scripted.sent.values()) < 52 * 25  # not 52 × 200: a look is a glance at the newest few
    before = len(scripted.asked)
    assert (scripted.run.status, len(scripted.run.history), scripted.run.output) == ("SUCCEEDED", 216, {})
    assert len(scripted.asked) == before  # it has ended: nothing is left to ask


def test_a_loop_over_status_asks_seldom(scripted):
    scripted.happen(3)
    for _ in range(2000):
        assert scripted.run.status == "RUNNING"
        assert len(scripted.run.history) == 3
    assert len(scripted.asked) < 12
    scripted.run.wait(1)
    assert len(scripted.asked) < 20


def test_the_history_of_an_ended_execution_is_whole_even_when_it_comes_late(scripted):
    scripted.happen(5, end=True)
    scripted.shown = 3
    threading.Timer(0.7, lambda: setattr(scripted, "shown", None)).start()
    assert scripted.run.status == "SUCCEEDED"
    assert ids(scripted.run) == [1, 2, 3, 4, 5]


def test_an_output_that_comes_late(scripted):
    scripted.happen(3, end=True)
    scripted.output = None
    assert (scripted.run.status, scripted.run.output) == ("SUCCEEDED", {"from": "history"})


class Shown:
    """What the live graph is to an execution."""

    def __init__(self):
        self.ids, self.finished = [], threading.Event()

    def extend(self, events):
        self.ids += [e["id"] for e in events]

    def finish(self, status=None):
        self.status = status
        self.finished.set()


def test_the_live_graph_is_fed_to_the_end(scripted):
    scripted.happen(3)
    shown = Shown()
    scripted.run._stream(shown, len(scripted.run.history))
    scripted.happen(30)
    scripted.happen(end=True)
    assert shown.finished.wait(20)
    assert (shown.status, shown.ids) == ("SUCCEEDED", list(range(4, 35)))


def test_the_live_graph_ends_when_the_account_is_closed_to_it(scripted):
    scripted.faults = [(400, {"__type": "AccessDeniedException", "message": "no"})]
    shown = Shown()
    scripted.run._stream(shown, 0)
    assert shown.finished.wait(20)
    assert (shown.status, shown.ids) == (None, [])


def test_an_interrupted_cell_keeps_what_was_read():
    class Interrupted:
        masked = staticmethod(lambda value: value)

        def __init__(self, script, after):
            self.script, self.left = script, after

        def call(self, operation, **given):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            names = {"describe_execution": "DescribeExecution", "get_execution_history": "GetExecutionHistory"}
            return self.script.answer(names[operation], given)[1]

    script = Scripted()
    script.happen(3500, end=True)
    run = AWSExecution(pass_machine(), Interrupted(script, 4), arn=f"{HOME}:execution:m:e", input="{}")
    assert run.status == "SUCCEEDED"
    with pytest.raises(KeyboardInterrupt):
        run.history  # noqa: B018
    assert len(run._read) == 2000
    assert ids(run) == list(range(1, 3501))
    assert script.sent[1500] == 1


def test_a_start_whose_answer_is_lost_is_not_started_twice(scripted):
    describe = scripted.answer("DescribeStateMachine", {"stateMachineArn": "m"})
    scripted.faults = [describe, "lose"]
    run = scripted.aws.start_execution(f"{HOME}:stateMachine:m:3")  # a version
    assert run.arn == f"{HOME}:execution:m:{scripted.names[0]}"
    assert len(scripted.names) == 1


def test_an_express_execution_without_a_log_has_an_outcome_and_no_history(scripted):
    said = {**scripted.answer("DescribeStateMachine", {"stateMachineArn": "m"})[1], "type": "EXPRESS"}
    scripted.answers["DescribeStateMachine"] = said
    scripted.answers["StartSyncExecution"] = {
        "executionArn": f"{HOME}:express:m:e:1", "status": "SUCCEEDED", "output": '{"a":1}',
        "startDate": 1.5e9, "stopDate": 1.5e9 + 2.5,
        "billingDetails": {"billedDurationInMilliseconds": 2500, "billedMemoryUsedInMB": 64},
    }  # fmt: skip
    run = scripted.aws.start_execution(f"{HOME}:stateMachine:m", {})
    assert (run.status, run.output, run.seconds, run.wait() is run) == ("SUCCEEDED", {"a": 1}, 2.5, True)
    assert repr(run) == "Execution(m/e SUCCEEDED, Express)"
    assert run.result() == {"a": 1}
    assert [line.assumption for line in run.cost().lines] == [
        "one per execution",
        "64 MB for 2,500 ms, as StartSyncExecution told",
    ]
    assert run.cost().usd == pytest.approx(1e-6 + 2.5 / 16 * 0.00001667)
    assert "no history" in run.cost().notes[0]
    for look in (lambda: run.history, lambda: run.visits):
        with pytest.raises(sf.BackendError, match=r"CloudWatch Logs.*sf\.Local.*2500 ms at 64 MB"):
            look()
    scripted.answers["StartSyncExecution"] |= {"status": "FAILED", "error": "E"}
    with pytest.raises(sf.ExecutionFailed, match="E"):
        scripted.aws.start_execution(f"{HOME}:stateMachine:m", {}).result()
    # It may have run when the answer is lost: it is not run again.
    scripted.asked.clear()
    scripted.faults = [(200, said), "drop"]
    with pytest.raises(sf.BackendError, match=r"StartSyncExecution: .*closed"):
        scripted.aws.start_execution(f"{HOME}:stateMachine:m", {})
    assert scripted.asked == ["DescribeStateMachine", "StartSyncExecution"]


NOT = "User: arn:aws:sts::123456789012:assumed-role/dev is not authorized to perform:"
TRUST = (
    "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the "
    "provided role."
)
LEAKY = "The request signature does not match.\n\nThe Canonical String was\nx-amz-security-token:TOPSECRET"


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ExpiredTokenException", "The security token included in the request is expired", "Sign in again"),
        ("UnrecognizedClientException", "The security token included in the request is invalid.", "Check the keys"),
        ("AccessDeniedException", f"{NOT} states:DescribeExecution", "Allow states:DescribeExecution"),
        ("AccessDeniedException", f"{NOT} iam:PassRole on resource: r", f"iam:PassRole on {ROLE}"),
        ("AccessDeniedException", TRUST, "trust states.amazonaws.com"),
        ("InvalidDefinition", "Invalid State Machine Definition: ''", r"machine.validate() lists"),
        ("InvalidSignatureException", LEAKY, "Check the keys"),
    ],
)
def test_refusals_say_what_to_do_and_leak_nothing(scripted, code, message, expected):
    scripted.faults = [(400, {"__type": code, "message": message})]
    with pytest.raises(sf.BackendError) as caught:
        scripted.run.status  # noqa: B018
    assert expected in str(caught.value)
    shown = (
        "".join(traceback.format_exception(caught.value)) + repr(scripted.aws) + repr(caught.value.__cause__.response)
    )
    assert "TOPSECRET" not in shown
    assert "testing" not in shown  # the keys in use


def test_a_server_that_is_something_else(scripted):
    scripted.faults = [(200, "{}"), (200, "<html>")]
    for said in ("not as Step Functions does.*check endpoint_url", "(?i)check endpoint_url"):
        with pytest.raises(sf.BackendError, match=said):
            scripted.run.status  # noqa: B018


def test_a_redrive_is_asked_of_aws_and_its_events_are_read_to_their_end(scripted):
    scripted.happen(3)
    scripted.events[-1] |= {"type": "ExecutionFailed", "executionFailedEventDetails": {"error": "E"}}
    scripted.status = "FAILED"
    scripted.answers["RedriveExecution"] = {"redriveDate": 1.5e9}
    run = scripted.run
    assert (run.status, len(run.history), run.redrive_count) == ("FAILED", 3, 0)
    with pytest.raises(sf.BackendError, match="redrive its history here"):
        run.redrive(functions={"work": lambda _: 1})
    assert "RedriveExecution" not in scripted.asked
    scripted.status = "RUNNING"
    assert run.redrive() is run
    assert run.status == "RUNNING"
    scripted.happen(3, end=True)
    scripted.events[3] |= {"type": "ExecutionRedriven", "executionRedrivenEventDetails": {"redriveCount": 1}}
    assert run.wait(5).status == "SUCCEEDED"
    assert [e["type"] for e in run.history][2:] == [
        "ExecutionFailed", "ExecutionRedriven", "PassStateEntered", "ExecutionSucceeded",
    ]  # fmt: skip
    assert run.redrive_count == 1
    assert scripted.asked.count("RedriveExecution") == 1


def test_whether_it_can_be_redriven_is_asked_of_aws(scripted):
    said = {"executionArn": "e", "stateMachineArn": "m", "status": "RUNNING", "startDate": 1.5e9}
    reason = "Execution is RUNNING and cannot be redriven"
    scripted.answers["DescribeExecution"] = {**said, "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}
    assert (scripted.run.redrive_status, scripted.run.redrive_status_reason) == ("NOT_REDRIVABLE", reason)
    scripted.answers["DescribeExecution"] = {**said, "status": "FAILED", "redriveStatus": "REDRIVABLE"}
    assert (scripted.run.redrive_status, scripted.run.redrive_status_reason) == ("REDRIVABLE", None)

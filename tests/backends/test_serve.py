"""The API over HTTP: a real server on a free port, real clients, and clients that misbehave."""

import contextlib
import http.client
import json
import socket
import threading
import time

import boto3
import pytest
from botocore.config import Config

import sflab as sf
from sflab.backends.api import MAX_REQUEST
from sflab.backends.serve import IDLE, Server, backend, loopback

HERE = "arn:aws:states:us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/runs"
PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})


def task(resource, **more):
    return json.dumps({"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": resource, "End": True, **more}}})


def reach(server):
    return boto3.client(
        "stepfunctions",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(inject_host_prefix=False, read_timeout=70, retries={"max_attempts": 0}),
    )


@pytest.fixture
def local():
    return sf.Local({"slow": lambda event, context: time.sleep(0.2) or event}, rate=1)


@pytest.fixture
def server(local):
    with Server(local, 0) as server:
        yield server


def post(server, body, target="ListStateMachines", *, connection=None):
    """(status, answer) of a request made by hand."""
    if connection is None:
        with contextlib.closing(connect(server)) as own:
            return post(server, body, target, connection=own)
    connection.request("POST", "/", body, {"X-Amz-Target": f"AWSStepFunctions.{target}"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def connect(server):
    return http.client.HTTPConnection(*server.server_address[:2], timeout=20)


def raw(server, data, *, shut=True):
    """What a server says to these bytes."""
    with socket.create_connection(server.server_address[:2], timeout=5) as sock:
        sock.sendall(data)
        if shut:
            sock.shutdown(socket.SHUT_WR)
        out = b""
        while part := sock.recv(65536):
            out += part
        return out


def test_a_real_client_works_over_http(server):
    client = reach(server)
    arn = client.create_state_machine(name="m", definition=PASS, roleArn=ROLE)["stateMachineArn"]
    run = client.start_execution(stateMachineArn=arn, input='{"ä": 1}')["executionArn"]
    deadline = time.monotonic() + 5
    while (said := client.describe_execution(executionArn=run))["status"] == "RUNNING":
        assert time.monotonic() < deadline
    assert said["output"] == '{"ä": 1}'
    with pytest.raises(client.exceptions.StateMachineDoesNotExist) as caught:
        client.start_execution(stateMachineArn=f"{HERE}:stateMachine:none")
    assert "State Machine Does Not Exist" in str(caught.value)
    express = client.create_state_machine(
        name="e", definition=task("arn:aws:lambda:us-east-1:123456789012:function:slow"), roleArn=ROLE, type="EXPRESS"
    )
    said = client.start_sync_execution(stateMachineArn=express["stateMachineArn"], input="7")
    assert (said["status"], said["output"]) == ("SUCCEEDED", "7")
    assert said["billingDetails"]["billedDurationInMilliseconds"] >= 200


def test_sf_aws_works_against_it(server):
    aws = sf.AWS(endpoint_url=server.url, region="us-east-1", role_arn=ROLE)
    run = aws.start_execution(sf.StateMachine.load(json.loads(PASS), name="mine"), {"a": 1})
    assert run.result() == {"a": 1}
    assert [e["type"] for e in run.history][-1] == "ExecutionSucceeded"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")


def test_a_worker_polls_for_an_activity_s_task(server):
    client, worker = reach(server), reach(server)
    activity = client.create_activity(name="pack")["activityArn"]
    got = []

    def work():
        given = worker.get_activity_task(activityArn=activity, workerName="w")
        got.append(given["input"])
        worker.send_task_success(taskToken=given["taskToken"], output='"done"')

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)  # it waits already
    arn = client.create_state_machine(name="m", definition=task(activity), roleArn=ROLE)["stateMachineArn"]
    run = client.start_execution(stateMachineArn=arn, input="[1]")["executionArn"]
    thread.join(10)
    assert got == ["[1]"]
    deadline = time.monotonic() + 5
    while client.describe_execution(executionArn=run)["status"] == "RUNNING":
        assert time.monotonic() < deadline
    assert client.describe_execution(executionArn=run)["output"] == '"done"'


def test_a_worker_that_hung_up_takes_no_task(server):
    client = reach(server)
    activity = client.create_activity(name="pack")["activityArn"]
    gone = connect(server)
    body = json.dumps({"activityArn": activity})
    gone.request("POST", "/", body, {"X-Amz-Target": "AWSStepFunctions.GetActivityTask"})
    time.sleep(0.2)
    gone.close()
    time.sleep(1.2)  # longer than it takes to notice
    arn = client.create_state_machine(name="m", definition=task(activity), roleArn=ROLE)["stateMachineArn"]
    client.start_execution(stateMachineArn=arn, input="[1]")
    assert client.get_activity_task(activityArn=activity)["input"] == "[1]"


BODIES = [
    (b"{", 400, "SerializationException"),
    (b"\xff\xfe", 400, "SerializationException"),
    (b"[]", 400, "SerializationException"),
    (b"[" * 100_000, 400, "SerializationException"),
    (b'{"maxResults": {}}', 400, "SerializationException"),
    (b'{"maxResults": 1001}', 400, "ValidationException"),
]


@pytest.mark.parametrize(("body", "status", "code"), BODIES)
def test_malformed_bodies_are_refused_and_the_connection_goes_on(server, body, status, code):
    with contextlib.closing(connect(server)) as connection:
        got = post(server, body, connection=connection)
        assert (got[0], got[1]["__type"]) == (status, code)
        assert post(server, b"{}", connection=connection) == (200, {"stateMachines": []})


def test_unknown_operations_are_refused(server):
    assert post(server, b"{}", "Nothing") == (400, {"__type": "UnknownOperationException"})


REQUESTS = [
    (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"411"),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n", b"400"),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (MAX_REQUEST + 1), b"413"),
    (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"200"),
    (b"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"501"),
    (b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}", b"403"),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", b"403"),
    (b"nonsense\r\n\r\n", b"400"),
    (b"POST / HTTP/9.9\r\n\r\n", b"505"),
    (b"POST /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
]


@pytest.mark.parametrize(("data", "status"), REQUESTS)
def test_requests_that_are_none_are_answered_and_end_the_connection(server, data, status):
    assert raw(server, data).split(b" ", 2)[1] == status
    assert post(server, b"{}")[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST / HTTP/1.1\r\nHost: local",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a client that begins with TLS
    ],
)
def test_clients_that_hang_up_harm_nobody(server, data, capfd):
    for _ in range(20):
        sock = socket.create_connection(server.server_address[:2], timeout=5)
        sock.sendall(data)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # with a reset
        sock.close()
    assert post(server, b"{}") == (200, {"stateMachines": []})
    time.sleep(0.1)
    assert "Traceback" not in capfd.readouterr().err


def test_slow_and_silent_clients_hold_up_nobody(server):
    silent = [socket.create_connection(server.server_address[:2], timeout=5) for _ in range(50)]
    for sock in silent[::2]:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    begun = time.monotonic()
    assert post(server, b"{}")[0] == 200
    assert time.monotonic() - begun < 2
    for sock in silent:
        sock.close()
    assert IDLE <= 120  # and they are hung up on after this


def test_many_clients_at_once(server):
    machine = reach(server).create_state_machine(name="m", definition=PASS, roleArn=ROLE)["stateMachineArn"]
    failures = []

    def work(number):
        with contextlib.closing(connect(server)) as connection:
            for each in range(20):
                body = json.dumps({"stateMachineArn": machine, "name": f"e{number}-{each}"})
                status, said = post(server, body, "StartExecution", connection=connection)
                if status != 200:
                    failures.append(said)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    listed = reach(server).list_executions(stateMachineArn=machine, maxResults=1000)["executions"]
    assert len({each["executionArn"] for each in listed}) == 320


def test_in_virtual_time_a_task_that_nothing_is_bound_to_is_an_error():
    with Server(sf.Local(), 0) as server:
        client = reach(server)
        text = task("arn:aws:lambda:us-east-1:123456789012:function:nobody")
        arn = client.create_state_machine(name="m", definition=text, roleArn=ROLE)["stateMachineArn"]
        with pytest.raises(client.exceptions.ClientError) as caught:
            client.start_execution(stateMachineArn=arn)
        assert caught.value.response["Error"]["Code"] == "TaskNotFoundError"
        assert "nothing is bound to the task 'T'" in str(caught.value)


def test_a_fault_of_ours_is_an_answer_too(server, local, capfd):
    local.machines = None  # what nobody may do
    status, said = post(server, b"{}")
    assert (status, said["__type"]) == (500, "InternalFailure")
    assert "Traceback" not in capfd.readouterr().err


# ── where it listens ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_loopback_is_listened_on_unless_a_host_is_named(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url.startswith("http://127.0.0.1:")
    with pytest.raises(sf.SflabError, match="host is empty: name one"):
        Server(sf.Local(), 0, "")
    with Server(sf.Local(), 0, "0.0.0.0") as everywhere:
        assert everywhere.server_address[0] == "0.0.0.0"
        everywhere.server_address = ("127.0.0.1", everywhere.server_address[1])
        said = raw(everywhere, b"GET / HTTP/1.1\r\nHost: lab.example\r\nConnection: close\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("lab.localhost", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("sync-localhost", True),
        ("sync-127.0.0.1", True),
        ("0.0.0.0", False),
        ("localhost.example", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_what_is_loopback(host, own):
    assert loopback(host) is own


def test_a_port_that_is_taken_or_none_is_told(server):
    port = server.server_address[1]
    with pytest.raises(sf.SflabError, match=rf"cannot listen on 127\.0\.0\.1, port {port}: Address already in use"):
        Server(sf.Local(), port)
    with pytest.raises(sf.SflabError, match="port 70000: a port is a number from 0 to 65535"):
        Server(sf.Local(), 70_000)
    with pytest.raises(sf.SflabError, match=r"cannot listen on no-such-host\.invalid"):
        Server(sf.Local(), 0, "no-such-host.invalid")


def test_dates_are_today_s_in_real_time_and_the_backend_s_own_in_virtual_time():
    assert abs(backend({}, {}, rate=1).start - time.time()) < 60
    assert backend({}, {}, rate=float("inf")).start == sf.Local().start

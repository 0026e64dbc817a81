"""The API over HTTP: a real server on a free port, real clients, and a table behind it."""

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import httpx
import pytest
import requests

import sflab as sf
from sflab.backends.gateway import MAX_BODY

CRUD = """\
#set($q = '"')
#set($id = $util.escapeJavaScript($input.params('id')).replaceAll("\\\\'", "'"))
#set($text = "{${q}method${q}:${q}$context.httpMethod${q},${q}id${q}:${q}$id${q},${q}body${q}:$input.json('$')}")
{"stateMachineArn": "{ARN}", "input": "$util.escapeJavaScript($text).replaceAll("\\\\'", "'")"}
"""


@pytest.fixture
def api():
    """The pattern's workflow over the pattern's table, as the workshop serves it."""
    pattern, local = sf.patterns["M1"], sf.Local()
    pattern.stage().prepare(local)
    route = sf.Route(pattern.machine, request=CRUD, status="$.status")
    with sf.RestApi({"ANY /notes/{id}": route}, local, name="notes") as served:
        yield served


def urllib_client(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


def requests_client(method, url, body=None):
    answer = requests.request(method, url, json=body, timeout=60)
    return answer.status_code, answer.text


def httpx_client(method, url, body=None):
    answer = httpx.request(method, url, json=body, timeout=60)
    return answer.status_code, answer.text


@pytest.mark.parametrize("client", [urllib_client, requests_client, httpx_client])
def test_crud_over_http(api, client):
    url = f"{api.url}/notes/it%27s"
    assert api.url.endswith("/prod")
    assert client("GET", url)[0] == 404
    assert client("PUT", url, {"text": "O'Brien's “milk” / é"})[0] == 201
    status, text = client("GET", url)
    assert (status, json.loads(text)["text"]) == (200, "O'Brien's “milk” / é")
    stored = api.local.session.client("dynamodb").scan(TableName="notes")["Items"]
    assert stored == [{"id": {"S": "it's"}, "text": {"S": "O'Brien's “milk” / é"}}]
    assert client("DELETE", url) == (204, "")
    assert client("GET", url)[0] == 404
    assert client("PATCH", url, {})[0] == 405
    assert [each.status for each in api.log] == [404, 201, 200, 204, 404, 405]
    assert list(api.df["method"]) == ["GET", "PUT", "GET", "DELETE", "GET", "PATCH"]
    assert {each.execution_arn for each in api.log} == {run.arn for run in api.local.executions}


def test_clients_at_once_are_all_answered(api):
    found = []

    def ask(i):
        url = f"{api.url}/notes/{i}"
        found.append(
            (urllib_client("PUT", url, {"text": str(i)})[0], json.loads(urllib_client("GET", url)[1])["text"], i)
        )

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=lambda each: each[2]) == [(201, str(i), i) for i in range(8)]


def test_gateway_answers_reach_the_client_with_their_headers(api):
    answer = requests.get(f"{api.url}/nowhere", timeout=60)
    assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})
    assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    assert answer.headers["x-amzn-RequestId"]
    assert requests.put(f"{api.url}/notes/1", data=b"{nope", timeout=60).status_code == 400
    text = requests.put(f"{api.url}/notes/1", data=b"x", headers={"Content-Type": "text/plain"}, timeout=60)
    assert text.status_code == 415


def test_the_reason_of_a_fault_is_in_a_header():
    states = {"A": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:nobody", "End": True}}
    machine = sf.StateMachine.load({"StartAt": "A", "States": states}, type="EXPRESS")
    with sf.RestApi({"GET /": machine}) as api:
        answer = requests.get(f"{api.url}/", timeout=60)
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal server error"})
    assert "nothing is bound to the task 'A'" in answer.headers["x-sflab-why"]


def raw(api, head, body=b""):
    """Send bytes as they are and return the status code; the connection is closed after."""
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as sock:
        sock.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"PUT /prod/notes/1 HTTP/1.1\nHost: localhost\nContent-Length: {MAX_BODY + 1}", 413),
        ("PUT /prod/notes/1 HTTP/1.1\nHost: localhost\nContent-Length: many", 400),
        ("PUT /prod/notes/1 HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked", 411),
        ("GET /prod/notes/1 HTTP/1.1\nHost: elsewhere.example", 403),
        ("BREW /prod/notes/1 HTTP/1.1\nHost: localhost", 501),
        ("HEAD /prod/notes/1 HTTP/1.1\nHost: localhost", 405),
        ("GET /prod/notes/1 HTTP/1.1\nHost: localhost", 404),
        ("nonsense", 400),
    ],
)
def test_clients_that_misbehave_get_an_answer(api, head, status):
    assert raw(api, head) == status
    assert urllib_client("PUT", f"{api.url}/notes/1", {"text": "still there"})[0] == 201


def test_an_api_starts_and_stops():
    machine = sf.StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}, type="EXPRESS")
    api = sf.RestApi({"GET /": machine}, kind="HTTP")
    with pytest.raises(sf.SflabError, match="the API is not served"):
        _ = api.url
    assert "http" not in repr(api)
    with api:
        url = api.url
        assert api.start().url == url
        assert urllib_client("GET", f"{url}/")[0] == 200
        assert url in repr(api)
        assert "StartSyncExecution" in api._repr_html_()
    with pytest.raises(urllib.error.URLError):
        urllib_client("GET", f"{url}/")
    api.stop()
    with api:
        assert urllib_client("GET", f"{api.url}/")[0] == 200


def test_a_port_that_is_taken_is_said(api):
    with pytest.raises(sf.SflabError, match="cannot listen"):
        sf.RestApi({"GET /": sf.patterns["M1"].machine}, port=urlsplit(api.url).port).start()

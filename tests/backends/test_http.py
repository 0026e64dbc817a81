"""HTTP tasks against a real server on this machine: what is sent, what comes back, and every way to fail."""

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

import sflab as sf
from sflab.backends import http

ARN = "arn:aws:events:us-east-1:123456789012:connection/api/81210c42-8af1-456b-9c4a-6ff02fc664ac"


PAGES = {  # content type, body
    "/text": ("text/plain", "plain words"),
    "/bad-json": ("application/json", "{not json"),
    "/image": ("image/png", "…"),
    "/bytes": ("text/plain", b"\xff\xfe\x00"),
    "/large": ("text/plain", "x" * 300_000),
    "/no-token": ("application/json", '{"error": "invalid_client"}'),
}


class Api(BaseHTTPRequestHandler):
    """Says what it was sent; ``/status/404`` and the other paths do what they are called."""

    protocol_version = "HTTP/1.1"

    def do(self):
        url, server = urlsplit(self.path), self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        server.seen.append((self.command, self.path, dict(self.headers), body))
        said = {"method": self.command, "path": url.path, "query": parse_qs(url.query), "body": body}
        status = int(url.path.removeprefix("/status/")) if url.path.startswith("/status/") else 200
        if url.path == "/redirect":
            status = 302
        if url.path == "/guarded" and self.headers["Authorization"] != f"Bearer token-{server.wanted}":
            status = 401
        if url.path == "/token":
            server.tokens += 1
            said = {"access_token": f"token-{server.tokens}", "expires_in": 3600}
        kind, made = PAGES.get(url.path, ("application/json", json.dumps(said)))
        made = made if isinstance(made, bytes) else made.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(made)), "Location": "/text"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(made)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do  # noqa: N815 - the server's names

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.seen, server.tokens, server.wanted = [], 0, 1
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def machine(parameters, resource="http:invoke", **more):
    state = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, "End": True}
    return sf.StateMachine.load({"StartAt": "Call", "States": {"Call": {**state, **more}}})


def call(api, path="/", *, connection=None, local=None, **given):
    parameters = {"ApiEndpoint": api.url + path, "Method": "GET", "Authentication": {"ConnectionArn": ARN}, **given}
    local = local or sf.Local(connections={"api": connection or {}})
    return local.start_execution(machine(parameters))


def sent(api):
    method, path, headers, body = api.seen[-1]
    return method, path, {name.lower(): value for name, value in headers.items()}, body


def test_the_result_has_awss_shape(api):
    run = call(api, "/customers", QueryParameters={"limit": "3", "tag": ["a", "b"]})
    assert list(run.output) == ["Headers", "ResponseBody", "StatusCode", "StatusText"]
    assert (run.output["StatusCode"], run.output["StatusText"]) == (200, "OK")
    assert run.output["Headers"]["Content-Type"] == ["application/json"]
    assert list(run.output["Headers"]) == sorted(run.output["Headers"], key=str.lower)
    assert run.output["ResponseBody"]["query"] == {"limit": ["3"], "tag": ["a", "b"]}


def test_the_headers_that_step_functions_sets_are_its_own(api):
    call(api, Headers={"X-Mine": "1", "User-Agent": "me", "Range": "bytes=0-1", "Host": "evil", "Connection": "x"})
    _, _, headers, _ = sent(api)
    assert headers["user-agent"] == "Amazon|StepFunctions|HttpInvoke|us-east-1"
    assert headers["range"] == "bytes=0-262144"
    assert headers["host"] == urlsplit(api.url).netloc
    assert headers["x-mine"] == "1"
    assert headers.get("connection") != "x"


@pytest.mark.parametrize("method", http.METHODS)
def test_every_method(api, method):
    run = call(api, Method=method)
    assert run.status == "SUCCEEDED"
    assert sent(api)[0] == method


def test_a_body_is_json_unless_it_is_text(api):
    call(api, Method="POST", RequestBody={"a": [1, "é"]})
    _, _, headers, body = sent(api)
    assert (body, headers["content-type"]) == ('{"a":[1,"é"]}', "application/json")
    call(api, Method="POST", RequestBody="plain", Headers={"content-type": "text/plain"})
    _, _, headers, body = sent(api)
    assert (body, headers["content-type"]) == ("plain", "text/plain")


@pytest.mark.parametrize(
    ("style", "body"),
    [
        (None, "a[0]=1&a[1]=x%20y&o[k]=v&n=&t=true"),
        ("INDICES", "a[0]=1&a[1]=x%20y&o[k]=v&n=&t=true"),
        ("REPEAT", "a=1&a=x%20y&o[k]=v&n=&t=true"),
        ("COMMAS", "a=1,x%20y&o[k]=v&n=&t=true"),
        ("BRACKETS", "a[]=1&a[]=x%20y&o[k]=v&n=&t=true"),
    ],
)
def test_a_body_is_url_encoded(api, style, body):
    options = {"RequestEncodeOptions": {"ArrayFormat": style}} if style else {}
    call(
        api, Method="POST", RequestBody={"a": [1, "x y"], "o": {"k": "v"}, "n": None, "t": True},
        Transform={"RequestBodyEncoding": "URL_ENCODED", **options},
    )  # fmt: skip
    _, _, headers, text = sent(api)
    assert (text, headers["content-type"]) == (body, "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ({"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "s3cret"}}, "x-key", "s3cret"),
        ({"BasicAuthParameters": {"Username": "u", "Password": "p:é"}}, "authorization",
         "Basic " + base64.b64encode("u:p:é".encode()).decode()),
    ],
)  # fmt: skip
def test_a_connection_proves_who_calls(api, auth, name, value):
    for raw in (auth, {"AuthParameters": auth}):
        call(api, connection=raw, Headers={name: "the definition's own"})
        assert sent(api)[2][name] == value


def test_a_connections_parameters_win(api):
    more = {
        "HeaderParameters": [{"Key": "x-a", "Value": "connection"}],
        "QueryStringParameters": [{"Key": "q", "Value": "connection", "IsValueSecret": True}],
        "BodyParameters": [{"Key": "b", "Value": "connection"}],
    }
    call(
        api, "/?fixed=1", Method="POST", connection={"InvocationHttpParameters": more}, Headers={"X-A": "mine"},
        QueryParameters={"q": "mine", "r": 2}, RequestBody={"b": "mine", "c": 3},
    )  # fmt: skip
    _, path, headers, body = sent(api)
    assert parse_qs(urlsplit(path).query) == {"fixed": ["1"], "q": ["connection"], "r": ["2"]}
    assert headers["x-a"] == "connection"
    assert json.loads(body) == {"b": "connection", "c": 3}


def oauth(api, path="/token", **more):
    client = {"ClientID": "id", "ClientSecret": "secret"}
    return {"OAuthParameters": {"ClientParameters": client, "AuthorizationEndpoint": api.url + path,
                                "HttpMethod": "POST", **more}}  # fmt: skip


def test_a_token_is_asked_for_once_and_again_when_it_is_refused(api):
    local = sf.Local(connections={"api": oauth(api)})
    for _ in range(2):
        assert call(api, "/guarded", local=local).status == "SUCCEEDED"
    assert api.tokens == 1
    method, path, headers, body = api.seen[0]
    assert (method, path, body) == ("POST", "/token", "grant_type=client_credentials")
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"id:secret").decode()
    api.wanted = 2  # the server forgot the first
    assert call(api, "/guarded", local=local).status == "SUCCEEDED"
    assert api.tokens == 2
    api.wanted = 99
    assert call(api, "/guarded", local=local).error == "States.Http.StatusCode.401"


def test_a_token_endpoint_that_gives_none_is_a_connection_in_an_invalid_state(api):
    run = call(api, "/guarded", connection=oauth(api, "/no-token"))
    assert run.error == "Events.ConnectionResource.InvalidConnectionState"


def test_connections_of_the_sandboxs_eventbridge(api):
    local = sf.Local()
    events = local.session.client("events")
    made = {}
    for name, kind, auth in (
        ("key", "API_KEY", {"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "s3cret"}}),
        ("basic", "BASIC", {"BasicAuthParameters": {"Username": "u", "Password": "p"}}),
        ("oauth", "OAUTH_CLIENT_CREDENTIALS", oauth(api)),
    ):
        more = {"InvocationHttpParameters": {"HeaderParameters": [{"Key": "x-more", "Value": name}]}}
        made[name] = events.create_connection(
            Name=name, AuthorizationType=kind, AuthParameters={**auth, **more}
        )["ConnectionArn"]  # fmt: skip
    proofs = {}
    for name, arn in made.items():
        run = call(api, local=local, Authentication={"ConnectionArn": arn})
        assert run.status == "SUCCEEDED", run.cause
        headers = sent(api)[2]
        assert headers["x-more"] == name
        proofs[name] = headers.get("x-key") or headers["authorization"]
    assert proofs == {"key": "s3cret", "basic": "Basic dTpw", "oauth": "Bearer token-1"}


def test_a_connection_nobody_knows_says_which_line_to_write(api):
    with pytest.raises(sf.TaskNotFoundError) as caught:
        call(api, local=sf.Local())
    assert 'sf.Local(connections={"api": ' in str(caught.value)
    assert "create_connection" in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404, 429, 500, 503])
def test_any_other_status_fails_with_its_number(api, status):
    run = call(api, f"/status/{status}")
    assert run.error == f"States.Http.StatusCode.{status}"
    assert json.loads(run.cause)["path"] == f"/status/{status}"


def test_a_redirect_is_not_followed(api):
    assert call(api, "/redirect").error == "States.Http.StatusCode.302"
    assert [path for _, path, _, _ in api.seen] == ["/redirect"]


def test_a_status_can_be_retried_and_caught(api):
    given = {"ApiEndpoint": api.url + "/status/503", "Method": "GET", "Authentication": {"ConnectionArn": ARN}}
    retry = [{"ErrorEquals": ["States.Http.StatusCode.503"], "MaxAttempts": 2}]
    run = sf.Local(connections={"api": None}).start_execution(machine(given, Retry=retry))
    assert (run.status, len(api.seen)) == ("FAILED", 3)


@pytest.mark.parametrize(
    ("path", "body"), [("/text", "plain words"), ("/bad-json", "{not json")]
)  # fmt: skip
def test_what_is_no_json_is_text(api, path, body):
    assert call(api, path).output["ResponseBody"] == body


@pytest.mark.parametrize(
    ("path", "error"),
    [("/image", "States.Runtime"), ("/bytes", "States.Runtime"), ("/large", "States.DataLimitExceeded")],
)
def test_what_cannot_be_a_result(api, path, error):
    assert call(api, path).error == error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ApiEndpoint": "http://example.org/"}, "https:// only"),
        ({"ApiEndpoint": "ftp://localhost/"}, "'ApiEndpoint' has an invalid format"),
        ({"ApiEndpoint": 7}, "'ApiEndpoint' is required"),
        ({"Method": "BREW"}, "'Method' has an invalid format"),
        ({"Authentication": None}, "'Authentication' is required"),
        ({"Headers": "x"}, "'Headers' has an invalid format"),
        ({"QueryParameters": [1]}, "'QueryParameters' has an invalid format"),
        ({"Body": {}}, 'field "Body" is not supported'),
        ({"Transform": {"RequestBodyEncoding": "XML"}}, "'RequestBodyEncoding' has an invalid format"),
        ({"Transform": {"RequestBodyEncoding": "URL_ENCODED"}, "RequestBody": "x"}, "must be an object"),
        ({"Transform": {"RequestBodyEncoding": "URL_ENCODED", "RequestEncodeOptions": {"ArrayFormat": "X"}},
          "RequestBody": {}}, "'ArrayFormat' has an invalid format"),
    ],
)  # fmt: skip
def test_parameters_no_request_can_be_made_of(api, given, said):
    run = call(api, **given)
    assert run.error == "States.Runtime"
    assert said in run.cause
    assert not api.seen


def test_nobody_there_is_a_socket_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        given = {"ApiEndpoint": f"http://127.0.0.1:{taken.getsockname()[1]}/", "Method": "GET"}
        given["Authentication"] = {"ConnectionArn": ARN}
        run = sf.Local(connections={ARN: {}}).start_execution(machine(given))
    assert (run.error, run.seconds) == ("States.Http.Socket", 0)
    assert "refused" in run.cause
    assert "timed out" not in run.cause


def test_tls_that_nobody_speaks_is_a_socket_error(api):
    given = {"ApiEndpoint": api.url.replace("http:", "https:"), "Authentication": {"ConnectionArn": ARN}}
    run = sf.Local(connections={ARN: {}}).start_execution(machine({**given, "Method": "GET"}))
    assert run.error == "States.Http.Socket"


def test_a_server_that_does_not_answer_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(http.TimeLimitError) as caught:
            http.exchange("GET", f"http://127.0.0.1:{silent.getsockname()[1]}/", {}, None, what="x", limit=0.2)
    assert (caught.value.error, caught.value.seconds) == ("States.Http.Socket", 0.2)


# ── API Gateway ──────────────────────────────────────────────────────────────────────────────────────────────────────


def gateway(api, **given):
    parameters = {"ApiEndpoint": urlsplit(api.url).netloc, "Method": "POST", **given}
    return sf.Local().start_execution(machine(parameters, "apigateway:invoke"))


def test_api_gateway_on_this_machine(api):
    run = gateway(api, Stage="dev", Path="/orders/7", RequestBody={"a": 1}, QueryParameters={"x": ["1", "2"]},
                  Headers={"X-Mine": ["a", "b"]})  # fmt: skip
    assert list(run.output) == ["Headers", "ResponseBody", "StatusCode", "StatusText"]
    said = run.output["ResponseBody"]
    assert (said["path"], said["query"], said["body"]) == ("/dev/orders/7", {"x": ["1", "2"]}, '{"a":1}')
    assert sent(api)[2]["x-mine"] == "a,b"


def test_api_gateways_refusal_is_named_by_its_status(api):
    run = gateway(api, Path="status/403")
    assert run.error == "ApiGateway.403"
    assert json.loads(run.cause)["path"] == "/status/403"


@pytest.mark.parametrize("name", ["Headers", "QueryParameters"])
def test_api_gateways_headers_are_lists(api, name):
    run = gateway(api, **{name: {"custom": "text"}})
    assert run.error == "States.Runtime"
    assert run.cause.endswith(f"[The value of the field '{name}' has an invalid format]")
    assert [event["type"] for event in run.history] == ["ExecutionStarted", "TaskStateEntered", "ExecutionFailed"]


def test_an_api_that_is_not_here_says_what_to_do():
    with pytest.raises(sf.TaskNotFoundError, match=r"sf\.Local\(tasks="):
        sf.Local().start_execution(
            machine({"ApiEndpoint": "x.execute-api.us-east-1.amazonaws.com", "Method": "GET"}, "apigateway:invoke")
        )

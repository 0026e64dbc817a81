"""What API Gateway makes of requests: routes, mappings, and the answers of REST and HTTP APIs."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate

import sflab as sf
from sflab.backends.gateway import BODY, MAX_BODY, Pattern

ECHO = sf.StateMachine.load(
    {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}, name="echo", type="EXPRESS"
)
FAILS = sf.StateMachine.load(
    {"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "NoSuchNote", "Cause": 'it\'s "gone"\n…'}}},
    name="fails",
    type="EXPRESS",
)
STANDARD = sf.StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}, name="standard")


def waits(seconds, **more):
    states = {"A": {"Type": "Wait", "Seconds": seconds, "End": True}}
    return sf.StateMachine.load({"StartAt": "A", "States": states, **more}, name="waits", type="EXPRESS")


def calls(name):
    states = {"A": {"Type": "Task", "Resource": f"arn:aws:lambda:us-east-1:1:function:{name}", "End": True}}
    return sf.StateMachine.load({"StartAt": "A", "States": states}, name="calls", type="EXPRESS")


# ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "method", "path", "expected"),
    [
        ("GET /", "GET", "/", {}),
        ("GET /notes", "GET", "/notes", {}),
        ("GET /notes", "POST", "/notes", None),
        ("GET /notes", "GET", "/notes/", None),
        ("ANY /notes/{id}", "DELETE", "/notes/a%2Fb%20c", {"id": "a/b c"}),
        ("GET /notes/{id}", "GET", "/notes", None),
        ("GET /notes/{id}", "GET", "/notes/", None),
        ("GET /notes/{id}/lines/{n}", "GET", "/notes/1/lines/2", {"id": "1", "n": "2"}),
        ("GET /{proxy+}", "GET", "/a/b/c", {"proxy": "a/b/c"}),
        ("GET /files/{proxy+}", "GET", "/files", None),
    ],
)
def test_a_route_matches(pattern, method, path, expected):
    read = Pattern.read(pattern)
    assert (read.match(path) if read.takes(method) else None) == expected


@pytest.mark.parametrize("text", ["notes", "FETCH /notes", "GET notes", "GET /a/{x+}/b", "GET /a{b}", "GET /a//b", ""])
def test_what_is_no_route_is_said(text):
    with pytest.raises(sf.SflabError, match=r"no route|a part of a path"):
        sf.RestApi({text: ECHO})


def test_the_most_specific_route_answers():
    api = sf.RestApi({
        "ANY /{proxy+}": ECHO, "GET /notes/{id}": ECHO, "GET /notes/new": ECHO, "ANY /notes/{id}": ECHO,
    })  # fmt: skip
    asked = [("GET", "/notes/new"), ("GET", "/notes/7"), ("PUT", "/notes/7"), ("GET", "/else/where")]
    found = [api.test_invoke(*each).json()["resource"] for each in asked]
    assert found == ["/notes/new", "/notes/{id}", "/notes/{id}", "/{proxy+}"]


def test_a_rest_api_takes_the_path_before_the_method():
    routes = {"GET /notes/new": ECHO, "ANY /notes/{id}": ECHO}
    found = [sf.RestApi(routes, kind=kind).test_invoke("PUT", "/notes/new", "{}").status for kind in ("REST", "HTTP")]
    assert found == [403, 200]


@pytest.mark.parametrize(
    ("routes", "options", "said"),
    [
        ({}, {}, "routes is a dict"),
        ({"GET /": "x"}, {}, "not str"),
        ({"GET /": ECHO}, {"kind": "SOAP"}, "REST or HTTP"),
        ({"GET /{a}": ECHO, "GET /{b}": ECHO}, {}, "two routes are the same"),
        ({"GET /": sf.Route(STANDARD, "StartSyncExecution")}, {}, "as_express"),
        ({"GET /": sf.Route(ECHO, "StopExecution")}, {}, "the action is"),
        ({"GET /": sf.Route(ECHO, request="#if(")}, {}, "GET /: the mapping template cannot be read, line 1"),
        ({"GET /": sf.Route(ECHO, request={"Input": "x"})}, {}, "by a template"),
        ({"GET /": sf.Route(ECHO, status="$.a[*]")}, {}, "status is a path to one value"),
        ({"GET /": sf.Route(ECHO, status="nonsense[")}, {}, "GET /: "),
        ({"GET /": sf.Route(ECHO, errors={"E": 42})}, {}, "the status code of E is 42"),
        ({"GET /": sf.Route(ECHO, responses={"4..": (400, None)})}, {}, 'needs a "default"'),
        ({"GET /": sf.Route(ECHO, request=BODY)}, {"kind": "HTTP"}, "an HTTP API maps no answers"),
        ({"GET /": sf.Route(ECHO, errors={"E": 404})}, {"kind": "HTTP"}, "an HTTP API maps no answers"),
        ({"GET /": ECHO, "PUT /": sf.StateMachine.load(FAILS.definition.raw, name="echo")}, {}, "another machine"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(routes, options, said):
    with pytest.raises(sf.SflabError, match=said):
        sf.RestApi(routes, **options)


# ── a REST API's mappings ────────────────────────────────────────────────────────────────────────────────────────────


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: {"value": value})
)
def test_any_json_body_arrives_as_it_is(body):
    text = json.dumps(body)
    for route in (ECHO, sf.Route(ECHO, request=BODY)):
        reply = sf.RestApi({"POST /": route}).test_invoke("POST", "/", text)
        assert reply.status == 200
        arrived = reply.json()
        assert (arrived["body"] if route is ECHO else arrived) == body


def test_the_whole_request_is_the_input():
    reply = sf.RestApi({"GET /a/{id}": ECHO}).test_invoke("GET", "/a/it's?x=1&x=2&empty=&q=%22%5C")
    assert reply.json() == {
        "method": "GET", "resource": "/a/{id}", "path": {"id": "it's"},
        "querystring": {"x": "2", "empty": "", "q": '"\\'}, "body": {},
    }  # fmt: skip


def test_a_template_sees_headers_context_and_stage_variables():
    text = """#set($o = '"')#set($said = "{${o}s${o}:${o}$context.stage${o},${o}t${o}:${o}$stageVariables.t${o}}")
    {"stateMachineArn": "{ARN}", "name": "$input.params('x-name')", "input": "$util.escapeJavaScript($said)"}"""
    api = sf.RestApi({"GET /": sf.Route(ECHO, request=text)}, stage="dev", stage_variables={"t": "notes"})
    reply = api.test_invoke("GET", "/", headers={"X-Name": "mine"})
    assert reply.json() == {"s": "dev", "t": "notes"}
    assert ":mine:" in api.log[0].execution_arn


def test_an_apostrophe_breaks_the_tutorials_own_template_as_it_does_on_aws():
    """escapeJavaScript makes ``\\'`` of it, which is no JSON: the developer guide says to replace it."""
    plain = '{"stateMachineArn": "{ARN}", "input": "$util.escapeJavaScript($input.json(\'$\'))"}'
    api = sf.RestApi({"POST /": sf.Route(ECHO, request=plain)})
    assert api.test_invoke("POST", "/", '{"n": "OBrien"}').status == 200
    assert api.test_invoke("POST", "/", '{"n": "O\'Brien"}').status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "expected"),
    [
        ("GET", "/nowhere", "", "", (403, "Missing Authentication Token")),
        ("PUT", "/echo", "{}", "", (403, "Missing Authentication Token")),
        ("POST", "/echo", "{nope", "", (400, "Could not parse request body into json")),
        ("POST", "/echo", b"\xff\xfe", "", (400, "Could not parse request body into json")),
        ("POST", "/echo", "<a/>", "text/xml", (415, "Unsupported Media Type")),
        ("POST", "/echo", MAX_BODY + 1, "", (413, "HTTP content length exceeded 10485760 bytes.")),
        ("POST", "/echo", 263_000, "", (400, "1 validation error detected: Value at 'input'")),
        ("GET", "/slow", "", "", (504, "Endpoint request timed out")),
        ("GET", "/unbound", "", "", (500, "Internal server error")),
        ("GET", "/template", "", "", (500, "Internal server error")),
        ("GET", "/status", "", "", (500, "Internal server error")),
    ],
)
def test_what_goes_wrong_is_answered_as_api_gateway_does(method, path, body, kind, expected):
    status, message = expected
    body = json.dumps("x" * (body - 2)) if isinstance(body, int) else body
    api = sf.RestApi({
        "POST /echo": ECHO, "GET /slow": waits(30), "GET /unbound": calls("nobody"),
        "GET /template": sf.Route(ECHO, request="$util.nothing()"), "GET /status": sf.Route(ECHO, status="$.method"),
    })  # fmt: skip
    reply = api.test_invoke(method, path, body, headers={"Content-Type": kind} if kind else {})
    assert reply.status == status
    assert reply.json()["message"].startswith(message)
    if status == 500:
        assert reply.why
        assert api.log[-1].why == reply.why


def test_another_stage_is_forbidden():
    api = sf.RestApi({"GET /": ECHO})
    assert api.gateway.handle("GET", "/dev/", {}, b"").json() == {"message": "Forbidden"}


def test_a_wait_of_29_seconds_is_answered():
    assert sf.RestApi({"GET /": waits(29)}).test_invoke("GET", "/").status == 200


def test_in_real_time_the_gateway_does_not_wait_for_the_workflow():
    go_on = threading.Event()
    local = sf.Local({"slow": lambda event: go_on.wait(60) and {"late": True}}, rate=100)
    api = sf.RestApi({"GET /": calls("slow")}, local)
    assert api.test_invoke("GET", "/").status == 504  # after 29 s, a hundred times as fast
    assert local.executions[0].status == "RUNNING"
    go_on.set()
    assert local.executions[0].wait(60).output == {"late": True}  # the execution goes on, as on AWS


@pytest.mark.parametrize(
    ("route", "status"),
    [
        (FAILS, 500),
        (sf.Route(FAILS, errors={"NoSuchNote": 404, "Other": 409}), 404),
        (sf.Route(FAILS, errors={'It\'s $o "quoted"': 409, "NoSuchNote": 404}), 404),
        (waits(3, TimeoutSeconds=2), 504),
        (sf.Route(waits(3, TimeoutSeconds=2), errors={"States.Timeout": 418}), 418),
    ],
)
def test_errors_of_a_workflow_are_status_codes(route, status):
    reply = sf.RestApi({"GET /": route}).test_invoke("GET", "/")
    assert reply.status == status
    if status in (404, 500):
        assert reply.json() == {"error": "NoSuchNote", "cause": 'it\'s "gone"\n…'}


def test_the_output_gives_the_status_code():
    machine = sf.StateMachine.load(
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": {"http": {"code": 201}}, "End": True}}},
        name="made",
        type="EXPRESS",
    )
    reply = sf.RestApi({"POST /": sf.Route(machine, status="$.http.code")}).test_invoke("POST", "/")
    assert (reply.status, reply.json()) == (201, {"http": {"code": 201}})


def test_responses_are_chosen_by_pattern_and_may_set_headers():
    answers = {
        "default": (202, "#set($context.responseOverride.header.Location = $input.path('$.executionArn')){}"),
        "400": (422, "no: $input.path('$.__type')"),
    }
    api = sf.RestApi({"POST /": sf.Route(STANDARD, request="$input.body", responses=answers)})
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:standard"
    reply = api.test_invoke("POST", "/", json.dumps({"stateMachineArn": arn}))
    assert (reply.status, reply.body) == (202, "{}")
    assert reply.headers["Location"] == api.log[0].execution_arn == api.local.executions[0].arn
    assert api.test_invoke("POST", "/", json.dumps({"stateMachineArn": arn, "input": "{"})).status == 422


def test_an_asynchronous_route_answers_with_the_execution():
    api = sf.RestApi({"POST /jobs": sf.Route(STANDARD, request=BODY)})
    reply = api.test_invoke("POST", "/jobs", '{"n": 1}')
    assert reply.status == 200
    assert reply.json()["executionArn"] == api.local.executions[0].arn
    assert api.local.executions[0].output == {"n": 1}


# ── an HTTP API ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_http_api_hands_the_answer_on_as_it_is():
    api = sf.RestApi({"POST /": ECHO, "GET /fails": FAILS}, kind="HTTP")
    reply = api.test_invoke("POST", "/", '{"n": 1}')
    assert (reply.status, reply.json()["status"], reply.json()["output"]) == (200, "SUCCEEDED", '{"n": 1}')
    failed = api.test_invoke("GET", "/fails")
    assert (failed.status, failed.json()["status"], failed.json()["error"]) == (200, "FAILED", "NoSuchNote")
    assert api.test_invoke("GET", "/nowhere").json() == {"message": "Not Found"}
    assert api.test_invoke("POST", "/", "{nope").status == 400
    slow = sf.RestApi({"GET /": waits(31)}, kind="HTTP").test_invoke("GET", "/")
    assert (slow.status, slow.json()) == (503, {"message": "Service Unavailable"})


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("$request.body", {"a": {"b": 1}, "s": "t"}),
        ("$request.body.a", {"b": 1}),
        ('{"id": "${request.path.id}", "q": "${request.querystring.q}"}', {"id": "7", "q": "z"}),
        ('{"h": "${request.header.x-key}", "m": "${context.httpMethod}"}', {"h": "k", "m": "POST"}),
        ('{"v": "${stageVariables.v}", "p": "${request.path}", "none": "${request.body.none}"}',
         {"v": "1", "p": "/a/7", "none": ""}),
        ('{"fixed": true}', {"fixed": True}),
    ],
)  # fmt: skip
def test_an_http_api_maps_parameters(parameter, expected):
    route = sf.Route(ECHO, request={"Input": parameter, "Name": "$context.requestId", "Region": "us-east-1"})
    api = sf.RestApi({"POST /a/{id}": route}, kind="HTTP", stage_variables={"v": "1"})
    reply = api.test_invoke("POST", "/a/7?q=z", '{"a": {"b": 1}, "s": "t"}', headers={"X-Key": "k"})
    assert json.loads(reply.json()["output"]) == expected


# ── the document ─────────────────────────────────────────────────────────────────────────────────────────────────────

ROUTES = {
    "GET /notes/{id}": sf.Route(ECHO, status="$.status", errors={"NoSuchNote": 404}),
    "PUT /notes/{id}": ECHO,
    "POST /jobs": STANDARD,
    "ANY /": ECHO,
}


def test_the_document_is_openapi_and_says_what_would_be_deployed():
    api = sf.RestApi(ROUTES, name="notes", role_arn="arn:aws:iam::123456789012:role/api")
    document = api.openapi()
    validate(document)
    assert list(document["paths"]) == ["/", "/jobs", "/notes/{id}"]
    get = document["paths"]["/notes/{id}"]["get"]
    assert sorted(get["responses"]) == ["200", "400", "404", "500"]
    made = get["x-amazon-apigateway-integration"]
    assert made["uri"] == "arn:aws:apigateway:us-east-1:states:action/StartSyncExecution"
    assert (made["type"], made["credentials"]) == ("aws", "arn:aws:iam::123456789012:role/api")
    assert ":stateMachine:echo" in made["requestTemplates"]["application/json"]
    assert "404" in made["responses"]["default"]["responseTemplates"]["application/json"]
    job = document["paths"]["/jobs"]["post"]["x-amazon-apigateway-integration"]
    assert job["uri"].endswith("states:action/StartExecution")
    assert "x-amazon-apigateway-any-method" in document["paths"]["/"]
    assert json.loads(json.dumps(document)) == document


def test_the_document_of_an_http_api_has_its_integrations():
    document = sf.RestApi({"POST /": ECHO, "POST /jobs": STANDARD}, kind="HTTP").openapi()
    validate(document)
    made = document["paths"]["/"]["post"]["x-amazon-apigateway-integration"]
    assert made["integrationSubtype"] == "StepFunctions-StartSyncExecution"
    assert made["requestParameters"]["Input"] == "$request.body"
    job = document["paths"]["/jobs"]["post"]["x-amazon-apigateway-integration"]
    assert job["integrationSubtype"] == "StepFunctions-StartExecution"


def test_what_the_document_says_is_what_is_served():
    """An API made from the templates of the document answers as the first one does."""
    first = sf.RestApi(ROUTES)
    made = first.openapi()["paths"]["/notes/{id}"]["get"]["x-amazon-apigateway-integration"]
    answers = {
        pattern: (int(each["statusCode"]), each.get("responseTemplates", {}).get("application/json"))
        for pattern, each in made["responses"].items()
    }
    route = sf.Route(ECHO, request=made["requestTemplates"]["application/json"], responses=answers)
    second = sf.RestApi({"GET /notes/{id}": route})
    bodies = [api.test_invoke("GET", "/notes/1?status=9") for api in (first, second)]
    assert bodies[0] == bodies[1]

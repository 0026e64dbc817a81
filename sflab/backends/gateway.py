"""What API Gateway makes of a request: routes, mappings into Step Functions' API, and of its answers a response.

Theory of operation. A `Gateway` has no socket: `Gateway.handle` is a function of (method, path, headers, body) that
answers with a `Reply`; `sflab.backends.rest` serves it over HTTP. A REST API maps with templates (`velocity`), an HTTP
API with parameters (``$request.body.id``) and hands Step Functions' answer on as it is. Both end in `api.respond`, so
that what is checked and refused there is checked and refused here.

Status codes are those of the developer guide's page on gateway response types; bodies and headers are as API Gateway
is known to answer (``Missing Authentication Token`` for a route that is not there). The words of 413 are not
documented. Limits: 10 MB a request, 29 s (REST, the default) and 30 s (HTTP) for an integration (quotas pages).
"""

from __future__ import annotations

import base64
import json
import random
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote, unquote_plus

from sflab.asl.model import JSON, drawn_uuid
from sflab.asl.paths import PathNotFoundError, PathSyntaxError, compile_path
from sflab.backends.api import TARGET, respond
from sflab.backends.callbacks import ACCOUNT
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine
from sflab.backends.velocity import Blank, Template, TemplateError, text_of
from sflab.errors import SflabError

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY")
ACTIONS = ("StartSyncExecution", "StartExecution")
MAX_BODY = 10_485_760
SECONDS = {"REST": 29.0, "HTTP": 30.0}

#: The input of a route that says nothing else: method, path and query parameters, and the body, as one JSON object.
WHOLE = """\
#set($q = '"')
#set($params = $input.params())
#set($text = "{${q}method${q}:${q}$context.httpMethod${q},${q}resource${q}:${q}$context.resourcePath${q}")
#foreach($kind in ["path", "querystring"])
#set($text = "$text,${q}$kind${q}:{")
#foreach($name in $params.get($kind).keySet())
#set($key = $util.escapeJavaScript($name).replaceAll("\\\\'", "'"))
#set($value = $util.escapeJavaScript($params.get($kind).get($name)).replaceAll("\\\\'", "'"))
#set($text = "$text${q}$key${q}:${q}$value${q}")
#if($foreach.hasNext)
#set($text = "$text,")
#end
#end
#set($text = "$text}")
#end
#set($text = "$text,${q}body${q}:$input.json('$')}")
{
  "stateMachineArn": "{ARN}",
  "input": "$util.escapeJavaScript($text).replaceAll("\\\\'", "'")"
}
"""

#: The template of the developer guide's tutorial, mended: the body is the input, apostrophes and all.
BODY = """\
{
  "stateMachineArn": "{ARN}",
  "input": "$util.escapeJavaScript($input.json('$')).replaceAll("\\\\'", "'")"
}
"""


@dataclass(frozen=True, slots=True)
class Route:
    """What a route starts, and how request and answer are mapped.

    *machine* is started with *action*: ``StartSyncExecution`` (the default of an Express machine) answers with the
    output, ``StartExecution`` (of a Standard one) with the execution's ARN.

    *request* maps the request: in a REST API a template (`sflab.backends.gateway.WHOLE` by default, where ``{ARN}`` is
    the machine's; ``BODY`` makes the body the input), in an HTTP API a dict of parameters
    (``{"Input": "$request.body"}`` by default).

    A REST API's answer: *status* is a path into the output that gives the status code (``"$.status"``), *errors* gives
    status codes to errors by name (others are 500, a timed-out execution 504). *responses* replaces all that: by a
    pattern of Step Functions' own status code, or ``"default"``, the status and the template (None: as it is).
    """

    machine: StateMachine
    action: str = ""
    request: str | Mapping[str, str] | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    status: str | None = None
    responses: Mapping[str, tuple[int, str | None]] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: ``status``, ``headers``, ``body`` as text, and of a fault of the route's ``why`` it was one."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    why: str | None = None

    def json(self) -> JSON:
        """Return the body as JSON data."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was answered: what it was, and the ARN of the execution it started, if it did."""

    method: str
    path: str
    status: int
    execution_arn: str | None = None
    why: str | None = None


def said(status: int, message: str, error: str = "", why: str | None = None) -> Reply:
    """Return an answer of the gateway's own, with the error's name in the header it has on AWS."""
    headers = {"x-amzn-ErrorType": f"{error}Exception"} if error else {}
    return Reply(status, json.dumps({"message": message}), headers, why)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A route's method and path: ``{name}`` stands for one segment, ``{name+}`` for all that follow."""

    method: str
    path: str

    @classmethod
    def read(cls, text: str) -> Pattern:
        """Read ``GET /notes/{id}``. Raises SflabError."""
        method, _, path = text.strip().partition(" ")
        method, path = method.upper(), path.strip()
        parts = path.split("/")[1:]
        if method not in METHODS or not path.startswith("/"):
            known = ", ".join(METHODS)
            raise SflabError(f"{text!r} is no route: write a method and a path, as GET /notes/{{id}} ({known})")
        for part in parts:
            fine = re.fullmatch(r"\{[A-Za-z0-9._-]+\+?\}|[^{}]+", part) or (not part and path == "/")
            if not fine or (part.endswith("+}") and part is not parts[-1]):
                raise SflabError(
                    f"{text!r}: a part of a path is text, {{name}}, or at the end {{name+}}; {part!r} is not"
                )
        return cls(method, path)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its path parameters."""
        return tuple(name.rstrip("+") for name in re.findall(r"\{([^}]+)\}", self.path))

    def takes(self, method: str) -> bool:
        """Whether it is a route of the method."""
        return self.method in (method, "ANY")

    def match(self, path: str) -> dict[str, str] | None:
        """Return the path's parameters, None where it is another route's."""
        mine, given = self.path.split("/")[1:], path.split("/")[1:]
        found: dict[str, str] = {}
        for i, part in enumerate(mine):
            if part.endswith("+}") and len(given) > i and given[i]:
                found[part[1:-2]] = unquote("/".join(given[i:]))
                return found
            if i >= len(given):
                return None
            if part.startswith("{") and given[i]:
                found[part[1:-1]] = unquote(given[i])
            elif part != unquote(given[i]):
                return None
        return found if len(mine) == len(given) else None

    @property
    def rank(self) -> tuple[Any, ...]:
        """The smaller, the more specific: text before a parameter before all that follow; a method before ANY."""
        kinds = [2 if part.endswith("+}") else 1 if part.startswith("{") else 0 for part in self.path.split("/")]
        return (kinds, self.method == "ANY")


@dataclass(frozen=True, slots=True)
class Integration:
    """A route made ready: its templates parsed, its machine's ARN in them."""

    pattern: Pattern
    route: Route
    action: str
    arn: str
    request: Template | Mapping[str, str]
    responses: tuple[tuple[str, int, Template | None], ...]  # (pattern or "default", status, template)


@dataclass(slots=True)
class Request:
    """A request on its way: parameters by kind, and the JSON body when somebody looks."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    parameters: dict[str, dict[str, str]]
    context: Blank


class Gateway:
    """Routes of one API; see `sflab.backends.rest.RestApi` for the parameters."""

    def __init__(
        self,
        routes: Mapping[str, StateMachine | Route],
        local: Local,
        *,
        kind: str = "REST",
        stage: str = "prod",
        stage_variables: Mapping[str, str] | None = None,
    ) -> None:
        if kind not in SECONDS:
            raise SflabError(f"kind is REST or HTTP, not {kind!r}")
        if not isinstance(routes, Mapping) or not routes:
            raise SflabError('routes is a dict from routes to state machines: {"GET /notes/{id}": machine}')
        self.local, self.kind, self.stage = local, kind, "$default" if kind == "HTTP" else stage
        self.stage_variables = dict(stage_variables or {})
        made = [self._integration(Pattern.read(text), each) for text, each in routes.items()]
        self.integrations = sorted(made, key=lambda each: each.pattern.rank)
        shapes = [(each.pattern.method, re.sub(r"\{[^}]+\}", "{}", each.pattern.path)) for each in made]
        if len({*shapes}) < len(shapes):
            raise SflabError(f"two routes are the same: {max(shapes, key=shapes.count)}")
        self.log: list[Exchange] = []
        self._count = 0
        self._lock = threading.Lock()

    def _integration(self, pattern: Pattern, given: StateMachine | Route) -> Integration:
        where = f"{pattern.method} {pattern.path}"
        route = given if isinstance(given, Route) else Route(given)
        machine = route.machine
        if not isinstance(machine, StateMachine):
            raise SflabError(f"{where}: a route is a StateMachine or an sf.Route, not {type(machine).__name__}")
        action = route.action or ("StartSyncExecution" if machine.type == "EXPRESS" else "StartExecution")
        if action not in ACTIONS:
            raise SflabError(f"{where}: the action is {' or '.join(ACTIONS)}, not {action!r}")
        if action == "StartSyncExecution" and machine.type != "EXPRESS":
            raise SflabError(f"{where}: StartSyncExecution starts Express machines: machine.as_express()")
        known = self.local.machines.setdefault(machine.name, machine)
        if known is not machine and known != machine:
            raise SflabError(f"{where}: the backend has another machine of the name {machine.name!r}; give it its own")
        machine.check()
        arn = f"arn:aws:states:{self.local.region}:{ACCOUNT}:stateMachine:{machine.name}"
        if self.kind == "HTTP":
            if route.errors or route.status or route.responses or isinstance(route.request, str):
                raise SflabError(f"{where}: an HTTP API maps no answers, and requests by parameters: a REST API does")
            return Integration(pattern, route, action, arn, dict(route.request or {"Input": "$request.body"}), ())
        if isinstance(route.request, Mapping):
            raise SflabError(f"{where}: a REST API maps requests by a template: a text")
        try:
            answers = route.responses if route.responses is not None else responses(route, action)
        except ValueError as e:  # of a path, or of a status code
            raise SflabError(f"{where}: {e}") from None
        if "default" not in answers:
            raise SflabError(f'{where}: responses needs a "default": what answers when no pattern fits')
        try:
            request = Template((WHOLE if route.request is None else route.request).replace("{ARN}", arn))
            made = tuple(
                (key, status, None if text is None else Template(text)) for key, (status, text) in answers.items()
            )
        except TemplateError as e:
            raise SflabError(f"{where}: {e}") from None
        return Integration(pattern, route, action, arn, request, made)

    # ── a request ────────────────────────────────────────────────────────────────────────────────────────────────────

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a request: *target* is its path and query, as they stand in the request line."""
        path, _, query = target.partition("?")
        reply, arn = self._answered(method.upper(), path, query, headers, body)
        self.log.append(Exchange(method.upper(), path, reply.status, arn, reply.why))
        return reply

    def _answered(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Reply, str | None]:
        with self._lock:
            self._count += 1
            request_id = drawn_uuid(random.Random(f"{self.local.seed}/request/{self._count}"))
        if len(body) > MAX_BODY:
            return too_large(self.kind), None
        if self.kind == "REST":
            stage, _, rest = path[1:].partition("/")
            if stage != self.stage:
                return said(403, "Forbidden", "Forbidden"), None
            path = f"/{rest}"
        one, found = self._route(method, path)
        if one is None:
            if self.kind == "HTTP":
                return said(404, "Not Found"), None
            return said(403, "Missing Authentication Token", "MissingAuthenticationToken"), None
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return said(400, "Could not parse request body into json: Invalid UTF-8", "BadRequest"), None
        parameters = {"path": found, "querystring": dict(parse_qsl(query, keep_blank_values=True))}
        request = Request(method, path, headers, text, {**parameters, "header": dict(headers)}, Blank())
        request.context = self._context(one, request, request_id)
        return self._integrated(one, request)

    def _route(self, method: str, path: str) -> tuple[Integration | None, dict[str, str]]:
        """Return what answers, and the path's parameters.

        A REST API takes the most specific path, and it must have the method; an HTTP API looks for another that has.
        """
        matches = [(one, found) for one in self.integrations if (found := one.pattern.match(path)) is not None]
        if self.kind == "REST":
            matches = [each for each in matches if each[0].pattern.path == matches[0][0].pattern.path]
        return next((each for each in matches if each[0].pattern.takes(method)), (None, {}))

    def _context(self, one: Integration, request: Request, request_id: str) -> Blank:
        now = self.local.now()
        agent = next((value for name, value in request.headers.items() if name.lower() == "user-agent"), "")
        return Blank(
            accountId=ACCOUNT,
            apiId="local",
            httpMethod=request.method,
            identity=Blank(sourceIp="127.0.0.1", userAgent=agent),
            path=f"/{self.stage}{request.path}" if self.kind == "REST" else request.path,
            protocol="HTTP/1.1",
            requestId=request_id,
            requestOverride=Blank(header=Blank(), path=Blank(), querystring=Blank()),
            requestTime=datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            requestTimeEpoch=round(now * 1000),
            resourcePath=one.pattern.path,
            responseOverride=Blank(header=Blank()),
            routeKey=f"{one.pattern.method} {one.pattern.path}",
            stage=self.stage,
        )

    def _integrated(self, one: Integration, request: Request) -> tuple[Reply, str | None]:
        try:
            asked = self._mapped(one, request)
        except _NotJsonError as e:
            return said(400, f"Could not parse request body into json: {e}", "BadRequest"), None
        except TemplateError as e:
            return said(500, "Internal server error", "InternalServerError", str(e)), None
        except _UnsupportedError:
            return said(415, "Unsupported Media Type", "UnsupportedMediaType"), None
        try:
            answered = self._called(one.action, asked)
        except Exception as e:  # noqa: BLE001 - what a function of the user threw; nothing bound to a task
            return said(500, "Internal server error", "InternalServerError", f"{type(e).__name__}: {e}"), None
        if answered is None:
            if self.kind == "HTTP":
                return said(503, "Service Unavailable"), None
            return said(504, "Endpoint request timed out", "InternalServerError"), None
        status, text = answered
        started = json.loads(text).get("executionArn")
        if _took(text) > SECONDS[self.kind]:
            late = said(504, "Endpoint request timed out", "InternalServerError")
            return (late if self.kind == "REST" else said(503, "Service Unavailable")), started
        if self.kind == "HTTP":
            return Reply(status, text, {"Content-Type": "application/json"}), started
        return self._response(one, request, status, text), started

    def _mapped(self, one: Integration, request: Request) -> str:
        """The request to Step Functions, as JSON text."""
        if isinstance(one.request, Template):
            kind = next((v for name, v in request.headers.items() if name.lower() == "content-type"), "")
            if kind.partition(";")[0].strip().lower() not in ("", "application/json"):
                raise _UnsupportedError
            return one.request.render(self._names(request, request.body))
        given = {"StateMachineArn": one.arn, **one.request}
        resolved = {name: parameter(text, request, self.stage_variables) for name, text in given.items()}
        kept = {name[:1].lower() + name[1:]: value for name, value in resolved.items() if value is not None}
        return json.dumps({name: value for name, value in kept.items() if name != "region"})

    def _names(self, request: Request, body: str) -> dict[str, Any]:
        return {
            "input": Input(body, request.parameters),
            "util": UTIL,
            "context": request.context,
            "stageVariables": Blank(self.stage_variables),
        }

    def _called(self, action: str, asked: str) -> tuple[int, str] | None:
        """Step Functions' answer; None where it takes longer than an integration may."""
        if self.local.virtual:
            status, body = respond(self.local, TARGET + action, asked.encode())
            return status, body.decode()
        done: list[Any] = []

        def work() -> None:
            try:
                done.append(respond(self.local, TARGET + action, asked.encode()))
            except Exception as e:  # noqa: BLE001 - raised where it is waited for
                done.append(e)

        thread = threading.Thread(target=work, name="sflab-integration", daemon=True)
        thread.start()
        thread.join(SECONDS[self.kind] / self.local.rate)
        if not done:
            return None
        if isinstance(done[0], Exception):
            raise done[0]
        return done[0][0], done[0][1].decode()

    def _response(self, one: Integration, request: Request, status: int, text: str) -> Reply:
        """Map the answer of Step Functions as the first pattern says that its status code fits."""
        chosen = next(
            (each for each in one.responses if each[0] != "default" and re.fullmatch(each[0], str(status))), None
        )
        chosen = chosen or next(each for each in one.responses if each[0] == "default")
        _, status, template = chosen
        if template is not None:
            try:
                text = template.render(self._names(request, text))
            except (TemplateError, _NotJsonError) as e:
                return said(500, "Internal server error", "InternalServerError", str(e))
        override = request.context["responseOverride"]
        headers = {"Content-Type": "application/json", **{k: text_of(v) for k, v in override["header"].items()}}
        given = override["status"]
        try:
            status = int(given) if given not in ("", None) else status
        except (TypeError, ValueError):
            status = -1
        if not 100 <= status <= 599:
            why = f"the status code is {text_of(given)!r}, which is none"
            return said(500, "Internal server error", "InternalServerError", why)
        return Reply(status, text.strip(), headers)


def too_large(kind: str) -> Reply:
    """The answer to a body of more than 10 MB."""
    if kind == "HTTP":
        return said(413, "Request Entity Too Large")
    return said(413, f"HTTP content length exceeded {MAX_BODY} bytes.", "RequestTooLarge")


def _took(text: str) -> float:
    answer = json.loads(text)
    return float(answer.get("stopDate", 0) - answer["startDate"]) if "stopDate" in answer else 0.0


# ── mappings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _NotJsonError(Exception):
    """The body is not JSON, and a template reads it as JSON."""


class _UnsupportedError(Exception):
    """There is no template for the request's content type."""


class Input:
    """``$input`` in a template: the body as JSON, and the request's parameters."""

    def __init__(self, body: str, parameters: dict[str, dict[str, str]]) -> None:
        self.text, self.parameters = body, parameters
        self.functions = {"json": self.json, "path": self.path, "params": self.params}
        self.members = {"body": body}

    def path(self, path: str) -> Any:
        """``$input.path('$.id')``: a value of the body, None where it has none."""
        try:
            value = json.loads(self.text) if self.text.strip() else {}
        except (ValueError, RecursionError) as e:
            raise _NotJsonError(str(e)) from None
        try:
            return compile_path(path).find(value)
        except PathNotFoundError:
            return None
        except PathSyntaxError as e:
            raise TemplateError(str(e)) from None

    def json(self, path: str) -> str:
        """``$input.json('$')``: a value of the body as JSON text, ``""`` where it has none."""
        value = self.path(path)
        return '""' if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def params(self, name: str | None = None) -> Any:
        """``$input.params()``: maps path, querystring and header; with a name the parameter, searched in that order."""
        if name is None:
            return self.parameters
        for kind in ("path", "querystring"):
            if name in self.parameters[kind]:
                return self.parameters[kind][name]
        headers = {header.lower(): value for header, value in self.parameters["header"].items()}
        return headers.get(name.lower(), "")


def escape_javascript(value: Any) -> str:
    """``$util.escapeJavaScript``: as Apache Commons Lang 2 does it, apostrophes and slashes too."""
    named = {
        "\b": "\\b",
        "\n": "\\n",
        "\t": "\\t",
        "\f": "\\f",
        "\r": "\\r",
        "'": "\\'",
        '"': '\\"',
        "\\": "\\\\",
        "/": "\\/",
    }
    out = []
    for sign in "" if value is None else text_of(value):
        if sign in named:
            out.append(named[sign])
        elif 32 <= ord(sign) < 127:
            out.append(sign)
        else:
            units = sign.encode("utf-16-be", "surrogatepass")
            out += [f"\\u{int.from_bytes(units[i : i + 2]):04X}" for i in range(0, len(units), 2)]
    return "".join(out)


def _parsed(text: Any) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (TypeError, ValueError) as e:
        raise TemplateError(f"$util.parseJson: {e}") from None


class _Util:
    """``$util`` in a template."""

    def __init__(self) -> None:
        self.functions = {
            "escapeJavaScript": escape_javascript,
            "parseJson": _parsed,
            "urlEncode": lambda text: quote_plus(text_of(text)),
            "urlDecode": lambda text: unquote_plus(text_of(text)),
            "base64Encode": lambda text: base64.b64encode(text_of(text).encode()).decode(),
            "base64Decode": lambda text: base64.b64decode(text_of(text)).decode("utf-8", "replace"),
        }


UTIL = _Util()


def responses(route: Route, action: str) -> dict[str, tuple[int, str | None]]:
    """Return how a REST API answers where the route says nothing else, as `Route.responses` has it."""
    refused = '{"message": "$util.escapeJavaScript($!input.path(\'$.message\')).replaceAll("\\\\\'", "\'")"}'
    out: dict[str, tuple[int, str | None]] = {
        "4\\d{2}": (400, refused),
        "5\\d{2}": (500, '{"message": "Internal server error"}'),
    }
    if action == "StartExecution":
        return {"default": (200, None), **out}
    lines = ["#set($run = $input.path('$'))", '#if($run.status == "SUCCEEDED")']
    if route.status:
        if not compile_path(route.status).definite:
            raise ValueError(f"status is a path to one value, as $.status, not {route.status!r}")
        steps = route.status.removeprefix("$")
        lines += [
            "#set($output = $util.parseJson($run.output))",
            f"#set($context.responseOverride.status = $output{steps})",
        ]
    lines += ["$run.output", "#else", "#set($context.responseOverride.status = 500)"]
    lines += ['#if($run.status == "TIMED_OUT")', "#set($context.responseOverride.status = 504)", "#end"]
    for error, status in route.errors.items():
        if not 100 <= int(status) <= 599:
            raise ValueError(f"the status code of {error} is {status}, which is none")
        name = error.replace("'", "''")
        lines += [f"#if($run.error == '{name}')", f"#set($context.responseOverride.status = {int(status)})", "#end"]
    mended = '.replaceAll("\\\\\'", "\'")'
    told = ", ".join(f'"{name}": "$util.escapeJavaScript($run.{name}){mended}"' for name in ("error", "cause"))
    lines += [f"{{{told}}}", "#end"]
    return {"default": (200, "\n".join(lines)), **out}


def parameter(text: str, request: Request, stage_variables: Mapping[str, str]) -> str | None:
    """Return what an HTTP API's parameter comes to: ``$request.path.id``, text with ``${request.path.id}`` in it."""
    if re.fullmatch(r"\$(request|context|stageVariables)[\w.$\[\]'-]*", text):
        return _selected(text[1:], request, stage_variables)
    return re.sub(r"\$\{([^}]+)\}", lambda m: _selected(m[1], request, stage_variables) or "", text)


def _selected(text: str, request: Request, stage_variables: Mapping[str, str]) -> str | None:
    root, _, rest = text.partition(".")
    kind, _, name = rest.partition(".")
    if root == "stageVariables":
        return stage_variables.get(rest)
    if root == "context":
        value: Any = request.context
        for part in rest.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return None if value is None else text_of(value)
    if kind == "body":
        return _of_body(request.body, name)
    if kind == "path" and not name:
        return request.path
    found = request.parameters.get(kind, {})
    if kind == "header":
        found = {header.lower(): value for header, value in found.items()}
        name = name.lower()
    return found.get(name)


def _of_body(body: str, name: str) -> str | None:
    if not name:
        return body or None
    try:
        value = compile_path(f"$.{name}").find(json.loads(body))
    except (ValueError, PathNotFoundError):
        return None
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def table(log: Sequence[Exchange]) -> list[dict[str, Any]]:
    """Return the rows of a table of requests."""
    return [{name: getattr(each, name) for name in Exchange.__slots__} for each in log]

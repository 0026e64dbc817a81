"""HTTP tasks (``http:invoke``) and API Gateway's (``apigateway:invoke``): real HTTP.

What AWS does with such a task: https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html and
…/connect-api-gateway.html. AWS takes HTTPS only; here ``http://`` is taken to this machine's own addresses, where a
server stands in for the API. Redirects are not followed, nothing is tried twice, and 60 seconds are the end of it.
"""

from __future__ import annotations

import base64
import ipaddress
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from sflab.asl.dataflow import MAX_BYTES, too_large
from sflab.asl.model import JSON, StatesError, compact, read_json
from sflab.backends.sandbox import NotSimulatedError
from sflab.backends.shapes import unsupported
from sflab.engine.messages import ScheduleTask
from sflab.errors import TaskNotFoundError

if TYPE_CHECKING:
    from sflab.backends.services import Services

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
LIMIT = 60.0  #: seconds a request may take in all
_HTTP_FIELDS = {
    "ApiEndpoint", "Authentication", "Headers", "InvocationConfig", "Method", "QueryParameters", "RequestBody",
    "Transform",
}  # fmt: skip
_GATEWAY_FIELDS = {
    "AllowNullValues", "ApiEndpoint", "AuthType", "Headers", "Method", "Path", "QueryParameters", "RequestBody",
    "Stage",
}  # fmt: skip
#: The parameters of the integrations that are no service's.
FIELDS = {"http": _HTTP_FIELDS, "apigateway": _GATEWAY_FIELDS}
# What the connection between two machines is made of is not the definition's to say; Host, Range and User-Agent are set
# by Step Functions itself.
_RESERVED = {
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "range", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
}  # fmt: skip
_UNREADABLE = ("application/octet-stream", "image/", "video/", "audio/")


class TimeLimitError(StatesError):
    """The request took too long; ``seconds`` is when it was given up."""

    def __init__(self, seconds: float, cause: str) -> None:
        super().__init__("States.Http.Socket", cause)
        self.seconds = seconds


def answer(command: ScheduleTask, services: Services) -> dict[str, JSON]:
    """Do the request of an HTTP or an API Gateway task and return the task's result.

    Raises StatesError when it fails (``States.Http.StatusCode.404``, ``States.Http.Socket``, ``ApiGateway.403``),
    TaskNotFoundError when the connection is not known here.
    """
    given = command.parameters
    if not isinstance(given, dict):
        raise unsupported(given, "The Parameters must be a JSON object")
    gateway = command.resource_type == "apigateway"
    for name in given:
        if name not in (_GATEWAY_FIELDS if gateway else _HTTP_FIELDS):
            raise unsupported(given, f'The field "{name}" is not supported by Step Functions')
    for name in ("ApiEndpoint", "Method"):
        if not isinstance(given.get(name), str):
            raise unsupported(given, f"The field '{name}' is required but was missing")
    if given["Method"] not in METHODS:
        raise unsupported(given, "The value of the field 'Method' has an invalid format")
    return (_gateway if gateway else _invoke)(command, given, services)


# ── http:invoke ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _invoke(command: ScheduleTask, given: dict[str, JSON], services: Services) -> dict[str, JSON]:
    url = _endpoint(given)
    holder = given.get("Authentication") or given.get("InvocationConfig")
    arn = holder.get("ConnectionArn") if isinstance(holder, dict) else None
    if not isinstance(arn, str):
        raise unsupported(given, "The field 'Authentication' is required but was missing")
    connection = Connection.find(arn, services)
    body, kind = _body(given)
    if connection.body and (body is None or isinstance(body, dict)):
        body = {**(body or {}), **connection.body}
    headers = {
        **({"Content-Type": kind} if body is not None else {}),
        **{name: _text(value) for name, value in _object(given, "Headers").items()},
    }
    query = {**_object(given, "QueryParameters"), **connection.query}
    text = _encoded(given, body)
    for again in (False, True):
        proof = connection.proof(services, fresh=again)
        sent = _merged(headers, connection.headers, proof)
        sent |= {"User-Agent": f"Amazon|StepFunctions|HttpInvoke|{services.session.region_name}"}
        sent |= {"Range": f"bytes=0-{MAX_BYTES}"}
        status, reason, received, content = exchange(
            str(given["Method"]), _with(url, query), sent, text, what=command.resource
        )
        if not (status == 401 and connection.kind == "OAUTH_CLIENT_CREDENTIALS"):
            break  # a token that is not taken any more is asked for anew, once
    if not 200 <= status < 300:
        raise StatesError(f"States.Http.StatusCode.{status}", content.decode("utf-8", "replace") or reason)
    return _result(status, reason, received, content)


def _endpoint(given: dict[str, JSON]) -> str:
    url = str(given["ApiEndpoint"])
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and _here(parts.hostname or ""):
        return url
    raise unsupported(
        given,
        "The value of the field 'ApiEndpoint' has an invalid format; AWS calls https:// only, and here http:// is for "
        "this machine (http://localhost:…)",
    )


def _here(host: str) -> bool:
    """Whether *host* is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _object(given: dict[str, JSON], name: str) -> dict[str, JSON]:
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise unsupported(given, f"The value of the field '{name}' has an invalid format")
    return value


def _text(value: JSON) -> str:
    if isinstance(value, list):
        return ",".join(_text(item) for item in value)
    return value if isinstance(value, str) else compact(value)


def _merged(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return headers, the later winning whatever the case, without those that are not the definition's to set."""
    made: dict[str, tuple[str, str]] = {}
    for layer in layers:
        made |= {name.lower(): (name, value) for name, value in layer.items() if name.lower() not in _RESERVED}
    return dict(made.values())


def _with(url: str, query: Mapping[str, JSON]) -> str:
    """Return *url* with *query* appended; a list is a parameter given several times."""
    if not query:
        return url
    parts = urlsplit(url)
    pairs = [
        *parse_qsl(parts.query, keep_blank_values=True),
        *(
            (name, _text(each))
            for name, value in query.items()
            for each in (value if isinstance(value, list) else [value])
        ),
    ]
    return urlunsplit(parts._replace(query=urlencode(pairs)))


def _body(given: dict[str, JSON]) -> tuple[JSON, str]:
    """Return the body and the content type it has unless the definition says another."""
    encoding = _object(given, "Transform").get("RequestBodyEncoding", "NONE")
    if encoding not in ("NONE", "URL_ENCODED"):
        raise unsupported(given, "The value of the field 'RequestBodyEncoding' has an invalid format")
    return given.get("RequestBody"), "application/x-www-form-urlencoded" if encoding != "NONE" else "application/json"


def _encoded(given: dict[str, JSON], body: JSON) -> bytes | None:
    if body is None:
        return None
    transform = _object(given, "Transform")
    if transform.get("RequestBodyEncoding") != "URL_ENCODED":
        return (body if isinstance(body, str) else compact(body)).encode()
    if not isinstance(body, dict):
        raise unsupported(given, "The value of the field 'RequestBody' has an invalid format: to be URL encoded it "
                                 "must be an object")  # fmt: skip
    style = _object(transform, "RequestEncodeOptions").get("ArrayFormat", "INDICES")
    if style not in ("INDICES", "REPEAT", "COMMAS", "BRACKETS", "NONE"):
        raise unsupported(given, "The value of the field 'ArrayFormat' has an invalid format")
    return form(body, str(style)).encode()


def form(body: Mapping[str, JSON], style: str) -> str:
    """Return *body* as a form: nested objects as ``a[b]=1``, arrays by *style*.

    ``INDICES`` a[0]=1&a[1]=2, ``REPEAT`` a=1&a=2, ``BRACKETS`` a[]=1&a[]=2, ``COMMAS`` a=1,2; ``NONE`` is as
    ``INDICES``.
    """

    def pairs(name: str, value: JSON) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from pairs(f"{name}[{key}]" if name else key, item)
        elif isinstance(value, list) and style == "COMMAS":
            yield name, ",".join(_text(item) for item in value)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                yield from pairs({"REPEAT": name, "BRACKETS": f"{name}[]"}.get(style, f"{name}[{i}]"), item)
        else:
            yield name, "" if value is None else _text(value)

    return "&".join(f"{quote(key, safe='[]')}={quote(value, safe=',')}" for key, value in pairs("", dict(body)))


# ── apigateway:invoke ────────────────────────────────────────────────────────────────────────────────────────────────


def _gateway(command: ScheduleTask, given: dict[str, JSON], services: Services) -> dict[str, JSON]:
    host = str(given["ApiEndpoint"])
    local = _here(urlsplit(f"//{host}").hostname or "")
    if services.sandbox is not None and not local:
        raise NotSimulatedError(f"the sandbox has no API {host}; a server of yours can be one: localhost:8080")
    path = "/".join(str(given[name]).strip("/") for name in ("Stage", "Path") if given.get(name))
    url = _with(f"{'http' if local else 'https'}://{host}/{quote(path)}", _object(given, "QueryParameters"))
    body = given.get("RequestBody")
    text = None if body is None else compact(body).encode()
    headers = {name: _text(value) for name, value in _object(given, "Headers").items()}
    headers = _merged({"Content-Type": "application/json"} if text is not None else {}, headers)
    headers["User-Agent"] = f"Amazon|StepFunctions|ApiGateway|{services.session.region_name}"
    if given.get("AuthType") == "IAM_ROLE" and services.sandbox is None:
        headers |= _signed(str(given["Method"]), url, headers, text, services)
    status, reason, received, content = exchange(str(given["Method"]), url, headers, text, what=command.resource)
    if not 200 <= status < 300:
        said = _readable(received, content)
        raise StatesError(f"ApiGateway.{status}", said if isinstance(said, str) else compact(said))
    return _result(status, reason, received, content)


def _signed(method: str, url: str, headers: dict[str, str], text: bytes | None, services: Services) -> dict[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(method, url, headers=headers, data=text)
    SigV4Auth(services.session.get_credentials(), "execute-api", services.session.region_name).add_auth(request)
    return dict(request.headers.items())


# ── the wire ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, what: str, limit: float = LIMIT
) -> tuple[int, str, list[tuple[str, str]], bytes]:
    """Send one request; return the status, its text, the headers and the body.

    Raises StatesError ``States.Http.Socket`` when there was no answer in *limit* seconds, or none at all;
    ``States.DataLimitExceeded``, of *what*, for one of more than 256 KiB.
    """
    import urllib3

    ends, timeout = time.monotonic() + limit, urllib3.Timeout(connect=limit, read=limit)
    try:
        with (
            urllib3.PoolManager(retries=False) as pool,
            pool.request(
                method, url, body=body, headers=dict(headers), redirect=False, preload_content=False, timeout=timeout
            ) as response,
        ):
            content = b""
            while piece := response.read1(65536):
                content += piece
                if len(content) > MAX_BYTES:
                    raise too_large(what)
                if time.monotonic() > ends:
                    raise TimeLimitError(limit, f"The request timed out after {limit:g} seconds")
            return response.status, response.reason or "", list(response.headers.items()), content
    except urllib3.exceptions.NewConnectionError as e:  # refused, or a name that is not known: at once, no timeout
        raise StatesError("States.Http.Socket", f"The request could not be made: {e}") from e
    except urllib3.exceptions.TimeoutError as e:
        raise TimeLimitError(limit, f"The request timed out after {limit:g} seconds") from e
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as e:
        raise StatesError("States.Http.Socket", f"The request could not be made: {e}") from e


def _readable(headers: list[tuple[str, str]], content: bytes) -> JSON:
    """Return a body as JSON where it says it is, and as text otherwise."""
    kind = next((value for name, value in headers if name.lower() == "content-type"), "").lower()
    if kind.startswith(_UNREADABLE):
        raise StatesError("States.Runtime", f"The response has the content type {kind}, which cannot be read as text")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise StatesError("States.Runtime", "The response cannot be read as a valid string") from None
    if "json" in kind:
        try:
            return read_json(text)
        except ValueError:
            return text
    return text


def _result(status: int, reason: str, headers: list[tuple[str, str]], content: bytes) -> dict[str, JSON]:
    """Return the task's result: the headers sorted whatever their case, each a list (conformance, apigateway)."""
    found: dict[str, list[JSON]] = {}
    for name, value in sorted(headers, key=lambda pair: pair[0].lower()):
        found.setdefault(name, []).append(value)
    made: dict[str, JSON] = {"Headers": dict(found), "ResponseBody": _readable(headers, content)}
    return {**made, "StatusCode": status, "StatusText": reason}


# ── connections ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Connection:
    """An EventBridge connection: how a request proves who sends it, and what it has besides.

    *raw* is as ``events.create_connection`` takes it: ``AuthParameters`` with ``ApiKeyAuthParameters``,
    ``BasicAuthParameters`` or ``OAuthParameters``, and ``InvocationHttpParameters``.
    """

    def __init__(self, name: str, raw: Mapping[str, Any]) -> None:
        auth = raw.get("AuthParameters", raw)
        self.name, self.auth = name, auth
        kinds = {
            "ApiKeyAuthParameters": "API_KEY",
            "BasicAuthParameters": "BASIC",
            "OAuthParameters": "OAUTH_CLIENT_CREDENTIALS",
        }
        self.kind = next((kind for key, kind in kinds.items() if key in auth), "")
        more = auth.get("InvocationHttpParameters") or {}
        self.headers = _listed(more, "HeaderParameters")
        self.query = _listed(more, "QueryStringParameters")
        self.body = _listed(more, "BodyParameters")

    @classmethod
    def find(cls, arn: str, services: Services) -> Connection:
        """Return the connection *arn*, of the backend's ``connections`` or of the session's EventBridge.

        Raises TaskNotFoundError when neither has it, with the line that gives it.
        """
        name = arn.rpartition(":connection/")[2].partition("/")[0]
        for key in (arn, name):
            if key in services.connections:
                return cls(arn, services.connections[key] or {})
        raw = _described(name, services)
        if raw is None:
            raise TaskNotFoundError(
                f"there is no EventBridge connection {name!r} here. Give it: sf.Local(connections={{{compact(name)}: "
                '{"ApiKeyAuthParameters": {"ApiKeyName": "x-api-key", "ApiKeyValue": "…"}}}), or make it in the '
                'sandbox: local.session.client("events").create_connection(…). {} is a connection without credentials.'
            )
        return cls(arn, raw)

    def proof(self, services: Services, *, fresh: bool = False) -> dict[str, str]:
        """Return the headers that prove who sends the request; a token is asked for once, and when *fresh* again."""
        match self.kind:
            case "API_KEY":
                given = self.auth["ApiKeyAuthParameters"]
                return {str(given["ApiKeyName"]): str(given["ApiKeyValue"])}
            case "BASIC":
                given = self.auth["BasicAuthParameters"]
                return _basic(given["Username"], given["Password"])
            case "OAUTH_CLIENT_CREDENTIALS":
                if fresh or self.name not in services.tokens:
                    services.tokens[self.name] = self._token()
                return {"Authorization": f"Bearer {services.tokens[self.name]}"}
        return {}

    def _token(self) -> str:
        """Ask the authorization endpoint for a token: the grant of client credentials (RFC 6749, 4.4)."""
        given = self.auth["OAuthParameters"]
        client, more = given["ClientParameters"], given.get("OAuthHttpParameters") or {}
        url = _endpoint({"ApiEndpoint": given["AuthorizationEndpoint"]})
        body = {"grant_type": "client_credentials", **_listed(more, "BodyParameters")}
        headers = {
            **_basic(client["ClientID"], client["ClientSecret"]),
            "Content-Type": "application/x-www-form-urlencoded",
            **_listed(more, "HeaderParameters"),
        }
        method, query = given.get("HttpMethod", "POST"), _listed(more, "QueryStringParameters")
        if method == "GET":
            query, body = {**body, **query}, {}
        sent = urlencode(body).encode() if body else None
        status, reason, _, content = exchange(method, _with(url, query), headers, sent, what=url)
        try:
            return str(read_json(content.decode())["access_token"])
        except (ValueError, KeyError, TypeError):
            # https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html#connect-http-task-errors
            raise StatesError(
                "Events.ConnectionResource.InvalidConnectionState",
                f"The connection is in an invalid state: {url} gave no access_token ({status} {reason})",
            ) from None


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _listed(more: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return EventBridge's list of keys and values as a dict."""
    return {str(each["Key"]): str(each.get("Value", "")) for each in more.get(name) or ()}


def _described(name: str, services: Services) -> dict[str, Any] | None:
    """Return a connection of the session's EventBridge, with its secrets; None where there is none of that name."""
    from botocore.exceptions import ClientError

    try:
        found = services.client("events").describe_connection(Name=name)
        secret = services.client("secretsmanager").get_secret_value(SecretId=found["SecretArn"])["SecretString"]
    except ClientError:
        return None
    return _unlocked(read_json(secret))


def _unlocked(secret: Any) -> dict[str, Any]:
    """Return what EventBridge keeps of a connection in Secrets Manager as ``create_connection`` takes it."""

    def pascal(value: Any) -> Any:
        if isinstance(value, dict):
            return {"".join(w.capitalize() for w in key.split("_")): pascal(item) for key, item in value.items()}
        return [pascal(item) for item in value] if isinstance(value, list) else value

    given = pascal(secret)
    made = {"InvocationHttpParameters": given.pop("InvocationHttpParameters", None) or {}}
    if "ApiKeyName" in given:
        return {**made, "ApiKeyAuthParameters": given}
    if "Username" in given:
        return {**made, "BasicAuthParameters": given}
    client = given.get("ClientParameters", given)
    if "ClientId" in client:
        named = {"ClientID": client["ClientId"], "ClientSecret": client.get("ClientSecret", "")}
        more = given.get("OauthHttpParameters") or given.get("OAuthHttpParameters") or {}
        return {**made, "OAuthParameters": {**given, "ClientParameters": named, "OAuthHttpParameters": more}}
    return made

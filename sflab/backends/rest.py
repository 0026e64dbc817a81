"""A REST or HTTP API on this computer, with Step Functions behind it: a real server for real clients.

What a request becomes is `sflab.backends.gateway`'s business; here are the socket, and the OpenAPI document that would
deploy the same routes on AWS.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Self

from sflab.backends import gateway
from sflab.backends.callbacks import ACCOUNT
from sflab.backends.gateway import MAX_BODY, SECONDS, Exchange, Gateway, Integration, Reply, Route, said, too_large
from sflab.backends.local import Local
from sflab.backends.serve import Connection, Listener
from sflab.backends.statemachine import StateMachine
from sflab.backends.velocity import Template
from sflab.errors import SflabError

if TYPE_CHECKING:
    import pandas as pd

    from sflab.asl.model import JSON

#: Headers that are about the connection, and not the request's.
_HOP = ("connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-authorization")


class RestApi:
    """Routes of API Gateway to state machines, served on this computer.

        api = sf.RestApi({"GET /notes/{id}": notes, "POST /notes": sf.Route(notes, status="$.status")}, local)
        with api:
            urllib.request.urlopen(f"{api.url}/notes/1")

    *routes* maps a method and a path (``GET /notes/{id}``, ``ANY /{proxy+}``) to a StateMachine or a `Route`. An
    Express machine is started with StartSyncExecution and answers with its output, a Standard one with StartExecution.
    *local* is the backend that runs them (default: a new one); its tables are what the routes read and write. *kind*
    is ``REST`` or ``HTTP``, as API Gateway has both; a REST API's URL ends with its *stage*. *stage_variables* are what
    mappings see as ``$stageVariables``. *port* 0 takes a free one; only loopback is listened on unless *host* says so.

    Not here: authorizers, API keys, throttling, caches, request validators, and CORS beyond what a route answers.

    ``log`` has an entry for each request, ``df`` is it as a table; ``test_invoke`` asks without a socket.
    """

    def __init__(
        self,
        routes: Mapping[str, StateMachine | Route],
        local: Local | None = None,
        *,
        kind: str = "REST",
        name: str = "api",
        stage: str = "prod",
        stage_variables: Mapping[str, str] | None = None,
        role_arn: str = f"arn:aws:iam::{ACCOUNT}:role/api-starts-executions",
        port: int = 0,
        host: str | None = None,
    ) -> None:
        self.local = local or Local()
        self.name, self.role_arn, self._port, self._host = name, role_arn, port, host
        self.gateway = Gateway(routes, self.local, kind=kind, stage=stage, stage_variables=stage_variables)
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Where it is served, stage and all. Raises SflabError before it is."""
        if self._server is None:
            raise SflabError("the API is not served: write `with api:` around its requests, or api.start()")
        return self._server.url + (f"/{self.gateway.stage}" if self.gateway.kind == "REST" else "")

    def start(self) -> Self:
        """Begin to serve, from a thread of its own; `stop` ends it."""
        if self._server is None:
            self._server = _Server(self.gateway, self._port, self._host).__enter__()
        return self

    def stop(self) -> None:
        """End serving."""
        if self._server is not None:
            self._server.__exit__()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def test_invoke(
        self, method: str, path: str, body: str | bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Answer a request without a socket, as API Gateway's TestInvokeMethod does: *path* is without the stage."""
        stage = f"/{self.gateway.stage}" if self.gateway.kind == "REST" else ""
        data = body.encode() if isinstance(body, str) else body
        return self.gateway.handle(method, stage + path, headers or {}, data)

    @property
    def log(self) -> list[Exchange]:
        """The requests that were answered, oldest first."""
        return self.gateway.log

    @property
    def df(self) -> pd.DataFrame:
        """A row per request: method, path, status, execution_arn, and why a fault of the route was one."""
        import pandas as pd

        return pd.DataFrame(gateway.table(self.log), columns=[*Exchange.__slots__])

    def __repr__(self) -> str:
        routes = ", ".join(f"{one.pattern.method} {one.pattern.path}" for one in self.gateway.integrations)
        where = f" at {self.url}" if self._server is not None else ""
        return f"RestApi({self.name!r}, {self.gateway.kind}: {routes}{where})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(one.pattern.method)}</td><td>{escape(one.pattern.path)}</td>"
            f"<td>{escape(one.action)}</td><td>{escape(one.route.machine.name)}</td></tr>"
            for one in self.gateway.integrations
        )
        head = "<tr><th>method</th><th>path</th><th>action</th><th>state machine</th></tr>"
        return f"<div><b>{escape(self.name)}</b> ({self.gateway.kind} API)<table>{head}{rows}</table></div>"

    # ── as AWS would be told ─────────────────────────────────────────────────────────────────────────────────────────

    def openapi(self) -> dict[str, JSON]:
        """Return the OpenAPI 3.0 document, with ``x-amazon-apigateway-integration``, that would deploy the routes.

        ``aws apigateway import-rest-api`` takes it (``apigatewayv2 import-api`` for an HTTP API) when the state
        machines are there and the role may start them.
        """
        paths: dict[str, Any] = {}
        for one in self.gateway.integrations:
            method = one.pattern.method
            key = "x-amazon-apigateway-any-method" if method == "ANY" else method.lower()
            paths.setdefault(one.pattern.path, {})[key] = self._operation(one)
        return {
            "openapi": "3.0.1",
            "info": {"title": self.name, "version": "1"},
            "paths": {path: paths[path] for path in sorted(paths)},
        }

    def _operation(self, one: Integration) -> dict[str, Any]:
        words = [one.pattern.method.lower(), *[part.strip("{+}") for part in one.pattern.path.split("/") if part]]
        operation: dict[str, Any] = {"operationId": "-".join(words)}
        if one.pattern.parameters:
            operation["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in one.pattern.parameters
            ]
        if one.pattern.method in ("POST", "PUT", "PATCH", "ANY"):
            operation["requestBody"] = {"content": {"application/json": {"schema": {}}}}
        statuses = sorted({200, *(status for _, status, _ in one.responses), *one.route.errors.values()})
        operation["responses"] = {
            str(status): {"description": _DESCRIBED.get(status // 100, "")} for status in statuses
        }
        operation["x-amazon-apigateway-integration"] = self._integration(one)
        return operation

    def _integration(self, one: Integration) -> dict[str, Any]:
        if isinstance(one.request, Template):
            return {
                "type": "aws",
                "httpMethod": "POST",
                "uri": f"arn:aws:apigateway:{self.local.region}:states:action/{one.action}",
                "credentials": self.role_arn,
                "passthroughBehavior": "never",
                "timeoutInMillis": round(SECONDS["REST"] * 1000),
                "requestTemplates": {"application/json": one.request.text},
                "responses": {
                    pattern: {
                        "statusCode": str(status),
                        **({"responseTemplates": {"application/json": template.text}} if template else {}),
                    }
                    for pattern, status, template in one.responses
                },
            }
        return {
            "type": "aws_proxy",
            "integrationSubtype": f"StepFunctions-{one.action}",
            "credentials": self.role_arn,
            "payloadFormatVersion": "1.0",
            "connectionType": "INTERNET",
            "timeoutInMillis": round(SECONDS["HTTP"] * 1000),
            "requestParameters": {"StateMachineArn": one.arn, **one.request},
        }


_DESCRIBED = {
    1: "Informational",
    2: "Success",
    3: "Redirect",
    4: "The request is at fault",
    5: "The workflow is at fault",
}


class _Handler(Connection):
    """One connection of a client of the API."""

    server: _Server
    most = MAX_BODY

    def said(self, status: int, code: str, message: str) -> tuple[bytes, str]:  # noqa: ARG002 - a gateway's errors have words
        """Return an error as API Gateway words it."""
        reply = too_large(self.server.gateway.kind) if status == 413 else said(status, message)
        return reply.body.encode(), "application/json"

    def bodiless(self) -> int | None:
        """A request that says nothing of a body has none."""
        if self.headers.get("Transfer-Encoding"):
            self.refuse(411, "", "Length Required")
            return None
        return 0

    def _do(self) -> None:
        body = self.body()
        if body is None:
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        try:
            reply = self.server.gateway.handle(self.command, self.path, headers, body)
        except Exception as e:  # noqa: BLE001 - a fault of ours must not end the connection without a word
            sys.stderr.write(f"sflab: a fault of sflab itself: {type(e).__name__}: {e}\n")
            reply = said(500, "Internal server error", "InternalServerError")
        text = b"" if reply.status in (204, 304) or reply.status < 200 else reply.body.encode(errors="backslashreplace")
        why = {"x-sflab-why": _one_line(reply.why)} if reply.why else {}
        plain = {name: _one_line(value) for name, value in reply.headers.items()}
        request = {"x-amzn-RequestId": str(uuid.uuid4())}
        self.answer(reply.status, text, {"Content-Type": "application/json", **plain, **request, **why})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _do  # noqa: N815 - http.server's names


def _one_line(text: str) -> str:
    """What a header may hold: one line of Latin-1."""
    return " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")[:500]


class _Server(Listener):
    def __init__(self, routes: Gateway, port: int, host: str | None) -> None:
        self.gateway = routes
        super().__init__(port, host, _Handler)

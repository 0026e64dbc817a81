"""The local backend over HTTP: the AWS JSON 1.0 protocol on loopback, for the AWS CLI, SDKs and SAM.

Theory of operation. One thread accepts, one serves each connection, so that whoever is slow, hangs up or polls for an
activity's task holds up nobody. A body is read only when its length is told and allowed. There are no credentials to
check, which is why nothing but loopback is listened on unless a host is named, and why requests that come by another
host's name are refused there: a web page cannot reach the server by a name of its own that leads to loopback.
"""

from __future__ import annotations

import ipaddress
import json
import select
import socket
import socketserver
import sys
import threading
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from sflab.backends.api import MAX_REQUEST, PRESENT, respond
from sflab.backends.local import Local
from sflab.errors import SflabError

if TYPE_CHECKING:
    from sflab.backends.statemachine import StateMachine

HOST, PORT = "127.0.0.1", 8083  # the port of AWS's own Step Functions Local
IDLE = 60.0  # seconds a connection may be silent in the middle of a request or between two
TYPE = "application/x-amz-json-1.0"


def backend(
    functions: Mapping[str, Any],
    tasks: Mapping[str, Any],
    *,
    rate: float,
    seed: int = 0,
    machines: Iterable[StateMachine] = (),
) -> Local:
    """Return a backend to be served: at a finite rate its time begins now, so that dates are today's."""
    start = None if rate == float("inf") else datetime.now(UTC)
    return Local(functions, tasks, rate=rate, seed=seed, start=start, machines=machines)


def loopback(host: str) -> bool:
    """Whether a host's name or address is this computer's own."""
    host = host.lower().removeprefix("sync-").rstrip(".")  # SDKs put sync- before the host of two operations
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Connection(BaseHTTPRequestHandler):
    """One connection of a server of ours: what all that speak HTTP have in common."""

    protocol_version = "HTTP/1.1"  # keep-alive
    server_version, sys_version = "sflab", ""
    timeout = IDLE
    disable_nagle_algorithm = True
    wbufsize = 65_536
    server: Listener
    most = MAX_REQUEST

    def said(self, status: int, code: str, message: str) -> tuple[bytes, str]:
        """Return the body of an error, and its content type."""
        raise NotImplementedError

    def body(self) -> bytes | None:
        """Return the request's body; None where it was refused or its sender has hung up."""
        length = self._length()
        if length is None:
            return None
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return None
        return body

    def welcome(self) -> bool:
        """Whether whoever asks came by a name of this computer's own; who did not is refused."""
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        except ValueError:
            host = ""
        if self.server.open or loopback(host):
            return True
        self.close_connection = True
        self.refuse(403, "AccessDeniedException", f"This server answers on loopback only, not as {host!r}")
        return False

    def _length(self) -> int | None:
        """Return how long the body is; None where the request was refused."""
        given = self.headers.get("Content-Length")
        if not self.welcome():
            return None
        if given is None:
            return self.bodiless()
        if not given.isascii() or not given.isdigit():
            self.refuse(400, "SerializationException", f"Content-Length is no number: {given[:40]!r}")
        elif len(given) > 12 or int(given) > self.most:
            self.refuse(413, "RequestEntityTooLargeException", f"The request is larger than {self.most:,} bytes")
        else:
            return int(given)
        return None

    def bodiless(self) -> int | None:
        """Say how long the body of a request is that does not; None where it is refused for that."""
        self.refuse(411, "MissingContentLength", "Say how long the body is, with Content-Length")
        return None

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer without having read the body: the connection ends, for what follows is no request."""
        self.close_connection = True
        body, kind = self.said(status, code, message)
        self.answer(status, body, {"Content-Type": kind})

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Write a response."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if "x-amzn-RequestId" not in headers:
            self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def present(self) -> bool:
        """Whether the client is still there: it has nothing to say while it waits, so a readable socket has ended."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return not readable or bool(self.connection.recv(1, socket.MSG_PEEK))
        except (OSError, ValueError):
            return False

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request at all, or another method, in the protocol's form."""
        self.request_version = self.protocol_version
        self.refuse(code, "UnknownOperationException", explain or message or "")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: requests are the client's business."""


class _Handler(Connection):
    """One connection of a client of the Step Functions API."""

    server: Server

    def said(self, status: int, code: str, message: str) -> tuple[bytes, str]:  # noqa: ARG002 - the protocol has codes
        """Return an error as the protocol has it."""
        return _error(code, message), TYPE

    def do_POST(self) -> None:
        """Answer a request of the protocol."""
        body = self.body()
        if body is None:
            return
        PRESENT.set(self.present)
        try:
            status, answer = respond(self.server.local, self.headers.get("X-Amz-Target"), body)
        except SflabError as e:  # nothing is bound to a task, in virtual time
            status, answer = 400, _error(type(e).__name__, str(e))
        except Exception as e:  # noqa: BLE001 - a fault of ours must not end the connection without a word
            said = f"a fault of sflab itself: {type(e).__name__}: {e}"
            sys.stderr.write(f"sflab: {said}\n")
            status, answer = 500, _error("InternalFailure", said)
        self.answer(status, answer, {"Content-Type": TYPE})

    def do_GET(self) -> None:
        """Tell whoever looks with a browser what this is."""
        if self.welcome():
            self.answer(200, f"{self.server.told}\n".encode(), {"Content-Type": "text/plain; charset=utf-8"})


class Listener(ThreadingHTTPServer):
    """Listens on loopback, or on *host* where one is named; port 0 takes a free one.

    ``url`` is where it is. As a context manager it serves from a thread of its own until the end of the block.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, host: str | None, connection: type[Connection]) -> None:
        host = HOST if host is None else host
        if not host:
            raise SflabError(
                "host is empty: name one (0.0.0.0 is every address of this computer), or none for loopback"
            )
        self.open = not loopback(host)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), connection)
        except OverflowError:
            raise SflabError(f"port {port}: a port is a number from 0 to 65535") from None
        except OSError as e:
            raise SflabError(f"cannot listen on {host}, port {port}: {e.strerror or e}") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.server_address[1]}"

    def server_bind(self) -> None:
        """Bind without asking the network for this computer's name, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's own signature
        """A client that hangs up is no error; anything else is told in a line."""
        e = sys.exc_info()[1]
        if not isinstance(e, ConnectionError | TimeoutError):
            sys.stderr.write(f"sflab: a connection from {client_address[0]} broke: {type(e).__name__}: {e}\n")

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), name="sflab-serve", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Server(Listener):
    """Serves the Step Functions API of *local*; see `Listener` for *port* and *host*."""

    def __init__(self, local: Local, port: int = PORT, host: str | None = None) -> None:
        self.local = local
        super().__init__(port, host, _Handler)

    @property
    def told(self) -> str:
        """One line: where it is, and how to point a client at it."""
        return (
            f"Step Functions on {self.url}: aws stepfunctions list-state-machines --endpoint-url {self.url}, or "
            f'boto3.client("stepfunctions", endpoint_url="{self.url}", config=Config(inject_host_prefix=False))'
        )


def _error(code: str, message: str) -> bytes:
    return json.dumps({"__type": code, "message": message}).encode()

"""The API over HTTP under load, beside moto's: ``python tests/benchmarks/serve.py [--seconds 60] [--clients 64]``.

Each server is a process of its own. Each client is a thread with a connection of its own, in four processes, and asks
in a loop: StartExecution of a state machine with one Pass state, DescribeExecution until it has ended,
GetExecutionHistory. Requests are made by hand with ``http.client``, the same for both servers, because a boto3 client
costs more processor time than either server. Printed are requests a second, rounds a second, and the median and 99th
percentile of a round.

Then workload w1 (``../shared/workloads``; the argument DIR names another folder): executions a second from the first
StartExecution to the last output read, 8 clients.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORKLOADS = Path(__file__).resolve().parents[2].parent / "shared" / "workloads"
ROLE = "arn:aws:iam::123456789012:role/runs"
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": {"said": "done"}, "End": True}}}
PROCESSES = 4
MOTO = """
import logging, sys
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
default_user_config["stepfunctions"]["execute_state_machine"] = True
server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
server.start()
server._thread.join()
"""


@contextmanager
def serving(name: str) -> Iterator[int]:
    """Run a server in a process of its own; give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    commands = {
        "sflab": [sys.executable, "-m", "sflab.cli", "serve", "--port", str(port)],
        "moto": [sys.executable, "-c", MOTO, str(port)],
    }
    process = subprocess.Popen(commands[name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"{name} did not start") from None
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


class Client:
    """One client: a connection, made anew where the server closes it."""

    def __init__(self, port: int) -> None:
        self.port, self.requests = port, 0
        self.connection: http.client.HTTPConnection | None = None

    def ask(self, operation: str, **body: Any) -> dict[str, Any]:
        """Ask, and raise RuntimeError for a refusal."""
        headers = {
            "X-Amz-Target": f"AWSStepFunctions.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/states/aws4_request, "
            "SignedHeaders=host, Signature=x",
        }
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.connection.request("POST", "/", json.dumps(body), headers)
        answer = self.connection.getresponse()
        said = json.loads(answer.read() or b"{}")
        self.requests += 1
        if answer.will_close:
            self.connection.close()
            self.connection = None
        if answer.status != 200:
            raise RuntimeError(f"{operation}: {answer.status} {said}")
        return dict(said)

    def create(self, name: str, definition: Any) -> str:
        """Create a state machine; return its ARN."""
        text = json.dumps(definition)
        return str(self.ask("CreateStateMachine", name=name, definition=text, roleArn=ROLE)["stateMachineArn"])

    def round(self, machine: str, name: str, input: str = "{}") -> dict[str, Any]:
        """Start an execution, wait for its end, read its history; return how it ended."""
        arn = self.ask("StartExecution", stateMachineArn=machine, name=name, input=input)["executionArn"]
        while (said := self.ask("DescribeExecution", executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.002)
        events = self.ask("GetExecutionHistory", executionArn=arn, maxResults=1000)["events"]
        if said["status"] != "SUCCEEDED" or events[-1]["type"] != "ExecutionSucceeded":
            raise RuntimeError(f"{arn}: {said}")
        return said


def load(port: int, machine: str, clients: int, until: float, *, number: int, out: Any) -> None:
    """One process of clients, until the time is over; puts (requests, seconds of each round, errors)."""
    rounds: list[float] = []
    errors: list[str] = []
    asked: list[int] = []

    def work(which: int) -> None:
        client, turn = Client(port), 0
        while time.monotonic() < until:
            begun, turn = time.monotonic(), turn + 1
            try:
                client.round(machine, f"e-{number}-{which}-{turn}")
            except (OSError, RuntimeError, http.client.HTTPException, ValueError) as e:
                errors.append(repr(e))
                client.connection = None
            else:
                rounds.append(time.monotonic() - begun)
        asked.append(client.requests)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put((sum(asked), rounds, errors))


def measure(name: str, clients: int, seconds: float) -> None:
    """Print how one server does under load."""
    with serving(name) as port:
        machine = Client(port).create("pass", PASS)
        out: Any = multiprocessing.Queue()
        share = clients // PROCESSES
        begun = time.monotonic()
        processes = [
            multiprocessing.Process(
                target=load, args=(port, machine, share, begun + seconds), kwargs={"number": n, "out": out}
            )
            for n in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        found = [out.get() for _ in processes]
        took = time.monotonic() - begun
        for process in processes:
            process.join()
    rounds = sorted(r for _, each, _ in found for r in each)
    errors = [e for _, _, each in found for e in each]
    requests = sum(n for n, _, _ in found)
    p99 = rounds[int(len(rounds) * 0.99)] if rounds else float("nan")
    median = statistics.median(rounds) if rounds else float("nan")
    print(
        f"{name:6} {requests / took:10,.0f} {len(rounds) / took:10,.0f} {median * 1000:10.1f} {p99 * 1000:10.1f} "
        f"{len(errors):8,}  {errors[0][:60] if errors else ''}",
        flush=True,
    )


def workload(folder: Path, executions: int, clients: int = 8) -> None:
    """Print how many executions of w1 a second the endpoint does."""
    definition = json.loads((folder / "w1.json").read_text("utf-8"))
    given = (folder / "w1.input.json").read_text("utf-8")
    expected = json.loads((folder / "w1.expect.json").read_text("utf-8"))
    wrong: list[Any] = []
    with serving("sflab") as port:
        machine = Client(port).create("w1", definition)

        def work(which: int) -> None:
            client = Client(port)
            for turn in range(executions // clients):
                said = client.round(machine, f"w-{which}-{turn}", given)
                if json.loads(said["output"]) != expected.get("output", expected):
                    wrong.append(said["output"])

        begun = time.monotonic()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - begun
    print(f"w1 over the endpoint: {executions / took:,.0f} executions a second, {len(wrong)} wrong outputs")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=WORKLOADS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--executions", type=int, default=2000)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {given.clients} clients, {given.seconds:.0f} s each")
    print("server requests/s   rounds/s  median ms     p99 ms   errors")
    for name in ("sflab", "moto"):
        measure(name, given.clients, given.seconds)
    if (given.folder / "w1.json").is_file():
        workload(given.folder, given.executions)


if __name__ == "__main__":
    main()

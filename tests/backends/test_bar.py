"""Progress of long work, and what is left when it is interrupted: in this process, and in one that gets a SIGINT."""

import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import sflab as sf
from sflab.backends import bar as bars
from sflab.backends.bar import Bar, Line, tracked
from sflab.errors import Interrupted


class Seen:
    """A surface and a clock."""

    def __init__(self):
        self.drawn, self.closed, self.at, self.made = [], [], 0.0, 0

    def __call__(self):
        self.made += 1
        return self

    def draw(self, share, words):
        self.drawn.append((share, words))

    def close(self, words):
        self.closed.append(words)

    def now(self):
        return self.at


def test_nothing_shows_of_what_takes_no_time() -> None:
    seen = Seen()
    with Bar("work", 3, surface=seen, now=seen.now) as bar:
        for n in range(3):
            bar(n)
            seen.at += 0.1
    assert (seen.made, seen.drawn, seen.closed) == (0, [], [])


def test_what_it_says() -> None:
    seen = Seen()
    with Bar("comparing", 1000, unit="executions", surface=seen, now=seen.now) as bar:
        seen.at = 2.0
        bar(250)
        bar(251)  # too soon after the last drawing
        seen.at = 3.0
        bar(500, note="slow")
    assert seen.drawn == [
        (0.25, "comparing: 250 of 1,000 executions, 2 s, about 6 s left"),
        (0.5, "comparing: 500 of 1,000 executions, slow, 3 s, about 3 s left"),
    ]
    assert seen.closed == ["comparing: 500 of 1,000 executions, slow, 3 s"]

    def broken():
        with Bar("work", surface=seen, now=seen.now) as bar:
            seen.at = 9.0
            bar(7)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert seen.drawn[-1] == (None, "work: 7, 6 s")
    assert seen.closed[-1] == "stopped: work: 7, 6 s"


def test_tracked_gives_out_what_it_is_given() -> None:
    assert list(tracked([1, 2, 3], "x")) == [1, 2, 3]
    assert list(tracked(iter("ab"), "x")) == ["a", "b"]


def test_it_is_silent_where_nobody_looks(monkeypatch) -> None:
    monkeypatch.setenv("SFLAB_HEADLESS", "1")
    assert bars.surface_here() is None
    monkeypatch.delenv("SFLAB_HEADLESS")
    assert bars.surface_here() is None  # pytest's stderr is no terminal


def test_a_terminal_has_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    line = Line(sys.stderr)
    line.draw(0.5, "x" * 100)
    line.draw(None, "y")
    line.close("done")
    said = capsys.readouterr().err
    assert "\n" not in said
    assert max(map(len, re.split(r"\r\x1b\[K", said))) < 60
    assert said.startswith("\r\x1b[K##########..........  50% xxx")
    assert said.endswith("\r\x1b[K")


# ── interrupted ──────────────────────────────────────────────────────────────────────────────────────────────────────

LAMBDA = "arn:aws:states:::lambda:invoke"
TWO = sf.StateMachine.load(
    {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "A"}, "Next": "B"},
            "B": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "B"}, "End": True},
        },
    },
    name="two",
)


def stop(event=None, context=None):
    raise KeyboardInterrupt


def test_an_interrupted_execution_stays_as_it_stood() -> None:
    local = sf.Local(functions={"A": sf.mock({"a": 1}, latency=1), "B": stop})
    with pytest.raises(Interrupted, match=r"two · run-0001 was interrupted after \d+ events") as caught:
        local.start_execution(TWO)
    run = caught.value.partial
    assert run is local.executions[-1]
    assert run.status == "RUNNING"
    assert [v.state for v in run.visits] == ["A", "B"]
    assert run.visits.df.status.tolist() == ["SUCCEEDED", "RUNNING"]
    assert run.timeline().text
    assert run.cost().usd > 0
    with pytest.raises(sf.ExecutionFailed, match="it was interrupted"):
        run.result()
    gone_on = sf.replay(TWO, run.history).resume(functions={"A": sf.mock({}), "B": sf.mock({"b": 2})})
    assert gone_on.status == "SUCCEEDED"
    assert local.start_execution(sf.StateMachine.load({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}))
    run.stop("Enough")
    assert run.status == "ABORTED"


def test_an_interrupted_comparison_has_what_was_done() -> None:
    calls = []

    def counted(event, context):
        calls.append(1)
        if len(calls) == 130:
            raise KeyboardInterrupt
        return {}

    local = sf.Local(functions={"A": counted, "B": sf.mock({}, latency=1)})
    with pytest.raises(Interrupted, match="stopped after 20 of 100 executions of 'second'") as caught:
        sf.compare({"first": TWO, "second": TWO}, local, {}, n=100)
    part = caught.value.partial
    assert [r.n for r in part.results] == [100, 20]
    assert "stopped early: only 20 of “second”" in part._repr_mimebundle_()["text/plain"]
    assert len(part.df) == 2


def test_a_comparison_tells_how_far_it_is() -> None:
    told = []
    local = sf.Local(functions={"A": sf.mock({}), "B": sf.mock({})})
    sf.compare({"one": TWO, "two": TWO}, local, {}, n=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]


def test_an_interrupted_table_has_what_was_read() -> None:
    local = sf.Local(functions={"A": sf.mock({}), "B": sf.mock({})})
    runs = [local.start_execution(TWO) for _ in range(5)]

    class Stop(sf.History):
        events = property(stop)

        def __init__(self):
            self.definition, self.type = None, "STANDARD"

    with pytest.raises(Interrupted, match="stopped after 3 of 6 histories") as caught:
        sf.table([*runs[:3], Stop(), *runs[3:]])
    assert len(caught.value.partial) == 6


def test_waiting_in_real_time_can_be_interrupted() -> None:
    machine = sf.StateMachine.load({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}})
    run = sf.Local(rate=1).start_execution(machine)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run.wait()
    assert time.monotonic() - start < 10
    assert run.status == "RUNNING"
    assert run.wait(timeout=0.1) is run
    run.stop()
    assert run.status == "ABORTED"


BIG = """
import sflab as sf, sys
machine = sf.StateMachine.load({"StartAt": "Each", "States": {"Each": {"Type": "Map", "End": True, "ItemProcessor": {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "P",
    "States": {"P": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True,
               "Parameters": {"FunctionName": "F"}}}}}}}, name="big")
local = sf.Local(functions={"F": sf.mock({}, latency=0.1)})
print("ready", flush=True)
try:
    local.start_execution(machine, [7] * 60_000)
except KeyboardInterrupt as stopped:
    run = stopped.partial
    counts = run.map_runs[0].execution_counts
    print(type(stopped).__name__, run.status, counts["total"], 0 < counts["succeeded"] < 60_000, len(run.history))
    run.visits.df, run.map_runs.df, run.timeline().svg
    print("usable")
"""


def test_a_process_that_gets_a_sigint(tmp_path) -> None:
    """A Distributed Map in a process of its own, whose terminal shows one line, stopped as Ctrl-C stops it."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("SFLAB_HEADLESS", None)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BIG)], stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True
    )
    os.close(theirs)
    shown = b""
    assert process.stdout.readline() == "ready\n"
    end = time.monotonic() + 30
    while b"child executions" not in shown and time.monotonic() < end:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    os.close(ours)
    assert re.search(rb"\r\x1b\[K#*\.* +\d+% big .{1,3} run-0001: [\d,]+ of 60,000 child executions", shown)
    assert b"\n" not in shown
    assert said.splitlines()[0].startswith("Interrupted RUNNING 60000 True ")
    assert said.splitlines()[1] == "usable"
    assert process.returncode == 0


def test_nothing_on_a_stderr_that_is_no_terminal(tmp_path) -> None:
    code = "import time, sys\nfrom sflab.backends.bar import Bar\nwith Bar('x') as b:\n    time.sleep(0.7); b(1)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""

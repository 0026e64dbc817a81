import gc
import importlib.util
import math
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from statistics import fmean, stdev

import pytest

import sflab as sf
from sflab.backends import simulate as module
from sflab.costs import prices
from sflab.costs.usage import Meter
from sflab.errors import DefinitionError, SflabError, TaskNotFoundError

LAMBDA = "arn:aws:states:::lambda:invoke"
BUSY = {"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 9}


def chain(*names, type="STANDARD", **fields):
    states = {
        name: {
            "Type": "Task",
            "Resource": LAMBDA,
            "Parameters": {"FunctionName": name, "Payload.$": "$"},
            "OutputPath": "$.Payload",
            **fields,
            **({"Next": after} if after else {"End": True}),
        }
        for name, after in zip(names, (*names[1:], None), strict=True)
    }
    return sf.StateMachine.load({"StartAt": names[0], "States": states}, name="chain", type=type)


def activity(name):
    arn = f"arn:aws:states:us-east-1:123456789012:activity:{name}"
    return sf.StateMachine.load({"StartAt": name, "States": {name: {"Type": "Task", "Resource": arn, "End": True}}})


class Exponential:
    """Service times without memory, as queues in books have them."""

    def __init__(self, mean):
        self.mean = mean

    def sample(self, rng):
        return -self.mean * math.log1p(-rng.random())


def doubled(event, context):
    return {"n": event["n"] * 2}


INSTANT = {"STANDARD": sf.constant(0), "EXPRESS": sf.constant(0)}

# ── the same wherever it runs ────────────────────────────────────────────────────────────────────────────────────────


def saga_like(**options):
    """A simulation with functions that run, mocks, faults and retries."""
    return sf.simulate(
        chain("A", "B", Retry=[{"ErrorEquals": ["States.ALL"], "JitterStrategy": "FULL"}]),
        n=120,
        inputs=[{"n": 1}, {"n": "é" * 50}],
        functions={
            "A": lambda event, context: {"n": event["n"] * 2},
            "B": sf.mock({"ok": True}, latency=sf.lognormal(p50=1, p99=3)),
        },
        faults={"B": [sf.fault(0.1, "Busy"), sf.slow_tail(0.05, times=5)]},
        arrivals=sf.poisson(3),
        limits=sf.limits(None, start=(5, 2)),
        **options,
    )


@pytest.fixture(scope="module")
def alone():
    return saga_like(cores=1)


def test_it_is_the_same_in_threads_and_processes(alone, monkeypatch):
    for pool in (ThreadPoolExecutor(3), ProcessPoolExecutor(2)):
        with pool:
            assert saga_like(executor=pool) == alone
    monkeypatch.setattr(module, "_WORTH", 0)  # processes of our own, however little there is to do
    assert saga_like(cores=2) == alone
    assert saga_like(cores=3, seed=1) != alone


def test_it_is_the_same_where_the_job_travels(alone, monkeypatch):
    """Where processes are not forked, they get the job as bytes: cloudpickle's, with the lambdas in it."""
    pytest.importorskip("cloudpickle")
    monkeypatch.setattr(module, "_WORTH", 0)
    monkeypatch.setattr(module.sys, "platform", "darwin")
    pools = []

    def pool(cores, context, begin, given):
        pools.append((context.get_start_method(), type(given[0])))
        return ProcessPoolExecutor(cores, module.get_context("fork"), begin, given)

    monkeypatch.setattr(module, "ProcessPoolExecutor", pool)
    assert saga_like(cores=2) == alone
    assert pools == [("spawn", bytes)]


def test_a_function_that_cannot_travel_runs_on_one_core_and_says_so(monkeypatch):
    monkeypatch.setattr(module, "_WORTH", 0)
    monkeypatch.setattr(module.sys, "platform", "darwin")
    lock = __import__("threading").Lock()

    def locked(event, context):
        with lock:
            return {}

    made = sf.simulate(chain("A"), n=60, functions={"A": locked}, cores=2)
    with ProcessPoolExecutor(1) as pool:
        assert sf.simulate(chain("A"), n=60, functions={"A": locked}, executor=pool) == made
    with ThreadPoolExecutor(2) as pool:
        assert sf.simulate(chain("A"), n=60, functions={"A": locked}, executor=pool).rows == made.rows
    assert made.n == 60
    assert "cannot be sent to another process" in made.notes[0]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="Dask (dask[distributed]) is not installed")
@pytest.mark.filterwarnings("ignore")  # Dask's own, of ports and of closing
def test_it_is_the_same_on_a_dask_cluster(alone):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        assert saga_like(executor=executor) == alone


@pytest.mark.parametrize("n", [1, 7, 40, 41, 999, 100_000])
def test_chunks_depend_on_the_number_alone(n):
    parts = module.chunks(n)
    assert [i for part in parts for i in part] == list(range(n))
    assert max(map(len, parts)) <= 500


def test_a_job_travels_with_the_machines_it_may_start():
    child = chain("Inner")
    starts = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True}
    starts |= {"Parameters": {"StateMachineArn": "${chain}", "Input": {}}}
    parent = sf.StateMachine.load({"StartAt": "S", "States": {"S": starts}}, name="parent")
    local = sf.Local({"Inner": sf.mock({})}, machines=[child])
    made = sf.simulate(parent, n=45, local=local, cores=1)
    assert made.statuses == {"SUCCEEDED": 45}
    services = made.bill.by_service()
    assert services["Lambda"] > 0  # the child's
    with ProcessPoolExecutor(1) as pool:
        assert sf.simulate(parent, n=45, local=local, executor=pool) == made
    assert local.executions == []


def test_aws_services_stay_in_their_process():
    """Some executions add to a table that is in this process: all run here, whatever executor is given."""
    put = {"Type": "Task", "Resource": "arn:aws:states:::dynamodb:updateItem", "End": True}
    put["Parameters"] = {
        "TableName": "t",
        "Key": {"id": {"S": "x"}},
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
        "ReturnValues": "ALL_NEW",
    }
    which = {"Type": "Choice", "Default": "No", "Choices": [{"Variable": "$.n", "NumericEquals": 9, "Next": "Put"}]}
    states = {"Which": which, "Put": put, "No": {"Type": "Succeed"}}
    machine = sf.StateMachine.load({"StartAt": "Which", "States": states})

    def simulated(**options):
        local = sf.Local()
        table = {"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}
        table["AttributeDefinitions"] = [{"AttributeName": "id", "AttributeType": "S"}]
        local.session.client("dynamodb").create_table(TableName="t", **table)
        made = sf.simulate(machine, n=50, inputs=[{"n": i} for i in range(20)], local=local, **options)
        item = local.session.client("dynamodb").get_item(TableName="t", Key={"id": {"S": "x"}})["Item"]
        return made.rows, item["n"]["N"]

    alone = simulated(cores=1)
    assert alone[1] == "3"
    with ThreadPoolExecutor(2) as pool:
        assert simulated(executor=pool) == alone


def test_a_chunk_that_needs_services_is_done_here():
    queues = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sqs:listQueues", "Parameters": {}, "End": True}
    machine = sf.StateMachine.load({"StartAt": "L", "States": {"L": queues}})
    job = module.Job(sf.Local(), machine, ["{}"], 0, sf.measured(), prices.load(), {})
    assert module.run_elsewhere(job, range(1)) is None
    (row,), _ = module.run_chunk(job, range(1))
    assert row.status == "SUCCEEDED"


# ── what it says is what runs are ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("type", ["STANDARD", "EXPRESS"])
def test_rows_and_bills_are_those_of_executions(type):
    raw = {
        "StartAt": "P",
        "States": {
            "P": {
                "Type": "Parallel",
                "Next": "M",
                "ResultPath": "$.p",
                "Branches": [
                    {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 2, "End": True}}},
                    {"StartAt": "S", "States": {"S": {"Type": "Pass", "Result": "text", "End": True}}},
                ],
            },
            "M": {
                "Type": "Map",
                "ItemsPath": "$.items",
                "ItemProcessor": {
                    "StartAt": "Q",
                    "States": {
                        "Q": {
                            "Type": "Task",
                            "Resource": "arn:aws:states:::sqs:sendMessage",
                            "Parameters": {"QueueUrl": "q", "MessageBody.$": "$"},
                            "End": True,
                        }
                    },
                },
                "End": True,
            },
        },
    }
    machine = sf.StateMachine.load(raw, type=type)
    local = sf.Local(tasks={"Q": sf.mock({"MessageId": "1"})}, latency=sf.measured())
    given = {"items": ["a", "b" * 70_000, {"c": 1}], "x": "é"}
    made = sf.simulate(machine, given, n=3, local=local, start_end=2)
    for row in made.rows:
        clone = sf.Local(tasks=local.tasks, latency=sf.measured())
        run = clone.start_execution(machine, given, name=f"sim-{row.number + 1:06d}")
        assert (row.seconds, row.status) == (pytest.approx(run.seconds), "SUCCEEDED")
        assert row.usd == pytest.approx(run.cost(start_end=2).usd, rel=1e-12)
        events = run.history.events
        assert row.transitions == Meter(machine.definition, type, start_end=2).read(events).transitions
        texts = [
            d.get(k) or ""
            for e in events
            for d in e.values()
            if isinstance(d, dict)
            for k in ("input", "output", "parameters")
        ]
        assert row.payload == max(len(text.encode()) for text in texts)
    assert made.per_million == pytest.approx(fmean(row.usd for row in made.rows) * 1e6)


def test_a_distributed_maps_children_are_in_the_bill():
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "Q"}
    processor["States"] = {"Q": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "f"}, "End": True}}
    state = {"Type": "Map", "ItemProcessor": processor, "ItemsPath": "$", "End": True}
    machine = sf.StateMachine.load({"StartAt": "M", "States": {"M": state}})
    made = sf.simulate(machine, list(range(50)), n=2, functions={"f": sf.mock({})})
    run = sf.Local({"f": sf.mock({})}, latency=sf.measured()).start_execution(
        machine, list(range(50)), name="sim-000001"
    )
    assert made.rows[0].usd == pytest.approx(run.cost().usd)
    assert made.rows[0].seconds == pytest.approx(run.seconds)


def test_failures_are_rows():
    made = sf.simulate(
        chain("A"), {}, n=400, functions={"A": sf.mock({})}, faults={"A": sf.fault(0.25, "Broken", "why")}
    )
    assert made.failures == made.errors["Broken"] == pytest.approx(100, abs=35)
    assert made.statuses["FAILED"] == made.failures
    assert set(made.df["error"]) == {"", "Broken"}
    assert list(made.df.columns) == [
        "arrival",
        "start",
        "waited",
        "seconds",
        "status",
        "error",
        "transitions",
        "payload",
        "throttled",
        "usd",
    ]
    assert made.summary["failures"] == made.failures


def test_slow_tails_take_times_as_long():
    took = {"A": sf.constant(2)} | INSTANT
    made = sf.simulate(
        chain("A"), n=300, functions={"A": sf.mock({})}, latencies=took, faults={"*": sf.slow_tail(0.1, times=10)}
    )
    assert set(made.df["seconds"]) == {2, 20}
    assert (made.df["seconds"] == 20).mean() == pytest.approx(0.1, abs=0.06)


def test_it_is_saved_and_shown(alone, tmp_path):
    for name in ("s.json", "s.json.gz"):
        alone.save(tmp_path / name)
        again = sf.Simulation.load(tmp_path / name)
        assert repr(again) == repr(alone)
        assert again._repr_mimebundle_() == alone._repr_mimebundle_()
        assert again.df.equals(alone.df)
    text = alone._repr_mimebundle_()["text/plain"]
    assert "120 executions of chain (Standard), seed 0" in text
    assert "waited to start" in text
    assert "arrivals: poisson(3)" in text
    assert "faults({'B': [fault(0.1, 'Busy'), slow_tail(0.05, times=5)]})" in text


# ── closed forms ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_takes_the_sum_of_its_lognormals():
    models = {
        "A": sf.lognormal(p50=0.2, p99=0.5),
        "B": sf.lognormal(p50=0.4, p99=0.8),
        "C": sf.lognormal(p50=0.1, p99=1),
    }
    n = 3000
    made = sf.simulate(
        chain(*models), n=n, functions=dict.fromkeys(models, sf.mock({})), latencies={**models, **INSTANT}
    )
    seconds = [row.seconds for row in made.rows]
    means = [math.exp(m.mu + m.sigma**2 / 2) for m in models.values()]
    variances = [(math.exp(m.sigma**2) - 1) * mean**2 for m, mean in zip(models.values(), means, strict=True)]
    assert fmean(seconds) == pytest.approx(sum(means), abs=4 * math.sqrt(sum(variances) / n))
    assert stdev(seconds) == pytest.approx(math.sqrt(sum(variances)), rel=0.15)


def erlang_c(servers, load):
    """The probability that an arrival has to wait (Erlang 1917)."""
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 1.8)])
def test_workers_are_a_queue_as_in_books(servers, load):
    made = sf.simulate(
        activity("Pack"),
        n=8000,
        tasks={"Pack": sf.mock({})},
        arrivals=sf.poisson(load),
        limits=sf.limits(None, workers={"Pack": servers}),
        latencies={"Pack": Exponential(1.0), **INSTANT},
    )
    waits = erlang_c(servers, load) / (servers - load)
    assert made.mean / 1000 == pytest.approx(1 + waits, rel=0.08)


def test_a_full_lambda_is_erlangs_loss_system():
    servers, load, blocked = 4, 3.0, 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    made = sf.simulate(
        chain("A"),
        n=8000,
        functions={"A": sf.mock({})},
        arrivals=sf.poisson(load),
        limits=sf.limits(None, lambda_concurrency=servers),
        latencies={"A": Exponential(1.0), **INSTANT},
    )
    assert made.errors == {"Lambda.TooManyRequestsException": made.failures}
    assert made.failures / made.n == pytest.approx(blocked, abs=0.025)


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_lambda_refuses_is_retried_as_the_definition_says():
    at_once = {"arrivals": sf.burst(), "latencies": {"A": sf.constant(2), **INSTANT}, "functions": {"A": sf.mock({})}}
    made = sf.simulate(chain("A", Retry=[BUSY]), n=30, limits=sf.limits(None, lambda_concurrency=10), **at_once)
    assert made.statuses == {"SUCCEEDED": 30}
    assert sorted(row.seconds for row in made.rows) == [2] * 10 + [4] * 10 + [6] * 10
    assert [row.throttled for row in made.rows] == [0] * 10 + [2] * 10 + [4] * 10
    assert made.rows[-1].transitions == 2 + 4
    reserved = sf.simulate(chain("A"), n=30, limits=sf.limits(None, functions={"A": 3}), **at_once)
    assert reserved.statuses == {"FAILED": 27, "SUCCEEDED": 3}
    others = sf.simulate(chain("A"), n=30, limits=sf.limits(None, lambda_concurrency=10, functions={"B": 4}), **at_once)
    assert others.statuses == {"FAILED": 24, "SUCCEEDED": 6}
    free = sf.simulate(chain("A"), n=30, limits=sf.limits(), **at_once)
    assert free.statuses == {"SUCCEEDED": 30}


def test_a_function_scales_by_a_thousand_environments_in_ten_seconds():
    made = sf.simulate(
        chain("A"),
        n=1100,
        functions={"A": sf.mock({})},
        arrivals=sf.burst(),
        limits=sf.limits(lambda_concurrency=5000),
        latencies={"A": sf.constant(1)},
    )
    assert made.statuses == {"SUCCEEDED": 1000, "FAILED": 100}


def test_who_comes_first_starts_cold_and_who_comes_soon_does_not():
    latencies = sf.measured(functions={"A": {"runtime": "java21"}}).using(INSTANT)
    warm = sf.simulate(
        chain("A"),
        n=20,
        functions={"A": sf.mock({})},
        arrivals=sf.rate(1),
        limits=sf.limits(None, keep_alive=10),
        latencies=latencies,
    )
    assert warm.rows[0].seconds > 0.25 > max(row.seconds for row in warm.rows[1:])
    cold = sf.simulate(
        chain("A"),
        n=20,
        functions={"A": sf.mock({})},
        arrivals=sf.rate(0.01),
        limits=sf.limits(None, keep_alive=10),
        latencies=latencies,
    )
    assert min(row.seconds for row in cold.rows) > 0.25


def test_state_transitions_come_out_of_one_bucket():
    given = {
        "functions": dict.fromkeys("ABC", sf.mock({})),
        "arrivals": sf.burst(),
        "latencies": dict.fromkeys("ABC", sf.constant(0.1)) | INSTANT,
    }
    made = sf.simulate(chain("A", "B", "C"), n=200, limits=sf.limits(None, transitions=(100, 50)), **given)
    last = max(row.start + row.seconds for row in made.rows)
    assert last == pytest.approx((3 * 200 - 100) / 50 + 0.1, abs=0.3)
    assert made.statuses == {"SUCCEEDED": 200}
    free = sf.simulate(chain("A", "B", "C"), n=200, limits=sf.limits(None, transitions=(1000, 50)), **given)
    assert {round(row.seconds, 6) for row in free.rows} == {0.3}
    express = sf.simulate(
        chain("A", "B", "C", type="EXPRESS"), n=200, limits=sf.limits(None, transitions=(100, 50)), **given
    )
    assert {round(row.seconds, 6) for row in express.rows} == {0.3}


def test_start_execution_is_let_in_at_its_rate():
    made = sf.simulate(
        chain("A"),
        n=50,
        functions={"A": sf.mock({})},
        arrivals=sf.burst(),
        limits=sf.limits(None, start=(10, 5), patience=6),
    )
    assert made.statuses == {"SUCCEEDED": 40, "THROTTLED": 10}
    assert made.df["waited"].max() == 6
    assert made.errors == {"ThrottlingException": 10}
    assert made.df["start"].isna().sum() == 10
    assert len(made.durations) == 40


def test_a_timeline_of_executions_that_do_not_meet_is_the_same_as_each_by_itself():
    given = {"n": 60, "functions": {"A": sf.mock({}, latency=sf.lognormal(p50=1, p99=4))}, "arrivals": sf.poisson(2)}
    together = sf.simulate(chain("A"), limits=sf.limits(None, lambda_concurrency=1000), **given)
    apart = sf.simulate(chain("A"), **given)
    assert [row[:4] for row in together.rows] == [pytest.approx(row[:4], abs=1.1e-3) for row in apart.rows]
    assert "one timeline" in together.notes[0]
    assert together == sf.simulate(chain("A"), limits=sf.limits(None, lambda_concurrency=1000), cores=2, **given)


# ── progress and interruption ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limits", [None, sf.limits(None, lambda_concurrency=50)])
def test_progress_is_told_and_an_interrupt_keeps_what_was_done(limits):
    given = {"n": 100, "functions": {"A": sf.mock({})}, "limits": limits, "arrivals": sf.rate(1), "cores": 1}
    told = []
    whole = sf.simulate(chain("A"), progress=lambda done, total: told.append((done, total)), **given)
    assert told[-1] == (100, 100)
    assert told == sorted(told)

    def impatient(done, total):
        if done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(sf.Interrupted, match="interrupted after 50 of 100") as caught:
        sf.simulate(chain("A"), progress=impatient, **given)
    part = caught.value.partial
    assert part.n == 50
    assert part.asked == 100
    assert part.rows == whole.rows[:50]
    assert "interrupted after 50 of 100" in part.notes[-1]
    assert "50 executions of 100 asked for" in part._repr_mimebundle_()["text/plain"]


def test_an_interrupt_stops_processes_too(monkeypatch):
    monkeypatch.setattr(module, "_WORTH", 0)

    def impatient(done, total):
        if done >= 200:
            raise KeyboardInterrupt

    with pytest.raises(sf.Interrupted) as caught:
        sf.simulate(chain("A"), n=2000, functions={"A": sf.mock({})}, cores=2, progress=impatient)
    part = caught.value.partial
    assert 200 <= part.n < 2000
    assert [row.number for row in part.rows] == list(range(part.n))


def test_a_long_chain_of_executions_is_billed_whole():
    functions = {"ReadPage": lambda event: {"cursor": event["cursor"] + 1 if event["cursor"] < 4999 else None}}
    made = sf.simulate(sf.patterns["S8"].machine, {"cursor": 0}, n=1, functions=functions, cores=1)
    assert made.statuses == {"SUCCEEDED": 1}
    assert made.transitions > 1250


def test_the_collector_is_left_as_it_was():
    assert gc.isenabled()
    sf.simulate(chain("A"), n=3, functions={"A": sf.mock({})})
    assert gc.isenabled()


# ── bad input, and what is nobody's ──────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_simulated_is_said():
    with pytest.raises(TaskNotFoundError, match="nothing is bound to the task 'A'"):
        sf.simulate(chain("A"), n=100)
    with pytest.raises(ValueError, match="n is the number of executions"):
        sf.simulate(chain("A"), n=0)
    with pytest.raises(ValueError, match="inputs is empty"):
        sf.simulate(chain("A"), inputs=[])
    with pytest.raises(DefinitionError):
        sf.simulate(sf.StateMachine.load({"StartAt": "X", "States": {}}))
    with pytest.raises(DefinitionError, match="Invalid State Machine Execution Input"):
        sf.simulate(chain("A"), "{")
    with pytest.raises(TypeError, match="latencies are"):
        sf.simulate(chain("A"), latencies=[1])


def test_who_waits_for_nobody_runs_on():
    local = sf.Local()
    local.create_activity("pack")
    made = sf.simulate(activity("pack"), n=3, local=local)
    assert made.statuses == {"RUNNING": 3}
    together = sf.simulate(activity("pack"), n=3, local=local, limits=sf.limits())
    assert together.statuses == {"RUNNING": 3}


def test_faults_strike_on_a_local_backend_too():
    local = sf.Local({"A": doubled}, faults={"A": sf.fault(1, "Lambda.TooManyRequestsException", after=0.5)})
    run = local.start_execution(chain("A"), {"n": 1})
    assert (run.error, run.seconds) == ("Lambda.TooManyRequestsException", 0.5)
    assert "Rate Exceeded" in run.cause
    with pytest.raises(SflabError):
        sf.Simulation.load("/nowhere.json")

"""Real definitions, collected from public repositories: all load and draw, and one of every repository runs."""

import contextlib
import importlib.util
import io
import json
from pathlib import Path

import pytest

import sflab as sf
from sflab import cli
from sflab.asl.model import TOKEN
from sflab.asl.parse import load

SDLF = {"DatabaseName": "db", "TableName": "t", "NumberOfWorkers": 2, "wait_time": 60}

#: What a definition wants to come to a good end: (input, {task: answer}); ``{}`` answers whatever is not named.
GIVEN = {
    "asl/aws+aws-sam-cli-app-templates/al2__go__step-func__cookiecutter.project_name__statemachine__stockTrader.json": (
        {},
        {
            "Check Stock Value": {"stockPrice": 20},
            "Buy Stock": {"id": "1", "transactionType": "buy", "price": "20", "qty": "3", "timestamp": "now"},
        },
    ),
    "asl/aws-samples+aws-step-functions-saga-pattern-with-sam/src__statesmachine__saga_pattern.json": (
        {},
        {"BookHotel": {"statusCode": 200}, "BookFlight": {"statusCode": 200}, "BookCar": {"statusCode": 201}},
    ),
    "asl/aws-samples+circuit-breaker-netcore-blog/circuit-breaker__statemachine__circuitbreaker.json": (
        {},
        {"Get Circuit Status": {"CircuitStatus": "", "TargetLambda": "pay"}},
    ),
    "asl/aws-samples+aws-step-functions-waitable-pattern/statemachine__waitable-stepfunction.json": (
        {"Id": "1", "StartTimestamp": "2030-02-01T00:00:00Z"},
        {},
    ),
    "asl/aws-samples+aws-stepfunctions-eks-fargate-process/"
    "templates__stepfunction--eks_stepfunction_state_machine.json": (
        {},
        {"Delete job": {"ResponseBody": {"status": "Success"}}},
    ),
    "asl/awslabs+aws-serverless-data-lake-framework/sdlf-stage-dataquality__state-machine__data-quality.json": (
        {},
        {
            "Initial Check": {"dataquality": [{"body": {"glue": SDLF}}, {"body": {"glue": {**SDLF, "wait_time": 5}}}]},
            "StartDataQualityRuleRecommendationRun": {"RunId": "r1"},
            "GetDataQualityRuleRecommendationRun": {"Status": "SUCCEEDED"},
            "StartDataQualityRulesetEvaluationRun": {"RunId": "r2"},
            "GetDataQualityRulesetEvaluationRun": {"Status": "SUCCEEDED"},
        },
    ),
    "asl/awslabs+aws-deployment-framework/src__lambda_codebase__initial_commit__bootstrap_repository__adf-bootstrap"
    "__deployment__global--EnableCrossAccountAccessStateMachine.json": (
        {
            "update_only": 0,
            "error": 0,
            "account_ids": ["1", "2", "3"],
            "deployment_account_region": "eu-west-1",
            "deployment_account_id": "9",
            "regions": ["eu-west-1"],
        },
        {"UpdateDeploymentPipelines": {"update_only": 0, "message": "done"}},
    ),
    "asl/aws-samples+serverless-coffee/extensions__EventPlayer__statemachines__player.json": ({"eventId": "e"}, {}),
}
NUMBERS = ("Seconds", "TimeoutSeconds", "HeartbeatSeconds", "MaxConcurrency")


@pytest.fixture(scope="module")
def corpus(shared):
    folder = shared / "corpus"
    if not (folder / "asl").is_dir():
        pytest.skip(f"no {folder}/asl: there are no definitions to try")
    return folder


def yardstick():
    spec = importlib.util.spec_from_file_location("corpus_run", Path(__file__).with_name("run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_definition_loads_and_draws(corpus, tmp_path, capsys):
    code = yardstick().main([str(corpus / "asl"), "--report", str(tmp_path / "report.json")])
    told = capsys.readouterr().out
    assert code == 0, told
    rows = json.loads((tmp_path / "report.json").read_text())["definitions"]
    assert len(rows) == len(json.loads((corpus / "INDEX.json").read_text()))
    # Collected as they were: some have placeholders or faults in them, most must be found sound.
    assert sum(bool(row["errors"]) for row in rows) < len(rows) / 10, told


def test_the_yardstick_can_fail(tmp_path, capsys):
    (tmp_path / "a.json").write_text('{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}')
    (tmp_path / "b.yaml").write_text("StartAt: [")
    assert yardstick().main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "FAILED b.yaml: " in out
    assert out.endswith("1 passed, 1 failed\n")
    assert yardstick().main([str(tmp_path / "a.json")]) == 0
    assert yardstick().main([str(tmp_path / "none")]) == 2


def runnable(path):
    """Whether it can run here as it is: no error, no Distributed Map, no ${token} in the place of a number."""
    machine = sf.StateMachine.load(path)
    states = [p.state for p in load(path).places()]
    tokens = any(isinstance(s.get(n), str) and TOKEN.search(s[n]) for s in states for n in NUMBERS)
    distributed = any('"DISTRIBUTED"' in json.dumps(s.get("ItemProcessor", {})) for s in states)
    return not tokens and not distributed and not any(d.severity == "ERROR" for d in machine.validate())


def test_the_command_runs_one_definition_of_every_repository(corpus):
    """The first by name that is in JSONPath and can run, of each repository, with its tasks mocked."""
    chosen = {}
    for entry in sorted(json.loads((corpus / "INDEX.json").read_text()), key=lambda entry: entry["file"]):
        right = entry["query_language"] == "JSONPath" and entry["repo"] not in chosen
        if right and runnable(corpus / entry["file"]):
            chosen[entry["repo"]] = entry["file"]
    assert set(GIVEN) <= set(chosen.values()), "the table names what is not chosen"

    told, types = {}, set()
    for file in chosen.values():
        given, answers = GIVEN.get(file, ({}, {}))
        mocks = [arg for name, answer in answers.items() for arg in ("--mock", f"{name}={json.dumps(answer)}")]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(
                ["run", str(corpus / file), "--input", json.dumps(given), *mocks, "--mock-rest", "{}", "--json"]
            )
        assert err.getvalue() == "", file
        run = told[file] = json.loads(out.getvalue())
        assert code == (0 if run["status"] == "SUCCEEDED" else 1), file
        assert run["status"] in ("SUCCEEDED", "FAILED", "TIMED_OUT"), file
        assert run["visits"], file
        assert run["events"] > len(run["visits"]), file
        if run["status"] == "SUCCEEDED":
            types |= {visit["type"] for visit in run["visits"]}
    ended_well = {file for file, run in told.items() if run["status"] == "SUCCEEDED"}
    assert set(GIVEN) <= ended_well, {f: (told[f]["error"], told[f]["cause"]) for f in set(GIVEN) - ended_well}
    assert len(ended_well) >= 10
    assert {"Map", "Parallel", "Choice", "Wait", "Task"} <= types


def test_every_definition_that_can_run_comes_to_an_end(corpus):
    """Whatever its tasks are answered and its input lacks, an execution succeeds or fails in ASL's words."""
    ran = 0
    for path in sorted((corpus / "asl").rglob("*.*")):
        machine = sf.StateMachine.load(path)
        try:
            machine.check()
        except sf.DefinitionError:
            continue
        run = sf.Local(tasks={"*": sf.mock({})}).start_execution(machine, {})
        assert run.status in ("SUCCEEDED", "FAILED", "TIMED_OUT"), f"{path}: {run!r}"
        ran += 1
    assert ran >= 385

"""Clients that others wrote, driving the server as processes of their own: the AWS CLI, the JavaScript SDK, SAM."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sflab as sf
from sflab.backends.serve import Server

ROLE = "arn:aws:iam::123456789012:role/runs"
CHARGE = "arn:aws:lambda:us-east-1:123456789012:function:Charge"
ORDER = {
    "StartAt": "Charge",
    "States": {
        "Charge": {"Type": "Task", "Resource": CHARGE, "ResultPath": "$.receipt", "Next": "Tell"},
        "Tell": {"Type": "Pass", "Parameters": {"said.$": "States.Format('paid {}', $.receipt)"}, "End": True},
    },
}
JAVASCRIPT = "@aws-sdk/client-sfn@3.1163.0"
SAM = "aws-sam-cli==1.170.0"


@pytest.fixture
def refusing():
    """Whether the card is refused: a list, emptied to have it accepted."""
    return ["no"]


@pytest.fixture
def server(refusing):
    def charge(event, context):
        if refusing:
            raise ValueError("the card is refused")
        return event["order"]

    with Server(sf.Local({"Charge": charge}, rate=1), 0) as server:
        yield server


@pytest.fixture
def environment(server, tmp_path):
    """What the documentation tells users to set, and nothing that is theirs."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_PAGER": "",
        "SAM_CLI_TELEMETRY": "0",
    }


def run(command, environment, **given):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False, **given)
    return done.returncode, done.stdout, done.stderr


def test_the_aws_cli_creates_starts_reads_tests_and_redrives(environment, refusing, tmp_path):
    def aws(*words, fails=False):
        code, out, err = run([sys.executable, "-m", "awscli", "stepfunctions", *words, "--output", "json"], environment)
        assert (code != 0) is fails, err
        return err if fails else json.loads(out or "{}")

    definition = tmp_path / "order.asl.json"
    definition.write_text(json.dumps(ORDER), "utf-8")
    made = aws("create-state-machine", "--name", "order", "--role-arn", ROLE, "--definition", f"file://{definition}")
    arn = made["stateMachineArn"]
    assert [m["name"] for m in aws("list-state-machines")["stateMachines"]] == ["order"]

    started = aws("start-execution", "--state-machine-arn", arn, "--input", '{"order": "42"}')["executionArn"]

    def settled():
        deadline = time.monotonic() + 20
        while (said := aws("describe-execution", "--execution-arn", started))["status"] == "RUNNING":
            assert time.monotonic() < deadline
        return said

    said = settled()
    assert (said["status"], said["error"], said["redriveStatus"]) == ("FAILED", "ValueError", "REDRIVABLE")
    refusing.clear()
    aws("redrive-execution", "--execution-arn", started)
    said = settled()
    assert (said["status"], said["output"], said["redriveCount"]) == ("SUCCEEDED", '{"said":"paid 42"}', 1)

    history = aws("get-execution-history", "--execution-arn", started)
    saved = tmp_path / "incident.json"
    saved.write_text(json.dumps(history), "utf-8")
    read = sf.History.load(saved)
    assert [v.state for v in read.visits] == ["Charge", "Tell"]
    assert sf.replay(sf.StateMachine.load(definition), saved).status == "SUCCEEDED"
    backwards = aws("get-execution-history", "--execution-arn", started, "--reverse-order", "--max-items", "1")
    assert backwards["events"][0]["type"] == "ExecutionSucceeded"

    tested = aws(
        "test-state", "--definition", json.dumps(ORDER["States"]["Tell"]), "--role-arn", ROLE,
        "--input", '{"receipt": 7}', "--inspection-level", "DEBUG",
    )  # fmt: skip
    assert (tested["status"], tested["output"]) == ("SUCCEEDED", '{"said":"paid 7"}')
    assert "afterParameters" in tested["inspectionData"]

    refused = aws("create-state-machine", "--name", "x", "--role-arn", ROLE, "--definition", "{}", fails=True)
    assert "InvalidDefinition" in refused
    wrong = aws("describe-execution", "--execution-arn", started + "9", fails=True)
    assert "(ExecutionDoesNotExist)" in wrong


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not here")
def test_the_javascript_sdk(environment, refusing, tmp_path):
    refusing.clear()
    installed = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", JAVASCRIPT]
    code, _, err = run(installed, dict(os.environ), cwd=tmp_path)
    if code:
        pytest.skip(f"npm could not install {JAVASCRIPT}: {err[-300:]}")
    script = tmp_path / "client.mjs"
    script.write_text(
        f"""
        import * as sfn from "@aws-sdk/client-sfn";
        const client = new sfn.SFNClient({{ disableHostPrefix: true }});
        const send = (name, given) => client.send(new sfn[name + "Command"](given));
        const definition = {json.dumps(json.dumps(ORDER))};
        const made = await send("CreateStateMachine",
            {{ name: "quick", type: "EXPRESS", roleArn: {json.dumps(ROLE)}, definition }});
        const run = await send("StartSyncExecution",
            {{ stateMachineArn: made.stateMachineArn, input: '{{"order":"42"}}' }});
        let refused = "";
        try {{ await send("DescribeStateMachine", {{ stateMachineArn: made.stateMachineArn + "x" }}); }}
        catch (e) {{ refused = e.name; }}
        const dated = run.startDate instanceof Date;
        console.log(JSON.stringify({{ output: run.output, status: run.status, dated, refused }}));
        """,
        "utf-8",
    )
    code, out, err = run(["node", str(script)], environment, cwd=tmp_path)
    assert code == 0, err
    assert json.loads(out) == {
        "output": '{"said":"paid 42"}', "status": "SUCCEEDED", "dated": True, "refused": "StateMachineDoesNotExist",
    }  # fmt: skip


def test_sam_invokes_a_state_machine(environment, refusing, server, tmp_path):
    refusing.clear()
    aws = sf.AWS(role_arn=ROLE, endpoint_url=server.url, region="us-east-1")
    arn = aws.create(sf.StateMachine.load(ORDER, name="order"))
    uv = Path(sys.executable).with_name("uv")
    own = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
        **environment,
        "HOME": os.environ["HOME"],
    }
    sam = [str(uv), "tool", "run", "--quiet", "--from", SAM, "sam"]
    code, _, err = run([*sam, "--version"], own, cwd=tmp_path)
    if code:
        pytest.skip(f"uv could not install {SAM}: {err[-300:]}")
    command = [*sam, "remote", "invoke", arn, "--event", '{"order": "42"}', "--output", "json"]
    code, out, err = run(command, own, cwd=tmp_path)
    assert code == 0, err
    assert json.loads(out[out.index("{") :])["output"] == '{"said":"paid 42"}'

"""Transcripts of API calls, made again through `Local.client`: every answer is compared with the recorded one.

A transcript is a list of steps (operation, parameters, under which keys the answer was kept). Its ARNs, names and
tokens are placeholders: they are bound to what our answers say as the steps go on. Workers, queues and functions that
took part are not in it; what they did is read from the recorded history.
"""

from __future__ import annotations

import json
import math
import re
import time
from typing import Any

from sflab.backends.callbacks import ACCOUNT
from sflab.backends.functions import mock
from sflab.backends.local import Local
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import details

Case = dict[str, Any]
RECORDED = "111111111111"
ROLE = re.compile(r"\b(?:snf|sfn)_role_arn\w*")
HERE = f"arn:aws:states:us-east-1:{ACCOUNT}"
#: What stands for an ARN of something that is not there.
MISSING = {
    "sm_nonexistent_arn": f"{HERE}:stateMachine:nonexistent",
    "ssm_nonexistent_arn": f"{HERE}:stateMachine:nonexistent",
    "invalid_execution_arn": f"{HERE}:execution:nonexistent:nonexistent",
}
#: Members AWS's answers have since then; earlier recordings lack them (conformance §6.3).
SINCE = {
    "encryptionConfiguration": "2024-07-25",
    "redriveCount": "2023-11-15",
    "redriveStatus": "2023-11-15",
    "redriveStatusReason": "2023-11-15",
    "failuresNotRedrivable": "2023-11-15",
    "pendingRedrive": "2023-11-15",
    "variableReferences": "2024-11-22",
}


class Transcript:
    """One transcript being made again."""

    def __init__(self, case: Case, compare: Any) -> None:
        self.case, self.compare = case, compare
        self.names = {"<partition>": "aws", **case.get("bindings", {}), "<region>": "us-east-1"}
        named = {step["params"].get("name") for step in case["steps"] if step.get("params")}
        self.names = {n: v for n, v in self.names.items() if "exec" not in n.lower() or n in named}
        self.names |= {word: arn for word, arn in MISSING.items() if f'"{word}"' in json.dumps(case["steps"])}
        self.matcher = compare.Matcher(case)
        self.answers: list[Any] = []
        self.problems: list[str] = []
        stops = any(step["op"] == "stop_execution" for step in case["steps"])
        polled = case["group"] == "activities"
        self.local = Local(rate=20.0 if polled or stops else math.inf)
        self.local.tasks = Outside(self)
        self.local.objects = {"bucket_name": {"file.csv": "\n".join(["Col", *"x" * counted(case)])}}
        self.roles = "iam::111111111111:role" in json.dumps(case["expect"])
        self.client = self.local.client()

    # ── placeholders ─────────────────────────────────────────────────────────────────────────────────────────────────

    def filled(self, value: Any) -> Any:
        """*value* with what is known in the place of placeholders."""
        if isinstance(value, str):
            if value in MISSING or value in self.names:
                return self.names.get(value, value)
            for name, known in self.names.items():
                if name.startswith("<"):
                    value = value.replace(name, known)
            activity = "activity_arn" if '"activity_arn"' in value else None
            if activity and activity in self.names:
                value = value.replace(f'"{activity}"', f'"{self.names[activity]}"')
            return ROLE.sub(lambda m: f"arn:aws:iam::{ACCOUNT}:role/{m[0]}", value.replace(RECORDED, ACCOUNT))
        if isinstance(value, dict):
            if set(value) == {"$from"}:
                return self.earlier(**value["$from"])
            return {key: self.filled(item) for key, item in value.items()}
        return [self.filled(item) for item in value] if isinstance(value, list) else value

    def earlier(self, step: int, path: list[str]) -> Any:
        """Part of an earlier answer; of a list of one, where the transcript left the list out."""
        found = self.answers[step]
        for name in path:
            found = found[name] if name in found else next(iter(found.values()))[0][name]
        return found

    def told(self, value: Any) -> Any:
        """Our answer with the recording's own words for accounts, roles and activities."""
        if isinstance(value, str):
            for name in ("activity_arn", *(f"activity_arn_{i}" for i in range(9)), *MISSING):
                if name in self.names:
                    value = value.replace(self.names[name], name)
            if not self.roles:
                value = re.sub(rf"arn:aws:iam::{ACCOUNT}:role/(?=snf|sfn)", "", value)
            return value.replace(ACCOUNT, RECORDED)
        if isinstance(value, dict):
            return {key: self.told(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.told(item) for item in value]
        return value.isoformat() if hasattr(value, "isoformat") else value

    def bind(self, index: int, answer: Any) -> None:
        """Learn names from an answer: the next step that needs an execution's ARN means the one just started."""
        step = self.case["steps"][index]
        if step["op"] == "create_activity" and "activityArn" in answer:
            number = re.search(r"_\d$", step["params"]["name"])
            self.names["activity_arn" + (number[0] if number else "")] = answer["activityArn"]
        if "executionArn" not in answer or not step["op"].startswith("start"):
            return
        later = (s["params"].get("executionArn") for s in self.case["steps"][index + 1 :])
        for template in (text for text in later if text):
            parts = self.filled(template).split(":")
            loose = [part for part in parts if part.startswith("<")]
            if loose:
                self.names |= dict(zip(loose, answer["executionArn"].split(":")[-len(loose) :], strict=True))
                return

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> list[str]:
        """Make every call; return the differences."""
        for machine in self.deployed():
            self.client.create_state_machine(**machine)
        for index, step in enumerate(self.case["steps"]):
            wanted = [self.case["expect"]["responses"].get(key) for key in step.get("keys", ())]
            answer = self.call(step, wanted[0] if wanted else None)
            if isinstance(answer, Exception) and not step.get("raises"):
                return [*self.problems, f"step {index} {step['op']}: {answer}"]
            self.answers.append(answer)
            if not isinstance(answer, Exception):
                self.bind(index, answer)
                if step["op"] == "start_execution":
                    self.work()
            for want in wanted:
                self.judge(f"step {index} {step['op']}", want, answer)
        return self.problems

    def deployed(self) -> list[dict[str, Any]]:
        """The state machines that were there before: made by CloudFormation, or as the recording describes them."""
        setup = self.case.get("setup") or {}
        made = [*setup.get("cloudformation_state_machines", ()), *setup.get("state_machines", ())]
        out = [
            {"name": m.get("name") or m["arn"].split(":")[6], "definition": m["definition"], "roleArn": "snf_role_arn"}
            for m in made
        ]
        first = self.case["steps"][0]
        if first["op"] == "describe_state_machine" and not out:
            said = self.case["expect"]["responses"][first["keys"][0]]
            out = [{name: said[name] for name in ("name", "definition", "roleArn")}]
        made = [self.params(machine) for machine in out]
        for each in made:  # a definition that is the same but for its spaces is another one
            each["definition"] = json.dumps(json.loads(each["definition"]), indent=1)
        return made

    def params(self, given: dict[str, Any]) -> dict[str, Any]:
        params = self.filled(given)
        if isinstance(given.get("definition"), dict):
            params["definition"] = self.filled(json.dumps(given["definition"], ensure_ascii=False))
        return params

    def call(self, step: Case, want: Any) -> Any:
        op, params = step["op"], self.params(step.get("params") or {})
        if isinstance(want, dict) and "events" in want:
            op = "get_execution_history"  # the transcript names the call before it
        said = want.get("exception_value", "") if isinstance(want, dict) else ""
        for word, arn in MISSING.items():
            if f"'{word}'" in said:
                self.names[word] = arn
                params = {name: arn if name.endswith("Arn") else value for name, value in params.items()}
        try:
            answer = getattr(self.client, op)(**params)
        except Exception as e:  # noqa: BLE001 - it is what is compared
            return e
        answer.pop("ResponseMetadata")
        return answer

    def judge(self, where: str, want: Any, answer: Any) -> None:
        if isinstance(answer, Exception):
            answer = refused(answer, want)
        answer = self.told(answer)
        if isinstance(want, dict) and "events" in want:
            case = {**self.case, "expect": {"history": want["events"]}}
            self.problems += [f"{where}: {p}" for p in self.compare.compare_history(case, answer["events"])]
            return
        self.older(want, answer)
        found: list[str] = []
        self.matcher.value(want, answer, where, found)
        self.problems += found

    def older(self, want: Any, answer: Any) -> None:
        """Leave out what the recording is too old to have; a duration is measured, so any will do."""
        if isinstance(want, list) and isinstance(answer, list):
            for a, b in zip(want, answer, strict=False):
                self.older(a, b)
        if not isinstance(want, dict) or not isinstance(answer, dict):
            return
        for name in set(answer) & set(SINCE) - set(want):
            if self.case["recorded"] < SINCE[name]:
                del answer[name]
        if "billedDurationInMilliseconds" in want and answer["billedDurationInMilliseconds"] % 100 == 0:
            answer["billedDurationInMilliseconds"] = want["billedDurationInMilliseconds"]
        for name in set(answer) & set(want):
            self.older(want[name], answer[name])

    # ── who else took part ───────────────────────────────────────────────────────────────────────────────────────────

    def histories(self) -> list[dict[str, Any]]:
        """The events of all recorded histories."""
        said = self.case["expect"]["responses"].values()
        return [event for answer in said if isinstance(answer, dict) for event in answer.get("events", ())]

    def work(self) -> None:
        """Be the activity's worker that the history shows, and wait for what takes its time."""
        events = self.histories()
        if self.case["group"] != "activities":
            return
        for event in events:
            if event["type"] == "ActivityStarted":
                worker = details(event).get("workerName")
                task = self.client.get_activity_task(
                    activityArn=self.names["activity_arn"], **({"workerName": worker} if worker else {})
                )
                ends = [e for e in events if e["previousEventId"] == event["id"]]
                said = details(ends[0])
                if ends[0]["type"] == "ActivitySucceeded":
                    self.client.send_task_success(taskToken=task["taskToken"], output=text(said["output"]))
                elif ends[0]["type"] == "ActivityFailed":
                    given = {name: text(said[name]) for name in ("error", "cause") if name in said}
                    self.client.send_task_failure(taskToken=task["taskToken"], **given)
        due = time.monotonic() + 5
        while self.local.executions[-1].status == "RUNNING" and time.monotonic() < due:
            time.sleep(0.01)


class Outside(dict[str, Any]):
    """What services answered, by the name of the state, from the recorded history of the execution at hand."""

    def __init__(self, transcript: Transcript) -> None:
        super().__init__()
        self.transcript = transcript
        self.taken = 0

    def __contains__(self, name: object) -> bool:
        return name in tasks_of(self.transcript.case) and self.transcript.case["group"] != "activities"

    def __missing__(self, name: str) -> Any:
        """The next task's answer; where the history has no more of them, what the end shows, or none."""
        events = self.transcript.histories()
        scheduled = [i for i, e in enumerate(events) if e["type"] == "TaskScheduled"]
        if self.taken < len(scheduled):
            first = scheduled[self.taken]
            self.taken += 1
            submitted = None
            for each in events[first:]:
                said = details(each)
                if each["type"] == "TaskSubmitted":
                    submitted = said["output"]
                elif each["type"] == "TaskSucceeded":
                    return mock(value(said["output"]), submitted=submitted)
                elif each["type"] == "TaskFailed":
                    error, cause = said.get("error"), text(said.get("cause"))
                    return mock(error=error, cause=cause, submitted=submitted)
        answers = [r for r in self.transcript.case["expect"]["responses"].values() if isinstance(r, dict)]
        ends = [answer["output"] for answer in answers if "output" in answer]
        return final(ends[0]) if ends else mock({}, latency=1e6)


def counted(case: Case) -> int:
    """How many items a Map Run had: the file they were in is not recorded, any with as many rows will do."""
    said = [answer for answer in case["expect"].get("responses", {}).values() if isinstance(answer, dict)]
    return max([0, *(answer["itemCounts"]["total"] for answer in said if "itemCounts" in answer)])


def text(given: Any) -> Any:
    """JSON text again, where the recorder parsed it."""
    return given if isinstance(given, str | None) else json.dumps(given, separators=(",", ":"), ensure_ascii=False)


def value(given: Any) -> Any:
    """Return a recorded output as JSON."""
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return given


def refused(e: Exception, want: Any) -> Any:
    """An exception in the form the recording has it in."""
    if isinstance(want, str):
        return str(e)
    if isinstance(want, dict) and "exception_typename" in want:
        return {"exception_typename": type(e).__name__, "exception_value": str(e)}
    response = dict(getattr(e, "response", {"message": str(e)}))
    response.pop("ResponseMetadata", None)
    return response


def check_api(case: Case, compare: Any) -> list[str]:
    """Differences between a recorded transcript and ours."""
    return Transcript(case, compare).run()


def check_create(case: Case, compare: Any) -> list[str]:
    """Differences between AWS's refusal to create a state machine and ours."""
    request = {**case["request"], "definition": case["definition"], "type": case["type"]}
    step = {"op": "create_state_machine", "params": request, "keys": ["refused"], "raises": True}
    alone = {**case, "steps": [step], "expect": {"responses": {"refused": case["expect"]["error"]}}}
    return Transcript(alone, compare).run()


def _run_alone(case: Case, compare: Any) -> Transcript:
    """Create and start the machine of a case that has no steps of its own."""
    make = {"name": "<ArnPart_0idx>", "definition": case["definition"], "roleArn": "snf_role_arn", "type": case["type"]}
    if "logging" in case:
        make["loggingConfiguration"] = case["logging"]
    transcript = Transcript({**case, "steps": []}, compare)
    machine = transcript.client.create_state_machine(**transcript.params(make))["stateMachineArn"]
    op = "start_sync_execution" if case["kind"] == "express_sync" else "start_execution"
    transcript.local.tasks = {name: final(case["expect"].get("output")) for name in tasks_of(case)}
    given = {"stateMachineArn": machine, "input": transcript.filled(case.get("input") or "{}")}
    transcript.answers.append(getattr(transcript.client, op)(**given))
    return transcript


def tasks_of(case: Case) -> set[str]:
    """The names of all Task states in the case's definitions."""
    found: set[str] = set()
    todo: list[Any] = [case]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            states = item["States"] if isinstance(item.get("States"), dict) else {}
            found |= {name for name, state in states.items() if state.get("Type") == "Task"}
            todo += item.values()
        elif isinstance(item, list):
            todo += item
    return found


def final(output: Any) -> Any:
    """What a task must have answered, where only the execution's end was recorded."""
    output = value(output)
    if not isinstance(output, dict):
        return mock(output)
    if set(output) == {"Error", "Cause"}:
        return mock(error=output["Error"], cause=text(output["Cause"]))
    return mock({name: item for name, item in output.items() if name != "final"})


def check_sync(case: Case, compare: Any) -> list[str]:
    """Differences between what StartSyncExecution answered and our answer."""
    transcript = _run_alone(case, compare)
    answer = transcript.answers[0]
    answer.pop("ResponseMetadata")
    transcript.judge("response", case["expect"]["response"], answer)
    return transcript.problems


def check_logs(case: Case, compare: Any) -> list[str]:
    """Differences between what was logged and our log events."""
    transcript = _run_alone(case, compare)
    logging = case["logging"]
    events = transcript.local.executions[-1].logs(
        logging["level"], include_execution_data=logging.get("includeExecutionData", False)
    )
    expect = case["expect"]
    wanted, ours = (expect["log_events"], events) if "log_events" in expect else (expect["end_event"], events[-1])
    transcript.judge("log", wanted, ours)
    return transcript.problems


def check_eventbridge(case: Case, compare: Any) -> list[str]:
    """Differences between what came out of EventBridge and ours: status changes, or the events a workflow put."""
    names = {"<partition>": "aws", "<region>": "us-east-1", **case["bindings"]}

    def known(item: Any) -> Any:
        text = item if isinstance(item, str) else json.dumps(item)
        for name, concrete in names.items():
            text = text.replace(name, concrete)
        return text.replace(RECORDED, ACCOUNT)

    machine_name, name = known(case["execution_arn"]).split(":")[6:8]
    local = Local()
    sqs, events = local.session.client("sqs"), local.session.client("events")
    queue = sqs.create_queue(QueueName="out")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:out"
    events.put_rule(Name="all", EventPattern=json.dumps({"source": ["some.source"]}))
    events.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": arn}])
    run = local.start_execution(
        StateMachine.load(json.loads(known(case["definition"])), name=machine_name), known(case["input"]), name=name
    )
    ours = run.status_changes()
    if any(event["source"] == "some.source" for event in case["expect"]["events"]):
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        ours = [{"account": ACCOUNT, **json.loads(message["Body"])} for message in messages]  # moto leaves it out
    told = json.loads(json.dumps(ours).replace(ACCOUNT, RECORDED))
    wanted = json.loads(known(case["expect"]["events"]).replace(ACCOUNT, RECORDED))
    out: list[str] = []
    compare.Matcher(case).value(wanted, told, "events", out)
    return out


CHECKS = {
    "api": check_api,
    "express_sync": check_sync,
    "express_async": check_logs,
    "logs": check_logs,
    "eventbridge": check_eventbridge,
}

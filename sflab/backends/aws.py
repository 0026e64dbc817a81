"""AWS itself, or whatever speaks its API: boto3 below, the same verbs and the same objects above.

`AWS` makes state machines, starts executions and attaches to what is there; `sflab.backends.remote` is what it gives.
Every question goes through `AWS.call`, which repeats what may be different in a moment and turns boto3's errors into
ours (`sflab.backends.refusals`).
"""

from __future__ import annotations

import json
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sflab.asl.model import JSON, compact
from sflab.backends.express import ExpressExecution
from sflab.backends.listings import AWSMapRun, Deployment, Listing
from sflab.backends.local import input_text
from sflab.backends.refusals import code, explained, passing
from sflab.backends.remote import PAGE, SLOWEST, AWSExecution, state_machine
from sflab.backends.statemachine import StateMachine
from sflab.engine.masking import masker
from sflab.errors import BackendError

if TYPE_CHECKING:
    from datetime import datetime

PATIENCE = 60.0  # seconds of throttling or broken connections before giving up
SYNC = 330  # seconds: an Express execution answers after 300 at most
RECENT = 100  # executions shown of a machine

#: What an answer must hold to be Step Functions'.
_ANSWERS = {
    "create_state_machine": "stateMachineArn",
    "describe_state_machine": "definition",
    "describe_state_machine_for_execution": "definition",
    "list_state_machines": "stateMachines",
    "start_execution": "executionArn",
    "start_sync_execution": "executionArn",
    "describe_execution": "status",
    "get_execution_history": "events",
}


class AWS:
    """Runs state machines on AWS, in the account and region boto3 finds, or those named.

    *profile* is one of ``~/.aws/config``; *role_arn* the role new state machines run as; *endpoint_url* another server
    that speaks the API. *mask* names fields of inputs and outputs that nobody shall see (``"password"``,
    ``"card.number"``, ``"*token*"``; `sflab.engine.masking`): they are masked as they are read, so that they are never
    shown or saved.

    Every call may raise BackendError, which says what to do; boto3's error is its ``__cause__``.
    """

    def __init__(
        self,
        profile: str | None = None,
        region: str | None = None,
        role_arn: str | None = None,
        endpoint_url: str | None = None,
        *,
        mask: Iterable[str] = (),
    ) -> None:
        if role_arn is not None and not re.fullmatch(r"arn:[\w-]+:iam::\d{12}:role/.+", role_arn):
            raise BackendError(f"role_arn is like 'arn:aws:iam::123456789012:role/NAME', not {role_arn!r}")
        if endpoint_url is not None and "@" in urlsplit(endpoint_url).netloc:
            raise BackendError("endpoint_url holds a password: take it out; credentials come from a profile")
        self.profile, self.role_arn, self.endpoint_url = profile, role_arn, endpoint_url
        self.mask = (mask,) if isinstance(mask, str) else tuple(mask)
        self.masked: Callable[[Any], Any] = masker(self.mask) if self.mask else _unmasked
        self.region = region or "no region"
        self._reached = False
        self._clients: dict[str, Any] = {}
        self._client = self._connect("stepfunctions", region)
        self.region = self._client.meta.region_name

    def create(self, machine: StateMachine) -> str:
        """Create *machine* under its name, or update the one that has it where it differs; return its ARN.

        For a few seconds after an update AWS may still start the definition it replaced.
        """
        found = self._find(machine.name)
        raw = machine.definition.raw
        text = json.dumps(raw, indent=2, ensure_ascii=False)
        if found is None:
            if self.role_arn is None:
                raise BackendError(
                    f"there is no state machine {machine.name!r} in {self.region}, and creating it takes a role it "
                    "can run as: sf.AWS(role_arn='arn:aws:iam::<account>:role/<name>')"
                )
            made = self.call(
                "create_state_machine", name=machine.name, definition=text, roleArn=self.role_arn, type=machine.type
            )
            return str(made["stateMachineArn"])
        arn, type_ = found["stateMachineArn"], found.get("type", machine.type)
        if type_ != machine.type:
            raise BackendError(
                f"{arn} is {type_}, and a machine's type cannot be changed: "
                f"load the {machine.type} one with another name="
            )
        role: dict[str, Any] = {"roleArn": self.role_arn} if self.role_arn not in (None, found.get("roleArn")) else {}
        if role or compact(json.loads(found["definition"])) != compact(raw):
            self.call("update_state_machine", stateMachineArn=arn, definition=text, **role)
        return str(arn)

    def start_execution(
        self, machine: StateMachine | str, input: JSON = None, *, name: str | None = None
    ) -> AWSExecution | ExpressExecution:
        """Start *machine*: one loaded here, which is created or updated first, or the ARN of one that is there.

        Returns at once for a Standard workflow. An Express one runs to its end (StartSyncExecution, five minutes at
        most); its history is read from CloudWatch Logs, if the machine's logging is on.

        Raises DefinitionError when the input is not JSON or larger than 256 KiB.
        """
        text = input_text(input)
        if isinstance(machine, StateMachine):
            arn = self.create(machine)
        else:
            arn = machine
            machine = state_machine(self.call("describe_state_machine", stateMachineArn=arn))
        unique = name or f"sflab-{uuid.uuid4()}"
        if machine.type == "EXPRESS":
            # Not repeated when the connection breaks: it may have run, and would run again.
            patient = self._connect("stepfunctions", self.region, read_timeout=SYNC)
            given = {"stateMachineArn": arn, "name": unique, "input": text}
            said = self.call("start_sync_execution", client=patient, once=True, **given)
            return ExpressExecution(machine, self, arn=said["executionArn"], input=text, said=said)
        try:
            started = self.call("start_execution", stateMachineArn=arn, name=unique, input=text)["executionArn"]
        except BackendError as e:
            if name or code(e.__cause__) != "ExecutionAlreadyExists":
                raise
            # Nobody else has this name: an answer was lost, and the execution it told of is ours.
            started = ":".join([*arn.replace(":stateMachine:", ":execution:").split(":")[:7], unique])
        return AWSExecution(machine, self, arn=started, input=text)

    def attach(
        self, arn: str, *, since: datetime | None = None
    ) -> AWSExecution | ExpressExecution | AWSMapRun | Deployment:
        """Return what is there under *arn*: an execution, a Map Run, or a state machine with its latest executions.

        An execution comes with the definition that really ran. An Express execution is read from CloudWatch Logs, which
        takes long where there is much: *since* is when it began, or shortly before.
        """
        parts = _parts(arn)
        if self.endpoint_url is None and parts[3] != self.region:
            raise BackendError(
                f"{arn} is in {parts[3]}, and this client looks in {self.region}: sf.AWS(region={parts[3]!r})"
            )
        found: AWSExecution | ExpressExecution | AWSMapRun | Deployment = _ATTACHED[parts[5]](self, arn, since)
        return found

    def execution(self, arn: str, machine: StateMachine | None = None) -> AWSExecution:
        """Return the Standard execution under *arn*; *machine* is what it runs, asked for where it is not given."""
        said = self.call("describe_execution", executionArn=arn)
        if machine is None:
            machine = state_machine(self.call("describe_state_machine_for_execution", executionArn=arn))
        return AWSExecution(machine, self, arn=arn, input=said.get("input", "{}"))

    def executions(
        self, machine: StateMachine | str, *, status: str | None = None, limit: int | None = RECENT
    ) -> Listing:
        """Return the executions of *machine* (an ARN, or one loaded here, by its name), the newest first.

        *status* is RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE; *limit* None lists all that AWS
        keeps (90 days).
        """
        arn = machine if isinstance(machine, str) else self._arn(machine)
        about = {"stateMachineArn": arn, **({"statusFilter": status} if status else {})}
        listing = Listing(self, about, limit=limit)
        _ = listing.said  # asked for now, so that what is refused is refused here
        return listing

    @contextmanager
    def deployed(self, machine: StateMachine, *, name: str | None = None) -> Iterator[str]:
        """Create *machine* under a name that nobody has and give its ARN; after the ``with`` block it is gone again.

        The name is its own with a random end, or *name*, which must be free. However the block ends, executions
        that still run are stopped and the state machine is deleted; where that fails, BackendError says what is left.
        """
        unique = name or f"{machine.name[:60]}-{uuid.uuid4().hex[:8]}"
        there = StateMachine(machine.definition, name=unique, type=machine.type)
        if name and self._find(name) is not None:
            raise BackendError(
                f"there is a state machine {name!r} in {self.region} already: give another name, or none"
            )
        arn, made = self._named(unique), False  # where it will be, should the cell be stopped before AWS has answered
        try:
            arn, made = self.create(there), True
            yield arn
        except BaseException as e:
            if made or not isinstance(e, Exception):  # what AWS refused to create is not there
                try:
                    self._remove(arn, machine.type)
                except BackendError as left:
                    e.add_note(str(left))
            raise
        self._remove(arn, machine.type)

    def _remove(self, arn: str, type_: str) -> None:
        """Stop what still runs of a state machine and delete it."""
        try:
            if not arn or self._gone(arn):
                return
            if type_ == "STANDARD":
                for said in Listing(self, {"stateMachineArn": arn, "statusFilter": "RUNNING"}).said:
                    self.call("stop_execution", executionArn=said["executionArn"], cause="its machine is deleted")
            self.call("delete_state_machine", stateMachineArn=arn)
        except BackendError as e:
            raise BackendError(
                f"{arn} could not be cleaned up: {e} Then delete it with `aws stepfunctions "
                f"delete-state-machine --state-machine-arn {arn}`"
            ) from e

    def _gone(self, arn: str) -> bool:
        try:
            return bool(self.call("describe_state_machine", stateMachineArn=arn).get("status") == "DELETING")
        except BackendError as e:
            if code(e.__cause__) == "StateMachineDoesNotExist":
                return True
            raise

    def __repr__(self) -> str:
        given = {"profile": self.profile, "region": self.region, "role_arn": self.role_arn}
        given["endpoint_url"] = self.endpoint_url
        return f"AWS({', '.join(f'{name}={value!r}' for name, value in given.items() if value)})"

    # -- the way there

    def service(self, name: str) -> Any:
        """Return the client of another AWS service (``logs``), made with the same credentials."""
        if name not in self._clients:
            self._clients[name] = self._connect(name, self.region)
        return self._clients[name]

    def _connect(self, service: str, region: str | None, read_timeout: float = 60) -> Any:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        # Beyond AWS no host is called sync-…, which is where botocore would send StartSyncExecution.
        elsewhere = self.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_SFN") or os.environ.get("AWS_ENDPOINT_URL")
        config = Config(
            connect_timeout=5,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": 1},  # `call` does it, with more patience
            user_agent_extra="sflab",
            inject_host_prefix=False if elsewhere else None,
        )
        try:
            session = boto3.Session(profile_name=self.profile, region_name=region)
            return session.client(service, endpoint_url=self.endpoint_url, config=config)
        except (BotoCoreError, ValueError) as e:  # ValueError: an endpoint_url that is no URL
            raise self._explained(e, "") from e

    def call(self, operation: str, *, client: Any = None, once: bool = False, **given: Any) -> dict[str, Any]:
        """Ask AWS: a boto3 method by name, repeated while it throttles or the connection breaks.

        With *once*, what may have been done is not repeated. Raises BackendError, never boto3's own.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        client = client or self._client
        began, gap = time.monotonic(), 0.1
        while True:
            try:
                answer: dict[str, Any] = getattr(client, operation)(**given)
                break
            except (BotoCoreError, ClientError, ResponseParserError) as e:
                again = {"busy": True, "away": self._reached, "lost": not once}.get(passing(e) or "", False)
                if not again or time.monotonic() - began > PATIENCE:
                    raise self._explained(e, client.meta.method_to_api_mapping[operation], client) from e
                time.sleep(gap * (0.5 + random.random()))
                gap = min(2 * gap, SLOWEST)
        self._reached = True
        if operation in _ANSWERS and _ANSWERS[operation] not in answer:
            raise BackendError(
                f"{self._endpoint(client)} answered, but not as Step Functions does "
                f"(no {_ANSWERS[operation]}): check endpoint_url"
            )
        return answer

    def _endpoint(self, client: Any = None) -> str:
        client = client or getattr(self, "_client", None)
        return str(client.meta.endpoint_url) if client else self.endpoint_url or "AWS"

    def _explained(self, e: Exception, action: str, client: Any = None) -> BackendError:
        """Return the error with its reason and the one thing to do."""
        facts = {
            "profile": f"profile {self.profile!r}" if self.profile else "the default profile",
            "region": self.region,
            "endpoint": self._endpoint(client),
            "role": self.role_arn or "the machine's role",
            "service": client.meta.service_model.signing_name if client else "states",
            "action": action,
        }
        return explained(e, facts)

    def _find(self, name: str) -> dict[str, Any] | None:
        """Describe the state machine called *name*; None when there is none."""
        arn = self._named(name)
        try:
            return self.call("describe_state_machine", stateMachineArn=arn) if arn else None
        except BackendError as e:
            if code(e.__cause__) == "StateMachineDoesNotExist":
                return None
            raise

    def _arn(self, machine: StateMachine) -> str:
        found = self._named(machine.name)
        if not found:
            raise BackendError(f"there is no state machine {machine.name!r} in {self.region}")
        return found

    def _named(self, name: str) -> str:
        """Return the ARN of the machine called *name*; "" where there is none, as far as that is known."""
        if self.role_arn is not None:  # a machine and its role live in the same account
            partition, account = self._client.meta.partition, self.role_arn.split(":")[4]
            return f"arn:{partition}:states:{self.region}:{account}:stateMachine:{name}"
        return self._listed(name)

    def _listed(self, name: str) -> str:
        more: dict[str, Any] = {}
        while True:
            page = self.call("list_state_machines", maxResults=PAGE, **more)
            for each in page["stateMachines"]:
                if each["name"] == name:
                    return str(each["stateMachineArn"])
            if not page.get("nextToken"):
                return ""
            more = {"nextToken": page["nextToken"]}


def _parts(arn: str) -> list[str]:
    """Return the parts of an ARN that can be attached to. Raises BackendError."""
    parts = arn.split(":") if isinstance(arn, str) else []
    if len(parts) < 7 or parts[0] != "arn" or parts[2] != "states" or parts[5] not in _ATTACHED:
        raise BackendError(
            f"{arn!r} is nothing to attach to: give the ARN of an execution, a state machine or a Map Run, like "
            "arn:aws:states:us-east-1:123456789012:execution:order:42"
        )
    return parts


def _unmasked(value: Any) -> Any:
    return value


# -- what an ARN may be of


def _map_run(aws: AWS, arn: str, _since: datetime | None) -> AWSMapRun:
    said = aws.call("describe_map_run", mapRunArn=arn)
    return AWSMapRun(aws.execution(said["executionArn"]).machine, aws, arn)


def _deployment(aws: AWS, arn: str, _since: datetime | None) -> Deployment:
    said = aws.call("describe_state_machine", stateMachineArn=arn)
    return Deployment(state_machine(said), aws, arn)


def _execution(aws: AWS, arn: str, _since: datetime | None) -> AWSExecution:
    return aws.execution(arn)


def _express(aws: AWS, arn: str, since: datetime | None) -> ExpressExecution:
    parts = arn.split(":")
    there = ":".join([*parts[:5], "stateMachine", parts[6]])
    machine = state_machine(aws.call("describe_state_machine", stateMachineArn=there))
    found = ExpressExecution(machine, aws, arn=arn, input="{}", since=since)
    if not found.history:
        searched = f"since {since:%Y-%m-%d %H:%M}" if since else "as far back as it goes"
        raise BackendError(
            f"the log of {there} has nothing of {arn}, searched {searched}: give since=, or try again in a minute"
        )
    return found


#: The sixth part of an ARN -> what attaches to it.
_ATTACHED: dict[str, Callable[[AWS, str, datetime | None], Any]] = {
    "execution": _execution,
    "express": _express,
    "mapRun": _map_run,
    "stateMachine": _deployment,
}


def attach(
    arn: str,
    *,
    profile: str | None = None,
    region: str | None = None,
    endpoint_url: str | None = None,
    mask: Iterable[str] = (),
    since: datetime | None = None,
) -> AWSExecution | ExpressExecution | AWSMapRun | Deployment:
    """Return what is on AWS under *arn*: an execution, a Map Run, or a state machine with its latest executions.

    The region is the ARN's own; the other arguments are those of `AWS` and `AWS.attach`. Raises BackendError.
    """
    return AWS(profile, region or _parts(arn)[3], endpoint_url=endpoint_url, mask=mask).attach(arn, since=since)

"""Executions on AWS, or on whatever speaks its API: boto3 below, the same verbs and the same objects above.

Theory of operation. How an execution stands and what has happened in it are asked for apart: `DescribeExecution` is
small and answers `status` and `wait`; `GetExecutionHistory` is read when somebody looks at events, and then only what
is new. The first reading goes through all pages, oldest first. Later ones go newest first, a few events at a time,
and stop where they meet what is known, so that nothing is read twice but those few. Event ids are dense: an event is
taken when it is the next one, which makes doubles and gaps impossible whatever order pages come in. Whoever asks
again at once is answered from what is known (`Pace`), so a loop over `status` is no burden on the account's request
quota.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
import uuid
from datetime import UTC
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from sflab.asl.model import JSON, compact
from sflab.asl.parse import loads
from sflab.backends.bar import Bar
from sflab.backends.execution import Execution, History, Outcome
from sflab.backends.local import input_text
from sflab.backends.statemachine import StateMachine
from sflab.engine.history import ENDS, Event, details, normalise
from sflab.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sflab.backends.local import Local
    from sflab.costs.estimate import Bill

SLOWEST = 5.0  # seconds between two questions when nothing happens
PATIENCE = 60.0  # seconds of throttling or broken connections before giving up
LATE = 30.0  # seconds a history may lag behind the end of its execution
PAGE = 1000  # events: the most GetExecutionHistory gives at once
GLANCE = 10  # events: enough to see whether anything is new
SYNC = 330  # seconds: an Express execution answers after 300 at most


_KEYS = "Check the keys of {profile} (`aws configure list`), and that this computer's clock is right."
_SIGN_IN = "Sign in again (`aws sso login`, `aws login`, or fetch new keys) and make a new sf.AWS()."
_AWAY = "Check the network, the region ({region}) and endpoint_url; {endpoint} is where it was looked for."
_CHECK_ARN = "Check the ARN: this client looks in {region} with {profile}."

#: What to do, by AWS's error code or by the class of botocore's exception.
ADVICE = {
    "NoCredentialsError": "Give sf.AWS(profile=…), set AWS_PROFILE, or run `aws configure`.",
    "PartialCredentialsError": "The access key or the secret is missing: run `aws configure`.",
    "CredentialRetrievalError": _SIGN_IN,
    "ProfileNotFound": "`aws configure list-profiles` lists the profiles there are.",
    "NoRegionError": "Give sf.AWS(region=…), or set AWS_DEFAULT_REGION.",
    "InvalidRegionError": "A region is named like us-east-1.",
    "ValueError": "endpoint_url is like http://localhost:4566.",
    "EndpointConnectionError": _AWAY,
    "ConnectTimeoutError": _AWAY,
    "ProxyConnectionError": "Check the proxy that HTTPS_PROXY names.",
    "SSLError": "Check the certificates this computer trusts (AWS_CA_BUNDLE), and http:// or https:// in endpoint_url.",
    "ResponseParserError": "Check endpoint_url: this is not how Step Functions answers.",
    "HTTPClientError": "The connection broke; nothing that was read is lost. Try again.",
    "SSOError": _SIGN_IN,
    "TokenRetrievalError": _SIGN_IN,
    "LoginError": _SIGN_IN,
    "ExpiredToken": _SIGN_IN,
    "ExpiredTokenException": _SIGN_IN,
    "RequestExpired": _SIGN_IN,
    "UnrecognizedClientException": _KEYS,
    "InvalidClientTokenId": _KEYS,
    "InvalidSignatureException": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "IncompleteSignature": _KEYS,
    "MissingAuthenticationToken": _KEYS,
    "PassRole": "Allow iam:PassRole on {role} to the identity of {profile}, or give a role_arn it may pass.",
    "AssumeRole": "The role {role} must exist and trust states.amazonaws.com: look at its trust policy.",
    "AccessDenied": "Allow states:{action} to the identity of {profile}.",
    "KmsAccessDeniedException": "The machine is encrypted: allow kms:Decrypt on its key to the identity of {profile}.",
    "StateMachineDoesNotExist": _CHECK_ARN,
    "ExecutionDoesNotExist": _CHECK_ARN + " AWS forgets an execution 90 days after its end.",
    "InvalidArn": _CHECK_ARN,
    "InvalidDefinition": "machine.validate() lists what is wrong with it, and where.",
    "InvalidName": "1 to 80 letters, digits, - and _: give it another name.",
    "ExecutionAlreadyExists": "A name can be used once in 90 days: give another, or none.",
    "ExecutionLimitExceeded": "Too many executions are running: wait for some to end, or stop some.",
    "StateMachineDeleting": "It is being deleted: wait a minute, or give the machine another name.",
    "StateMachineTypeNotSupported": "This is for the other type of machine (Standard or Express).",
    "ConflictException": "Somebody else is changing the machine: try again.",
    "Throttled": "AWS kept on refusing for a minute: wait, or ask for a higher quota.",
    "Server": "The server is in trouble: try again later.",
}

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
    that speaks the API. Every call may raise BackendError, which says what to do; boto3's error is its ``__cause__``.
    """

    def __init__(
        self,
        profile: str | None = None,
        region: str | None = None,
        role_arn: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        if role_arn is not None and not re.fullmatch(r"arn:[\w-]+:iam::\d{12}:role/.+", role_arn):
            raise BackendError(f"role_arn is like 'arn:aws:iam::123456789012:role/NAME', not {role_arn!r}")
        if endpoint_url is not None and "@" in urlsplit(endpoint_url).netloc:
            raise BackendError("endpoint_url holds a password: take it out; credentials come from a profile")
        self.profile, self.role_arn, self.endpoint_url = profile, role_arn, endpoint_url
        self.region = region or "no region"
        self._reached = False
        self._client = self._connect(region)
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
        most) and has an outcome but no history: AWS writes that to CloudWatch Logs only.

        Raises DefinitionError when the input is not JSON or larger than 256 KiB.
        """
        text = input_text(input)
        if isinstance(machine, StateMachine):
            arn = self.create(machine)
        else:
            arn = machine
            machine = _machine(self.call("describe_state_machine", stateMachineArn=arn))
        unique = name or f"sflab-{uuid.uuid4()}"
        if machine.type == "EXPRESS":
            # Not repeated when the connection breaks: it may have run, and would run again.
            patient = self._connect(self.region, read_timeout=SYNC)
            given = {"stateMachineArn": arn, "name": unique, "input": text}
            said = self.call("start_sync_execution", client=patient, once=True, **given)
            return ExpressExecution(machine, said, input=text)
        try:
            started = self.call("start_execution", stateMachineArn=arn, name=unique, input=text)["executionArn"]
        except BackendError as e:
            if name or _code(e.__cause__) != "ExecutionAlreadyExists":
                raise
            # Nobody else has this name: an answer was lost, and the execution it told of is ours.
            started = ":".join([*arn.replace(":stateMachine:", ":execution:").split(":")[:7], unique])
        return AWSExecution(machine, self, arn=started, input=text)

    def attach(self, arn: str) -> AWSExecution:
        """Return the execution that is there under *arn*, with the definition that really ran."""
        if ":express:" in arn:
            raise BackendError(f"{arn} is an Express execution: AWS keeps no history of it but in CloudWatch Logs")
        said = self.call("describe_execution", executionArn=arn)
        machine = _machine(self.call("describe_state_machine_for_execution", executionArn=arn))
        return AWSExecution(machine, self, arn=arn, input=said.get("input", "{}"))

    def __repr__(self) -> str:
        given = {"profile": self.profile, "region": self.region, "role_arn": self.role_arn}
        given["endpoint_url"] = self.endpoint_url
        return f"AWS({', '.join(f'{name}={value!r}' for name, value in given.items() if value)})"

    # -- the way there

    def _connect(self, region: str | None, read_timeout: float = 60) -> Any:
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
            return session.client("stepfunctions", endpoint_url=self.endpoint_url, config=config)
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
                again = {"busy": True, "away": self._reached, "lost": not once}.get(_passing(e) or "", False)
                if not again or time.monotonic() - began > PATIENCE:
                    raise self._explained(e, client.meta.method_to_api_mapping[operation]) from e
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

    def _explained(self, e: Exception, action: str) -> BackendError:
        """Return the error with its reason and the one thing to do."""
        said = _reason(e)
        advice = ADVICE.get(_kind(e, said), "")
        facts = {
            "profile": f"profile {self.profile!r}" if self.profile else "the default profile",
            "region": self.region,
            "endpoint": self._endpoint(),
            "role": self.role_arn or "the machine's role",
            "action": action,
        }
        told = f"{action}: {said}" if action else said
        return BackendError(f"{told.rstrip('.')}. {advice.format(**facts)}".strip())

    def _find(self, name: str) -> dict[str, Any] | None:
        """Describe the state machine called *name*; None when there is none."""
        if self.role_arn is not None:  # a machine and its role live in the same account
            partition, account = self._client.meta.partition, self.role_arn.split(":")[4]
            arn = f"arn:{partition}:states:{self.region}:{account}:stateMachine:{name}"
        else:
            arn = self._listed(name)
        try:
            return self.call("describe_state_machine", stateMachineArn=arn) if arn else None
        except BackendError as e:
            if _code(e.__cause__) == "StateMachineDoesNotExist":
                return None
            raise

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


class Pace:
    """When to ask again: soon after news, ever later while there is none. Seconds."""

    def __init__(self, fastest: float) -> None:
        self.fastest = self.gap = fastest
        self.due = 0.0

    def left(self) -> float:
        """Seconds until it is time to ask; 0 when it is."""
        return max(0.0, self.due - time.monotonic())

    def asked(self, *, news: bool) -> None:
        """It was asked just now, and there was news or not."""
        self.gap = self.fastest if news else min(1.5 * self.gap, SLOWEST)
        self.due = time.monotonic() + self.gap

    def hurry(self) -> None:
        """Ask as soon as somebody looks."""
        self.gap, self.due = self.fastest, 0.0


class AWSExecution(Execution):
    """An execution on AWS. What was read of it stays; interrupting a cell that waits or reads loses nothing."""

    def __init__(self, machine: StateMachine, aws: AWS, *, arn: str, input: str) -> None:
        super().__init__(machine, arn=arn, input=input)
        self.aws = aws
        self._read: list[Event] = []
        self._known: Outcome | None = None
        self._glance = GLANCE
        self._before = 0  # events that were there when it was redriven: their end is not the end
        self._redrive: tuple[str, str | None] = ("", None)
        self._describing, self._reading = Pace(0.1), Pace(0.4)
        self._lock = threading.RLock()  # the live graph reads from a thread of its own

    @property
    def _ended(self) -> bool:
        return self._known is not None and self._known.status != "RUNNING"

    @property
    def _whole(self) -> bool:
        return len(self._read) > self._before and self._read[-1]["type"] in ENDS

    def _outcome(self) -> Outcome:
        with self._lock:
            if self._known is None or not (self._ended or self._describing.left()):
                said = self.aws.call("describe_execution", executionArn=self.arn)
                known = Outcome(said["status"], said.get("output"), said.get("error"), said.get("cause"))
                self._redrive = said.get("redriveStatus", ""), said.get("redriveStatusReason")
                self._describing.asked(news=self._known != known)
                self._known = known
                if known.status == "SUCCEEDED" and known.output is None:
                    # Some servers say so before they have the output; the history has it, sooner or later.
                    self._known = known._replace(output=details(self._events()[-1]).get("output"))
            return self._known

    def _events(self, start: int = 0) -> list[Event]:
        with self._lock:
            due = time.monotonic() + LATE
            while not (self._ended and self._whole) and (self._ended or not self._reading.left()):
                before = len(self._read)
                self._fetch()
                self._reading.asked(news=len(self._read) > before)
                if self._whole and not self._ended:
                    self._describing.hurry()
                if self._whole or not self._ended:
                    break
                if time.monotonic() > due:
                    raise BackendError(
                        f"{self.arn} has ended, but {LATE:.0f} seconds later its history still stops at event "
                        f"{len(self._read)}: try again in a minute"
                    )
                time.sleep(self._reading.left())
            return self._read[start:]

    def _fetch(self) -> None:
        """Read the events that are not known yet."""
        if not self._read:
            token = None
            while True:
                page = self._page(token, maxResults=PAGE)
                self._add(page["events"])
                token = page.get("nextToken")
                if not token:
                    return
        fresh: list[Event] = []
        token = None
        while True:
            page = self._page(token, maxResults=self._glance, reverseOrder=True)
            new = [e for e in page["events"] if e["id"] > len(self._read)]
            fresh += new
            token = page.get("nextToken")
            if len(new) < len(page["events"]) or not token:
                break
            if self._glance < PAGE:  # more has happened than a glance shows: begin again with a longer one
                self._glance, token, fresh = min(4 * self._glance, PAGE), None, []
        self._add(fresh)
        self._glance = min(max(GLANCE, 2 * len(fresh)), PAGE)

    def _page(self, token: str | None, **given: Any) -> dict[str, Any]:
        more: dict[str, Any] = {"nextToken": token} if token else {}
        return self.aws.call("get_execution_history", executionArn=self.arn, **given, **more)

    def _add(self, events: list[Event]) -> None:
        for e in normalise(events):
            if e["id"] == len(self._read) + 1:
                self._read.append({**e, "timestamp": e["timestamp"].astimezone(UTC)})

    def wait(self, timeout: float | None = None) -> AWSExecution:
        """Wait until it has ended, at most *timeout* seconds; return it either way. Asks ever more rarely."""
        due = None if timeout is None else time.monotonic() + timeout
        with Bar(f"waiting for {self}") as bar:
            while self.status == "RUNNING":
                left = SLOWEST if due is None else due - time.monotonic()
                if left <= 0:
                    break
                bar(0, note=f"{len(self._read):,} events read" if self._read else "running")
                time.sleep(min(left, self._describing.left(), 1.0))
        return self

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Abort the execution (StopExecution); nothing happens to one that has ended."""
        if self.status == "RUNNING":
            told: dict[str, Any] = {
                name: text for name, text in (("error", error), ("cause", cause)) if text is not None
            }
            self.aws.call("stop_execution", executionArn=self.arn, **told)
            self._describing.hurry()
            self._reading.hurry()

    def redrive(
        self,
        local: Local | None = None,
        *,
        functions: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> AWSExecution:
        """Go on from where it failed, timed out or was aborted (RedriveExecution); returns at once.

        It runs on AWS, with AWS's functions: to try others, redrive its history here:
        ``sf.replay(run.machine, run.history).redrive(functions={…})``. Raises BackendError where AWS refuses.
        """
        if local is not None or functions or tasks or at:
            raise BackendError(
                "a redrive on AWS uses what is deployed there, now. To try it with other functions, redrive its "
                "history here: sf.replay(run.machine, run.history).redrive(functions={…})"
            )
        with self._lock:
            before = len(self._events())
            self.aws.call("redrive_execution", executionArn=self.arn, clientToken=str(uuid.uuid4()))
            self._before, self._known = before, None
            self._describing.hurry()
            self._reading.hurry()
        return self

    def _redrivable(self) -> tuple[str, str | None]:
        with self._lock:
            self._known = None  # it depends on when one asks
            self._outcome()
            return self._redrive


class ExpressExecution(Execution):
    """An Express execution that AWS ran while we waited: an outcome, and no history."""

    def __init__(self, machine: StateMachine, said: dict[str, Any], *, input: str) -> None:
        super().__init__(machine, arn=said["executionArn"], input=input)
        self.said = said

    def _outcome(self) -> Outcome:
        return Outcome(*(self.said.get(name) for name in ("status", "output", "error", "cause")))  # type: ignore[arg-type]

    def _events(self, start: int = 0) -> list[Event]:  # noqa: ARG002 - the base class's signature
        return []

    @property
    def history(self) -> History:
        """Not there: raises BackendError that says where it is."""
        self._nowhere("history")

    def cost(self, **options: Any) -> Bill:  # noqa: ARG002
        """Not known without a history: raises BackendError that says what AWS billed."""
        self._nowhere("history to make a bill from")

    def _nowhere(self, what: str) -> NoReturn:
        billed = self.said.get("billingDetails") or {}
        raise BackendError(
            f"an Express execution on AWS has no {what}: AWS writes its events to CloudWatch Logs only, where logging "
            "is on. Run it with sf.Local to see them. (Billed: "
            f"{billed.get('billedDurationInMilliseconds', '?')} ms at {billed.get('billedMemoryUsedInMB', '?')} MB.)"
        )

    @property
    def seconds(self) -> float:
        """How long it took."""
        return float((self.said["stopDate"] - self.said["startDate"]).total_seconds())

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """Nothing: it has ended."""

    def __repr__(self) -> str:
        outcome = self._outcome()
        said = f", error={outcome.error!r}" if outcome.error else ""
        return f"Execution({self.machine.name}/{self.name} {outcome.status}{said}, Express: no history)"


def _machine(said: dict[str, Any]) -> StateMachine:
    definition = loads(said["definition"], f"<{said['name']}>")
    return StateMachine(definition, name=said["name"], type=said.get("type", "STANDARD"))


def _code(e: BaseException | None) -> str:
    """AWS's error code, or the name of botocore's class."""
    response = getattr(e, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else type(e).__name__


def _passing(e: Exception) -> str | None:
    """Whether it may be different in a moment.

    ``busy``: refused, nothing was done; ``away``: nobody was reached; ``lost``: perhaps done, the answer was lost.
    """
    response = getattr(e, "response", None)
    if isinstance(response, dict):
        status, code = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), _code(e)
        if status == 429 or "Throttl" in code or code in ("TooManyRequestsException", "RequestLimitExceeded"):
            return "busy"
        return "lost" if status >= 500 else None
    names = {c.__name__ for c in type(e).__mro__}
    if names & {"EndpointConnectionError", "ConnectTimeoutError"}:
        return "away"
    return "lost" if "HTTPClientError" in names else None


def _kind(e: Exception, said: str) -> str:
    """Return the key of `ADVICE` for an error."""
    code = _code(e)
    if "AccessDenied" in code and not code.startswith("Kms"):
        if "iam:PassRole" in said:
            return "PassRole"
        return "AssumeRole" if "assume the provided role" in said else "AccessDenied"
    if (passing := _passing(e)) and hasattr(e, "response"):
        return "Throttled" if passing == "busy" else "Server"
    known = [code, *(c.__name__ for c in type(e).__mro__)]
    return next((name for name in known if name in ADVICE), "")


def _reason(e: Exception) -> str:
    """What AWS or botocore says, in one line, without credentials.

    A refused signature is answered with the request as AWS saw it, session token included: that is taken out of the
    original too, because a notebook shows causes.
    """
    response = getattr(e, "response", None)
    if not isinstance(response, dict):
        return " ".join(str(e).split())
    told = response.setdefault("Error", {})
    whole = str(told.get("Message", ""))
    first = whole.strip().split("\n")[0]
    if "Signature" in str(told.get("Code", "")) and first != whole:
        e.args = tuple(str(arg).replace(whole, first) for arg in e.args)
        told["Message"] = first
    return f"{first} ({told.get('Code') or response.get('ResponseMetadata', {}).get('HTTPStatusCode')})".strip()

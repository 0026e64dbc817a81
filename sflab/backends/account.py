"""What the Step Functions API keeps beside executions: state machines, versions, aliases, activities, tags.

Theory of operation. An `Account` belongs to one `Local` and is made when its API is first used. A state machine is a
name with a current *revision*; a *version* is a revision with a number, an *alias* a draw between versions. Revisions
never change, so an execution keeps the one it was started with. State machines that `Local` knows otherwise are taken
in when somebody asks, and what is created here becomes known to nested executions (`Local.machines`).

Below the account is what a request's parts come to: a definition that can run, a logging configuration filled up.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sflab.asl.model import Diagnostic, drawn_uuid
from sflab.asl.parse import loads
from sflab.asl.validate import UNRESOLVED, validate
from sflab.backends.callbacks import ACCOUNT
from sflab.backends.requests import Arn, Request
from sflab.backends.statemachine import StateMachine
from sflab.errors import ApiError, DefinitionError

if TYPE_CHECKING:
    from sflab.backends.local import Local, LocalExecution

MAX_TAGS = 50  # "Maximum number of tags per resource" (quotas page)
OWNED_KEY = {"type": "AWS_OWNED_KEY"}
NO_LOGS = {"includeExecutionData": False, "level": "OFF"}
NO_TRACES = {"enabled": False}


@dataclass(frozen=True, slots=True)
class Revision:
    """A state machine as it was at one time. The first one has no ``id``."""

    machine: StateMachine
    text: str
    role_arn: str
    logging: dict[str, Any]
    tracing: dict[str, Any]
    encryption: dict[str, Any]
    id: str | None
    updated: float


@dataclass(frozen=True, slots=True)
class Version:
    """A published revision."""

    revision: Revision
    description: str | None
    created: float


@dataclass(slots=True)
class Alias:
    """A name for one version, or for two with weights (percent)."""

    name: str
    description: str | None
    routing: list[dict[str, Any]]
    created: float
    updated: float


@dataclass(slots=True)
class Machine:
    """A state machine under its name."""

    name: str
    arn: str
    revision: Revision
    created: float
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    last: int = 0  # the highest version number there ever was
    aliases: dict[str, Alias] = field(default_factory=dict)
    revisions: int = 0
    first: Request | None = None  # what it was created with; a second creation has to be the same

    @property
    def type(self) -> str:
        """STANDARD or EXPRESS; it does not change."""
        return self.revision.machine.type


@dataclass(slots=True)
class Activity:
    """An activity under its name."""

    name: str
    arn: str
    created: float
    encryption: dict[str, Any]
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Started:
    """What the API knows of an execution: the revision it runs, and the ARNs it was started through."""

    revision: Revision
    version_arn: str | None = None
    alias_arn: str | None = None
    trace_header: str | None = None


class Account:
    """What there is in the account that `Local` stands for. *lock* guards all of it; no code of the user runs under it.

    ``started`` says of an execution, by its ARN, what it was started through.
    """

    def __init__(self, local: Local) -> None:
        self.local = local
        self.lock = threading.RLock()
        self.machines: dict[str, Machine] = {}
        self.activities: dict[str, Activity] = {}
        self.started: dict[str, Started] = {}

    @property
    def here(self) -> str:
        """The start of every ARN in the account."""
        return f"arn:aws:states:{self.local.region}:{ACCOUNT}"

    def now(self) -> float:
        """The moment, in epoch seconds of the backend's time."""
        return self.local.now()

    def uuid(self, *about: object) -> str:
        """Return a UUID that the seed decides."""
        rng = random.Random("/".join(map(str, (self.local.seed, *about))))
        return drawn_uuid(rng)

    def adopt(self) -> None:
        """Take in the state machines and activities that were made without the API."""
        start = self.local.start
        with self.lock:
            for name in [name for name in list(self.local.machines) if name not in self.machines]:
                revision = adopted(self.local.machines[name], start)
                self.machines[name] = Machine(name, f"{self.here}:stateMachine:{name}", revision, start)
            for name in [name for name in list(self.local.activities) if name not in self.activities]:
                given = f"{self.here}:activity:{name}"
                self.activities[name] = Activity(name, given, start, dict(OWNED_KEY), {})

    def machine(self, given: Arn) -> Machine:
        """Return the state machine an ARN names. Raises ApiError ``StateMachineDoesNotExist``."""
        self.adopt()
        found = self.machines.get(given.name)
        if found is None or found.arn != given.machine or given.label:
            raise ApiError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{given.text}'")
        return found

    def revision(self, execution: LocalExecution) -> Started:
        """Return what *execution* was started through, also when the API did not start it."""
        known = self.started.get(execution.arn)
        if known is None:
            current = self.machines.get(execution.machine.name)
            fits = current is not None and current.revision.machine is execution.machine
            revision = current.revision if current and fits else adopted(execution.machine, self.local.start)
            known = self.started[execution.arn] = Started(revision)
        return known


def adopted(machine: StateMachine, at: float) -> Revision:
    """Return the revision of a state machine that was not created over the API."""
    text = machine.definition.text
    try:
        same = json.loads(text) == machine.definition.raw
    except ValueError:
        same = False
    text = text if same else json.dumps(machine.definition.raw, indent=2, ensure_ascii=False)
    role = machine.role_arn or f"arn:aws:iam::{ACCOUNT}:role/sflab"
    return Revision(machine, text, role, dict(NO_LOGS), dict(NO_TRACES), dict(OWNED_KEY), None, at)


# ── what is given ────────────────────────────────────────────────────────────────────────────────────────────────────


def diagnose(text: str, type_: str) -> tuple[StateMachine | None, list[Diagnostic]]:
    """Return (the state machine, everything found in its definition); None where the text is not JSON."""
    try:
        definition = loads(text, "definition.json")  # the API takes JSON, not YAML
    except DefinitionError as e:
        return None, list(e.diagnostics)
    found = validate(definition, type_)
    found = [replace(d, severity="ERROR") if d.code == UNRESOLVED else d for d in found]
    return StateMachine(definition, type=type_), found


def state_machine(name: str, type_: str, text: str, role_arn: str) -> StateMachine:
    """Return a machine that can run. Raises ApiError ``InvalidDefinition``, with all that is wrong as AWS lists it."""
    machine, found = diagnose(text, type_)
    errors = [d for d in found if d.severity == "ERROR"]
    if errors or machine is None:
        said = ", ".join(
            f"{d.code}: {d.message}" + ("" if d.location.startswith("[") else f" at {d.location or '/'}")
            for d in errors
        )
        raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: '{said}'")
    return StateMachine(machine.definition, name=name, type=type_, role_arn=role_arn)


def logging_of(given: Request | None) -> dict[str, Any]:
    """Return the logging configuration, filled up. No log group is looked for: any destination is taken."""
    config = {**NO_LOGS, **(given or {})}
    count = len(config.get("destinations", ()))
    if count > 1 or (config["level"] != "OFF" and count != 1):
        message = "Invalid Logging Configuration: Must specify exactly one Log Destination."
        raise ApiError("InvalidLoggingConfiguration", message)
    return config


def encryption_of(given: Request | None) -> dict[str, Any]:
    """Return the encryption configuration, filled up. Raises ApiError ``InvalidEncryptionConfiguration``."""
    config = dict(given or OWNED_KEY)
    customer = config["type"] == "CUSTOMER_MANAGED_KMS_KEY"
    wrong = None
    if customer and not config.get("kmsKeyId"):
        wrong = "kmsKeyId must be specified when type is CUSTOMER_MANAGED_KMS_KEY"
    elif not customer and len(config) > 1:
        wrong = "kmsKeyId and kmsDataKeyReusePeriodSeconds must not be specified when type is AWS_OWNED_KEY"
    if wrong:
        raise ApiError("InvalidEncryptionConfiguration", f"Invalid Encryption Configuration: {wrong}")
    return {"kmsDataKeyReusePeriodSeconds": 300, **config} if customer else config


def tags_of(given: Iterable[Request], old: dict[str, str] | None = None) -> dict[str, str]:
    """Return *old* tags with the *given* ones. Raises ApiError ``TooManyTags``."""
    out = {**(old or {}), **{tag.get("key", ""): tag.get("value", "") for tag in given}}
    if len(out) > MAX_TAGS:
        raise ApiError("TooManyTags", f"A resource can have at most {MAX_TAGS} tags; there would be {len(out)}")
    return out


def role_of(given: str) -> str:
    """Return the role's ARN. Raises ApiError ``InvalidArn``."""
    if not given.startswith("arn:") or given.count(":") < 5:
        raise ApiError("InvalidArn", f"Invalid Role Arn: '{given}'")
    return given

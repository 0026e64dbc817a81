"""AWS's services as Step Functions spells them: names, parameters, results and errors, from botocore's own models.

``aws-sdk:`` integrations are the SDK for Java, version 2: its names of services (``sfn``, ``cloudwatchlogs``) and its
spelling of members, which lowers a leading acronym (``DBClusters`` is ``DbClusters``, ``ETag`` stays ``ETag``,
``SourceDBClusterIdentifier`` stays as it is). Most optimized integrations are the SDK for Java, version 1, which only
raises the first letter (``MD5OfMessageBody``).
"""

from __future__ import annotations

import base64
import functools
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from sflab.asl.intrinsics import java_order
from sflab.asl.model import JSON, StatesError, compact

#: Step Functions' name of a service -> botocore's, where the SDK for Java's customised name or that of an optimized
#: integration does not follow from the service's id
#: (https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html).
_SERVICES = {
    "applicationautoscaling": "application-autoscaling",
    "applicationdiscovery": "discovery",
    "config": "config",
    "cloudwatchevents": "events",
    "costandusagereport": "cur",
    "databasemigration": "dms",
    "databrew": "databrew",
    "directory": "ds",
    "elasticmapreduce": "emr",
    "elasticsearch": "es",
    "emr-containers": "emr-containers",
    "emr-serverless": "emr-serverless",
    "events": "events",
    "lexmodelbuilding": "lex-models",
    "lexruntime": "lex-runtime",
    "states": "stepfunctions",
}
_NUMBERS = ("integer", "long", "float", "double")


@functools.cache
def loader() -> Any:
    """Return the one loader of botocore's models: each is a large file, read once for all sandboxes."""
    import botocore.loaders

    return botocore.loaders.create_loader()


@functools.cache
def botocore_name(service: str) -> str | None:
    """Return botocore's name of Step Functions' *service* (without ``aws-sdk:``); None where there is none."""
    return _SERVICES.get(service) or _index().get(service)


def services() -> list[str]:
    """Return the names of all services, as Step Functions has them."""
    return sorted({*_SERVICES, *_index()})


@functools.cache
def _index() -> dict[str, str]:
    """Every service by the SDK for Java's name: the service's id in lower case, without what stands between words."""
    from botocore.utils import EVENT_ALIASES

    names = loader().list_available_services("service-2")
    return {EVENT_ALIASES.get(name, name).replace("-", "").replace(".", ""): name for name in names}


@functools.cache
def service_model(name: str) -> Any:
    """Return botocore's model of the service *name*, as botocore calls it; None where it is not one."""
    import botocore.model
    from botocore.exceptions import DataNotFoundError, UnknownServiceError

    try:
        return botocore.model.ServiceModel(loader().load_service_model(name, "service-2"), service_name=name)
    except (UnknownServiceError, DataNotFoundError):
        return None


@functools.cache
def operation(service: str, action: str) -> Any:
    """Return botocore's model of an operation (``putItem`` of ``dynamodb``); None where there is no such thing."""
    name = botocore_name(service)
    model = service_model(name) if name else None
    if model is None:
        return None
    wanted = action.lower()
    found = next((each for each in model.operation_names if each.lower() == wanted), None)
    return model.operation_model(found) if found else None


@functools.cache
def java_member(name: str) -> str:
    """Return a member's name as the SDK for Java 2 spells it, with a capital: a leading acronym becomes a word."""
    i = 1
    while i < len(name) and name[i].isupper() and not (i < len(name) - 1 and name[i + 1].islower()):
        i += 1
    lowered = name[:i].lower() + name[i:]
    return lowered[:1].upper() + lowered[1:]


def capital(name: str) -> str:
    """Return *name* with a capital, as the SDK for Java 1 spells members."""
    return name[:1].upper() + name[1:]


def java_class(text: str) -> str:
    """Return a name as the SDK for Java 2 makes classes of it: ``DynamoDB`` is ``DynamoDb``."""
    text = re.sub(r"[^A-Za-z0-9]+", " ", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-zA-Z0-9])", " ", text)
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", text)
    text = re.sub(r"([0-9])([a-zA-Z])", r"\1 \2", text)
    return "".join(word.capitalize() for word in text.split())


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────────


def unsupported(command_parameters: JSON, what: str) -> StatesError:
    """Return the States.Runtime error of parameters that no request can be made of."""
    return StatesError(
        "States.Runtime",
        f"The Parameters '{compact(command_parameters)}' could not be used to start the Task: [{what}]",
    )


def request(parameters: JSON, shape: Any, spelled: Callable[[str], str]) -> dict[str, Any]:
    """Return *parameters*, as Step Functions takes them, as botocore takes them.

    A member that is null is not sent. Where the service wants text and is given JSON, it is given the JSON's text
    (conformance: ``Body`` of ``s3:putObject``, ``Input`` of ``sfn:startExecution``).

    Raises StatesError: ``States.Runtime`` for a field the operation does not have, or a value it cannot take.
    """
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise unsupported(parameters, "The Parameters must be a JSON object")
    if shape is None:
        if parameters:
            raise unsupported(parameters, _no_field(next(iter(parameters)), ()))
        return {}
    made = _given(parameters, shape, "", spelled, parameters)
    assert isinstance(made, dict)  # noqa: S101 - an operation's input is a structure
    return made


def _no_field(name: str, known: Iterable[str]) -> str:
    """Name the field that there is not; the one that was meant, where only its capitals differ."""
    meant = next((each for each in known if each.lower() == name.lower()), None)
    return f'The field "{name}" is not supported by Step Functions' + (f"; write {meant}" if meant else "")


def _given(value: JSON, shape: Any, name: str, spelled: Callable[[str], str], whole: JSON) -> Any:
    kind = shape.type_name
    if getattr(shape, "is_document_type", False):
        return value
    if kind == "structure" and isinstance(value, dict):
        members = {spelled(member): (member, inner) for member, inner in shape.members.items()}
        if unknown := next((key for key in value if key not in members), None):
            raise unsupported(whole, _no_field(unknown, members))
        return {
            members[key][0]: _given(item, members[key][1], key, spelled, whole)
            for key, item in value.items()
            if item is not None
        }
    if kind == "list" and isinstance(value, list):
        return [_given(item, shape.member, name, spelled, whole) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _given(item, shape.value, key, spelled, whole) for key, item in value.items()}
    made = _scalar(value, kind)
    if made is None:
        raise unsupported(whole, f"The value of the field '{name}' has an invalid format")
    return made


def _scalar(value: JSON, kind: str) -> Any:
    """Return *value* as the service takes it; None where it cannot."""
    if kind in ("string", "character"):
        return value if isinstance(value, str) else compact(value)
    if kind == "blob":
        return (value if isinstance(value, str) else compact(value)).encode("utf-8", "surrogatepass")
    if kind == "boolean":
        return {"true": True, "false": False}.get(str(value).lower())
    if kind in _NUMBERS:
        return _number(value, whole=kind in ("integer", "long"))
    if kind == "timestamp" and not isinstance(value, bool | dict | list):
        return value
    return None


def _number(value: JSON, *, whole: bool) -> float | None:
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
        return None
    return int(number) if whole else number


def absent(given: dict[str, Any], operation: Any) -> tuple[str, str] | None:
    """Return (code, message) as the service refuses a request without its required members; None where all are there.

    Services that took forms once still speak of parameters, the others of values (conformance §8.1: SQS, DynamoDB).
    """
    shape, meta = operation.input_shape, operation.service_model.metadata
    missing = [name for name in (shape.required_members if shape is not None else ()) if name not in given]
    if not missing:
        return None
    if meta["protocol"] in ("query", "ec2") or "awsQueryCompatible" in meta:
        return "MissingParameter", f"The request must contain the parameter {missing[0]}."
    said = "; ".join(
        f"Value null at '{name[:1].lower() + name[1:]}' failed to satisfy constraint: Member must not be null"
        for name in missing
    )
    return "ValidationException", f"{len(missing)} validation error{'s' * (len(missing) > 1)} detected: {said}"


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reading:
    """How a service's answer becomes a task's result.

    With *java1* it is the SDK for Java 1's: members only capitalised, times in milliseconds, maps in the order of a
    HashMap. *lists* gives lists that are not there as empty ones, as that SDK does for some services. *now* is asked
    of every time what it is to be read as.
    """

    __slots__ = ("java1", "lists", "moment", "now", "spelled")

    def __init__(self, *, java1: bool, lists: bool = False, now: Callable[[datetime], datetime] = lambda t: t) -> None:
        self.java1, self.lists, self.now = java1, lists, now
        self.spelled = capital if java1 else java_member
        self.moment: Callable[[datetime], JSON] = (
            (lambda t: round(now(t).timestamp() * 1000)) if java1 else (lambda t: instant(now(t)))
        )

    def result(self, value: Any, shape: Any) -> dict[str, JSON]:
        """Return an operation's answer as JSON, its members in the order of their names and a stream at the end."""
        if shape is None:
            return {}
        last = shape.serialization.get("payload") if shape.serialization else None
        made = self._members(value, shape)
        if not self.java1 and last and last in value and shape.members[last].type_name in ("blob", "string"):
            name = self.spelled(last)
            made[name] = made.pop(name)
        return made

    def _members(self, value: dict[str, Any], shape: Any) -> dict[str, JSON]:
        made: dict[str, JSON] = {}
        for member in sorted(shape.members, key=self.spelled):
            inner = shape.members[member]
            if value.get(member) is not None:
                made[self.spelled(member)] = self._value(value[member], inner)
            elif self.lists and inner.type_name == "list":
                made[self.spelled(member)] = []
        return made

    def _value(self, value: Any, shape: Any) -> JSON:
        kind = shape.type_name
        if kind == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
            return self._members(value, shape)
        if kind == "list":
            return [self._value(item, shape.member) for item in value]
        if kind == "map":
            names = java_order(value) if self.java1 else value
            return {name: self._value(value[name], shape.value) for name in names}
        if isinstance(value, datetime):
            return self.moment(value)
        if kind == "long" and 1e12 < value < 4e12:  # milliseconds, where a service has no better word for a time
            return round(self.now(datetime.fromtimestamp(value / 1000, UTC)).timestamp() * 1000)
        return plain(value)


def plain(value: Any) -> JSON:
    """Return what botocore gave as JSON: streams and bytes as text, times as text."""
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def instant(when: datetime) -> str:
    """Return a time as Java's Instant writes it: UTC, without a fraction where there is none."""
    when = when.astimezone(UTC)
    text = when.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{when.microsecond // 1000:03d}Z" if when.microsecond >= 1000 else f"{text}Z"


def wire_size(value: Any, shape: Any, request_id: str, name: str) -> int:
    """Return the bytes of the answer as the service sends it: JSON, or the XML of a form's answer.

    (106 bytes for ``sqs:sendMessage``, 294 for ``sns:publish``: conformance, 24 recordings.)
    """
    protocol = shape.metadata.get("protocol") if hasattr(shape, "metadata") else None
    if protocol in ("query", "ec2"):
        inner = "".join(f"    <{key}>{plain(item)}</{key}>\n" for key, item in value.items())
        text = (
            f'<{name}Response xmlns="{shape.metadata.get("xmlNamespace", "")}">\n  <{name}Result>\n{inner}'
            f"  </{name}Result>\n  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n"
            f"  </ResponseMetadata>\n</{name}Response>\n"
        )
        return len(text.encode())
    return len(compact(_wire(value)).encode())


def _wire(value: Any) -> JSON:
    if isinstance(value, dict):
        return {key: _wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_wire(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else plain(value)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def exception(code: str, model: Any, general: str, *, java1: bool) -> str:
    """Return the SDK's exception of a service's error *code*: *general* for one that the model does not name.

    ``NoSuchKey`` is NoSuchKeyException, ``DBInstanceNotFoundFault`` DbInstanceNotFoundException.
    """
    short = code.rpartition("#")[2].rpartition(":")[2]
    shape = model.shape_for_error_code(short) or next(
        (each for each in model.error_shapes if each.name in (short, f"{short}Exception")), None
    )
    if shape is None:
        return general
    name = shape.name.removesuffix("Fault") if not java1 else shape.name
    name = capital(name) if java1 else java_class(name)
    return name if name.endswith("Exception") else f"{name}Exception"

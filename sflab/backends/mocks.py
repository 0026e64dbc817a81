"""Whether a service could have answered so: mocked results against the services' own API models.

What botocore says of an operation's response (members, types, lengths, ranges, enumerations) is checked the way
TestState does it, in its words (conformance §8.2). Step Functions writes member names with a capital
(``executionArn`` is ``ExecutionArn``) and acronyms as words (``DBClusters`` is ``DbClusters``); members that the model
does not know are let through, as AWS does. What has no model is not checked: Lambda functions called by ARN,
activities, HTTP and API Gateway calls, and what ``.waitForTaskToken`` and most ``.sync`` integrations come back with.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from sflab.backends import shapes
from sflab.errors import ApiError

if TYPE_CHECKING:
    from sflab.asl.model import JSON, Resource

_UNMODELLED = ("http", "apigateway", "eks")  # optimized integrations whose answers are not the service's own
#: What ``.sync`` waits with, where it hands on that operation's answer as it is.
_POLLED = {"startExecution.sync": "describeExecution"}

#: Limits that botocore's model has widened since AWS was seen to apply them (2025-11).
_RECORDED = {"MemorySize": {"min": 128, "max": 10_240}}

_ACRONYM = re.compile(r"([A-Z]+)(?=[A-Z][a-z])|([A-Z]{2,})$")
_NUMBERS = ("integer", "long", "float", "double")


def check(resource: Resource, result: JSON, mode: str) -> None:
    """Raise ApiError unless *resource* could answer with *result*.

    *mode* is ``STRICT`` (required members must be there, all that are there must fit), ``PRESENT`` (what is there must
    fit) or ``NONE``.
    """
    if mode == "NONE" or resource.kind != "task" or resource.pattern == "waitForTaskToken":
        return
    if resource.type in _UNMODELLED:
        return
    if (action := _POLLED.get(resource.action) if resource.pattern else resource.action) is None:
        return
    shape = _response(resource.type.removeprefix("aws-sdk:"), action)
    if shape is not None:
        if not isinstance(result, dict):
            raise ApiError("ValidationException", "Mocked result must be a JSON object.")
        _value(result, shape, "", strict=mode == "STRICT")


def _response(service: str, action: str) -> Any:
    """Return botocore's shape of what *action* answers; None where there is no such thing."""
    operation = shapes.operation(service, action)
    return operation.output_shape if operation is not None else None


def _value(value: JSON, shape: Any, name: str, *, strict: bool) -> None:
    kind = shape.type_name
    if getattr(shape, "is_document_type", False):
        return
    if kind == "structure":
        _need(name, "an object", isinstance(value, dict))
        _members(value, shape, strict=strict)
    elif kind == "list":
        _need(name, "an array", isinstance(value, list))
        for item in value:
            _value(item, shape.member, name, strict=strict)
    elif kind == "map":
        _need(name, "an object", isinstance(value, dict))
        for key, item in value.items():
            _value(item, shape.value, key, strict=strict)
    elif kind in _NUMBERS:
        _need(name, "a number", isinstance(value, int | float) and not isinstance(value, bool))
        limits = _RECORDED.get(shape.name, shape.metadata)
        _range(value, limits, name, "is less than the minimum value", "exceeds the maximum value")
    elif kind == "boolean":
        _need(name, "a boolean", isinstance(value, bool))
    else:  # string, character, blob and timestamp are JSON strings
        _need(name, "a string", isinstance(value, str))
        if kind != "timestamp":
            least = "is smaller than the minimum length"
            _range(len(value), shape.metadata, name, least, "exceeds the maximum length")
        if value not in (getattr(shape, "enum", None) or [value]):
            _wrong(f"Field '{name}' is not an expected value")


def _members(value: dict[str, JSON], shape: Any, *, strict: bool) -> None:
    known = {}
    for member, inner in shape.members.items():
        known[member[:1].upper() + member[1:]] = known[_spelled(member)] = inner
    if strict:
        for member in shape.required_members:
            name = member[:1].upper() + member[1:]
            if name not in value and _spelled(member) not in value:
                _wrong(f"Required field '{name}' is missing")
    for name, item in value.items():
        if name in known:
            _value(item, known[name], name, strict=strict)


def _spelled(member: str) -> str:
    """``DBClusters`` as the SDK for Java spells it, and Step Functions after it: ``DbClusters``."""
    return _ACRONYM.sub(lambda m: m[0].capitalize(), member[:1].upper() + member[1:])


def _need(name: str, what: str, fits: Any) -> None:
    if not fits:
        _wrong(f"Field '{name}' must be {what}")


def _range(number: float, limits: dict[str, Any], name: str, below: str, above: str) -> None:
    if number < limits.get("min", number):
        _wrong(f"Field '{name}' {below}")
    if number > limits.get("max", number):
        _wrong(f"Field '{name}' {above}")


def _wrong(what: str) -> NoReturn:
    raise ApiError("ValidationException", f"Mock result schema validation error: {what}")

"""Whether a service could have answered so: mocked results against the services' own API models.

What botocore says of an operation's response (members, types, lengths, ranges, enumerations) is checked the way
TestState does it, in its words (conformance §8.2). Step Functions writes member names with a capital
(``executionArn`` is ``ExecutionArn``) and acronyms as words (``DBClusters`` is ``DbClusters``); members that the model
does not know are let through, as AWS does. What has no model is not checked: Lambda functions called by ARN,
activities, HTTP and API Gateway calls, and what ``.waitForTaskToken`` and most ``.sync`` integrations come back with.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, NoReturn

from sflab.errors import ApiError

if TYPE_CHECKING:
    from sflab.asl.model import JSON, Resource

#: Step Functions' name of a service -> botocore's, where they differ. For ``aws-sdk:`` it is the name of the SDK for
#: Java's client (https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html).
_SERVICES = {
    "accessanalyzer": "accessanalyzer",
    "applicationautoscaling": "application-autoscaling",
    "applicationdiscovery": "discovery",
    "applicationinsights": "application-insights",
    "bedrockruntime": "bedrock-runtime",
    "bedrockagent": "bedrock-agent",
    "bedrockagentruntime": "bedrock-agent-runtime",
    "cloudwatchevents": "events",
    "cloudwatchlogs": "logs",
    "cognitoidentity": "cognito-identity",
    "cognitoidentityprovider": "cognito-idp",
    "configservice": "config",
    "costandusagereport": "cur",
    "costexplorer": "ce",
    "databasemigration": "dms",
    "directory": "ds",
    "dynamodbstreams": "dynamodbstreams",
    "ecrpublic": "ecr-public",
    "elasticbeanstalk": "elasticbeanstalk",
    "elasticloadbalancing": "elb",
    "elasticloadbalancingv2": "elbv2",
    "elasticmapreduce": "emr",
    "elasticsearch": "es",
    "emrcontainers": "emr-containers",
    "emrserverless": "emr-serverless",
    "eventbridge": "events",
    "iotdataplane": "iot-data",
    "marketplacemetering": "meteringmarketplace",
    "rdsdata": "rds-data",
    "redshiftdata": "redshift-data",
    "resourcegroupstaggingapi": "resourcegroupstaggingapi",
    "sagemakerruntime": "sagemaker-runtime",
    "servicecatalog": "servicecatalog",
    "servicequotas": "service-quotas",
    "sfn": "stepfunctions",
    "states": "stepfunctions",
}
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


@functools.cache
def _response(service: str, action: str) -> Any:
    """Return botocore's shape of what *action* answers; None where there is no such thing."""
    import botocore.loaders
    import botocore.model

    try:
        loader = botocore.loaders.create_loader()
        model = botocore.model.ServiceModel(loader.load_service_model(_SERVICES.get(service, service), "service-2"))
    except (botocore.exceptions.UnknownServiceError, botocore.exceptions.DataNotFoundError):
        return None
    wanted = action.lower()
    name = next((name for name in model.operation_names if name.lower() == wanted), None)
    return model.operation_model(name).output_shape if name else None


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

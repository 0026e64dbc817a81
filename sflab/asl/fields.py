"""Which fields a state has: the one table that validation, compilation and completion read.

Source: https://states-language.net/spec.html ("State Types") and the developer guide's page of each state type. A
field's value is of a ``kind``: what it must be; `sflab.asl.validate` says what each kind takes.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One field: what its value must be, and in which query language it exists (None: in both)."""

    kind: str
    language: str | None = None
    required: bool = False


J, D = "JSONPath", "JSONata"

TOP_LEVEL = {
    "Comment": Field("text"),
    "StartAt": Field("text", required=True),
    "States": Field("states", required=True),
    "Version": Field("text"),
    "TimeoutSeconds": Field("count"),
    "QueryLanguage": Field("language"),
    "ProcessorConfig": Field("processor"),
}

_EVERY = {"Type": Field("type", required=True), "Comment": Field("text"), "QueryLanguage": Field("language")}
_IO = {"InputPath": Field("path", J), "OutputPath": Field("path", J)}
_OUTPUT = {"Output": Field("any", D)}
_ASSIGN = {"Assign": Field("assign")}
_FLOW = {"Next": Field("text"), "End": Field("flag")}
_PARAMETERS = {"Parameters": Field("template", J)}
_RESULT = {"ResultPath": Field("reference", J)}
_SELECTOR = {"ResultSelector": Field("template", J)}
_RETRY = {"Retry": Field("retriers"), "Catch": Field("catchers")}

STATES: dict[str, dict[str, Field]] = {
    "Pass": {**_EVERY, **_IO, **_OUTPUT, **_ASSIGN, **_FLOW, **_PARAMETERS, **_RESULT, "Result": Field("any", J)},
    "Task": {
        **_EVERY, **_IO, **_OUTPUT, **_ASSIGN, **_FLOW, **_PARAMETERS, **_RESULT, **_SELECTOR, **_RETRY,
        "Resource": Field("text", required=True),
        "Arguments": Field("any", D),
        "TimeoutSeconds": Field("seconds"),
        "TimeoutSecondsPath": Field("path", J),
        "HeartbeatSeconds": Field("seconds"),
        "HeartbeatSecondsPath": Field("path", J),
        "Credentials": Field("credentials"),
    },
    "Choice": {
        **_EVERY, **_IO, **_OUTPUT, **_ASSIGN,
        "Choices": Field("rules", required=True),
        "Default": Field("text"),
    },
    "Wait": {
        **_EVERY, **_IO, **_OUTPUT, **_ASSIGN, **_FLOW,
        "Seconds": Field("seconds"),
        "SecondsPath": Field("path", J),
        "Timestamp": Field("timestamp"),
        "TimestampPath": Field("path", J),
    },
    "Succeed": {**_EVERY, **_IO, **_OUTPUT},
    "Fail": {
        **_EVERY,
        "Error": Field("text"),
        "ErrorPath": Field("expression", J),
        "Cause": Field("text"),
        "CausePath": Field("expression", J),
    },
    "Parallel": {
        **_EVERY, **_IO, **_OUTPUT, **_ASSIGN, **_FLOW, **_PARAMETERS, **_RESULT, **_SELECTOR, **_RETRY,
        "Arguments": Field("any", D),
        "Branches": Field("branches", required=True),
    },
    "Map": {
        **_EVERY, **_IO, **_OUTPUT, **_ASSIGN, **_FLOW, **_PARAMETERS, **_RESULT, **_SELECTOR, **_RETRY,
        "ItemProcessor": Field("processor_states"),
        "Iterator": Field("processor_states"),
        "ItemsPath": Field("path", J),
        "Items": Field("any"),
        "ItemSelector": Field("any"),
        "ItemReader": Field("object"),
        "ItemBatcher": Field("object"),
        "ResultWriter": Field("object"),
        "MaxConcurrency": Field("count"),
        "MaxConcurrencyPath": Field("path", J),
        "ToleratedFailureCount": Field("count"),
        "ToleratedFailureCountPath": Field("path", J),
        "ToleratedFailurePercentage": Field("percentage"),
        "ToleratedFailurePercentagePath": Field("path", J),
        "Label": Field("text"),
    },
}  # fmt: skip

RETRIER = {
    "ErrorEquals": Field("errors", required=True),
    "IntervalSeconds": Field("positive"),
    "MaxAttempts": Field("count"),
    "BackoffRate": Field("rate"),
    "MaxDelaySeconds": Field("positive"),
    "JitterStrategy": Field("jitter"),
    "Comment": Field("text"),
}
CATCHER = {
    "ErrorEquals": Field("errors", required=True),
    "Next": Field("text", required=True),
    "ResultPath": Field("reference", J),
    "Output": Field("any", D),
    "Assign": Field("assign"),
    "Comment": Field("text"),
}

#: Groups of fields of which a state may have only one, by state type.
EXCLUSIVE: dict[str, tuple[tuple[str, ...], ...]] = {
    "Wait": (("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),),
    "Task": (("TimeoutSeconds", "TimeoutSecondsPath"), ("HeartbeatSeconds", "HeartbeatSecondsPath")),
    "Fail": (("Error", "ErrorPath"), ("Cause", "CausePath")),
    "Map": (
        ("ItemProcessor", "Iterator"),
        ("ItemSelector", "Parameters"),
        ("MaxConcurrency", "MaxConcurrencyPath"),
        ("ToleratedFailureCount", "ToleratedFailureCountPath"),
        ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
    ),
}

#: The error names the States Language predefines (spec, Appendix A), with those AWS adds.
PREDEFINED_ERRORS = (
    "States.ALL", "States.BranchFailed", "States.DataLimitExceeded", "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout", "States.IntrinsicFailure", "States.ItemReaderFailed", "States.NoChoiceMatched",
    "States.ParameterPathFailure", "States.Permissions", "States.QueryEvaluationError", "States.ResultPathMatchFailure",
    "States.ResultWriterFailed", "States.Runtime", "States.TaskFailed", "States.Timeout", "States.Http.Socket",
)  # fmt: skip

_INVOKED = "invoke"

#: The optimized integrations and their actions; any other service is called as ``aws-sdk:service:action``.
#: https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html
OPTIMIZED: dict[str, frozenset[str]] = {
    service: frozenset(actions.split())
    for service, actions in {
        "apigateway": _INVOKED,
        "athena": "startQueryExecution stopQueryExecution getQueryExecution getQueryResults",
        "batch": "submitJob",
        "bedrock": "invokeModel createModelCustomizationJob",
        "codebuild": "startBuild stopBuild batchDeleteBuilds batchGetReports startBuildBatch stopBuildBatch "
        "retryBuildBatch deleteBuildBatch",
        "databrew": "startJobRun",
        "dynamodb": "getItem putItem updateItem deleteItem",
        "ecs": "runTask",
        "eks": "createCluster deleteCluster createNodegroup deleteNodegroup createFargateProfile deleteFargateProfile "
        "runJob call",
        "elasticmapreduce": "createCluster terminateCluster addStep cancelStep setClusterTerminationProtection "
        "modifyInstanceFleetByName modifyInstanceGroupByName",
        "emr-containers": "createVirtualCluster deleteVirtualCluster startJobRun",
        "emr-serverless": "createApplication startApplication stopApplication deleteApplication "
        "startJobRun cancelJobRun",
        "events": "putEvents",
        "glue": "startJobRun",
        "http": _INVOKED,
        "lambda": _INVOKED,
        "mediaconvert": "createJob",
        "sagemaker": "createEndpoint createEndpointConfig createHyperParameterTuningJob createLabelingJob createModel "
        "createProcessingJob createTrainingJob createTransformJob updateEndpoint",
        "sns": "publish",
        "sqs": "sendMessage",
        "states": "startExecution",
    }.items()
}

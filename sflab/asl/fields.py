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
    "Version": Field("version"),
    "TimeoutSeconds": Field("count"),
    "QueryLanguage": Field("language"),
}
#: A branch and an item processor; they have no QueryLanguage, their states the state machine's (reported).
BRANCH = {name: field for name, field in TOP_LEVEL.items() if name != "QueryLanguage"}
ITEM_PROCESSOR = {**BRANCH, "ProcessorConfig": Field("processor")}

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
        "TimeoutSeconds": Field("timeout"),
        "TimeoutSecondsPath": Field("path", J),
        "HeartbeatSeconds": Field("timeout"),
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
        "ErrorPath": Field("text_expression", J),
        "Cause": Field("text"),
        "CausePath": Field("text_expression", J),
    },
    "Parallel": {
        **_EVERY, **_IO, **_OUTPUT, **_ASSIGN, **_FLOW, **_PARAMETERS, **_RESULT, **_SELECTOR, **_RETRY,
        "Arguments": Field("any", D),
        "Branches": Field("branches", required=True),
    },
    "Map": {
        **_EVERY, **_IO, **_OUTPUT, **_ASSIGN, **_FLOW, **_PARAMETERS, **_RESULT, **_SELECTOR, **_RETRY,
        "ItemProcessor": Field("item_processor"),
        "Iterator": Field("item_processor"),
        "ItemsPath": Field("reference", J),
        "Items": Field("any", D),
        "ItemSelector": Field("any"),
        "ItemReader": Field("item_reader"),
        "ItemBatcher": Field("item_batcher"),
        "ResultWriter": Field("result_writer"),
        "MaxConcurrency": Field("count"),
        "MaxConcurrencyPath": Field("path", J),
        "ToleratedFailureCount": Field("count"),
        "ToleratedFailureCountPath": Field("path", J),
        "ToleratedFailurePercentage": Field("percentage"),
        "ToleratedFailurePercentagePath": Field("path", J),
        "Label": Field("label"),
    },
}  # fmt: skip

RETRIER = {
    "ErrorEquals": Field("errors", required=True),
    "IntervalSeconds": Field("seconds"),
    "MaxAttempts": Field("attempts"),
    "BackoffRate": Field("rate"),
    "MaxDelaySeconds": Field("delay"),
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

_ACCESS = {"Resource": Field("text", required=True), "Parameters": Field("template", J), "Arguments": Field("any", D)}
#: The fields of a Map state's ItemReader, ItemBatcher, ResultWriter and ProcessorConfig (developer guide, "Fields
#: available in Distributed Map states").
ITEM_READER = {**_ACCESS, "Resource": Field("reader", required=True), "ReaderConfig": Field("reader_config")}
READER_CONFIG = {
    "InputType": Field("input_type"),
    "Transformation": Field("reader_transformation"),
    "CSVHeaderLocation": Field("csv_header_location"),
    "CSVHeaders": Field("texts"),
    "CSVDelimiter": Field("csv_delimiter"),
    "ManifestType": Field("manifest_type"),
    "ItemsPointer": Field("text"),
    "MaxItems": Field("count"),
    "MaxItemsPath": Field("path", J),
}
ITEM_BATCHER = {
    "BatchInput": Field("batch_input"),
    "MaxItemsPerBatch": Field("count"),
    "MaxItemsPerBatchPath": Field("path", J),
    "MaxInputBytesPerBatch": Field("bytes"),
    "MaxInputBytesPerBatchPath": Field("path", J),
}
RESULT_WRITER = {**_ACCESS, "Resource": Field("text"), "WriterConfig": Field("writer_config")}
WRITER_CONFIG = {
    "Transformation": Field("writer_transformation", required=True),
    "OutputType": Field("output_type", required=True),
}
PROCESSOR = {"Mode": Field("mode"), "ExecutionType": Field("execution_type")}

#: What a Map state only has where its processor is DISTRIBUTED.
DISTRIBUTED_ONLY = ("ItemReader", "ItemBatcher", "ResultWriter", "Label")
#: The intrinsic functions that give a string: what ErrorPath and CausePath take (developer guide, "Fail").
GIVE_TEXT = ("Format", "JsonToString", "ArrayGetItem", "Base64Encode", "Base64Decode", "Hash", "UUID")

#: The numbers: (least, most, whole), None for no bound; as AWS enforces them (reported).
NUMBERS: dict[str, tuple[float, float | None, bool]] = {
    "count": (0, None, True),
    "seconds": (0, 99_999_999, True),
    "timeout": (1, 99_999_999, True),
    "attempts": (0, 99_999_999, True),
    "delay": (1, 31_622_400, True),
    "percentage": (0, 100, False),
    "rate": (1, None, False),
    "bytes": (0, 256 * 1024, True),
}

#: The words that a kind takes, and no other.
WORDS: dict[str, tuple[str, ...]] = {
    "version": ("1.0",),
    "language": ("JSONPath", "JSONata"),
    "jitter": ("NONE", "FULL"),
    "mode": ("INLINE", "DISTRIBUTED"),
    "execution_type": ("STANDARD", "EXPRESS"),
    "input_type": ("CSV", "JSON", "JSONL", "MANIFEST", "PARQUET"),
    "reader_transformation": ("NONE", "LOAD_AND_FLATTEN"),
    "csv_header_location": ("FIRST_ROW", "GIVEN"),
    "csv_delimiter": ("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"),
    "manifest_type": ("ATHENA_DATA", "S3_INVENTORY"),
    "writer_transformation": ("NONE", "COMPACT", "FLATTEN"),
    "output_type": ("JSON", "JSONL"),
}

#: Groups of fields of which only one may be given, by state type or by field, in the order AWS names them.
EXCLUSIVE: dict[str, tuple[tuple[str, ...], ...]] = {
    "Wait": (("SecondsPath", "Seconds", "TimestampPath", "Timestamp"),),
    "Task": (("TimeoutSeconds", "TimeoutSecondsPath"), ("HeartbeatSeconds", "HeartbeatSecondsPath")),
    "Fail": (("Error", "ErrorPath"), ("Cause", "CausePath")),
    "Map": (
        ("ItemProcessor", "Iterator"),
        ("ItemSelector", "Parameters"),
        ("MaxConcurrency", "MaxConcurrencyPath"),
        ("ToleratedFailureCount", "ToleratedFailureCountPath"),
        ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
    ),
    "ReaderConfig": (("MaxItems", "MaxItemsPath"),),
    "ItemBatcher": (
        ("MaxItemsPerBatch", "MaxItemsPerBatchPath"),
        ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"),
    ),
}
#: Groups of which one must be given.
ONE_OF = {"Wait": EXCLUSIVE["Wait"][0], "Map": EXCLUSIVE["Map"][0]}

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

#: Services that never have a pattern (the table of that page; confirmed by users with ValidateStateMachineDefinition).
NO_PATTERN = {
    "sync": frozenset({"lambda", "sns", "sqs", "dynamodb", "events", "apigateway", "aws-sdk"}),
    "waitForTaskToken": frozenset(
        {
            "athena", "batch", "codebuild", "databrew", "dynamodb", "elasticmapreduce", "emr-containers",
            "emr-serverless", "glue", "mediaconvert", "sagemaker",
        }
    ),
}  # fmt: skip

#: The context object's members and their types
#: (https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html). ``Map`` is there inside a Map
#: state only, ``Task`` where a task waits for its token.
CONTEXT: dict[str, dict[str, type]] = {
    "Execution": {
        "Id": str, "Input": object, "Name": str, "RoleArn": str, "StartTime": str, "RedriveCount": int,
        "RedriveTime": str,
    },
    "State": {"EnteredTime": str, "Name": str, "RetryCount": int},
    "StateMachine": {"Id": str, "Name": str},
    "Task": {"Token": str},
    "Map": {"Item": dict},
}  # fmt: skip

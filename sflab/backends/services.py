"""AWS services as tasks: ``aws-sdk:`` and the optimized integrations over a boto3 session, a sandbox's or a real one.

`Services.answer` answers a `ScheduleTask` as `functions.answer` does: with the replies and their delays. An
``aws-sdk:`` task is any operation botocore knows. An optimized integration differs in what it says (the SDK for Java
1's names, times and metadata) and in how it fails; both are tables here. What ``.sync`` waits for is in `jobs`; HTTP
tasks and API Gateway's are in `http`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from sflab.asl.fields import OPTIMIZED
from sflab.asl.intrinsics import java_order
from sflab.asl.model import JSON, StatesError, compact, drawn_uuid, read_json
from sflab.backends import http, shapes
from sflab.backends.buckets import LAST_MODIFIED
from sflab.backends.jobs import JOBS, RENAMED, Job
from sflab.backends.sandbox import NotSimulatedError, Sandbox
from sflab.engine.messages import Reply, ScheduleTask, TaskFailed, TaskSubmitted, TaskSucceeded
from sflab.errors import TaskNotFoundError

Replies = list[tuple[float, Reply]]

POLL = 5.0  #: seconds of the execution between two looks at a job; a real job is looked at as often in real time
_AHEAD = 3600  # seconds: moto gives jobs an end that has not come, and others the day without the hour
LOOKS = 60  #: after so many looks at a simulated job it is taken to be stuck


@dataclass(frozen=True, slots=True)
class Optimized:
    """How an optimized integration speaks: the names in its errors, and the headers it shows of an answer.

    ``headers`` are those beside Content-Length, Content-Type, Date and the request's id; None where the integration
    shows no metadata. ``lists`` are given as empty where the service says nothing.
    """

    prefix: str
    service: str
    general: str
    headers: tuple[tuple[str, str], ...] | None = ()
    content: str = "application/x-amz-json-1.1"
    lists: bool = False


_ALIVE = (("connection", "keep-alive"),)
_JSON10 = "application/x-amz-json-1.0"
# Prefixes, the SDK for Java 1's names in causes, headers and content types as recorded (dynamodb, ecs, events, sns,
# sqs, states: conformance, groups services, callback and error_handling). The others have those of the SDK's own
# clients (ServiceMetadata and class names of the SDK for Java 1); that they show metadata too is not recorded.
OPTIMIZED_AS = {
    "athena": Optimized("Athena", "AmazonAthena", "AmazonAthenaException"),
    "batch": Optimized("Batch", "AWSBatch", "AWSBatchException", content="application/json"),
    "bedrock": Optimized("Bedrock", "AmazonBedrock", "AmazonBedrockException", None),
    "codebuild": Optimized("CodeBuild", "AWSCodeBuild", "AWSCodeBuildException"),
    "databrew": Optimized("GlueDataBrew", "AWSGlueDataBrew", "AWSGlueDataBrewException", content="application/json"),
    "dynamodb": Optimized(
        "DynamoDB",
        "AmazonDynamoDBv2",
        "AmazonDynamoDBException",
        (("Server", "Server"), ("Connection", "keep-alive"), ("x-amz-crc32", "")),
        _JSON10,
    ),
    "ecs": Optimized("ECS", "AmazonECS", "AmazonECSException", lists=True),
    "eks": Optimized("EKS", "AmazonEKS", "AmazonEKSException", None),
    "elasticmapreduce": Optimized(
        "ElasticMapReduce", "AmazonElasticMapReduce", "AmazonElasticMapReduceException", lists=True
    ),
    "emr-containers": Optimized("EMRContainers", "AmazonEMRContainers", "AmazonEMRContainersException", None),
    "emr-serverless": Optimized("EMRServerless", "AWSEMRServerless", "AWSEMRServerlessException", None),
    "events": Optimized("EventBridge", "AmazonEventBridge", "AmazonEventBridgeException", None),
    "glue": Optimized("Glue", "AWSGlue", "AWSGlueException"),
    "lambda": Optimized(
        "Lambda",
        "AWSLambda",
        "AWSLambdaException",
        (("X-Amz-Executed-Version", "$LATEST"), ("x-amzn-Remapped-Content-Length", "0"), ("Connection", "keep-alive")),
        "application/json",
    ),
    "mediaconvert": Optimized("MediaConvert", "AWSMediaConvert", "AWSMediaConvertException", None),
    "sagemaker": Optimized("SageMaker", "AmazonSageMaker", "AmazonSageMakerException"),
    "sns": Optimized("SNS", "AmazonSNS", "AmazonSNSException", _ALIVE, "text/xml"),
    "sqs": Optimized("SQS", "AmazonSQS", "AmazonSQSException", _ALIVE, _JSON10),
    "states": Optimized("StepFunctions", "AWSStepFunctions", "AWSStepFunctionsException", _ALIVE, _JSON10),
}


#: What moto says in other words than AWS was seen to.
_WORDED = {
    ("NotFound", "Endpoint does not exist"): ("NotFound", "Topic does not exist"),
    ("MissingParameter", "The request must contain the parameter MessageGroupId."): (
        "InvalidParameter",
        "Invalid parameter: The MessageGroupId parameter is required for FIFO topics",
    ),
}

#: What boto3 asks of S3 behind everybody's back, and what moto tells though nobody asked: member -> parameter.
_UNASKED = {"EncodingType": "EncodingType", "ConsumedCapacity": "ReturnConsumedCapacity"}

#: What moto answers without doing it: any task token, an execution that does not run, a model that says {}.
_NOTHING_TO_ACT_ON = {
    ("bedrock-runtime", "InvokeModel"),
    ("stepfunctions", "SendTaskFailure"),
    ("stepfunctions", "SendTaskHeartbeat"),
    ("stepfunctions", "SendTaskSuccess"),
    ("stepfunctions", "StartExecution"),
    ("stepfunctions", "StartSyncExecution"),
}


class ServiceError(Exception):
    """A service refused a request: its ``code``, its message, the HTTP ``status`` and the request's id.

    ``kind`` is the name of the error's shape where it is not the code: SQS says QueueDoesNotExist in its headers only.
    """

    def __init__(
        self, code: str, message: str, status: int, request_id: str, *, kind: str = "", host: str = ""
    ) -> None:
        super().__init__(message)
        self.code, self.status, self.request_id, self.kind, self.host = code, status, request_id, kind or code, host


class Services:
    """AWS services answering tasks over *session*; where *sandbox* is given, the session is its.

    *connections* are EventBridge connections for HTTP tasks, by ARN or name, beside those of the session's
    ``events``.
    """

    def __init__(
        self,
        session: Any,
        *,
        sandbox: Sandbox | None = None,
        connections: Mapping[str, Any] | None = None,
    ) -> None:
        self.session, self.sandbox = session, sandbox
        self.connections = dict(connections or {})
        self.tokens: dict[str, str] = {}  # of OAuth, by connection
        self._clients: dict[str, Any] = {}

    def answer(self, command: ScheduleTask, rng: random.Random, *, at: float, of: Sequence[str] = ()) -> Replies:
        """Return the replies to a task of kind ``task``, with their delays in seconds.

        *rng* gives the ids of requests; *at* is the execution's present moment in epoch seconds; *of* are the ARNs of
        its state machine and its own, which the optimized integration adds to the Resources of EventBridge events.

        Raises TaskNotFoundError for what is no operation of AWS, and for what the sandbox cannot do.
        """
        call = _Call(self, command, rng, at, of)
        try:
            return call.replies()
        except NotSimulatedError as e:
            raise TaskNotFoundError(f"{e}. {_bind(command)}") from e
        except ServiceError as e:
            return [(0.0, TaskFailed(command.token, *call.named(e)))]
        except StatesError as e:
            delay = e.seconds if isinstance(e, http.TimeLimitError) else 0.0
            return [(delay, TaskFailed(command.token, e.error, e.cause))]

    def client(self, name: str) -> Any:
        """Return the session's client of a service, made once; *name* is botocore's."""
        if name not in self._clients:
            from botocore.config import Config

            # The SDK for Java does not look at parameters, the service does; names and types are checked in `shapes`.
            # Nor does it ask S3 for checksums (recorded: getObject answers without them).
            config = Config(parameter_validation=False, response_checksum_validation="when_required")
            self._clients[name] = self.session.client(name, config=config)
        return self._clients[name]


class Buckets(Mapping[str, "S3Bucket"]):
    """The buckets of a session's S3, for Distributed Maps."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def __getitem__(self, name: str) -> S3Bucket:
        found = S3Bucket(self.services, name)
        try:
            found.s3.head_bucket(Bucket=name)
        except found.errors as e:
            if getattr(e, "response", {}).get("Error", {}).get("Code") in ("404", "NoSuchBucket"):
                raise KeyError(name) from None
            raise found.failed(e) from None
        return found

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter([each["Name"] for each in self.services.client("s3").list_buckets()["Buckets"]])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class S3Bucket:
    """A bucket of a session's S3, as a `sflab.backends.buckets.Store`."""

    def __init__(self, services: Services, name: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        self.s3, self.name, self.simulated = services.client("s3"), name, services.sandbox is not None
        self.errors = (ClientError, BotoCoreError, NotSimulatedError)

    def failed(self, e: Exception) -> StatesError:
        """What reader and writer fail with when S3 does."""
        said = getattr(e, "response", {}).get("Error", {}).get("Message") or str(e)
        return StatesError(None, f"{str(said).rstrip('.')}: {self.name!r}")

    def read(self, key: str, version: str | None = None) -> bytes | None:
        """Return an object's bytes; None if there is none."""
        which = {"VersionId": version} if version is not None else {}
        try:
            return bytes(self.s3.get_object(Bucket=self.name, Key=key, **which)["Body"].read())
        except self.errors as e:
            if getattr(e, "response", {}).get("Error", {}).get("Code") in ("NoSuchKey", "NoSuchVersion", "404"):
                return None
            raise self.failed(e) from None

    def write(self, key: str, pieces: Iterable[str]) -> None:
        """Make an object of pieces of text."""
        try:
            self.s3.put_object(Bucket=self.name, Key=key, Body="".join(pieces).encode())
        except self.errors as e:
            raise self.failed(e) from None

    def listing(self, prefix: str) -> Iterable[dict[str, Any]]:
        """Give what listObjectsV2 says of each object, every page (spelled as recorded: ``Etag``)."""
        try:
            pages = list(self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix))
        except self.errors as e:
            raise self.failed(e) from None
        for page in pages:
            for each in page.get("Contents", []):
                modified = LAST_MODIFIED if self.simulated else int(each["LastModified"].timestamp())
                stored = each.get("StorageClass", "STANDARD")
                yield {
                    "Etag": each["ETag"], "Key": each["Key"], "LastModified": modified, "Size": each["Size"],
                    "StorageClass": stored,
                }  # fmt: skip


class _Call:
    """One task: its request, its answer, and what both are called."""

    def __init__(
        self, services: Services, command: ScheduleTask, rng: random.Random, at: float, of: Sequence[str] = ()
    ) -> None:
        self.services, self.command, self.rng, self.at, self.of = services, command, rng, at, of
        self.sdk = command.resource_type.startswith("aws-sdk:")
        self.service = command.resource_type.removeprefix("aws-sdk:") if command.kind == "task" else "lambda"
        self.action = command.action.partition(".")[0]
        self.optimized = None if self.sdk else OPTIMIZED_AS.get(self.service)
        self.reading = shapes.Reading(
            java1=not self.sdk, lists=bool(self.optimized and self.optimized.lists), now=self.dated
        )

    def dated(self, when: datetime) -> datetime:
        """A time the sandbox stamped is a moment of the real clock: the execution's present stands for it."""
        sandbox = self.services.sandbox
        if sandbox is not None and sandbox.born // 86400 * 86400 <= when.timestamp() <= time.time() + _AHEAD:
            return datetime.fromtimestamp(self.at, UTC)
        return when

    def replies(self) -> Replies:
        command = self.command
        if self.service in ("http", "apigateway") and not self.sdk:
            done: JSON = http.answer(command, self.services)
        elif self.service == "lambda" and not self.sdk:
            done = self._invocation()
        elif not self.sdk and self.action not in OPTIMIZED.get(self.service, ()):
            raise TaskNotFoundError(f"{command.resource_type}:{command.action} is no optimized integration of AWS's")
        else:
            job = JOBS.get((self.service, self.action)) if command.pattern == "sync" and not self.sdk else None
            if command.pattern == "sync" and job is None:
                raise NotSimulatedError(f"{command.resource_type}:{command.action} cannot be run here")
            answered, said = self._request()
            if job is not None:
                return [(0.0, TaskSubmitted(command.token, said)), *self._wait(job, answered)]
            done = said
        if command.pattern == "waitForTaskToken":
            return [(0.0, TaskSubmitted(command.token, done))]
        return [(0.0, TaskSucceeded(command.token, done))]

    # ── the request ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _request(self) -> tuple[Any, JSON]:
        """Send the request; return botocore's answer, and the task's result."""
        service, action, parameters = self.service, self.action, self.command.parameters
        if (service, action) in RENAMED:
            if not isinstance(parameters, dict):
                raise shapes.unsupported(parameters, "The Parameters must be a JSON object")
            action, convert = RENAMED[service, action]
            parameters = convert(parameters)
        if service == "bedrock" and action == "invokeModel" and not self.sdk:
            service = "bedrockruntime"
        operation = shapes.operation(service, action)
        if operation is None and not self.sdk:
            raise NotSimulatedError(f"{self.command.resource_type}:{self.command.action} cannot be run here")
        if operation is None:
            what = f"no action {action!r} of" if shapes.botocore_name(service) else "no service"
            raise TaskNotFoundError(
                f"boto3 knows {what} {service!r}. Services and actions are named as the SDK for Java names them: "
                f"https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html. "
                f"{_bind(self.command)}"
            )
        given = shapes.request(parameters, operation.input_shape, self.reading.spelled)
        if operation.name == "PutEvents" and not self.sdk:  # recorded: after those that are given
            given["Entries"] = [
                {**e, "Resources": [*e.get("Resources", ()), *self.of]} for e in given.get("Entries", ())
            ]
        if (
            self.services.sandbox is not None
            and (operation.service_model.service_name, operation.name) in _NOTHING_TO_ACT_ON
        ):
            raise NotSimulatedError(f"{self.command.resource_type}:{self.action} has nothing to act on in the sandbox")
        malformed = _malformed(given) if self.services.sandbox is not None and operation.name == "PutEvents" else {}
        unasked = [told for told, ask in _UNASKED.items() if ask not in given]
        answered = self.send(operation, given)
        for i, entry in malformed.items():
            answered["Entries"].insert(i, entry)
            answered["FailedEntryCount"] += 1
        for told in unasked:
            answered.pop(told, None)
        said: JSON = self.reading.result(answered, operation.output_shape)
        if self.optimized is not None:
            said = self._dressed(said, answered, operation)
        return answered, said

    def _invocation(self) -> JSON:
        """Invoke a Lambda function: by ``lambda:invoke``, or by its ARN, where the payload is all there is.

        Raises StatesError when the function failed, of its own error's name.
        """
        direct = self.command.kind == "lambda"
        given = {"FunctionName": self.command.resource, "Payload": self.command.parameters} if direct else None
        operation = shapes.operation("lambda", "invoke")
        wanted = shapes.request(given or self.command.parameters, operation.input_shape, self.reading.spelled)
        answered = self.send(operation, wanted)
        text = answered["Payload"].read().decode("utf-8", "replace")
        payload = _json(text) if text else {}
        if answered.get("FunctionError"):
            error = payload.get("errorType") if isinstance(payload, dict) else None
            raise StatesError(error or str(answered["FunctionError"]), text if direct else compact(payload))
        if direct:
            return payload
        said = {"ExecutedVersion": answered.get("ExecutedVersion", "$LATEST"), "Payload": payload, "StatusCode": 200}
        return metadata(said, "lambda", self.request_id(), len(text.encode()), self.at)

    def send(self, operation: Any, given: dict[str, Any]) -> Any:
        """Send one request and return botocore's answer.

        Raises ServiceError when the service refuses it, NotSimulatedError when the sandbox cannot answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        model = operation.service_model
        self._reachable(given)
        for name in operation.idempotent_members:
            given.setdefault(name, self.request_id())
        if refused := shapes.absent(given, operation):
            raise ServiceError(*refused, 400, self.request_id())
        client = self.services.client(model.service_name)
        try:
            return client._make_api_call(operation.name, given)  # noqa: SLF001 - every operation by its model's name
        except ClientError as e:
            said, meta = e.response.get("Error", {}), e.response.get("ResponseMetadata", {})
            request_id = self.request_id() if self.services.sandbox else meta.get("RequestId", "")
            code, message = str(said.get("Code", "")), str(said.get("Message", ""))
            if self.services.sandbox is not None and self.service == "sns":
                code, message = _WORDED.get((code, message), (code, message))
            raise ServiceError(
                code,
                message,
                int(meta.get("HTTPStatusCode", 400)),
                request_id,
                kind=str(said.get("QueryErrorCode", "")),
                host=str(meta.get("HostId", "")),
            ) from e
        except (BotoCoreError, ValueError) as e:  # no endpoint, no credentials, a parameter that cannot be sent
            raise self.client_error(str(e)) from e
        except (NotSimulatedError, StatesError):
            raise
        except Exception as e:
            if self.services.sandbox is None:
                raise
            raise NotSimulatedError(
                f"the sandbox failed at {model.service_name}:{operation.name}: {type(e).__name__}: {e}"
            ) from e

    def _reachable(self, given: dict[str, Any]) -> None:
        """A queue's URL is where the request goes (recorded: ``SQS.SdkClientException`` for a host that is none)."""
        if self.service != "sqs" or self.services.sandbox is None or not isinstance(url := given.get("QueueUrl"), str):
            return
        host = urlsplit(url).hostname or url.partition("/")[0]
        if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")) and host != "localhost":
            raise self.client_error(f"Unable to execute HTTP request: {host}: Name or service not known")

    def client_error(self, message: str) -> StatesError:
        """Return the SDK's own exception: the request never reached the service."""
        return StatesError(f"{self.prefix}.SdkClientException", message)

    def request_id(self) -> str:
        """Return the next request's id, as AWS writes them."""
        return drawn_uuid(self.rng)

    # ── what it is called ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def prefix(self) -> str:
        """What errors begin with: ``DynamoDb`` of the SDK, ``DynamoDB`` optimized."""
        if self.optimized is not None:
            return self.optimized.prefix
        model = shapes.service_model(shapes.botocore_name(self.service) or "")
        return shapes.java_class(model.service_id) if model else shapes.capital(self.service)

    def named(self, e: ServiceError) -> tuple[str, str]:
        """Return the error and the cause AWS gives for a service's refusal (conformance §8.1)."""
        model = shapes.service_model(shapes.botocore_name(self.service) or "")
        prefix, optimized = self.prefix, self.optimized
        if optimized is not None:
            name = shapes.exception(e.kind, model, optimized.general, java1=True)
            cause = (
                f"{e} (Service: {optimized.service}; Status Code: {e.status}; Error Code: {e.code}; "
                f"Request ID: {e.request_id}; Proxy: null)"
            )
            return f"{prefix}.{name}", cause
        name = shapes.exception(e.kind, model, f"{prefix}Exception", java1=False)
        extended = f", Extended Request ID: {e.host or self._host()}" if self.service == "s3" else ""
        return f"{prefix}.{name}", (
            f"{e} (Service: {prefix}, Status Code: {e.status}, Request ID: {e.request_id}{extended})"
        )

    def _host(self) -> str:
        return f"{self.rng.getrandbits(300):075x}="

    def _dressed(self, said: dict[str, JSON], answered: Any, operation: Any) -> JSON:
        """Return an optimized integration's result: with metadata, and failing where the service only reports it."""
        optimized = self.optimized
        assert optimized is not None  # noqa: S101 - asked of optimized integrations only
        if self.service == "events" and said.get("FailedEntryCount"):
            raise StatesError("EventBridge.FailedEntry", compact(said))
        if said.get("JobFlowId") is not None:  # EMR's integrations call it so
            said["ClusterId"] = said.pop("JobFlowId")
        if self.service == "bedrock" and isinstance(body := said.get("Body"), str):
            said = {**said, "Body": _json(body)}
        if optimized.headers is None:
            return said
        real = answered.get("ResponseMetadata", {}).get("RequestId")
        request_id = real if real and self.services.sandbox is None else self.request_id()
        body = {key: value for key, value in answered.items() if key != "ResponseMetadata"}
        size = shapes.wire_size(body, operation.service_model, request_id, operation.name)
        return metadata(said, self.service, request_id, size, self.at)

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _wait(self, job: Job, answered: Any) -> Replies:
        """Look at the job until it is done; the delay is the execution's time that the looks took."""
        command, operation = self.command, shapes.operation(self.service, job.describe)
        given = job.key(command.parameters or {}, answered)
        began, seconds, last = time.monotonic(), 0.0, answered
        while True:
            try:
                last = described = self.send(operation, given)
            except ServiceError as e:
                if not (job.until_gone and "NotFound" in e.code):
                    return [(seconds, TaskFailed(command.token, *self.named(e)))]
                described = None
            state, found = job.state(described if described is not None else last)
            ended = described is None or state in job.done
            made = self.reading.result(found, job.shape(operation.output_shape))
            if state in job.failed or (ended and job.broke is not None and job.broke(found)):
                return [(seconds, TaskFailed(command.token, "States.TaskFailed", compact(made)))]
            if ended:
                return [(seconds, TaskSucceeded(command.token, job.wrap(made)))]
            if self.services.sandbox is not None:
                seconds += POLL
                if seconds > POLL * LOOKS:
                    raise NotSimulatedError(f"the sandbox's job stays {state!r} and does not end")
            elif command.timeout is not None and time.monotonic() - began > command.timeout:
                return []  # the state's own TimeoutSeconds ends it
            else:
                time.sleep(POLL)
                seconds = time.monotonic() - began


def _malformed(given: dict[str, Any]) -> dict[int, JSON]:
    """Take the entries out of putEvents whose Detail is no JSON object, and return EventBridge's word on each.

    moto takes anything; AWS does not (conformance, services: ``Detail is malformed.``).
    """
    entries = given.get("Entries") or []
    bad = {
        i: {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        for i, entry in enumerate(entries)
        if "Detail" in entry and not isinstance(_json(entry["Detail"]), dict)
    }
    given["Entries"] = [entry for i, entry in enumerate(entries) if i not in bad]
    return dict(bad)


def _json(text: str) -> JSON:
    try:
        return read_json(text)
    except ValueError:
        return text


def metadata(said: dict[str, JSON], service: str, request_id: str, size: int, at: float) -> dict[str, JSON]:
    """Return an optimized integration's answer with its SdkHttpMetadata and SdkResponseMetadata.

    AllHttpHeaders is a Java HashMap, HttpHeaders is sorted whatever the case, and so are the members (recorded).
    *size* is the answer's bytes, *at* its moment in epoch seconds.
    """
    optimized = OPTIMIZED_AS[service]
    date = format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
    headers = {
        **{name: value or str(random.Random(request_id).getrandbits(32)) for name, value in optimized.headers or ()},
        "x-amzn-RequestId": request_id,
        "Content-Length": str(size),
        "Content-Type": optimized.content,
        "Date": date,
    }
    made = {
        **said,
        "SdkHttpMetadata": {
            "AllHttpHeaders": {name: [headers[name]] for name in java_order(headers)},
            "HttpHeaders": {name: headers[name] for name in sorted(headers, key=str.lower)},
            "HttpStatusCode": 200,
        },
        "SdkResponseMetadata": {"RequestId": request_id},
    }
    return dict(sorted(made.items()))


def _bind(command: ScheduleTask) -> str:
    return (
        f"Write sf.Local(tasks={{{compact(command.state)}: sf.mock({{}})}}), with the result it shall give or a "
        "callable(event, context) in the place of the mock."
    )

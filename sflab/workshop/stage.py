"""What a pattern's example is run with, and the few things that many of them need made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sflab.asl.model import JSON
from sflab.backends.local import Local, LocalExecution
from sflab.backends.statemachine import StateMachine

Act = Callable[[Local, StateMachine, JSON], LocalExecution]


@dataclass(slots=True)
class Stage:
    """What a pattern's run needs beside its definition, made anew for every run.

    ``functions``, ``tasks`` and ``objects`` are bound as `sflab.Local` binds them; ``prepare`` puts tables, queues and
    buckets into the backend's session and may bind what has to know the backend; ``act`` runs the machine, does what
    is done from outside, and returns the execution to look at (default: the machine is started once).
    """

    functions: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, Any] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Local], None] | None = None
    act: Act | None = None


def table(local: Local, name: str, *items: dict[str, Any]) -> Any:
    """Make a DynamoDB table with the key ``id`` and put *items* in, where it is not there; return its boto3 table."""
    dynamodb = local.session.resource("dynamodb")
    client = dynamodb.meta.client
    if name not in client.list_tables()["TableNames"]:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        for item in items:
            dynamodb.Table(name).put_item(Item=item)
    return dynamodb.Table(name)


def queue(local: Local, name: str) -> str:
    """Make an SQS queue, where it is not there, and return its URL."""
    return str(local.session.client("sqs").create_queue(QueueName=name)["QueueUrl"])


def bucket(local: Local, name: str, objects: dict[str, str]) -> Any:
    """Make a bucket with objects in the backend's session, where it is not there; return the S3 client."""
    s3 = local.session.client("s3")
    if name not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=name)
        for key, text in objects.items():
            s3.put_object(Bucket=name, Key=key, Body=text.encode())
    return s3


def again(local: Local, machine: StateMachine, input: JSON) -> LocalExecution:
    """Start the machine twice on the same input, as a caller does who never got the first answer."""
    local.start_execution(machine, input)
    return local.start_execution(machine, json.loads(json.dumps(input)))


def void(_: object) -> None:
    """Take what a lambda's work gives, and give nothing."""

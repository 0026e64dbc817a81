"""What a service integration asks of its service, in the units that service charges for.

A `Call` is one attempt of a task, from the history's TaskScheduled event to the one that ended it; `charges` tells what
it is charged as. Sizes are those the history shows: parameters are what was sent, the output what came back. Where a
history cannot show a size the least is taken, and the text says so.

* DynamoDB: a write unit for each 1 KB of an item, a read unit for each 4 KB, half of one where eventually consistent,
  double in a transaction (pricing page); how large an item is: developer guide, "DynamoDB item sizes and formats".
* SQS, SNS and EventBridge: 64 KB of a message are a request; a FIFO topic charges each message and its data instead
  (pricing pages).
* API Gateway: a REST API's calls each, an HTTP API's for each 512 KB.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Charge = tuple[str, str, "int | Decimal"]  # (price item, what was counted, units)

#: resourceType as TaskScheduled writes it -> the service of the price items, where they differ.
SERVICES = {
    "aws-sdk:apigatewaymanagementapi": "apigateway",
    "aws-sdk:dynamodb": "dynamodb",
    "aws-sdk:eventbridge": "events",
    "aws-sdk:lambda": "lambda",
    "aws-sdk:s3": "s3",
    "aws-sdk:sfn": "states",
    "aws-sdk:sns": "sns",
    "aws-sdk:sqs": "sqs",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a task: what was asked (``text`` is the parameters' JSON text), and what came back, if it did."""

    service: str
    action: str
    parameters: Mapping[str, Any]
    text: str
    output: Mapping[str, Any]
    api_type: str = "REST"


def read_json(value: Any) -> dict[str, Any]:
    """Return a JSON object from its text, or as it is; ``{}`` where it is none."""
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def size(value: Any) -> int:
    """Return the bytes of a JSON text, or of a value as JSON text."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode(errors="surrogatepass"))


def charges(call: Call) -> list[Charge] | None:
    """Return what *call* is charged as; None where its service, or this action, is not in the price data."""
    how = _CALLS.get(f"{call.service}:{call.action}") or _CALLS.get(f"{call.service}:*")
    return None if how is None else list(how(call))


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def chunks(value: Any, kb: int = 64) -> int:
    """Return how many requests of *kb* KB each a message counts as."""
    return max(1, -(-size(value) // (kb * 1024)))


def _queue(call: Call) -> Iterator[Charge]:
    fifo = str(call.parameters.get("QueueUrl", "")).endswith(".fifo")
    yield f"sqs.{'fifo-' if fifo else ''}request", "each call, in chunks of 64 KB", chunks(call.text)


def _topic(call: Call) -> Iterator[Charge]:
    messages = _list(call.parameters.get("PublishBatchRequestEntries")) or [call.text]
    if not str(call.parameters.get("TopicArn", "")).endswith(".fifo"):
        text = "each message, in chunks of 64 KB; deliveries not included"
        yield "sns.request", text, sum(map(chunks, messages))
        return
    yield "sns.fifo-request", "each message; deliveries not included", len(messages)
    data = sum(max(1024, size(message)) for message in messages)
    yield "sns.fifo-payload", "each message's data, 1 KB at least", Decimal(data) / 2**30


def _bus(call: Call) -> Iterator[Charge]:
    entries = _list(call.parameters.get("Entries")) or [call.text]
    yield "events.custom-event", "each entry, in chunks of 64 KB", sum(map(chunks, entries))


def _api(call: Call) -> Iterator[Charge]:
    if call.api_type == "HTTP":
        yield "apigateway.http-request", "each call, as of an HTTP API, in chunks of 512 KB", chunks(call.text, 512)
    else:
        yield "apigateway.rest-request", "each call, as of a REST API", 1


def _one(item: str, counted: str = "each call") -> Callable[[Call], Iterator[Charge]]:
    return lambda _: iter([(item, counted, 1)])


def _nothing(_: Call) -> Iterator[Charge]:
    return iter(())


# ── DynamoDB ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def item_bytes(item: Any) -> int:
    """Return the size of a DynamoDB item, or of any set of attributes, as DynamoDB counts it."""
    if not isinstance(item, Mapping):
        return 0
    return sum(size(str(name)) + _attribute_bytes(value) for name, value in item.items())


def _attribute_bytes(attribute: Any) -> int:
    if not isinstance(attribute, Mapping) or len(attribute) != 1:
        return size(attribute)
    ((kind, value),) = attribute.items()
    match str(kind).upper():
        case "N":  # a byte for two significant digits, and one more
            digits = re.sub(r"[eE].*|[-+.]", "", str(value)).strip("0")
            return (len(digits) + 1) // 2 + 1
        case "B":
            return len(str(value).rstrip("=")) * 3 // 4
        case "BOOL" | "NULL":
            return 1
        case "L":  # three bytes, and one for each element
            return 3 + sum(1 + _attribute_bytes(each) for each in _list(value))
        case "M":
            return 3 + (item_bytes(value) + len(value) if isinstance(value, Mapping) else 0)
        case "SS" | "NS" | "BS":
            return sum(_attribute_bytes({str(kind).upper()[0]: each}) for each in _list(value))
    return size(str(value))


_TOLD = "units as DynamoDB told (ConsumedCapacity)"
_SIZED = {
    True: "a unit for each 1 KB of an item, sized as in the history",
    False: "items up to 1 KB, not in the history",
}
_READ_SIZED = {True: "each 4 KB of an item, sized as in the history", False: "items up to 4 KB, not in the history"}


def _told(call: Call) -> Decimal | None:
    """Return the capacity that the answer says was consumed, where it was asked for."""
    said = call.output.get("ConsumedCapacity")
    units = [each.get("CapacityUnits") for each in _list(said) or [said] if isinstance(each, Mapping)]
    found = [Decimal(str(each)) for each in units if isinstance(each, (int, float))]
    return sum(found, Decimal(0)) if found and len(found) == len(units) else None


def _units(bytes_: int, kb: int) -> int:
    return max(1, -(-bytes_ // (kb * 1024)))


def _write(call: Call) -> Iterator[Charge]:
    if (told := _told(call)) is not None:
        yield "dynamodb.write-unit", _TOLD, told
        return
    asked, transaction = call.parameters, call.action == "transactWriteItems"
    for put in _writes(call):
        bytes_ = item_bytes(put.get("Item"))
        if call.action == "updateItem":
            # the larger of the item before and after; known is what the answer gives back, or what was sent
            sent = {**_map(asked.get("Key")), **_map(asked.get("ExpressionAttributeValues"))}
            bytes_ = max(item_bytes(call.output.get("Attributes")), item_bytes(sent))
        elif call.action == "deleteItem":
            bytes_ = item_bytes(call.output.get("Attributes"))
        sized = bool(put.get("Item") or (call.action != "putItem" and call.output.get("Attributes")))
        counted = _SIZED[sized] + (", doubled: in a transaction" if transaction else "")
        yield "dynamodb.write-unit", counted, _units(bytes_, 1) * (2 if transaction else 1)


def _writes(call: Call) -> list[Mapping[str, Any]]:
    """Return the single writes of a call; those that put an item have it as ``Item``."""
    requests = [each for batch in _map(call.parameters.get("RequestItems")).values() for each in _list(batch)]
    requests += _list(call.parameters.get("TransactItems"))
    if not requests:
        return [call.parameters]
    return [_map(_map(each).get("PutRequest") or _map(each).get("Put")) for each in requests]


def _read(call: Call) -> Iterator[Charge]:
    if (told := _told(call)) is not None:
        yield "dynamodb.read-unit", _TOLD, told
        return
    asked, out = call.parameters, call.output
    if wanted := _list(asked.get("TransactItems")):
        items = [_map(each).get("Item") for each in _list(out.get("Responses"))]
        yield from _reads(items, len(wanted), Decimal(2), "doubled: in a transaction")
        return
    tables = [_map(table) for table in _map(asked.get("RequestItems")).values()]
    strong = any(table.get("ConsistentRead") for table in (asked, *tables))
    factor, how = (Decimal(1), "strongly consistent") if strong else (Decimal("0.5"), "eventually consistent: half")
    if tables:
        items = [item for found in _map(out.get("Responses")).values() for item in _list(found)]
        yield from _reads(items, sum(len(_list(table.get("Keys"))) for table in tables) or 1, factor, how)
    elif call.action == "getItem":
        yield from _reads([out["Item"]] if "Item" in out else [], 1, factor, how)
    else:  # what a query or a scan reads is added up before it is rounded; a filter hides what was read
        items = _list(out.get("Items"))
        bytes_ = sum(map(item_bytes, items))
        hidden = "; filtered items not in it" if asked.get("FilterExpression") else ""
        yield "dynamodb.read-unit", f"{_READ_SIZED[bool(items)]}, {how}{hidden}", _units(bytes_, 4) * factor


def _reads(items: list[Any], wanted: int, factor: Decimal, how: str) -> Iterator[Charge]:
    """Each of the *wanted* items was read; those that came back have a size, the others count as small."""
    if items:
        sized = sum(_units(item_bytes(item), 4) for item in items)
        yield "dynamodb.read-unit", f"{_READ_SIZED[True]}, {how}", sized * factor
    if wanted > len(items):
        yield "dynamodb.read-unit", f"{_READ_SIZED[False]}, {how}", (wanted - len(items)) * factor


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# ── Lambda and Express, where the answer tells ───────────────────────────────────────────────────────────────────────


def reported(output: Mapping[str, Any]) -> int | None:
    """Return the milliseconds that Lambda billed, from the log's tail where the task asked for it (LogType Tail)."""
    try:
        tail = base64.b64decode(str(output.get("LogResult") or "")).decode(errors="replace")
    except ValueError:
        return None
    found = re.search(r"Billed Duration: (\d+) ms", tail)
    return int(found[1]) if found else None


def express_billed(output: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (ms, MB) that a nested Express execution was billed, where StartSyncExecution's answer has them."""
    said = _map(output.get("BillingDetails"))
    ms, mb = said.get("BilledDurationInMilliseconds"), said.get("BilledMemoryUsedInMB")
    return (int(ms), int(mb)) if isinstance(ms, (int, float)) and isinstance(mb, (int, float)) else None


_WRITES = ("putItem", "updateItem", "deleteItem", "batchWriteItem", "transactWriteItems")
_READS = ("getItem", "query", "scan", "batchGetItem", "transactGetItems")
#: S3's requests of class "PUT, COPY, POST, LIST" and of "GET, SELECT and all other"; deleting is free (pricing page).
_S3_WRITES = (
    "putObject", "copyObject", "listObjects", "listObjectsV2", "listObjectVersions", "listBuckets", "createBucket",
    "createMultipartUpload", "uploadPart", "uploadPartCopy", "completeMultipartUpload", "listMultipartUploads",
    "putObjectTagging", "putObjectAcl",
)  # fmt: skip
_S3_READS = ("getObject", "headObject", "headBucket", "getObjectTagging", "getObjectAttributes", "getObjectAcl")
_S3_FREE = ("deleteObject", "deleteObjects", "deleteBucket", "abortMultipartUpload")

#: service:action -> what one call is charged as; ``*`` stands for the actions not named.
_CALLS: dict[str, Callable[[Call], Iterator[Charge]]] = {
    **dict.fromkeys((f"dynamodb:{action}" for action in _WRITES), _write),
    **dict.fromkeys((f"dynamodb:{action}" for action in _READS), _read),
    **dict.fromkeys((f"s3:{action}" for action in _S3_WRITES), _one("s3.write-request")),
    **dict.fromkeys((f"s3:{action}" for action in _S3_READS), _one("s3.read-request")),
    **dict.fromkeys((f"s3:{action}" for action in _S3_FREE), _nothing),
    "sqs:*": _queue,
    "sns:publish": _topic,
    "sns:publishBatch": _topic,
    "events:putEvents": _bus,
    "apigateway:invoke": _api,
    "apigateway:postToConnection": _one("apigateway.websocket-message", "each message of a WebSocket API"),
}

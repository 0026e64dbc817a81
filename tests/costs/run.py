"""Check the price model against worked bills: python tests/costs/run.py FILE

FILE is JSON, {"examples": [{"id", "service", "inputs", "expected", …}]}: bills that AWS or others worked out. Each
example is reproduced from its inputs and compared to the cent, or where its own rates are rounded ones within 0.05 %.
Printed are every failure, every example not covered with the reason, and a last line "N passed, M failed, K not
covered".
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from sflab.costs.estimate import bill, month
from sflab.costs.prices import exact, load
from sflab.costs.usage import billed_memory_mb, billed_ms, express_memory_mb, gb_seconds

#: The rounded GB-hour rates of the pricing page differ from the price list's by this much.
ROUNDED = Decimal("0.0005")


class NotCoveredError(Exception):
    """The model has no part for this example; says why."""


def check(example):
    """Return what is wrong with our answer, "" if nothing; raises NotCoveredError."""
    if example.get("kind") == "unit_price":
        return unit_price(example)
    if "usage" in example["inputs"]:
        return golden(example)
    return worked(example)


def cents(usd):
    return exact(usd).quantize(Decimal("0.01"), ROUND_HALF_UP)


def differs(what, ours, theirs, tolerance=Decimal(0)):
    ours, theirs = exact(ours), exact(theirs)
    off = abs(ours - theirs)
    return "" if off <= tolerance * abs(theirs) or off == 0 else f"{what}: {ours}, expected {theirs}"


# ── unit prices ──────────────────────────────────────────────────────────────────────────────────────────────────────

#: service -> beginning of a component's name -> item
COMPONENTS = {
    "stepfunctions": {
        "Duration": "stepfunctions.express-gb-second",
        "Requests": "stepfunctions.express-request",
        "Transitions": "stepfunctions.transition",
    },
    "lambda": {
        "Requests": "lambda.request",
        "Duration": "lambda.gb-second-x86_64",
        "Ephemeral storage": "lambda.ephemeral-gb-second",
    },
    "apigateway-rest": {"Requests": "apigateway.rest-request"},
    "apigateway-http": {
        "Requests": "apigateway.http-request",
        "Messages": "apigateway.websocket-message",
        "Connection duration": "apigateway.websocket-minute",
    },
    "eventbridge": {
        "Custom events": "events.custom-event",
        "Third-party events": "events.third-party-event",
        "Archive processing": "events.archive-processed",
        "Archive storage": "events.archive-stored",
        "Schema discovery": "events.schema-discovery",
    },
    "cloudwatch-logs": {
        "Data ingested": "cloudwatch.logs-ingested",
        "Archival Storage": "cloudwatch.logs-stored",
        "Insights queries": "cloudwatch.logs-scanned",
    },
    "dynamodb": {
        "Write request unit": "dynamodb.write-unit",
        "Read request unit": "dynamodb.read-unit",
        "Data storage": "dynamodb.stored",
        "Point-In-Time Recovery": "dynamodb.pitr-stored",
        "On-demand backup": "dynamodb.backup-stored",
        "Table data restored": "dynamodb.restored",
        "Streams read request": "dynamodb.stream-read-unit",
    },
    "s3": {"PUT": "s3.write-request", "GET": "s3.read-request", "Storage": "s3.stored"},
    "sns": {
        "API requests": "sns.request",
        "HTTP": "sns.http-notification",
        "Email": "sns.email-notification",
        "Kinesis Firehose": "sns.firehose-notification",
        "Mobile Push": "sns.mobile-notification",
        "MacOS": "sns.macos-notification",
        "FIFO Publish API requests": "sns.fifo-request",
        "FIFO Publish API payload": "sns.fifo-payload",
        "FIFO notification payload": "sns.fifo-delivered",
    },
    "sqs": {"Requests": "sqs.request"},
}

#: A unit price is for so many.
SCALE = {"1M": 1_000_000, "100k": 100_000, "1K": 1_000, "100": 100}


def unit_price(example):
    service, component = example["service"], example["inputs"]["component"]
    expected = exact(example["expected"]["unit_price_usd"])
    per = example["expected"]["per"]
    scale = SCALE.get(per.split(" ")[0], 3600 if per.startswith("GB-hour") else 1)
    names = [item for start, item in COMPONENTS.get(service, {}).items() if component.startswith(start)]
    if service == "lambda" and any(bound in component for bound in ("7.5B", "11.25B", "18.75B")):
        names = ["lambda.gb-second-arm64"]
    if service == "sqs" and expected == Decimal("0.5"):
        names = ["sqs.fifo-request"]
    if component.startswith("SMS"):
        raise NotCoveredError("SMS is priced by country")
    if not names:
        raise NotCoveredError(f"no price item for {service} {component!r}")
    prices = load()
    tiers = [tier.usd * scale for name in names for tier in prices[name].tiers]
    if expected in tiers:
        return ""
    if "other regions" in example.get("region", ""):
        raise NotCoveredError(
            f"{expected} a unit is not us-east-1's price ({tiers[0]}), and which region's is not said"
        )
    return f"{component}: {', '.join(map(str, tiers))} a {per}, expected {expected}"


# ── monthly bills of single resources ────────────────────────────────────────────────────────────────────────────────


FREE_OF_SNS = {"request": 1_000_000, "http": 100_000, "email": 1_000}


def of_workflows(get, resource):
    if get("monthly_transitions"):
        return [("stepfunctions.transition", get("monthly_transitions"))]
    ms = billed_ms(timedelta(milliseconds=float(get("workflow_duration_ms"))))
    used = get("monthly_requests") * gb_seconds(billed_memory_mb(get("memory_mb", 64)), ms)
    return [("stepfunctions.express-request", get("monthly_requests")), ("stepfunctions.express-gb-second", used)]


def of_functions(get, resource):
    architecture = "arm64" if "arm64" in resource.get("architectures", "") else "x86_64"
    used = get("monthly_requests") * gb_seconds(exact(resource.get("memory_size", 128)), get("request_duration_ms"))
    return [("lambda.request", get("monthly_requests")), (f"lambda.gb-second-{architecture}", used)]


def of_rest_apis(get, resource):
    return [("apigateway.rest-request", get("monthly_requests"))]


def of_http_apis(get, resource):
    return [
        ("apigateway.http-request", get("monthly_requests") * chunks(get("request_size_kb"), 512)),
        ("apigateway.websocket-message", get("monthly_messages") * chunks(get("message_size_kb"), 32)),
        ("apigateway.websocket-minute", get("monthly_connection_mins")),
    ]


def of_buses(get, resource):
    return [
        ("events.custom-event", get("monthly_custom_events")),
        ("events.third-party-event", get("monthly_third_party_events")),
        ("events.archive-processed", get("monthly_archive_processing_gb")),
        ("events.archive-stored", get("archive_storage_gb")),
        ("events.schema-discovery", get("monthly_schema_discovery_events")),
    ]


def of_logs(get, resource):
    return [
        ("cloudwatch.logs-ingested", get("monthly_data_ingested_gb")),
        ("cloudwatch.logs-stored", get("storage_gb")),
        ("cloudwatch.logs-scanned", get("monthly_data_scanned_gb")),
    ]


def of_tables(get, resource):
    if "PAY_PER_REQUEST" not in resource.get("billing_mode", "PAY_PER_REQUEST"):
        raise NotCoveredError("provisioned DynamoDB capacity is not priced")
    return [
        ("dynamodb.write-unit", get("monthly_write_request_units")),
        ("dynamodb.read-unit", get("monthly_read_request_units")),
        ("dynamodb.stored", get("storage_gb")),
        ("dynamodb.pitr-stored", get("pitr_backup_storage_gb")),
        ("dynamodb.backup-stored", get("on_demand_backup_storage_gb")),
        ("dynamodb.restored", get("monthly_data_restored_gb")),
        ("dynamodb.stream-read-unit", get("monthly_streams_read_request_units")),
    ]


def of_topics(get, resource):
    if get("sms_notification_price") and get("sms_subscriptions"):
        raise NotCoveredError("SMS is priced by country, here by a price of the user's own")
    # a subscription gets every message; what is free is always taken off in these bills
    kinds = {"http": "http", "email": "email", "kinesis": "firehose", "mobile_push": "mobile", "macos": "macos"}
    messages = get("monthly_requests")
    sent = [(f"{item}-notification", messages * get(f"{kind}_subscriptions")) for kind, item in kinds.items()]
    used = [("request", messages * chunks(get("request_size_kb"), 64)), *sent]
    return [(f"sns.{item}", max(0, n - FREE_OF_SNS.get(item.split("-")[0], 0))) for item, n in used]


def of_queues(get, resource):
    fifo = "fifo-" if resource.get("fifo_queue") == "true" else ""
    return [(f"sqs.{fifo}request", get("monthly_requests") * chunks(get("request_size_kb"), 64))]


def chunks(kb, size):
    return max(1, -(-int(kb) // size))


#: service -> what its usage comes to in our items
QUANTITIES = {
    "stepfunctions": of_workflows,
    "lambda": of_functions,
    "apigateway-rest": of_rest_apis,
    "apigateway-http": of_http_apis,
    "eventbridge": of_buses,
    "cloudwatch-logs": of_logs,
    "dynamodb": of_tables,
    "sns": of_topics,
    "sqs": of_queues,
}


def golden(example):
    """A monthly bill with a line per component and tier, each rounded to cents."""
    usage, resource = example["inputs"]["usage"], example["inputs"].get("resource", {})
    if example["service"] not in QUANTITIES:
        raise NotCoveredError(f"no prices for {example['service']}")
    used = QUANTITIES[example["service"]](lambda name, default=0: exact(usage.get(name, default)), resource)
    prices = load()
    ours = [line.usd for item, quantity in used if quantity for line in month({item: quantity}, prices=prices).lines]
    left = sorted(map(cents, ours))
    for line in example["expected"].get("lines", ()):
        if cents(line["usd"]) in left:
            left.remove(cents(line["usd"]))
        elif "Replicated" in line["component"]:
            raise NotCoveredError("DynamoDB global tables: replicated writes are not priced")
        else:
            return f"{line['component']}: {line['usd']} expected, ours are {', '.join(map(str, left))}"
    return differs("total", cents(sum(ours, Decimal(0))), cents(example["expected"]["total_usd"]))


# ── bills worked out in prose ────────────────────────────────────────────────────────────────────────────────────────


def worked(example):
    inputs, expected, kind = example["inputs"], example["expected"], example.get("type", "")
    if "formula" in inputs:
        return rounding()
    if "definition_kb" in inputs:
        return express_page(inputs, expected)
    if "map_iterations" in inputs:
        return map_transitions(inputs, expected)
    if "workflows" in inputs:
        return parts_of_a_study(inputs, expected)
    if example["service"] == "lambda":
        return lambda_page(inputs, expected)
    if kind == "EXPRESS":
        return express(inputs, expected)
    if kind == "STANDARD":
        return standard(inputs, expected)
    raise NotCoveredError(f"inputs of an unknown kind: {', '.join(inputs)}")


def standard(inputs, expected):
    """Transitions, however the example counts them."""
    per = inputs.get(
        "transitions", inputs.get("transitions_per_execution", inputs.get("extra_transitions_per_execution"))
    )
    if "task_states" in inputs:
        per = inputs["task_states"] + inputs["start_end_counted"]
    if "inline_items" in inputs:
        per = inputs["parent_transitions"] + inputs["inline_items"] * inputs["transitions_per_item"]
    if per is None:
        raise NotCoveredError(f"how many transitions is not said: {', '.join(inputs)}")
    times = exact(per) * inputs.get("executions", inputs.get("executions_per_day", 1)) * inputs.get("days", 1)
    free = inputs.get("free_transitions", 0)
    usd = month({"stepfunctions.transition": float(times)}, free_tier=bool(free)).exact
    if "transitions" in expected and times != expected["transitions"]:
        return f"transitions: {times}, expected {expected['transitions']}"
    return differs("total", usd, expected.get("total_usd", expected.get("usd_per_month")))


def express(inputs, expected):
    seconds = inputs["avg_duration_ms"] / 1000 if "avg_duration_ms" in inputs else inputs["avg_duration_s"]
    memory = billed_memory_mb(inputs.get("memory_mb", inputs.get("billed_memory_mb", 64)))
    used = inputs["executions"] * gb_seconds(memory, billed_ms(timedelta(seconds=seconds)))
    prices = load()
    requests = prices.cost("stepfunctions.express-request", inputs["executions"])
    duration = prices.cost("stepfunctions.express-gb-second", used)
    ours = {"gb_seconds": used, "request_usd": requests, "duration_usd": duration, "total_usd": requests + duration}
    return next(filter(None, (differs(k, ours[k], v) for k, v in expected.items() if k in ours)), "")


def express_page(inputs, expected):
    """The pricing page's example, by its rounded GB-hour rates to the cent, and by the price list within 0.05 %."""
    steps = inputs["map_or_parallel_steps"] * inputs["payload_kb_per_step"] * 1000
    memory = express_memory_mb(inputs["definition_kb"] * 1000, steps)
    used = inputs["executions"] * gb_seconds(
        billed_memory_mb(memory), billed_ms(timedelta(seconds=inputs["avg_duration_s"]))
    )
    bill_of_list = month(
        {"stepfunctions.express-request": inputs["executions"], "stepfunctions.express-gb-second": used}
    )
    bill_of_page = month({"stepfunctions.express-gb-hour": used / 3600})
    return (
        differs("memory", memory, expected["workflow_memory_mb"])
        or differs("billed memory", billed_memory_mb(memory), expected["billed_memory_mb"])
        or differs("GB-seconds", used, expected["gb_seconds"])
        or differs("total", bill_of_list.exact, expected["total_usd"], ROUNDED)
        or differs("duration at the page's rates", cents(bill_of_page.exact), expected["duration_usd"])
    )


def lambda_page(inputs, expected):
    used = inputs["invocations"] * gb_seconds(inputs["memory_mb"], inputs["duration_s"] * 1000)
    ours = month(
        {"lambda.request": inputs["invocations"], "lambda.gb-second-x86_64": used},
        free_tier=bool(inputs.get("free_requests")),
    )
    return differs("total", ours.exact, expected["total_usd"], ROUNDED)


def rounding():
    """The memory formula and what is rounded up, at the edges."""
    edges = [(billed_memory_mb(mb), want) for mb, want in ((0, 64), (50, 64), (64, 64), (64.01, 128), (128, 128))]
    edges += [(billed_ms(timedelta(milliseconds=ms)), want) for ms, want in ((0, 100), (100, 100), (101, 200))]
    edges += [(express_memory_mb(1_000_000, 2_000_000), 53)]
    return next((f"{ours}, expected {want}" for ours, want in edges if ours != want), "")


def map_transitions(inputs, expected):
    """An inline Map, billed from a history: its iterations are not transitions, the states inside are."""
    kinds = ["ExecutionStarted", "MapStateEntered", "MapStateStarted"]
    for _ in range(inputs["map_iterations"]):
        steps = ["PassStateEntered", "PassStateExited"] * inputs["steps_inside_iteration"]
        kinds += ["MapIterationStarted", *steps, "MapIterationSucceeded"]
    kinds += ["MapStateSucceeded", "MapStateExited", "ExecutionSucceeded"]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    events = [{"timestamp": at, "type": t, "id": i, "previousEventId": i - 1} for i, t in enumerate(kinds, 1)]
    ours = bill({"StartAt": "M", "States": {}}, events, start_end=0)
    transitions = sum(line.quantity for line in ours.lines)
    return differs("transitions", transitions, expected["transitions"]) or differs(
        "total", ours.exact, expected["total_usd"]
    )


def parts_of_a_study(inputs, expected):
    prices = load()
    wrong = differs(
        "transitions", prices.cost("stepfunctions.transition", inputs["state_transitions"]), expected["transitions_usd"]
    ) or differs(
        "requests", prices.cost("lambda.request", inputs["lambda_invocations"]), expected["lambda_requests_usd"]
    )
    if wrong:
        return wrong
    raise NotCoveredError(
        "transitions and Lambda requests agree; durations, DynamoDB units and S3 requests are not given"
    )


def main(path):
    """Run the examples of a file; returns the exit code."""
    examples = json.loads(Path(path).read_text("utf-8"))["examples"]
    results = {"passed": 0, "failed": 0, "not covered": 0}
    for example in examples:
        try:
            wrong = check(example)
            outcome = "failed" if wrong else "passed"
        except NotCoveredError as reason:
            wrong, outcome = str(reason), "not covered"
        except Exception as problem:  # noqa: BLE001 - an example we cannot read is a failure with a name, not the end
            wrong, outcome = repr(problem), "failed"
        results[outcome] += 1
        if wrong:
            print(f"{outcome}: {example['id']}: {wrong}")
    print(", ".join(f"{number} {outcome}" for outcome, number in results.items()))
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))

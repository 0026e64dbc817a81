"""Check the price model against worked bills: python tests/costs/run.py FILE

FILE is JSON, {"examples": [{"id", "service", "inputs", "expected", …}]}: bills that AWS or others worked out. Each
example is reproduced from its inputs and compared to the digits it was published with, at least to the cent; where its
own rates are rounded ones, or it states a tolerance, within that. Printed are every failure, every example not covered
with the reason, and a last line "N passed, M failed, K not covered".

An input that this program has no rule for makes an example not covered, unless the bill agrees without it.
"""

import json
import sys
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from worked import NotCoveredError, cents, chunks, differs, prices_for, worked

from sflab.costs.estimate import month
from sflab.costs.prices import data_directory, exact, load, read_rows
from sflab.costs.usage import billed_memory_mb, billed_ms, gb_seconds


def check(example):
    """Return what is wrong with our answer, "" if nothing; raises NotCoveredError."""
    if example.get("kind") == "unit_price":
        return unit_price(example)
    if "usage" in example["inputs"]:
        return golden(example)
    return worked(example)


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
        "Provisioned Concurrency": "lambda.provisioned-gb-second-x86_64",
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
        "Replicated write request unit": "dynamodb.replicated-write-unit",
        "Write capacity unit": "dynamodb.write-capacity-hour",
        "Read capacity unit": "dynamodb.read-capacity-hour",
    },
    "s3": {
        "PUT": "s3.write-request",
        "GET": "s3.read-request",
        "Storage": "s3.stored",
        "Select data scanned": "s3.select-scanned",
        "Select data returned": "s3.select-returned",
    },
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
SCALE = {"1M": 1_000_000, "100k": 100_000, "10k": 10_000, "1K": 1_000, "1k": 1_000, "100": 100}

#: The regions that unit prices may be of where "a few rows are other regions".
TABLES = [read_rows(path) for path in data_directory("prices").glob("*.csv") if path.name != "sources.csv"]
REGIONS = sorted({row["region"] for table in TABLES for row in table})

#: Hours of a month, as infracost counts them.
HOURS = 730


def unit_price(example):
    service, component = example["service"], example["inputs"]["component"]
    expected = exact(example["expected"]["unit_price_usd"])
    per = example["expected"]["per"]
    scale = SCALE.get(per.split(" ")[0], 3600 if per.startswith("GB-hour") else 1)
    if component.endswith(("capacity unit (WCU)", "capacity unit (RCU)", "autoscaling)")):
        scale = HOURS
    names = [item for start, item in COMPONENTS.get(service, {}).items() if component.startswith(start)]
    if service == "lambda" and any(bound in component for bound in ("7.5B", "11.25B", "18.75B")):
        names = ["lambda.gb-second-arm64"]
    if service == "sqs" and expected == Decimal("0.5"):
        names = ["sqs.fifo-request"]
    if component.startswith("SMS"):
        raise NotCoveredError("SMS is priced by country")
    if not names:
        raise NotCoveredError(f"no price item for {service} {component!r}")
    meant = [prices_for(example)]
    if "other regions" in example.get("region", ""):  # which is not said: it may be any that we know
        meant += [load(region) for region in REGIONS]
    tiers = [tier.usd * scale for prices in meant for name in names for tier in prices[name].tiers]
    if expected in tiers:
        return ""
    if len(meant) > 1:
        ours = meant[0][names[0]].usd * scale
        raise NotCoveredError(f"{expected} a unit is not us-east-1's price ({ours}), and which region's is not said")
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
    provisioned = plain(resource.get("provisioned_concurrent_executions", 0))
    architecture = "arm64" if "arm64" in str(resource.get("architectures", get("architecture", ""))) else "x86_64"
    memory = plain(resource.get("memory_size", get("memory_mb", 512 if provisioned else 128)))
    calls, ms = get("monthly_requests"), billed_ms(timedelta(milliseconds=float(get("request_duration_ms", 1))), step=1)
    used = calls * gb_seconds(memory, ms)
    extra = plain(resource.get("ephemeral_storage", resource.get("ephemeral_storage_size", 512))) - 512
    if provisioned:
        kept = provisioned * gb_seconds(memory, get("monthly_duration_hrs") * 3_600_000)
        item = f"lambda.provisioned-duration-gb-second-{architecture}"
        return [("lambda.request", calls), (f"lambda.provisioned-gb-second-{architecture}", kept), (item, used)]
    return [
        ("lambda.request", calls),
        (f"lambda.gb-second-{architecture}", used),
        ("lambda.ephemeral-gb-second", calls * gb_seconds(max(extra, Decimal(0)), ms)),
    ]


def plain(value):
    """A number that Terraform may have written in quotes."""
    try:
        return exact(str(value).strip('"'))
    except InvalidOperation:
        raise NotCoveredError(f"{value!r} is no number") from None


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
    used = [
        ("dynamodb.stored", get("storage_gb")),
        ("dynamodb.pitr-stored", get("pitr_backup_storage_gb")),
        ("dynamodb.backup-stored", get("on_demand_backup_storage_gb")),
        ("dynamodb.restored", get("monthly_data_restored_gb")),
        ("dynamodb.stream-read-unit", get("monthly_streams_read_request_units")),
    ]
    if "PAY_PER_REQUEST" in resource.get("billing_mode", "PAY_PER_REQUEST"):
        writes, reads = get("monthly_write_request_units"), get("monthly_read_request_units")
        return [("dynamodb.write-unit", writes), ("dynamodb.read-unit", reads), *used]
    if "read_capacity" not in resource or "write_capacity" not in resource:
        raise NotCoveredError("how much DynamoDB capacity is provisioned is not given")
    hours = [("write-capacity-hour", resource["write_capacity"]), ("read-capacity-hour", resource["read_capacity"])]
    return [*((f"dynamodb.{item}", plain(units) * HOURS) for item, units in hours), *used]


def of_buckets(get, resource):
    tier = get("standard") if isinstance(get("standard"), dict) else {}

    def of(name):
        return exact(tier.get(name, get(name)))

    return [
        ("s3.stored", of("storage_gb")),
        ("s3.write-request", of("monthly_tier_1_requests")),
        ("s3.read-request", of("monthly_tier_2_requests")),
        ("s3.select-scanned", of("monthly_select_data_scanned_gb")),
        ("s3.select-returned", of("monthly_select_data_returned_gb")),
    ]


def of_topics(get, resource):
    messages = get("monthly_requests")
    if resource.get("fifo_topic", "").strip('"') == "true":
        data = messages * get("request_size_kb") / 1_000_000  # a GB is decimal in these bills
        return [("sns.fifo-request", messages), ("sns.fifo-payload", data)]
    # a subscription gets every message; what is free is always taken off in these bills
    kinds = {"http": "http", "email": "email", "kinesis": "firehose", "mobile_push": "mobile", "macos": "macos"}
    sent = [(f"{item}-notification", messages * get(f"{kind}_subscriptions")) for kind, item in kinds.items()]
    used = [("request", messages * chunks(get("request_size_kb"), 64)), *sent]
    out = [(f"sns.{item}", max(0, n - FREE_OF_SNS.get(item.split("-")[0], 0))) for item, n in used]
    texts = max(0, messages * get("sms_subscriptions") - 100)  # the first hundred are free
    return [*out, (get("sms_notification_price"), texts)] if get("sms_notification_price") else out


def of_queues(get, resource):
    fifo = "fifo-" if resource.get("fifo_queue") == "true" else ""
    return [(f"sqs.{fifo}request", get("monthly_requests") * chunks(get("request_size_kb"), 64))]


#: service -> what its usage comes to in our items
QUANTITIES = {
    "stepfunctions": of_workflows,
    "lambda": of_functions,
    "apigateway-rest": of_rest_apis,
    "apigateway-http": of_http_apis,
    "eventbridge": of_buses,
    "cloudwatch-logs": of_logs,
    "dynamodb": of_tables,
    "lambda-provisioned": of_functions,
    "s3": of_buckets,
    "sns": of_topics,
    "sqs": of_queues,
}


def golden(example):
    """A monthly bill with a line per component and tier, each rounded to cents."""
    usage, resource = example["inputs"]["usage"], example["inputs"].get("resource", {})
    if example["service"] not in QUANTITIES:
        raise NotCoveredError(f"no prices for {example['service']}")
    asked = set()

    def get(name, default=0):
        asked.add(name)
        value = usage.get(name, default)
        return value if isinstance(value, (dict, str)) else exact(value)

    used, prices = QUANTITIES[example["service"]](get, resource), prices_for(example)
    ours = []
    for item, quantity in used:
        if isinstance(item, str) and quantity:
            ours += [line.usd for line in month({item: quantity}, prices=prices).lines]
        elif quantity:
            ours.append(item * quantity)  # at a price of the user's own
    ours += [
        replicated(line, get("monthly_write_request_units")) for line in lines_of(example, "Replicated write request")
    ]
    wrong = against_lines(example, ours)
    if wrong and (unknown := sorted(set(usage) - asked)):
        raise NotCoveredError(f"no rule for the inputs {', '.join(unknown)}")
    if wrong and (others := lines_of(example, "FIFO notification")):
        raise NotCoveredError(f"how many subscriptions there are is not given: {others[0]['component']}")
    far = [
        item for item, quantity in used if isinstance(item, str) and quantity and prices[item].region != prices.region
    ]
    if wrong and far:
        raise NotCoveredError(f"the price of {far[0]} in {prices.region} is not in the data")
    return wrong


def lines_of(example, start):
    return [line for line in example["expected"].get("lines", ()) if line["component"].startswith(start)]


def replicated(line, writes):
    """What a replica's writes cost: in which region it is is not said, so any that we have a price for will do."""
    ours = [writes * load(region)["dynamodb.replicated-write-unit"].usd for region in REGIONS]
    agreeing = [usd for usd in ours if cents(usd) == cents(line["usd"])]
    if not agreeing or differs("units an hour", writes / HOURS, line.get("quantity", writes / HOURS)):
        raise NotCoveredError("DynamoDB global tables: in which regions the replicas are is not given")
    return agreeing[0]


def against_lines(example, ours):
    left = sorted(map(cents, ours))
    for line in example["expected"].get("lines", ()):
        if cents(line["usd"]) not in left:
            return f"{line['component']}: {line['usd']} expected, ours are {', '.join(map(str, left))}"
        left.remove(cents(line["usd"]))
    total = cents(example["expected"]["total_usd"])
    rounded = sum(map(cents, ours), Decimal(0))  # some of these bills add up their lines as they are printed
    return "" if rounded == total else differs("total", cents(sum(ours, Decimal(0))), total)


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

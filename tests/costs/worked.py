"""Bills that are worked out in prose, as pricing pages do it: what their inputs come to, by rule.

`Inputs` reads an example's fields under any of the names they go by and knows which nobody asked for: those make an
example that disagrees one that is not covered.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, InvalidOperation

from sflab.costs.estimate import bill, month
from sflab.costs.prices import exact, load
from sflab.costs.usage import billed_memory_mb, billed_ms, express_memory_mb, gb_seconds
from sflab.errors import SflabError

#: The rounded GB-hour rates of the pricing page differ from the price list's by this much.
ROUNDED = Decimal("0.0005")


class NotCoveredError(Exception):
    """The model has no part for this example; says why."""


def region_of(example):
    """The region whose prices hold; us-east-1 where any does, or the first one named."""
    named = re.match(r"[a-z]{2}(-gov)?-[a-z]+-\d", example.get("region", ""))
    return named[0] if named else "us-east-1"


def prices_for(example):
    try:
        return load(region_of(example))
    except SflabError as unknown:
        raise NotCoveredError(str(unknown).split(";")[0]) from None


def cents(usd):
    return exact(usd).quantize(Decimal("0.01"), ROUND_HALF_UP)


def differs(what, ours, theirs, tolerance=Decimal(0)):
    """Return what differs: more than *tolerance*, and not by rounding to the digits *theirs* is written with."""
    ours, theirs = exact(ours), exact(theirs)
    off = abs(ours - theirs)
    digits = min(Decimal(1).scaleb(theirs.as_tuple().exponent), Decimal("0.01"))
    rounded = ours.quantize(digits, ROUND_HALF_UP) == theirs.quantize(digits)
    return "" if off <= tolerance * abs(theirs) or rounded else f"{what}: {ours}, expected {theirs}"


def chunks(kb, size):
    return max(1, int((exact(kb) / size).to_integral_value(ROUND_CEILING)))


# ── bills worked out in prose ────────────────────────────────────────────────────────────────────────────────────────


def worked(example):
    inputs, expected = example["inputs"], example["expected"]
    if "formula" in inputs:
        return rounding()
    if "definition_kb" in inputs or "definition_size_kb" in inputs:
        return express_page(inputs, expected)
    if "map_iterations" in inputs and "transitions_per_iteration" not in inputs:
        return map_transitions(inputs, expected)
    if "workflows" in inputs and "lambda_invocations" in inputs:
        return parts_of_a_study(inputs, expected)
    return prose(example)


def number(name, value):
    try:
        return exact(value)
    except (InvalidOperation, ValueError):
        raise NotCoveredError(f"{name} is {value!r}, which is no number") from None


class Inputs:
    """The inputs of an example, under any of the names they go by; knows which nobody has asked for."""

    #: What says nothing about quantities.
    TALK = frozenset({"free_tier", "asl", "note", "architecture", "type", "api", "fifo", "consistency", "currency"})

    def __init__(self, values):
        self.values, self.asked = values, set(self.TALK)

    def __call__(self, *names, default=0):
        for name in names:
            if name in self.values:
                self.asked.update(names)
                value = self.values[name]
                return value if isinstance(value, bool) else number(name, value)
        self.asked.update(names)
        return default if default is None else exact(default)

    def has(self, *names):
        return any(name in self.values for name in names)

    def ms(self, *stems, default=None):
        """A duration, given in ms, seconds or minutes: (milliseconds)."""
        for stem in stems:
            for ending, factor in (("_ms", 1), ("_s", 1000), ("_sec", 1000), ("_seconds", 1000), ("_min", 60_000)):
                if stem + ending in self.values:
                    self.asked.add(stem + ending)
                    return number(stem + ending, self.values[stem + ending]) * factor
        return default

    @property
    def unknown(self):
        return sorted(set(self.values) - self.asked)


def times(inputs):
    """How many executions, a day or a month."""
    per_day = inputs("executions_per_day", "requests_per_day", default=None)
    if per_day is not None:
        return per_day * inputs("days", "days_per_month", default=30)
    return inputs("executions", "executions_per_month", "workflows", "runs", "monthly_executions", default=1)


def of_standard(inputs):
    """Transitions, however the example counts them; and those of a distributed Map's children."""
    per = inputs("transitions", "transitions_per_execution", "extra_transitions_per_execution", default=None)
    if per is None:
        per = inputs("state_transitions_per_execution", "states_per_execution", "states", "task_states", default=None)
    parts = [per] if per is not None else []
    parts.append(inputs("start_end_counted", "start_end", "start_end_transitions"))
    parts.append(inputs("retries", "retries_per_execution", "redrives", "redrives_per_execution"))
    if inputs.has("parent_transitions", "parent_states"):
        parts.append(inputs("parent_transitions", "parent_states"))
        per = parts[-1]
    parts.append(inputs("inline_items", "map_iterations") * inputs("transitions_per_item", "transitions_per_iteration"))
    children, used = started(inputs), []
    if children:
        per = children
        inside = ("transitions_per_child", "child_transitions", "states_per_batch", "child_states", "states_per_child")
        parts += [children, children * inputs(*inside)]
        used = of_express(inputs, children * times(inputs), "child_duration", "avg_child_duration", "avg_duration")
    if per is None and not inputs("transitions_per_item", "transitions_per_iteration"):
        raise NotCoveredError(f"how many transitions is not said: {', '.join(inputs.values)}")
    return [("stepfunctions.transition", sum(parts) * times(inputs)), *used]


def started(inputs):
    """How many child executions a distributed Map starts: given, or one for each batch."""
    children = inputs("children", "child_executions", "batches")
    if not children and inputs.has("items", "distributed_items"):
        batch = inputs("batch_size", "max_items_per_batch", "items_per_batch", default=1)
        children = (inputs("items", "distributed_items") / batch).to_integral_value(ROUND_CEILING)
    return children


def of_express(inputs, executions=None, *stems):
    """Requests and GB-seconds of Express executions; none where no duration is given."""
    ms = inputs.ms(*(stems or ("avg_duration", "duration", "average_duration", "billed_duration", "workflow_duration")))
    if ms is None:
        if stems:
            return []
        raise NotCoveredError(f"how long an execution takes is not said: {', '.join(inputs.values)}")
    memory = inputs("memory_mb", "billed_memory_mb", "avg_memory_mb", "memory_used_mb", "child_memory_mb", default=64)
    number = times(inputs) if executions is None else executions
    used = number * gb_seconds(billed_memory_mb(memory), billed_ms(timedelta(milliseconds=float(ms))))
    return [("stepfunctions.express-request", number), ("stepfunctions.express-gb-second", used)]


def of_lambda(inputs):
    calls = inputs("invocations", "requests", "monthly_requests", "monthly_invocations", "lambda_invocations")
    ms = inputs.ms("duration", "avg_duration", "request_duration", "average_duration", default=None)
    memory = inputs("memory_mb", "memory_size_mb", "memory", default=None)
    if ms is None or memory is None:
        raise NotCoveredError(f"duration or memory is not said: {', '.join(inputs.values)}")
    ms = billed_ms(timedelta(milliseconds=float(ms)), step=1)
    architecture = "arm64" if "arm" in str(inputs.values.get("architecture", "")).lower() else "x86_64"
    used, out = calls * gb_seconds(memory, ms), [("lambda.request", calls)]
    kept = inputs("provisioned_concurrency", "provisioned_concurrent_executions", "concurrency")
    if kept:
        hours = inputs.ms("provisioned_duration", "provisioned", default=None)
        hours = inputs("provisioned_hours", "hours", "monthly_duration_hrs") * 3_600_000 if hours is None else hours
        out.append((f"lambda.provisioned-gb-second-{architecture}", kept * gb_seconds(memory, hours)))
        out.append((f"lambda.provisioned-duration-gb-second-{architecture}", used))
    else:
        out.append((f"lambda.gb-second-{architecture}", used))
    extra = inputs("ephemeral_mb", "ephemeral_storage_mb", "storage_mb", default=512) - 512
    return [*out, ("lambda.ephemeral-gb-second", calls * gb_seconds(max(extra, Decimal(0)), ms))]


def of_messages(item, kb, fifo=None):
    def quantities(inputs):
        number = inputs(
            "requests", "messages", "events", "publishes", "monthly_requests", "monthly_events", "api_calls"
        )
        size = inputs(
            "message_kb", "payload_kb", "event_kb", "request_kb", "size_kb", "request_size_kb", "payload_size_kb"
        )
        if not number:
            raise NotCoveredError(f"how many requests is not said: {', '.join(inputs.values)}")
        name = fifo if fifo and (inputs.values.get("fifo") or inputs.values.get("type") == "FIFO") else item
        return [(name, number * (chunks(size, kb) if kb else 1))]

    return quantities


def of_prose_tables(inputs):
    size, double = inputs("item_kb", "item_size_kb", default=1), 2 if inputs("transactional", default=0) else 1
    eventual = "event" in str(inputs.values.get("consistency", "")) or bool(inputs("eventually_consistent"))
    units = {
        name: inputs(f"{name}_request_units", f"{name}_units", f"monthly_{name}_request_units")
        for name in ("write", "read")
    }
    units["write"] += inputs("writes", "monthly_writes") * chunks(size, 1) * double
    units["read"] += inputs("reads", "monthly_reads") * chunks(size, 4) * (Decimal("0.5") if eventual else double)
    if not any(units.values()) and not inputs.has("storage_gb"):
        raise NotCoveredError(f"no rule for the inputs {', '.join(inputs.values)}")
    return [*((f"dynamodb.{name}-unit", n) for name, n in units.items()), ("dynamodb.stored", inputs("storage_gb"))]


def of_prose_buckets(inputs):
    used = [
        ("s3.write-request", inputs("puts", "put_requests", "writes") + inputs("lists", "list_requests")),
        ("s3.read-request", inputs("gets", "get_requests", "reads")),
        ("s3.stored", inputs("storage_gb", "stored_gb")),
    ]
    if not any(quantity for _, quantity in used):
        raise NotCoveredError(f"no rule for the inputs {', '.join(inputs.values)}")
    return used


def of_prose_logs(inputs):
    return [
        (
            "cloudwatch.logs-ingested",
            inputs("ingested_gb", "data_ingested_gb", "gb_ingested", "monthly_data_ingested_gb"),
        ),
        ("cloudwatch.logs-stored", inputs("stored_gb", "storage_gb", "archived_gb")),
        ("cloudwatch.logs-scanned", inputs("scanned_gb", "monthly_data_scanned_gb")),
    ]


#: service (and type) -> what its inputs come to in our items
PROSE = {
    ("stepfunctions", "STANDARD"): of_standard,
    ("stepfunctions", "EXPRESS"): of_express,
    ("lambda", ""): of_lambda,
    ("apigateway-rest", ""): of_messages("apigateway.rest-request", 0),
    ("apigateway-http", ""): of_messages("apigateway.http-request", 512),
    ("sqs", ""): of_messages("sqs.request", 64, "sqs.fifo-request"),
    ("sns", ""): of_messages("sns.request", 64),
    ("eventbridge", ""): of_messages("events.custom-event", 64),
    ("dynamodb", ""): of_prose_tables,
    ("s3", ""): of_prose_buckets,
    ("cloudwatch-logs", ""): of_prose_logs,
}

#: what an example may say of its bill -> the items whose lines it is the sum of; None is all of them
PARTS = {
    "total_usd": None, "usd_per_month": None, "monthly_usd": None, "usd": None, "cost_usd": None,
    "transitions_usd": ("stepfunctions.transition",),
    "request_usd": ("stepfunctions.express-request", "lambda.request"),
    "requests_usd": ("stepfunctions.express-request", "lambda.request"),
    "duration_usd": ("stepfunctions.express-gb-second", "lambda.gb-second", "lambda.provisioned-duration"),
    "compute_usd": ("lambda.gb-second", "lambda.provisioned-duration"),
    "ephemeral_usd": ("lambda.ephemeral",), "storage_usd": ("lambda.ephemeral", "dynamodb.stored", "s3.stored"),
    "provisioned_usd": ("lambda.provisioned-gb",),
    "provisioned_concurrency_usd": ("lambda.provisioned-gb",),
    "write_usd": ("dynamodb.write",), "read_usd": ("dynamodb.read",),
}  # fmt: skip


def prose(example):
    """A bill worked out in words: its inputs to quantities, by the month's tiers to dollars."""
    expected, inputs, kind = example["expected"], Inputs(example["inputs"]), example.get("type", "")
    how = PROSE.get((example["service"], kind)) or PROSE.get((example["service"], ""))
    if example["service"] == "stepfunctions" and inputs.has("items", "distributed_items", "children", "batches"):
        how = of_standard  # a distributed Map's parent is a Standard execution, whatever its children are
    if how is None:
        raise NotCoveredError(f"no rule for {example['service']} {kind}: {', '.join(inputs.values)}")
    used, prices = how(inputs), prices_for(example)
    lines = month(with_free(used, inputs, prices), prices=prices, free_tier=bool(inputs.values.get("free_tier"))).lines
    tolerance = exact(str(expected.get("tolerance", example.get("tolerance", 0)) or 0))
    if "old page" in example.get("verified", "") or "rounded" in example.get("note", ""):
        tolerance = max(tolerance, ROUNDED)
    compared, wrong = 0, ""
    for name, theirs in expected.items():
        ours = said(name, lines, used, inputs)
        if ours is not None and isinstance(theirs, (int, float)):
            compared += 1
            wrong = wrong or differs(name, ours, theirs, tolerance)
    far = [item for item, quantity in used if quantity and prices[item].region != prices.region]
    if not compared:
        raise NotCoveredError(f"nothing of what is expected is known here: {', '.join(expected)}")
    if wrong and (inputs.unknown or far):
        unknown = f"no rule for the inputs {', '.join(inputs.unknown)}"
        raise NotCoveredError(
            unknown if inputs.unknown else f"the price of {far[0]} in {prices.region} is not in the data"
        )
    return wrong


def with_free(used, inputs, prices):
    """Take off the free units that an example gives as numbers."""
    given = {
        "stepfunctions.transition": inputs("free_transitions"),
        "lambda.request": inputs("free_requests"),
        "lambda.gb-second-x86_64": inputs("free_gb_s", "free_gb_seconds"),
        "lambda.gb-second-arm64": inputs("free_gb_s", "free_gb_seconds"),
    }
    out = {}
    for item, quantity in used:
        out[item] = max(Decimal(0), out.get(item, 0) + quantity - given.get(item, 0))
    return {item: quantity for item, quantity in out.items() if quantity}


def said(name, lines, used, inputs):
    """Our number for something that an example says; None for what we have no number for."""
    if name in PARTS:
        starts = PARTS[name]
        found = (line for line in lines if starts is None or f"{line.service}.{line.item}".startswith(starts))
        return sum((line.usd for line in found), Decimal(0))
    quantities = dict(used)
    if name == "usd_per_day":
        return sum((line.usd for line in lines), Decimal(0)) / inputs("days", "days_per_month", default=30)
    if name == "transitions":
        return quantities.get("stepfunctions.transition")
    if name in ("gb_seconds", "gb_s"):
        return next((quantity for item, quantity in used if "gb-second" in item), None)
    if name == "gb_hours":
        return next((quantity / 3600 for item, quantity in used if "gb-second" in item), None)
    if name == "billed_memory_mb":
        return exact(billed_memory_mb(inputs("memory_mb", "avg_memory_mb", default=64)))
    return None


def express_page(inputs, expected):
    """The pricing page's example, by its rounded GB-hour rates to the cent, and by the price list within 0.05 %."""
    get = Inputs(inputs)
    steps = (
        get("map_or_parallel_steps", "map_steps", "parallel_steps") * get("payload_kb_per_step", "payload_kb") * 1000
    )
    memory = express_memory_mb(int(get("definition_kb", "definition_size_kb") * 1000), int(steps))
    billed = billed_memory_mb(memory)
    executions, ms = times(get), get.ms("avg_duration", "duration", default=None)
    if ms is None:
        raise NotCoveredError(f"how long an execution takes is not said: {', '.join(inputs)}")
    used = executions * gb_seconds(billed, billed_ms(timedelta(milliseconds=float(ms))))
    of_list = month({"stepfunctions.express-request": executions, "stepfunctions.express-gb-second": used})
    of_page = month({"stepfunctions.express-gb-hour": used / 3600}).exact
    requests = of_list.lines[0].usd
    ours = {
        "workflow_memory_mb": (memory,),
        "billed_memory_mb": (billed,),
        "gb_seconds": (used,),
        "gb_hours": (used / 3600,),
        "request_usd": (requests,),
        "requests_usd": (requests,),
        "duration_usd": (of_page, of_list.exact - requests),
        "total_usd": (of_page + requests, of_list.exact),
    }
    for name, theirs in expected.items():
        if name in ours and all(differs(name, each, theirs) for each in ours[name]):
            if get.unknown:
                raise NotCoveredError(f"no rule for the inputs {', '.join(get.unknown)}")
            return differs(name, ours[name][0], theirs)
    return differs("total", of_list.exact, expected["total_usd"], ROUNDED) if "total_usd" in expected else ""


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

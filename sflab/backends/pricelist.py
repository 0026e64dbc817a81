"""Prices from AWS itself: the Price List API, asked with the user's own credentials, written as a table bills then use.

What is asked for is one call of GetProducts a service and region, page by page. A product's usage type says which of
our items it is (`USAGE`), its OnDemand terms the tiers. A first tier at no charge is what is free each month. The table
has the columns of ``data/prices`` and lies in a folder of the user's own (`sflab.costs.prices.user_directory`);
`sflab.costs.prices.load` takes the later of two prices.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from html import escape
from pathlib import Path
from typing import Any

from sflab.backends.refusals import explained
from sflab.costs.prices import (
    FALLBACK_REGION,
    Prices,
    Tier,
    data_directory,
    html_table,
    load,
    rate,
    text_table,
    user_directory,
)
from sflab.errors import BackendError, SflabError

#: The API answers in few regions, for all of them.
ENDPOINT_REGION = "us-east-1"

#: service code -> usage type, without the region before it -> our item. A pattern matches the whole of it.
USAGE: dict[str, dict[str, str]] = {
    "AmazonStates": {
        "StateTransition": "stepfunctions.transition",
        "StepFunctions-Request": "stepfunctions.express-request",
        "StepFunctions-GB-Second": "stepfunctions.express-gb-second",
    },
    "AWSLambda": {
        "Request": "lambda.request",
        "Lambda-GB-Second": "lambda.gb-second-x86_64",
        "Lambda-GB-Second-ARM": "lambda.gb-second-arm64",
        "Lambda-Storage-GB-Second": "lambda.ephemeral-gb-second",
        "Lambda-Provisioned-Concurrency": "lambda.provisioned-gb-second-x86_64",
        "Lambda-Provisioned-Concurrency-ARM": "lambda.provisioned-gb-second-arm64",
        "Lambda-Provisioned-GB-Second": "lambda.provisioned-duration-gb-second-x86_64",
        "Lambda-Provisioned-GB-Second-ARM": "lambda.provisioned-duration-gb-second-arm64",
    },
    "AmazonDynamoDB": {
        "WriteRequestUnits": "dynamodb.write-unit",
        "ReadRequestUnits": "dynamodb.read-unit",
        "ReplWriteRequestUnits": "dynamodb.replicated-write-unit",
        "WriteCapacityUnit-Hrs": "dynamodb.write-capacity-hour",
        "ReadCapacityUnit-Hrs": "dynamodb.read-capacity-hour",
        "TimedStorage-ByteHrs": "dynamodb.stored",
        "TimedPITRStorage-ByteHrs": "dynamodb.pitr-stored",
        "TimedBackupStorage-ByteHrs": "dynamodb.backup-stored",
    },
    "AmazonS3": {
        "Requests-Tier1": "s3.write-request",
        "Requests-Tier2": "s3.read-request",
        "TimedStorage-ByteHrs": "s3.stored",
    },
    "AWSQueueService": {
        "Requests-(Tier1|RBP)": "sqs.request",
        "Requests-FIFO-(Tier1|RBP)": "sqs.fifo-request",
    },
    "AmazonSNS": {"Requests-Tier1": "sns.request"},
    "AWSEvents": {"(PutEvents-)?Event-64K-Chunks": "events.custom-event"},
    "AmazonApiGateway": {
        "ApiGatewayRequest": "apigateway.rest-request",
        "ApiGatewayHttpRequest": "apigateway.http-request",
    },
    "AmazonCloudWatch": {
        "DataProcessing-Bytes": "cloudwatch.logs-ingested",
        "TimedStorage-ByteHrs": "cloudwatch.logs-stored",
    },
}

#: What stands before a usage type outside us-east-1, and there at some services: ``EU-``, ``APN1-``, ``USE1-``. ``IA-``
#: is no region but DynamoDB's other table class.
_PREFIX = r"(?:(?!IA-)[A-Z]{2,5}\d?-)?"

_COLUMNS = ("service", "item", "region", "unit", "from", "usd", "per", "free", "pool", "as_of", "source", "note")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched and written: ``path`` is the table, ``prices`` what a bill of the region uses from now on.

    ``changes`` are (item, price before, price now) at the first tier, ``missing`` the items that AWS did not list.
    """

    path: Path
    region: str
    as_of: str
    prices: Prices
    changes: tuple[tuple[str, Decimal | None, Decimal], ...]
    missing: tuple[str, ...]

    def _headline(self) -> str:
        changed = sum(before != now for _, before, now in self.changes)
        told = f"{len(self.changes)} prices of {self.region} as of {self.as_of}, {changed} of them new or changed"
        return f"{told}: {self.path}"

    def __repr__(self) -> str:
        return f"<{self._headline()}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head, right = ("item", "before", "now"), (1, 2)
        rows = [(item, "" if before is None else rate(before), rate(now)) for item, before, now in self.changes]
        missing = f"not listed: {', '.join(self.missing)}" if self.missing else ""
        said = [self._headline(), "", text_table(head, rows, right=right), *([missing] if missing else [])]
        return {
            "text/plain": "\n".join(said),
            "text/html": f"<div><b>{escape(self._headline())}</b>{html_table(head, rows, right=right)}"
            f"<small>{missing}</small></div>",
        }


def refresh(
    region: str = FALLBACK_REGION,
    *,
    profile: str | None = None,
    endpoint_url: str | None = None,
    directory: str | Path | None = None,
    as_of: str | None = None,
) -> Fetched:
    """Fetch the prices of *region* from AWS (pricing:GetProducts) and write them where bills find them.

    *profile* is one of ``~/.aws/config``; the table goes to *directory*, else to the user's own folder of prices
    (`sflab.costs.prices.user_directory`), dated *as_of*, today unless given. Where *directory* is another folder, bills
    take it with ``prices=``: `sflab.costs.prices.load`.

    Raises BackendError, saying what to do, without credentials, where AWS refuses, or where the answer is not a price
    list; nothing is written then.
    """
    folder = Path(directory) if directory is not None else user_directory()
    if folder is None:
        raise BackendError("SFLAB_PRICES is empty, so there is no folder for prices: give directory=, or unset it")
    date = as_of or datetime.now(UTC).date().isoformat()
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise BackendError(f"as_of is a date like 2026-11-22, not {as_of!r}")
    ask = _asker(profile, endpoint_url)
    found: dict[str, tuple[str, str, list[Tier]]] = {}
    for service, usage in USAGE.items():
        for product in ask(service, region):
            _take(found, service, usage, product, region)
    if "stepfunctions.transition" not in found:
        raise BackendError(
            f"AWS lists no price of a state transition in {region!r}: is it the code of a region, like eu-west-1?"
        )
    rows, before = _rows(found, region, date), _known(region)
    path = folder / f"aws-{region}-{date}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(_table(rows), encoding="utf-8")
    except OSError as e:
        raise BackendError(f"the prices cannot be written: {e}. Give directory=, or set SFLAB_PRICES") from e
    wanted = {item for usage in USAGE.values() for item in usage.values()}
    prices = load(region) if directory is None else load(region, directory=folder)
    changes = tuple((item, before[item].usd if item in before else None, prices[item].usd) for item in sorted(found))
    return Fetched(path, region, date, prices, changes, tuple(sorted(wanted - set(found))))


def _known(region: str) -> Prices | Mapping[str, Any]:
    """Return the prices of *region* so far; none where it is not known yet."""
    try:
        return load(region)
    except SflabError:
        return {}


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _asker(profile: str | None, endpoint_url: str | None) -> Any:
    """Return a function that yields the products of a service in a region."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    about = {"profile": f"profile {profile!r}" if profile else "the default profile", "region": ENDPOINT_REGION}
    config = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard"}, user_agent_extra="sflab")
    try:
        session = boto3.Session(profile_name=profile, region_name=ENDPOINT_REGION)
        client = session.client("pricing", endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as e:
        raise _failed(e, about, str(endpoint_url)) from e

    def ask(service: str, region: str) -> Iterator[dict[str, Any]]:
        where = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}]
        token, seen = None, set()
        while True:
            more: dict[str, Any] = {"NextToken": token} if token else {}
            try:
                page = client.get_products(ServiceCode=service, Filters=where, FormatVersion="aws_v1", **more)
            except (BotoCoreError, ClientError, ResponseParserError) as e:
                raise _failed(e, about, client.meta.endpoint_url) from e
            if not isinstance(page.get("PriceList"), list):
                raise _malformed(client, service, "no PriceList")
            for text in page["PriceList"]:
                yield _product(client, service, text)
            token = page.get("NextToken")
            if not token:
                return
            if token in seen:
                raise _malformed(client, service, "the same page again and again")
            seen.add(token)

    return ask


def _failed(e: Exception, about: Mapping[str, str], endpoint: str) -> BackendError:
    asked = {"service": "pricing", "action": "GetProducts", "endpoint": endpoint, "role": "the role"}
    told = str(explained(e, {**about, **asked})).replace("sf.AWS(profile=…)", "profile=")
    return BackendError(f"{told} Until then bills use the prices they have.")


def _malformed(client: Any, service: str, what: str) -> BackendError:
    return BackendError(
        f"{client.meta.endpoint_url} answered, but not as the AWS Price List does ({service}: {what}): "
        "check endpoint_url"
    )


def _product(client: Any, service: str, text: Any) -> dict[str, Any]:
    try:
        product = json.loads(text) if isinstance(text, str) else text
    except ValueError as e:
        raise _malformed(client, service, f"a product that is no JSON, {str(text)[:40]!r}") from e
    if not isinstance(product, dict):
        raise _malformed(client, service, f"a product that is no object, {str(text)[:40]!r}")
    return product


# ── reading and writing ──────────────────────────────────────────────────────────────────────────────────────────────


def _take(
    found: dict[str, tuple[str, str, list[Tier]]],
    service: str,
    usage: Mapping[str, str],
    product: Mapping[str, Any],
    region: str,
) -> None:
    """Add the price of *product* where it is one of ours: (unit, service code, tiers) by item."""
    about = product.get("product")
    attributes = about.get("attributes") if isinstance(about, dict) else None
    if not isinstance(attributes, dict):
        return
    kind = str(attributes.get("usagetype", ""))
    items = [item for pattern, item in usage.items() if re.fullmatch(_PREFIX + pattern, kind)]
    if not items or attributes.get("regionCode", region) != region:
        return
    if kind.endswith("DataProcessing-Bytes") and attributes.get("operation", "PutLogEvents") != "PutLogEvents":
        return
    dimensions = list(_dimensions(product, kind))
    tiers = sorted((tier for _, tier in dimensions), key=lambda tier: tier.start)
    if not tiers or tiers[0].start != 0:
        return  # reserved capacity and the like: no price on demand
    known = found.get(items[0])
    if known is None or sum(tier.usd for tier in tiers) > sum(tier.usd for tier in known[2]):
        found[items[0]] = (dimensions[0][0], service, tiers)  # of two products the one that is not a rebate


def _dimensions(product: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Tier]]:
    """Yield (unit, tier) of the product's price on demand."""
    try:
        for term in (product.get("terms") or {}).get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                usd = Decimal(str(dimension["pricePerUnit"]["USD"]))
                start = Decimal(str(dimension.get("beginRange", "0")))
                if not (usd.is_finite() and usd >= 0 and start.is_finite()):
                    raise ValueError(f"{usd} from {start}")
                yield str(dimension.get("unit", "unit")), Tier(start, usd)
    except (KeyError, TypeError, AttributeError, ValueError, InvalidOperation) as e:
        raise BackendError(
            f"the price of {kind} that came back cannot be read ({type(e).__name__}: {e}): check endpoint_url"
        ) from e


def _rows(found: Mapping[str, tuple[str, str, list[Tier]]], region: str, date: str) -> list[dict[str, str]]:
    """Return the rows of the table: units, pools and free units that AWS's list does not tell are as in our data."""
    ours = load(FALLBACK_REGION, directory=data_directory("prices"))
    rows = []
    for item, (unit, service, listed) in sorted(found.items()):
        known = ours.items.get(item)
        free, tiers = known.free if known else Decimal(0), listed
        if len(listed) > 1 and listed[0].usd == 0:
            free, tiers = listed[1].start, [Tier(Decimal(0), listed[1].usd), *listed[2:]]
        name, _, rest = item.partition(".")
        for tier in tiers:
            price = (f"{tier.start:f}", f"{tier.usd:f}", "1", f"{free:f}", known.pool if known else "")
            row = (
                name,
                rest,
                region,
                known.unit if known else unit,
                *price,
                date,
                f"AWS Price List API, {service}",
                "",
            )
            rows.append(dict(zip(_COLUMNS, row, strict=True)))
    return rows


def _table(rows: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

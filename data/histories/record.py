"""Records incident.json: an order that is charged, not shipped and not refunded. `python data/histories/record.py`.

It runs data/machines/order-fulfilment.asl.json as it was deployed, on a Saturday night when the carrier's API let three
bookings through and no more, and writes what `aws stepfunctions get-execution-history` would have printed.
"""

import itertools
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sflab as sf

HERE = Path(__file__).parent
NAME = "order-81734"
PARCELS = [
    {"parcel": "P-1", "sku": "LAMP-BRASS", "grams": 1_850},
    {"parcel": "P-2", "sku": "SHADE-LINEN", "grams": 420},
    {"parcel": "P-3", "sku": "BULB-E27-6", "grams": 310},
    {"parcel": "P-4", "sku": "STAND-OAK", "grams": 6_900},
]
BASKET = {
    "customer": {
        "email": "ines.duarte@example.com",
        "cardToken": "tok_1Qz8mJ4TvbXw2R",
        "address": {"street": "Rua das Flores 41", "city": "Porto", "postcode": "4050-265", "country": "PT"},
    },
    "amount": 329.8,
    "currency": "EUR",
    "parcels": PARCELS,
}


class RateLimitExceeded(Exception):  # noqa: N818 - the carrier's library calls it so
    """What the carrier's client raises when it is told to slow down."""


def functions(allowed: int) -> dict[str, Any]:
    """Return the shop's Lambda functions on a night when the carrier takes *allowed* bookings."""
    bookings = itertools.count(1)

    def book(event: dict[str, Any]) -> dict[str, Any]:
        if (n := next(bookings)) > allowed:
            raise RateLimitExceeded("429 from api.carrier.example: 3 bookings a minute, try again in 41 s")
        return {"consignment": f"PT77{1200 + n}", "parcel": event["parcel"]["parcel"]}

    def label(event: dict[str, Any]) -> dict[str, Any]:
        consignment = event["booking"]["consignment"]
        key = f"labels/{event['orderId']}/{consignment}.pdf"
        return {"parcel": event["parcel"]["parcel"], "consignment": consignment, "label": key}

    charged = {"chargeId": "ch_3PkQ81734", "amount": BASKET["amount"], "currency": "EUR"}
    return {
        "stock-reserve": sf.mock({"reservationId": "res-5f21"}, latency=sf.lognormal(p50=0.09, p99=0.4)),
        "payments-charge": sf.mock(
            charged, latency=sf.lognormal(p50=0.6, p99=1.9), fail_first=1, error="CardNetworkBusy", cause="issuer busy"
        ),
        "shipping-book-carrier": sf.mock(book, latency=sf.lognormal(p50=0.7, p99=2.5)),
        "shipping-print-label": sf.mock(label, latency=sf.lognormal(p50=0.25, p99=0.8)),
        "mail-send-confirmation": sf.mock({"sent": True}, latency=0.2),
        "payments-refund": sf.mock({"refunded": True}, latency=0.5),
        "stock-release": sf.mock({"released": True}, latency=0.1),
    }


def record() -> sf.Execution:
    """Run the order as it ran that night."""
    item = {"orderId": {"S": "81734"}, "status": {"S": "OPEN"}, "basket": {"S": json.dumps(BASKET)}}
    local = sf.Local(
        functions(allowed=3),
        {"dynamodb:getItem": sf.mock({"Item": item}, latency=0.02)},
        start=datetime(2026, 3, 14, 23, 41, 7, 512_000, tzinfo=UTC),
        seed=2,
        region="eu-west-1",
    )
    machine = sf.StateMachine.load(HERE.parent / "machines/order-fulfilment.asl.json")
    return local.start_execution(machine, {"orderId": "81734", "channel": "web"}, name=NAME)


if __name__ == "__main__":
    record().history.save(Path(sys.argv[1]) if sys.argv[1:] else HERE / "incident.json")

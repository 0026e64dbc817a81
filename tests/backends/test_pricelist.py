"""Fetching prices with real boto3 over real HTTP, from a server that speaks the Price List API."""

import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import sflab as sf
from sflab import cli
from sflab.backends import pricelist


def product(usagetype, *tiers, unit="Requests", sku="SKU", region="eu-west-1", **attributes):
    """One product as GetProducts gives it, JSON in JSON: *tiers* are (begin, end, dollars)."""
    dimensions = {
        f"{sku}.{i}": {
            "unit": unit,
            "beginRange": begin,
            "endRange": end,
            "description": "",
            "appliesTo": [],
            "rateCode": f"{sku}.{i}",
            "pricePerUnit": {"USD": usd},
        }
        for i, (begin, end, usd) in enumerate(tiers)
    }
    term = {"priceDimensions": dimensions, "sku": sku, "effectiveDate": "2026-11-01T00:00:00Z"}
    about = {"usagetype": usagetype, "regionCode": region, "servicecode": "S", **attributes}
    return json.dumps({"product": {"attributes": about, "sku": sku}, "terms": {"OnDemand": {f"{sku}.T": term}}})


EUROPE = {
    "AmazonStates": [
        product("EU-StateTransition", ("0", "Inf", "0.0000260000"), unit="StateTransitions"),
        product(
            "EU-StepFunctions-GB-Second",
            ("18000000", "Inf", "0.00000456"),
            ("0", "3600000", "0.00001667"),
            ("3600000", "18000000", "0.00000833"),
        ),
        product("EU-StepFunctions-Request", ("0", "Inf", "0.000001")),
    ],
    "AWSLambda": [
        product("EU-Lambda-GB-Second", ("0", "6000000000", "0.0000166667"), ("6000000000", "Inf", "0.000015")),
        product("EU-Lambda-Edge-GB-Second", ("0", "Inf", "0.00005001")),
    ],
    "AmazonDynamoDB": [
        product("EU-IA-WriteRequestUnits", ("0", "Inf", "0.00000088")),
        product("EU-WriteRequestUnits", ("0", "Inf", "0.0000007")),
        product("EU-TimedStorage-ByteHrs", ("0", "25", "0"), ("25", "Inf", "0.283")),
        json.dumps({"product": {"attributes": {"usagetype": "EU-WriteCapacityUnit-Hrs"}}, "terms": {"Reserved": {}}}),
    ],
    "AmazonSNS": [product("EU-Requests-Tier1", ("0", "1000000", "0"), ("1000000", "Inf", "0.0000005"))],
    "AmazonCloudWatch": [
        product("EU-DataProcessing-Bytes", ("0", "Inf", "0.57"), operation="PutLogEvents"),
        product("EU-DataProcessing-Bytes", ("0", "Inf", "99"), operation="Something"),
    ],
}


class PriceList(ThreadingHTTPServer):
    """Answers GetProducts from ``products``, two a page; ``broken`` takes the place of an answer."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.products, self.broken, self.asked = dict(EUROPE), None, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.headers["X-Amz-Target"], asked))
        status, body = 200, self.server.broken
        if body is None:
            (where,) = asked["Filters"]
            found = self.server.products.get(asked["ServiceCode"], []) if where["Value"] == "eu-west-1" else []
            start = int(asked.get("NextToken", 0))
            body = {"FormatVersion": "aws_v1", "PriceList": found[start : start + 2]}
            if start + 2 < len(found):
                body["NextToken"] = str(start + 2)
        elif isinstance(body, tuple):
            status, body = body
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("SFLAB_PRICES", str(tmp_path / "prices"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with PriceList() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_bills_use_what_was_fetched(server, tmp_path):
    machine = sf.StateMachine.load({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    run = sf.Local(region="eu-west-1").start_execution(machine)
    assert run.cost().exact == Decimal("0.00005")
    fetched = sf.refresh_prices("eu-west-1", endpoint_url=server.url, as_of="2030-01-02")
    assert fetched.path == tmp_path / "prices" / "aws-eu-west-1-2030-01-02.csv"
    assert run.cost().exact == Decimal("0.000052")
    assert run.cost().lines[0].source == "AWS Price List API, AmazonStates (2030-01-02)"
    assert sf.Local().start_execution(machine).cost().exact == Decimal("0.00005")  # another region's are as they were
    prices = sf.prices("eu-west-1")
    assert prices.cost("stepfunctions.express-gb-second", 62_500_000) == Decimal("382.884")
    assert prices["lambda.gb-second-x86_64"].free == 400_000  # which the regional list does not tell
    assert prices["lambda.gb-second-x86_64"].pool == "lambda.gb-second"
    assert [tier.start for tier in prices["lambda.gb-second-x86_64"].tiers] == [0, 6_000_000_000]
    assert (prices["dynamodb.stored"].free, prices["dynamodb.stored"].usd) == (25, Decimal("0.283"))
    assert prices["dynamodb.write-unit"].usd == Decimal("0.0000007")  # not the table class of infrequent access
    assert prices["sns.request"].free == 1_000_000
    assert prices["cloudwatch.logs-ingested"].usd == Decimal("0.57")
    assert prices["lambda.request"].region == "us-east-1"  # not listed: as before
    assert "lambda.request" in fetched.missing
    assert "dynamodb.write-capacity-hour" in fetched.missing  # only reserved
    assert ("stepfunctions.transition", Decimal("0.000025"), Decimal("0.000026")) in fetched.changes


def test_every_page_of_every_service_is_asked_for(server):
    sf.refresh_prices("eu-west-1", endpoint_url=server.url)
    assert {target for target, _ in server.asked} == {"AWSPriceListService.GetProducts"}
    pages = [asked["ServiceCode"] for _, asked in server.asked]
    assert set(pages) == set(pricelist.USAGE)
    assert (pages.count("AmazonStates"), pages.count("AmazonDynamoDB"), pages.count("AWSEvents")) == (2, 2, 1)
    assert all(
        asked["Filters"] == [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"}]
        for _, asked in server.asked
    )


def test_the_later_of_two_tables_holds(server):
    sf.refresh_prices("eu-west-1", endpoint_url=server.url, as_of="2030-01-02")
    server.products["AmazonStates"] = [product("EU-StateTransition", ("0", "Inf", "0.00003"))]
    sf.refresh_prices("eu-west-1", endpoint_url=server.url, as_of="2029-01-02")
    assert sf.prices("eu-west-1")["stepfunctions.transition"].usd == Decimal("0.000026")
    sf.refresh_prices("eu-west-1", endpoint_url=server.url, as_of="2031-01-02")
    assert sf.prices("eu-west-1")["stepfunctions.transition"].usd == Decimal("0.00003")
    old = sf.refresh_prices("eu-west-1", endpoint_url=server.url, as_of="2001-01-01")
    assert old.prices["stepfunctions.transition"].usd == Decimal("0.00003")  # older than what there is


def test_a_region_that_was_unknown_is_known_then(server):
    server.products["AmazonStates"] = [product("MARS1-StateTransition", ("0", "Inf", "1"), region="mars-1")]
    with pytest.raises(sf.SflabError, match=r"no prices for region 'mars-1'.*sf\.refresh_prices\('mars-1'\)"):
        sf.prices("mars-1")
    with pytest.raises(sf.BackendError, match="AWS lists no price of a state transition in 'mars-1'"):
        sf.refresh_prices("mars-1", endpoint_url=server.url)


def test_a_folder_of_ones_own_leaves_other_bills_alone(server, tmp_path):
    fetched = sf.refresh_prices("eu-west-1", endpoint_url=server.url, directory=tmp_path / "mine", as_of="2030-01-02")
    assert fetched.prices["stepfunctions.transition"].usd == Decimal("0.000026")
    assert sf.prices("eu-west-1")["stepfunctions.transition"].usd == Decimal("0.000025")
    mine = sf.prices("eu-west-1", directory=tmp_path / "mine")
    assert mine["stepfunctions.transition"].usd == Decimal("0.000026")


def test_it_shows_what_changed(server):
    fetched = sf.refresh_prices("eu-west-1", endpoint_url=server.url, as_of="2030-01-02")
    shown = fetched._repr_mimebundle_()
    assert repr(fetched).startswith("<8 prices of eu-west-1 as of 2030-01-02, ")
    lines = [line.split() for line in shown["text/plain"].splitlines()]
    assert ["stepfunctions.transition", "$0.000025", "$0.000026"] in lines
    assert "not listed: " in shown["text/plain"]
    assert "<table>" in shown["text/html"]


def states(**about):
    return {"PriceList": [json.dumps({"product": {"attributes": {"usagetype": "StateTransition"}}, **about})]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"answer": 42}, "not as the AWS Price List does.*no PriceList"),
        ({"PriceList": ["{"]}, "a product that is no JSON"),
        ({"PriceList": ["[1]"]}, "a product that is no object"),
        ({"PriceList": [], "NextToken": "1"}, "the same page again and again"),
        (b"<html>", "not as the AWS Price List does"),
        (states(terms={"OnDemand": {"T": {}}}), "price of StateTransition .* cannot be read"),
        (states(terms={"OnDemand": [1]}), "price of StateTransition .* cannot be read"),
        (
            states(terms={"OnDemand": {"T": {"priceDimensions": {"D": {"pricePerUnit": {"CNY": "1"}}}}}}),
            "cannot be read .*USD",
        ),
        (
            states(terms={"OnDemand": {"T": {"priceDimensions": {"D": {"pricePerUnit": {"USD": "cheap"}}}}}}),
            "cannot be read",
        ),
        (
            states(terms={"OnDemand": {"T": {"priceDimensions": {"D": {"pricePerUnit": {"USD": "-1"}}}}}}),
            "cannot be read",
        ),
        ({"PriceList": [json.dumps({"product": 1}), json.dumps({})]}, "lists no price of a state transition"),
        ((400, {"__type": "AccessDeniedException", "Message": "no"}), "Allow pricing:GetProducts"),
        ((400, {"__type": "UnrecognizedClientException", "Message": "invalid"}), "aws configure list"),
        ((500, {"__type": "InternalErrorException", "Message": "ouch"}), "try again later"),
    ],
)
def test_answers_that_are_no_price_list_are_told_and_nothing_is_written(server, tmp_path, answer, said):
    server.broken = answer
    with pytest.raises(sf.BackendError, match=said):
        sf.refresh_prices("eu-west-1", endpoint_url=server.url)
    assert not (tmp_path / "prices").exists()


def test_without_credentials_it_says_what_to_do(server, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(sf.BackendError, match=r"[Cc]redentials.*aws configure.*the prices they have") as caught:
        sf.refresh_prices(endpoint_url=server.url)
    assert type(caught.value.__cause__).__name__ == "NoCredentialsError"
    assert server.asked == []
    with pytest.raises(sf.BackendError, match=r"list-profiles"):
        sf.refresh_prices(profile="nobody")
    with pytest.raises(sf.BackendError, match="endpoint_url"):
        sf.refresh_prices(endpoint_url="here")
    with pytest.raises(sf.BackendError, match="as_of is a date"):
        sf.refresh_prices(endpoint_url=server.url, as_of="../../x")


def test_a_folder_that_cannot_be_written_is_told(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(sf.BackendError, match=r"cannot be written.*directory="):
        sf.refresh_prices("eu-west-1", endpoint_url=server.url, directory=tmp_path / "file" / "below")
    monkeypatch.setenv("SFLAB_PRICES", "")
    with pytest.raises(sf.BackendError, match="SFLAB_PRICES is empty"):
        sf.refresh_prices("eu-west-1", endpoint_url=server.url)


def test_the_command_shows_and_fetches_prices(server, capsys):
    assert cli.main(["prices", "--region", "eu-west-1"]) == 0
    assert "stepfunctions.transition" in capsys.readouterr().out
    assert cli.main(["prices", "--region", "eu-west-1", "--refresh", "--endpoint-url", server.url]) == 0
    assert "aws-eu-west-1-" in capsys.readouterr().out
    assert cli.main(["prices", "--region", "mars-1"]) == 2
    assert "no prices for region 'mars-1'" in capsys.readouterr().err

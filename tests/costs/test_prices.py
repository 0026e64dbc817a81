from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.costs import prices
from sflab.errors import SflabError

PRICES = prices.load()


def test_every_row_has_a_date_and_a_source_that_is_described():
    folder = prices.data_directory("prices")
    sources = {row["source"]: row for row in prices.read_rows(folder / "sources.csv")}
    used = set()
    for path in folder.glob("*.csv"):
        if path.name != "sources.csv":
            for row in prices.read_rows(path):
                assert row["as_of"] >= "2025-01-01", row
                used.add(row["source"])
    assert used == set(sources)
    assert all(row["url"].startswith("https://") for row in sources.values())


@pytest.mark.parametrize(
    ("region", "per_thousand"),
    [("us-east-1", "0.025"), ("us-west-1", "0.0279"), ("eu-west-3", "0.0297"), ("sa-east-1", "0.0375")],
)
def test_standard_is_priced_by_region(region, per_thousand):
    assert prices.load(region).cost("stepfunctions.transition", 1000) == Decimal(per_thousand)


def test_tiers_are_functions_of_the_month():
    item = "stepfunctions.express-gb-second"
    assert PRICES.cost(item, 3_600_000) == Decimal("60.012")
    assert PRICES.cost(item, 62_500_000) == Decimal("382.884")
    assert PRICES.cost(item, 1, already=3_599_999) == Decimal("0.00001667")
    assert PRICES.cost(item, 1, already=3_600_000) == Decimal("0.00000833")
    assert PRICES.cost(item, 2, already=3_599_999) == Decimal("0.000025")
    assert list(PRICES[item].split(Decimal(0))) == []


@given(
    st.sampled_from(sorted(PRICES.items)),
    st.decimals(0, 10**11, places=3),
    st.decimals(0, 10**11, places=3),
)
def test_buying_in_two_parts_costs_the_same(item, first, second):
    together = PRICES.cost(item, first + second)
    assert together == PRICES.cost(item, first) + PRICES.cost(item, second, already=first)


def test_an_item_without_a_price_of_its_region_says_whose_it_is():
    assert prices.load("eu-west-1")["lambda.request"].region == "us-east-1"
    assert prices.load("ap-east-1")["lambda.gb-second-x86_64"].region == "ap-east-1"


def test_bad_input_is_told_what_there_is(tmp_path):
    with pytest.raises(SflabError, match=r"no prices for region 'mars-1'; known are: af-south-1, .*us-west-2"):
        prices.load("mars-1")
    with pytest.raises(SflabError, match=r"no price for 'lambda.requests'; there are prices for: .*lambda\.request,"):
        PRICES["lambda.requests"]
    with pytest.raises(SflabError, match="no price data in"):
        prices.load(directory=tmp_path)


HEAD = "service,item,region,unit,from,usd,per,free,as_of,source,note\n"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("stepfunctions,transition,us-east-1,transition,0,cheap,1000,0,2026-01-01,x,\n", ":2: not a price"),
        ("stepfunctions,transition,us-east-1,transition,5,1,1000,0,2026-01-01,x,\n", "must begin at 0 and ascend"),
        ("stepfunctions,transition,us-east-1,t,0,1,1,0,2026-01-01,x,\n" * 2, ":3: the tiers of"),
        ("too,short\n", ":2: not a price"),
    ],
)
def test_a_broken_row_is_named_with_its_line(tmp_path, rows, said):
    (tmp_path / "mine.csv").write_text(HEAD + rows)
    with pytest.raises(SflabError, match=said):
        prices.load(directory=tmp_path)


def test_prices_of_ones_own(tmp_path):
    (tmp_path / "mine.csv").write_text(
        HEAD + "stepfunctions,transition,moon-1,transition,0,1,2,10,2026-01-01,contract,\n"
    )
    mine = prices.load("moon-1", directory=tmp_path)
    assert mine.cost("stepfunctions.transition", 3) == Decimal("1.5")
    assert mine["stepfunctions.transition"].source == "contract"
    assert repr(mine) == "<Prices of moon-1: 1 items, 2026-01-01>"


def test_they_draw_themselves():
    bundle = PRICES._repr_mimebundle_()
    assert "$0.0000166667" in bundle["text/plain"]
    assert bundle["text/html"].startswith("<table>")
    assert PRICES.df["usd"].dtype == "float64"
    assert {"stepfunctions.transition", "lambda.request"} <= set(PRICES.df["item"])


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0, "$0"),
        (0.000275, "$0.000275"),
        (Decimal("0.0000166667"), "$0.00001667"),
        (0.5, "$0.50"),
        (0.999999, "$1.00"),
        (12.5, "$12.50"),
        (-0.25, "-$0.25"),
        (1234567.891, "$1,234,567.89"),
        (1e-12, "$0.000000000001"),
    ],
)
def test_small_amounts_stay_readable(amount, written):
    assert prices.dollars(amount) == written


def test_tables_escape_what_they_show():
    assert "<b>" not in prices.html_table(("<b>",), [("<b>",)])
    assert prices.text_table(("a", "bc"), [("1", "2")], right=(1,)) == "a  bc\n─  ──\n1   2"
    assert [prices.count(x) for x in (3, 1234.5, Decimal("0.0125"))] == ["3", "1,234.5", "0.0125"]

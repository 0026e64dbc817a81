import pytest

import sflab as sf
from sflab.costs.breakeven import BreakEven
from sflab.costs.estimate import bill
from sflab.costs.prices import load
from sflab.errors import SflabError


def cost(write, type, states, seconds):
    """The bill of an execution that enters so many states and takes so long, from a history."""
    writer = write.__class__()
    writer("ExecutionStarted")
    for _ in range(states):
        writer("PassStateEntered", name="P", input="{}")
    writer("ExecutionSucceeded", seconds)
    return bill({"StartAt": "P", "States": {"P": {"Type": "Pass"}}}, writer.events, type=type).exact


@pytest.mark.parametrize("states", [1, 3, 9])
def test_the_line_between_standard_and_express_is_where_the_bills_cross(write, states):
    line = dict(sf.break_even("standard or express").lines["as cheap as each other"])[states]
    standard = cost(write, "STANDARD", states, 1)
    assert cost(write, "EXPRESS", states, line) <= standard < cost(write, "EXPRESS", states, line + 0.2)


def test_from_twelve_states_on_express_is_always_cheaper():
    found = sf.break_even("standard or express")
    assert found.crossings == {"always Express from": 12}  # 13 transitions, with one for start and end
    assert "From 12 states on" in found.verdict
    assert sf.break_even("standard or express", start_end=0).crossings == {"always Express from": 13}
    assert sf.break_even("standard or express", [1, 2]).crossings == {"always Express from": None}


def test_the_published_batch_example():
    """A million items: unbatched Express children of a second are $27.04, a hundred items in a batch $0.27."""
    found = sf.break_even("batch size", 1_000_000, seconds=0.01)
    line = dict(found.lines["distributed, Express children"])
    assert line[1] == pytest.approx(26.10, abs=0.01)
    assert line[100] == pytest.approx(0.2704, abs=0.0001)  # ten thousand children of a second
    unbatched = dict(sf.break_even("batch size", 1_000_000, seconds=1).lines["distributed, Express children"])
    assert unbatched[1] == pytest.approx(27.04, abs=0.005)
    assert found.crossings["distributed is cheaper from"] == 2


def test_a_batch_fits_into_five_minutes():
    assert max(sf.break_even("batch size", seconds=10).df.index) == 30
    with pytest.raises(ValueError, match="does not fit"):
        sf.break_even("batch size", seconds=400)
    assert max(sf.break_even("batch size", 5000, seconds=400, child="STANDARD").df.index) == 5000


def test_polling_costs_more_the_longer_it_waits():
    found = sf.break_even("polling or callback", 60, longest=600, call={}, callback={})
    polling = dict(found.lines["polling every 60 s"])
    assert polling[600] == pytest.approx(750)  # 30 transitions
    assert list(dict(found.lines["a callback"]).values()) == pytest.approx([25] * 10)
    assert "from the first poll on" in found.verdict
    dear = sf.break_even("polling or callback", callback={"lambda.request": 1000})
    assert dear.crossings["a callback is cheaper from"] == 180
    assert "from 3 polls on" in dear.verdict


def test_prices_of_a_region_count():
    cheap, dear = (sf.break_even("batch size", prices=load(region)) for region in ("us-east-1", "sa-east-1"))
    assert dict(dear.lines["inline"])[1] == pytest.approx(1.5 * dict(cheap.lines["inline"])[1])
    assert "sa-east-1" in dear.assumed[-1]


def test_in_a_notebook_picture_and_words_are_two_outputs(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append(bundle))
    sf.break_even("batch size")._ipython_display_()
    assert [sorted(bundle) for bundle in shown] == [["image/svg+xml", "text/plain"], ["text/html", "text/plain"]]
    assert "<svg" not in shown[1]["text/html"]


def test_it_is_saved_and_shown(tmp_path):
    for question in ("standard or express", "batch size", "polling or callback"):
        found = sf.break_even(question)
        found.save(tmp_path / "line.json")
        assert BreakEven.load(tmp_path / "line.json") == found
        assert found._repr_mimebundle_() == BreakEven.load(tmp_path / "line.json")._repr_mimebundle_()
        assert found.svg().startswith("<svg")
    (tmp_path / "line.json").write_text("[]")
    with pytest.raises(SflabError, match="expected a file of format"):
        BreakEven.load(tmp_path / "line.json")
    with pytest.raises(ValueError, match="break_even answers 'standard or express'"):
        sf.break_even("tea or coffee")

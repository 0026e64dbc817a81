import pytest

import sflab as sf

TASK = {
    "StartAt": "T",
    "States": {
        "T": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "f"},
            "End": True,
        }
    },
}


def simulated(seconds, memory_mb=128):
    return sf.simulate(
        sf.StateMachine.load(TASK),
        n=60,
        functions={"f": sf.mock()},
        latencies={"f": sf.constant(seconds)},
        memory_mb=memory_mb,
    )


def test_a_row_for_each_combination(tmp_path):
    found = sf.sweep(simulated, seconds=[1, 3], memory_mb=[128, 1024, 2048])
    assert len(found) == len(found.df) == 6
    assert list(found.df.columns[:3]) == ["seconds", "memory_mb", "p50_ms"]
    assert found[3, 1024] == simulated(3, 1024)
    costs = found.df.pivot_table(index="seconds", columns="memory_mb", values="usd_per_million")
    assert costs.loc[3, 1024] - 50.2 == pytest.approx(3 * 1024 / 1024 * 16.6667, rel=0.03)  # Lambda, by the GB-second
    assert (costs.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert "Cheapest at seconds=1, memory_mb=128" in found.verdict
    assert "Fastest at the median at seconds=1" in found.verdict
    found.save(tmp_path / "sweep.json.gz")
    assert sf.Sweep.load(tmp_path / "sweep.json.gz") == found
    assert sf.Sweep.load(tmp_path / "sweep.json.gz").svg() == found.svg()
    assert "6 simulations over seconds, memory_mb" in found._repr_mimebundle_()["text/plain"]


def test_in_a_notebook_table_and_picture_are_two_outputs(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append(bundle))
    sf.sweep(simulated, seconds=[1, 3])._ipython_display_()
    assert [sorted(bundle) for bundle in shown] == [["text/html", "text/plain"], ["image/svg+xml", "text/plain"]]


def test_values_may_be_words():
    found = sf.sweep(lambda how: simulated({"quick": 1, "slow": 4}[how]), how=["quick", "slow"])
    assert "slow takes 3.0" in found.verdict.replace("how=", "")
    assert "real difference" in found.verdict
    assert "quick" in found.svg()
    with pytest.raises(KeyError, match="swept were how"):
        found["medium"]


def test_what_cannot_be_swept_is_said():
    with pytest.raises(ValueError, match="at least one parameter"):
        sf.sweep(simulated)
    with pytest.raises(ValueError, match="seconds has no values"):
        sf.sweep(simulated, seconds=[])
    with pytest.raises(TypeError, match=r"returns what sf\.simulate does, not int"):
        sf.sweep(lambda x: x, x=[1])

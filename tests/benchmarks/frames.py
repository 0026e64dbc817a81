"""How smoothly the live graph paints: ``python tests/benchmarks/frames.py``; needs Chromium, judges nothing.

* *100 states, 20 updates a second*: the patches of a running execution, made beforehand by the widget itself, are told
  to the page every 50 ms. A paint is *dropped* where an update's colours were never on the screen: the next update came
  before the browser had painted. Also how long the kernel took for each, and the longest time between two frames.
* *500 states, 25,000 events*: how long the kernel takes to write the run, how much is sent, the time from the script's
  start to the first paint, and that of a scrub step: from the slider's input event to the frame that shows it, for
  steps all over the history.

Rendering is Chromium's own, headless and without a graphics card: a desk's browser is faster.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from playwright.sync_api import Page, sync_playwright

import sflab as sf
from sflab.views import widget

HERE = Path(__file__).resolve()
SHELL = (HERE.parents[1] / "browser" / "shell.js").read_text()

# Tells a patch every 50 ms; after each frame, notes which position the graph had been painted at.
UPDATES = """patches => new Promise(done => {
    const slider = document.querySelector('.sflab-run input[type=range]');
    const painted = new Set(), gaps = [];
    let told = 0, last = performance.now(), over = false;
    const frame = now => {
        gaps.push(now - last);
        last = now;
        if (over) return done({updates: patches.length, painted: painted.size, longest: Math.max(...gaps.slice(2))});
        requestAnimationFrame(frame);
        const at = slider.value;  // what this frame paints
        setTimeout(() => { if (told && slider.value === at) painted.add(at); }, 0);
    };
    requestAnimationFrame(frame);
    const timer = setInterval(() => {
        if (told < patches.length) return window.told(patches[told++]);
        clearInterval(timer);
        setTimeout(() => { over = true; }, 200);
    }, 50);
})"""

SCRUBS = """async positions => {
    const slider = document.querySelector('.sflab-run input[type=range]');
    const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
    const out = [];
    for (const to of positions) {
        await frame();
        const begun = performance.now();
        slider.value = to;
        slider.dispatchEvent(new Event('input'));
        const worked = performance.now() - begun;
        await frame();
        out.push([worked, performance.now() - begun]);
    }
    return out;
}"""

FIRST = """async ([shell, given]) => {
    const begun = performance.now();
    await eval(shell)(given);
    await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
    return performance.now() - begun;
}"""


def machine(stages: int) -> sf.StateMachine:
    """A loop of *stages*, ten states each: a choice of two ways, then two branches, one of them a Map."""
    states: dict[str, Any] = {}
    for n in range(stages):
        after = f"Choose {n + 1}" if n + 1 < stages else "Choose 0"
        states |= {
            f"Choose {n}": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.n", "NumericGreaterThan": n, "Next": f"Left {n}"}],
                "Default": f"Right {n}",
            },
            f"Left {n}": {"Type": "Pass", "Next": f"Both {n}"},
            f"Right {n}": {"Type": "Pass", "Next": f"Tidy {n}"},
            f"Tidy {n}": {"Type": "Pass", "Next": f"Both {n}"},
            f"Both {n}": {
                "Type": "Parallel",
                "ResultPath": None,
                "Next": after,
                "Branches": [
                    {"StartAt": f"A {n}", "States": {
                        f"A {n}": {"Type": "Pass", "Next": f"B {n}"}, f"B {n}": {"Type": "Pass", "End": True}}},
                    {"StartAt": f"Each {n}", "States": {
                        f"Each {n}": {"Type": "Map", "ItemsPath": "$.items", "End": True, "ItemProcessor": {
                            "StartAt": f"C {n}", "States": {
                                f"C {n}": {"Type": "Pass", "Next": f"D {n}"},
                                f"D {n}": {"Type": "Pass", "End": True}}}}}},
                ],
            },
        }  # fmt: skip
    states["Choose 0"]["Choices"].insert(0, {"Variable": "$.n", "NumericLessThan": 0, "Next": "Done"})
    states["Done"] = {"Type": "Succeed"}
    return sf.StateMachine.load({"StartAt": "Choose 0", "States": states}, name=f"{10 * stages} states")


def updates(page: Page) -> None:
    """100 states, 20 updates a second for ten seconds."""
    subject = machine(10)
    events = sf.Local().start_execution(subject, {"n": 5, "items": [1, 2]}).history.events[:1000]
    live = widget.live(subject.definition, events[:1], running=True)
    patches: list[Any] = []
    live.send = lambda message, _buffers=None: patches.append(json.loads(json.dumps(message)))
    state = live.get_state()
    first = json.loads(json.dumps({name: state[name] for name in ("drawing", "run")}))
    spent = []
    for n in range(1, len(events), 5):
        begun = perf_counter()
        live.extend(events[n : n + 5])
        spent.append(perf_counter() - begun)
    page.set_content("<!doctype html><body></body>")
    page.evaluate(SHELL, [str(live._esm), str(live._css), first])
    seen = page.evaluate(UPDATES, patches)
    size = median(len(json.dumps(p)) for p in patches)
    print(
        f"{len(first['drawing']['states'])} states, 20 updates a second: {seen['updates']} updates, "
        f"{seen['updates'] - seen['painted']} paints dropped, longest frame {seen['longest']:.0f} ms; "
        f"kernel {1000 * median(spent):.1f} ms an update (last {1000 * spent[-1]:.1f}), {size / 1000:.1f} kB"
    )


def large(page: Page) -> None:
    """500 states, 25,000 events: the first paint, and a scrub step."""
    subject = machine(50)
    run = sf.Local().start_execution(subject, {"n": 25, "items": [1, 2, 3]})
    events = run.history.events
    begun = perf_counter()
    live = widget.live(subject.definition, events)
    wrote = perf_counter() - begun
    state = live.get_state()
    first = json.loads(json.dumps({name: state[name] for name in ("drawing", "run")}))
    page.set_content("<!doctype html><body></body>")
    painted = page.evaluate(FIRST, [SHELL, [str(live._esm), str(live._css), first]])
    positions = [(k * 7919) % len(events) for k in range(40)]
    steps = page.evaluate(SCRUBS, positions)
    near = page.evaluate(SCRUBS, list(range(12_000, 12_040)))
    print(
        f"{len(first['drawing']['states'])} states, {len(events):,} events: kernel {wrote:.1f} s, "
        f"{len(json.dumps(first)) / 1e6:.1f} MB sent, first paint {painted:.0f} ms; a scrub step "
        f"{median(s for s, _ in steps):.0f} ms of script, {median(t for _, t in steps):.0f} ms to the frame (worst "
        f"{max(t for _, t in steps):.0f}); one event on {median(t for _, t in near):.0f} ms"
    )


def main() -> int:
    """Measure everything."""
    found = subprocess.run([HERE.parents[2] / ".ci/browser"], capture_output=True, text=True, check=False)
    if found.returncode:
        print(found.stderr, file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=["--disable-gpu"])
        for measure in (updates, large):
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(300_000)
            measure(page)
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

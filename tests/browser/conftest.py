"""Real JupyterLab, real Chromium: the fixtures `lab`, `page`, `seen` and `shoot`.

Playwright keeps an event loop running in the main thread while it is open, so a browser lives for one test module only,
and `make test` gives these tests a pytest process of their own.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[2]
ARTEFACTS = Path(__file__).parent / "artefacts"
SHELL = (Path(__file__).parent / "shell.js").read_text()
LOCAL = {"127.0.0.1", "localhost"}
CHROMIUM = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What a page asks for beyond this machine fails at once, here and on a developer's desk alike.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
KERNEL = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"


@dataclass(frozen=True, slots=True)
class Lab:
    """A JupyterLab server on a copy of the notebooks and the data: `root` is that copy, `url` ends in a slash."""

    url: str
    root: Path
    environment: dict[str, str]

    def open(self, page: Page, notebook: str) -> None:
        """Show a notebook ("notebooks/00-tour.ipynb") and wait until its kernel is idle."""
        page.goto(f"{self.url}lab/workspaces/{Path(notebook).stem}/tree/{notebook}?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_function(f"() => {KERNEL}?.status === 'idle'", timeout=60_000)

    def run_all(self, page: Page, *, seconds: float = 120) -> None:
        """Run every cell and wait until the last one is done."""
        self.start_all(page)
        self.wait(page, seconds=seconds)

    def start_all(self, page: Page) -> None:
        """Begin to run every cell and return at once, to look at a page while it works."""
        page.evaluate("""() => {
            window.ranAll = false;
            window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ranAll = true; });
        }""")

    def wait(self, page: Page, *, seconds: float = 120) -> None:
        """Wait for the end of what `start_all` began."""
        page.wait_for_function("() => window.ranAll", timeout=seconds * 1000)

    def trust(self, notebook: str) -> None:
        """Let a notebook's stored HTML and SVG show without running it."""
        trust = [sys.executable, "-m", "jupyter", "trust", str(self.root / notebook)]
        subprocess.run(trust, env=self.environment, check=True)


@dataclass(slots=True)
class Seen:
    """What a page did: errors on its console or thrown in it, and URLs it asked for beyond this machine."""

    errors: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Write down what happens in a page from now on."""
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in LOCAL:
            self.beyond.append(url)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab with nobody's settings, on a free port of this machine."""
    home = tmp_path_factory.mktemp("lab")
    root = home / "root"
    root.mkdir()
    for name in ("notebooks", "data"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = {**os.environ, **{name: str(home / name.lower()) for name in folders}}
    environment.pop("SFLAB_HEADLESS", None)  # here the live graph is looked at
    options = [
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        "--ip=127.0.0.1",
        "--port=0",
        "--IdentityProvider.token=",  # reached from this machine only
        f"--ServerApp.root_dir={root}",
    ]
    log = home / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield Lab(listening(server, home / "jupyter_runtime_dir", log), root, environment)
    finally:
        server.terminate()  # it shuts its kernels down first
        server.wait(timeout=30)


def listening(server: subprocess.Popen, runtime: Path, log: Path, *, seconds: float = 60) -> str:
    """The address that a starting server serves at. Fails with its log if it does not."""
    end = monotonic() + seconds
    while monotonic() < end and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                url = json.loads(file.read_text())["url"]
                urllib.request.urlopen(url + "api", timeout=5).close()
            except (ValueError, urllib.error.URLError):
                continue  # half written, or not answering yet
            return url
        sleep(0.1)
    pytest.fail("JupyterLab did not start:\n" + log.read_text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium or Chrome; fails with what to do where there is none."""
    found = subprocess.run([ROOT / ".ci/browser"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.fail(found.stderr)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def seen() -> Seen:
    """What the test's page does, to assert that it did nothing wrong: `assert not seen.errors + seen.beyond`."""
    return Seen()


@pytest.fixture
def page(browser: Browser, seen: Seen, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh page, watched by `seen`; if the test fails, its picture is kept as failed-<test>.png."""
    with browser.new_context(viewport={"width": 1400, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(30_000)
        seen.watch(page)
        before = request.session.testsfailed
        yield page
        if request.session.testsfailed > before:
            picture(page, f"failed-{request.node.name}")


@pytest.fixture
def shoot(page: Page) -> Callable[[str], Path]:
    """`shoot("tour")` writes artefacts/tour.png as the page looks now, and returns where."""
    return lambda name: picture(page, name)


@pytest.fixture
def show(page: Page) -> Callable[..., Locator]:
    """Show a widget with no kernel behind it; on a page of this height its controls are all in view."""

    def show(live, *, background: str = "#fff") -> Locator:
        page.set_content(f"<!doctype html><body style='background:{background};font-family:sans-serif'></body>")
        page.evaluate(SHELL, [str(live._esm), str(live._css), sent(live)])
        return page.locator(".sflab-run")

    return show


def sent(live) -> dict[str, Any]:
    """What a browser is sent of a widget of ours to begin with."""
    state = live.get_state()
    return json.loads(json.dumps({name: state[name] for name in ("drawing", "run", "sides") if name in state}))


def picture(page: Page, name: str) -> Path:
    """A screenshot among the artefacts."""
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    page.screenshot(path=path)
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder, so that `-m "not browser"` leaves it out."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests/browser"):
            item.add_marker("browser")

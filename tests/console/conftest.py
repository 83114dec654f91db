"""Runs to be shown, and a browser to look at them."""

import shutil

import pytest

from console.browsing import started
from sightline.console.access import Access
from sightline.console.console import Console
from sightline.console.serving import ConsoleServer
from sightline.limits import Limits
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.sense import MemorySource
from simulation.alerting_runs import fleet_plan, fleet_rows, names
from simulation.yard_runs import made_run

SAT = "sat-001"


@pytest.fixture(scope="session")
def fleet_run(tmp_path_factory):
    """Six satellites fall silent, one is high: with a desk."""
    out = tmp_path_factory.mktemp("console") / "fleet"
    quiet = {n: (200, 300) for i, n in enumerate(names(12)) if i % 2}
    rows = fleet_rows(quiet=quiet, high={"sat-004": [(60, 400)], "sat-002": [(100, 150)]})
    run_pipeline(
        fleet_plan(hold_s=20, by=["gateway"]),
        {"t": MemorySource("t", {"f": rows})},
        out,
        options=RunOptions(durable=False),
    )
    return out


@pytest.fixture
def open_run(fleet_run, tmp_path):
    """The same as if it went on: it takes operator inputs."""
    out = tmp_path / "run"
    shutil.copytree(fleet_run, out)
    (out / "controls").mkdir(exist_ok=True)
    (out / "controls" / ".open").touch()
    return out


@pytest.fixture(scope="session")
def yard_run(tmp_path_factory):
    """Somebody enters a pit before a camera, and a machine stops."""
    return made_run(tmp_path_factory.mktemp("console"), keep="full").path


@pytest.fixture
def serve():
    """Serves runs until the end of the test."""
    servers = []

    def serving(path, *, token=None):
        console = Console(RunDirectory.open(path), refresh_s=0.5, limits=Limits(console_rest=0.0))
        servers.append(ConsoleServer(console, Access.of(host="127.0.0.1", token=token)))
        return servers[-1].url

    yield serving
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: the extra dev")
    with playwright.sync_playwright() as running:
        opened = started(running)
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A page whose errors are errors of the test; axe may be put into it."""
    context = browser.new_context(bypass_csp=True)
    shown = context.new_page()
    errors = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    yield shown
    context.close()
    assert errors == []

"""Reviewing parts in a real browser: by keyboard, with paint, into the log and a data set."""

import json
import shutil

import cv2
import pytest
from typer.testing import CliRunner

from console.browsing import axe_rules, violations
from sightline.cli.main import app_for
from sightline.console.access import Access
from sightline.console.console import Console
from sightline.console.reviewing import ReviewView
from sightline.console.serving import ConsoleServer
from sightline.evidence.parts_account import known_parts
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.verification import verify_run
from simulation.line_world import run_line_into


@pytest.fixture(scope="session")
def line_run(tmp_path_factory):
    """Twelve parts, some with a hole, some without a picture."""
    out = tmp_path_factory.mktemp("review") / "line"
    run_line_into(out, parts=12, seed=3, defects=0.2, lost_pictures=0.2)
    return out


@pytest.fixture
def reviewed(line_run, tmp_path):
    """A copy of it, and its address while it is served; closed by the test."""
    run = tmp_path / "run"
    shutil.copytree(line_run, run)
    views = []

    def serving():
        view = ReviewView(lambda: RunDirectory.open(run))
        console = Console(RunDirectory.open(run), refresh_s=0.5, review=view)
        server = ConsoleServer(console, Access.of(host="127.0.0.1", token=None))
        views.append((server, view))
        return server.url

    def closing():
        for server, view in views:
            server.close()
            view.close()
        views.clear()

    yield run, serving, closing
    closing()


def named(page, name="Ana"):
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Answer as this").click()


def title(page):
    return page.locator("h2").inner_text()


def parts(run):
    return {p.record.serial: p for p in known_parts(RunDirectory.open(run).parts())}


def test_a_verdict_by_key_is_in_the_log_and_the_next_part_is_shown(page, reviewed):
    run, serving, closing = reviewed
    page.goto(f"{serving()}review")
    named(page)
    first = title(page)
    assert "the line could not decide" in page.locator("main").inner_text()
    page.keyboard.press("a")
    page.wait_for_function("t => document.querySelector('h2').innerText !== t", arg=first)
    second = title(page)
    page.keyboard.press("r")
    page.wait_for_function("t => document.querySelector('h2').innerText !== t", arg=second)
    closing()
    found = parts(run)
    assert (found[first].verdict, found[second].verdict) == ("good", "defect")
    assert found[first].reviews[0].reviewer == "Ana"
    opened = RunDirectory.open(run)
    assert not verify_run(opened).problems
    assert replay_run(opened)


def test_a_painted_defect_becomes_a_mask_to_train_from(page, reviewed, tmp_path):
    run, serving, closing = reviewed
    page.goto(f"{serving()}review")
    named(page)
    serial = title(page)
    page.keyboard.press("p")
    canvas = page.locator(".review canvas").first
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.get_by_label("Kind of defect").fill("scratch")
    page.get_by_role("button", name="Defect").click()
    page.wait_for_function("t => document.querySelector('h2').innerText !== t", arg=serial)
    closing()
    (review,) = parts(run)[serial].reviews
    assert review.kind == "scratch"
    assert 38 < review.size_px < 46  # half of 80 px, and the width of the brush
    out = tmp_path / "set"
    arguments = ("review", str(run), "--export", str(out), "--json")
    done = CliRunner().invoke(app_for(arguments), arguments)
    said = json.loads(done.stdout)["set"]
    assert (said["defect"], said["masks"]) == (1, 1)
    (mask,) = out.glob("defect/*_mask.png")
    picture = cv2.imread(str(mask).replace("_mask", ""), cv2.IMREAD_UNCHANGED)
    assert cv2.imread(str(mask), cv2.IMREAD_UNCHANGED).shape == picture.shape == (64, 80)
    coco = json.loads((out / "coco.json").read_text())
    assert coco["categories"] == [{"id": 1, "name": "scratch"}]
    assert coco["annotations"][0]["bbox"][2] == pytest.approx(review.size_px)
    manifest = json.loads((out / "manifest.json").read_text())
    assert len(manifest["files"]) == 2


def test_nothing_is_taken_from_somebody_without_a_name(page, reviewed):
    run, serving, closing = reviewed
    page.goto(f"{serving()}review")
    page.keyboard.press("a")
    page.wait_for_selector("text=your name")
    closing()
    assert not any(part.reviews for part in parts(run).values())


def test_a_key_in_a_field_is_text_and_no_verdict(page, reviewed):
    run, serving, closing = reviewed
    page.goto(f"{serving()}review")
    named(page)
    serial = title(page)
    page.get_by_label("Kind of defect").type("ar")
    assert title(page) == serial
    page.locator("h1").click()
    page.keyboard.press("s")
    page.wait_for_function("t => document.querySelector('h2').innerText !== t", arg=serial)
    closing()
    assert not any(part.reviews for part in parts(run).values())


def test_the_review_page_has_no_fault_that_axe_finds(page, reviewed):
    _, serving, _ = reviewed
    page.goto(f"{serving()}review")
    assert violations(page, axe_rules()) == []

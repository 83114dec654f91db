"""The page of a run in a real browser: what is seen, answered, and that axe finds no fault."""

import json

import pytest

from console.browsing import axe_rules, violations
from sightline.console.console import Console
from sightline.evidence.report import write_report
from sightline.evidence.run_account import account_of_run
from sightline.limits import Limits
from sightline.runtime import RunDirectory

SAT = "sat-001"
PHONE = {"width": 390, "height": 844}


def given(run):
    return [json.loads(path.read_text()) for path in sorted((run / "controls").glob("*.json"))]


def named(page, name):
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Answer as this").click()


def test_a_standing_alarm_has_value_threshold_duration_and_a_link_to_its_explanation(
    page, serve, fleet_run
):
    page.goto(serve(fleet_run))
    row = page.locator("tr", has_text="sat-004/value").first
    assert "value.mean 20, threshold 10" in row.inner_text()
    assert "3 min 48 s" in row.inner_text()
    row.get_by_role("link", name="why HIGH").click()
    assert page.locator("h1").inner_text().startswith("high raised: sat-004/value")
    assert page.get_by_role("img", name="high raised: sat-004/value").is_visible()


def test_a_click_acknowledges_and_the_page_says_that_it_waits(page, serve, open_run):
    page.goto(serve(open_run))
    page.get_by_role("button", name=f"Acknowledge {SAT}").click()
    assert "your name" in page.get_by_role("alert").inner_text()
    assert given(open_run) == []
    page.get_by_role("link", name="Back to the run").click()
    named(page, "Ana Müller")
    page.get_by_role("button", name=f"Acknowledge {SAT}").click()
    assert given(open_run) == [
        {"control": "acknowledge", "subject": SAT, "code": "SILENT", "operator": "Ana Müller"}
    ]
    waiting = page.locator("tr", has_text=f"acknowledge {SAT} by Ana Müller")
    assert "waits for the next tick" in waiting.inner_text()


def test_a_mask_has_a_reason_and_an_end(page, serve, open_run):
    page.goto(serve(open_run))
    named(page, "Ana")
    page.locator("tr", has_text=SAT).first.get_by_role("link", name="shelve or mask").click()
    form = page.locator("form", has_text="Mask sat-001")
    form.get_by_label("Until").fill("1d")
    form.get_by_role("button", name="Mask").click()
    assert given(open_run) == []  # the browser asks for the reason
    form.get_by_label("Reason").fill("wheel <b>test</b>")
    form.get_by_role("button", name="Mask").click()
    page.wait_for_url("**/")
    (mask,) = given(open_run)
    assert (mask["control"], mask["reason"], mask["kind"]) == (
        "mask",
        "wheel <b>test</b>",
        "silent",
    )
    assert "wheel <b>test</b>" in page.locator("#live").inner_text()


def test_a_camera_is_shown_with_its_zone_its_boxes_and_what_its_machine_does(page, serve, yard_run):
    page.goto(serve(yard_run))
    picture = page.get_by_role("img", name="Camera east")
    assert picture.evaluate("image => image.naturalWidth") > 300
    machine = page.locator("tr", has_text="saw").first.inner_text()
    assert "STOP" in machine
    assert "somebody is in a forbidden zone" in machine
    assert "received 60 = decided 60" in page.locator("#live").inner_text()


def test_the_page_goes_on_by_itself_and_can_be_paused(page, serve, open_run):
    page.goto(serve(open_run))
    (open_run / "controls" / "9.json").write_text(
        json.dumps({"control": "acknowledge", "subject": "sat-003"})
    )
    page.get_by_text("acknowledge sat-003").wait_for(timeout=5000)
    page.get_by_role("button", name="Pause updates").click()
    assert page.get_by_role("button", name="Go on with updates").is_visible()


def test_without_the_token_nothing_is_seen_and_with_it_the_run(page, serve, fleet_run):
    token = "0123456789abcdef0123456789abcdef"
    address = serve(fleet_run, token=token)
    assert page.goto(address).status == 401
    assert SAT not in page.content()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Show the run").click()
    assert "That is not the token." in page.content()
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Show the run").click()
    page.get_by_text(SAT).first.wait_for()
    assert token not in page.url
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert token not in cookie["value"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_and_a_phone_needs_no_scrolling_to_the_side(
    page, serve, open_run, yard_run, tmp_path, scheme
):
    rules = axe_rules()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(PHONE)
    run = RunDirectory.open(yard_run)
    report = write_report(run, account_of_run(run), tmp_path / "report.html").as_uri()
    fleet, yard = serve(open_run), serve(yard_run)
    page.goto(fleet)
    why = page.get_by_role("link", name="why HIGH").first.get_attribute("href")
    addresses = [fleet, f"{fleet.rstrip('/')}{why}", yard, report]
    found = {}
    for address in addresses if scheme == "light" else [report]:
        page.goto(address)
        found[address] = violations(page, rules)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    print(found)
    assert not any(found.values()), found


def test_text_of_a_run_is_text_and_nothing_runs(page, serve, open_run):
    evil = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
    (open_run / "controls" / "0.json").write_text(
        json.dumps({"control": "acknowledge", "subject": evil})
    )
    page.goto(serve(open_run))
    assert evil in page.locator("#inputs + table").inner_text()
    assert page.title() == "fleet: run"


def test_one_look_reads_no_longer_than_its_bound_and_says_how_far_it_is(fleet_run):
    run = RunDirectory.open(fleet_run)
    console = Console(run, refresh_s=0.0, limits=Limits(console_read_s=0.0, console_rest=0.0))
    assert "reading the log: 1 entries so far" in console.live(form_key="")

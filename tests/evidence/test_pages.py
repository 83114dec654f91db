"""Pages and pictures can be read: contrast, titles for who cannot see, dates on axes."""

import re
from html.parser import HTMLParser

import pytest

from sightline.evidence import account_drawing, figures
from sightline.evidence.account import explain, explain_said, picture_facts
from sightline.evidence.account_picture import draw_account, draw_svg
from sightline.evidence.pages import STYLE, page, table
from sightline.evidence.report import write_report
from sightline.evidence.run_account import account_of_run
from sightline.evidence.said import SaidLog
from sightline.evidence.words import time_labels
from sightline.limits import Limits
from sightline.records.decision import Transition
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.sense import MemorySource
from simulation.alerting_runs import fleet_plan, fleet_rows
from simulation.yard_runs import made_run

LEAST = 4.5


def luminance(colour):
    """Relative luminance, WCAG 2.2."""
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def schemes():
    day, night = (
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", part))
        for part in STYLE.split("@media (prefers-color-scheme: dark)")[:2]
    )
    return {"day": day, "night": night}


@pytest.mark.parametrize("scheme", ["day", "night"])
def test_text_on_pages_has_the_contrast_that_wcag_asks_for(scheme):
    colours = schemes()[scheme]
    inks = set(colours) - {"line", "card", "page"}
    assert inks == {"ink", "soft", "critical", "warning", "info", "link", "good"}
    low = {
        (ink, ground): round(contrast(colours[ink], colours[ground]), 2)
        for ink in inks
        for ground in ("card", "page")
        if contrast(colours[ink], colours[ground]) < LEAST
    }
    assert low == {}


def test_text_in_pictures_has_it_too():
    inks = [*account_drawing._COLOUR.values(), account_drawing._SOFT]
    assert min(contrast(ink, "#fbfbfa") for ink in inks) >= LEAST
    texts = (figures.INK, figures.MARK, figures.GOOD)
    assert min(contrast(ink, "#ffffff") for ink in texts) >= LEAST


def test_the_cells_of_a_table_know_their_heads_and_every_text_is_text():
    made = table(["what", "<n>"], [["a", "1"]], caption="<c>")
    assert '<td role="cell" data-head="&lt;n&gt;">1</td>' in made
    assert "<c>" not in made
    assert "<title>&lt;b&gt;</title>" in page("<b>", "")


def test_labels_of_an_axis_have_the_date_where_it_changes():
    hour = 3600 * 10**9
    start = 1_767_225_600 * 10**9 + 22 * hour
    assert [label[1:] for label in time_labels(start, start + 4 * hour)] == [
        ("22:00:00", "2026-01-01"), ("23:00:00", ""), ("00:00:00", "2026-01-02"),
        ("01:00:00", ""), ("02:00:00", ""),
    ]  # fmt: skip


class Links(HTMLParser):
    """Ids of a page, and where its links lead."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.targets = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.targets.append(found["href"])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / "run"
    rows = fleet_rows(3, high={"sat-000": [(60, 150)], "sat-001": [(100, 400)]})
    source = {"t": MemorySource("t", {"f": rows})}
    run_pipeline(fleet_plan(3, name=None), source, out, options=RunOptions(durable=False))
    return RunDirectory.open(out)


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("pages"), keep="alerts")


def report(run, out, **limits):
    bounds = Limits(**limits)
    return write_report(run, account_of_run(run), out, limits=bounds).read_text()


@pytest.mark.parametrize("which", ["fleet", "yard"])
def test_every_alert_of_a_report_leads_to_its_account(which, tmp_path, request):
    run = request.getfixturevalue(which)
    text = report(run, tmp_path / "r.html")
    found = Links(text)
    raised = {d.decision_id for d in run.decisions() if d.transition is Transition.RAISED}
    assert len(raised) >= 2
    assert {f"#why-{one}" for one in raised} == set(found.targets)
    assert {f"why-{one}" for one in raised} <= set(found.ids)
    assert len(set(found.ids)) == len(found.ids)


def test_a_report_says_when_an_alert_was_over_and_what_it_means(fleet, tmp_path):
    text = report(fleet, tmp_path / "r.html")
    assert "HIGH: value.mean 20, threshold 10: it is raised while" in text
    assert "2026-01-01 00:01:10Z; over 2026-01-01 00:02:40Z, after 1 min 30 s." in text
    assert "not over by the end of the log" in text


def test_a_report_shows_the_picture_of_an_alert_of_a_camera(yard, tmp_path):
    text = report(yard, tmp_path / "r.html")
    assert '<img alt="the site at in_forbidden_zone east/track-1/pit' in text


def test_pictures_in_a_report_are_bounded_and_the_rest_is_told_in_words(yard, tmp_path):
    text = report(yard, tmp_path / "r.html", report_pictures=1)
    raised = {d.decision_id for d in yard.decisions() if d.transition == Transition.RAISED}
    assert text.count("<img ") == 1
    assert text.count('class="account"') == len(raised) > 1


def test_a_drawing_says_what_it_shows(fleet, yard, tmp_path):
    high = next(d for d in fleet.decisions() if d.kind == "high")
    drawn = draw_svg(explain(fleet, high.decision_id))
    assert 'role="img"' in drawn
    assert "<title>high raised: sat-000/value; HIGH: value.mean 20, threshold 10</title>" in drawn
    assert "2026-01-01" in drawn
    (entered,) = [d for d in yard.decisions() if d.kind == "in_forbidden_zone"]
    draw_account(yard, explain(yard, entered.decision_id), tmp_path / "why.svg")
    picture = (tmp_path / "why.svg").read_text()
    assert 'role="img"' in picture
    assert re.search("<title>At [0-9.]+ s in_forbidden_zone was raised", picture)


def test_a_picture_in_a_report_is_that_of_the_explanation(fleet):
    everything = SaidLog.of(fleet)
    raised = [s for s in everything.said if s.what.transition is Transition.RAISED]
    for said, facts in zip(raised, picture_facts(fleet, raised), strict=True):
        assert draw_svg(facts) == draw_svg(explain_said(fleet, everything, said))

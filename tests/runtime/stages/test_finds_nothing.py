"""A detector that finds nothing for long, or whose settings throw everything away, is told of."""

from dataclasses import replace

import pytest

from sightline.evidence.run_account import account_of_run
from sightline.evidence.run_sections import report_lines
from sightline.records import Detections
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.engine.guarding import Lookers
from simulation.site_cases import by_camera, camera, plan_of, run_yard, yard

PICTURES, EVERY_S = 80, 60.0
NOTHING = "nothing was found in the last 80 pictures"
THROWN_AWAY = "threw away all that it found in the last 80 pictures (BOX_BELOW_MIN_SCORE 160)"


class Seeing:
    """Sees somebody in the pictures it is told, and throws away so many boxes in each."""

    version = "seeing@1"
    class_names = ("person",)

    def __init__(self, *, at=(), thrown_away=0):
        self.at = at
        self.left_aside = {"BOX_BELOW_MIN_SCORE": thrown_away} if thrown_away else {}

    def look(self, frames):
        return [self._seen(frame) for frame in frames]

    def _seen(self, frame):
        boxes = [[10, 10, 20, 40]] if frame.index in self.at else []
        seen = Detections.of(frame.stream, frame.capture_ns, box_px=boxes, score=[0.9] * len(boxes))
        return replace(seen, left_aside=self.left_aside)


def ran(out, detector):
    """A picture a minute, for more than an hour."""
    plain = yard(tick_s=10.0)
    plain["cameras"]["east"]["contract"] |= {"rate_hz": 1 / EVERY_S, "max_age_s": 60.0}
    plain["machines"] = {}
    looking = by_camera(east=Lookers(primary=detector, fallback=None, budget_s=30.0))
    east = camera(seconds=PICTURES * EVERY_S, rate_hz=1 / EVERY_S)
    return run_yard(plan_of(plain), out, east, looking=looking)


def told(out):
    found = RunDirectory.open(out).decisions()
    return [
        (str(d.transition), d.reasons[0].code) for d in found if d.kind == "detector_finds_nothing"
    ]


@pytest.mark.parametrize(
    ("detector", "code", "words"),
    [(Seeing(), "FINDS_NOTHING", NOTHING), (Seeing(thrown_away=2), "ALL_LEFT_ASIDE", THROWN_AWAY)],
)  # fmt: skip
def test_nothing_for_an_hour_is_a_decision_and_on_the_console_and_in_the_report(
    tmp_path, detector, code, words
):
    report = ran(tmp_path / "run", detector)
    assert told(tmp_path / "run") == [("raised", code)]
    assert words in report.advice["east"]
    run = RunDirectory.open(tmp_path / "run")
    assert any(words in line for line in report_lines(account_of_run(run)))
    assert replay_run(run)


def test_it_is_over_when_something_is_found(tmp_path):
    report = ran(tmp_path / "run", Seeing(at=(70,)))
    assert told(tmp_path / "run") == [("raised", "FINDS_NOTHING"), ("cleared", "FINDS_NOTHING")]
    assert "east" not in report.advice


def test_who_finds_something_now_and_then_is_told_nothing(tmp_path):
    report = ran(tmp_path / "run", Seeing(at=range(0, PICTURES, 30)))
    assert told(tmp_path / "run") == []
    assert report.advice == {}

"""What a detector advises about its settings is told when the run ends, and is part of its log."""

from dataclasses import replace

from sightline.records import Detections
from sightline.runtime.engine.guard import decode_answer, encode_answer
from sightline.runtime.engine.guarding import Lookers
from simulation.site_cases import by_camera, camera, plan_of, run_yard, yard

TEXT = "person_px: [20, 90] is how tall people appear, not [60, 60]"


class Advising:
    """Sees nobody, and says once what would fit."""

    version = "advising@1"
    class_names = ("person",)

    def look(self, frames):
        return [
            replace(
                Detections.of(f.stream, f.capture_ns, box_px=[], score=[]),
                advice=TEXT if f.index == 3 else "",
            )
            for f in frames
        ]


def test_the_report_of_a_run_has_what_its_detector_advised(tmp_path):
    looking = by_camera(east=Lookers(primary=Advising(), fallback=None, budget_s=30.0))
    report = run_yard(plan_of(yard()), tmp_path / "run", camera(seconds=2.0), looking=looking)
    assert report.advice == {"east": TEXT}


def test_advice_is_in_the_log_as_it_was_said():
    said = replace(Detections.of("east", 5, box_px=[[0, 0, 9, 9]], score=[0.5]), advice=TEXT)
    found = decode_answer(*encode_answer(said))
    assert isinstance(found, Detections)
    assert found.advice == TEXT

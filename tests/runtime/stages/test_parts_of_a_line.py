"""Parts of a simulated line: each is decided once, whatever is lost, late or doubled on its way."""

import pytest

from sightline.act import Ledger
from sightline.errors import PipelineError
from sightline.records.decision import Mode
from sightline.records.part import Disposition, PartReview, parts_digest
from sightline.runtime import RunDirectory, replay_run
from simulation.line_world import codes, line_engine, line_plan, records, run_line, run_line_into
from simulation.schedules import EngineFaults


def serials(found):
    return [record.serial for record in found]


def kinds(result):
    return {decision.kind for decision in result.decisions}


def test_every_part_is_decided_once_and_has_all_its_pictures():
    result, scene = run_line(parts=12)
    found = records(result)
    assert serials(found) == scene.truth["serial"].to_list()
    assert all(len(record.pictures) == 3 for record in found)
    assert {record.disposition for record in found} == {Disposition.ACCEPT}
    assert {record.mode for record in found} == {Mode.PRIMARY}


def test_the_parts_with_a_defect_are_scrapped_and_no_others():
    result, scene = run_line(parts=24, seed=3, defects=0.2)
    holed = scene.truth.filter(scene.truth["defect_at"] != "")["serial"].to_list()
    scrapped = [r.serial for r in records(result) if r.disposition is Disposition.SCRAP]
    assert scrapped == holed
    assert len(holed) >= 3
    assert "part_scrap" in kinds(result)


def test_a_record_says_what_was_seen_and_measured_and_by_which_versions():
    record = records(run_line(parts=3)[0])[0]
    assert [one.station for one in record.pictures] == ["see_top", "see_side", "see_end"]
    assert all(len(one.digest) == 32 for one in record.pictures)
    assert [one.name for one in record.process] == ["temperature", "current"]
    assert 190 < record.process[0].value < 230
    assert (record.part_number, record.recipe) == ("P-100", "R1")
    assert set(record.versions) == {"see_top", "see_side", "see_end", "parts"}


def test_a_missing_picture_sends_its_part_to_review_at_the_gate():
    result, scene = run_line(parts=16, seed=1, lost_pictures=0.3)
    lost = scene.truth.filter(scene.truth["lost_picture"] != "")["serial"].to_list()
    found = {r.serial: r for r in records(result)}
    assert len(found) == 16
    assert lost
    for serial, record in found.items():
        is_missing = serial in lost
        assert ("MISSING_PICTURE" in codes(record)) == is_missing
        assert (record.disposition is Disposition.REVIEW) == is_missing
        assert (record.mode is Mode.FALLBACK) == is_missing


def test_a_picture_that_nobody_looked_at_in_time_is_no_reason_to_accept():
    result, _ = run_line(parts=10, fault_share=0.3)
    unseen = [r for r in records(result) if any(p.code == "UNSEEN" for p in r.pictures)]
    assert unseen
    assert all(r.disposition is Disposition.REVIEW for r in unseen)
    assert all("PICTURE_NOT_SEEN" in codes(r) for r in unseen)


def test_late_pictures_are_waited_for():
    result, _ = run_line(parts=10, late_pictures=1.0, late_s=0.4)
    assert {r.disposition for r in records(result)} == {Disposition.ACCEPT}


def test_a_doubled_trigger_is_one_part():
    result, scene = run_line(parts=10, doubled_triggers=1.0)
    assert serials(records(result)) == scene.truth["serial"].to_list()


def test_a_part_whose_trigger_was_lost_leaves_pictures_without_a_part_which_is_said():
    result, scene = run_line(parts=12, seed=2, lost_triggers=0.2)
    seen = scene.truth.filter(~scene.truth["lost_triggers"])["serial"].to_list()
    assert serials(records(result)) == seen
    assert len(seen) < 12
    assert "picture_without_part" in kinds(result)


def test_an_unread_serial_number_sends_a_part_to_review():
    found = records(run_line(parts=6, unread_serials=1.0)[0])
    assert {r.disposition for r in found} == {Disposition.REVIEW}
    assert all("NO_SERIAL" in codes(r) for r in found)
    assert len({r.part_id for r in found}) == 6


def test_a_serial_number_that_comes_again_sends_the_second_part_to_review():
    result, scene = run_line(parts=12, seed=5, repeated_serials=0.3)
    again = scene.truth["repeated_serials"].to_list()
    assert any(again)
    found = records(result)
    assert [("DUPLICATE_SERIAL" in codes(r)) for r in found] == again


def test_two_parts_in_one_picture_both_go_to_review():
    result, scene = run_line(parts=12, seed=4, close_parts=0.2)
    close = scene.truth["close_parts"].to_list()
    both = [a or b for a, b in zip(close, [*close[1:], False], strict=True)]
    assert any(both)
    found = records(result)
    assert [("TWO_PARTS_IN_PICTURE" in codes(r)) for r in found] == both
    assert [r.disposition is Disposition.REVIEW for r in found] == both


def test_a_belt_that_stops_changes_no_part():
    whole, stopped = (
        records(run_line(parts=10, stops_s=stops)[0]) for stops in ((), ((2.0, 6.0),))
    )
    assert [(r.serial, r.disposition, len(r.pictures)) for r in stopped] == [
        (r.serial, r.disposition, len(r.pictures)) for r in whole
    ]
    assert stopped[-1].decided_ns > whole[-1].decided_ns + 3_000_000_000


def test_a_belt_that_stands_longer_than_the_deadline_sends_what_is_on_it_to_review():
    found = records(run_line(parts=8, stops_s=((2.0, 50.0),))[0])
    assert len(found) == 8
    assert "MISSING_PICTURE" in codes(found[4])
    assert found[4].disposition is Disposition.REVIEW
    assert found[4].decided_ns - found[4].born_ns <= 30_200_000_000


def test_a_belt_that_reverses_gives_no_part_twice():
    result, scene = run_line(parts=10, reverses_s=((2.0, 4.0),))
    found = records(result)
    assert serials(found) == scene.truth["serial"].to_list()
    assert all(len(r.pictures) == 3 for r in found)
    assert {r.disposition for r in found} == {Disposition.ACCEPT}


def test_a_silent_sensor_means_degraded_parts_with_a_stricter_threshold():
    result, _ = run_line(parts=12, welder_gone_s=((2.0, 99.0),))
    found = records(result)
    missing = [r for r in found if "SENSOR_MISSING" in codes(r)]
    assert 0 < len(missing) < 12
    assert {r.mode for r in missing} == {Mode.DEGRADED}
    accepted = next(x for x in missing[0].reasons if x.code == "ACCEPTED")
    assert accepted.threshold == pytest.approx(4.0 - 1.0)


def test_a_late_sensor_is_waited_for_until_the_gate():
    found = records(run_line(parts=10, late_rows_s=((0.0, 99.0),), late_s=0.4)[0])
    assert {r.mode for r in found} == {Mode.PRIMARY}


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        ({"encoder_gone_s": ((2.0, 2.7),)}, "an encoder that is silent for less than silent_s"),
        ({"welder_gone_s": ((1.0, 3.2),), "settings": {"gate_m": 4.0}}, "a sensor that comes back"),
        ({"late_rows_s": ((1.0, 9.0),), "late_s": 1.7}, "a sensor that is late"),
    ],
)
def test_a_part_is_decided_inside_the_takt_or_says_that_it_was_not(faults, cause):
    found = records(run_line(parts=16, **faults)[0])
    late = []
    for record in found:
        waited_s = (record.decided_ns - record.last_picture_ns) / 1e9  # none is received late here
        assert ("OVER_TAKT" in codes(record)) == (waited_s > 0.25), cause
        late += [record] if waited_s > 0.25 else []
    assert 0 < len(late) < 16
    assert {record.mode for record in late} == {Mode.DEGRADED}


def test_a_takt_that_no_part_could_keep_is_refused():
    with pytest.raises(PipelineError, match="takt_s of late_s and a tick at least"):
        line_plan(late_s=0.2)


def test_a_cold_oven_sends_parts_to_rework():
    found = records(run_line(parts=10, cold_s=((1.5, 2.5),))[0])
    reworked = [r for r in found if r.disposition is Disposition.REWORK]
    assert 0 < len(reworked) < 10
    assert reworked[0].reasons[0].code == "PROCESS_OUT_OF_RANGE"


def test_a_silent_encoder_is_made_good_by_the_usual_speed_and_said():
    result, scene = run_line(parts=16, encoder_gone_s=((2.0, 5.0),))
    found = records(result)
    assert serials(found) == scene.truth["serial"].to_list()
    guessed = [r for r in found if "ENCODER_SILENT" in codes(r)]
    assert guessed
    assert {r.mode for r in guessed} <= {Mode.DEGRADED, Mode.FALLBACK}


def test_a_controller_that_waits_for_each_part_is_told_of_accepted_ones_too():
    result, _ = run_line(parts=4, settings={"tells": "all"})
    told = [d for d in result.decisions if d.kind == "part_accept"]
    assert [d.subject for d in told] == [r.part_id for r in records(result)]


def test_too_many_rejects_hold_the_line():
    result, _ = run_line(parts=16, defects=1.0)
    held = [d for d in result.decisions if d.kind == "line_held"]
    assert [str(d.transition) for d in held] == ["raised"]
    found = records(result)
    assert [r.is_held for r in found] == sorted(r.is_held for r in found)
    assert sum(not r.is_held for r in found) >= 6


def test_a_score_that_has_drifted_holds_the_line():
    drift = {"drift_column": "scores.score.mean", "drift_key": "top", "drift_above": 1.0}
    hold = {"rejects": 99, "of": 100, **drift}
    given = {"parts": 10, "seed": 2, "stops_s": ((2.0, 31.0),), "settings": {"hold": hold}}
    whole, drifted = (run_line(**given, defects=share)[0] for share in (0.0, 1.0))
    assert "line_held" not in kinds(whole)
    (held,) = (d for d in drifted.decisions if d.kind == "line_held")
    assert held.reasons[0].measure == "scores.score.mean"


def at_tick(number, control):
    """Operator inputs of a run that goes on: one, at one of its ticks."""
    ticks = iter(range(10_000))
    return lambda: [control] if next(ticks) == number else []


def test_a_line_that_was_released_is_held_no_longer(tmp_path):
    release = {"control": "release_line", "reviewer": "Ana"}
    run_line_into(tmp_path / "run", parts=16, defects=1.0, controls=at_tick(45, release))
    run = RunDirectory.open(tmp_path / "run")
    held = [str(d.transition) for d in run.decisions() if d.kind == "line_held"]
    assert held == ["raised", "cleared", "raised"]
    assert replay_run(run)


def test_a_review_while_the_run_goes_on_is_in_its_log_and_ledger(tmp_path):
    said = {"control": "review_part", "part_id": "line-1/00000001", "verdict": "good",
            "reviewer": "Ana", "given_ns": 5}  # fmt: skip
    run_line_into(tmp_path / "run", parts=6, controls=at_tick(40, said))
    run = RunDirectory.open(tmp_path / "run")
    (review,) = (note for note in run.parts() if isinstance(note, PartReview))
    assert (review.part_id, review.verdict) == ("line-1/00000001", "good")
    with Ledger.open(run.ledger_url, create=False) as ledger:
        assert ledger.parts() == run.parts()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_line_that_lost_power_comes_to_the_same_parts(seed):
    given = {"parts": 14, "seed": seed, "defects": 0.2, "lost_pictures": 0.1, "fault_share": 0.1,
             "repeated_serials": 0.1, "doubled_triggers": 0.2}  # fmt: skip
    engine, _ = line_engine(**given)
    whole = engine.run_through()
    faulty = engine.run_through(EngineFaults(seed=seed, crashes=(0.3, 0.7)), like=whole)
    assert faulty.lives == 3
    assert parts_digest(faulty.run.parts()) == parts_digest(whole.run.parts())
    assert faulty.digest == whole.digest
    verdict = faulty.replay(engine.sources)
    assert verdict, str(verdict.difference)

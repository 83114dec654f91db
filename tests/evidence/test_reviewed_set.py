"""Reviews of a run become entries of its log, and a data set that training reads."""

import hashlib
import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.errors import UsageError
from sightline.evidence.part_pixels import PartPixels
from sightline.evidence.parts_account import known_parts
from sightline.evidence.reviewed_set import mask_facts, store_mask, write_reviewed
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.reviewing import ReviewTaker
from sightline.runtime.verification import verify_run
from sightline.sense.frames.part_pictures import find_part_pictures
from simulation.line_world import run_line_into


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of which two parts were reviewed, one of them twice."""
    out = tmp_path_factory.mktemp("line") / "run"
    run_line_into(out, parts=5, seed=3, defects=0.5)
    opened = RunDirectory.open(out)
    first, second = (p.record for p in known_parts(opened.parts())[:2])
    mask = np.zeros((64, 80), np.uint8)
    mask[10:20, 5:35] = 255
    painted = {"mask_sha256": store_mask(opened, mask), **mask_facts(mask)}
    with ReviewTaker(lambda: RunDirectory.open(out)) as taker:
        for given in (
            {"part_id": first.part_id, "verdict": "good"},
            {"part_id": second.part_id, "verdict": "good"},
            {"part_id": second.part_id, "verdict": "defect", "station": "see_side", **painted},
        ):
            said = {"control": "review_part", "reviewer": "Ana", "given_ns": 5, **given}
            taker.give(said)
    return out


def command(*arguments):
    done = CliRunner().invoke(app_for(arguments), arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_a_review_of_a_run_that_has_ended_is_in_log_and_ledger_and_replays(run):
    opened = RunDirectory.open(run)
    verdict = verify_run(opened)
    assert verdict, verdict.problems
    assert replay_run(opened)
    assert [p.verdict for p in known_parts(opened.parts())[:3]] == ["good", "defect", ""]


def test_both_opinions_stay_and_the_newest_counts(run):
    second = known_parts(RunDirectory.open(run).parts())[1]
    assert [review.verdict for review in second.reviews] == ["good", "defect"]


def test_the_set_is_what_training_reads(run, tmp_path):
    out = tmp_path / "set"
    said = json.loads(command("review", str(run), "--export", str(out), "--json"))["set"]
    assert (said["good"], said["defect"], said["masks"]) == (3, 1, 1)
    found = find_part_pictures(out)
    assert sorted(one.is_good for one in found) == [False, True, True, True]
    (bad,) = (one for one in found if not one.is_good)
    assert cv2.imread(str(bad.mask), cv2.IMREAD_UNCHANGED).sum() == 10 * 30 * 255


def test_the_manifest_names_each_file_by_its_digest_and_is_the_version(run, tmp_path):
    out = tmp_path / "set"
    said = json.loads(command("review", str(run), "--export", str(out), "--json"))["set"]
    text = (out / "manifest.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() == said["version"]
    for name, one in json.loads(text)["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == one["sha256"]
    again = command("review", str(run), "--export", str(tmp_path / "again"), "--json")
    assert json.loads(again)["set"]["version"] == said["version"]


def test_a_set_is_never_written_over_another(run, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x").touch()
    with pytest.raises(UsageError, match="a new or an empty folder"):
        command("review", str(run), "--export", str(tmp_path / "set"))


def test_a_mask_that_was_changed_is_refused(run, tmp_path):
    opened = RunDirectory.open(run)
    parts = known_parts(opened.parts())
    (mask,) = (run / "reviews").glob("*.png")
    whole = mask.read_bytes()
    mask.write_bytes(whole + b"x")
    try:
        pixels = PartPixels(opened)
        pixels.read_on()
        with pytest.raises(UsageError, match="the mask with SHA-256"):
            write_reviewed(opened, parts, pixels.pixels, tmp_path / "set")
    finally:
        mask.write_bytes(whole)


def test_a_review_of_nothing_is_refused_before_the_run_is_opened(run):
    before = (run / "run.json").read_bytes()
    with (
        ReviewTaker(lambda: RunDirectory.open(run)) as taker,
        pytest.raises(UsageError, match="operator input"),
    ):
        taker.give({"control": "review_part", "verdict": "perhaps"})
    assert (run / "run.json").read_bytes() == before


def test_a_part_is_found_by_its_serial_number_with_who_reviewed_it(run):
    said = command("parts", str(run), "S000002")
    assert "reviewed" in said
    assert "defect" in said
    assert "by Ana" in said
    (one,) = json.loads(command("parts", str(run), "S000002", "--json"))
    assert [r["reviewer"] for r in one["reviews"]] == ["Ana", "Ana"]


def test_an_unknown_serial_number_is_an_error_that_names_others(run):
    with pytest.raises(UsageError, match="S000001"):
        command("parts", str(run), "S0009")


def test_the_table_of_parts_has_scores_and_process_values(run, tmp_path):
    out = tmp_path / "parts.csv"
    command("parts", str(run), "-o", str(out))
    head, *rows = out.read_text().splitlines()
    assert "see_top.score" in head
    assert "temperature" in head
    assert len(rows) == 5

"""What people say of a run becomes a model that decides the disputed parts the other way."""

import json

import numpy as np
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.evidence.part_pixels import PartPixels
from sightline.evidence.parts_account import known_parts
from sightline.evidence.reviewed_set import mask_facts, store_mask
from sightline.perceive.inspection.inspector_model import load_inspector
from sightline.records.part import Disposition
from sightline.records.readings import Readings
from sightline.runtime import RunDirectory
from sightline.runtime.reviewing import ReviewTaker
from simulation.line_world import darkness, run_line_into


def command(*arguments):
    done = CliRunner().invoke(app_for(arguments), arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return json.loads(done.stdout)


def blind(stage, frame):
    """An inspector that sees no defect in anything."""
    seen = darkness(stage, frame)
    values = {**seen.values, "score": 0.0}
    return Readings(stream=seen.stream, capture_ns=seen.capture_ns, values=values)


def test_a_part_that_was_accepted_and_painted_is_rejected_by_what_is_learnt_from_it(tmp_path):
    run_line_into(tmp_path / "run", parts=36, seed=3, defects=0.3, sees=blind)
    run = RunDirectory.open(tmp_path / "run")
    pixels = PartPixels(run)
    pixels.read_on()
    said, disputed, good = [], [], []
    for record in (one.record for one in known_parts(run.parts())):
        assert record.disposition is Disposition.ACCEPT
        seen = {one.station: pixels.pixels(one) for one in record.pictures}
        masks = {
            n: ((p < 75) * 255).astype(np.uint8) for n, p in seen.items() if (p < 75).sum() > 50
        }
        review = {"control": "review_part", "part_id": record.part_id, "reviewer": "Ana",
                  "given_ns": 5, "verdict": "defect" if masks else "good"}  # fmt: skip
        for station, mask in masks.items():
            review |= {"station": station, "mask_sha256": store_mask(run, mask), **mask_facts(mask)}
            disputed.append(seen[station])
        good += [] if masks else [next(iter(seen.values()))]
        said.append(review)
    with ReviewTaker(lambda: RunDirectory.open(tmp_path / "run")) as taker:
        for review in said:
            taker.give(review)
    exported = command("review", str(run.path), "--export", str(tmp_path / "set"), "--json")["set"]
    assert exported["defect"] == len(disputed) >= 5
    card = command(
        "train", "inspection", str(tmp_path / "set"), "-o", str(tmp_path / "model"), "--labels",
        "masks", "--backbone", "handcrafted", "--drawn", "1", "--json",
    )  # fmt: skip
    assert card["data"]["bad_without_mask"] == 0
    model = load_inspector(tmp_path / "model", digest=card["digest"])
    decided = [model.inspector.disposition(model.inspect(one).score) for one in disputed]
    assert set(decided) == {"reject"}
    assert model.inspector.disposition(model.inspect(good[0]).score) == "accept"

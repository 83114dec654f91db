"""Which parts are looked at first, and what the audit's answers say of the accepted ones."""

import math

import numpy as np
import pytest

from sightline.evidence.bounds import binomial_upper
from sightline.evidence.parts_account import KnownPart, fitted_odds, hits_and_misses
from sightline.evidence.review_queue import audit_sample, miss_bound, review_queue
from sightline.records.decision import Mode, Reason
from sightline.records.part import Disposition, PartPicture, PartRecord, PartReview

REASON = Reason(code="X", measure="m", value=0.0, threshold=0.0, unit="1", version="1")


def known(number, *, score=0.0, novelty=1.0, likeness=1.0, where=Disposition.ACCEPT, verdict=""):
    part_id = f"line/{number:04d}"
    picture = PartPicture(
        station="top", camera="top", index=number, digest="", capture_ns=number, code="",
        score=score, reject_from=10.0, review_from=9.0, box_px=(0.0,) * 4, novelty=novelty,
        likeness=likeness,
    )  # fmt: skip
    record = PartRecord(
        part_id=part_id, serial="", part_number="", recipe="", born_ns=0, decided_ns=0,
        disposition=where, mode=Mode.PRIMARY, is_held=False, reasons=(REASON,), pictures=(picture,),
        process=(), probability=math.nan, costs={}, pipeline="p", versions={},
    )  # fmt: skip
    return KnownPart(record=record, reviews=(review(part_id, verdict),) if verdict else ())


def review(part_id, verdict):
    return PartReview(
        part_id=part_id, verdict=verdict, kind="", station="", box_px=(0.0,) * 4, size_px=0.0,
        mask_sha256="", reviewer="Ana", given_ns=0, review_id="",
    )  # fmt: skip


def reasons(parts):
    return {int(q.part.record.part_id[5:]): q.reason for q in review_queue(parts, "run")}


def order(parts):
    found = review_queue(parts, "run")
    return [int(q.part.record.part_id[5:]) for q in found if q.reason != "audit"]


def test_what_the_line_could_not_decide_comes_first_and_then_what_is_nearest_to_the_threshold():
    parts = [known(1, score=2.0), known(2, score=9.5), known(3, score=11.0),
             known(4, where=Disposition.REVIEW)]  # fmt: skip
    assert order(parts) == [4, 2, 3]


def test_a_part_of_which_two_opinions_disagree_is_looked_at():
    parts = [known(1), known(2, novelty=8.0, likeness=-3.0), known(3, novelty=-3.0, likeness=8.0)]
    found = reasons(parts)
    assert found[2] == found[3] == "disagreement"
    assert found[1] == "audit"


def test_a_part_that_is_unlike_good_parts_as_few_are_is_looked_at():
    parts = [known(i, novelty=1.0 + i / 1000) for i in range(200)]
    parts.append(known(200, novelty=9.0))
    assert order(parts) == [200]
    assert reasons(parts)[200] == "novelty"


def test_every_fourth_part_is_of_the_audit():
    parts = [known(i, score=9.9) for i in range(12)] + [known(i) for i in range(12, 60)]
    kinds = [q.reason == "audit" for q in review_queue(parts, "run")]
    assert kinds[:8] == [False, False, False, True] * 2


def test_nobody_can_choose_what_is_audited():
    parts = [known(i) for i in range(300)]
    sample = [p.record.part_id for p in audit_sample(parts, "run")]
    assert sample == [p.record.part_id for p in audit_sample(parts[::-1], "run")]
    assert sample != [p.record.part_id for p in audit_sample(parts, "another run")]
    assert len(sample) == 100


def test_the_bound_on_misses_is_exact_and_of_the_answers_in_the_order_of_the_sample():
    parts = [known(i) for i in range(300)]
    sample = [p.record.part_id for p in audit_sample(parts, "run")]
    verdicts = dict.fromkeys(sample[:40], "good") | {sample[3]: "defect"} | {sample[60]: "defect"}
    answered = [known(i, verdict=verdicts.get(f"line/{i:04d}", "")) for i in range(300)]
    found = miss_bound(answered, "run")
    assert (found.audited, found.defects) == (40, 1)
    assert found.rate_bound == pytest.approx(binomial_upper(1, 40, confidence=0.95))
    assert found.missed_bound == math.ceil(found.rate_bound * 300)


def test_without_an_answer_nothing_is_known_of_misses():
    assert miss_bound([known(i) for i in range(10)], "run").rate_bound == 1.0


def test_a_reviewed_part_does_not_come_again():
    assert order([known(1, score=9.9, verdict="good"), known(2, score=9.9)]) == [2]


def test_painted_defects_are_hits_and_misses_and_good_parts_are_places_without_a_flaw():
    painted = [
        known(1, verdict="defect"),
        known(2, verdict="defect", where=Disposition.SCRAP),
        known(3, verdict="good", where=Disposition.SCRAP),
        known(4, verdict="defect"),
        known(5),
    ]
    for part, size_px in zip(painted[:2], (4.0, 9.0), strict=True):
        object.__setattr__(part.reviews[0], "size_px", size_px)
    sizes, called = hits_and_misses(painted)
    assert (sizes.tolist(), called.tolist()) == ([4.0, 9.0, 0.0], [0.0, 1.0, 1.0])


def test_odds_are_fitted_from_reviews_and_give_back_those_they_were_drawn_from():
    random = np.random.default_rng(0)
    scores = random.uniform(0, 12, 4000)
    chance = 1 / (1 + np.exp(-(0.8 * scores - 5.0)))
    parts = [
        known(i, score=float(s), verdict="defect" if d else "good")
        for i, (s, d) in enumerate(zip(scores, random.random(4000) < chance, strict=True))
    ]
    odds = fitted_odds(parts)
    assert odds.slope == pytest.approx(0.8, rel=0.1)
    assert odds.offset == pytest.approx(-5.0, rel=0.1)


def test_too_few_reviews_give_no_odds():
    assert fitted_odds([known(i, verdict="good") for i in range(50)]) is None


def test_parts_that_no_score_tells_apart_wrongly_give_finite_odds():
    parts = [known(i, score=float(i), verdict="defect" if i >= 15 else "good") for i in range(30)]
    odds = fitted_odds(parts)
    assert math.isfinite(odds.slope)
    assert odds.probability(0.0) < 0.05
    assert odds.probability(29.0) > 0.95

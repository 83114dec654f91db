"""Detectors with a deadline: someone answers by then, and the outcome says who."""

import threading
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import LogError, UsageError
from sightline.limits import Limits
from sightline.records import Detections, Entry, EntryKind, Frame
from sightline.records.decision import Mode
from sightline.runtime.engine.guard import FrameRequest, Outcome, OutcomeStatus
from sightline.runtime.engine.guarding import Guard, Lookers
from sightline.runtime.engine.headers import FrameHeader, HealthSign
from simulation.site_cases import plan_of, yard

BUDGET_S = 0.2


class Seeing:
    """A detector that sees one thing, with this score."""

    def __init__(self, score):
        self.score = score
        self.asked = 0

    def look(self, frames):
        self.asked += 1
        return [
            Detections.of(f.stream, f.capture_ns, box_px=[[1, 2, 3, 4]], score=[self.score])
            for f in frames
        ]


class Broken:
    def look(self, frames):
        raise RuntimeError("no such layer")


class Hanging:
    """Answers only when it is let go."""

    def __init__(self):
        self.go = threading.Event()
        self.asked = 0

    def look(self, frames):
        self.asked += 1
        self.go.wait(30)
        return Seeing(0.9).look(frames)


def frame(index=0, stream="yard"):
    return Frame(
        stream=stream,
        index=index,
        capture_ns=index * 10**8,
        received_ns=index * 10**8,
        pixels=np.zeros((4, 4, 3), np.uint8),
    )


def ask(detection, index=0, *, ask_primary=True):
    request = FrameRequest(
        request_id=f"people:yard:{index}", stage="people", camera="yard", ask_primary=ask_primary
    )
    detection.hold(frame(index))
    return detection.run([request])[0]


def deadline(primary, fallback=None, cameras=("yard",)):
    one = Lookers(primary=primary, fallback=fallback, budget_s=BUDGET_S)
    looking = {("people", camera): one for camera in cameras}
    return Guard(plan_of(yard()), looking, monotonic_s=time.monotonic)


def test_a_detector_in_time_answers_itself():
    outcome = ask(deadline(Seeing(0.9), Seeing(0.1)))
    assert (outcome.status, outcome.mode) == (OutcomeStatus.OK, Mode.PRIMARY)
    assert outcome.answer.score.tolist() == [0.9]


@pytest.mark.parametrize(
    ("primary", "status"),
    [
        (Broken(), OutcomeStatus.CRASH),
        (Hanging(), OutcomeStatus.TIMEOUT),
        (Seeing(float("nan")), OutcomeStatus.NAN),
    ],
    ids=["crash", "timeout", "nan"],
)
def test_the_fallback_answers_for_a_detector_that_does_not(primary, status):
    outcome = ask(deadline(primary, Seeing(0.1)))
    assert (outcome.status, outcome.mode) == (status, Mode.FALLBACK)
    assert outcome.answer.score.tolist() == [0.1]


@dataclass(frozen=True)
class Boxes:
    """A detector that gives this box, of this class."""

    box_px: tuple[float, float, float, float]
    class_id: int = 0

    def look(self, frames):
        return [
            Detections.of(
                f.stream, f.capture_ns, box_px=[self.box_px], score=[0.9], class_id=[self.class_id]
            )
            for f in frames
        ]


@pytest.mark.parametrize(
    "primary",
    [Boxes((3, 2, 1, 4)), Boxes((1, 4, 3, 2)), Boxes((40, 40, 60, 60)), Boxes((1, 2, 3, 4), 7)],
    ids=["right before left", "upside down", "outside the picture", "a class without a name"],
)
def test_boxes_that_cannot_be_are_no_answer(primary):
    assert ask(deadline(primary, Seeing(0.1))).status is OutcomeStatus.NAN


def test_a_box_that_reaches_beyond_the_picture_ends_at_its_edge():
    outcome = ask(deadline(Boxes((1, -1e300, 3, 1e300))))
    assert outcome.answer.box_px.tolist() == [[1, 0, 3, 4]]


@pytest.mark.parametrize("fallback", [None, Broken(), Seeing(float("inf"))])
def test_without_a_usable_fallback_nobody_answers_and_the_outcome_says_so(fallback):
    outcome = ask(deadline(Broken(), fallback))
    assert (outcome.mode, outcome.answer) == (Mode.FALLBACK, None)


def test_a_detector_that_hangs_is_not_asked_again_until_it_is_back():
    primary = Hanging()
    detection = deadline(primary, Seeing(0.1))
    assert ask(detection, 0).status is OutcomeStatus.TIMEOUT
    assert ask(detection, 1).detail == "still busy with an earlier frame"
    assert primary.asked == 1
    primary.go.set()
    for index in range(2, 50):
        outcome = ask(detection, index)
        if outcome.status is OutcomeStatus.OK:
            break
        time.sleep(0.01)
    assert outcome.mode is Mode.PRIMARY
    assert outcome.answer.capture_ns == frame(index).capture_ns


def test_behind_an_open_breaker_only_the_fallback_is_asked():
    primary = Seeing(0.9)
    outcome = ask(deadline(primary, Seeing(0.1)), ask_primary=False)
    assert (outcome.status, primary.asked) == (OutcomeStatus.SKIPPED, 0)


class Reading:
    """Finds these numbers in each frame."""

    def __init__(self, **values):
        self.values = values

    def look(self, frames):
        return [self.values for _ in frames]


def reader(primary, *finds, fallback=None):
    one = Lookers(primary=primary, fallback=fallback, budget_s=BUDGET_S, finds=finds)
    return Guard(plan_of(yard()), {("people", "yard"): one}, monotonic_s=time.monotonic)


def test_a_mapping_is_no_answer_of_a_detector():
    assert ask(deadline(Reading(level=1.0))).status is OutcomeStatus.NAN


def test_the_fallback_answers_for_a_detector_that_gives_a_mapping():
    outcome = ask(deadline(Reading(level=1.0), Seeing(0.1)))
    assert outcome.mode is Mode.FALLBACK
    assert outcome.answer.score.tolist() == [0.1]


def test_readings_with_their_names_are_the_answer():
    outcome = ask(reader(Reading(level=1.0, depth=2.0), "level"))
    assert (outcome.status, outcome.mode) == (OutcomeStatus.OK, Mode.PRIMARY)
    assert dict(outcome.answer.values) == {"level": 1.0, "depth": 2.0}


def test_readings_that_lack_a_name_are_none():
    outcome = ask(reader(Reading(depth=2.0), "level", "depth"))
    assert (outcome.status, outcome.answer) == (OutcomeStatus.NAN, None)
    assert "readings without level" in outcome.detail


def test_detections_are_no_readings():
    assert ask(reader(Seeing(0.9), "level")).status is OutcomeStatus.NAN


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "high", None])
def test_readings_that_are_no_finite_numbers_are_none(value):
    assert ask(reader(Reading(level=value), "level")).status is OutcomeStatus.NAN


def test_an_answer_about_another_frame_is_none():
    class Stale:
        def look(self, frames):
            return Seeing(0.9).look([frame(7)])

    assert ask(deadline(Stale(), Seeing(0.1))).status is OutcomeStatus.NAN


def test_cameras_that_share_a_detector_share_a_batch_and_the_outcomes_say_which():
    primary = Seeing(0.9)
    guard = deadline(primary, cameras=("east", "west"))
    requests = []
    for stream in ("east", "west"):
        guard.hold(frame(3, stream))
        requests.append(
            FrameRequest(
                request_id=f"people:{stream}:3", stage="people", camera=stream, ask_primary=True
            )
        )
    outcomes = guard.run(requests)
    assert primary.asked == 1
    assert [o.batch for o in outcomes] == [("people:east:3", "people:west:3")] * 2
    assert [o.answer.stream for o in outcomes] == ["east", "west"]


def test_a_frame_that_is_not_held_cannot_be_asked_about():
    request = FrameRequest(
        request_id="people:yard:0", stage="people", camera="yard", ask_primary=True
    )
    with pytest.raises(UsageError, match="to be held"):
        deadline(Seeing(0.9)).run([request])


def test_a_fallback_that_hangs_is_no_answer():
    outcome = ask(deadline(Broken(), Hanging()))
    assert (outcome.mode, outcome.answer) == (Mode.FALLBACK, None)


@given(
    boxes=st.lists(st.tuples(*[st.floats(0, 1e4)] * 4, st.floats(0, 1)), max_size=5),
    is_answered=st.booleans(),
)
def test_an_outcome_survives_the_log(boxes, is_answered):
    found = Detections.of(
        "yard", 5, box_px=[b[:4] for b in boxes], score=[b[4] for b in boxes], class_names=("a",)
    )
    outcome = Outcome(
        request_id="people:yard:0",
        stage="people",
        status=OutcomeStatus.TIMEOUT,
        mode=Mode.FALLBACK,
        answer=found if is_answered else None,
        detail="0.2 s",
        batch=("people:yard:0", "people:gate:3"),
    )
    again = Outcome.from_bytes(outcome.to_bytes())
    assert again.to_bytes() == outcome.to_bytes()
    assert (again.answer is None) == (not is_answered)
    assert again.batch == outcome.batch


@given(
    boxes=st.lists(st.tuples(*[st.floats(0, 1e4)] * 4, st.floats(0, 1)), max_size=3),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_an_outcome_that_was_just_encoded_is_read_as_the_log_reads_it(boxes, dtype):
    found = Detections(
        stream="yard",
        capture_ns=5,
        box_px=np.asfortranarray(np.array([b[:4] for b in boxes], dtype).reshape(-1, 4)),
        score=np.array([b[4] for b in boxes], dtype),
        class_id=np.zeros(len(boxes), np.int32),
    )
    outcome = Outcome(
        request_id="people:yard:0", stage="people", status=OutcomeStatus.OK, mode=Mode.PRIMARY,
        answer=found, batch=("people:yard:0",),
    )  # fmt: skip
    logged = Entry(
        sequence=0, kind=EntryKind.OUTCOME, name="people", time_ns=0, payload=outcome.to_bytes()
    )
    fresh, read = (Outcome.of(entry) for entry in (replace(logged, decoded=outcome), logged))
    assert fresh.to_bytes() == read.to_bytes()
    for name in ("box_px", "score", "class_id"):
        ours, theirs = getattr(fresh.answer, name), getattr(read.answer, name)
        assert (ours.dtype, ours.flags.c_contiguous) == (theirs.dtype, theirs.flags.c_contiguous)
        assert ours.tobytes() == theirs.tobytes()


def test_a_detector_that_goes_on_writing_changes_nothing_that_was_read():
    boxes = np.array([[1.0, 2.0, 3.0, 4.0]])
    outcome = Outcome(
        request_id="people:yard:0", stage="people", status=OutcomeStatus.OK, mode=Mode.PRIMARY,
        answer=Detections.of("yard", 5, box_px=boxes, score=[0.5]), batch=("people:yard:0",),
    )  # fmt: skip
    entry = Entry(
        sequence=0, kind=EntryKind.OUTCOME, name="people", time_ns=0,
        payload=outcome.to_bytes(), decoded=outcome,
    )  # fmt: skip
    read = Outcome.of(entry)
    boxes[:] = 9.0
    assert read.to_bytes() == entry.payload


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3, np.float64(0.25)])
def test_a_sign_is_the_same_before_and_after_the_log(value):
    sign = HealthSign(code="BLACK", measure="dark_share", value=value, threshold=1, unit="1")
    header = FrameHeader(
        camera="yard", index=3, capture_ns=4, received_ns=5, width_px=6, height_px=7,
        digest="ab", signs=(sign,), is_usable=False,
    )  # fmt: skip
    assert repr(FrameHeader.from_bytes(header.to_bytes())) == repr(header)


def test_a_header_survives_the_log():
    sign = HealthSign(code="BLACK", measure="dark_share", value=0.99, threshold=0.98, unit="1")
    header = FrameHeader(
        camera="yard", index=3, capture_ns=4, received_ns=5, width_px=6, height_px=7,
        digest="ab", signs=(sign,), is_usable=False,
    )  # fmt: skip
    assert FrameHeader.from_bytes(header.to_bytes()) == header


@pytest.mark.parametrize("payload", [b"", b"{}", b"not json\nrest", b'{"camera": 1}'])
def test_what_is_neither_is_a_log_error(payload):
    with pytest.raises(LogError):
        FrameHeader.from_bytes(payload)
    with pytest.raises(LogError):
        Outcome.from_bytes(payload)


def test_an_outcome_that_lost_bytes_is_a_log_error():
    payload = ask(deadline(Seeing(0.9))).to_bytes()
    with pytest.raises(LogError, match="bytes for 1 detections"):
        Outcome.from_bytes(payload[:-1])


# --- where no deadline holds ----------------------------------------------------------------------


class Late:
    """A detector whose answers take as long as it is told, one after the other."""

    def __init__(self, delays_s, score):
        self.delays_s = list(delays_s)
        self.seeing = Seeing(score)

    def look(self, frames):
        time.sleep(self.delays_s.pop(0) if self.delays_s else 0.0)
        return self.seeing.look(frames)


def waiting(primary, fallback=None, **limits):
    one = Lookers(primary=primary, fallback=fallback, budget_s=0.001)
    return Guard(
        plan_of(yard()),
        {("people", "yard"): one},
        monotonic_s=time.monotonic,
        has_deadlines=False,
        limits=Limits(**limits),
    )


@settings(max_examples=25, deadline=None)
@given(
    slow=st.lists(st.sampled_from([0.0, 0.005, 0.02]), max_size=6),
    slow_fallback=st.lists(st.sampled_from([0.0, 0.005, 0.02]), max_size=6),
)
def test_without_deadlines_no_delay_of_anyone_changes_an_outcome(slow, slow_fallback):
    guard = waiting(Late(slow, 0.9), Late(slow_fallback, 0.1))
    found = [ask(guard, index) for index in range(6)]
    guard.close()
    assert {(o.status, o.mode, o.answer.score[0]) for o in found} == {
        (OutcomeStatus.OK, Mode.PRIMARY, 0.9)
    }
    assert guard.lookers["people", "yard"].fallback.seeing.asked == 6


def test_without_deadlines_who_hangs_is_asked_once_and_the_fallback_answers_from_then_on():
    hanging = Hanging()
    guard = waiting(hanging, Seeing(0.1), answer_s=0.2, worker_end_s=0.0)
    found = [ask(guard, index) for index in range(3)]
    hanging.go.set()  # that it comes back later changes nothing
    found += [ask(guard, index) for index in range(3, 6)]
    assert hanging.asked == 1
    assert {(o.status, o.mode) for o in found} == {(OutcomeStatus.TIMEOUT, Mode.FALLBACK)}
    assert all(len(o.answer) == 1 for o in found)


def test_an_answer_that_is_being_worked_on_at_the_end_is_waited_for():
    before = threading.active_count()
    guard = deadline(Late([BUDGET_S + 0.1], 0.9))
    assert ask(guard).status is OutcomeStatus.TIMEOUT
    guard.close()
    assert threading.active_count() == before


def test_a_guard_can_be_closed_twice():
    guard = deadline(Seeing(0.9))
    guard.close()
    guard.close()

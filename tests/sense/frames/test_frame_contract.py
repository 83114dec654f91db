"""Frame contracts: what can be promised, and frames that break the promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.errors import ContractError
from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames import FrameContract, FrameReason, load_frame_contract
from sightline.sense.frames.frame_contract import parse_frame_contract
from sightline.sense.frames.health import RateWatch, age_signal, contract_breaches
from sightline.sense.frames.reasons import MEASURES

PLAIN = {"width_px": 64, "height_px": 48, "rate_hz": 10, "max_age_s": 1.0}
CONTRACT = FrameContract(**PLAIN)

YAML = """
version: 1
description: the gate
width_px: 1920
height_px: 1080
channels: 3
rate_hz: 25
max_age_s: 0.5
health:
  frozen: {after_s: 20, overlays: [[0.7, 0.0, 1.0, 0.06]]}
  moved: null
  confirm_s: 1.5
"""


def test_a_contract_is_read_from_yaml(tmp_path):
    path = tmp_path / "gate.yaml"
    path.write_text(YAML)
    contract = load_frame_contract(path)
    assert contract.health.frozen.overlays == ((0.7, 0.0, 1.0, 0.06),)
    assert contract.health.moved is None
    assert contract.health.blurred.sharpness_ratio == 0.25


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"width_px": 0}, "width_px"),
        ({"height_px": 70000}, "height_px"),
        ({"channels": 4}, "channels"),
        ({"rate_hz": 0}, "rate_hz"),
        ({"max_age_s": float("inf")}, "max_age_s"),
        ({"max_age": 1}, "max_age"),
        ({"health": {"black": {"dark_share": 1.5}}}, "health.black.dark_share"),
        ({"health": {"frozen": {"after_s": 0}}}, "health.frozen.after_s"),
        ({"health": {"frozen": {"overlays": [[0.5, 0, 0.5, 1]]}}}, "health.frozen"),
        ({"health": {"foggy": {}}}, "health.foggy"),
    ],
)
def test_an_error_names_the_field(change, field):
    with pytest.raises(ContractError, match=rf"gate\.yaml, {field}: expected"):
        parse_frame_contract({**PLAIN, **change}, where="gate.yaml")


@pytest.mark.parametrize("name", list(PLAIN))
def test_a_promise_that_is_missing_is_named(name):
    plain = {key: value for key, value in PLAIN.items() if key != name}
    with pytest.raises(ContractError, match=name):
        parse_frame_contract(plain, where="gate.yaml")


@pytest.mark.parametrize("text", ["a: [", "width_px: 1\nwidth_px: 2\n", "\xff"])
def test_a_file_that_is_no_yaml_is_an_error(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ContractError):
        load_frame_contract(path)


def test_the_description_does_not_change_the_digest():
    assert FrameContract(**PLAIN, description="x").digest == CONTRACT.digest


def test_a_threshold_changes_the_digest():
    other = FrameContract(**PLAIN, health={"confirm_s": 3.0})
    assert other.digest != CONTRACT.digest


def frame(*, shape=(48, 64, 3), capture_ns=0, age_s=0.0):
    return Frame(
        stream="gate",
        index=0,
        capture_ns=capture_ns,
        received_ns=capture_ns + round(age_s * NS_PER_S),
        pixels=np.zeros(shape, np.uint8),
    )


def test_a_frame_that_keeps_its_promise_breaks_nothing():
    assert contract_breaches(frame(age_s=1.0), CONTRACT) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": (64, 48, 3)}, FrameReason.SIZE),
        ({"shape": (48, 64)}, FrameReason.CHANNELS),
        ({"age_s": 1.001}, FrameReason.STALE),
    ],
)
def test_a_broken_promise_is_named_with_its_measure(changes, reason):
    (breach,) = contract_breaches(frame(**changes), CONTRACT)
    assert breach.reason is reason
    assert reason in MEASURES


def test_a_camera_that_never_gave_a_frame_is_stale():
    assert age_signal(newest_age_s=float("inf"), contract=CONTRACT).is_raised


def rates(times_s):
    watch = RateWatch(CONTRACT)
    return [watch.update(round(at_s * NS_PER_S)) for at_s in times_s]


def test_the_promised_rate_raises_nothing():
    assert not any(signal.is_raised for signal in rates(np.arange(100) / 10))


@given(st.lists(st.floats(0.01, 0.19), min_size=10, max_size=60))
def test_uneven_frames_above_half_the_rate_raise_nothing(intervals_s):
    assert not any(signal.is_raised for signal in rates(np.cumsum(intervals_s)))


def test_a_third_of_the_rate_is_raised_with_the_measured_rate():
    last = rates(np.arange(40) * 0.3)[-1]
    assert last.is_raised
    assert last.value == pytest.approx(10 / 3, rel=1e-3)
    assert last.threshold == 5.0


def test_the_rate_is_not_judged_before_ten_intervals():
    assert not any(signal.is_raised for signal in rates(np.arange(10) * 3.0))


def test_the_watch_of_the_rate_goes_on_from_a_snapshot():
    whole = rates(np.arange(30) * 0.3)
    first, second = RateWatch(CONTRACT), RateWatch(CONTRACT)
    for n in range(15):
        first.update(round(n * 0.3 * NS_PER_S))
    second.restore(first.snapshot())
    again = [second.update(round(n * 0.3 * NS_PER_S)) for n in range(15, 30)]
    assert again == whole[15:]


def test_every_reason_with_a_threshold_says_what_it_measures():
    lost = {
        FrameReason.UNREADABLE, FrameReason.TOO_LARGE, FrameReason.TRUNCATED,
        FrameReason.NO_CONNECTION, FrameReason.RESOLUTION_CHANGED, FrameReason.PACKET_CORRUPT,
        FrameReason.REFERENCE_DAMAGED, FrameReason.TIME_MISSING, FrameReason.TIME_BACKWARDS,
            FrameReason.NOT_TURNED, FrameReason.CLOCK_CHANGED, FrameReason.FURTHER_STREAMS,
    }  # fmt: skip
    assert set(MEASURES) == set(FrameReason) - lost

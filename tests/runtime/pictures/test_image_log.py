"""Pictures that are kept: all, around decisions, with and without loss."""

import base64
import json

import cv2
import numpy as np
import pytest

from sightline.limits import Limits
from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.pictures.image_log import ImageLog, image_message
from sightline.runtime.pipeline import ImagesForm


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)


def frame(at_s=0.0, *, received_s=None, pixels=None, index=0):
    return Frame(
        stream="yard",
        index=index,
        capture_ns=round(at_s * NS_PER_S),
        received_ns=round((at_s if received_s is None else received_s) * NS_PER_S),
        pixels=picture() if pixels is None else pixels,
    )


def test_a_picture_without_loss_comes_back_bit_by_bit():
    message = json.loads(image_message(frame(), quality=None))
    data = np.frombuffer(base64.b64decode(message["data"]), np.uint8)
    assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), picture())


def test_a_jpeg_is_smaller():
    smooth = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (48, 1, 3))
    noisy = frame(pixels=picture())
    assert len(image_message(noisy, quality=30)) < len(image_message(noisy, quality=None))
    assert json.loads(image_message(frame(pixels=smooth), quality=90))["format"] == "jpeg"


def test_nothing_is_kept_of_what_was_long_before_a_decision():
    log = ImageLog(ImagesForm(keep="around_decisions", before_s=1.0, after_s=1.0))
    for n in range(50):
        assert log.take(frame(n / 10, index=n)) == []
    kept = [json.loads(payload)["timestamp"] for _, payload in log.decided()]
    first_s = kept[0]["sec"] + kept[0]["nsec"] / NS_PER_S
    assert first_s == pytest.approx(3.9)
    assert len(kept) == 11


def test_what_follows_a_decision_is_kept_for_the_stated_time():
    log = ImageLog(ImagesForm(keep="around_decisions", before_s=0.0, after_s=1.0))
    log.take(frame(0.0))
    log.decided()
    kept = [n for n in range(1, 30) if log.take(frame(n / 10, index=n))]
    assert kept == list(range(1, 11))


def test_what_waits_for_a_decision_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("sightline.runtime.pictures.image_log.MAX_HELD_BYTES", 40_000)
    log = ImageLog(ImagesForm(keep="around_decisions", before_s=1000.0))
    for n in range(50):
        log.take(frame(n / 10, index=n))
    assert sum(len(payload) for _, payload in log.decided()) <= 40_000


def test_of_what_is_raised_the_newest_picture_of_each_camera_is_kept_once():
    log = ImageLog(ImagesForm())
    for index in range(3):
        assert log.take(frame(index)) == []
    (kept,) = log.raised()
    message = json.loads(kept[1])
    assert (kept[0], message["format"]) == (frame(2).stream, "jpeg")
    assert message["timestamp"]["sec"] * NS_PER_S + message["timestamp"]["nsec"] == (
        frame(2).capture_ns
    )
    assert log.raised() == []


def test_pictures_of_alerts_beyond_their_bound_are_not_kept_and_counted():
    log = ImageLog(ImagesForm(), limits=Limits(alert_picture_bytes=1))
    log.take(frame(0))
    assert log.raised() == []
    assert log.refused == 1


def test_packets_are_kept_in_groups_and_so_not_of_single_alerts():
    with pytest.raises(ValueError, match="around_decisions"):
        ImagesForm(form="packets")

"""What one stream gives is numbered, and a clock that jumps costs one frame."""

import numpy as np

from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.delivery import Delivery

PICTURE = np.zeros((4, 6, 3), np.uint8)
HOUR_NS = 3600 * NS_PER_S


def test_a_picture_from_the_future_does_not_refuse_those_that_follow():
    delivery = Delivery("yard", "rtsp://yard")
    delivery.frame(PICTURE, capture_ns=HOUR_NS, received_ns=1)
    (item,) = delivery.frame(PICTURE, capture_ns=2, received_ns=2)
    assert isinstance(item, Frame)


def test_a_picture_that_is_older_than_the_receipt_of_one_from_the_future_is_refused():
    delivery = Delivery("yard", "rtsp://yard")
    delivery.frame(PICTURE, capture_ns=HOUR_NS, received_ns=5)
    (item,) = delivery.frame(PICTURE, capture_ns=5, received_ns=6)
    assert str(item.reason) == "TIME_BACKWARDS"

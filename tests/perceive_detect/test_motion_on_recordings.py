"""On PETS 2009 S2.L1: people are found. The bounds are far below what is measured."""

import cv2
import numpy as np
import pytest
from detect_cases import DATA, frame
from scipy.optimize import linear_sum_assignment

from sightline.perceive.detect import CameraPersonSize, MotionDetector
from sightline.perceive.detect.suppression import box_overlap
from sightline.sense.camera_files import load_camera

PETS = DATA / "pets2009_s2l1"
TRUTH_PER_VIDEO_PX = 1.6
FRAMES = 400


@pytest.mark.slow
def test_people_of_a_real_recording_are_found():
    if not PETS.is_dir():
        pytest.skip(f"no recording at {PETS}")
    size = CameraPersonSize(camera=load_camera(PETS / "camera_view_001.xml"))
    detector = MotionDetector(size=size)
    truth = np.loadtxt(PETS / "gt_frames_1_400.txt", delimiter=",")
    video = cv2.VideoCapture(str(PETS / "video.avi"))
    found = right = there = 0
    for index in range(FRAMES):
        _, pixels = video.read()
        seen = detector.detect(frame(pixels, index)).box_px * TRUTH_PER_VIDEO_PX
        rows = truth[truth[:, 0] == index + 1]
        people = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
        overlaps = np.array([box_overlap(one, seen) for one in people]).reshape(
            len(people), len(seen)
        )
        pairs = linear_sum_assignment(-overlaps)
        right += np.count_nonzero(overlaps[pairs] >= 0.5)
        found, there = found + len(seen), there + len(people)
    precision, recall = right / found, right / there
    print(f"precision {precision:.3f}, recall {recall:.3f} at an overlap of 0.5")
    assert precision > 0.8
    assert recall > 0.8

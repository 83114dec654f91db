"""Frames: get images in and say which of them, and which camera, can be trusted.

Sources give frames and faults; the contract says what a camera promises; health watches its
picture. Videos are best read with the extra ``video`` (PyAV); without it OpenCV reads them.
"""

from sightline.sense.frames.delivery import FrameFault
from sightline.sense.frames.frame_contract import FrameContract, load_frame_contract
from sightline.sense.frames.health import CameraHealth
from sightline.sense.frames.image_files import ImageDirectory
from sightline.sense.frames.live_camera import LiveCamera
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.simulated_camera import SimulatedCamera
from sightline.sense.frames.video_file import VideoFile

__all__ = [
    "CameraHealth",
    "FrameContract",
    "FrameFault",
    "FrameReason",
    "ImageDirectory",
    "LiveCamera",
    "SimulatedCamera",
    "VideoFile",
    "load_frame_contract",
]

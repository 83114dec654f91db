"""Frames and what detectors saw in them: files of detections and tracks."""

"""Why a file is no video, in words that say what to do about it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_HEAD_BYTES = 4096
_MOST_BOXES = 4096
_BOX = struct.Struct(">I4s")  # ISO/IEC 14496-12, 4.2
_LARGE_SIZE = struct.Struct(">Q")
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})


def why_unreadable(path: Path, said: str) -> str:
    """What is wrong with a file that no video reader opens.

    Args:
        path: the file.
        said: what the reader said, which is taken where nothing better is known.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if not size:
                return "the file is empty"
            if head[4:8] in _FIRST_BOXES and not _has_movie_box(file, size):
                return "moov atom not found: the recording was cut off before its end"
    except OSError as error:
        return error.strerror or said
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "a web page or XML, no video: was a login page saved?"
    if not head.strip(b"\x00"):
        return "nothing but zeros: the recording was never written"
    return said


def _has_movie_box(file: BinaryIO, size: int) -> bool:
    """Whether one of the boxes at the top is ``moov``, without which nothing can be decoded."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + _BOX.size > size:
            return False
        file.seek(at)
        length, kind = _BOX.unpack(file.read(_BOX.size))
        if kind == b"moov":
            return bool(at + length <= size)
        if length == 1:
            large = file.read(_LARGE_SIZE.size)
            if len(large) < _LARGE_SIZE.size:
                return False
            (length,) = _LARGE_SIZE.unpack(large)
        if length < _BOX.size:
            return False  # 0: the last one, to the end of the file
        at += length
    return False

"""Frame contract files: YAML to a checked :class:`.FrameContract`; errors name the field."""

from __future__ import annotations

from pathlib import Path

from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.yaml_form import load_form, parse_form


def load_frame_contract(path: Path) -> FrameContract:
    """Read a frame contract from a YAML file.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    return load_form(path, FrameContract)


def parse_frame_contract(plain: object, *, where: str) -> FrameContract:
    """Validate a mapping as a frame contract; ``where`` names it in errors.

    Raises:
        ContractError: on the first problem, with the number of problems in all.

    >>> parse_frame_contract({"width_px": 640, "height_px": 480, "rate_hz": 10, "max_age_s": 1},
    ...                      where="yard").health.frozen.after_s
    10.0
    """
    return parse_form(plain, FrameContract, where=where)

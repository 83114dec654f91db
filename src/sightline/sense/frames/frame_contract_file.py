"""Frame contract files: YAML to a checked :class:`.FrameContract`; errors name the field."""

from __future__ import annotations

from pathlib import Path

import pydantic
import yaml

from sightline.errors import ContractError
from sightline.sense.contract_file import _action, _shown, _UniqueKeyLoader
from sightline.sense.frames.frame_contract import FrameContract


def load_frame_contract(path: Path) -> FrameContract:
    """Read a frame contract from a YAML file.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(
            expected="a readable YAML file",
            got=" ".join(str(error).split()),
            where=str(path),
            action="check the path and the YAML syntax",
        ) from error
    return parse_frame_contract(plain, where=str(path))


def parse_frame_contract(plain: object, *, where: str) -> FrameContract:
    """Validate a mapping as a frame contract; ``where`` names it in errors.

    Raises:
        ContractError: on the first problem, with the number of problems in all.

    >>> parse_frame_contract({"width_px": 640, "height_px": 480, "rate_hz": 10, "max_age_s": 1},
    ...                      where="yard").health.frozen.after_s
    10.0
    """
    try:
        return FrameContract.model_validate(plain)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ContractError(
            expected=first["msg"].removeprefix("Value error, "),
            got=_shown(first.get("input")),
            where=f"{where}, {field}",
            action=_action(first["type"], error.error_count()),
        ) from error

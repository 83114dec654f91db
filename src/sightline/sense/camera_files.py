"""Camera files: Tsai XML, our YAML and plain 3 x 3 text, with errors that name file and field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import pydantic

from sightline.errors import ContractError, UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records.camera import CameraModel
from sightline.sense.camera_form import (
    HomographyForm,
    PinholeForm,
    PixelOrder,
    PixelOrigin,
    PointsForm,
    TsaiForm,
)
from sightline.sense.yaml_form import read_document, read_yaml, refusal

_TSAI = "tsai"
_Form = PinholeForm | HomographyForm | PointsForm
_YAML: pydantic.TypeAdapter[_Form] = pydantic.TypeAdapter(
    Annotated[_Form, pydantic.Field(discriminator="kind")]
)


def load_camera(path: Path) -> CameraModel:
    """Read a camera from ``.yaml`` or ``.yml`` (ours) or ``.xml`` (Tsai).

    The YAML has a ``kind``: ``pinhole`` (:class:`.PinholeForm`), ``homography``
    (:class:`.HomographyForm`) or ``points`` (:class:`.PointsForm`). The XML has one element with
    children Geometry, Intrinsic and Extrinsic, as PETS 2009 and ETISEO publish it.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return parse_camera(read_yaml(path), where=str(path))
    if suffix == ".xml":
        plain = _read_tsai(path)
        try:
            return _model(TsaiForm.model_validate(plain), str(path))
        except pydantic.ValidationError as error:
            raise refusal(error, where=str(path)) from error
    raise ContractError(
        expected="a camera file ending in .yaml, .yml or .xml",
        got=suffix or "no ending",
        where=str(path),
        action="rename it; a bare 3 x 3 matrix is read by load_homography_text",
    )


def read_camera_mapping(path: Path) -> object:
    """What a camera file says, unchecked but JSON-ready: :func:`parse_camera` takes it.

    So that a pipeline can hold a camera, instead of a path that may lead elsewhere tomorrow.

    Raises:
        ContractError: the file cannot be read, or is of another kind.
    """
    if path.suffix.lower() == ".xml":
        return {"kind": _TSAI, **_read_tsai(path)}
    load_camera(path)  # refuses other endings
    return read_yaml(path)


def parse_camera(plain: object, *, where: str) -> CameraModel:
    """Validate a mapping in the form of our YAML; ``where`` names it in errors.

    ``kind: tsai`` with the attributes of a Tsai file is taken too.

    Raises:
        ContractError: on the first problem, with the number of problems in all.

    >>> parse_camera({"kind": "homography", "image_size_px": [640, 480], "pixel_origin": "corner",
    ...               "ground_from_pixel": [[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1]]},
    ...              where="yard").kind
    'homography'
    """
    try:
        if isinstance(plain, dict) and plain.get("kind") == _TSAI:
            parts = {name: part for name, part in plain.items() if name != "kind"}
            return _model(TsaiForm.model_validate(parts), where)
        return _model(_YAML.validate_python(plain), where)
    except pydantic.ValidationError as error:
        # The union begins each place with the kind, which is no field of the file.
        raise refusal(error, where=where, skip=1) from error


def load_homography_text(
    path: Path,
    *,
    image_size_px: tuple[int, int],
    pixel_order: PixelOrder = "column_row",
    pixel_origin: PixelOrigin = "centre",
    seen_px: tuple[float, float] | None = None,
) -> CameraModel:
    """Read a matrix from pixels to ground metres: three lines of three numbers.

    The file cannot say what its pixels are, so the caller does. The matrices of the ETH and Hotel
    sequences (Pellegrini et al. 2009) map (row, column, 1): read them with
    ``pixel_order="row_column"``. Taken the other way round they still give metres of a
    plausible size, mirrored and in the wrong place.

    Raises:
        ContractError: naming the file and line, or what is wrong with the matrix.
    """
    rows = [
        line.split()
        for line in read_document(path, limits=DEFAULT_LIMITS).splitlines()
        if line.strip()
    ] or [[]]
    for i, row in enumerate(rows):
        if len(row) != 3 or not all(_is_number(part) for part in row) or len(rows) != 3:
            raise ContractError(
                expected="three lines of three numbers",
                got=f"{len(rows)} lines, {' '.join(row)[:60]!r} in this one",
                where=f"{path}, line {i + 1}",
                action="give the matrix from pixels to metres by rows, without a heading",
            )
    plain = {
        "kind": "homography",
        "image_size_px": image_size_px,
        "ground_from_pixel": rows,
        "pixel_order": pixel_order,
        "pixel_origin": pixel_origin,
        "seen_px": seen_px,
    }
    return parse_camera(plain, where=str(path))


def _read_tsai(path: Path) -> dict[str, dict[str, str]]:
    text = read_document(path, limits=DEFAULT_LIMITS)
    # A calibration needs no document type, and with it come entities that expand without bound.
    if "<!DOCTYPE" in text:
        raise ContractError(
            expected="XML without a document type",
            got="<!DOCTYPE",
            where=str(path),
            action="remove it",
        )
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no entities, bounded size
    except (ElementTree.ParseError, ValueError) as error:
        raise ContractError(
            expected="readable XML",
            got=" ".join(str(error).split()) or type(error).__name__,
            where=str(path),
            action="check the syntax",
        ) from error
    found: dict[str, dict[str, str]] = {}
    for child in root:
        if child.tag in found:
            raise ContractError(
                expected="one camera per file",
                got=f"a second {child.tag}",
                where=f"{path}, {child.tag}",
                action="split the file",
            )
        found[child.tag] = dict(child.attrib)
    return found


def _model(form: _Form | TsaiForm, where: str) -> CameraModel:
    try:
        return form.model()
    except UsageError as error:
        raise ContractError(
            expected=error.expected,
            got=error.got,
            where=f"{where}, {error.where}",
            action=error.action,
        ) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

"""Camera files: Tsai XML and our YAML, with errors that name file and field."""

from __future__ import annotations

from math import cos, isclose, pi, sin
from pathlib import Path
from typing import Annotated, Literal, Self
from xml.etree import ElementTree

import numpy as np
import pydantic
from pydantic import AfterValidator, Field, model_validator

from sightline.errors import ContractError, UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records.camera import CameraModel, Pose, homography_from_points, tsai_camera
from sightline.records.lens import Lens
from sightline.records.windows import FloatArray
from sightline.sense.contract import Finite, Form
from sightline.sense.yaml_form import read_document, read_yaml, refusal

MAX_POINT_PAIRS = 1000
"""Point pairs of one homography. More is refused: a fit gains nothing from them."""
MAX_EDGE_PX = 1 << 16
"""Width or height of an image."""

BROWN_COEFFICIENTS = 5

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pair = tuple[Finite, Finite]
Triple = tuple[Finite, Finite, Finite]
Matrix = tuple[Triple, Triple, Triple]
EdgePx = Annotated[int, Field(ge=1, le=MAX_EDGE_PX)]
ImageSize = tuple[EdgePx, EdgePx]
PixelOrigin = Literal["centre", "corner"]
"""Where (0, 0) is in a file: the ``centre`` of the top-left pixel (OpenCV, and whoever counts
pixels from 0), or its outer ``corner`` (ours)."""
PixelOrder = Literal["column_row", "row_column"]


def _in_radians(angles: Triple) -> Triple:
    if max(abs(angle) for angle in angles) > 2 * pi:
        raise ValueError("angles in radians, within a full turn")
    return angles


Angles = Annotated[Triple, AfterValidator(_in_radians)]


class PinholeForm(Form):
    """``kind: pinhole``, what ``cv2.calibrateCamera`` and ``cv2.solvePnP`` give."""

    kind: Literal["pinhole"]
    image_size_px: ImageSize
    """Width, height."""
    focal_px: tuple[Positive, Positive]
    """fx, fy."""
    centre_px: Pair
    """cx, cy."""
    distortion: Annotated[tuple[Finite, ...], Field(max_length=BROWN_COEFFICIENTS)] = ()
    """k1, k2, p1, p2, k3 in OpenCV's order; what is left out is zero."""
    rotation: Matrix | None = None
    """R of x_camera = R x_world + t, by rows."""
    rotation_vector_rad: Angles | None = None
    """The same as OpenCV's ``rvec``, axis times angle. One of the two."""
    translation_m: Triple
    pixel_origin: PixelOrigin = "centre"

    @model_validator(mode="after")
    def _one_rotation(self) -> Self:
        if (self.rotation is None) == (self.rotation_vector_rad is None):
            raise ValueError("either rotation or rotation_vector_rad")
        return self

    def model(self) -> CameraModel:
        """The camera; a UsageError if the numbers make none."""
        shift_px = 0.5 if self.pixel_origin == "centre" else 0.0
        padding = (0.0,) * (BROWN_COEFFICIENTS - len(self.distortion))
        rotation = (
            _rodrigues(self.rotation_vector_rad)
            if self.rotation_vector_rad is not None
            else np.asarray(self.rotation, np.float64)
        )
        return CameraModel.pinhole(
            image_size_px=self.image_size_px,
            lens=Lens(
                focal_px=self.focal_px,
                centre_px=(self.centre_px[0] + shift_px, self.centre_px[1] + shift_px),
                distortion="brown" if any(self.distortion) else "none",
                coefficients=(*self.distortion, *padding) if any(self.distortion) else (),
            ),
            pose=Pose(rotation=rotation, translation_m=np.asarray(self.translation_m)),
        )


class HomographyForm(Form):
    """``kind: homography``, a known matrix from pixels to ground metres."""

    kind: Literal["homography"]
    image_size_px: ImageSize
    ground_from_pixel: Matrix
    """By rows, up to a factor."""
    pixel_order: PixelOrder = "column_row"
    """``row_column`` where the matrix wants (row, column, 1), as those of ETH and Hotel do."""
    pixel_origin: PixelOrigin = "centre"
    seen_px: Pair | None = None
    """A pixel (x, y) that shows the ground; the middle of the lower edge if not given."""

    def model(self) -> CameraModel:
        """The camera; a UsageError if the numbers make none."""
        matrix = np.asarray(self.ground_from_pixel, np.float64)
        return CameraModel.homography(
            _in_our_pixels(matrix, order=self.pixel_order, origin=self.pixel_origin),
            image_size_px=self.image_size_px,
            seen_px=self.seen_px,
        )


class PointPair(Form):
    """One point known in the image and on the ground."""

    pixel_px: Pair
    """x, y."""
    ground_m: Pair
    """x, y."""


class PointsForm(Form):
    """``kind: points``, a homography from marked points."""

    kind: Literal["points"]
    image_size_px: ImageSize
    points: Annotated[tuple[PointPair, ...], Field(min_length=4, max_length=MAX_POINT_PAIRS)]
    max_residual_m: Positive | None = None
    """Refuse the file when any point lies further than this from where the fit puts it."""
    pixel_origin: PixelOrigin = "centre"

    def model(self) -> CameraModel:
        """The camera; a UsageError if the points do not determine one, or do not fit."""
        fit = homography_from_points(
            [pair.pixel_px for pair in self.points], [pair.ground_m for pair in self.points]
        )
        worst = int(np.argmax(fit.residual_m))
        if self.max_residual_m is not None and fit.residual_m[worst] > self.max_residual_m:
            raise UsageError(
                expected=f"every point within {self.max_residual_m} m of the fit",
                got=f"{fit.residual_m[worst]:.3g} m at points.{worst}",
                where="points",
                action="measure that point again, or allow more",
            )
        return CameraModel.homography(
            _in_our_pixels(fit.ground_from_pixel, order="column_row", origin=self.pixel_origin),
            image_size_px=self.image_size_px,
            seen_px=self.points[0].pixel_px,
        )


class TsaiGeometry(Form):
    """Sensor and image; lengths in mm."""

    width: EdgePx
    height: EdgePx
    ncx: Positive
    nfx: Positive
    dx: Positive
    dy: Positive
    dpx: Positive
    dpy: Positive

    @model_validator(mode="after")
    def _pixel_width_agrees(self) -> Self:
        if not isclose(self.dpx, self.dx * self.ncx / self.nfx, rel_tol=1e-3):
            raise ValueError("dpx equal to dx * ncx / nfx")
        return self


class TsaiIntrinsic(Form):
    """Lens: ``focal`` in mm, ``kappa1`` in 1 / mm², ``cx`` and ``cy`` in pixels."""

    focal: Positive
    kappa1: Finite
    cx: Finite
    cy: Finite
    sx: Positive


class TsaiExtrinsic(Form):
    """World to camera: translation in mm, angles in radians."""

    tx: Finite
    ty: Finite
    tz: Finite
    rx: Annotated[float, Field(ge=-2 * pi, le=2 * pi)]
    ry: Annotated[float, Field(ge=-2 * pi, le=2 * pi)]
    rz: Annotated[float, Field(ge=-2 * pi, le=2 * pi)]


class TsaiForm(Form):
    """A Tsai calibration as XML writes it; see :func:`.tsai_camera` for the conventions."""

    Geometry: TsaiGeometry
    Intrinsic: TsaiIntrinsic
    Extrinsic: TsaiExtrinsic

    def model(self) -> CameraModel:
        """The camera; a UsageError if the numbers make none."""
        sensor, lens, world = self.Geometry, self.Intrinsic, self.Extrinsic
        return tsai_camera(
            image_size_px=(sensor.width, sensor.height),
            focal_mm=lens.focal,
            pixel_width_mm=sensor.dpx,
            pixel_height_mm=sensor.dpy,
            width_factor=lens.sx,
            centre_px=(lens.cx, lens.cy),
            kappa1_per_mm2=lens.kappa1,
            rotation_rad=(world.rx, world.ry, world.rz),
            translation_mm=(world.tx, world.ty, world.tz),
        )


def _in_our_pixels(matrix: FloatArray, *, order: PixelOrder, origin: PixelOrigin) -> FloatArray:
    """The same map for pixels (x, y) with (0, 0) at the corner of the top-left pixel."""
    if order == "row_column":
        matrix = matrix[:, [1, 0, 2]]
    shift_px = -0.5 if origin == "centre" else 0.0
    found: FloatArray = matrix @ np.array([[1, 0, shift_px], [0, 1, shift_px], [0, 0, 1]])
    return found


def _rodrigues(vector_rad: Triple) -> FloatArray:
    """The rotation about the axis ``vector`` by its length (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector_rad))
    x, y, z = (part / angle for part in vector_rad) if angle else (0.0, 0.0, 0.0)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    found: FloatArray = np.eye(3) + sin(angle) * cross + (1 - cos(angle)) * cross @ cross
    return found


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
        action="rename it; put a bare 3 x 3 matrix into `kind: homography`",
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

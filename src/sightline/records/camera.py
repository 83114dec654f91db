"""Camera models: from pixels to metres on the ground and back, and how certain.

Full cameras (lens, pose) in the conventions of OpenCV or Tsai, and homographies of the ground.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, sin
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.lens import Lens
from sightline.records.windows import FloatArray

_ORTHONORMAL = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """Where a camera stands: x_camera = rotation · x_world + translation.

    Attributes:
        rotation: float64[3, 3], orthonormal, determinant +1. The camera's frame has x to the
            right, y down, z forward; the world's has z up and the ground at z = 0.
        translation_m: float64[3], in the camera's frame (not the camera's position).

    >>> looks_down = Pose(rotation=np.diag([1.0, -1.0, -1.0]), translation_m=np.array([0, 0, 5.0]))
    >>> looks_down.position_m.tolist()
    [0.0, 0.0, 5.0]
    """

    rotation: FloatArray
    translation_m: FloatArray

    def __post_init__(self) -> None:
        rotation = frozen_array(self.rotation, (3, 3), "rotation of the pose")
        translation = frozen_array(self.translation_m, (3,), "translation_m of the pose")
        off = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if off > _ORTHONORMAL or np.linalg.det(rotation) < 0:
            raise UsageError(
                expected="an orthonormal rotation with determinant +1",
                got=f"R·Rᵀ off by {off:.2g}, determinant {np.linalg.det(rotation):.3g}",
                where="rotation of the pose",
                action="check the angles' unit and that the axes are right-handed",
            )
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation_m", translation)

    @property
    def position_m(self) -> FloatArray:
        """float64[3], the camera's position in the world, -rotationᵀ · translation."""
        found: FloatArray = -self.rotation.T @ self.translation_m
        return found


def frozen_array(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> FloatArray:
    """A read-only copy as float64 of the given shape, all finite; ``name`` names it in errors."""
    array = np.array(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise UsageError(
            expected=f"finite float64{list(shape)}",
            got=f"{list(array.shape)}{'' if np.isfinite(array).all() else ' with NaN or inf'}",
            where=name,
            action="mend the matrix",
        )
    array.flags.writeable = False
    return array


MIN_POINTS = 4
MIN_SPREAD = 0.003
"""Smallest second-to-last singular value of the design over its largest, no unit. Reached when
three of four points come within about 0.5 % of their extent of a line: with points some hundred
pixels apart that is a marking error, which would then decide the answer."""


class DegeneratePoints(UsageError):
    """The point pairs do not determine a homography: too few, on a line, or contradictory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HomographyFit:
    """A homography and how well it fits the points it was made from.

    Attributes:
        ground_from_pixel: float64[3, 3], homogeneous, its third coordinate > 0 at every point.
        residual_m: float64[n], distance on the ground between given and mapped point. Zero with
            four points whatever their error: measure a fifth to learn something.

    >>> fit = homography_from_points([[0, 0], [100, 0], [100, 100], [0, 100]],
    ...                              [[0, 0], [2, 0], [2, 2], [0, 2]])
    >>> matrix = fit.ground_from_pixel / fit.ground_from_pixel[2, 2]
    >>> bool(np.allclose(matrix, np.diag([0.02, 0.02, 1.0]))), fit.rms_residual_m < 1e-12
    (True, True)
    """

    ground_from_pixel: FloatArray
    residual_m: FloatArray

    @property
    def rms_residual_m(self) -> float:
        return float(np.sqrt(np.mean(self.residual_m**2)))


def homography_from_points(pixel: npt.ArrayLike, ground: npt.ArrayLike) -> HomographyFit:
    """The homography from image to ground by the normalised direct linear transform.

    Source: Hartley & Zisserman, "Multiple View Geometry", 2nd ed., algorithm 4.2; Hartley (1997),
    "In defense of the eight-point algorithm", for the normalisation. More than four points are
    fitted in least squares of the algebraic error; there is no search for outliers.

    Args:
        pixel: [n, 2], x and y in pixels, n >= 4.
        ground: [n, 2], x and y on the ground in metres, in the same order.

    Raises:
        DegeneratePoints: fewer than four pairs, three of four (or all but one) on a line, or
            pairs that no one camera could see, for example two of them swapped.

    The points should surround the place that matters: outside them errors grow fast.
    """
    pixels = _finite_points(pixel, "pixel")
    metres = _finite_points(ground, "ground")
    n = len(pixels)
    if n < MIN_POINTS or len(metres) != n:
        raise DegeneratePoints(
            expected=f"at least {MIN_POINTS} pairs, one ground point per pixel",
            got=f"{n} pixels and {len(metres)} ground points",
            where="homography_from_points",
            action="mark more points",
        )
    from_pixels, a = _normalised(pixels)
    from_metres, b = _normalised(metres)
    zero, one = np.zeros(n), np.ones(n)
    x, y, u, v = a[:, 0], a[:, 1], b[:, 0], b[:, 1]
    design = np.concatenate(
        [
            np.column_stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u]),
            np.column_stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v]),
            np.zeros((1, 9)),  # with four points the thin decomposition would lack the answer
        ]
    )
    _, singular, right = np.linalg.svd(design, full_matrices=False)
    solution = right[-1].reshape(3, 3)
    spread = np.linalg.svd(solution, compute_uv=False)
    if singular[7] < MIN_SPREAD * singular[0] or spread[2] < MIN_SPREAD * spread[0]:
        raise DegeneratePoints(
            expected="points that surround an area, no three of four on a line",
            got=f"points within {min(singular[7] / singular[0], spread[2] / spread[0]):.1e} of "
            "a line, relative to their extent",
            where="homography_from_points",
            action="mark points further apart, or more of them",
        )
    matrix = np.asarray(np.linalg.solve(from_metres, solution @ from_pixels), np.float64)
    homogeneous = np.column_stack([pixels, one]) @ matrix.T
    depth = homogeneous[:, 2]
    if not (depth > 0).all() and not (depth < 0).all():
        raise DegeneratePoints(
            expected="all points on one side of the horizon",
            got=f"{int(min((depth > 0).sum(), (depth < 0).sum()))} of {n} on the other side",
            where="homography_from_points",
            action="check that pixels and ground points are in the same order",
        )
    residual = np.linalg.norm(homogeneous[:, :2] / depth[:, None] - metres, axis=1)
    return HomographyFit(
        ground_from_pixel=matrix / np.linalg.norm(matrix) * np.sign(depth[0]),
        residual_m=np.asarray(residual, np.float64),
    )


def _normalised(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(similarity float64[3, 3], moved points): centroid at 0, mean distance √2 from it."""
    centre = points.mean(axis=0)
    distance = float(np.linalg.norm(points - centre, axis=1).mean())
    scale = np.sqrt(2.0) / distance if distance > 0 else 1.0
    similarity = np.array(
        [[scale, 0.0, -scale * centre[0]], [0.0, scale, -scale * centre[1]], [0.0, 0.0, 1.0]]
    )
    return similarity, (points - centre) * scale


def _finite_points(values: npt.ArrayLike, name: str) -> FloatArray:
    points = np.asarray(values, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise UsageError(
            expected=f"{name} [n, 2], finite",
            got=str(points.shape) if points.ndim != 2 else "NaN, inf or another width",
            where="homography_from_points",
            action="give x and y of each point",
        )
    return points


FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraModel:
    """One camera over flat ground: a full camera (lens and pose), or a plain ground homography.

    Make one with :meth:`pinhole` or :meth:`homography`, or read one with
    ``sense.camera_files``. Pixels are (x, y), x to the right, y down, (0, 0) at the outer corner
    of the top-left pixel; ground points are (x, y) in metres on the plane z = 0. All functions
    take and give n points at once and keep NaN as NaN.

    Source: Hartley & Zisserman, "Multiple View Geometry", 2nd ed., 8.1 (a plane and a camera make
    a homography), 5.2.2 (first-order propagation of covariance).

    Attributes:
        image_size_px: (width, height) of the image the pixels belong to.
        ground_from_image: float64[3, 3], homogeneous ground from ray (full camera) or from pixel
            (plain homography), its sign such that the third coordinate is > 0 in front of the
            camera.
        lens: of a full camera, else None.
        pose: of a full camera, else None.

    >>> camera = CameraModel.homography(np.diag([0.01, 0.01, 1.0]), image_size_px=(640, 480))
    >>> camera.ground_from_pixel(np.array([[320.0, 240.0]])).tolist()
    [[3.2, 2.4]]
    >>> camera.scaled(0.5).ground_from_pixel(np.array([[160.0, 120.0]])).tolist()
    [[3.2, 2.4]]
    """

    image_size_px: tuple[int, int]
    ground_from_image: FloatArray
    lens: Lens | None = None
    pose: Pose | None = None
    _image_from_ground: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if min(self.image_size_px) < 1 or (self.lens is None) != (self.pose is None):
            raise UsageError(
                expected="an image of at least 1 x 1 px, and lens and pose together or neither",
                got=f"{self.image_size_px}, lens {self.lens}, pose {self.pose}",
                where="camera model",
                action="build it with CameraModel.pinhole or CameraModel.homography",
            )
        matrix = frozen_array(self.ground_from_image, (3, 3), "ground_from_image")
        object.__setattr__(self, "ground_from_image", matrix)
        object.__setattr__(self, "_image_from_ground", _inverse(matrix))

    @classmethod
    def pinhole(cls, *, image_size_px: tuple[int, int], lens: Lens, pose: Pose) -> CameraModel:
        """A full camera.

        Raises:
            UsageError: if the camera lies in the ground plane, from which nothing can be seen.
        """
        plane = np.column_stack([pose.rotation[:, :2], pose.translation_m])
        return cls(
            image_size_px=image_size_px,
            ground_from_image=_inverse(plane),
            lens=lens,
            pose=pose,
        )

    @classmethod
    def homography(
        cls,
        ground_from_pixel: npt.ArrayLike,
        *,
        image_size_px: tuple[int, int],
        seen_px: tuple[float, float] | None = None,
    ) -> CameraModel:
        """A plain ground homography.

        Args:
            ground_from_pixel: [3, 3], (x, y, 1) in pixels to ground metres, up to a factor. Some
                data sets order pixels as (row, column): swap the first two columns.
            image_size_px: (width, height).
            seen_px: a pixel known to show the ground, which tells the ground from the sky; the
                middle of the lower edge if not given.

        Raises:
            UsageError: if the matrix is singular or ``seen_px`` lies on its horizon.
        """
        matrix = frozen_array(ground_from_pixel, (3, 3), "ground_from_pixel")
        x_px, y_px = seen_px or (image_size_px[0] / 2, float(image_size_px[1]))
        depth = float(matrix[2] @ [x_px, y_px, 1.0])
        if depth == 0:
            raise UsageError(
                expected="a pixel that shows the ground",
                got=f"({x_px}, {y_px}), which lies on the horizon",
                where="ground_from_pixel",
                action="give seen_px, any pixel that shows the ground",
            )
        return cls(image_size_px=image_size_px, ground_from_image=matrix * np.sign(depth))

    @property
    def kind(self) -> Literal["pinhole", "homography"]:
        return "homography" if self.lens is None else "pinhole"

    def ground_from_pixel(self, xy_px: FloatArray) -> FloatArray:
        """float64[n, 2] metres on the ground of float64[n, 2] pixels.

        NaN at and above the horizon, where the ray meets the ground behind the camera or never,
        and where the lens has no answer. Just below the horizon positions run to infinity and
        :meth:`ground_covariance` with them: gate on that, not on the position.
        """
        rays = _points(xy_px, 2, "xy_px")
        if self.lens is not None:
            rays = self.lens.ray_from_pixel(rays)
        return _mapped(self.ground_from_image, rays)

    def pixel_from_ground(self, xy_m: FloatArray) -> FloatArray:
        """float64[n, 2] pixels of float64[n, 2] ground points in metres.

        NaN behind the camera. May lie outside the image: see :meth:`is_in_image`.
        """
        rays = _mapped(self._image_from_ground, _points(xy_m, 2, "xy_m"))
        return rays if self.lens is None else self.lens.pixel_from_ray(rays)

    def pixel_from_world(self, xyz_m: FloatArray) -> FloatArray:
        """float64[n, 2] pixels of float64[n, 3] points in metres, z up; NaN behind the camera.

        Raises:
            UsageError: for a plain homography, which knows nothing above the ground.
        """
        lens, pose = self._full("pixel_from_world")
        seen = _points(xyz_m, 3, "xyz_m") @ pose.rotation.T + pose.translation_m
        depth = np.where(seen[:, 2] > 0, seen[:, 2], np.nan)
        return lens.pixel_from_ray(seen[:, :2] / depth[:, None])

    def ground_jacobian(self, xy_px: FloatArray) -> FloatArray:
        """float64[n, 2, 2], derivative of the ground point by the pixel, in m / px.

        Rows are ground x and y, columns pixel x and y. NaN where the ground point is.
        """
        pixels = _points(xy_px, 2, "xy_px")
        rays = pixels if self.lens is None else self.lens.ray_from_pixel(pixels)
        matrix = self.ground_from_image
        depth = rays @ matrix[2, :2] + matrix[2, 2]
        ground = _mapped(matrix, rays)
        # Of p = A r / (c·r): dp = (A - p c) / (c·r), Hartley & Zisserman, example 5.10.
        by_ray: FloatArray = matrix[None, :2, :2] - ground[:, :, None] * matrix[None, None, 2, :2]
        with np.errstate(divide="ignore", invalid="ignore"):
            by_ray = by_ray / depth[:, None, None]
        if self.lens is None:
            return by_ray
        by_pixel: FloatArray = by_ray @ self.lens.ray_jacobian(pixels)
        return by_pixel

    def ground_covariance(self, xy_px: FloatArray, covariance_px: FloatArray) -> FloatArray:
        """float64[n, 2, 2] in m², the spread on the ground of float64[n, 2, 2] in px².

        To first order, J Σ Jᵀ: right while the spread is small against the distance to the
        horizon. With a standard deviation of a tenth of that distance the true one is 4 % larger
        along the line of sight; within three of them from the horizon it means nothing.
        """
        spread = np.asarray(covariance_px, np.float64)
        jacobian = self.ground_jacobian(xy_px)
        if spread.shape != jacobian.shape:
            raise UsageError(
                expected=f"covariance_px float64{list(jacobian.shape)}",
                got=str(list(spread.shape)),
                where="ground_covariance",
                action="give one 2 x 2 matrix per pixel",
            )
        found: FloatArray = jacobian @ spread @ jacobian.transpose(0, 2, 1)
        return (found + found.transpose(0, 2, 1)) / 2

    def image_height_px(self, foot_px: FloatArray, height_m: npt.ArrayLike) -> FloatArray:
        """float64[n], rows between foot and head of something upright: its box height.

        Args:
            foot_px: float64[n, 2], where it stands.
            height_m: float64[n] or a number, its height in metres.

        Negative where the head appears below the foot (looking straight down, or a camera upside
        down); NaN where the foot is not on the ground or the head is not in front.

        Raises:
            UsageError: for a plain homography, which knows nothing above the ground.
        """
        self._full("image_height_px")
        ground = self.ground_from_pixel(foot_px)
        heights = np.broadcast_to(np.asarray(height_m, np.float64), (len(ground),))
        head = self.pixel_from_world(np.column_stack([ground, heights]))
        found: FloatArray = np.asarray(foot_px, np.float64)[:, 1] - head[:, 1]
        return found

    def height_m(self, foot_px: FloatArray, head_px: FloatArray) -> FloatArray:
        """float64[n], heights in metres of upright things, from foot and head, float64[n, 2] each.

        The height on the vertical line above the foot whose picture is nearest to the head, in
        undistorted coordinates (least squares, so a head a little aside of the line is allowed).

        Raises:
            UsageError: for a plain homography, which knows nothing above the ground.
        """
        lens, pose = self._full("height_m")
        ground = self.ground_from_pixel(foot_px)
        ray = lens.ray_from_pixel(_points(head_px, 2, "head_px"))
        foot = ground @ pose.rotation[:, :2].T + pose.translation_m
        up = pose.rotation[:, 2]
        # (foot + h up) projects to the ray: two equations, linear in h.
        per_metre = up[None, :2] - ray * up[2]
        wanted = ray * foot[:, 2:] - foot[:, :2]
        found: FloatArray = (per_metre * wanted).sum(axis=1) / (per_metre**2).sum(axis=1)
        return found

    def is_in_image(self, xy_px: FloatArray) -> npt.NDArray[np.bool_]:
        """bool[n], whether pixels lie in the image; False for NaN."""
        pixels = _points(xy_px, 2, "xy_px")
        is_within = (pixels >= 0) & (pixels <= np.asarray(self.image_size_px))
        found: npt.NDArray[np.bool_] = np.all(is_within, axis=1)
        return found

    def scaled(self, factor: float) -> CameraModel:
        """The model of the same picture resized by ``factor`` (pixels new / pixels old).

        The image size is rounded to whole pixels. Cropping is not resizing: it moves the origin.

        Raises:
            UsageError: if the factor is not positive or leaves no pixel.
        """
        size = np.rint(np.asarray(self.image_size_px) * max(factor, 0.0))
        if not np.isfinite(factor) or size.min() < 1:
            raise UsageError(
                expected="a factor > 0 that leaves at least one pixel",
                got=str(factor),
                where="camera model, scaled",
                action="give the new width divided by the old",
            )
        width_px, height_px = int(size[0]), int(size[1])
        if self.lens is not None and self.pose is not None:
            lens = self.lens.scaled(factor)
            return CameraModel.pinhole(
                image_size_px=(width_px, height_px), lens=lens, pose=self.pose
            )
        return CameraModel(
            image_size_px=(width_px, height_px),
            ground_from_image=self.ground_from_image @ np.diag([1 / factor, 1 / factor, 1.0]),
        )

    @property
    def digest(self) -> str:
        """Hex BLAKE2b (16 bytes) of the canonical JSON of :meth:`as_mapping`."""
        text = json.dumps(self.as_mapping(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready and exact: floats survive ``json.dumps`` and ``json.loads``."""
        plain: dict[str, Any] = {
            "format": FORMAT,
            "kind": self.kind,
            "image_size_px": list(self.image_size_px),
        }
        if self.lens is None or self.pose is None:
            return plain | {"ground_from_pixel": self.ground_from_image.tolist()}
        return plain | {
            "lens": self.lens.as_mapping(),
            "rotation": self.pose.rotation.tolist(),
            "translation_m": self.pose.translation_m.tolist(),
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> CameraModel:
        """The inverse of :meth:`as_mapping`: the same digest, the same numbers.

        Raises:
            UsageError: if the mapping is of another format or lacks something.
        """
        try:
            if plain["format"] != FORMAT or plain["kind"] not in ("pinhole", "homography"):
                raise ValueError(f"format {plain['format']}, kind {plain['kind']}")
            width_px, height_px = plain["image_size_px"]
            size = (int(width_px), int(height_px))
            if plain["kind"] == "homography":
                return cls(
                    image_size_px=size, ground_from_image=np.asarray(plain["ground_from_pixel"])
                )
            pose = Pose(
                rotation=np.asarray(plain["rotation"]),
                translation_m=np.asarray(plain["translation_m"]),
            )
            return cls.pinhole(image_size_px=size, lens=Lens.from_mapping(plain["lens"]), pose=pose)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                expected=f"a camera model of format {FORMAT}",
                got=f"{type(error).__name__}: {error}",
                where="camera model, from_mapping",
                action="read the camera file again with this version",
            ) from error

    def _full(self, what: str) -> tuple[Lens, Pose]:
        if self.lens is None or self.pose is None:
            raise UsageError(
                expected="a full camera (lens and pose)",
                got="a ground homography, which knows nothing above the ground",
                where=f"camera model, {what}",
                action="ask `kind` first, or calibrate the camera fully",
            )
        return self.lens, self.pose


def _mapped(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Apply a homography; NaN where the third coordinate is not positive."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    depth = np.where(homogeneous[:, 2] > 0, homogeneous[:, 2], np.nan)
    found: FloatArray = homogeneous[:, :2] / depth[:, None]
    return found


def _points(values: npt.ArrayLike, width: int, name: str) -> FloatArray:
    points = np.asarray(values, np.float64)
    if points.ndim != 2 or points.shape[1] != width:
        raise UsageError(
            expected=f"{name} float64[n, {width}]",
            got=str(list(points.shape)),
            where="camera model",
            action="give one row per point",
        )
    return points


def _inverse(matrix: FloatArray) -> FloatArray:
    """Refuses a singular matrix; judged after scaling, as pixels and metres differ in size."""
    scaled = matrix / np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1e-300)
    scaled = scaled / np.maximum(np.abs(scaled).max(axis=0, keepdims=True), 1e-300)
    if np.linalg.cond(scaled) > 1e12:
        raise UsageError(
            expected="a regular matrix between image and ground",
            got="a singular one",
            where="camera model",
            action="check the matrix; a camera in the ground plane sees no ground",
        )
    return np.asarray(np.linalg.inv(matrix), np.float64)


MM_PER_M = 1000.0


def tsai_camera(
    *,
    image_size_px: tuple[int, int],
    focal_mm: float,
    pixel_width_mm: float,
    pixel_height_mm: float,
    width_factor: float,
    centre_px: tuple[float, float],
    kappa1_per_mm2: float,
    rotation_rad: tuple[float, float, float],
    translation_mm: tuple[float, float, float],
) -> CameraModel:
    """A full camera from Tsai's parameters.

    The chain, with the file's names in brackets (Tsai 1987, equations 1 to 9; Willson's
    implementation fixes the order of the angles):

    1. x_camera = R x_world + T; R = Rz(rz) · Ry(ry) · Rx(rx), angles (rx, ry, rz), T in mm.
    2. undistorted sensor point X_u = f x / z in mm, f [focal].
    3. X_u = X_d (1 + kappa1 r_d²), r_d² = X_d² + Y_d² in mm²: distorted gives undistorted.
    4. pixel x = sx X_d / dpx + Cx, y = Y_d / dpy + Cy, with dpx = dx · ncx / nfx.

    Args:
        image_size_px: (width, height) of the image that was calibrated.
        focal_mm: f, > 0.
        pixel_width_mm: dpx, effective width of a pixel in the frame grabber.
        pixel_height_mm: dpy, the same for its height.
        width_factor: sx, corrects dpx for the timing of the scan lines; no unit.
        centre_px: (Cx, Cy). Published files do not say whether the top-left pixel's centre or its
            corner is (0, 0); the numbers are taken as they are, half a pixel is the doubt.
        kappa1_per_mm2: > 0 for barrel distortion.
        rotation_rad: (rx, ry, rz).
        translation_mm: (tx, ty, tz).

    Raises:
        UsageError: if a focal length or pixel size is not positive, or a number not finite.

    >>> camera = tsai_camera(image_size_px=(768, 576), focal_mm=5.0, pixel_width_mm=0.005,
    ...     pixel_height_mm=0.005, width_factor=1.0, centre_px=(384.0, 288.0), kappa1_per_mm2=0.0,
    ...     rotation_rad=(np.pi, 0.0, 0.0), translation_mm=(0.0, 0.0, 10_000.0))
    >>> camera.ground_from_pixel(np.array([[484.0, 288.0]])).round(6).tolist()
    [[1.0, 0.0]]
    """
    (sin_x, sin_y, sin_z) = (sin(angle) for angle in rotation_rad)
    (cos_x, cos_y, cos_z) = (cos(angle) for angle in rotation_rad)
    about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    about_z = np.array([[cos_z, -sin_z, 0], [sin_z, cos_z, 0], [0, 0, 1]])
    lens = Lens(
        focal_px=(width_factor * focal_mm / pixel_width_mm, focal_mm / pixel_height_mm),
        centre_px=centre_px,
        distortion="tsai",
        coefficients=(kappa1_per_mm2 * focal_mm**2,),
    )
    pose = Pose(
        rotation=about_z @ about_y @ about_x,
        translation_m=np.asarray(translation_mm) / MM_PER_M,
    )
    return CameraModel.pinhole(image_size_px=image_size_px, lens=lens, pose=pose)

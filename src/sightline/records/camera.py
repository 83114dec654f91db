"""Cameras that know the ground: where a pixel is in metres, and how sure that is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.lens import Lens
from sightline.records.pose import Pose, frozen_array
from sightline.records.windows import FloatArray

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

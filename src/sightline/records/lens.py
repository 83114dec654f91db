"""Lenses: from pixels to the directions in which light came, and back, with distortion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sightline.errors import UsageError
from sightline.records.plain_json import plain_fields
from sightline.records.windows import FloatArray

Distortion = Literal["none", "brown", "tsai"]
COEFFICIENTS: Mapping[Distortion, int] = {"none": 0, "brown": 5, "tsai": 1}

MAX_NEWTON_STEPS = 50
"""Steps to invert Brown's polynomial. A point that has not settled by then is NaN."""
MAX_BISECTIONS = 100
"""Halvings of the radius before Newton's method; about ten suffice for points in an image."""
_CLOSE = 1e-3
_SETTLED = 1e-13


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """Focal length, principal point and distortion of one camera.

    A *ray* here is (u, v) = (x / z, y / z) of a point in the camera's frame: x to the right, y
    down, z forward, no distortion. Rays have no unit; pixels are (x, y), x to the right, y down,
    (0, 0) at the outer corner of the top-left pixel.

    Attributes:
        focal_px: (x, y) focal lengths in pixels, > 0.
        centre_px: (x, y) principal point in pixels, also the centre of distortion.
        distortion: ``"none"``; ``"brown"``, the undistorted point gives the distorted one by
            Brown's polynomial, as in OpenCV; ``"tsai"``, the distorted point gives the
            undistorted one, as in Tsai (1987), equation 5.
        coefficients: for ``"brown"`` (k1, k2, p1, p2, k3), in OpenCV's order; for ``"tsai"``
            (kappa1 · f²,), which has no unit.

    Sources: Brown (1966), "Decentering distortion of lenses"; Tsai (1987), "A versatile camera
    calibration technique for high-accuracy 3D machine vision metrology", IEEE J. Robotics and
    Automation 3(4).

    >>> lens = Lens(focal_px=(800.0, 800.0), centre_px=(320.0, 240.0), distortion="tsai",
    ...             coefficients=(0.1,))
    >>> ray = lens.ray_from_pixel(np.array([[480.0, 240.0]]))
    >>> ray.round(6).tolist(), lens.pixel_from_ray(ray).round(9).tolist()
    ([[0.2008, 0.0]], [[480.0, 240.0]])
    """

    focal_px: tuple[float, float]
    centre_px: tuple[float, float]
    distortion: Distortion = "none"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        wanted = COEFFICIENTS.get(self.distortion)
        numbers = (*self.focal_px, *self.centre_px, *self.coefficients)
        if (
            wanted != len(self.coefficients)
            or len(numbers) - len(self.coefficients) != 4
            or not np.isfinite(numbers).all()
            or min(self.focal_px) <= 0
        ):
            raise UsageError(
                expected="two focal lengths > 0, a centre, and the coefficients of the distortion: "
                + ", ".join(f"{kind} {n}" for kind, n in COEFFICIENTS.items()),
                got=f"{self.focal_px}, {self.centre_px}, {self.distortion} {self.coefficients}",
                where="lens",
                action="give finite numbers; pad OpenCV's coefficients with zeros to five",
            )

    def ray_from_pixel(self, xy_px: FloatArray) -> FloatArray:
        """float64[n, 2] rays of float64[n, 2] pixels.

        NaN outside the disc in which the distortion can be inverted: further out a polynomial
        folds back and its answers mean nothing.
        """
        distorted: FloatArray = (xy_px - np.asarray(self.centre_px)) / np.asarray(self.focal_px)
        if self.distortion == "none":
            return distorted
        if self.distortion == "tsai":
            return self._tsai_ray(distorted)
        return self._brown_ray(distorted)

    def pixel_from_ray(self, ray: FloatArray) -> FloatArray:
        """float64[n, 2] pixels of float64[n, 2] rays; NaN outside the invertible disc."""
        if self.distortion == "none":
            distorted = ray
        elif self.distortion == "tsai":
            distorted = self._tsai_distorted(ray)
        else:
            is_inside = (ray * ray).sum(axis=1) < _brown_reach(self.coefficients)
            distorted = np.where(is_inside[:, None], _brown(ray, self.coefficients), np.nan)
        found: FloatArray = distorted * np.asarray(self.focal_px) + np.asarray(self.centre_px)
        return found

    def ray_jacobian(self, xy_px: FloatArray) -> FloatArray:
        """float64[n, 2, 2], derivative of the ray by the pixel, in 1 / px; rows are u and v."""
        per_px = np.diag(1.0 / np.asarray(self.focal_px))
        if self.distortion == "none":
            return np.broadcast_to(per_px, (len(xy_px), 2, 2)).copy()
        if self.distortion == "tsai":
            d = (xy_px - np.asarray(self.centre_px)) / np.asarray(self.focal_px)
            kappa = self.coefficients[0]
            stretch = 1.0 + kappa * (d * d).sum(axis=1)
            by_ray = stretch[:, None, None] * np.eye(2) + 2 * kappa * d[:, :, None] * d[:, None, :]
        else:
            by_ray = _inverse_2x2(_brown_jacobian(self.ray_from_pixel(xy_px), self.coefficients))
        found: FloatArray = by_ray @ per_px
        return found

    def scaled(self, factor: float) -> Lens:
        """The lens of the same picture resized by ``factor`` (pixels new / pixels old)."""
        return Lens(
            focal_px=(self.focal_px[0] * factor, self.focal_px[1] * factor),
            centre_px=(self.centre_px[0] * factor, self.centre_px[1] * factor),
            distortion=self.distortion,
            coefficients=self.coefficients,
        )

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return plain_fields(self)

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Lens:
        """The inverse of :meth:`as_mapping`."""
        x_focal, y_focal = plain["focal_px"]
        x_centre, y_centre = plain["centre_px"]
        return cls(
            focal_px=(float(x_focal), float(y_focal)),
            centre_px=(float(x_centre), float(y_centre)),
            distortion=plain["distortion"],
            coefficients=tuple(float(c) for c in plain["coefficients"]),
        )

    def _tsai_ray(self, distorted: FloatArray) -> FloatArray:
        kappa = self.coefficients[0]
        square = (distorted * distorted).sum(axis=1)
        # r (1 + kappa r²) rises while 1 + 3 kappa r² > 0.
        stretch = np.where(1.0 + 3.0 * kappa * square > 0, 1.0 + kappa * square, np.nan)
        found: FloatArray = distorted * stretch[:, None]
        return found

    def _tsai_distorted(self, ray: FloatArray) -> FloatArray:
        """Solve r + kappa r³ = R in closed form (Cardano; one real root, or the smallest)."""
        kappa = self.coefficients[0]
        if kappa == 0:
            return ray
        radius = np.sqrt((ray * ray).sum(axis=1))
        scale = np.sqrt(3.0 * abs(kappa))
        third = 1.5 * scale * radius
        with np.errstate(invalid="ignore"):  # beyond the fold arcsin gives the NaN we promise
            angle = np.arcsinh(third) if kappa > 0 else np.arcsin(third)
            root = 2.0 / scale * (np.sinh(angle / 3) if kappa > 0 else np.sin(angle / 3))
            shrink = np.where(radius > 0, root / np.where(radius > 0, radius, 1.0), 1.0)
        found: FloatArray = ray * np.where(np.isnan(radius), np.nan, shrink)[:, None]
        return found

    def _brown_ray(self, distorted: FloatArray) -> FloatArray:
        """Invert Brown's polynomial: bisect for the radius, then Newton's method for the point."""
        reach = _brown_reach(self.coefficients)
        ray = _without_radial(distorted, self.coefficients, reach)
        for _ in range(MAX_NEWTON_STEPS):
            error = _brown(ray, self.coefficients) - distorted
            with np.errstate(all="ignore"):  # a point that runs away becomes NaN below
                step = _inverse_2x2(_brown_jacobian(ray, self.coefficients)) @ error[:, :, None]
                ray = ray - step[:, :, 0]
            if not (np.abs(step) > _SETTLED * (1.0 + np.abs(ray[:, :, None]))).any():
                break
        with np.errstate(all="ignore"):
            error = np.abs(_brown(ray, self.coefficients) - distorted).max(axis=1, initial=0.0)
            small = 1e-10 * (1.0 + np.abs(distorted).max(axis=1, initial=0.0))
            is_good = (error < small) & ((ray * ray).sum(axis=1) < reach)
        return np.where(is_good[:, None], ray, np.nan)


def _without_radial(
    distorted: FloatArray, coefficients: tuple[float, ...], reach: float
) -> FloatArray:
    """A start near the answer, as Newton's method from the distorted point may run away."""
    k1, k2, _, _, k3 = coefficients
    target = np.sqrt((distorted * distorted).sum(axis=1))
    low = np.zeros(len(distorted))
    # Where a polynomial of this form has only risen it is above 4 r / 9.
    high = np.minimum(np.sqrt(reach), 3.0 * target)
    for _ in range(MAX_BISECTIONS):
        middle = (low + high) / 2
        s = middle * middle
        is_below = middle * (1.0 + s * (k1 + s * (k2 + s * k3))) < target
        low = np.where(is_below, middle, low)
        high = np.where(is_below, high, middle)
        if not (high - low > _CLOSE * high).any():
            break
    shrink = (low + high) / 2 / np.where(target > 0, target, 1.0)
    found: FloatArray = distorted * np.where(target > 0, shrink, 1.0)[:, None]
    return found


def _brown(ray: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    k1, k2, p1, p2, k3 = coefficients
    u, v = ray[:, 0], ray[:, 1]
    with np.errstate(all="ignore"):
        s = u * u + v * v
        radial = 1.0 + s * (k1 + s * (k2 + s * k3))
        return np.stack(
            [
                u * radial + 2 * p1 * u * v + p2 * (s + 2 * u * u),
                v * radial + p1 * (s + 2 * v * v) + 2 * p2 * u * v,
            ],
            axis=1,
        )


def _brown_jacobian(ray: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    k1, k2, p1, p2, k3 = coefficients
    u, v = ray[:, 0], ray[:, 1]
    s = u * u + v * v
    radial = 1.0 + s * (k1 + s * (k2 + s * k3))
    slope = 2 * (k1 + s * (2 * k2 + 3 * s * k3))
    cross = slope * u * v + 2 * p1 * u + 2 * p2 * v
    found = np.empty((len(ray), 2, 2))
    found[:, 0, 0] = radial + slope * u * u + 2 * p1 * v + 6 * p2 * u
    found[:, 0, 1] = cross
    found[:, 1, 0] = cross
    found[:, 1, 1] = radial + slope * v * v + 6 * p1 * v + 2 * p2 * u
    return found


def _brown_reach(coefficients: tuple[float, ...]) -> float:
    """r² of the undistorted point at which the radial polynomial stops rising; inf if never."""
    k1, k2, _, _, k3 = coefficients
    # Of 1 + 3 k1 s + 5 k2 s² + 7 k3 s³ = 0 the roots 1 / s: that polynomial begins with 1, so it
    # can be solved for any coefficients, and the smallest s is its largest root.
    roots = np.roots([1.0, 3 * k1, 5 * k2, 7 * k3])
    real = roots[np.abs(roots.imag) < 1e-9 * np.abs(roots)].real
    largest = float(real.max()) if len(real) else 0.0
    return 1.0 / largest if largest > 0 else float("inf")


def _inverse_2x2(matrix: FloatArray) -> FloatArray:
    """Inverses of float64[n, 2, 2] in closed form: a singular one gives inf or NaN, no error."""
    a, b = matrix[:, 0, 0], matrix[:, 0, 1]
    c, d = matrix[:, 1, 0], matrix[:, 1, 1]
    adjugate = np.stack([np.stack([d, -b], axis=1), np.stack([-c, a], axis=1)], axis=1)
    with np.errstate(all="ignore"):
        found: FloatArray = adjugate / (a * d - b * c)[:, None, None]
    return found

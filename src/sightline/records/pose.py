"""Where a camera stands in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
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

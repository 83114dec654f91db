"""The pictures of a run: from its log where they were kept, else from the recordings again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sightline.errors import SourceError, UsageError
from sightline.evidence.site_drawing.scene import NOT_KEPT, CameraScene, SiteScene
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Frame
from sightline.records.frames import Image
from sightline.runtime import RunDirectory
from sightline.runtime.engine.frame_shell import pixel_digest
from sightline.runtime.frames.frame_host import SITE_PARTITION
from sightline.runtime.pictures.logged_pictures import (
    PICTURE_KINDS,
    LoggedPicture,
    LoggedPictures,
)
from sightline.sense.frames.delivery import FrameItem, FrameSource


class RunPictures:
    """Finds the pictures of scenes, which must come in the order of the run.

    Holds one picture per camera. The log is read once per camera.

    Args:
        run: of a site.
        sources: by camera, recordings of what the run saw, for pictures that the log lacks.
        limits: bounds.

    Raises:
        UsageError: a source for a camera that the run does not have.
    """

    def __init__(
        self,
        run: RunDirectory,
        sources: Mapping[str, FrameSource],
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        unknown = set(sources) - set(run.site.cameras)
        if unknown:
            raise UsageError(
                expected=f"sources of cameras {', '.join(sorted(run.site.cameras))}",
                got=", ".join(sorted(unknown)),
                where=str(run.path),
                action="give cameras of the run",
            )
        keeps = run.site.pipeline.images.keep != "digest"
        self._cameras = {
            name: _CameraPictures(run, name, sources.get(name), keeps=keeps, limits=limits)
            for name in run.site.cameras
        }

    def shown(self, scene: SiteScene) -> SiteScene:
        """The scene with the pictures that can be found.

        Raises:
            SourceError: a recording has another picture in the place of a frame, or none.
            LogError: the log, or a picture in it, is damaged; or packets are decoded here to
                another picture than in the run.
            UsageError: packets, and no decoder for them is installed.
        """
        cameras = [self._cameras[camera.name].shown(camera) for camera in scene.cameras]
        return replace(scene, cameras=tuple(cameras))


class _CameraPictures:
    def __init__(
        self,
        run: RunDirectory,
        name: str,
        source: FrameSource | None,
        *,
        keeps: bool,
        limits: Limits,
    ) -> None:
        self._where = f"camera {name} of {run.path}"
        self._images = _logged(run, name, limits) if keeps else iter(())
        self._image = next(self._images, None)
        self._items: Iterator[FrameItem] | None = None if source is None else iter(source)
        self._index = -1
        self._picture: Image | None = None

    def shown(self, camera: CameraScene) -> CameraScene:
        if camera.index < 0:
            return camera
        if camera.index != self._index:
            self._picture = self._from_log(camera)
            if self._picture is None and self._items is not None:
                self._picture = self._from_source(camera, self._items)
            self._index = camera.index
        return replace(camera, picture=self._picture, note=NOT_KEPT)

    def _from_log(self, camera: CameraScene) -> Image | None:
        while self._image is not None and self._image.capture_ns < camera.capture_ns:
            self._image = next(self._images, None)
        image = self._image
        if image is None or image.capture_ns != camera.capture_ns:
            return None
        if image.logged is None:  # a file: JPEG is not bit by bit what was looked at
            return image.pixels()
        return image.frame(index=camera.index, received_ns=0, digest=camera.digest).pixels

    def _from_source(self, camera: CameraScene, items: Iterator[FrameItem]) -> Image:
        """The frame of the same number; another picture is no evidence and is refused."""
        for item in items:
            if not isinstance(item, Frame) or item.index < camera.index:
                continue
            digest = pixel_digest(item) if item.index == camera.index else "none"
            if digest == camera.digest:
                return item.pixels
            self._refuse(camera, f"frame {item.index} with digest {pixel_digest(item)}")
        self._refuse(camera, "the end of the recording")
        raise AssertionError

    def _refuse(self, camera: CameraScene, got: str) -> None:
        raise SourceError(
            expected=f"frame {camera.index} with pixel digest {camera.digest}, as logged",
            got=got,
            where=self._where,
            action="give the recording that the run was made from, unchanged, read with the "
            "same decoder; or leave --source out",
        )


def _logged(run: RunDirectory, camera: str, limits: Limits) -> Iterator[LoggedPicture]:
    """Each picture of a camera that the log kept, ascending; some twice where it was resumed."""
    pictures = LoggedPictures()
    entries = read_entries(
        run.storage,
        SITE_PARTITION,
        kinds=PICTURE_KINDS,
        skip_pruned=True,
        limits=limits,
    )
    for entry in entries:
        if entry.name == camera:
            yield from pictures.take(entry)
    yield from pictures.rest()

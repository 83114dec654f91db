"""Drawing the run of a site: pictures, tracks, zones and commands, from its log.

Drawing is pure: a :class:`SiteScene` and a :class:`SiteLayout` in, an image out. Scenes come from
a replay of the log, so what is drawn is what was decided.
"""

from sightline.evidence.drawing.composition import SiteLayout, draw_site
from sightline.evidence.drawing.rendering import Rendered, render_still, render_video
from sightline.evidence.drawing.scenes import CameraScene, MachineScene, SiteScene, run_scenes

__all__ = [
    "CameraScene",
    "MachineScene",
    "Rendered",
    "SiteLayout",
    "SiteScene",
    "draw_site",
    "render_still",
    "render_video",
    "run_scenes",
]

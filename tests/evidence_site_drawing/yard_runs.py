"""Small runs of the simulated yard, to be drawn."""

from sightline.runtime.frames.site_run import SiteOptions, run_site

from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from simulation.site_cases import camera, plan_of, told, two_cameras, walker, yard

__all__ = ["INSIDE", "camera", "made_run", "plan_of", "run_yard", "told", "two_cameras"]
__all__ += ["walker", "yard"]

INSIDE = [[200.0, 100.0, 220.0, 160.0]]
ENTERS_NS = 4 * NS_PER_S


def run_yard(plan, out, cameras, detectors=None):
    run_site(
        plan,
        {one.stream: one for one in cameras},
        out,
        detectors=told(plan) if detectors is None else detectors,
        options=SiteOptions(durable=False),
    )
    return RunDirectory.open(out)


def made_run(folder, *, keep):
    """Six seconds; from the fourth on the detector sees somebody in the pit."""
    plan = plan_of(yard(images={"keep": keep}))
    detectors = told(plan, lambda at_ns: INSIDE if at_ns >= ENTERS_NS else [])
    return run_yard(plan, folder / "run", [camera(seconds=6, things=[walker()])], detectors)

"""A trial as a video or a picture: run again from its seed, and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import cv2

from benchmarks.safety.scene import Scene
from benchmarks.safety.scene_drawing import SceneConfig, draw_clear, draw_conflict
from benchmarks.safety.trial import Deployment, Moment, Trial, run_trial
from benchmarks.safety.trial_picture import SIZE_PX, Story, draw_moment
from sightline.errors import StorageError, UsageError
from sightline.evidence.drawing.rendering import movie

MAX_MOVIES = 20
"""Videos of one evaluation; of more lost or falsely stopped trials the first are drawn."""


class Kind(StrEnum):
    """Which of the two scenes of a seed."""

    CONFLICT = "conflict"
    CLEAR = "clear"

    def scene(self, config: SceneConfig, seed: int) -> Scene:
        """The scene of a seed."""
        return (draw_conflict if self is Kind.CONFLICT else draw_clear)(config, seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A trial that was drawn.

    Attributes:
        path: of the video or picture.
        trial: what came of it.
        pictures: drawn.
    """

    path: Path
    trial: Trial
    pictures: int


def draw_trial(
    seed: int,
    kind: Kind,
    out: Path,
    *,
    at_s: float | None = None,
    config: SceneConfig | None = None,
    deployment: Deployment | None = None,
) -> Drawn:
    """Run one trial again and draw it from the moment the people become visible.

    Args:
        seed: of the scene.
        kind: of the scene.
        out: ``X.mp4``, or ``X.png`` together with ``at_s``.
        at_s: scene time of a still; None for a video.
        config: what scenes are drawn from.
        deployment: what decides.

    Raises:
        UsageError: another ending, or a trial in which the people never became visible.
        StorageError: the file cannot be written.
    """
    if (out.suffix.lower() == ".png") != (at_s is not None) or (
        at_s is None and out.suffix.lower() != ".mp4"
    ):
        raise UsageError(
            expected="X.mp4, or X.png with a time",
            got=out.name + ("" if at_s is None else f" at {at_s:g} s"),
            where="the drawing of a trial",
            action="mend the name or the time",
        )
    story, trial = _story(seed, kind, config or SceneConfig(), deployment or Deployment())
    if at_s is not None:
        apart = [abs(moment.time_s - at_s) for moment in story.moments]
        if not cv2.imwrite(str(out), draw_moment(story, apart.index(min(apart)))):
            raise StorageError(
                expected="a file that can be written",
                got="nothing",
                where=str(out),
                action="check the folder and the free space",
            )
        return Drawn(path=out, trial=trial, pictures=1)
    period_s = (deployment or Deployment()).sensor.period_s
    with movie(out, size_px=SIZE_PX, rate_hz=1 / period_s) as film:
        for index, moment in enumerate(story.moments):
            film.add(draw_moment(story, index), moment.time_s)
    return Drawn(path=out, trial=trial, pictures=len(story.moments))


def draw_failures(
    missed_seeds: Sequence[int],
    false_stop_seeds: Sequence[int],
    folder: Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """A video of each lost and each falsely stopped trial, lost ones first, MAX_MOVIES at most.

    Args:
        missed_seeds: of conflicts that were not stopped in time.
        false_stop_seeds: of scenes without conflict that were stopped.
        folder: made if it is not there.
        progress: told of every video, and of those that are left out.

    Returns:
        The videos.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(seed, Kind.CONFLICT) for seed in missed_seeds]
    wanted += [(seed, Kind.CLEAR) for seed in false_stop_seeds]
    paths: list[Path] = []
    for seed, kind in wanted[:MAX_MOVIES]:
        name = "lost" if kind is Kind.CONFLICT else "false-stop"
        paths.append(draw_trial(seed, kind, folder / f"{name}-{seed}.mp4").path)
        progress(f"drawn: {paths[-1]}")
    if len(wanted) > MAX_MOVIES:
        progress(f"not drawn: {len(wanted) - MAX_MOVIES} more than {MAX_MOVIES}")
    return paths


def _story(
    seed: int, kind: Kind, config: SceneConfig, deployment: Deployment
) -> tuple[Story, Trial]:
    scene = kind.scene(config, seed)
    moments: list[Moment] = []
    trial = run_trial(scene, deployment, watch=moments.append)
    visible = tuple(moment for moment in moments if moment.time_s >= 0)
    if not visible:
        raise UsageError(
            expected="a trial in which the vehicle comes into service",
            got="one in which it never did",
            where=f"seed {seed}, {kind}",
            action="choose another seed, or mend the deployment",
        )
    story = Story(
        title=f"{kind}, seed {seed}: {_outcome(trial, kind)}",
        scene=scene,
        rule=deployment.machine_rule(scene),
        moments=visible,
        stops_s=tuple(stop.time_s for stop in trial.stops),
        latest_stop_s=trial.latest_stop_s if kind is Kind.CONFLICT else float("inf"),
    )
    return story, trial


def _outcome(trial: Trial, kind: Kind) -> str:
    if kind is Kind.CLEAR:
        return "falsely stopped" if trial.stops else "driven through"
    return f"in time, {trial.spare_s:.2f} s to spare" if trial.is_in_time else "lost"

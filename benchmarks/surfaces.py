"""Inspectors of surfaces, by quarters of the parts; how long a picture takes.

Parts (not pictures) are dealt out in quarters by the seed. An inspector learns from the good
pictures of three of them and is held against all pictures of the fourth. Settings are chosen on
quarters 1 and 3; quarters 0 and 2 are for the figures that are told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.evidence.inspection.evaluation import evaluate_model
from sightline.evidence.inspection.threshold import part_scores
from sightline.evidence.inspection.training import (
    NETWORK_SHARE,
    open_backbone,
    train_inspector,
)
from sightline.perceive.inspection import InspectionSettings
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.inspector_model import InspectorModel, load_inspector
from sightline.perceive.inspection.segmentation import NetworkSettings
from sightline.runtime.engine.isolated import ONE_THREAD
from sightline.sense.frames.image_files import decode_image
from sightline.sense.frames.part_pictures import PartPicture, find_part_pictures, read_picture

Progress = Callable[[str], None]
QUARTERS = 4
_SEED = 77
_SIDE_PX = 256
_TIMED = 200
_TIMEOUT_S = 600.0
_CHECKOUT = Path(__file__).parents[1]
_TOLD_EVERY = 100


def quarter_of_parts(pictures: Sequence[PartPicture]) -> dict[str, int]:
    """The quarter of each part."""
    parts = sorted({one.part for one in pictures})
    order = np.random.default_rng(_SEED).permutation(len(parts)).tolist()
    return {parts[i]: k % QUARTERS for k, i in enumerate(order)}


def bench_surfaces(
    folder: Path,
    *,
    quarter: int,
    part: str | None = None,
    part_gap: int = 0,
    labels: str = "none",
    is_network: bool = False,
    minutes: float = 10.0,
    model: Path | None = None,
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """Figures of one quarter of the parts, and times of pictures of 256 x 256.

    Args:
        folder: of the pictures.
        quarter: that is not learnt from, 0 to 3.
        part, part_gap: which picture shows which part, as in ``sightline train inspection``.
        labels: ``masks`` also learns from the marked defects of the other quarters.
        is_network: with a segmentation network, as ``--head network`` of the command.
        minutes: that learning a network may take, as of the command.
        model: where the inspector is written; None: it is not kept.
        progress: told what is being done.
    """
    pictures = find_part_pictures(folder, part_pattern=part, part_gap=part_gap)
    quarter_of = quarter_of_parts(pictures)
    others = [one for one in pictures if quarter_of[one.part] != quarter]
    own = [one for one in pictures if quarter_of[one.part] == quarter]
    with tempfile.TemporaryDirectory() as name:
        out = model or Path(name) / "model"
        progress(f"learning from three quarters of {len(quarter_of)} parts")
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        card = train_inspector(
            others,
            out,
            backbone=open_backbone("wheel"),
            settings=InspectionSettings(),
            labels=labels,
            network=NetworkSettings() if is_network else None,
            told=lambda done, of: progress(f"{done} of {of}") if done % _TOLD_EVERY == 0 else None,
            spent=lambda: (time.perf_counter() - began_s) / (60 * minutes * NETWORK_SHARE),
        )
        took = {
            "wall_s": round(time.perf_counter() - began_s, 1),
            "processor_s": round(time.process_time() - began_cpu_s, 1),
        }
        loaded = load_inspector(out)
        progress(f"looking at quarter {quarter}")
        found = evaluate_model(loaded, own)
        speed = timed_apart(out, own)
    good = [i for i, one in enumerate(found.pictures) if one.is_good]
    unseen = part_scores(
        [float(found.score[i]) for i in good], [found.pictures[i].part for i in good]
    )
    return {
        "quarter": quarter,
        "learning": took,
        "mean_auroc_of_classes": round(
            float(np.mean([one["auroc"].value for one in found.per_class.values()])), 4
        ),
        "threshold": card["threshold"],
        "scores_of_good_parts": {
            "as_strangers_in_training": card["threshold"]["held_back_scores"],
            "kept_apart": score_quantiles(unseen),
        },
        "figures": found.as_mapping(),
        "speed": speed,
    }


def score_quantiles(scores: Floats) -> dict[str, float]:
    """Median, 90 and 95 percent, and greatest."""
    quantiles = np.quantile(scores, [0.5, 0.9, 0.95, 1.0])
    return dict(zip(("p50", "p90", "p95", "most"), quantiles.round(3).tolist(), strict=True))


def timed_apart(model: Path, pictures: Sequence[PartPicture]) -> dict[str, Any]:
    """:func:`time_pictures` in a process of its own.

    The libraries of this one have a thread for each core; on one core they would fight.
    """
    paths = [str(one.path.resolve()) for one in pictures[: _TIMED // 4]]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.surfaces", str(model.resolve()), *paths],
        cwd=_CHECKOUT,
        env=os.environ | ONE_THREAD,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def time_pictures(model: InspectorModel, paths: Sequence[Path]) -> dict[str, Any]:
    """Milliseconds from the bytes of a JPEG of 256 x 256 to score, heat and boxes, on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        files = [small_jpeg(path) for path in paths]
        wall_ms, processor_ms = [], []
        for k in range(_TIMED + 5):
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            pixels = decode_image(files[k % len(files)], max_frame_px=_SIDE_PX * _SIDE_PX)
            assert isinstance(pixels, np.ndarray)
            model.inspect(pixels)
            wall_ms.append(1000 * (time.perf_counter() - began_s))
            processor_ms.append(1000 * (time.process_time() - began_cpu_s))
    finally:
        os.sched_setaffinity(0, cores)
    found: dict[str, Any] = {}
    for name, values in (("wall_ms", wall_ms[5:]), ("processor_ms", processor_ms[5:])):
        cut = np.quantile(values, [0.5, 0.95, 0.99, 1.0]).round(2).tolist()
        found[name] = dict(zip(("p50", "p95", "p99", "worst"), cut, strict=True))
    return found | {"pictures_per_processor_s": round(1000 / float(np.mean(processor_ms[5:])), 1)}


def small_jpeg(path: Path) -> bytes:
    """A picture as a JPEG of 256 x 256."""
    pixels = read_picture(path)
    assert isinstance(pixels, np.ndarray)
    return cv2.imencode(".jpg", cv2.resize(pixels, (_SIDE_PX, _SIDE_PX)))[1].tobytes()


if __name__ == "__main__":
    model, *pictures = map(Path, sys.argv[1:])
    sys.stdout.write(json.dumps(time_pictures(load_inspector(model), pictures)))

"""Inspectors of surfaces beside anomalib's PatchCore with the same backbone, in one run.

Both learn from the same good pictures of three quarters of the parts and look at the pictures of
the fourth. Sightline takes pictures at their own size, PatchCore at 256 x 256, as it does by
default. Times are of pictures of 256 x 256 on one core, one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.surfaces import quarter_of_parts, small_jpeg, timed_apart
from sightline.evidence.inspection.evaluation import evaluate_model
from sightline.evidence.inspection.scores import auroc
from sightline.evidence.inspection.training import open_backbone, train_inspector
from sightline.perceive.inspection import InspectionSettings
from sightline.perceive.inspection.inspector_model import load_inspector
from sightline.runtime.engine.isolated import ONE_THREAD
from sightline.sense.frames.part_pictures import PartPicture, find_part_pictures

Progress = Callable[[str], None]
RATIO_BOUND = 5.0
"""Times that a picture takes PatchCore as long as ours, which is asked for."""
_SEED = 5
_TIMED = 100
_TIMEOUT_S = 3600.0
_CHECKOUT = Path(__file__).parents[1]


def bench_patchcore(
    folder: Path,
    *,
    quarter: int,
    part: str | None = None,
    part_gap: int = 0,
    most: int = 200,
    share: float = 0.01,
    peer_python: Path = Path(".venv-anomalib/bin/python"),
    progress: Progress = lambda text: None,
) -> dict[str, Any]:
    """AUROC by class and time of a picture, of both.

    Args:
        folder: of the pictures.
        quarter: that is not learnt from, 0 to 3.
        part, part_gap: which picture shows which part, as in ``sightline train inspection``.
        most: good pictures that are learnt from, drawn at random.
        share: of the patches that PatchCore keeps. A tenth is its default, which takes hours to
            choose without a GPU; times are told of both.
        peer_python: interpreter that has anomalib; absent means it is skipped, with a reason.
        progress: told what is being done.
    """
    pictures = find_part_pictures(folder, part_pattern=part, part_gap=part_gap)
    quarter_of = quarter_of_parts(pictures)
    good = [one for one in pictures if one.is_good and quarter_of[one.part] != quarter]
    drawn = np.random.default_rng(_SEED).permutation(len(good))[:most]
    learn = [good[i] for i in sorted(drawn.tolist())]
    look = [one for one in pictures if quarter_of[one.part] == quarter]
    result = {"quarter": quarter, "learnt_from": len(learn), "looked_at": len(look)}
    with tempfile.TemporaryDirectory() as name:
        progress("ours")
        ours = _ours(learn, look, Path(name) / "model")
        if not peer_python.exists():
            reason = f"no interpreter at {peer_python}: run `make peer-anomalib`"
            return result | {"ours": ours, "patchcore": {"skipped": reason}}
        progress("PatchCore")
        peer = _peer(learn, look, Path(name), share=share, python=peer_python.absolute())
    ours_ms = ours["processor_ms"]["p50"]
    ratio = peer["kept_by_default"]["processor_ms"]["p50"] / ours_ms
    return result | {
        "ours": ours,
        "patchcore": peer,
        "patchcore_over_ours": round(ratio, 2),
        "patchcore_over_ours_with_the_share": round(
            peer["kept"]["processor_ms"]["p50"] / ours_ms, 2
        ),
        "patchcore_over_ours_bound": RATIO_BOUND,
        "is_within_bound": ratio >= RATIO_BOUND,
        "is_auroc_equal_or_better": ours["mean_auroc_of_classes"] >= peer["mean_auroc_of_classes"],
    }


def _ours(learn: list[PartPicture], look: list[PartPicture], out: Path) -> dict[str, Any]:
    began_s = time.process_time()
    train_inspector(
        learn, out, backbone=open_backbone("wheel"), settings=InspectionSettings(), labels="none"
    )
    learning_s = time.process_time() - began_s
    found = evaluate_model(load_inspector(out), look)
    return {
        "learning_processor_s": round(learning_s, 1),
        **aurocs(found.score.tolist(), list(found.pictures)),
        **timed_apart(out, look),
    }


def _peer(
    learn: list[PartPicture], look: list[PartPicture], folder: Path, *, share: float, python: Path
) -> dict[str, Any]:
    task: dict[str, Any] = {"share": share, "timed": _TIMED}
    for name, pictures in (("learn", learn), ("look", look)):
        task[name] = []
        for k, one in enumerate(pictures):
            path = folder / f"{name}{k}.jpg"
            path.write_bytes(small_jpeg(one.path))
            task[name].append(str(path))
    (folder / "task.json").write_text(json.dumps(task))
    done = subprocess.run(
        [python, "-m", "benchmarks.peers.anomalib_patchcore", str(folder / "task.json")],
        cwd=_CHECKOUT,
        env=os.environ | ONE_THREAD | {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    return {
        "versions": said["versions"],
        "learning_processor_s": round(said["learning_processor_s"], 1),
        **aurocs(said["score"], look),
        **{name: _times(said[name]) for name in ("kept", "kept_by_default")},
    }


def _times(of: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"patches": of["patches"]}
    for name in ("wall_ms", "processor_ms"):
        cut = np.quantile(of[name], [0.5, 0.95, 0.99, 1.0]).round(2).tolist()
        found[name] = dict(zip(("p50", "p95", "p99", "worst"), cut, strict=True))
    return found


def aurocs(score: list[float], pictures: list[PartPicture]) -> dict[str, Any]:
    """AUROC of each class against the good pictures, and their mean."""
    values, classes = np.array(score), np.array([one.class_name for one in pictures])
    is_good = np.array([one.is_good for one in pictures])
    found = {}
    for name in sorted({*classes[~is_good].tolist()}):
        chosen = is_good | (classes == name)
        found[name] = round(auroc(values[chosen], ~is_good[chosen]), 4)
    return {"auroc": found, "mean_auroc_of_classes": round(float(np.mean([*found.values()])), 4)}

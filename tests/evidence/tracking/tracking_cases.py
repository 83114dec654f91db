"""Small sequences: boxes by frame, identity and place."""

import os
from pathlib import Path

import numpy as np

from sightline.sense.frames.mot_files import MotTable

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))


def table(rows, *, scores=None, classes=None):
    """(frame, id, left, top, right, bottom) as a table; unsorted rows are sorted by frame."""
    values = np.array(rows, np.float64).reshape(-1, 6)
    order = np.argsort(values[:, 0], kind="stable")
    values = values[order]
    n = len(values)
    return MotTable(
        frame=values[:, 0].astype(np.int64),
        track_id=values[:, 1].astype(np.int64),
        box_px=values[:, 2:],
        score=np.ones(n) if scores is None else np.array(scores, np.float64)[order],
        class_id=np.full(n, -1) if classes is None else np.array(classes, np.int64)[order],
        has_classes=classes is not None,
    )


def path(identity, frames, *, at=0.0):
    """The same 10 x 10 box, ``at`` pixels from the left, in each of the frames."""
    return [(frame, identity, at, 0, at + 10, 10) for frame in frames]


def random_pair(rng, *, is_rough=False):
    """Truth and tracks as MOTChallenge rows: misses, false boxes, lost and swapped identities.

    Rough boxes lie on a grid of 5 px, so that many overlaps are exactly equal.
    """
    frames, identities = int(rng.integers(2, 40)), int(rng.integers(1, 10))
    start = rng.uniform(0, 200, (identities, 2))
    velocity = rng.normal(0, 3, (identities, 2))
    size = rng.uniform(15, 60, (identities, 2))
    of_identity = rng.permutation(identities) + 1
    noise = rng.choice([0.0, 2.0, 6.0, 15.0]) * np.array([1, 1, 0.3, 0.3])
    truth, tracks = [], []
    for frame in range(1, frames + 1):
        for i in np.flatnonzero(rng.random(identities) < 0.85):
            box = np.concatenate([start[i] + velocity[i] * frame, size[i]])
            truth.append([frame, i + 1, *box])
            if rng.random() < 0.1:
                of_identity[i] = of_identity.max() + 1
            if rng.random() < 0.03:
                j = rng.integers(identities)
                of_identity[[i, j]] = of_identity[[j, i]]
            if rng.random() < 0.85:
                seen = box + rng.normal(0, 1, 4) * noise
                tracks.append([frame, of_identity[i], *seen])
    spare = of_identity.max() + 1
    for frame in rng.integers(1, frames + 3, frames // 2):
        place = [*rng.uniform(0, 200, 2), *rng.uniform(15, 60, 2)]
        tracks.append([frame, spare + rng.integers(5), *place])
    gaps = rng.integers(1, frames + 1, 2)  # frames without any truth, and without any track
    truth = [row for row in truth if row[0] != gaps[0]] or [[1, 1, 0, 0, 20, 20]]
    tracks = [row for row in tracks if row[0] != gaps[1]] or [[1, 1, 0, 0, 20, 20]]
    return _whole(truth, is_rough), _whole(tracks, is_rough)


def _whole(rows, is_rough):
    values = np.array(rows, np.float64)
    if is_rough:
        values[:, 2:] = np.round(values[:, 2:] / 5) * 5
    values[:, 4:] = np.maximum(values[:, 4:], 5)
    _, first = np.unique(values[:, :2], axis=0, return_index=True)  # an id once in a frame
    return values[np.sort(first)]


def save(file, rows, *, scores=None, classes=None):
    """MOTChallenge rows (frame, id, left, top, width, height) as a file, to 17 digits."""
    n = len(rows)
    columns = [rows, np.ones((n, 1)) if scores is None else np.reshape(scores, (n, 1))]
    if classes is None:
        columns.append(np.full((n, 3), -1.0))
    else:
        columns += [np.reshape(classes, (n, 1)), np.ones((n, 1))]
    np.savetxt(file, np.concatenate(columns, axis=1), delimiter=",", fmt="%.17g")
    return file

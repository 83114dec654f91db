"""Our scorer against an independent one, run in its own environment: every number must agree."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from evidence.tracking.tracking_cases import DATA, random_pair, save
from sightline.evidence.tracking import score_tracks
from sightline.sense.frames.mot_files import read_tracks, read_truth

ROOT = Path(__file__).parents[3]
PEER = ROOT / ".venv-peers" / "bin" / "python"

RATIOS = {
    "HOTA": "HOTA",
    "DetA": "DetA",
    "AssA": "AssA",
    "LocA": "LocA",
    "DetRe": "DetRe",
    "DetPr": "DetPr",
    "AssRe": "AssRe",
    "AssPr": "AssPr",
    "MOTA": "MOTA",
    "MOTP": "MOTP",
    "recall": "CLR_Re",
    "precision": "CLR_Pr",
    "IDF1": "IDF1",
    "IDP": "IDP",
    "IDR": "IDR",
}
COUNTS = {
    "TP": "CLR_TP",
    "FP": "CLR_FP",
    "FN": "CLR_FN",
    "switches": "IDSW",
    "fragmentations": "Frag",
    "MT": "MT",
    "PT": "PT",
    "ML": "ML",
    "IDTP": "IDTP",
    "IDFP": "IDFP",
    "IDFN": "IDFN",
}
UNDEFINED = {"MOTP": 0.0, "LocA": 1.0}  # what the other one says where there is no match
LAST_DIGITS = 1e-14  # sums in another order; ratios are at most 1


def peer(module, *arguments):
    done = subprocess.run(
        [PEER, "-W", "ignore", "-m", f"benchmarks.peers.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module", autouse=True)
def _has_peer():
    if not PEER.exists():
        pytest.skip(f"no interpreter at {PEER.relative_to(ROOT)}: run `make peers`")
    found = subprocess.run([PEER, "-c", "import trackers"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"{PEER.relative_to(ROOT)} has no package `trackers`: run `make peers`")


def agree(ours, theirs):
    for name, other in COUNTS.items():
        assert ours[name] == theirs[other], name
    for name, other in RATIOS.items():
        value = UNDEFINED[name] if ours[name] is None else ours[name]
        assert abs(value - theirs[other]) <= LAST_DIGITS, name


def compare(pairs):
    theirs = peer("trackers_score", *(file for pair in pairs for file in pair))
    for (truth, tracks), other in zip(pairs, theirs, strict=True):
        agree(score_tracks(read_truth(truth), read_tracks(tracks)).as_mapping(), other)


@pytest.mark.parametrize("is_rough", [False, True])
def test_random_tracks_get_the_same_score_from_both(tmp_path, is_rough):
    rng = np.random.default_rng(2 + is_rough)
    pairs = []
    for i in range(40):
        truth, tracks = random_pair(rng, is_rough=is_rough)
        pairs.append((save(tmp_path / f"{i}.gt", truth), save(tmp_path / f"{i}.txt", tracks)))
    compare(pairs)


def test_classes_flags_and_distractors_are_treated_the_same(tmp_path):
    rng = np.random.default_rng(5)
    kinds = np.array([1, 1, 8, 1, 7, 2, 12, 4, 1, 1])  # pedestrians, distractors, a vehicle
    pairs = []
    for i in range(40):
        truth, tracks = random_pair(rng)
        identity = truth[:, 1].astype(int)
        truth_file = save(
            tmp_path / f"{i}.gt", truth, scores=identity % 7 != 6, classes=kinds[identity % 10]
        )
        pairs.append((truth_file, save(tmp_path / f"{i}.txt", tracks)))
    compare([pair for pair in pairs if (np.loadtxt(pair[0], delimiter=",")[:, 7] == 1).any()])


@pytest.mark.parametrize(
    ("sequence", "truth", "last"),
    [
        ("mot15/TUD-Campus", "gt.txt", 71),
        ("pets2009_s2l1", "gt_frames_1_400.txt", 400),
    ],
)
def test_five_trackers_on_real_people_get_the_same_score_from_both(tmp_path, sequence, truth, last):
    folder = DATA / sequence
    if not folder.exists():
        pytest.skip(f"no recording at {folder}")
    made = peer("trackers_mot", folder / "det.txt", tmp_path)
    assert len(made["trackers"]) == 5
    pairs = []
    for name in made["trackers"]:
        rows = np.loadtxt(tmp_path / f"{name}.txt", delimiter=",")
        file = save(tmp_path / f"{name}-part.txt", rows[rows[:, 0] <= last][:, :6])
        pairs.append((folder / truth, file))
    compare(pairs)

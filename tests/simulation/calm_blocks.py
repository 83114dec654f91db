"""Scenes in which it is hard to tell, any number of them, kept as they are judged.

    python tests/simulation/calm_blocks.py KEPT.jsonl --first 1000 --scenes 1000

With ``--kind "weak scores"`` all of them are of that kind; give them a file of their own.

Each verdict is a line of KEPT.jsonl as soon as it is known. Seeds that are in the file are not run
again, so what was stopped goes on where it was. Every 50 scenes the totals so far are printed;
exit code 1 when a machine was calm while somebody was in the pit.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from simulation.calm import KINDS, Verdict, draw_scene, judge, run_scene, shares

BLOCK = 50


def kept_verdicts(path):
    """The verdicts in a file, by seed; a last line that was cut off is left out."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    verdicts = (Verdict(**json.loads(line)) for line in lines if line.endswith("\n"))
    return {verdict.seed: verdict for verdict in verdicts}


def run_block(path, seeds, kind):
    """Judge these scenes, a line of the file for each."""
    for seed in seeds:
        scene = draw_scene(seed, kind)
        with tempfile.TemporaryDirectory() as folder, path.open("a") as kept:
            run_scene(scene, Path(folder) / "run")
            kept.write(json.dumps(asdict(judge(scene, Path(folder) / "run"))) + "\n")


def main():
    """Run what is missing, in blocks, and say after each what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kept", type=Path)
    parser.add_argument("--first", type=int, default=1_000)
    parser.add_argument("--scenes", type=int, default=1_000)
    parser.add_argument("--kind", choices=list(KINDS))
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.scenes)
    for at in range(0, len(seeds), BLOCK):
        block = seeds[at : at + BLOCK]
        kept = kept_verdicts(asked.kept)
        run_block(asked.kept, [seed for seed in block if seed not in kept], asked.kind)
        verdicts = [v for v in kept_verdicts(asked.kept).values() if v.seed in seeds]
        print(f"seeds {seeds[0]} to {block[-1]}", *shares(verdicts), sep="\n", flush=True)
    sys.exit(any(v.is_false_calm for v in verdicts))


if __name__ == "__main__":
    main()

"""Drawn B-scans: grain, layers, and the chevron of a flaw whose echo grows with its size."""

import cv2
import numpy as np

SIDE = 64


def drawn_scan(size, random):
    """uint16[64, 64]; size 0 is no flaw. An echo is 140 per unit of size, give or take a half."""
    grain = np.abs(cv2.GaussianBlur(random.normal(size=(SIDE, SIDE)), (0, 0), 1.0)) * 400
    layers = 250 * (np.sin(np.arange(SIDE) / 2.5)[:, None] > 0.6)
    scan = grain + layers + 60
    if size > 0:
        row, column = random.integers(20, 44), random.integers(12, 52)
        y, x = np.mgrid[:SIDE, :SIDE]
        along = y - row - 0.8 * np.abs(x - column)
        shape = np.exp(-((along / 7) ** 2) - ((x - column) / 3.5) ** 2)
        scan = scan + 140 * size * np.exp(random.normal() * 0.45) * shape
    return np.clip(scan, 0, 65535).astype(np.uint16)


def write_scans(folder, sizes, *, seed):
    """NAME.bins, .meta and .labels; the path of the first."""
    random = np.random.default_rng(seed)
    scans = np.stack([drawn_scan(size, random) for size in sizes])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scans.bins"
    path.write_bytes(scans.astype("<u2").tobytes())
    path.with_suffix(".meta").write_text(f"UInt16, {SIDE} x {SIDE} x {len(sizes)}")
    lines = [f"{int(size > 0)}\t{size}" for size in sizes]
    path.with_suffix(".labels").write_text("\n".join(lines) + "\n")
    return path

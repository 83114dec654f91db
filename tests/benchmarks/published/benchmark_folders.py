"""Small folders in the form of the published benchmarks, with anomalies that were put in."""

import json
from datetime import datetime, timedelta

import numpy as np
import polars as pl

ROWS = 2000
FAULT = slice(1500, 1560)


def series(seed=0, *, rows=ROWS, fault=FAULT):
    """A noisy wave that is stuck for a while."""
    rng = np.random.default_rng(seed)
    values = np.sin(np.arange(rows) / 6) + rng.normal(0, 0.05, rows)
    if fault is not None:
        values[fault] = 0.5
    return values


def nasa_folder(folder, *, channels=("A-1", "B-2"), has_labels=True):
    for seed, name in enumerate(channels):
        test = np.stack([series(seed), np.zeros(ROWS)], axis=1)
        np.savez(folder / f"{name}.npz", train=test[:500], test=test)
    if has_labels:
        lines = [f'{name},SMAP,"[[1500, 1559]]",[contextual],2000' for name in channels]
        head = "chan_id,spacecraft,anomaly_sequences,class,num_values"
        (folder / "labeled_anomalies.csv").write_text("\n".join([head, *lines]))
    return folder


def nab_folder(folder):
    start = datetime(2026, 1, 1)
    stamps = [str(start + timedelta(minutes=5 * i)) for i in range(ROWS)]
    for name in ("real/pump.csv", "made/fan.csv"):
        path = folder / "data" / name
        path.parent.mkdir(parents=True)
        pl.DataFrame({"timestamp": stamps, "value": series(len(name))}).write_csv(path)
    windows = [[f"{stamps[1450]}.000000", f"{stamps[1650]}.000000"]]
    (folder / "labels").mkdir()
    (folder / "labels" / "combined_windows.json").write_text(
        json.dumps({"real/pump.csv": windows, "made/fan.csv": windows, "real/gone.csv": []})
    )
    return folder


def skab_folder(folder):
    label = np.zeros(ROWS)
    label[FAULT] = 1.0
    for run in ("valve/0", "valve/1"):
        path = folder / f"{run}.csv"
        path.parent.mkdir(exist_ok=True)
        pl.DataFrame(
            {
                "datetime": [str(i) for i in range(ROWS)],
                "pressure": series(1),
                "current": series(2, fault=None),
                "anomaly": label,
                "changepoint": label,
            }
        ).write_csv(path, separator=";")
    pl.DataFrame({"datetime": ["0"], "pressure": [1.0]}).write_csv(
        folder / "clean.csv", separator=";"
    )
    return folder


def opssat_folder(folder, *, has_test=False):
    rng = np.random.default_rng(0)
    label = rng.random(300) < 0.2
    values = np.exp(rng.normal(0, 0.3, (300, 4)) * (1 + 5 * label[:, None]) + label[:, None])
    pl.DataFrame(
        {
            "segment": np.arange(300),
            "anomaly": label.astype(int),
            "train": (np.arange(300) % 4 != 0).astype(int) if has_test else np.ones(300, int),
            "channel": np.where(np.arange(300) % 2, "odd", "even"),
            **{f"f{k}": values[:, k] for k in range(4)},
        }
    ).write_csv(folder / "dataset.csv")
    return folder

"""Explained events as files: JSON with everything, and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sightline.errors import StorageError
from sightline.evidence.alert_account.series_alert import SeriesAlert
from sightline.evidence.alert_account.series_picture import draw_series_alert


def write_series_alerts(
    folder: Path, alerts: Sequence[SeriesAlert], *, value: str = "value"
) -> list[Path]:
    """Write ``event-N.json`` and ``event-N.png`` for each event, N its rank.

    Args:
        folder: made if it is not there; files of these names are replaced.
        alerts: what was explained.
        value: name of what is measured.

    Returns:
        Paths of the files.

    Raises:
        StorageError: the folder or a file cannot be written.
        UsageError: a picture cannot be drawn, see :func:`.draw_series_alert`.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for alert in alerts:
            path = folder / f"event-{alert.rank}.json"
            plain = {"value": value} | alert.as_mapping()
            path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", "utf-8")
            written += [path, path.with_suffix(".png")]
            draw_series_alert(path.with_suffix(".png"), alert, value=value)
    except OSError as error:
        raise StorageError(
            expected="a folder that can be written",
            got=error.strerror or type(error).__name__,
            where=str(folder),
            action="check the folder and the free space",
        ) from error
    return written

"""``sightline tiles``: from a file of detections to a map."""

import json

import polars as pl
import pytest

from sightline.cli.tiles_command import tiles
from sightline.errors import SourceError, UsageError

ROWS = """when,lon,lat,score
2026-01-01T00:00:00Z,10.0,50.0,0.9
2026-01-01T01:00:00Z,10.0,50.0,0.5
2026-01-01T01:00:10Z,10.1,50.0,0.7
2026-01-01T01:00:20Z,-170.0,89.0,0.8
no time,1,1,1
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "found.csv").write_text(ROWS)
    return tmp_path / "found.csv"


def run(file, out, **options):
    tiles(file, **{"zoom": 5, "window_s": 60.0, "out": out, "time": "when", "lon": "lon",
                   "lat": "lat", "score": "score", "as_json": True} | options)  # fmt: skip


def test_tiles_are_written_as_polygons(file, tmp_path):
    run(file, tmp_path / "tiles.geojson")
    (tile,) = json.loads((tmp_path / "tiles.geojson").read_text())["features"]
    assert (tile["id"], tile["properties"]["score"]) == ("5/16/10", 0.7)
    assert tile["geometry"]["coordinates"][0][0] == tile["geometry"]["coordinates"][0][-1]


def test_what_is_left_out_is_said(file, tmp_path, capsys):
    run(file, tmp_path / "tiles.csv")
    said = json.loads(capsys.readouterr().out)
    assert (said["tiles"], said["off_map"], len(said["unread"])) == (1, 1, 1)


@pytest.mark.parametrize("name", ["tiles.parquet", "tiles.csv"])
def test_tiles_are_written_as_a_table(file, tmp_path, name):
    run(file, tmp_path / name)
    read = pl.read_csv if name.endswith("csv") else pl.read_parquet
    assert read(tmp_path / name)["score"].to_list() == [0.7]


def test_tiles_are_written_as_a_picture(file, tmp_path):
    run(file, tmp_path / "tiles.png", window_s=7200.0)
    assert (tmp_path / "tiles.png").read_bytes().startswith(b"\x89PNG")


def test_no_detection_on_the_map_is_no_success(file, tmp_path):
    with pytest.raises(SourceError, match="on the map"):
        run(file, None, window_s=5.0)


def test_another_kind_of_file_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UsageError, match="geojson"):
        run(tmp_path / "absent.csv", tmp_path / "tiles.kml")

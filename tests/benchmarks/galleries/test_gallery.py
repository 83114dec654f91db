"""A gallery leads from counts to pictures, the worst first, within bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.galleries import Finding, GallerySettings, write_gallery
from benchmarks.galleries.gallery import (
    MAX_PICTURES,
    file_names,
    overview_examples,
    worst_first,
)
from benchmarks.galleries.page import gallery_page
from sightline.errors import StorageError, UsageError
from tests.benchmarks.galleries.gallery_cases import judged

HIT = judged("hit", labels=[(100, 200)], events=[(150, 160)], category="one")
LATE = judged("late", labels=[(100, 200)], events=[(190, 200)], category="one")
MISSED = judged("missed", labels=[(100, 200)], category="two")
FALSE = judged("false", events=[(600, 610), (700, 710), (800, 810)], category="two")
QUIET = judged("quiet", category="two")
ALL = [QUIET, HIT, LATE, MISSED, FALSE]


def names(page: str) -> list[str]:
    return re.findall(r"<tr><td>(hit|late|missed|false|quiet)</td>", page)


def test_the_table_begins_with_the_worst() -> None:
    assert [one.name for one in worst_first(ALL)] == ["false", "missed", "late", "hit", "quiet"]


def test_every_series_is_listed_and_those_with_something_to_see_are_drawn(tmp_path: Path) -> None:
    gallery = write_gallery(tmp_path / "out", ALL, title="Trial")
    page = gallery.index.read_text(encoding="utf-8")
    assert names(page) == ["false", "missed", "late", "hit", "quiet"]
    assert list(gallery.pictures) == ["false", "missed", "late", "hit"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "index.html",
        "overview.png",
        *gallery.pictures.values(),
    }


def test_the_page_fetches_nothing_and_all_it_shows_is_beside_it(tmp_path: Path) -> None:
    gallery = write_gallery(tmp_path, [HIT, MISSED], title="Trial")
    page = gallery.index.read_text(encoding="utf-8")
    assert "http" not in page
    assert "<script" not in page
    for source in re.findall(r'src="([^"]*)"', page):
        assert (tmp_path / source).exists()


def test_counts_are_over_all_series_drawn_or_not(tmp_path: Path) -> None:
    gallery = write_gallery(tmp_path, ALL, title="Trial", settings=GallerySettings(limit=1))
    assert gallery.as_mapping() | {"index": ""} == {
        "index": "",
        "series": 5,
        "labels": 3,
        "hits": 2,
        "misses": 1,
        "false_alarms": 3,
        "pictures": 1,
        "left_out": 3,
    }


@pytest.mark.soak
@pytest.mark.parametrize(
    ("only", "drawn"),
    [
        (Finding.HIT, ["late", "hit"]),
        (Finding.MISS, ["missed"]),
        (Finding.FALSE_ALARM, ["false"]),
    ],
)
def test_only_series_with_what_was_asked_for_are_drawn(
    tmp_path: Path, only: Finding, drawn: list[str]
) -> None:
    gallery = write_gallery(tmp_path, ALL, title="Trial", settings=GallerySettings(only=only))
    assert list(gallery.pictures) == drawn


def test_nothing_to_draw_is_a_page_without_pictures(tmp_path: Path) -> None:
    gallery = write_gallery(tmp_path, [QUIET], title="Trial")
    assert "<img" not in gallery.index.read_text(encoding="utf-8")


def test_names_from_files_cannot_become_markup() -> None:
    evil = judged('<script>"x"&', labels=[(1, 2)], category="<b>")
    page = gallery_page(
        [evil], pictures={evil.name: "x.png"}, overview=None, title="<i>", notes=["<u>"]
    )
    assert not re.search(r"<(script|b|i|u)>", page.replace("<b>1</b>", "").replace("<b>0</b>", ""))
    assert "&lt;script&gt;" in page


def test_categories_are_counted_together() -> None:
    page = gallery_page(ALL, pictures={}, overview=None, title="Trial")
    row = re.search(r"<tr><td>one</td>(.*?)</tr>", page)
    assert row is not None
    assert re.findall(r">([^<]+)</td>", row[1]) == ["2", "2", "2", "0", "0", "70 rows"]


def test_examples_are_of_each_finding_and_of_different_categories() -> None:
    more = [judged(f"hit {k}", labels=[(1, 9)], events=[(5, 9)], category="one") for k in range(3)]
    other = judged("zz", labels=[(1, 9)], events=[(5, 9)], category="three")
    found = [title for _, title in overview_examples([*more, other, MISSED, FALSE])]
    assert found == ["hit: hit 0", "hit: zz", "miss: missed", "false alarm: false"]


@pytest.mark.parametrize(
    "name", ["../up", "/root", "a\\b", "index.html", "overview", "..", "", "ü?", "a" * 999]
)
def test_a_picture_stays_in_its_folder_whatever_the_name(name: str) -> None:
    file = file_names([name])[name]
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.png", file)
    assert file != "overview.png"
    assert Path(file).name == file
    assert len(file) < 120


def test_names_that_differ_in_capitals_alone_get_files_of_their_own() -> None:
    found = file_names(["A", "a", "overview"])
    assert len({file.lower() for file in (*found.values(), "overview.png")}) == 4


def test_file_names_do_not_hang_on_the_order_of_the_series() -> None:
    assert file_names(["a b", "a?b", "c"]) == file_names(["c", "a?b", "a b"])


def test_two_series_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'hit' twice"):
        write_gallery(tmp_path, [HIT, HIT], title="Trial")


@pytest.mark.parametrize("limit", [-1, MAX_PICTURES + 1])
def test_a_limit_out_of_its_range_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match="pictures"):
        GallerySettings(limit=limit)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        write_gallery(tmp_path / "file" / "out", [HIT], title="Trial")

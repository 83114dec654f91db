"""Relative links and files that the pages name lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`([\w./-]+\.(?:py|yaml))`")
PLACES = ("", "src/sightline", "src/sightline/runtime", "tests", "examples", "docs")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchor(heading):
    """The name that a heading has in a link, as code forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    broken = []
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            broken.append(link)
        elif place and target.suffix == ".md":
            headings = HEADING.findall(without_code(target.read_text(encoding="utf-8")))
            if place not in {anchor(heading) for heading in headings}:
                broken.append(link)
    assert not broken


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if p.parent.name != "decisions" and p.name != "CHANGELOG.md"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_file_that_a_page_names_by_its_path_is_there(page):
    named = {name for name in FILE.findall(page.read_text(encoding="utf-8")) if "/" in name}
    assert {name for name in named if not any((ROOT / p / name).exists() for p in PLACES)} == set()

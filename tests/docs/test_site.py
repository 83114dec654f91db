"""The docs as a site: every page can be reached. `make docs` builds it, or fails on a bad link."""

import yaml

from tests.docs.page_files import ROOT


def pages_of(nav):
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for inner in entry.values():
                yield from pages_of(inner)


def test_every_page_is_in_the_navigation_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(pages_of(nav)) == sorted(p.name for p in (ROOT / "docs").glob("*.md"))


def test_the_first_page_leads_to_every_other_that_a_newcomer_needs():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for name in ("anomaly-detection", "site-safety", "console", "explaining-alerts", "own-stage"):
        assert f"({name}.md)" in text

"""The docs as a site: every page can be reached. `make docs` builds it, or fails on a bad link."""

from tests.docs.page_files import ROOT


def test_the_first_page_leads_to_every_other_that_a_newcomer_needs():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for name in ("anomaly-detection", "site-safety", "console", "explaining-alerts", "own-stage"):
        assert f"({name}.md)" in text

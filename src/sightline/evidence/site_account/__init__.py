"""Accounts of a site's run for people: why something was decided, and what the run came to."""

from sightline.evidence.run_account import SiteAccount
from sightline.evidence.site_account.account_page import write_site_report
from sightline.evidence.run_sections import account_lines
from sightline.evidence.run_account import account_of_site
from sightline.evidence.camera_account import explain_site
from sightline.evidence.camera_account import SiteExplanation
from sightline.evidence.site_account.explanation_picture import draw_explanation
from sightline.evidence.site_account.explanation_text import explanation_lines
from sightline.evidence.said import first_frame_ns

__all__ = [
    "SiteAccount",
    "SiteExplanation",
    "account_lines",
    "account_of_site",
    "draw_explanation",
    "explain_site",
    "explanation_lines",
    "first_frame_ns",
    "write_site_report",
]

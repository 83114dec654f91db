"""Accounts of a site's run for people: why something was decided, and what the run came to."""

from sightline.evidence.site_account.account import SiteAccount
from sightline.evidence.site_account.account_page import write_site_report
from sightline.evidence.site_account.account_text import account_lines
from sightline.evidence.site_account.accounting import account_of_site
from sightline.evidence.site_account.explaining import explain_site
from sightline.evidence.site_account.explanation import SiteExplanation
from sightline.evidence.site_account.explanation_picture import draw_explanation
from sightline.evidence.site_account.explanation_text import explanation_lines
from sightline.evidence.site_account.said import first_frame_ns

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

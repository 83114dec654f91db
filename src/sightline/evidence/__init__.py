"""What people are shown: accounts of decisions, pictures, tables and the report of a run."""

from sightline.evidence.account import Facts, explain
from sightline.evidence.account_picture import draw_account, draw_svg
from sightline.evidence.account_text import account_lines
from sightline.evidence.report import write_report
from sightline.evidence.run_account import RunAccount, account_of_run
from sightline.evidence.tables import decisions_frame

__all__ = [
    "Facts",
    "RunAccount",
    "account_lines",
    "account_of_run",
    "decisions_frame",
    "draw_account",
    "draw_svg",
    "explain",
    "write_report",
]

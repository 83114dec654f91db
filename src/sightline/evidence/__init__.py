"""What people are shown: explanations, pictures, tables and the report of a run."""

from sightline.evidence.drawing import draw_svg, draw_terminal
from sightline.evidence.rows_account import Explanation, explain
from sightline.evidence.report import write_report
from sightline.evidence.tables import decisions_frame, quarantine_frame, summary_lines

__all__ = [
    "Explanation",
    "decisions_frame",
    "draw_svg",
    "draw_terminal",
    "explain",
    "quarantine_frame",
    "summary_lines",
    "write_report",
]

"""What experiments share: runs of a sweep file in full, uncertain constants, claims, and pages.

An experiment is a folder: a README, sweep files, and a script that says what to draw and to claim.
"""

from accelsim.studies.claims import Claim, claims_table
from accelsim.studies.constants import CONSTANTS, scaled
from accelsim.studies.page import Page, markdown_table
from accelsim.studies.runs import Run, picked, row, runs_of, the

__all__ = [
    "CONSTANTS",
    "Claim",
    "Page",
    "Run",
    "claims_table",
    "markdown_table",
    "picked",
    "row",
    "runs_of",
    "scaled",
    "the",
]

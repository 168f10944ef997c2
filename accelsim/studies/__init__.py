"""An experiment is data: its runs, sentences, tables, claims and figure, declared in one `Study`.

It is a folder: a README with sections, sweep files, and a script that declares what stands in them.
"""

from accelsim.studies.bounds import BOUNDS
from accelsim.studies.choice import Choice, Data, Joined, Value
from accelsim.studies.claims import Claim, Claims, above, below
from accelsim.studies.constants import CONSTANTS, SPREAD, scaled
from accelsim.studies.facts import Quantity, fact, number, share, unit_area_mm2
from accelsim.studies.figure import Figure, Look, Plotted, plain
from accelsim.studies.page import Page, markdown_table
from accelsim.studies.panel_map import Map
from accelsim.studies.panels import Bar, Bars, Lines, Stacks
from accelsim.studies.panels_losses import Beside, Whiskers
from accelsim.studies.perplexity import ERRORS, Perplexities, at_most, loss_ratio, steepness
from accelsim.studies.prose import Count, Ends, Extremes, Prose
from accelsim.studies.quantities import (
    across,
    apart,
    first_over_next,
    gap,
    growth,
    largest,
    last_over_first,
    least_of,
    most_of,
    of_picked,
    over,
    over_least,
    ratio,
    saving,
    smallest,
    spread,
)
from accelsim.studies.runs import Run, dropped_squared_magnitude_ratio, row, runs_of
from accelsim.studies.searched import Searched
from accelsim.studies.study import Study
from accelsim.studies.tables import Column, Numbers, Table, columns, ratios
from accelsim.studies.tuned import TunedMachines
from accelsim.studies.verdict import Verdict, claims_table
from accelsim.studies.words import sign, times, word, written

__all__ = [
    "BOUNDS",
    "CONSTANTS",
    "ERRORS",
    "SPREAD",
    "Bar",
    "Bars",
    "Beside",
    "Choice",
    "Claim",
    "Claims",
    "Column",
    "Count",
    "Data",
    "Ends",
    "Extremes",
    "Figure",
    "Joined",
    "Lines",
    "Look",
    "Map",
    "Numbers",
    "Page",
    "Perplexities",
    "Plotted",
    "Prose",
    "Quantity",
    "Run",
    "Searched",
    "Stacks",
    "Study",
    "Table",
    "TunedMachines",
    "Value",
    "Verdict",
    "Whiskers",
    "above",
    "across",
    "apart",
    "at_most",
    "below",
    "claims_table",
    "columns",
    "dropped_squared_magnitude_ratio",
    "fact",
    "first_over_next",
    "gap",
    "growth",
    "largest",
    "last_over_first",
    "least_of",
    "loss_ratio",
    "markdown_table",
    "most_of",
    "number",
    "of_picked",
    "over",
    "over_least",
    "plain",
    "ratio",
    "ratios",
    "row",
    "runs_of",
    "saving",
    "scaled",
    "share",
    "sign",
    "smallest",
    "spread",
    "steepness",
    "times",
    "unit_area_mm2",
    "word",
    "written",
]

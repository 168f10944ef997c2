"""Which tile a layer gets: candidates, lower bounds of their time, exact runs of the best."""

from accelsim.planning.planner import Planner, plan

__all__ = ["Planner", "plan"]

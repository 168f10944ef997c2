"""A trace on a machine: the data flow (read `simulation.py` first), layer after layer."""

"""Naive second implementations, and the small workloads on which they are compared."""

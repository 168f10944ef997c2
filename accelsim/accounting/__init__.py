"""Where cycles went and what counts cost."""

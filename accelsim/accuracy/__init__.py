"""Accuracy: what pruning does to a model, by hooks on its linear layers; the model stays as it is.

Uses torch and transformers, imported when a function needs them, like `accelsim.capture`.
"""

"""Measurements of fastrouter: `load` end to end and side by side with its peers, `micro` for single functions."""

"""Measurements of this project on a real machine; results are in RESULTS.md."""

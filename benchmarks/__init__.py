"""How fast it is, next to what others do; results are in RESULTS.md."""

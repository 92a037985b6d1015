"""How fast it is, next to what others do: `python -m benchmarks.batching --json`."""

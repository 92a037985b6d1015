"""The image check: a process of its own that looks at every picture before it leaves the engine. No torch."""

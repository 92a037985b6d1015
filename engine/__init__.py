"""The engine: admission, batching and workers. Knows nothing of Discord; only `engine.worker` knows torch."""

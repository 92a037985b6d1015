"""The engine process: admission, queue, placement and supervision. Free of torch, so it cannot be taken
down by it."""

"""The worker process, one per device: the only home of torch and diffusers."""

"""Turns published checkpoints into model folders: `python -m engine.checkpoints`, a process of its own.

The command line starts it; nothing else imports it, because it needs torch.
"""

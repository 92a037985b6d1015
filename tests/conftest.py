"""For every test: the processes that it starts find the tests' own modules, and hear Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

# A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

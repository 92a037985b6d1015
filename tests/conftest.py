"""For every test: the processes that it starts find the tests' own modules, such as the plain worker."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])

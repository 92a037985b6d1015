"""`python -m tests.wire.run_plain_bot`: `trinart run` with a worker without torch and a plain checker.

Which of them the engine starts is no setting, because no host may choose one. So this launcher hands them to
`open_services`, and everything else is the command line that a host runs.
"""

from __future__ import annotations

import functools
import sys

import bot.serve
from bot.app import open_services
from bot.cli import main

PLAIN_WORKER = "tests.fixtures.plain_worker"
PLAIN_CHECKER = "tests.fixtures.plain_checker"

if __name__ == "__main__":
    bot.serve.open_services = functools.partial(
        open_services, worker_module=PLAIN_WORKER, checker_module=PLAIN_CHECKER
    )
    sys.argv = ["trinart", "run"]
    main()

"""From nothing to the demo model's weights: `python -m tools.demo_model.train --work FOLDER`.

Each stage goes on where it was stopped, whenever and however that was.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

STAGES = ("pictures", "autoencoder", "latents", "denoiser", "export")


def main() -> None:
    """Run the stages."""
    # Not at the top: the processes that render import this file too, and need no torch.
    from tools.demo_model.stages import run_stages

    run_stages(_parser().parse_args())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.train", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the folder of all that is made on the way")
    parser.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu or cuda")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="threads and rendering processes at most"
    )
    parser.add_argument("--until", choices=STAGES, default="export", help="the last stage to run")
    parser.add_argument("--autoencoder-minutes", type=float, help="instead of 6000 steps")
    parser.add_argument("--denoiser-minutes", type=float, help="instead of 6000 steps")
    parser.add_argument("--quick", action="store_true", help="tiny numbers, to try the stages out")
    return parser


if __name__ == "__main__":
    main()

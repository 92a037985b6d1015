"""`python -m engine.checkpoints import | pull | verify`: started by `trinart models`.

Progress goes to stderr, the result to stdout, an error as one sentence to stderr with its exit code.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

from engine.checkpoints.errors import CheckpointError, shown
from engine.installed import printable

# Checkpoints are read offline; `pull` alone asks the hub, for the two files that it names.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing; the exit code."""
    args = _parser().parse_args(arguments)
    if args.command != "pull":
        os.environ["HF_HUB_OFFLINE"] = "1"
    # A SIGTERM ends it as Ctrl-C does, so that nothing half-made stays.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _do(args)
    except CheckpointError as error:
        sys.stderr.write(f"{printable(str(error))}\n")  # a file's own name may be anybody's, too
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; nothing was installed.\n")
        return 130


def _do(args: argparse.Namespace) -> int:
    from engine.safety_models import published

    if args.command == "verify":
        return _verify(args)
    return _pull_classifier(args) if args.command == "pull" and args.model in published() else _install(args)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="engine.checkpoints")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("import", "pull"):
        command = commands.add_parser(name)
        command.add_argument("model")
        command.add_argument("--models-dir", type=Path, required=True)
        command.add_argument("--name", required=True)
        command.add_argument("--dtype", choices=("fp16", "fp32"), default="fp16")
        command.add_argument("--replace", action="store_true")
        command.add_argument("--config-dir", type=Path, help="another model's configuration, for tests")
        if name == "import":
            command.add_argument("--vae", type=Path)
        else:
            command.add_argument("--downloads", type=Path, required=True)
            command.add_argument("--revision")
    verify = commands.add_parser("verify")
    verify.add_argument("folder", type=Path)
    return parser


def _pull_classifier(args: argparse.Namespace) -> int:
    from engine.checkpoints.classifiers import pull_classifier
    from engine.checkpoints.origins import told_sources
    from engine.checkpoints.progress import Bars
    from engine.installed import read_record

    folder = pull_classifier(
        args.model, args.models_dir, args.downloads, Bars(), revision=args.revision, replace=args.replace
    )
    sys.stdout.write(f"{args.model} is at {folder}.\n")
    _write_lines(told_sources(read_record(folder)))
    sys.stdout.write(
        "From here on it is used with exactly these checksums.\n"
        f"To check pictures with it, too, set TRINART_SAFETY_MODELS={args.model}.\n"
    )
    return 0


def _install(args: argparse.Namespace) -> int:
    from engine.checkpoints.components import SD1_FOLDER
    from engine.checkpoints.importing import ImportRequest, import_checkpoint
    from engine.checkpoints.origins import told_sources
    from engine.checkpoints.progress import Bars
    from engine.installed import read_record, size_of

    request = ImportRequest(
        model=Path(args.model),
        vae=args.vae if args.command == "import" else None,
        models_dir=args.models_dir,
        name=args.name,
        dtype=args.dtype,
        replace=args.replace,
        config_dir=args.config_dir or SD1_FOLDER,
    )
    if args.command == "import":
        folder = import_checkpoint(request, Bars())
    else:
        from engine.checkpoints.hub import pull

        folder = pull(args.model, request, args.downloads, Bars(), revision=args.revision)
    size = size_of(folder) / 1e9
    sys.stdout.write(f"{request.name} is at {folder} ({size:.2f} GB, {request.dtype}).\n")
    _write_lines(told_sources(read_record(folder)))
    sys.stdout.write(f"To draw with it, set TRINART_MODEL={request.name}.\n")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from engine.checkpoints.origins import told_sources
    from engine.checkpoints.progress import Bars
    from engine.checkpoints.verifying import verify_model
    from engine.installed import read_record

    verdicts = verify_model(args.folder, Bars())
    _write_lines(f"{shown(verdict.file)}: {verdict.problem or 'ok'}" for verdict in verdicts)
    _write_lines(told_sources(read_record(args.folder)))
    bad = sum(bool(verdict.problem) for verdict in verdicts)
    if bad:
        sys.stderr.write(
            f"{args.folder.name} is not as it should be in {bad} of its files: install it again.\n"
        )
    return 2 if bad else 0


def _write_lines(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

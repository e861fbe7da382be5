"""The command ``mmdet-kpheads``: lists the subcommands and runs one.

The package, and so torch and mmdet, is imported only when a subcommand runs: ``--help`` takes a tenth of a second and
works with a broken stack, as does ``doctor``.
"""

import difflib
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

from .memory import keep_freed_memory, no_garbage_collection
from .parsers import LAUNCHER_VARIABLES, PROG, SUMMARIES, parse
from .quiet import Terminal, quiet, quiet_run

VERSION_FILE = Path(__file__).parents[1] / 'mmdet_kpheads/version.py'
MODULES = {'convert': 'convert_checkpoint'}  # the others are called as their subcommand
EXIT_BROKEN_STACK = 1
EXIT_INPUT_ERROR = 2
# How often a waiting thread of libgomp looks before it sleeps. A training step of the small demo on two cores took
# 69 ms with this, 84 ms with libgomp's default and 137 ms with OMP_WAIT_POLICY=PASSIVE.
SPIN_COUNT = '10000'
EXIT_INTERRUPTED = 130  # as of a shell: 128 and the number of SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: The subcommand and its arguments; None for those of the process.

    Returns:
        Exit code: 0 for success, 1 for a broken stack or a failed check, 2 for bad input, 3 for a training that had to
        stop, 130 for Ctrl-C, 143 for SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ('-h', '--help'):
        print(overview())
        return 0 if arguments else EXIT_INPUT_ERROR
    command, *rest = arguments
    if command == '--version':
        print(f'{PROG} {runpy.run_path(str(VERSION_FILE))["__version__"]}')
        return 0
    if command not in SUMMARIES:
        near = difflib.get_close_matches(command, SUMMARIES, n=1)
        hint = f'did you mean {near[0]!r}?' if near else f'the subcommands are {", ".join(SUMMARIES)}'
        print(f'error: there is no subcommand {command!r}; {hint}', file=sys.stderr)
        return EXIT_INPUT_ERROR
    args = parse(command, rest)  # help and wrong arguments end the process here, before the slow imports
    if command == 'doctor' or getattr(args, 'verbose', False):
        return run(command, rest, args.traceback)
    rank = os.environ.get(LAUNCHER_VARIABLES.get(getattr(args, 'launcher', ''), ''), '0')
    with quiet(is_main=rank == '0') as terminal:
        return run(command, rest, args.traceback, terminal)


def run(command: str, argv: list[str], show_traceback: bool = False, terminal: Terminal | None = None) -> int:
    """Import the package, run one subcommand and return its exit code.

    Args:
        command: Name of the subcommand.
        argv: Its arguments.
        show_traceback: Print the traceback of an error above its line.
        terminal: Filters what is shown; None to show everything.
    """
    if 'OMP_WAIT_POLICY' not in os.environ:
        os.environ.setdefault('GOMP_SPINCOUNT', SPIN_COUNT)  # libgomp reads it when torch loads it
    keep_freed_memory()
    with no_garbage_collection():
        from mmdet_kpheads import compat
        from mmdet_kpheads.errors import InputError, RunStoppedError

        try:
            if command != 'doctor':
                compat.install()
        except ImportError as error:
            print(f'error: {error}', file=sys.stderr)
            return EXIT_BROKEN_STACK
        with compat.lazy_imports.deferred():
            module = import_module(f'mmdet_kpheads.cli.{MODULES.get(command, command.replace("-", "_"))}')
    try:
        with quiet_run(terminal) if terminal else nullcontext():
            return module.main(argv) or 0
    except (InputError, RunStoppedError, OSError, KeyboardInterrupt) as error:
        if show_traceback:
            traceback.print_exc()
        print(f'error: {one_line(error)}', file=sys.stderr)
        default = EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else EXIT_INPUT_ERROR
        return getattr(error, 'exit_code', default)


def one_line(error: BaseException) -> str:
    """The message; an error in a data-loading process arrives as the text of a traceback that ends in it."""
    if isinstance(error, KeyboardInterrupt):
        return 'stopped by Ctrl-C'
    if isinstance(error, OSError) and error.strerror:
        return f'{error.filename or type(error).__name__}: {error.strerror}'
    return str(error).rpartition(f'{type(error).__module__}.{type(error).__qualname__}: ')[2].strip()


def overview() -> str:
    """The text of ``--help``."""
    width = max(map(len, SUMMARIES))
    lines = [f'  {command:{width}}  {summary}' for command, summary in SUMMARIES.items()]
    return '\n'.join(
        [
            f'usage: {PROG} [-h] [--version] <subcommand> ...',
            '',
            'Keypoint- and point-based detection heads for MMDetection.',
            '',
            'subcommands:',
            *lines,
            '',
            f'`{PROG} <subcommand> --help` lists the arguments of one.',
        ]
    )

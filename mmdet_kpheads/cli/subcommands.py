"""The command ``mmdet-kpheads``: lists the subcommands and runs one.

A subcommand's module is imported only when it runs, so ``--help`` and ``doctor`` also work with a broken stack.
"""

import argparse
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import compat
from ..errors import InputError
from ..version import __version__

PROG = 'mmdet-kpheads'
SUMMARIES = {
    'train': 'train a detector',
    'test': 'test a detector, save predictions and visualizations',
    'check-dataset': 'report class counts and annotation errors of a dataset',
    'export': 'write a detector as ONNX or .pt2 for other runtimes',
    'convert': 'convert a checkpoint of mmdet or of an original repository',
    'show-assignment': 'draw what AutoAssign has learned',
    'make-digits': 'write a small dataset of handwritten digits',
    'demo': 'write the digits, train, test and draw',
    'doctor': 'report what is installed and what is missing',
}
MODULES = {'convert': 'convert_checkpoint'}  # the others are called as their subcommand
EXIT_BROKEN_STACK = 1
EXIT_INPUT_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: The subcommand and its arguments; None for those of the process.

    Returns:
        Exit code: 0 for success, 1 for a broken stack or a failed check, 2 for bad input.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ('-h', '--help'):
        print(overview())
        return 0 if arguments else EXIT_INPUT_ERROR
    command, *rest = arguments
    if command == '--version':
        print(f'{PROG} {__version__}')
        return 0
    try:
        return run(command, rest)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return EXIT_INPUT_ERROR


def run(command: str, argv: list[str]) -> int:
    """Run one subcommand and return its exit code.

    Raises:
        InputError: If there is no such subcommand, or from the subcommand.
    """
    if command not in SUMMARIES:
        near = difflib.get_close_matches(command, SUMMARIES, n=1)
        hint = f'did you mean {near[0]!r}?' if near else f'the subcommands are {", ".join(SUMMARIES)}'
        raise InputError(f'there is no subcommand {command!r}; {hint}')
    if command != 'doctor':
        try:
            compat.install()
        except ImportError as error:
            print(f'error: {error}', file=sys.stderr)
            return EXIT_BROKEN_STACK
    module = MODULES.get(command, command.replace('-', '_'))
    code: int | None = import_module(f'{__package__}.{module}').main(argv)
    return code or 0


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


def make_parser(command: str, description: str = '') -> argparse.ArgumentParser:
    """Make the parser of a subcommand.

    Args:
        command: Its name.
        description: Text above the arguments; by default the summary.
    """
    summary = SUMMARIES[command]
    description = description or f'{summary[0].upper()}{summary[1:]}.'
    return argparse.ArgumentParser(f'{PROG} {command}', description=description)

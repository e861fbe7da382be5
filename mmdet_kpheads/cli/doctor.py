"""Report what is installed, where each op comes from, and what is missing."""

import importlib
import platform

import torch

from .. import compat
from ..compat import mmcv_ext, stack
from ..ops.torchvision_kernels import torchvision_ops
from .subcommands import make_parser

BY_TORCHVISION = ('nms', 'deform_conv', 'roi_align')  # avg pooling and offset 0
OPS = ('nms', 'softnms', 'deform_conv', 'modulated_deform_conv', 'roi_align', 'sigmoid_focal_loss')


def report() -> tuple[list[str], bool]:
    """Check the environment.

    Returns:
        Lines to print; whether the package is usable.
    """
    problems = compat.problems()
    lines = _versions()
    if not any('mmcv' in problem for problem in problems):
        lines += ['', *_ops()]
    lines += [
        '',
        *(f'WARNING {line}' for line in stack.overlaid()),
        *(f'PROBLEM {line}' for line in problems),
    ]
    lines.append(stack.CURE if problems else 'mmdet_kpheads is usable.')
    return lines, not problems


def main(argv: list[str] | None = None) -> int:
    """Print the report. The exit code is 0 if the package is usable, else 1."""
    make_parser('doctor', 'Report what is installed, which op comes from where, and what is missing.').parse_args(argv)
    lines, usable = report()
    print('\n'.join(lines))
    return 0 if usable else 1


def _versions() -> list[str]:
    cuda = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'built without CUDA'
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU in use'
    lines = [
        f'python       {platform.python_version()} on {platform.system()} {platform.machine()}',
        f'torch        {torch.__version__}, {cuda}, {gpu}',
        f'torchvision  {_version("torchvision")}',
    ]
    for module in stack.VERSIONS:
        lines.append(f'{module:12} {_version(module)} ({", ".join(stack.installed(module)) or "no distribution"})')
    return lines


def _version(module: str) -> str:
    try:
        return importlib.import_module(module).__version__
    except Exception as error:  # a broken installation can fail in any way; the doctor reports which
        return f'does not import: {type(error).__name__}: {(str(error).splitlines() or [""])[0]}'


def _ops() -> list[str]:
    """Report for each op where it comes from."""
    if not mmcv_ext.provide():
        return ['mmcv ops     compiled (mmcv._ext); nothing is replaced']
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    kernels = torchvision_ops(device)
    lines = ['mmcv ops     mmcv._ext is not compiled; mmdet_kpheads replaces it:']
    for op in OPS:
        by_torchvision = kernels and op.removeprefix('modulated_') in BY_TORCHVISION
        lines.append(f'  {op:24}{"torchvision" if by_torchvision else "plain torch"}')
    return [*lines, f'  {"any other":24}missing: an error names it and how to compile mmcv']

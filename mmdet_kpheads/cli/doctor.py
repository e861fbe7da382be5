"""Report whether the environment is tested, where each op comes from, and what is missing."""

import importlib
import platform

import torch

from mmdet_kpheads_cli.parsers import parse

from .. import compat
from ..compat import environments, mmcv_ext, stack
from ..ops.torchvision_kernels import torchvision_op
from ..version import __version__

# The ops that are provided, as mmcv._ext names them, and the op of torchvision that may compute them.
OPS = {
    'nms': 'nms',
    'softnms': None,
    'deform_conv': 'deform_conv2d',
    'modulated_deform_conv': 'deform_conv2d',
    'roi_align': 'roi_align',  # the average; the maximum is plain torch
    'sigmoid_focal_loss': None,
}


def report() -> tuple[list[str], bool]:
    """Check the environment.

    Returns:
        Lines to print; whether the package is usable.
    """
    problems = compat.problems()
    findings = [
        *(f'WARNING {line}' for line in stack.overlaid()),
        *(f'PROBLEM {line}' for line in problems),
    ]
    lines = [] if any('mmcv' in problem for problem in problems) else [*_ops(), '']
    lines += findings
    if not problems:
        lines.append('mmdet_kpheads is usable.')
    elif stack.problems():
        lines.append(stack.CURE)
    state = 'unusable: see PROBLEM' if problems else environments.verdict(environments.installed())
    block = [f'mmdet_kpheads {__version__}', *versions(), f'environment  {state}', *findings]
    return [*lines, '', 'For a bug report:', '', '```', *block, '```'], not problems


def main(argv: list[str] | None = None) -> int:
    """Print the report. The exit code is 0 if the package is usable, else 1."""
    parse('doctor', argv)
    lines, usable = report()
    print('\n'.join(lines))
    return 0 if usable else 1


def versions() -> list[str]:
    """Versions of Python, torch and the stack, a line each."""
    cuda = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'built without CUDA'
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU in use'
    lines = [
        f'python       {platform.python_version()} on {platform.system()} {platform.machine()}',
        f'torch        {torch.__version__}, {cuda}, {gpu}',
        f'torchvision  {_version("torchvision")}',
        f'numpy        {_version("numpy")}',
    ]
    for module in stack.VERSIONS:
        lines.append(f'{module:12} {_version(module)} ({", ".join(stack.installed(module)) or "no distribution"})')
    return lines


def _version(module: str) -> str:
    try:
        return importlib.import_module(module).__version__
    except ModuleNotFoundError as error:
        return 'not installed' if error.name == module else f'needs {error.name}, which is not installed'
    except Exception as error:  # a broken installation can fail in any way; the doctor reports which
        return f'does not import: {type(error).__name__}: {(str(error).splitlines() or [""])[0]}'


def _ops() -> list[str]:
    """Report for each op where it comes from."""
    if not mmcv_ext.provide():
        return ['mmcv ops     compiled (mmcv._ext); nothing is replaced']
    devices = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
    lines = [
        'mmcv ops     mmcv._ext is not compiled; mmdet_kpheads replaces it:',
        f'  {"op":24}{"".join(f"{device:13}" for device in devices)}'.rstrip(),
    ]
    for op, of_torchvision in OPS.items():
        sources = [
            'torchvision' if of_torchvision and torchvision_op(of_torchvision, device) else 'plain torch'
            for device in devices
        ]
        lines.append(f'  {op:24}{"".join(f"{source:13}" for source in sources)}'.rstrip())
    return [*lines, f'  {"any other":24}missing: an error names it and how to compile mmcv']

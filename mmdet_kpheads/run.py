"""Run a script, such as mmdet's own ``tools/train.py``, with this package prepared first.

mmdet's scripts import ``mmcv.ops`` before they read a config, so ``custom_imports`` comes too late where
mmcv has no compiled ops. ``python -m mmdet_kpheads.run path/to/script.py ARGS`` imports this package, then
runs the script as if by itself; under torchrun as ``torchrun ... -m mmdet_kpheads.run path/to/script.py
ARGS``.
"""

import os
import runpy
import sys

USAGE = 'usage: python -m mmdet_kpheads.run path/to/script.py [arguments of the script]'


def main(arguments: list[str]) -> None:
    """Run ``arguments[0]`` as ``__main__`` with the rest as its arguments.

    Raises:
        SystemExit: With the usage if there is no script or no such file.
    """
    if not arguments or arguments[0] in ('-h', '--help'):
        raise SystemExit(USAGE)
    script = arguments[0]
    if not os.path.isfile(script):
        raise SystemExit(f'mmdet_kpheads.run: there is no script {script!r} (from {os.getcwd()})\n{USAGE}')
    sys.argv = arguments
    sys.path[0] = os.path.dirname(os.path.abspath(script))  # as when Python runs a script
    runpy.run_path(script, run_name='__main__')


if __name__ == '__main__':
    main(sys.argv[1:])

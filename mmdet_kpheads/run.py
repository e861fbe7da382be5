"""Run a script, such as mmdet's own ``tools/train.py``, with this package prepared first.

mmdet's scripts import ``mmcv.ops`` before they read a config, so ``custom_imports`` comes too late where
mmcv has no compiled ops. ``python -m mmdet_kpheads.run path/to/script.py ARGS`` imports this package, then
runs the script as if by itself; under torchrun as ``torchrun ... -m mmdet_kpheads.run path/to/script.py
ARGS``.
"""

import os
import sys
from types import ModuleType

USAGE = 'usage: python -m mmdet_kpheads.run path/to/script.py [arguments of the script]'
SCRIPT_VARIABLE = 'MMDET_KPHEADS_SCRIPT'


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
    module = sys.modules['__main__'] = ModuleType('__main__')
    module.__spec__ = __spec__  # spawned worker processes start here too, and so are prepared
    os.environ[SCRIPT_VARIABLE] = script  # in them sys.argv[0] is this file
    execute(script, module.__dict__)


def execute(script: str, namespace: dict) -> None:
    """Run the code of a file in a module's namespace."""
    namespace['__file__'] = script
    with open(script, 'rb') as file:
        code = compile(file.read(), script, 'exec')
    exec(code, namespace)  # noqa: S102  (running a script is what this is for)


if __name__ == '__main__':
    main(sys.argv[1:])
elif __name__ == '__mp_main__':  # in a worker that a running script has spawned
    execute(os.environ[SCRIPT_VARIABLE], globals())

"""Run a script, such as mmdet's own ``tools/train.py``, with this package imported and installed first.

mmdet's scripts import ``mmcv.ops`` before they read a config. Without compiled ops, ``custom_imports`` in the config
comes too late. ``python -m mmdet_kpheads.run path/to/script.py ARGS`` imports this package, calls
``mmdet_kpheads.compat.install()`` and runs the script as Python would. With torchrun:
``torchrun ... -m mmdet_kpheads.run path/to/script.py ARGS``.
"""

import os
import sys
from types import ModuleType

from .compat import install

USAGE = 'usage: python -m mmdet_kpheads.run path/to/script.py [arguments of the script]'
SCRIPT_VARIABLE = 'MMDET_KPHEADS_SCRIPT'


def main(arguments: list[str]) -> None:
    """Run ``arguments[0]`` as ``__main__`` with the rest as its arguments.

    Raises:
        SystemExit: With the usage if there is no script or no such file; with the problem if the stack is broken.
    """
    if not arguments or arguments[0] in ('-h', '--help'):
        raise SystemExit(USAGE)
    script = arguments[0]
    if not os.path.isfile(script):
        raise SystemExit(f'mmdet_kpheads.run: there is no script {script!r} (from {os.getcwd()})\n{USAGE}')
    try:
        install()
    except ImportError as error:
        raise SystemExit(f'error: {error}') from None
    sys.argv = arguments
    sys.path[0] = os.path.dirname(os.path.abspath(script))  # as when Python runs a script
    module = sys.modules['__main__'] = ModuleType('__main__')
    module.__spec__ = __spec__  # spawned worker processes import this file too
    os.environ[SCRIPT_VARIABLE] = script  # their sys.argv[0] is this file
    execute(script, module.__dict__)


def execute(script: str, namespace: dict) -> None:
    """Run the code of a file in a module's namespace."""
    namespace['__file__'] = script
    with open(script, 'rb') as file:
        code = compile(file.read(), script, 'exec')
    exec(code, namespace)  # noqa: S102  (this module exists to run a script)


if __name__ == '__main__':
    main(sys.argv[1:])
elif __name__ == '__mp_main__':  # in a worker that a running script has spawned
    install()
    execute(os.environ[SCRIPT_VARIABLE], globals())

"""``python -m mmdet_kpheads_cli``: the command ``mmdet-kpheads``."""

import sys

from .subcommands import main

if __name__ == '__main__':
    sys.exit(main())

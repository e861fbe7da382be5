"""``python -m mmdet_kpheads``: the command ``mmdet-kpheads``."""

import sys

from mmdet_kpheads_cli.subcommands import main

if __name__ == '__main__':
    sys.exit(main())

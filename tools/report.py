"""`mmdet-kpheads report` as a script; works from any directory and from a checkout that is not installed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # an installed package comes first
from mmdet_kpheads_cli.subcommands import main

if __name__ == '__main__':
    sys.exit(main(['report', *sys.argv[1:]]))

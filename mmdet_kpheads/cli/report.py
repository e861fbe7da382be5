"""Write one HTML file about a finished training."""

import argparse
from pathlib import Path

from mmdet_kpheads_cli.parsers import parse

from ..report import write_report
from ..report.run_folder import find_run_config
from . import arguments, config_checks
from .failures import config_errors


def main(argv: list[str] | None = None) -> None:
    """Write the report.

    Raises:
        InputError: If the work dir, its config, its checkpoint or the dataset is missing or cannot be used.
    """
    args = parse('report', argv)
    config = args.config or str(find_run_config(Path(args.work_dir)))
    cfg = arguments.read_config(argparse.Namespace(**{**vars(args), 'config': config}))
    config_checks.require_keys(cfg, 'model')
    arguments.require_folder('--out', args.out.parent if args.out else args.work_dir)
    if args.checkpoint:
        arguments.require_checkpoint(args.checkpoint)
    with config_errors(cfg):
        path = write_report(
            args.work_dir,
            args.out,
            cfg,
            args.checkpoint,
            args.split,
            args.max_images,
            args.score_thr,
            args.device,
            args.batch_size,
        )
    print(f'report: {path}')

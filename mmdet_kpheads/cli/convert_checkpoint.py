"""Convert a checkpoint of another repository into one of this package."""

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from mmdet_kpheads_cli.parsers import parse

from ..compat.checkpoint_loading import load_from_local
from ..convert import convert
from ..data.dataset_sources import dataset_sources
from ..errors import InputError
from ..fitting import load_whole
from . import arguments, config_checks
from .failures import config_errors


def main(argv: list[str] | None = None) -> None:
    """Convert.

    Raises:
        InputError: If a file does not exist, the checkpoint is not recognized, or it does not fit the config.
    """
    args = parse('convert', argv)
    cfg = arguments.load_config(args)
    config_checks.require_keys(cfg, 'model', 'test_dataloader')
    arguments.require_checkpoint(args.checkpoint)
    out = Path(args.out)
    if out.is_dir():
        raise InputError(f'the output {out} is a folder: name a file')
    if out.exists() and out.samefile(args.checkpoint):
        raise InputError(f'the output {out} would replace the checkpoint: name another file')
    arguments.require_folder('output', out.parent)
    converted = convert(load_from_local(args.checkpoint, map_location='cpu'), args.ignore)
    print(converted.report())
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with config_errors(cfg):
        cfg.model.backbone.init_cfg = None  # every weight comes from the checkpoint: no download
        load_whole(MODELS.build(cfg.model), converted.weights, args.checkpoint, args.config)
    classes = next(source.classes for source in dataset_sources(cfg.test_dataloader.dataset))
    meta = {'dataset_meta': {'classes': classes}, 'converted_from': converted.source}
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'meta': meta, 'state_dict': converted.weights}, out)
    print(f'every parameter of {args.config} is set; saved to {out}')

"""Convert a checkpoint of another repository into one of this package."""

from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor

from mmdet_kpheads_cli.parsers import parse

from ..compat.checkpoint_loading import load_from_local
from ..convert import convert
from ..data.dataset_sources import dataset_sources
from ..errors import InputError, listed
from . import arguments

COUNTER = 'num_batches_tracked'  # of batch norm, used only with a momentum of None; old checkpoints lack it


def check_fit(model: Any, weights: dict[str, Tensor], config: str) -> None:
    """Raise ``InputError`` unless the weights match the model, name by name and shape by shape."""
    wanted = {name: value.shape for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    given = {name: value.shape for name, value in weights.items() if not name.endswith(COUNTER)}
    missing, unexpected = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    shapes = [
        f'{name} is {tuple(given[name])} and must be {tuple(wanted[name])}'
        for name in sorted(set(wanted) & set(given))
        if wanted[name] != given[name]
    ]
    errors = [
        f'{len(names)} {what}, {listed(names, 4)}'
        for what, names in (('missing', missing), ('unexpected', unexpected), ('with another shape', shapes))
        if names
    ]
    if errors:
        raise InputError(f'the checkpoint does not fit {config}: {"; ".join(errors)}. Nothing was written')


def main(argv: list[str] | None = None) -> None:
    """Convert.

    Raises:
        InputError: If a file does not exist, the checkpoint is not recognized, or it does not fit the config.
    """
    args = parse('convert', argv)
    cfg = arguments.load_config(args)
    arguments.require_checkpoint(args.checkpoint)
    converted = convert(load_from_local(args.checkpoint, map_location='cpu'), args.ignore)
    print(converted.report())
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    cfg.model.backbone.init_cfg = None  # every weight comes from the checkpoint: no download
    check_fit(MODELS.build(cfg.model), converted.weights, args.config)
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    classes = next(source.classes for source in dataset_sources(cfg.test_dataloader.dataset))
    meta = {'dataset_meta': {'classes': classes}, 'converted_from': converted.source}
    torch.save({'meta': meta, 'state_dict': converted.weights}, out)
    print(f'every parameter of {args.config} is set; saved to {out}')

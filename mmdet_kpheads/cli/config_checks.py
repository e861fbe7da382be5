"""Checks of a config that mmengine does not make: it ignores keys that it does not know, and numbers without sense."""

import difflib
import re
import sys
from collections.abc import Collection, Iterable
from inspect import signature
from typing import Any

from mmdet.registry import OPTIMIZERS
from mmengine.config import Config
from mmengine.runner import Runner

from ..errors import InputError
from .explanations import unknown_type

RUNNER_KEYS = {*signature(Runner.__init__).parameters, 'auto_scale_lr', 'tta_model'}
# what mmengine, mmdet and this package read beside them
OTHER_KEYS = {
    *('activation_checkpointing', 'compile', 'custom_imports', 'env_variables', 'find_unused_parameters'),
    *('model_wrapper_cfg', 'runner_type', 'sync_buffer', 'sync_bn', 'tta_cfg', 'tta_pipeline', 'vis_backends'),
}
OF_MMDET_2 = {
    'optimizer': 'optim_wrapper.optimizer',
    'optimizer_config': 'optim_wrapper.clip_grad',
    'lr_config': 'param_scheduler',
    'runner': 'train_cfg',
    'data': 'train_dataloader, val_dataloader and test_dataloader',
    'evaluation': 'val_evaluator and train_cfg.val_interval',
    'checkpoint_config': 'default_hooks.checkpoint',
    'log_config': 'default_hooks.logger',
}
OF_DATA = {'samples_per_gpu', 'workers_per_gpu', 'train', 'val', 'test'}  # in mmdet 2; else it is a variable
LEAST = {
    'train_cfg': {'max_epochs': 1, 'max_iters': 1, 'val_interval': 1},
    'train_dataloader': {'batch_size': 1, 'num_workers': 0},
    'val_dataloader': {'batch_size': 1, 'num_workers': 0},
    'test_dataloader': {'batch_size': 1, 'num_workers': 0},
}


def require_spelling(cfg: Config) -> None:
    """Refuse a top-level key that is almost one of mmengine's, and warn of one of mmdet 2: mmengine ignores both.

    Raises:
        InputError: For a misspelled key.
    """
    for key in cfg:
        near = nearest(key, RUNNER_KEYS, 0.85)
        if near and key not in RUNNER_KEYS and not re.search(rf'(?<![a-z]){near}(?![a-z])', key):  # val_evaluator_voc
            raise InputError(f'config has the key {key!r}, which nothing reads; did you mean {near!r}?')
        if key not in OF_MMDET_2 or not isinstance(cfg[key], dict) or (key == 'data' and not OF_DATA & set(cfg[key])):
            continue
        if cfg[key] != _at(cfg, OF_MMDET_2[key]):
            print(f'warning: nothing reads {key!r} of mmdet 2; it is now {OF_MMDET_2[key]}', file=sys.stderr)


def require_read(options: Iterable[str], given: Collection[str]) -> None:
    """Refuse keys of --cfg-options that nothing reads.

    Args:
        options: The keys.
        given: Top-level keys of the config file.

    Raises:
        InputError: For a variable, which the config has used already, and for an unknown key.
    """
    known = RUNNER_KEYS | OTHER_KEYS
    for key in options if 'runner_type' not in given else ():
        first = key.partition('.')[0]
        if first in known:
            continue
        hint = ''
        if near := nearest(first, known, 0.6):
            hint = f'; did you mean {near!r}?'
        if first in given:
            hint = '; it is a variable, and what uses it is set already: change it in the file, or set what uses it'
        raise InputError(f'--cfg-options: nothing reads the top-level key {first!r}{hint}')


def require_keys(cfg: Config, *keys: str) -> None:
    """Raise ``InputError`` if a config lacks one of the keys."""
    if missing := [key for key in keys if not cfg.get(key)]:
        raise InputError(f'config has no {", no ".join(missing)}; is it meant to be a base of another one?')


def require_loop(cfg: Config, name: str) -> None:
    """Raise ``InputError`` if a config has a part of the validation or test, but not all of it."""
    keys = [f'{name}_dataloader', f'{name}_cfg', f'{name}_evaluator']
    missing = [key for key in keys if cfg.get(key) is None]
    if 0 < len(missing) < len(keys):
        raise InputError(f'config has no {", no ".join(missing)}: set all of {", ".join(keys)}, or set all to None')


def require_numbers(cfg: Config) -> None:
    """Raise ``InputError`` for a number of epochs, images or workers that is none or too small."""
    for section, limits in LEAST.items():
        for key, least in limits.items():
            value = (cfg.get(section) or {}).get(key, least)
            if not isinstance(value, int) or value < least:
                raise InputError(f'{section}.{key} must be a whole number of at least {least}, but is {value!r}')


def require_optimizer(cfg: Config) -> None:
    """Raise ``InputError`` if the optimizer is not registered; mmengine would call None."""
    kind = (cfg.optim_wrapper.get('optimizer') or {}).get('type')
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
        raise InputError(f'optim_wrapper.optimizer: {unknown_type(kind, OPTIMIZERS)}')


def nearest(name: str, known: Collection[str], cutoff: float) -> str | None:
    """The known name that is most like another one."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)), None)


def _at(cfg: Config, path: str) -> Any:
    """The value at a path of keys; None if there is none."""
    value: Any = cfg
    for key in path.split('.'):
        value = value.get(key) if isinstance(value, dict | Config) else None
    return value

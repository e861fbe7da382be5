"""Compares the weights of a checkpoint with a model: what fits is judged here alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

from .errors import InputError, listed

COUNTER = 'num_batches_tracked'  # of batch norm, used only with a momentum of None; old checkpoints lack it
AVERAGE = 'ema_'  # begins the names of EMA weights in checkpoints of mmdet 2, beside the weights themselves
DATA_PARALLEL = 'module.'  # begins each name of a model in nn.DataParallel


class Fit(NamedTuple):
    """What does not fit: names that the checkpoint lacks, and that the model lacks; and shapes that differ, by name."""

    missing: list[str]
    unexpected: list[str]
    shapes: dict[str, str]

    def differences(self) -> str:
        """What does not fit, in words; empty if all fits."""
        shapes = [f'{name} is {shape}' for name, shape in self.shapes.items()]
        kinds = {'missing': self.missing, 'unexpected': self.unexpected, 'with another shape': shapes}
        return '; '.join(f'{len(names)} {kind}, {listed(names, 3)}' for kind, names in kinds.items() if names)


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a checkpoint by their names in a model."""
    content = checkpoint.get('state_dict', checkpoint)
    return {str(name).removeprefix(DATA_PARALLEL): value for name, value in content.items()}


def inner_model(model: Any) -> nn.Module:
    """The model inside the wrapper of a distributed run or of test-time augmentation."""
    inner: nn.Module = model.module if is_model_wrapper(model) or isinstance(model, BaseTTAModel) else model
    return inner


def load_fitting(model: nn.Module, weights: Mapping[str, Any]) -> Fit:
    """Load the weights that fit into a model; modules rename old names as they do in ``load_state_dict``.

    Args:
        model: Any model.
        weights: As :func:`weights_of` returns them.

    Returns:
        What does not fit.

    Example:
        >>> load_fitting(nn.Linear(2, 1), {'weight': nn.Linear(3, 1).weight, 'scale': nn.Linear(2, 1).bias})
        Fit(missing=['bias'], unexpected=['scale'], shapes={'weight': '(1, 3) and must be (1, 2)'})
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(getattr(value, 'shape', ())) for name, value in weights.items()}
    shapes = {
        name: f'{given[name]} and must be {own[name]}'
        for name in sorted(own.keys() & given.keys())
        if given[name] != own[name]
    }
    tensors = {name: value for name, value in weights.items() if isinstance(value, Tensor) and name not in shapes}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    return Fit(
        sorted(name for name in missing if name not in shapes and not name.endswith(COUNTER)),
        sorted(name for name in unexpected if not name.startswith(AVERAGE) and not name.endswith(COUNTER)),
        shapes,
    )


def load_whole(model: nn.Module, checkpoint: Mapping[str, Any], name: str, config: str | None) -> None:
    """Load a checkpoint that must fit a model; mmengine goes on with what does not fit at random.

    Args:
        model: Any model, in a wrapper or not.
        checkpoint: Content of a checkpoint.
        name: Its name in the message.
        config: Name of the config in the message.

    Raises:
        InputError: If a weight is missing, unexpected or of another shape.
    """
    if differences := load_fitting(inner_model(model), weights_of(checkpoint)).differences():
        raise InputError(
            f'checkpoint {name} does not fit {config or "the config"}: {differences}. Take the config that it was '
            'trained with'
        )

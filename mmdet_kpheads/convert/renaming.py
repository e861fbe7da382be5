"""Renames the weights of a checkpoint by the rules of its source."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import InputError, listed
from .rules import SOURCES, Rule, Source

WRAPPERS = ('state_dict', 'model')  # keys under which repositories store the weights
DATA_PARALLEL = 'module.'  # prefix added by nn.DataParallel
BIAS = '.conv.bias'
SCALE = r'bbox_head\.scales\.\d\.scale'  # a scalar here, a tensor of shape (1,) in cvpods


class Converted(NamedTuple):
    """A converted checkpoint.

    Attributes:
        weights: Tensors by their names in this package.
        source: Name of the recognized source.
        left_out: Original names of tensors that are not needed.
        folded: Names of biases that were folded into the running mean of the norm behind them.
    """

    weights: dict[str, Tensor]
    source: str
    left_out: list[str]
    folded: list[str]

    def report(self) -> str:
        """Summarize the conversion in a few lines."""
        parts = Counter(name.split('.')[0] for name in self.weights)
        mapped = ', '.join(f'{number} {part}' for part, number in parts.items())
        lines = [f'recognized as {self.source}', f'mapped {len(self.weights)} tensors: {mapped}']
        if self.folded:
            lines.append(f'folded {len(self.folded)} biases into the running mean of the norm behind them')
        if self.left_out:
            layers = dict.fromkeys(name.rpartition('.')[0] or name for name in self.left_out)
            lines.append(f'left out {len(self.left_out)} tensors of {listed(layers)}')
        return '\n'.join(lines)


def convert(checkpoint: Mapping[str, Any], ignore: str | None = None) -> Converted:
    """Rename a checkpoint's weights.

    Args:
        checkpoint: Result of ``torch.load``: the weights, or a dict with the weights in ``state_dict`` or ``model``.
        ignore: Regular expression of names to leave out, such as layers added by a fork.

    Raises:
        InputError: If the source is not recognized, or if the checkpoint has unknown names, which are listed.
    """
    original = _weights_of(checkpoint)
    source = _recognize(original)
    rules = ((ignore, None), *source.rules) if ignore else source.rules
    weights: dict[str, Tensor] = {}
    left_out, unknown = [], []
    for name, value in original.items():
        known, new_name = _renamed(name, rules)
        if not known:
            unknown.append(name)
        elif new_name is None:
            left_out.append(name)
        else:
            weights[new_name] = value.reshape(()) if re.fullmatch(SCALE, new_name) else value
    if unknown:
        raise InputError(
            f'{source.name}: {len(unknown)} unknown names, {listed(unknown)}; nothing was written. If the model does '
            'not need them, leave them out with --ignore PATTERN'
        )
    return Converted(weights, source.name, left_out, _fold_biases(weights) if source.folds_biases else [])


def _weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(checkpoint.get(wrapper), Mapping):
            checkpoint = checkpoint[wrapper]
            break
    weights = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
    if not weights:
        raise InputError(f'the checkpoint contains no weights; its keys are {listed(list(checkpoint))}')
    while all(name.startswith(DATA_PARALLEL) for name in weights):
        weights = {name.removeprefix(DATA_PARALLEL): value for name, value in weights.items()}
    return weights


def _recognize(weights: Mapping[str, Tensor]) -> Source:
    for source in SOURCES:
        marked = all(any(re.fullmatch(mark, name) for name in weights) for mark in source.marks)
        if marked and all(name in weights and _is_square(weights[name]) for name in source.square):
            return source
    known = '; '.join(source.name for source in SOURCES)
    raise InputError(
        f'the checkpoint is from none of the known sources ({known}); its first names are {listed(weights)}'
    )


def _is_square(weight: Tensor) -> bool:
    return weight.dim() > 1 and weight.shape[0] == weight.shape[1]


def _renamed(name: str, rules: Iterable[Rule]) -> tuple[bool, str | None]:
    """Return whether a rule matches the name, and the new name."""
    for pattern, rename in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return True, rename(match) if callable(rename) else rename and match.expand(rename)
    return False, None


def _fold_biases(weights: dict[str, Tensor]) -> list[str]:
    """Subtract biases in front of a batch norm from its running mean, which changes no output."""
    folded = []
    for name in [name for name in weights if name.endswith(BIAS)]:
        mean = name.removesuffix(BIAS) + '.bn.running_mean'
        if mean in weights:
            weights[mean] = weights[mean] - weights.pop(name)
            folded.append(name)
    return folded

"""Checks that the head, the training set and the validation set have the same classes."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ..errors import InputError, listed
from ..registry import HOOKS

ONE_CLASS_HEADS = ('rpn_head',)  # distinguish objects from background only


def heads_with_classes(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Find the heads of a model that have ``num_classes``; yields their type name and that number."""
    module: Any = model.module if is_model_wrapper(model) else model
    for path, child in module.named_modules():
        name = path.rstrip('.0123456789').rpartition('.')[2]
        number = getattr(child, 'num_classes', None)
        if name.endswith('head') and name not in ONE_CLASS_HEADS and isinstance(number, int):
            yield type(child).__name__, number


def require_same_classes(heads: list[tuple[str, int]], datasets: dict[str, Any]) -> None:
    """Compare the heads with the datasets, and the datasets with each other.

    Args:
        heads: Type name and number of classes of each head.
        datasets: Class names of each dataset, by its name in messages.

    Raises:
        InputError: If the classes differ, or if class names are a single string.
    """
    for name, classes in datasets.items():
        if isinstance(classes, str):
            raise InputError(f'classes of the {name} is the string {classes!r}, not a tuple: ({classes!r},)')
    lists = {name: tuple(classes) for name, classes in datasets.items() if classes}
    numbers = {number for _, number in heads} | {len(classes) for classes in lists.values()}
    if len(numbers) <= 1 and len(set(lists.values())) <= 1:
        return
    parts = [f'{head} has num_classes {number}' for head, number in heads]
    parts += [f'the {name} has {len(classes)} classes {listed(classes)}' for name, classes in lists.items()]
    raise InputError(f'classes do not agree: {"; ".join(parts)}. Define them once: num_classes = len(classes)')


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Stops a run before its first step if the head and the datasets have different classes.

    Differs from mmdet's NumClassCheckHook: it also compares class names between datasets, and it also runs in tests.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare head, training set and validation set."""
        datasets = {'training set': runner.train_dataloader.dataset.metainfo.get('classes')}
        if runner.val_loop is not None:
            datasets['validation set'] = runner.val_dataloader.dataset.metainfo.get('classes')
        require_same_classes(list(heads_with_classes(runner.model)), datasets)

    def before_test(self, runner: Runner) -> None:
        """Compare head and test set."""
        datasets = {'test set': runner.test_dataloader.dataset.metainfo.get('classes')}
        require_same_classes(list(heads_with_classes(runner.model)), datasets)

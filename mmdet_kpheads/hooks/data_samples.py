"""The data samples of a batch, whatever its form."""

from collections.abc import Iterator, Mapping
from typing import Any


def data_samples(batch: Any) -> Iterator[Any]:
    """Find the data samples of what a data loader gives: a list of them, or branches with a list each.

    Semi-supervised training has branches, and None for an image that lacks one.
    """
    yield from _samples_in(batch.get('data_samples') if isinstance(batch, Mapping) else None)


def _samples_in(item: Any) -> Iterator[Any]:
    if isinstance(item, Mapping):
        item = list(item.values())
    if isinstance(item, list | tuple):
        for inner in item:
            yield from _samples_in(inner)
    elif item is not None:
        yield item

"""Splits images into training and validation."""

import random
from collections import Counter
from collections.abc import Sequence

from ..errors import InputError
from .annotations import AnnotatedImage

VALIDATION_EVERY = 5  # a fifth of the images


def split_images(images: Sequence[AnnotatedImage], seed: int) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Split images so that a fifth of each class goes to validation.

    The images are shuffled, then sorted by their rarest class; every fifth one is for validation.

    Args:
        images: At least two images.
        seed: Seed of the shuffle: the same images and seed give the same split.

    Returns:
        Training images and validation images.

    Raises:
        InputError: If there are fewer than two images.
    """
    if len(images) < 2:
        raise InputError(f'{len(images)} images cannot be split into training and validation')
    counts = Counter(name for image in images for name in set(image.names))
    shuffled = sorted(images, key=lambda image: image.path)
    random.Random(seed).shuffle(shuffled)  # noqa: S311  (not for cryptography)
    ordered = sorted(shuffled, key=lambda image: min(((counts[name], name) for name in image.names), default=(0, '')))
    validation = ordered[min(VALIDATION_EVERY, len(ordered)) - 1 :: VALIDATION_EVERY]
    chosen = {id(image) for image in validation}
    return [image for image in ordered if id(image) not in chosen], validation

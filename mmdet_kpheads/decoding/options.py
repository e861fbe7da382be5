"""Reading a decoder's options from a ``test_cfg``."""

from collections.abc import Mapping
from typing import Any, TypeVar

Options = TypeVar('Options')


def read_options(kind: type[Options], cfg: Mapping[str, Any], owner: str) -> Options:
    """The options that a config sets, with the defaults of their dataclass for the rest.

    Args:
        kind: The dataclass of a decoder.
        cfg: A ``test_cfg``.
        owner: Name of the head, for the error message.

    Raises:
        ValueError: For a key that the decoder does not read.
    """
    known: Any = kind.__dataclass_fields__  # type: ignore[attr-defined] # torch.compile does not trace dataclasses.fields()
    unknown = [key for key in cfg if key not in known]
    if unknown:
        raise ValueError(f'test_cfg of {owner}: unknown {unknown}; it reads {sorted(known)}')
    return kind(**cfg)

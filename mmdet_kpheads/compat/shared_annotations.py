"""Annotation files that the check before a run has parsed, for the datasets and metrics that read them next.

The check, the dataset and the metric of a run each read a COCO file. Parsing one with 150,000 objects takes 2 s.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, TextIO

Key = tuple[str, int, int]  # path, time of the last change, size
_parsed: ContextVar[dict[Key, Any] | None] = ContextVar('_parsed', default=None)  # None: not shared


def keep(path: str | os.PathLike[str], content: Any) -> None:
    """Keep what was parsed from a file, if annotations are shared now."""
    if (parsed := _parsed.get()) is not None:
        parsed[_key(path)] = content


def forget() -> None:
    """Free what is kept: datasets and metrics are built."""
    if (parsed := _parsed.get()) is not None:
        parsed.clear()


@contextmanager
def sharing() -> Iterator[None]:
    """Let pycocotools take the files that are kept meanwhile."""
    from pycocotools import coco

    token, original = _parsed.set({}), coco.json
    coco.json = SimpleNamespace(load=_load)
    try:
        yield
    finally:
        coco.json = original
        _parsed.reset(token)


def _load(file: TextIO) -> Any:
    """What a file holds, as ``json.load``."""
    kept = (_parsed.get() or {}).get(_key(file.name))
    return json.load(file) if kept is None else kept


def _key(path: str | os.PathLike[str]) -> Key:
    status = os.stat(path)
    return os.path.realpath(path), status.st_mtime_ns, status.st_size

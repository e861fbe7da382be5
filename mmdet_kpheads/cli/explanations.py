"""Says in one line what an error of mmengine, mmdet or torch means for the config that led to it."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from inspect import signature
from pathlib import Path
from textwrap import shorten
from traceback import walk_tb
from typing import Any

from mmdet import registry as mmdet_registries
from mmengine.registry import Registry
from torch import nn

from ..compat.config_bases import PACKAGE_ROOT

UNKNOWN_TYPE = re.compile(r'^(\S+) is not in the (?:\S+::)?(.+?) registry')
UNKNOWN_ARGUMENT = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
MAX_CHARACTERS = 300
CHANNELS = re.compile(r'to have (\d+) channels, but got (\d+) channels')
HINTS = {  # what is in messages that do not name the cause, and the cause
    "'InstanceData' object has no attribute 'bboxes'": 'the pipeline needs LoadAnnotations with with_bbox=True',
    'in list of batch should be of equal size': 'the pipeline must end in PackDetInputs',
    "in function 'resize'": 'the scale of Resize must be two positive numbers, (width, height)',
    'must contain the key "type"': 'a part of the config has no type',
}
REGISTRIES = {found.name: found for found in vars(mmdet_registries).values() if isinstance(found, Registry)}


def explain(error: BaseException, cfg: Any) -> str:
    """What an error means for a config, on one line.

    Args:
        error: What building or running the config raised.
        cfg: The config.
    """
    line = first_line(error)
    if match := UNKNOWN_TYPE.search(line):
        place = next((f'{path}: ' for path, node in _nodes(cfg) if node.get('type') == match[1]), '')
        return place + unknown_type(match[1], REGISTRIES.get(match[2]))
    if match := UNKNOWN_ARGUMENT.search(line):
        return _unknown_argument(match[1], match[2], cfg)
    if hint := next((hint for text, hint in HINTS.items() if text in line), None):
        return f'{hint} ({type(error).__name__}: {shorten(line, MAX_CHARACTERS)})'
    name, layer = type(error).__name__, _layer(error)
    if layer and (match := CHANNELS.search(line)):
        part = layer.partition('.')[0]
        return f'{layer} of the model takes {match[1]} channels, but gets {match[2]}: set in_channels of model.{part}'
    place = f'{name} in {layer} of the model' if layer else name
    return f'{place}: {shorten(line, MAX_CHARACTERS)}'


def unknown_type(name: str, registry: Registry | None) -> str:
    """That a type is not registered, with the nearest one that is."""
    known: dict[str, str] = {}
    for scope, names in () if registry is None else _registered(registry):
        known |= {short: f'{scope}.{short}' if scope == PACKAGE_ROOT.name else short for short in names}
    near = [known[found] for found in difflib.get_close_matches(name.rpartition('.')[2], known, n=1)]
    hint = f'did you mean {near[0]!r}?' if near else 'is the module that registers it in custom_imports?'
    if near == [name]:
        hint = "default_scope must be 'mmdet'"
    return f'type {name!r} is not known; {hint}'


def where(error: BaseException) -> str:
    """File and line of the config that raised an error."""
    frames = list(walk_tb(error.__traceback__))
    if isinstance(error, SyntaxError):  # mmengine parses a config without its name
        names = [str(name) for frame, _ in frames for name in [frame.f_locals.get('filename')]]
        files = [name for name in (*names, str(error.filename)) if os.path.isfile(name)]
        return f'{_short(files[-1])}, line {error.lineno}: ' if files else ''
    places = [(frame.f_code.co_filename, line) for frame, line in frames if frame.f_code.co_name == '<module>']
    return f'{_short(places[-1][0])}, line {places[-1][1]}: ' if places else ''


def first_line(error: BaseException) -> str:
    """The first line of a message."""
    return next(iter(message_lines(error)), 'no message')


def last_line(error: BaseException) -> str:
    """The last line of a message: of an error in a worker, the part after its traceback."""
    return next(iter(message_lines(error)[::-1]), 'no message')


def message_lines(error: BaseException) -> list[str]:
    """The lines of a message that are not empty."""
    text = str(error)
    if isinstance(error, KeyError | SyntaxError) and error.args:  # without quotes, and without the place
        text = str(error.args[0])
    return [line.strip() for line in text.splitlines() if line.strip()]


def _unknown_argument(owner: str, key: str, cfg: Any) -> str:
    """That a class does not take a key: where it is set, and what was meant."""
    places = [(path, node) for path, node in _nodes(cfg) if key in node]
    own = [(path, node) for path, node in places if str(node.get('type')).rpartition('.')[2] == owner]
    path, node = next(iter([*own, *places]), ('', {}))
    kind = node.get('type')
    text = f'{path + ": " if path else ""}{kind if isinstance(kind, str) else owner} does not take {key!r}'
    if near := difflib.get_close_matches(key, _arguments(kind), n=1, cutoff=0.7):
        return f'{text}; did you mean {near[0]!r}?'
    last = path.rpartition('.')[2]
    return f'{text}; if a base config sets it, write {last}=dict(_delete_=True, ...)' if path else text


def _arguments(kind: Any) -> set[str]:
    """The names that a class and its bases take; a dataclass of options counts with its fields."""
    found = next((found for item in REGISTRIES.values() if (found := item.get(kind))), None) if kind else None
    names: set[str] = set()
    for base in getattr(found, '__mro__', ()):
        for name, parameter in signature(base.__init__).parameters.items():
            options = parameter.annotation
            names |= {item.name for item in fields(options)} if is_dataclass(options) else {name}
    return names - {'self', 'args', 'kwargs'}


def _registered(registry: Registry) -> Iterator[tuple[str, Any]]:
    """Scope and names of the registry of mmengine of the same kind, of mmdet's, then of ours."""
    root = registry.parent or registry
    yield '', root.module_dict
    for scope in ('mmdet', PACKAGE_ROOT.name):
        if scope in root.children:
            yield scope, root.children[scope].module_dict


def _nodes(cfg: Any, path: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each dict in a config, with its path."""
    items = cfg.items() if hasattr(cfg, 'items') else enumerate(cfg) if isinstance(cfg, list | tuple) else ()
    if path and hasattr(cfg, 'items'):
        yield path, cfg
    for key, value in items:
        yield from _nodes(value, f'{path}.{key}' if path else str(key))


def _layer(error: BaseException) -> str:
    """Name of the layer of a model that an error comes from."""
    callers = [frame.f_locals.get('self') for frame, _ in walk_tb(error.__traceback__)]
    modules = [caller for caller in callers if isinstance(caller, nn.Module)]
    names = {module: name for name, module in modules[0].named_modules()} if modules else {}
    return names.get(modules[-1], '') if modules else ''


def _short(path: str) -> str:
    """A path below the current folder as a relative one."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path

"""Docstrings as the site reads them: names without Sphinx's roles, and ``Example`` as a section of code."""

import re
from typing import Any

import griffe

ROLE = re.compile(r':\w+:`(~?)([\w.]+)`')
EXAMPLE = re.compile(r'^Example:$', re.MULTILINE)  # only the plural is a section of griffe's


class PlainDocstrings(griffe.Extension):
    """Changes every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each object that was read."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub('Examples:', ROLE.sub(_name, obj.docstring.value))


def _name(match: re.Match[str]) -> str:
    short, path = match.groups()
    return f'`{path.rsplit(".", 1)[-1] if short else path}`'

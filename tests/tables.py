"""Tables in the docs. Tests compare them, or write them with ``WRITE_TABLES=1 python -m pytest tests/...``.

Uses the standard library alone: noxfile.py runs this file without the package.
"""

import os
from pathlib import Path

DOCS = Path(__file__).parents[1] / 'docs'
BEGIN, END = '<!-- table: {} -->', '<!-- end of table -->'


def require_table(page: str, name: str, header: list[str], rows: list[list[str]]):
    """Assert that ``docs/<page>`` has this table between its markers, or write it there."""
    before = (DOCS / page).read_text()
    after = with_table(before, name, header, rows)
    if os.environ.get('WRITE_TABLES'):
        (DOCS / page).write_text(after)
        return
    assert before == after, f'the table {name} in {DOCS / page} is outdated: run this test with WRITE_TABLES=1'


def with_table(text: str, name: str, header: list[str], rows: list[list[str]]) -> str:
    """Give the text of a page with this table between its markers."""
    lines = [header, ['---'] * len(header), *rows]
    table = '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)
    before, begin, rest = text.partition(BEGIN.format(name))
    assert begin, f'the page has no line {BEGIN.format(name)}'
    _, end, after = rest.partition(END)
    assert end, f'the page has no line {END} after {BEGIN.format(name)}'
    return f'{before}{begin}\n\n{table}\n\n{end}{after}'

"""Tables in the docs. Tests compare them, or write them with ``WRITE_TABLES=1 python -m pytest tests/...``."""

import os

from mmdet_kpheads.compat.config_bases import configs_root

BEGIN, END = '<!-- table: {} -->', '<!-- end of table -->'


def require_table(page: str, name: str, header: list[str], rows: list[list[str]]):
    """Assert that ``docs/<page>`` has this table between its markers, or write it there."""
    lines = [header, ['---'] * len(header), *rows]
    table = '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)
    path = configs_root().parent / 'docs' / page
    before, begin, rest = path.read_text().partition(BEGIN.format(name))
    assert begin, f'{path} has no line {BEGIN.format(name)}'
    now, end, after = rest.partition(END)
    if os.environ.get('WRITE_TABLES'):
        path.write_text(f'{before}{begin}\n\n{table}\n\n{end}{after}')
        return
    assert now.strip() == table, f'the table {name} in {path} is outdated: run this test with WRITE_TABLES=1'

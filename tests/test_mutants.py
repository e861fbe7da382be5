"""The rules by which a mutant counts as one that changes nothing."""

import pytest

pytest.importorskip('tomllib')  # Python 3.11
from tests import mutants


@pytest.mark.parametrize(
    ('lines', 'default'),
    [
        (('- x = torch.arange(3, device=y.device)', '+ x = torch.arange(3, device=None)'), True),
        (('- x = torch.arange(3, device=y.device)', '+ x = torch.arange(3, )'), True),
        (('- device=y.device,',), True),
        (('- labels=labels,',), False),
        (('- for a, b in zip(x, y, strict=True):', '+ for a, b in zip(x, y, strict=False):'), True),
        (('- for a, b in zip(x, y, strict=True):', '+ for a, b in zip(x, strict=True):'), False),
        (('- check(x, strict=True)', '+ check(x, )'), False),
        (('- order = x.argsort(dim=1, stable=True)', '+ order = x.argsort(dim=None, stable=True)'), True),
        (('- order = x.argsort(dim=1, stable=True)', '+ order = x.argsort(dim=2, stable=True)'), False),
        (('- order = x.sort(dim=-1)', '+ order = x.sort(dim=+1)'), False),
        (('- x = y.amax(-1, keepdim=True)', '+ x = y.amax(-1, keepdim=False)'), False),
        (('- x = torch.stack(y, dim=2)', '+ x = torch.stack(y, )'), False),
        (('- x = 1', '- y = 2', '+ x = None'), False),
    ],
)
def test_only_an_argument_whose_default_is_the_same_is_explained(lines, default):
    assert mutants.is_default(list(lines), mutants.table()['arguments']) is default


def test_every_line_is_explained_once():
    table = mutants.table()
    for folder in set(table) - {'arguments'}:
        lines = [(entry['module'], line) for entry in table[folder].get('equivalent', ()) for line in entry['becomes']]
        assert sorted({line for line in lines if lines.count(line) > 1}) == [], folder
        assert all(entry['reason'] for entry in table[folder].get('equivalent', ()))

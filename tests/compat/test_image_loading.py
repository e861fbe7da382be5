"""An image that breaks during training ends in one line that names it."""

import pytest
from mmcv.transforms import LoadImageFromFile
from torch.utils.data import DataLoader

from mmdet_kpheads import compat
from mmdet_kpheads.cli import train
from mmdet_kpheads.errors import InputError
from mmdet_kpheads_cli import subcommands


class Images:
    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return LoadImageFromFile()({'img_path': str(self.paths[index])})['img']


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('content', [None, b'', b'no image'])
def test_a_broken_image_is_one_line_of_the_command(tmp_path, monkeypatch, capsys, workers, content):
    compat.install()
    compat.install()  # wraps the transform once
    path = tmp_path / 'broken.jpg'
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(train, 'main', lambda _: list(DataLoader(Images([path]), num_workers=workers)))
    assert subcommands.run('train', []) == subcommands.EXIT_INPUT_ERROR
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f'error: image cannot be loaded: {path}: ') and line.count('broken.jpg') <= 2


def test_an_ignored_image_stays_ignored(tmp_path):
    compat.install()
    assert LoadImageFromFile(ignore_empty=True)({'img_path': str(tmp_path / 'x.jpg')}) is None
    with pytest.raises(InputError, match=r'x\.jpg'):
        LoadImageFromFile()({'img_path': str(tmp_path / 'x.jpg')})

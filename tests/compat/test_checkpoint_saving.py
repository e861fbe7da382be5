"""A checkpoint is whole or not there, and the old one stays until the new one is."""

from pathlib import Path

import pytest
from mmengine.fileio import LocalBackend

from mmdet_kpheads.compat import checkpoint_saving
from tests.compat.runners import SCHEDULES, Score, runner


@pytest.fixture(autouse=True)
def numpy_score(monkeypatch):
    from mmengine.evaluator import Evaluator

    checkpoint_saving.install()
    monkeypatch.setattr(Evaluator, 'process', Score.process)
    monkeypatch.setattr(Evaluator, 'evaluate', Score.evaluate)


def test_a_file_appears_under_its_name_when_it_is_complete(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr('os.fsync', lambda number: seen.append([path.name for path in tmp_path.rglob('*.*')]))
    LocalBackend().put(b'new', tmp_path / 'folder' / 'a.pth')
    assert seen == [['a.pth.tmp']] and (tmp_path / 'folder/a.pth').read_bytes() == b'new'
    assert [path.name for path in (tmp_path / 'folder').iterdir()] == ['a.pth']


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / 'a.pth').write_bytes(b'old')

    def full(number):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match=r'No space left on device: .*a\.pth'):
        LocalBackend().put(b'new', str(tmp_path / 'a.pth'))
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth'] and (tmp_path / 'a.pth').read_bytes() == b'old'


def run(folder, epochs, **options):
    made = runner(folder, SCHEDULES[1], epochs, **options)
    made._hooks[-1].max_keep_ckpts = 1
    return made


def test_old_checkpoints_are_removed_after_the_new_one(tmp_path, monkeypatch):
    before: dict[str, list] = {}
    put = LocalBackend.put

    def watched(backend, content, path):
        before[Path(path).name] = sorted(found.name for found in tmp_path.glob('*.pth'))
        put(backend, content, path)

    monkeypatch.setattr(LocalBackend, 'put', watched)
    run(tmp_path, 3).train()
    assert 'epoch_1.pth' in before['epoch_2.pth'] and 'epoch_2.pth' in before['epoch_3.pth']
    assert [path.name for path in tmp_path.glob('epoch_*.pth')] == ['epoch_3.pth']
    assert len(list(tmp_path.glob('best_*.pth'))) == 1


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    put = LocalBackend.put

    def full(backend, content, path):
        if 'epoch_2' in str(path):
            raise OSError(28, 'No space left on device', path)
        put(backend, content, path)

    monkeypatch.setattr(LocalBackend, 'put', full)
    with pytest.raises(OSError, match='No space left'):
        run(tmp_path, 3).train()
    assert (tmp_path / 'epoch_1.pth').is_file()

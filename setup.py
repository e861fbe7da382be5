"""What pyproject.toml cannot say: the wheel carries configs and tools in mmdet_kpheads/.mim; equal bytes each time."""

import gzip
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
os.environ.setdefault('SOURCE_DATE_EPOCH', '315532800')  # 1980, the first year of zip archives
CARRIED = ('configs', 'tools')  # and model-index.yml, the list of recipes for OpenMMLab's tools


class BuildWithConfigs(build_py):
    """Copies configs/ and tools/ into the package, where mmengine looks for ``mmdet_kpheads::x.py``."""

    def run(self) -> None:
        """Build the package, then add the folders."""
        super().run()
        if self.editable_mode:
            return
        for folder in CARRIED:
            target = Path(self.build_lib) / 'mmdet_kpheads' / '.mim' / folder
            shutil.copytree(ROOT / folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', target.parent)


class ReproducibleSdist(sdist):
    """Writes the same bytes each time, as the wheel's builder does by itself: sorted, one time, no owner."""

    def make_archive(self, base_name: str, *args: Any, base_dir: Any = None, **kwargs: Any) -> str:
        """Write ``base_dir`` to ``base_name.tar.gz`` with the time of SOURCE_DATE_EPOCH."""
        when = int(os.environ['SOURCE_DATE_EPOCH'])

        def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = when, 0, 0, '', ''
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            return entry

        path = f'{base_name}.tar.gz'
        with gzip.GzipFile(path, 'wb', mtime=when) as zipped, tarfile.open(fileobj=zipped, mode='w') as archive:
            archive.add(base_dir, filter=anonymous)
        return path


setup(cmdclass={'build_py': BuildWithConfigs, 'sdist': ReproducibleSdist})

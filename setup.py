"""Everything is in pyproject.toml, except that the wheel carries configs and tools in mmdet_kpheads/.mim."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
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


setup(cmdclass={'build_py': BuildWithConfigs})

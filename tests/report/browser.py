"""Opens a page in a headless Chromium, and parses one without a browser."""

import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
VOID = {'meta', 'img', 'br', 'link', 'input', 'hr'}
RESOURCES = ('src', 'srcset', 'data', 'poster', 'background', 'action')
# A window of Chromium is at least 500 pixels wide; a frame is as wide as a phone. The page itself stays as it is.
FRAME = """<!DOCTYPE html><body><pre id="probe"></pre>
<script>
const failures = [];
window.onerror = (message) => failures.push(String(message));
window.onload = () => {
  const view = document.querySelector('iframe').contentWindow, page = view.document, images = [...page.images];
  document.getElementById('probe').textContent = JSON.stringify({
    failures: failures,
    images: images.length,
    loaded: images.filter((image) => image.complete && image.naturalWidth > 0).length,
    width: page.documentElement.clientWidth,
    scroll: page.documentElement.scrollWidth,
    requests: view.performance.getEntriesByType('resource').map((entry) => entry.name.slice(0, 60)),
    scripts: page.scripts.length,
    title: page.title,
    sections: [...page.querySelectorAll('section')].map((part) => part.id),
    links: [...page.querySelectorAll('nav a')].map((link) => link.getAttribute('href').slice(1)),
  });
};
</script>
<iframe srcdoc="PAGE" width="WIDTH" height="900" style="border: 0"></iframe></body>
"""


def browser():
    """Path of a browser; skips the test without one."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if not found:
        pytest.skip(f'needs one of {", ".join(BROWSERS)}')
    return found


def seen_by_browser(page, folder, width):
    """What a browser sees in a frame of a width."""
    frame = folder / 'frame.html'
    frame.write_text(FRAME.replace('WIDTH', str(width)).replace('PAGE', html.escape(page.read_text())))
    options = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run']
    options += [f'--user-data-dir={folder / "profile"}', '--window-size=1400,1000']
    command = [browser(), *options, '--dump-dom', frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = re.search(r'<pre id="probe">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


class Page(HTMLParser):
    """Tags, images and text of a page; raises where tags do not balance."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ''
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != 'style':
            self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def checked_page(path):
    """Parse a report; check that it loads nothing from outside and that each image decodes."""
    page = Page(path.read_text(encoding='utf-8'))
    assert not page.named('script') and not page.named('link') and not page.named('iframe')
    for tag, attributes in page.tags:
        assert not any(name.startswith('on') for name in attributes), (tag, attributes)
        for name in RESOURCES:
            assert (attributes.get(name) or 'data:').startswith('data:'), (tag, name)
        assert (attributes.get('href') or '#').startswith('#'), attributes
        assert 'url(' not in attributes.get('style', '')
    assert 'url(' not in path.read_text().partition('</style>')[0] and '@import' not in path.read_text()
    ids = [attributes['id'] for _, attributes in page.tags if 'id' in attributes]
    assert len(ids) == len(set(ids)) and {link['href'][1:] for link in page.named('a')} <= set(ids)
    for image in page.named('img'):
        check_image(image)
    return page


def check_image(image):
    """A data URI that decodes to the size that is given; an SVG asks for nothing."""
    kind, _, data = image['src'].removeprefix('data:image/').partition(';base64,')
    content = base64.b64decode(data, validate=True)
    assert image['alt'].strip()
    if kind == 'jpeg':
        height, width = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert (str(width), str(height)) == (image['width'], image['height'])
        return
    assert kind == 'svg+xml'
    for node in ElementTree.fromstring(content).iter():
        assert node.tag.rpartition('}')[2] not in ('script', 'image', 'foreignObject')
        assert all(value.startswith('#') for name, value in node.attrib.items() if name.endswith('href'))

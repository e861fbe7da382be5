"""Writes annotated images of any format as COCO annotations."""

from collections.abc import Sequence
from pathlib import Path

from .annotations import AnnotatedImage


def coco_dict(images: Sequence[AnnotatedImage], classes: Sequence[str], folder: Path | str = '') -> dict:
    """Build the content of a COCO file.

    Args:
        images: The images; their paths are below ``folder``.
        classes: Class names, in the order of the category ids.
        folder: Folder that ``file_name`` entries are relative to.
    """
    ids = {name: number for number, name in enumerate(classes, 1)}
    entries: list[dict] = []
    annotations: list[dict] = []
    for image_id, image in enumerate(images, 1):
        width, height = image.size
        file_name = image.path.relative_to(folder).as_posix()
        entries.append({'id': image_id, 'file_name': file_name, 'height': height, 'width': width})
        ignored = image.ignored or [False] * len(image.boxes)
        for (x1, y1, x2, y2), name, crowd in zip(image.boxes, image.names, ignored, strict=True):
            w, h = x2 - x1, y2 - y1
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': ids[name],
                    'bbox': [x1, y1, w, h],
                    'area': w * h,
                    'iscrowd': int(crowd),
                }
            )
    # Each class is its own group; mmdet's coco_error_analysis.py reads the key.
    categories = [{'id': number, 'name': name, 'supercategory': name} for name, number in ids.items()]
    return {'images': entries, 'annotations': annotations, 'categories': categories}

"""How many times faster than mmdet's heads ours are to be on two CPU cores, and whether they are."""

from typing import Any

COLUMNS = ['what', 'size', 'goal', 'measured', '']
# what and size of a row of heads.py, and the least ratio
GOALS = (
    ('CenterNet loss + backward', '16 images, 7 boxes', 10),
    ('CenterNet loss + backward', '4 images, 100 boxes', 10),
    ('CornerNet loss + backward', '16 images, 7 boxes', 12),
    ('CornerNet loss + backward', '4 images, 100 boxes', 12),
    ('AutoAssign loss + backward', '2 images 800 x 1088, 7 boxes', 3),
    ('AutoAssign loss + backward', '2 images 800 x 1088, 50 boxes', 12),
    ('AutoAssign loss + backward', '2 images 800 x 1088, 200 boxes', 20),
    ('CenterNet predict', '16 images, 7 boxes', 3),
    ('CenterNet predict', '4 images, 100 boxes', 3),
    ('CornerNet predict, soft-NMS', '16 images, 7 boxes', 5),
    ('CornerNet predict, soft-NMS', '4 images, 100 boxes', 5),
)


def against_goals(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A line of cells for each goal."""
    ratios = {(row['what'], row['size']): row['ratio'] for row in rows if 'ratio' in row}
    lines = []
    for what, size, goal in GOALS:
        ratio = ratios[what, size]
        lines.append([what, size, str(goal), f'{ratio:.1f}', 'met' if ratio >= goal else '**missed**'])
    return lines

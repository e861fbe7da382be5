"""Write the digits data set."""

import argparse

from ..data.digits import write_digits


def main(argv: list[str] | None = None) -> None:
    """Write the data set as the command line says."""
    parser = argparse.ArgumentParser(prog='make_digits', description='Write handwritten digits on photographs')
    parser.add_argument('folder', help='where to write; COCO files in annotations/, VOC layout in VOC2007/')
    parser.add_argument('--num-train', type=int, default=7500)
    parser.add_argument('--num-val', type=int, default=300)
    parser.add_argument('--objects', type=int, help='digits in each image; default 1 to 5')
    parser.add_argument('--size', type=int, default=128, help='side of the images in pixels')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args(argv)
    write_digits(args.folder, args.num_train, args.num_val, args.objects, args.size, args.seed)
    print(f'wrote {args.num_train} training and {args.num_val} validation images to {args.folder}')

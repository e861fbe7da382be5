"""Write the digits dataset."""

from ..data.digits import write_digits
from .subcommands import make_parser


def main(argv: list[str] | None = None) -> None:
    """Write the dataset."""
    parser = make_parser('make-digits')
    parser.add_argument('folder', help='output folder: COCO files in annotations/, VOC layout in VOC2007/')
    parser.add_argument('--num-train', type=int, default=7500, help='training images; default %(default)s')
    parser.add_argument('--num-val', type=int, default=300, help='validation images; default %(default)s')
    parser.add_argument('--objects', type=int, help='digits per image; default: 1 to 5')
    parser.add_argument('--size', type=int, default=128, help='side of the images in pixels; default %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='seed of the random numbers; default %(default)s')
    args = parser.parse_args(argv)
    write_digits(args.folder, args.num_train, args.num_val, args.objects, args.size, args.seed)
    print(f'wrote {args.num_train} training and {args.num_val} validation images to {args.folder}')

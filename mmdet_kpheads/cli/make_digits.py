"""Write the digits dataset."""

from mmdet_kpheads_cli.parsers import parse

from ..data.digits import write_digits
from .arguments import require_folder


def main(argv: list[str] | None = None) -> None:
    """Write the dataset."""
    args = parse('make-digits', argv)
    require_folder('folder', args.folder)
    write_digits(args.folder, args.num_train, args.num_val, args.objects, args.size, args.seed)
    print(f'wrote {args.num_train} training and {args.num_val} validation images to {args.folder}')

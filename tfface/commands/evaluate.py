"""Measures a trained model: `synthetic` is the depth error of the paper's Table 1 on held-out faces, `landmarks` the
normalised mean error of 68 landmarks on photographs."""

import argparse

from tfface.errors import InputError

HELP = "measure a trained model: depth, pose and landmark errors"


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument("protocol", nargs="?", choices=("synthetic", "landmarks"), default="synthetic")
    parser.add_argument("--model", metavar="DIR", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--photos", metavar="DIR", help="photographs with landmarks, for `landmarks`")
    parser.add_argument(
        "--crop", choices=("landmarks", "mtcnn"), default="landmarks", help="where `landmarks` takes its crops from"
    )
    parser.add_argument("--faces", type=int, default=0, metavar="N", help="how many (default: the protocol's own)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")


def run(arguments: argparse.Namespace) -> int:
    """Measures; returns the exit code."""
    from tfface.commands.quiet import import_tensorflow

    import_tensorflow()
    from tfface.pipelines import evaluate

    names = ("protocol", "model", "photos", "crop", "faces", "json")
    try:
        report = evaluate.run(evaluate.EvaluateConfig(**{name: getattr(arguments, name) for name in names}))
    except (FileNotFoundError, ValueError) as error:
        raise InputError(str(error)) from error
    evaluate.show(report)
    return 0

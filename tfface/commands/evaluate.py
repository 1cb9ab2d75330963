"""Measures a trained model. `synthetic`: depth, vertices and pose on held-out renders, pass by pass. `landmarks`: the
normalised mean error of 68 landmarks and the head pose on photographs (also in AFLW2000-3D's format). `depth` and
`normals`: photographs with measured shape. `detail`: renders with true wrinkles, and painted marks. `shading`: what of
photographs light explains. docs/evaluation.md has every protocol in words."""

import argparse

from tfface.errors import InputError, OutputError

HELP = "measure a trained model: depth, pose, landmarks, normals and detail"
PROTOCOLS = ("synthetic", "landmarks", "depth", "normals", "detail", "shading")


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument("protocol", nargs="?", choices=PROTOCOLS, default="synthetic")
    parser.add_argument("--model", metavar="DIR", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument(
        "--photos", metavar="DIR", help="photographs with what they are measured against; optional for `detail`"
    )
    parser.add_argument(
        "--crop",
        choices=("landmarks", "mtcnn", "mask"),
        help="what crops are cut by: `landmarks` (its default) or `mtcnn` for landmarks; `mtcnn` (their default) or "
        "`mask` for depth and normals",
    )
    parser.add_argument(
        "--axes",
        default="right,up,near",
        metavar="X,Y,Z",
        help="where positive x, y, z of given normals point: right|left,up|down,near|far (default: %(default)s)",
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[], metavar="PX", help="widths of crops for `detail` and `shading`"
    )
    parser.add_argument(
        "--amounts", type=float, nargs="+", default=[], metavar="X", help="factors on the detail for `shading`"
    )
    parser.add_argument(
        "--descent",
        type=int,
        default=0,
        metavar="STEPS",
        help="for `detail` and `shading`: measure, in FineNet's place, its criterion minimised for each picture",
    )
    parser.add_argument(
        "--groups", metavar="FILE", help="groups of the photographs to tell apart for `landmarks`: `name: photograph …`"
    )
    parser.add_argument(
        "--fits", metavar="FILE", help="fits of `python -m tfface.pipelines.fit_photos` to measure features against"
    )
    parser.add_argument("--faces", type=int, default=0, metavar="N", help="how many (default: the protocol's own)")
    parser.add_argument(
        "--severity",
        type=float,
        default=0.0,
        metavar="X",
        help="of the oldest skin for `detail`, 0.25 to 4: how deep folds are (default: 1; beyond it skin sags, too)",
    )
    parser.add_argument(
        "--natural",
        action="store_true",
        help="for `detail`: heads that cast shadows and have a shape beyond the face model's, as on photographs",
    )
    parser.add_argument(
        "--surroundings",
        metavar="DIR",
        help="for `detail`: photographs around the heads, from `python -m tfface.pipelines.surroundings`",
    )
    parser.add_argument(
        "--small", action="store_true", help="for `detail`: pictures that were smaller before, and are compressed"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")


def run(arguments: argparse.Namespace) -> int:
    """Measures; returns the exit code."""
    from tfface.commands.quiet import import_tensorflow

    import_tensorflow()
    from tfface.pipelines import evaluate

    if arguments.faces < 0:
        raise InputError(f"expected --faces of at least 1, or 0 for the protocol's own, received {arguments.faces}")
    if arguments.descent < 0:
        raise InputError(f"expected --descent of at least 1, or 0 for FineNet, received {arguments.descent}")
    names = ("protocol", "model", "photos", "crop", "axes", "descent", "groups", "fits", "faces")
    names += ("severity", "natural", "surroundings", "small", "json")
    lists = {name: tuple(getattr(arguments, name)) for name in ("sizes", "amounts")}
    config = evaluate.EvaluateConfig(**lists, **{name: getattr(arguments, name) for name in names})
    try:
        report = evaluate.run(config)
    except (OutputError, BrokenPipeError):
        raise
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from error
    evaluate.show(report)
    return 0

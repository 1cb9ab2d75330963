"""Trains CoarseNet (`train coarse`) and its corrections (`train refine`, `train look`), then FineNet, alone or with it
(`train end-to-end`), and what tells where detail belongs (`train skin`). `train assemble` joins them.

The same command goes on where an interrupted run stopped. docs/training.md tells which data to bring.
"""

import argparse
import dataclasses
import os
import sys

from tfface.errors import InputError, OutputError

_CORRECTIONS = ("refine", "look")
HELP = "train the networks, or go on with a run"


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for name, text in (
        ("coarse", "CoarseNet, on synthetic faces and, if there are some, fitted photographs (§3)"),
        (
            "refine",
            "what corrects CoarseNet's last answer by gradients of the picture on the face; not in the paper",
        ),
        ("look", "what corrects that by the picture on the face itself, several times; not in the paper"),
        (
            "skin",
            "the part of FineNet that tells skin from hair or glasses, on photographs; not in the paper",
        ),
        ("end-to-end", "FineNet on fitted photographs, joined to CoarseNet if that is named (§4)"),
    ):
        stage = stages.add_parser(name, help=text, description=text)
        presets = ("release",) if name in ("skin", *_CORRECTIONS) else ("paper", "release")
        stage.add_argument("--preset", choices=presets, default="release", help="the recipe to start from")
        stage.add_argument("--show", action="store_true", help="print the recipe and stop")
        stage.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            dest="changes",
            help="change a field of the recipe, e.g. --set steps=1000; --show lists the fields",
        )
        stage.add_argument("--output", metavar="DIR", help="folder of the run: checkpoints, logs, weights")
        if name in ("skin", "end-to-end"):
            stage.add_argument("--heads", metavar="DIR", help="heads of `python -m tfface.pipelines.detail_bank`")
        if name == "end-to-end":
            stage.add_argument(
                "--surroundings",
                metavar="DIR",
                help="photographs to lay around those heads, from `python -m tfface.pipelines.surroundings`",
            )
        if name == "skin":
            stage.add_argument("--labels", metavar="FILE", help="of `python -m tfface.pipelines.skin_labels`")
            continue
        stage.add_argument(
            "--photos", metavar="DIR", help="photographs with landmarks, laid out as docs/training.md says"
        )
        stage.add_argument("--fits", metavar="FILE", help="their fits, from `python -m tfface.pipelines.fit_photos`")
        if name in (*_CORRECTIONS, "end-to-end"):
            stage.add_argument("--coarse", metavar="DIR", help="folder of a run of `train coarse` to train on")
    text = "one model folder for `tfface reconstruct --model` from the folders of two runs"
    together = stages.add_parser("assemble", help=text, description=text)
    together.add_argument(
        "--coarse", required=True, metavar="DIR", help="folder of a run of `train coarse`, or a model"
    )
    together.add_argument("--blend", metavar="DIR", help="a run whose CoarseNet is averaged with that of --coarse")
    together.add_argument(
        "--fine", required=True, metavar="DIR", help="folder of a run of `train end-to-end`, or a model"
    )
    together.add_argument("--output", required=True, metavar="DIR", help="folder for the model")
    together.add_argument(
        "--detail-scale", type=float, metavar="X", help="factor on FineNet's detail (default: the run's own)"
    )
    together.add_argument(
        "--detail-noise",
        type=float,
        metavar="X",
        help="slope below which FineNet's detail fades (default: the run's own)",
    )
    together.add_argument(
        "--detail-mirrored",
        action=argparse.BooleanOptionalAction,
        help="whether FineNet sees the mirrored face, too, which takes twice as long (default: as the run has it)",
    )
    together.add_argument(
        "--mirrored",
        action=argparse.BooleanOptionalAction,
        help="whether CoarseNet's last pass sees the picture mirrored, too (default: as the run has it)",
    )
    together.add_argument(
        "--describe",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a line of the model's description, e.g. --describe license=CC-BY-4.0",
    )


def run(arguments: argparse.Namespace) -> int:
    """Trains; returns the exit code."""
    # Read when TensorFlow is imported, which leaves oneDNN's convolutions off on x86 without AVX-512. For batches they
    # are up to two times as fast there; for single faces they are slower, so only training turns them on.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from tfface.commands.quiet import import_tensorflow

    import_tensorflow()
    try:
        stages = {
            "coarse": _coarse,
            "refine": _refine,
            "look": _look,
            "skin": _skin,
            "end-to-end": _end_to_end,
            "assemble": _assemble,
        }
        return stages[arguments.stage](arguments)
    except (OutputError, BrokenPipeError):
        raise
    except (OSError, ValueError) as error:
        raise InputError(str(error)) from error


def _coarse(arguments) -> int:
    from tfface.morphable.model import MorphableModel
    from tfface.pipelines.train_coarse import PRESETS, train_coarse

    config = PRESETS[arguments.preset]
    data = _named(config.data, arguments, "photos", "fits")
    config = _asked(dataclasses.replace(config, data=data), arguments)
    if arguments.show:
        return _show(config)
    train_coarse(MorphableModel.default(), config)
    print(f"Weights: {config.output}/coarse.npz")
    return 0


def _refine(arguments) -> int:
    from tfface.pipelines.train_refine import PRESETS, train_refine

    return _correction(arguments, PRESETS, train_refine)


def _look(arguments) -> int:
    from tfface.pipelines.train_look import PRESETS, train_look

    return _correction(arguments, PRESETS, train_look)


def _correction(arguments, presets, train) -> int:
    from tfface.morphable.model import MorphableModel

    config = presets[arguments.preset]
    data = _named(config.data, arguments, "photos", "fits")
    config = _named(dataclasses.replace(config, data=data), arguments, "coarse")
    config = _asked(config, arguments)
    if arguments.show:
        return _show(config)
    if not config.data.photos:
        print(
            "tfface: no --photos: a correction that learns from synthetic faces alone gets worse on photographs "
            "(docs/training.md)",
            file=sys.stderr,
        )
    train(MorphableModel.default(), config)
    print(f"CoarseNet: {config.output} (`tfface train assemble --coarse {config.output} …` makes a model of it)")
    return 0


def _skin(arguments) -> int:
    from tfface.morphable.model import MorphableModel
    from tfface.pipelines.train_skin import PRESETS, train_skin

    config = _named(_with_heads(PRESETS[arguments.preset], arguments), arguments, "labels")
    config = _asked(config, arguments)
    if arguments.show:
        return _show(config)
    train_skin(MorphableModel.default(), config)
    return _trained(config)


def _trained(config) -> int:
    print(f"FineNet: {config.output} (`tfface train assemble --fine {config.output} …` makes a model of it)")
    return 0


def _named(config, arguments, *names):
    """The recipe with those of the options that were given."""
    return dataclasses.replace(config, **{name: getattr(arguments, name) for name in names if getattr(arguments, name)})


def _with_heads(config, arguments):
    """The recipe with --heads."""
    if not arguments.heads:
        return config
    return dataclasses.replace(config, heads=dataclasses.replace(config.heads, path=arguments.heads))


def _end_to_end(arguments) -> int:
    from tfface.pipelines.train_end_to_end import PRESETS, train_fine

    config = PRESETS[arguments.preset]()
    config = dataclasses.replace(config, data=_named(config.data, arguments, "photos", "fits"))
    config = _named(_with_heads(config, arguments), arguments, "coarse")
    config = dataclasses.replace(config, heads=_named(config.heads, arguments, "surroundings"))
    config = _asked(config, arguments)
    if arguments.show:
        return _show(config)
    if not config.data.photos:
        raise InputError("expected a folder of photographs to train FineNet on; name one with --photos")
    if arguments.preset == "paper" and not config.coarse:
        raise InputError("expected CoarseNet to train end to end with, as the paper does; name its run with --coarse")
    train_fine(config)
    print(f"Networks: {config.output}")
    return 0


def _assemble(arguments) -> int:
    from tfface.pipelines.assemble import assemble

    described = {}
    for entry in arguments.describe:
        name, equals, text = entry.partition("=")
        if not equals or not name:
            raise InputError(f"expected --describe NAME=VALUE, received {entry!r}")
        described[name] = int(text) if text.isdecimal() else text
    given = {name: getattr(arguments, name) for name in ("detail_scale", "detail_noise")}
    given["mirrored"] = arguments.detail_mirrored
    changes = {name: value for name, value in given.items() if value is not None}
    scale, noise = changes.get("detail_scale", 1.0), changes.get("detail_noise", 0.0)
    if not 0.0 < scale < 100.0:
        raise InputError(f"expected --detail-scale of more than 0 and less than 100, received {scale:g}")
    if not 0.0 <= noise < 10.0:
        raise InputError(f"expected --detail-noise of at least 0 and less than 10, received {noise:g}")
    assemble(
        arguments.coarse, arguments.fine, arguments.output, described, arguments.blend, changes, arguments.mirrored
    )
    print(f"Model: {arguments.output} (use it with `tfface reconstruct --model {arguments.output}`)")
    return 0


def _asked(config, arguments):
    """The recipe with --output, and then --set, applied."""
    if arguments.output:
        config = dataclasses.replace(config, output=arguments.output)
    return changed(config, arguments.changes)


def changed(config, changes: list[str]):
    """A frozen configuration with `field=value` applied; `a.b=value` reaches into nested ones.

    Raises:
      InputError: no such field, or a value of another kind.
    """
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"expected --set FIELD=VALUE, received {change!r}")
        config = _replace(config, path.split("."), text, path)
    return config


def _replace(config, path, text, whole):
    names = [field.name for field in dataclasses.fields(config)]
    if path[0] not in names:
        raise InputError(f"expected a field among {', '.join(names)}, received {path[0]!r} in --set {whole}")
    value = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(value):
            raise InputError(f"expected a plain field, received --set {whole}: {path[0]} has no parts")
        return dataclasses.replace(config, **{path[0]: _replace(value, path[1:], text, whole)})
    return dataclasses.replace(config, **{path[0]: _parse(text, value, whole)})


def _parse(text, value, whole):
    """`text` as the kind of thing that `value` is."""
    if isinstance(value, bool):
        if text.lower() not in ("true", "false"):
            raise InputError(f"expected true or false for {whole}, received {text!r}")
        return text.lower() == "true"
    for kind in (int, float):
        if isinstance(value, kind):
            try:
                return kind(text)
            except ValueError:
                raise InputError(f"expected a number for {whole}, received {text!r}") from None
    if value is None or isinstance(value, str):
        return text
    if isinstance(value, tuple) and not any(isinstance(item, tuple) for item in value):
        # An empty one tells nothing of its kind: all that there are hold whole numbers or names.
        like = value[0] if value else 0 if text[:1].isdigit() else ""
        return tuple(_parse(item.strip(), like, whole) for item in text.split(",") if item.strip())
    raise InputError(f"expected a field that is a number, text, true or false, or a list of such, received {whole}")


def _show(config) -> int:
    from rich.pretty import pprint

    pprint(config, expand_all=True)
    return 0

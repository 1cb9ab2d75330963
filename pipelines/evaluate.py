"""`tfface evaluate`: how good the networks are, each protocol one command with a table and a JSON file."""

import dataclasses
import json
import math
from pathlib import Path

from tfface.output import write_files

PROTOCOLS = ("synthetic", "landmarks", "depth", "normals", "detail", "shading")
NEED_PHOTOS = {
    "landmarks": "photographs with landmarks",
    "depth": "photographs with depth maps and masks",
    "normals": "photographs with normal maps and masks",
    "shading": "photographs with landmarks",
}

DESCENT = (
    " “fine” is not FineNet here: it is the depth that minimises the release's criterion (14) for each picture, found "
    "by {steps} steps of Adam from the coarse depth, on what FineNet takes for skin."
)

_FILE_WIDTH = 160
"""Characters of a line where the tables go into a file or a pipe."""


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What is measured; docs/evaluation.md says how.

    Attributes:
      protocol: one of `PROTOCOLS`.
      model: folder of trained weights; None for the shipped ones.
      photos: folder of photographs, for "landmarks", "depth", "normals" and "shading"; "detail" takes it if given.
      crop: how crops are cut: "landmarks" or "mtcnn" for "landmarks", "mtcnn" or "mask" for "depth" and "normals";
        None for the protocol's own.
      axes: what positive x, y and z of given normals mean, for "normals"; see `evaluate_normals`.
      sizes: widths of the crops in px, for "detail" and "shading"; () for the protocol's own.
      amounts: what detail is multiplied by, for "shading"; () for 1.
      descent: steps by which the criterion itself is minimised in FineNet's place, for "detail" and "shading", see
        `descent`; 0 measures FineNet.
      groups: file of groups of the photographs, for "landmarks"; see `evaluate_landmarks.read_groups`.
      fits: file of `pipelines.fit_photos` to measure features against, for "landmarks".
      faces: number of faces; 0 for the protocol's own.
      severity: of the oldest skin of the heads of "detail"; 0 for the protocol's own.
      natural: whether the heads of "detail" cast shadows and have a shape beyond the face model's.
      surroundings: folder of `pipelines.surroundings` to lay around the heads of "detail"; None for none.
      small: whether the pictures of "detail" were smaller before and are compressed.
      json: file for the figures; None for none.
    """

    protocol: str = "synthetic"
    model: str | None = None
    photos: str | None = None
    crop: str | None = None
    axes: str = "right,up,near"
    sizes: tuple[int, ...] = ()
    amounts: tuple[float, ...] = ()
    descent: int = 0
    groups: str | None = None
    fits: str | None = None
    faces: int = 0
    severity: float = 0.0
    natural: bool = False
    surroundings: str | None = None
    small: bool = False
    json: str | None = None


def run(config: EvaluateConfig, networks=None) -> dict:
    """Runs one protocol.

    Args:
      config: see `EvaluateConfig`.
      networks: has `face_model`, `coarse` and `fine`; loaded from `config.model` if None.

    Returns:
      {"protocol": what was done, in words, "faces": int, "rows": [{"name": …, figures}], "more": [further tables with
      a protocol and rows of their own]}; figures that don't exist are None.

    Raises:
      ValueError: an unknown protocol or crop, a protocol without the photos it needs, or a damaged file.
      FileNotFoundError: weights or photographs are missing.
      OutputError: the JSON file can't be written.
    """
    if config.protocol not in PROTOCOLS:
        raise ValueError(f"expected a protocol of {', '.join(PROTOCOLS)}, received {config.protocol!r}")
    if config.descent and config.protocol not in ("detail", "shading"):
        raise ValueError(f"expected descent for detail or shading, received it for {config.protocol}; leave it out")
    for name in ("severity", "natural", "surroundings", "small"):
        if getattr(config, name) and config.protocol != "detail":
            raise ValueError(f"expected {name} for detail, received it for {config.protocol}; leave it out")
    if config.protocol in NEED_PHOTOS and not config.photos:
        what = NEED_PHOTOS[config.protocol]
        raise ValueError(f"expected a folder of {what} for the protocol {config.protocol}; name one with --photos")
    if networks is None:
        from tfface.networks.pretrained import load_pretrained

        networks = load_pretrained(config.model)
    report = _finite(_MEASURE[config.protocol](networks, config))
    if config.descent:
        report["protocol"] += DESCENT.format(steps=config.descent)
    if config.json:
        path = Path(config.json)
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_files(path.parent, {path.name: text.encode()})
    return report


def _synthetic(networks, config):
    from tfface.pipelines import evaluate_synthetic as protocol

    return protocol.run(networks, protocol.SyntheticEvaluationConfig(**_given(faces=config.faces)))


def _landmarks(networks, config):
    from tfface.pipelines import evaluate_landmarks as protocol

    settings = _given(crop=config.crop, limit=config.faces, groups=config.groups, fits=config.fits)
    return protocol.run(networks, protocol.LandmarkEvaluationConfig(config.photos, **settings))


def _depth(networks, config):
    from tfface.pipelines import evaluate_depth as protocol
    from tfface.reconstructor import Reconstructor

    settings = _given(crop=config.crop, limit=config.faces)
    return protocol.run(Reconstructor(networks), protocol.DepthEvaluationConfig(config.photos, **settings))


def _normals(networks, config):
    from tfface.pipelines import evaluate_normals as protocol
    from tfface.reconstructor import Reconstructor

    settings = _given(crop=config.crop, limit=config.faces, axes=config.axes)
    return protocol.run(Reconstructor(networks), protocol.NormalsEvaluationConfig(config.photos, **settings))


def _in_place_of_fine(networks, steps: int):
    """The networks, FineNet replaced by a descent of so many steps, if any."""
    if not steps:
        return networks
    from tfface.networks.pretrained import Pretrained
    from tfface.pipelines.descent import Descent

    return Pretrained(networks.face_model, networks.coarse, Descent(networks.fine, steps))


def _detail(networks, config):
    from tfface.pipelines import evaluate_detail as protocol

    names = ("photos", "sizes", "faces", "severity", "natural", "surroundings", "small")
    settings = _given(**{name: getattr(config, name) for name in names})
    return protocol.run(_in_place_of_fine(networks, config.descent), protocol.DetailEvaluationConfig(**settings))


def _shading(networks, config):
    from tfface.pipelines import evaluate_shading as protocol

    settings = _given(sizes=config.sizes, amounts=config.amounts, limit=config.faces)
    settings = protocol.ShadingEvaluationConfig(config.photos, **settings)
    return protocol.run(_in_place_of_fine(networks, config.descent), settings)


_MEASURE = {
    "synthetic": _synthetic,
    "landmarks": _landmarks,
    "depth": _depth,
    "normals": _normals,
    "detail": _detail,
    "shading": _shading,
}


def _given(**settings) -> dict:
    """The settings that were given: the others are the protocol's own."""
    return {name: value for name, value in settings.items() if value}


def _finite(value):
    """The report with None for numbers that don't exist: JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show(report: dict) -> None:
    """Prints a report's protocol and its table, and those below it."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys(name for row in report["rows"] for name in row))
    table = Table(box=SIMPLE, padding=(0, 1))
    for name in columns:
        # Folded where a terminal is narrow: a figure cut short would be another figure.
        justify = "left" if name == "name" else "right"
        table.add_column(name.replace("percent", "%").replace("_", " "), justify=justify, overflow="fold")
    for row in report["rows"]:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    console.print(report["protocol"], markup=False, highlight=False)
    console.print(table)
    if report.get("worst"):
        console.print("worst first:", ", ".join(map(str, report["worst"])), highlight=False)
    for further in report.get("more", ()):
        show(further)


def _cell(value) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2g}" if 0.0 < abs(value) < 0.1 else f"{value:.2f}"

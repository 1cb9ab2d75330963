"""`tfface evaluate`: how good the networks are, each protocol one command with a table and a JSON file."""

import dataclasses
import json
from pathlib import Path

PROTOCOLS = ("synthetic", "landmarks")


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What is measured.

    Attributes:
      protocol: "synthetic" or "landmarks".
      model: folder of trained weights; None for the shipped ones.
      photos: folder of photographs, for "landmarks".
      crop: how "landmarks" cuts its crops, "landmarks" or "mtcnn".
      faces: number of faces; 0 for the protocol's own.
      json: file for the figures; None for none.
    """

    protocol: str = "synthetic"
    model: str | None = None
    photos: str | None = None
    crop: str = "landmarks"
    faces: int = 0
    json: str | None = None


def run(config: EvaluateConfig, networks=None) -> dict:
    """Runs one protocol.

    Args:
      config: see `EvaluateConfig`.
      networks: has `face_model` and `coarse`; loaded from `config.model` if None.

    Returns:
      {"protocol": what was done, in words, "faces": int, "rows": [{"name": …, figures}]}.

    Raises:
      ValueError: an unknown protocol, or no photos for "landmarks".
      FileNotFoundError: weights or photographs are missing.
    """
    from tfface.pipelines import evaluate_landmarks, evaluate_synthetic

    if config.protocol not in PROTOCOLS:
        raise ValueError(f"expected a protocol of {', '.join(PROTOCOLS)}, received {config.protocol!r}")
    if config.protocol == "landmarks" and not config.photos:
        raise ValueError("expected a folder of photographs for the protocol landmarks; name one with --photos")
    if networks is None:
        from tfface.networks.pretrained import load_pretrained

        networks = load_pretrained(config.model)
    if config.protocol == "synthetic":
        faces = {"faces": config.faces} if config.faces else {}
        report = evaluate_synthetic.run(networks, evaluate_synthetic.SyntheticEvaluationConfig(**faces))
    else:
        settings = evaluate_landmarks.LandmarkEvaluationConfig(config.photos, config.crop, config.faces)
        report = evaluate_landmarks.run(networks, settings)
    if config.json:
        Path(config.json).parent.mkdir(parents=True, exist_ok=True)
        Path(config.json).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def show(report: dict) -> None:
    """Prints a report's protocol and its table."""
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys(name for row in report["rows"] for name in row))
    table = Table()
    for name in columns:
        table.add_column(name.replace("_", " "), justify="left" if name == "name" else "right")
    for row in report["rows"]:
        cells = [row.get(name, "–") for name in columns]
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells))
    console = Console()
    console.print(report["protocol"], markup=False, highlight=False)
    console.print(table)
    if report.get("worst"):
        console.print("worst first:", ", ".join(map(str, report["worst"])), highlight=False)

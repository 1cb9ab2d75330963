"""The folder of a training run: its configuration and how far it has come."""

import dataclasses
import json
from pathlib import Path


def write_config(config) -> Path:
    """Creates the folder `config.output`, notes the configuration there and returns the folder."""
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
    return output


def finished_epochs(backup: Path) -> int:
    """Whole epochs that a `BackupAndRestore` folder holds; 0 without one."""
    path = backup / "training_metadata.json"
    if not path.is_file():
        return 0
    return int(json.loads(path.read_text(encoding="utf-8"))["epoch"])

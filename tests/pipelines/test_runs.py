"""A run's folder: what it was made with, and that going on with something else is said."""

import dataclasses
import json

import pytest

from tfface.errors import OutputError
from tfface.pipelines.runs import write_config


@dataclasses.dataclass(frozen=True)
class _Data:
    seed: int = 0
    sizes: tuple[int, ...] = (200, 400)


@dataclasses.dataclass(frozen=True)
class _Config:
    output: str
    rate: float = 0.1
    data: _Data = _Data()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OutputError, match="expected a folder for the results"):
        write_config(_Config(str(tmp_path / "run")))


def test_a_run_that_goes_on_with_something_else_says_so(tmp_path, capsys):
    config = _Config(str(tmp_path / "run"))
    output = write_config(config, heads=3)
    assert json.loads((output / "config.json").read_text())["found"] == {"heads": 3}
    other = dataclasses.replace(config, rate=0.2, data=_Data(seed=1))
    # Before anything was trained, a folder may be set up anew.
    write_config(other, heads=4)
    assert not capsys.readouterr().err
    (output / "backup").mkdir()
    (output / "backup" / "training_metadata.json").write_text('{"epoch": 2}')
    write_config(other, heads=4)
    assert not capsys.readouterr().err
    write_config(config, heads=5)
    said = capsys.readouterr().err
    assert "data.seed 1 → 0, found.heads 4 → 5, rate 0.2 → 0.1" in said and "sizes" not in said
    assert json.loads((output / "config.json").read_text())["rate"] == 0.1
    # A folder of before that said less.
    write_config(config)
    assert "found.heads 5 → None" in capsys.readouterr().err

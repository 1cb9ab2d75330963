"""The recipes' fields from the command line, and how a model is put together."""

import dataclasses
import os

import pytest

from tfface.cli import main
from tfface.commands.train import changed
from tfface.errors import InputError


@dataclasses.dataclass(frozen=True)
class Inner:
    widths: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    pairs: tuple[tuple[str, int], ...] = (("here", 2),)


@dataclasses.dataclass(frozen=True)
class Recipe:
    steps: int = 3
    rate: float = 0.5
    flip: bool = False
    initial: str | None = None
    sizes: tuple[int, ...] = (200, 400)
    network: Inner = Inner()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("steps=7", {"steps": 7}),
        ("rate=2", {"rate": 2.0}),
        ("flip=true", {"flip": True}),
        ("initial=a=b.npz", {"initial": "a=b.npz"}),
        ("sizes=100", {"sizes": (100,)}),
        ("sizes=", {"sizes": ()}),
        ("network.widths=32, 48", {"network": Inner(widths=(32, 48))}),
        ("network.sources=mebeauty,allage", {"network": Inner(sources=("mebeauty", "allage"))}),
    ],
)
def test_a_field_is_set_as_the_kind_of_thing_it_is(change, expected):
    assert changed(Recipe(), [change]) == dataclasses.replace(Recipe(), **expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps", "FIELD=VALUE"),
        ("steps=many", "a number for steps"),
        ("flip=1", "true or false"),
        ("sizes=100,big", "a number for sizes"),
        ("stride=2", "a field among steps"),
        ("steps.more=2", "no parts"),
        ("network=3", "a number, text"),
        ("network.pairs=a,b", "a list of such"),
    ],
)
def test_what_cannot_be_set_is_named(change, message):
    with pytest.raises(InputError, match=message):
        changed(Recipe(), [change])


def test_a_models_description_comes_from_the_command(monkeypatch, capsys):
    made = []
    monkeypatch.setattr("tfface.pipelines.assemble.assemble", lambda *given: made.append(given))
    command = ["train", "assemble", "--coarse", "a", "--fine", "b", "--output", "c"]
    assert main([*command, "--describe", "license=CC-BY-4.0", "--describe", "how=x=y", "--describe", "seen=12"]) == 0
    assert main([*command, "--detail-scale", "1.5", "--detail-noise", "0"]) == 0
    assert main([*command, "--no-mirrored"]) == 0
    assert main([*command, "--detail-mirrored"]) == 0
    described, changes = {"license": "CC-BY-4.0", "how": "x=y", "seen": 12}, {"detail_scale": 1.5, "detail_noise": 0.0}
    assert made[0] == ("a", "b", "c", described, None, {}, None)
    assert made[1] == ("a", "b", "c", {}, None, changes, None)
    assert made[2:] == [("a", "b", "c", {}, None, {}, False), ("a", "b", "c", {}, None, {"mirrored": True}, None)]
    assert main([*command, "--describe", "license"]) != 0
    assert "NAME=VALUE" in capsys.readouterr().err
    assert main([*command, "--detail-scale", "0"]) != 0
    assert "expected --detail-scale of more than 0" in capsys.readouterr().err
    assert main([*command, "--detail-noise", "-1"]) != 0
    assert "expected --detail-noise of at least 0" in capsys.readouterr().err and len(made) == 4


@pytest.mark.parametrize("already", [None, "0"])
def test_training_turns_fast_convolutions_on_unless_told_otherwise(already, monkeypatch, capsys):
    # Set first, so that it is put back afterwards.
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", already or "")
    if already is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    assert main(["train", "skin", "--show"]) == 0
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == (already or "1")


def test_heads_and_what_surrounds_them_come_from_where_they_are_said_to_be(capsys):
    assert main(["train", "end-to-end", "--heads", "bank", "--surroundings", "around", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "path='bank'" in shown and "surroundings='around'" in shown

"""The search for hyperparameters: proposals are valid runs, and a search finds the better of two."""

import dataclasses

import keras_tuner
import pytest

from tfface.networks.coarse_net import CoarseNetConfig
from tfface.pipelines import tune
from tfface.pipelines.train_coarse import PRESETS


def test_defaults_propose_the_base():
    base = PRESETS["release"]
    proposed = tune.suggest(keras_tuner.HyperParameters(), base)
    assert proposed.learning_rate == pytest.approx(base.learning_rate)
    assert proposed.network == base.network and proposed.passes == base.passes


def test_every_hyperparameter_changes_the_run():
    hp = keras_tuner.HyperParameters()
    tune.suggest(hp, PRESETS["release"])
    for name, value in {"width": 0.5, "blocks": 1, "learning_rate": 3e-4, "landmark_weight": 0.0, "passes": 1}.items():
        changed = hp.copy()
        changed.values[name] = value
        assert tune.suggest(changed, PRESETS["release"]) != PRESETS["release"], name


@pytest.mark.slow
def test_a_search_runs_its_trials_and_names_the_best(model, tmp_path):
    base = dataclasses.replace(
        PRESETS["release"],
        network=CoarseNetConfig(widths=(16, 16), blocks=(1, 1), stem=8, residual=True),
        steps=2,
        epoch_steps=2,
        faces=2,
    )
    tuner = tune.tune(model, base, tmp_path / "search", trials=2)
    assert len(tuner.oracle.trials) == 2
    best = tuner.get_best_hyperparameters()[0]
    assert 2e-4 <= best.get("learning_rate") <= 4e-3


def test_nonsense_is_refused(capsys):
    with pytest.raises(SystemExit):
        tune.main(["--trials", "0"])
    assert "at least 1" in capsys.readouterr().err

"""Search for CoarseNet's hyperparameters with keras-tuner: many short runs, then the best ones again for longer.

    python -m tfface.pipelines.tune --output runs/tune --trials 12 --steps 300 [--photos DIR --fits FILE]

Every trial sees the same faces. What is compared is the landmark error after the last pass, averaged over the last
epoch: faces are never repeated within a trial, so that error is one on faces not learnt from yet.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import keras_tuner

from tfface.errors import InputError
from tfface.morphable.model import MorphableModel
from tfface.pipelines.coarse_data import CoarseDataConfig, coarse_dataset
from tfface.pipelines.train_coarse import PRESETS, TrainCoarseConfig, build_trainer

OBJECTIVE = keras_tuner.Objective("last_px", "min")


def suggest(hp: keras_tuner.HyperParameters, base: TrainCoarseConfig) -> TrainCoarseConfig:
    """`base` with what the tuner proposes: learning rate, weight of the landmarks, passes, and width and depth."""
    width = hp.Float("width", 0.5, 1.5, step=0.25, default=1.0)
    blocks = hp.Int("blocks", 1, 2, default=2)
    network = dataclasses.replace(
        base.network,
        widths=tuple(8 * round(width * channels / 8) for channels in base.network.widths),
        blocks=(1, *(blocks for _ in base.network.widths[1:])),
        residual=hp.Boolean("residual", default=base.network.residual),
    )
    return dataclasses.replace(
        base,
        network=network,
        learning_rate=hp.Float("learning_rate", 2e-4, 4e-3, sampling="log", default=base.learning_rate),
        landmark_weight=hp.Float("landmark_weight", 0.0, 0.4, step=0.1, default=base.landmark_weight),
        passes=hp.Int("passes", 1, 4, default=base.passes),
    )


class CoarseHyperModel(keras_tuner.HyperModel):
    """What keras-tuner builds and fits.

    Args:
      model: a `MorphableModel`.
      base: the run to vary; its `steps` are those of a trial.
    """

    def __init__(self, model, base: TrainCoarseConfig):
        super().__init__(name="coarse_net")
        self.model, self.base = model, base

    def build(self, hp):
        """A compiled trainer."""
        return build_trainer(self.model, suggest(hp, self.base))

    def fit(self, hp, trainer, **kwargs):
        """One trial."""
        per_epoch = min(self.base.epoch_steps, self.base.steps)
        return trainer.fit(
            coarse_dataset(self.model, self.base.data, self.base.faces),
            epochs=self.base.steps // per_epoch,
            steps_per_epoch=per_epoch,
            callbacks=kwargs.get("callbacks"),
            verbose=kwargs.get("verbose", 2),
        )


def tune(model, base: TrainCoarseConfig, output: str | Path, trials: int) -> keras_tuner.RandomSearch:
    """Runs or resumes a search.

    Args:
      model: a `MorphableModel`.
      base: the run to vary.
      output: folder of the search; given again, it goes on.
      trials: how many.

    Returns:
      The tuner; `get_best_hyperparameters()` and `results_summary()` tell what it found.
    """
    output = Path(output)
    tuner = keras_tuner.RandomSearch(
        CoarseHyperModel(model, base),
        objective=OBJECTIVE,
        max_trials=trials,
        seed=base.seed,
        directory=str(output.parent),
        project_name=output.name,
        overwrite=False,
    )
    tuner.search(verbose=2)
    return tuner


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.tune", description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="runs/tune", metavar="DIR", help="folder of the search")
    parser.add_argument("--trials", type=int, default=12, metavar="N")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="optimiser steps per trial")
    parser.add_argument("--photos", metavar="DIR", help="photographs with landmarks (default: synthetic faces only)")
    parser.add_argument("--fits", metavar="FILE", help="their fits, from `python -m tfface.pipelines.fit_photos`")
    given = parser.parse_args(arguments)
    if given.trials < 1 or given.steps < 1:
        parser.error("expected --trials and --steps of at least 1")
    data = CoarseDataConfig(photos=given.photos, fits=given.fits)
    base = dataclasses.replace(PRESETS["release"], data=data, steps=given.steps)
    try:
        tuner = tune(MorphableModel.default(), base, given.output, given.trials)
    except (InputError, FileNotFoundError, ValueError) as error:
        print(f"tune: {error}", file=sys.stderr)
        return 1
    tuner.results_summary(num_trials=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())

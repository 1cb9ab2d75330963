"""The synthetic benchmark: every step of the world runs and is timed, beside a training step."""

import argparse

import pytest

from tfface.networks.coarse_net import CoarseNetConfig
from tfface.pipelines import benchmark_synthetic, train_coarse


@pytest.mark.slow
def test_every_step_and_training_are_timed(monkeypatch):
    small = train_coarse.TrainCoarseConfig(
        network=CoarseNetConfig(widths=(8, 8), blocks=(1, 1), stem=8, points=70), faces=2, passes=2
    )
    monkeypatch.setitem(train_coarse.PRESETS, "release", small)
    parser = argparse.ArgumentParser()
    benchmark_synthetic.configure(parser)
    report = benchmark_synthetic.run(parser.parse_args(["--batch", "2", "--runs", "1"]))
    times = {row["stage"]: row["ms_per_face"] for row in report["rows"]}
    assert len(times) == 12 and min(times.values()) > 0
    whole = times["the whole pipeline, as tf.data runs it"]
    assert report["ratio"] == times[benchmark_synthetic.TRAINING] / whole and "times as fast" in report["note"]

"""CoarseNet's answers on disk: what it says to the data set's own faces, and files that are something else."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfface.pipelines import coarse_answers


class Reader:
    """Answers the mean of the picture, plus the number of passes."""

    config = types.SimpleNamespace(size=32)

    def all_passes(self, image, passes):
        mean = tf.reduce_mean(image, [1, 2, 3])[:, None, None]
        return mean + tf.range(1.0, passes + 1.0)[None, :, None] + tf.zeros([1, 1, 290])


@pytest.fixture
def faces(monkeypatch):
    def draw(model, config, batch, start, size):
        values = tf.data.Dataset.counter(start).map(lambda i: tf.cast(i, tf.float32) + config.seed)
        return values.map(lambda value: {"image": value * tf.ones([batch, size, size, 1])})

    monkeypatch.setattr(coarse_answers, "synthetic_batches", draw)


def test_every_face_has_its_answer(faces, tmp_path, monkeypatch):
    networks = types.SimpleNamespace(face_model=None, coarse=Reader())
    monkeypatch.setattr("tfface.networks.pretrained.load_pretrained", lambda path: networks)
    path = tmp_path / "new" / "answers.npz"
    assert coarse_answers.main(["--output", str(path), "--faces", "5", "--batch", "2", "--seed", "3"]) == 0
    r, seed = coarse_answers.read_answers(path)
    assert r.shape == (3, 2, 290) and seed == 3
    np.testing.assert_allclose(r[..., 0], np.array([5.0, 6, 7])[:, None] + [0, 0])


def test_other_files_are_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="coarse_answers` makes them"):
        coarse_answers.read_answers(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no answers")
    with pytest.raises(ValueError, match="expected .*text.npz to hold answers"):
        coarse_answers.read_answers(tmp_path / "text.npz")
    np.savez(tmp_path / "flat.npz", r=np.zeros((4, 290)), seed=0)
    with pytest.raises(ValueError, match="expected finite answers"):
        coarse_answers.read_answers(tmp_path / "flat.npz")
    assert coarse_answers.main(["--output", str(tmp_path / "x.npz"), "--faces", "0"]) == 2
    assert coarse_answers.main(["--output", str(tmp_path / "x.npz"), "--model", str(tmp_path / "no")]) == 2
    assert "tfface: expected" in capsys.readouterr().err

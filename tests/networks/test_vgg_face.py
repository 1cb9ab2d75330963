"""Loading VGG-Face weights from files of the published layout."""

import numpy as np
import pytest
from scipy.io import savemat

from tfface.networks.fine_net import VGG_FACE_MEAN, FineNet, FineNetConfig
from tfface.networks.vgg_face import CONVOLUTIONS, load_vgg_face

WIDTHS = {"1": 64, "2": 128, "3": 256}


def _weights(seed=0):
    rng = np.random.default_rng(seed)
    weights, channels = {}, 3
    for name in CONVOLUTIONS:
        out = WIDTHS[name[4]]
        filters = rng.normal(0, np.sqrt(2 / (9 * channels)), (3, 3, channels, out)).astype(np.float32)
        weights[name] = (filters, rng.normal(0, 1, out).astype(np.float32))
        channels = out
    return weights


def _write(path, weights, old=False, nested=False):
    layers = []
    for name, (filters, biases) in weights.items():
        layer = {"name": name, "type": "conv", "stride": np.array([1.0, 1.0]), "pad": np.ones(4)}
        if old:
            layer |= {"filters": filters, "biases": biases[None]}
        else:
            cell = np.empty((1, 2), object)
            cell[0, 0], cell[0, 1] = filters, biases[:, None]
            layer["weights"] = cell
        layers += [layer, {"name": f"relu{name[4:]}", "type": "relu"}]
    cells = np.empty((1, len(layers)), object)
    for i, layer in enumerate(layers):
        cells[0, i] = layer
    content = {"layers": cells, "meta": {"normalization": {"averageImage": np.array(VGG_FACE_MEAN)}}}
    savemat(path, {"net": content} if nested else content)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_published_features_are_reproduced(tmp_path, old, nested):
    weights = _weights()
    _write(tmp_path / "vgg_face.mat", weights, old, nested)
    network = FineNet(FineNetConfig(regressor=(8,)))
    load_vgg_face(network, tmp_path / "vgg_face.mat")
    grey = np.random.default_rng(1).random((1, 8, 8, 1)).astype(np.float32)

    # Published: 0…255 minus the mean colour. Ours: 0…1 minus mean/255. Interior pixel of the first two layers.
    def convolve(x, name):
        filters, biases = weights[name]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(1, 1), (1, 1), (0, 0)]), (3, 3), (0, 1))
        return np.maximum(np.einsum("ijcyx,yxco->ijo", windows, filters) + biases, 0)

    published = convolve(convolve(255 * grey[0] - np.array(VGG_FACE_MEAN), "conv1_1"), "conv1_2")
    x = np.concatenate([4 * (grey - m / 255) for m in VGG_FACE_MEAN], -1).astype(np.float32)
    ours = network.convolutions[1](network.convolutions[0](x))
    np.testing.assert_allclose(128 * ours[0], published, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(network.convolutions[6].kernel, weights["conv3_3"][0])


def test_other_shapes_and_layouts_are_named(tmp_path):
    weights = _weights()
    path = tmp_path / "vgg_face.mat"
    _write(path, weights)
    narrow = FineNet(FineNetConfig(width=0.5))
    with pytest.raises(ValueError, match=r"expected conv1_1 with filters \(3, 3, 3, 32\).*received \(3, 3, 3, 64\)"):
        load_vgg_face(narrow, path)
    with pytest.raises(ValueError, match="expected a FineNet with slopes=False"):
        load_vgg_face(FineNet(FineNetConfig(slopes=True)), path)
    del weights["conv2_2"]
    _write(path, weights)
    with pytest.raises(ValueError, match="missing conv2_2"):
        load_vgg_face(FineNet(), path)
    savemat(path, {"something": 1})
    with pytest.raises(ValueError, match="expected a variable 'layers' or 'net'.*received \\['something'\\]"):
        load_vgg_face(FineNet(), path)
    path.write_bytes(b"not a mat file" * 20)
    with pytest.raises(ValueError, match="expected a MATLAB file"):
        load_vgg_face(FineNet(), path)
    with pytest.raises(FileNotFoundError, match="expected the published vgg_face.mat"):
        load_vgg_face(FineNet(), tmp_path / "nowhere.mat")

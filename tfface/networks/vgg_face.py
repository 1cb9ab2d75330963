"""Published VGG-Face weights for FineNet, from `vgg_face.mat` (Parkhi, Vedaldi, Zisserman 2015; non-commercial).

tfface ships no such file; a user who has one loads it here. MatConvNet stores a network as a cell array of
layers, each a struct with a name, a type and either `weights` (a cell of filters and biases) or, in old
files, `filters` and `biases`. Filters are [height, width, in, out], as in Keras.
"""

from pathlib import Path

import numpy as np

from tfface.networks.fine_net import TRUNK_SCALE

CONVOLUTIONS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3")

# VGG-Face saw 0…255 and FineNet's trunk sees 4 · (0…1), so conv1_1 absorbs a factor of 255 / 4. Convolutions with ReLU
# are positively homogeneous: dividing that factor and every bias by the same number divides all features by
# it. This one brings them near those of a fresh network, so that the other inputs of the hypercolumn aren't
# drowned.
_FEATURE_SCALE = 128.0


def read_vgg_face(path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The convolutions conv1_1 … conv3_3 of a MatConvNet file.

    Args:
        path: `vgg_face.mat`; the network may be the file itself or a variable `net` in it.

    Returns:
        name → (filters [3, 3, in, out], biases [out]), float32, as published.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file isn't a MATLAB file, holds no network, or lacks one of the layers.
    """
    from scipy.io import loadmat

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected the published vgg_face.mat at {path}, found no file there")
    try:
        content = loadmat(path, squeeze_me=True, struct_as_record=False)
    except (ValueError, NotImplementedError, OSError) as error:
        raise ValueError(f"expected a MATLAB file (version 7.2 or older), received {path}: {error}") from error
    network = content.get("net", content)
    layers = network.get("layers") if isinstance(network, dict) else getattr(network, "layers", None)
    if layers is None:
        names = sorted(name for name in content if not name.startswith("__"))
        raise ValueError(f"expected a variable 'layers' or 'net' in {path}, received {names}")
    found = {}
    for layer in np.atleast_1d(layers):
        name = str(getattr(layer, "name", ""))
        if name in CONVOLUTIONS:
            found[name] = _parameters(layer, name, path)
    missing = [name for name in CONVOLUTIONS if name not in found]
    if missing:
        raise ValueError(f"expected the layers {', '.join(CONVOLUTIONS)} in {path}, missing {', '.join(missing)}")
    return found


def _parameters(layer, name, path):
    weights = getattr(layer, "weights", None)
    if weights is not None and np.size(weights):
        weights = np.atleast_1d(weights)
        if weights.dtype != object or len(weights) != 2:
            raise ValueError(
                f"expected filters and biases as the weights of {name} in {path}, received {weights.shape}"
            )
        filters, biases = weights
    elif hasattr(layer, "filters") and hasattr(layer, "biases"):
        filters, biases = layer.filters, layer.biases
    else:
        raise ValueError(f"expected 'weights' or 'filters' and 'biases' in layer {name} of {path}, received neither")
    return np.asarray(filters, np.float32), np.atleast_1d(np.asarray(biases, np.float32)).reshape(-1)


def load_vgg_face(network, path) -> None:
    """Copies published weights into a `FineNet` of width 1.

    FineNet then computes the published features of the grey image in 0…255, repeated to three channels, minus
    the published mean colour, divided by 128.

    Args:
        network: a `FineNet` whose config has `width=1`, `slopes=False` and `standardise=False`.
        path: `vgg_face.mat`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file has another layout, or its shapes don't fit the network.
    """
    if network.config.slopes or network.config.standardise:
        raise ValueError(
            f"expected a FineNet with slopes=False and standardise=False for VGG-Face weights, received "
            f"slopes={network.config.slopes} and standardise={network.config.standardise}"
        )
    network.build()
    published = read_vgg_face(path)
    # All shapes are checked before the first weight changes, so that a failure leaves the network as it was.
    for layer in network.convolutions:
        filters, biases = published[layer.name]
        expected = tuple(layer.kernel.shape)
        if filters.shape != expected or biases.shape != expected[-1:]:
            raise ValueError(
                f"expected {layer.name} with filters {expected} and biases {expected[-1:]}, received {filters.shape} "
                f"and {biases.shape} from {path}; published weights fit FineNetConfig(width=1.0)"
            )
    for layer in network.convolutions:
        filters, biases = published[layer.name]
        factor = 255.0 / TRUNK_SCALE / _FEATURE_SCALE if layer.name == "conv1_1" else 1.0
        layer.set_weights([filters * factor, biases / _FEATURE_SCALE])

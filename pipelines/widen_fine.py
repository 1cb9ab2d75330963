"""A FineNet of more channels or blocks that starts from what a smaller one has learnt."""

import dataclasses

import numpy as np

from tfface.networks.fine_net import FineNet

_WITHOUT_WEIGHTS = ("on_face", "detail_scale", "detail_noise", "mirrored")


def widen(narrow: FineNet, wide: FineNet) -> None:
    """Gives `wide` the weights of `narrow`: both then answer the same, if what isn't in weights is the same, too.

    The new channels and blocks see everything, by the initial weights of `wide`, and nothing reads them until training
    does.

    Args:
      narrow: a built FineNet.
      wide: another one, of at least as many channels in each block, and of more blocks or as many, with `mixing` if the
        narrow one has it, and otherwise alike.

    Raises:
      ValueError: they differ in something else.
    """
    few, many = narrow.config.channels(), wide.config.channels()
    blocks, more = (*few, *narrow.config.further), (*many, *wide.config.further)
    grown = ("width", "further", *(() if narrow.config.mixing else ("mixing",)))
    kept = {name: getattr(wide.config, name) for name in (*grown, *_WITHOUT_WEIGHTS)}
    alike = dataclasses.replace(narrow.config, **kept) == wide.config
    if not alike or len(blocks) > len(more) or any(a > b for a, b in zip(blocks, more, strict=False)):
        raise ValueError(
            f"expected a FineNet like the one to start from, of at least {blocks} channels: {narrow.config}; received "
            f"{more} channels: {wide.config}"
        )
    # What of the wide network's hypercolumn is what the narrow one's was.
    starts = np.cumsum([0, *many])
    hypercolumn = [place for at, count in zip(starts, (*few, 2), strict=True) for place in range(at, at + count)]
    theirs = {layer.name: layer for layer in narrow.layers}
    for layer in wide.layers:
        if layer.name not in theirs:
            continue
        weights, own = theirs[layer.name].get_weights(), layer.get_weights()
        if [x.shape for x in weights] != [x.shape for x in own]:
            kernel, bias = own
            # Up-convolutions have what they read last, convolutions what they answer.
            swapped = layer.name.startswith("up")
            old, new = (np.swapaxes(x, 2, 3) if swapped else x for x in (weights[0], kernel))
            rows = hypercolumn if layer.name == "regressor_1" else range(old.shape[2])
            new[:, :, :, : old.shape[3]] = 0.0
            new[:, :, rows, : old.shape[3]] = old
            bias[: old.shape[3]] = weights[1]
            weights = [kernel, bias]
        layer.set_weights(weights)

"""Skin that the face model doesn't have: wrinkles, folds and pores in mm, and marks that darken it without relief.

Everything is drawn on a chart, the mean head unrolled from a vertical cylinder, whose coordinates are mm along the
skin: u to the image's right of a frontal face, v up. Places come from the model's 68 landmarks, so any face model will
do.
Depths follow measured skin: wrinkles from under 0.2 mm to more than 0.8 mm (Lemperle et al. 2001, the grades of their
wrinkle scale), microrelief 0.02 to 0.2 mm, pores from 0.25 mm across (Flament et al. 2015).
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

MM_PER_CELL = 0.25
SEVERITIES = (0.25, 4.0)
"""Least and greatest severity that a head's oldest skin may have, see `wrinkles`."""
_ROLL_MM = 3.2
"""From a line to the crest of the skin beside it: half of what lies between two lines of the forehead."""
_LOW, _HIGH = np.array([-125.0, -100.0]), np.array([125.0, 130.0])


@dataclass(frozen=True)
class Groove:
    """A wrinkle: a line that bends and wavers, deepest in its middle.

    Attributes:
        start, end: `[2]` mm on the chart.
        bow: mm by which its middle lies off the chord, to the left of start → end.
        depth: mm.
        width: mm from its middle to where it has risen to a third of its depth.
        bulge: mm by which the skin to its left stands out, as beside the nasolabial fold.
        hang: mm within which that skin hangs over it, steepest at the groove: its crest is half as far. 0 for skin that
            swells four widths from the groove's middle.
        roll: mm by which the skin on both sides stands out, as between the lines of a raised brow.
        waver: mm.
    """

    start: np.ndarray
    end: np.ndarray
    bow: float
    depth: float
    width: float
    bulge: float = 0.0
    hang: float = 0.0
    roll: float = 0.0
    waver: float = 0.4


class Chart:
    """The mean head unrolled.

    Args:
        model: a `MorphableModel`.

    Attributes:
        coordinates: `[V, 2]` float32, u and v of every vertex in mm.
        landmarks: `[68, 2]`.
    """

    def __init__(self, model):
        mean = np.asarray(model.mean, np.float64)
        marks = mean[np.asarray(model.landmarks)]
        # The axis stands behind the ears' ends of the jaw line; the outer eye corners keep their distance.
        axis = marks[[0, 16], 2].mean() - 20.0
        radius = np.hypot(marks[[36, 45], 0], marks[[36, 45], 2] - axis).mean()
        angle = np.arctan2(mean[:, 0], mean[:, 2] - axis)
        self.coordinates = np.stack([radius * angle, mean[:, 1]], axis=-1).astype(np.float32)
        self.landmarks = self.coordinates[np.asarray(model.landmarks)].astype(np.float64)
        size = np.rint((_HIGH - _LOW) / MM_PER_CELL).astype(int)
        self.shape = (int(size[1]), int(size[0]))

    def blank(self) -> np.ndarray:
        """A map `[rows, columns]` of zeros; rows go up."""
        return np.zeros(self.shape, np.float32)

    def cell(self, points: np.ndarray) -> np.ndarray:
        """Places `[..., 2]` in mm as (column, row) of a map; a cell's centre is a whole number."""
        return (np.asarray(points) - _LOW) / MM_PER_CELL - 0.5

    def sample(self, values: np.ndarray, places: np.ndarray) -> np.ndarray:
        """A map at places `[..., 2]` in mm, linearly; the border's value beyond."""
        column, row = np.moveaxis(self.cell(places), -1, 0)
        return map_coordinates(values, [row, column], order=1, mode="nearest", prefilter=False)

    def window(self, low: np.ndarray, high: np.ndarray):
        """The slices of a map that cover the rectangle low…high in mm, and its places `[h, w, 2]`."""
        first = np.clip(np.floor(self.cell(low)).astype(int), 0, None)
        last = np.ceil(self.cell(high)).astype(int) + 1
        columns = np.arange(first[0], max(min(last[0], self.shape[1]), first[0]))
        rows = np.arange(first[1], max(min(last[1], self.shape[0]), first[1]))
        u, v = np.meshgrid(columns, rows)
        places = (np.stack([u, v], axis=-1) + 0.5) * MM_PER_CELL + _LOW
        return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)), places


def draw_groove(chart: Chart, relief: np.ndarray, groove: Groove, rng: np.random.Generator) -> None:
    """Carves a groove into a relief map in mm, in place."""
    chord = np.asarray(groove.end, np.float64) - groove.start
    length = float(np.linalg.norm(chord))
    along = chord / length
    left = np.array([-along[1], along[0]])
    reach = abs(groove.bow) + 3.0 * groove.waver + (12.0 if groove.bulge else 6.0) * groove.width
    reach += 3.0 * _ROLL_MM if groove.roll else 0.0
    reach = max(reach, 3.0 * groove.hang)
    ends = np.stack([groove.start, groove.end])
    place, points = chart.window(ends.min(0) - reach, ends.max(0) + reach)
    offset = points - groove.start
    s = np.clip(offset @ along / length, 0.0, 1.0)
    knots = np.linspace(0.0, 1.0, max(int(length / 5.0), 3) + 1)
    wander = np.interp(s, knots, rng.normal(0.0, groove.waver, len(knots)))
    # A parabola through the ends; its slope shortens the distance across.
    path = 4.0 * groove.bow * s * (1.0 - s) + wander
    steep = 4.0 * groove.bow * (1.0 - 2.0 * s) / length
    across = (offset @ left - path) / np.sqrt(1.0 + steep**2)
    taper = np.clip(np.minimum(s, 1.0 - s) / 0.3, 0.0, 1.0)
    strength = taper**2 * (3.0 - 2.0 * taper) * np.interp(s, knots, rng.uniform(0.6, 1.0, len(knots)))
    x = across / groove.width
    # Skin that folds in is pushed up beside the fold.
    profile = groove.depth * (0.3 * np.exp(-((x / 2.6) ** 2)) - 1.3 * np.exp(-(np.abs(x) ** 1.6)))
    if groove.hang:
        # 1.3 brings the crest to a height of 1.
        y = np.maximum(across, 0.0) / groove.hang
        profile += groove.bulge * (1.0 - np.exp(-4.0 * y)) * np.exp(-0.6 * y**2) * 1.3
    elif groove.bulge:
        profile += groove.bulge * np.exp(-(((x - 4.0) / 3.0) ** 2))
    if groove.roll:
        profile += groove.roll * np.exp(-(((np.abs(across) - _ROLL_MM) / (0.6 * _ROLL_MM)) ** 2))
    relief[place] += (strength * profile).astype(np.float32)


def check_severity(severity: float) -> None:
    """Raises ValueError for a severity of `wrinkles` beyond `SEVERITIES`."""
    low, high = SEVERITIES
    if not low <= severity <= high:
        raise ValueError(f"expected a severity of {low:g} to {high:g}, received {severity:g}")


def random_grooves(points: np.ndarray, severity: float, rng: np.random.Generator) -> list[Groove]:
    """Wrinkles where faces have them.

    Args:
        points: `[68, 2]` landmarks on the chart in mm.
        severity: how many and how deep: 0 is none, 1 is old age; beyond 1 there are no more, but deeper ones.
        rng: where they run.
    """
    grooves = []

    def add(start, end, bow, depth, width, bulge=0.0, waver=0.3, roll=0.0):
        depth = rng.uniform(*depth) * severity
        jitter = rng.normal(0.0, 0.7, (2, 2))
        bow, width = bow + rng.normal(0.0, 0.5), rng.uniform(*width)
        # Skin can't be steeper than a fold is wide.
        bulge = rng.uniform(0.4, 1.0) * bulge * severity
        ends = np.add(start, jitter[0]), np.add(end, jitter[1])
        grooves.append(Groove(*ends, bow, min(depth, width), width, bulge, 0.0, roll * depth, waver))

    def count(low, high):
        return int(round(rng.uniform(low, high) * (0.4 + 0.6 * min(severity, 1.0))))

    brow = points[17:27, 1].max()
    # From lines cut into a smooth forehead to one that is pushed together.
    pushed = rng.uniform(0.0, 0.7)
    for row in range(count(3, 7)):
        middle, half = rng.normal(0.0, 4.0), rng.uniform(22.0, 45.0)
        height = brow + 8.0 + 6.5 * row + rng.normal(0.0, 1.0)
        ends = [(middle - half, height - 2.0), (middle + half, height - 2.0)]
        add(*ends, rng.uniform(0.0, 4.0), (0.2, 0.8), (0.8, 1.7 + pushed), waver=0.6, roll=pushed)
    bridge = points[27]
    for side in (-1, 1)[: count(1, 2.4)]:
        x = side * rng.uniform(4.0, 7.0)
        add((x, bridge[1] + 8.0), (x * 1.3, bridge[1] + 24.0), side * 1.0, (0.2, 0.8), (0.8, 1.3))
    if rng.uniform() < severity:
        add(bridge + [-9.0, 1.0], bridge + [9.0, 1.0], -1.0, (0.15, 0.5), (0.8, 1.2))
    for side, outer, inner, wing, mouth, chin in ((-1, 36, 39, 31, 48, 6), (1, 45, 42, 35, 54, 10)):
        corner = points[outer]
        for angle in np.radians(np.linspace(35.0, -45.0, max(count(3, 6), 1))):
            turn = angle + rng.normal(0.0, 0.08)
            direction = np.array([side * np.cos(turn), np.sin(turn)])
            near, far = rng.uniform(5.0, 8.0), rng.uniform(16.0, 28.0)
            add(corner + direction * near, corner + direction * far, rng.normal(0, 1), (0.12, 0.45), (0.5, 0.9))
        for step in range(count(1, 3)):
            down = np.array([0.0, -9.0 - 4.0 * step])
            bow = -rng.uniform(2.0, 4.0)
            ends = (points[inner] + down + [side * 1.0, 0.0], corner + down + [0.0, 1.0])
            # Bags hang over the first of these lines: to its left where it is drawn to the image's right.
            bag = 0.6 if step == 0 else 0.0
            add(*(ends if side > 0 else ends[::-1]), bow, (0.1, 0.35), (0.6, 1.4), bulge=bag)
        start = points[wing] + [side * 6.0, 5.0]
        end = points[mouth] + [side * 9.0, -2.0]
        # The cheek, outside the fold, hangs over it: to the left of the line on one side, so drawn upwards there.
        ends = (start, end) if side > 0 else (end, start)
        add(*ends, rng.uniform(0.5, 2.5), (0.3, 0.9), (1.2, 2.2), bulge=1.0)
        if rng.uniform() < 0.3 + 0.6 * severity:
            low = points[chin] * [0.75, 0.8]
            add(points[mouth] + [side * 4.0, -5.0], low, side * 1.0, (0.15, 0.6), (0.9, 1.5))
        for step in range(count(0, 4)):
            cheek = (points[outer] + points[mouth]) / 2 + [side * (8.0 + 5.0 * step), -4.0]
            add(cheek + [0.0, 12.0], cheek + [side * 3.0, -12.0], side * 2.0, (0.1, 0.35), (0.7, 1.2), waver=0.6)
    return grooves


def random_folds(points: np.ndarray, amount: float, rng: np.random.Generator) -> list[Groove]:
    """The few broad folds of skin that sags: cheeks over nose, mouth and jaw, bags, a frown, the crease of the chin.

    Args:
        points: `[68, 2]` landmarks on the chart in mm.
        amount: how deep: 0 is none, 1 is old age.
        rng: which there are, and where they run.
    """
    grooves = []

    def add(share, start, end, bow, depth, width, bulge=(0.0, 0.0), hang=(0.0, 0.0), roll=0.0):
        # Drawn from the same numbers whether it is there or not, so that one fold doesn't move the others.
        shown, strength = rng.uniform() < share, amount * rng.uniform(0.6, 1.2)
        width, depth, bulge = rng.uniform(*width), strength * rng.uniform(*depth), strength * rng.uniform(*bulge)
        ends = np.array([start, end]) + rng.normal(0.0, 1.2, (2, 2))
        hang, bow = rng.uniform(*hang), rng.uniform(*bow)
        # Skin can't be steeper than a fold is wide.
        groove = Groove(*ends, bow, min(depth, width), width, min(bulge, 0.35 * hang), hang, roll * depth, 0.35)
        if shown:
            grooves.append(groove)

    bridge, lip = points[27], points[57]
    for side in (-1, 1):
        x = side * rng.uniform(4.5, 8.0)
        add(0.6, bridge + [x, 3.0], bridge + [1.4 * x, 24.0], (-1.5, 1.5), (0.4, 1.2), (1.0, 1.9), roll=0.5)
    # The chin's ball stands out below its crease: to the left of a line that runs to the image's left.
    add(0.5, lip + [15.0, -9.0], lip + [-15.0, -9.0], (-4.0, -1.0), (0.2, 0.8), (1.4, 2.4), (0.4, 1.6), (7.0, 11.0))
    for side, outer, inner, wing, mouth, chin in ((-1, 36, 39, 31, 48, 6), (1, 45, 42, 35, 54, 10)):

        def hanging(share, start, end, *shape, turned=side < 0):
            # Away from the middle of the face on either side, or upwards, is to the left of these lines.
            add(share, *((end, start) if turned else (start, end)), *shape)

        nose, corner = points[wing] + [side * 5.0, 4.0], points[mouth] + [side * 9.0, -8.0]
        hanging(0.9, nose, corner, (1.0, 5.0), (0.4, 1.3), (1.2, 2.2), (0.8, 2.8), (8.0, 14.0))
        cheek, low = points[outer] + [side * 2.0, -24.0], points[mouth] + [side * 20.0, -14.0]
        hanging(0.35, cheek, low, (3.0, 8.0), (0.2, 0.6), (1.2, 2.4), (0.4, 1.6), (7.0, 11.0))
        cheek, low = cheek + [side * 9.0, -2.0], low + [side * 8.0, -4.0]
        hanging(0.2, cheek, low, (3.0, 8.0), (0.2, 0.6), (1.2, 2.4))
        corner, jaw = points[mouth] + [side * 4.0, -5.0], points[chin] * [0.78, 0.85]
        hanging(0.6, corner, jaw, (-2.0, 3.0), (0.3, 1.0), (1.2, 2.2), (0.5, 2.0), (8.0, 12.0))
        bag = points[inner] + [side * 1.0, -5.0], points[outer] + [side * 2.0, -6.0]
        hanging(0.7, *bag, (-9.0, -5.0), (0.2, 0.8), (1.0, 2.0), (0.6, 2.0), (3.5, 5.5))
        for angle in np.radians([30.0, 8.0, -14.0, -36.0]):
            along = np.array([side * np.cos(angle), np.sin(angle)])
            near, far = points[outer] + along * rng.uniform(5.0, 8.0), points[outer] + along * rng.uniform(20.0, 38.0)
            add(0.5, near, far, (-3.0, 3.0), (0.2, 0.8), (0.8, 1.5))
    return grooves


def pores(chart: Chart, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Relief `[rows, columns]` mm of pits 0.5 mm across and `depth` deep, one per 2 mm², over finer skin texture."""
    pits = np.where(rng.uniform(size=chart.shape) < MM_PER_CELL**2 / 2.0, rng.uniform(0.4, 1.0, chart.shape), 0.0)
    sigma = 0.25 / MM_PER_CELL
    # A single pit keeps its depth through the filter.
    pits = gaussian_filter(pits.astype(np.float32), sigma) * (2.0 * np.pi * sigma**2)
    noise = rng.normal(size=chart.shape).astype(np.float32)
    texture = gaussian_filter(noise, 0.5 / MM_PER_CELL) - gaussian_filter(noise, 1.5 / MM_PER_CELL)
    return -depth * pits + 0.35 * depth * texture / texture.std()


def random_relief(chart: Chart, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Wrinkles, folds and pores `[rows, columns]` in mm, out of the skin."""
    relief = pores(chart, rng.uniform(0.03, 0.12), rng)
    return relief + wrinkles(chart, severity, rng)


def random_fullness(chart: Chart, rng: np.random.Generator) -> np.ndarray:
    """What a head has here and there beyond a face model, as every person has: `[rows, columns]` in mm, some 20 to 60
    mm wide and 0.2 to 1.6 mm high (rms)."""
    broad, narrow = (gaussian_filter(rng.normal(size=chart.shape), mm / MM_PER_CELL) for mm in (16.0, 8.0))
    fullness = broad / broad.std() + 0.5 * narrow / narrow.std()
    return (rng.uniform(0.2, 1.6) * fullness / fullness.std()).astype(np.float32)


def wrinkles(chart: Chart, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Wrinkles and folds alone, `[rows, columns]` in mm.

    Args:
        chart: where.
        severity: 0 is none, 1 is old age as `random_grooves` has it; beyond 1 those are deeper and skin sags, too, at 2
            and more as much as `random_folds` has it at 1.
        rng: which and how.
    """
    relief = chart.blank()
    grooves = random_grooves(chart.landmarks, severity, rng)
    if severity > 1.0:
        grooves += random_folds(chart.landmarks, min(severity - 1.0, 1.0), rng)
    for groove in grooves:
        draw_groove(chart, relief, groove, rng)
    return relief


def blobs(chart: Chart, places: np.ndarray, radii: np.ndarray, hardness: float = 4.0) -> np.ndarray:
    """Round spots of 1 in the middle and 0 off them, `[rows, columns]`; places `[N, 2]` and radii `[N]` in mm."""
    spots = chart.blank()
    for place, radius in zip(places, radii, strict=True):
        where, points = chart.window(place - 2.5 * radius, place + 2.5 * radius)
        distance = np.linalg.norm(points - place, axis=-1) / radius
        np.maximum(spots[where], 1.0 / (1.0 + np.exp(hardness * 2.0 * (distance - 1.0))), out=spots[where])
    return spots


def brows(chart: Chart, rng: np.random.Generator, above: float = 0.0) -> np.ndarray:
    """Painted eyebrows `[rows, columns]` 0…1: strokes along the landmarks of both brows, or `above` mm over them."""
    ink = chart.blank()
    for first in (17, 22):
        line = chart.landmarks[first : first + 5] + [0.0, above]
        outward = np.sign(line[:, 0].mean())
        for share in rng.uniform(0.0, 4.0, 160):
            i = min(int(share), 3)
            root = line[i] + (share - i) * (line[i + 1] - line[i]) + [0.0, rng.uniform(-3.0, 2.0)]
            tip = root + [outward * rng.uniform(2.0, 5.0), rng.uniform(0.5, 3.0)]
            _stroke(chart, ink, root, tip, 0.45)
    return ink


def moles(chart: Chart, rng: np.random.Generator, number: int = 8) -> np.ndarray:
    """Moles of 1 to 2.5 mm radius on cheeks, forehead and chin, `[rows, columns]` 0…1."""
    return blobs(chart, _anywhere(chart, number, rng), rng.uniform(1.0, 2.5, number))


def text(chart: Chart) -> np.ndarray:
    """Letters of 8 mm on both cheeks and the forehead, `[rows, columns]` 0…1."""
    import cv2

    marks = chart.landmarks
    forehead = np.array([0.0, marks[17:27, 1].max() + 16.0])
    cheeks = [(marks[outer] + marks[mouth]) / 2 + [0.0, -2.0] for outer, mouth in ((36, 48), (45, 54))]
    ink = np.zeros(chart.shape, np.uint8)
    size = 8.0 / MM_PER_CELL / 22.0
    for word, middle in (("PAINT", forehead), ("ink", cheeks[0]), ("flat", cheeks[1])):
        (width, height), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, size, 5)
        column, row = chart.cell(middle)
        # The chart's rows go up and cv2's down.
        corner = (int(column - width / 2), int(chart.shape[0] - 1 - row + height / 2))
        cv2.putText(ink, word, corner, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 5, cv2.LINE_AA)
    return gaussian_filter(ink[::-1].astype(np.float32) / 255.0, 0.8)


def random_marks(chart: Chart, rng: np.random.Generator) -> np.ndarray:
    """What multiplies skin's reflectance, `[rows, columns]`: brows, moles, freckles, blush, blotches, stubble."""
    darkness = rng.uniform(0.3, 1.4) * brows(chart, rng)
    darkness += rng.uniform(0.4, 1.2) * moles(chart, rng, int(rng.integers(0, 7)))
    freckles = rng.choice([0, 0, 40, 150])
    darkness += 0.35 * blobs(chart, _anywhere(chart, freckles, rng), rng.uniform(0.4, 1.0, freckles))
    noise = rng.normal(size=chart.shape).astype(np.float32)
    for sigma, amount in ((12.0, 0.10), (3.0, 0.05), (0.5, 0.03)):
        layer = gaussian_filter(noise, sigma / MM_PER_CELL)
        darkness += amount * rng.uniform(0.0, 1.0) * layer / layer.std()
    for outer, mouth in ((36, 48), (45, 54)):
        cheek = (chart.landmarks[outer] + chart.landmarks[mouth]) / 2
        darkness += rng.uniform(0.0, 0.25) * blobs(chart, cheek[None], np.array([14.0]), hardness=1.0)
    if rng.uniform() < 0.3:
        beard = blobs(chart, chart.landmarks[4:13], np.full(9, 17.0), hardness=1.5)
        hairs = rng.uniform(size=chart.shape) < 0.06
        darkness += rng.uniform(0.3, 1.0) * beard * (0.4 + 2.0 * gaussian_filter(hairs.astype(np.float32), 0.7))
    return np.exp(-darkness).astype(np.float32)


def _anywhere(chart: Chart, number: int, rng: np.random.Generator) -> np.ndarray:
    """`[number, 2]` places on the skin of the face, away from eyes, nostrils and lips."""
    low, high = chart.landmarks[[0, 8, 16]].min(0) + [25.0, 8.0], chart.landmarks.max(0) + [-25.0, 25.0]
    features = chart.landmarks[list(range(31, 68))]
    found = np.zeros((0, 2))
    while len(found) < number:
        places = rng.uniform(low, high, (4 * number, 2))
        clear = np.linalg.norm(places[:, None] - features, axis=-1).min(1) > 7.0
        found = np.concatenate([found, places[clear]])
    return found[:number]


def _stroke(chart: Chart, ink: np.ndarray, start, end, width: float) -> None:
    """A line of `width` mm that fades at its sides, in place."""
    ends = np.stack([start, end])
    where, points = chart.window(ends.min(0) - 3 * width, ends.max(0) + 3 * width)
    chord = ends[1] - ends[0]
    s = np.clip((points - ends[0]) @ chord / (chord @ chord), 0.0, 1.0)
    distance = np.linalg.norm(points - ends[0] - s[..., None] * chord, axis=-1)
    np.maximum(ink[where], np.exp(-((distance / width) ** 2)) * (1.0 - 0.5 * s), out=ink[where])

"""Pictures of five textures, drawn by formulas in changing colours, scales, angles and noise: a folder for each.

    python textures.py textures 40
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 160
rng = np.random.default_rng(7)


def wave(x):
    return np.sin(2 * np.pi * x)


def field(kind):
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    angle, scale = rng.uniform(0, np.pi), rng.uniform(5, 12)
    shift_x, shift_y = rng.uniform(0, 9, 2)
    u = np.cos(angle) * x + np.sin(angle) * y + shift_x
    v = -np.sin(angle) * x + np.cos(angle) * y + shift_y
    if kind == "stripes":
        return wave(scale * u)
    if kind == "checks":
        return np.sign(wave(scale / 2 * u) * wave(scale / 2 * v))
    if kind == "dots":
        return np.where(((u * scale) % 1 - 0.5) ** 2 + ((v * scale) % 1 - 0.5) ** 2 < 0.08, 1.0, -1.0)
    if kind == "rings":
        centre = rng.uniform(0.2, 0.8, 2)
        return wave(scale * np.hypot(x - centre[0], y - centre[1]))
    return wave(scale * u + 0.6 * wave(3 * v))


def main(folder, count):
    for kind in ["stripes", "checks", "dots", "rings", "waves"]:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            share = field(kind)[..., None] / 2 + 0.5
            one, other = rng.uniform(0, 255, (2, 3))
            pixels = share * one + (1 - share) * other + rng.normal(0, 25, (SIZE, SIZE, 3))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / kind / f"{i}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

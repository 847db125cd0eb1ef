"""Scikit-learn's handwritten digits (UCI, CC BY 4.0) as pictures of 112 × 112 pixels: a folder for each, to train on and to validate on.

    python digits.py digits 40 101 40
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def main(folder, count, seed, held):
    digits, rng = load_digits(), np.random.default_rng(seed)
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(digits.target == digit))
        for name, chosen in (("train", rows[:count]), ("held", rows[count : count + held])):
            own = folder / name / str(digit)
            own.mkdir(parents=True, exist_ok=True)
            for row in chosen:
                pixels = (digits.images[row] * (255 / 16)).astype(np.uint8)
                Image.fromarray(pixels).convert("RGB").resize((112, 112), Image.BICUBIC).save(own / f"{row}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(given) for given in sys.argv[2:]))

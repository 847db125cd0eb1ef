"""Parquet files that hold pictures and sounds themselves, as Hugging Face's datasets library writes them.

    python media_parquet.py ../test/fixtures/parquet
"""

import io
import sys
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Audio, ClassLabel, Dataset, Features, Image
from PIL import Image as Picture

out = Path(sys.argv[1])
rng = np.random.default_rng(5)


def png(kind):
    """Stripes, of rows or of columns."""
    height, width = rng.integers(14, 22, 2)
    stripes = np.indices((height, width))[kind] // 2 % 2
    pixels = np.where(stripes[..., None], rng.integers(150, 250, 3), rng.integers(0, 100, 3))
    file = io.BytesIO()
    Picture.fromarray(pixels.astype(np.uint8)).save(file, "png")
    return file.getvalue()


def wav(kind):
    """A low tone or a high one."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 1, 16000, 0, "NONE", ""))
        samples = 128 + 70 * np.sin(np.arange(rng.integers(500, 800)) * [0.1, 1.2][kind])
        sound.writeframes(samples.astype(np.uint8).tobytes())
    return file.getvalue()


KINDS = [i % 2 for i in range(12)]


def made(make, ending):
    """A file of each kind in turn, the last without a name."""
    return [{"bytes": make(kind), "path": f"{i}.{ending}" if i < 11 else None} for i, kind in enumerate(KINDS)]


def table(column, feature, labels, files):
    features = Features({column: feature, "label": ClassLabel(names=labels)})
    return pa.table({column: files, "label": KINDS[: len(files)]}, schema=features.arrow_schema)


stripes = ["rows", "columns"]
pictures = table("image", Image(decode=False), stripes, made(png, "png"))
sounds = table("audio", Audio(decode=False), ["low", "high"], made(wav, "wav"))
Dataset(pictures).to_parquet(out / "pictures.parquet")
Dataset(sounds).to_parquet(out / "sounds.parquet")
# The library would put the files into this one.
paths = [{"bytes": None, "path": f"photos/{i}.png"} for i in range(2)]
pq.write_table(table("image", Image(decode=False), stripes, paths), out / "paths.parquet")

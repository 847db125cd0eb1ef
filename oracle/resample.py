"""What torchaudio makes of a sound at other rates.

    python resample.py ../test/fixtures/sounds/resampled.json
"""

import json
import sys
from pathlib import Path

import torch
from sounds import sound
from torchaudio.functional import resample

RATES = (8000, 11025, 22050, 44100, 48000)


def main(path):
    samples = torch.tensor(sound(500, 3) / 32768)
    results = {rate: [round(value, 8) for value in resample(samples, rate, 16000).tolist()] for rate in RATES}
    path.write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

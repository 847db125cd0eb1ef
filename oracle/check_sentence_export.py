"""How far sentence-transformers' numbers of a folder that aflora exported are from aflora's own.

    python check_sentence_export.py FOLDER VECTORS.jsonl [BASE_FOLDER]
    python check_sentence_export.py FOLDER PREDICTIONS.jsonl

VECTORS.jsonl is what `aflora embed` wrote; BASE_FOLDER takes the place of the base model that an adapter's folder names.
PREDICTIONS.jsonl is what `aflora predict --json` wrote of pairs with a reranker, whose merged folder FOLDER then is.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer

folder, file = sys.argv[1:3]
rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]
if "embedding" in rows[0]:
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        config = Path(copy) / "adapter_config.json"
        if len(sys.argv) > 3:
            settings = json.loads(config.read_text(encoding="utf-8"))
            config.write_text(json.dumps({**settings, "base_model_name_or_path": sys.argv[3]}), encoding="utf-8")
        # A base that is stored in half precision would be computed in it.
        model = SentenceTransformer(copy, device="cpu", model_kwargs={"dtype": "float32"})
        found = model.encode([row["text"] for row in rows])
    expected = np.array([row["embedding"] for row in rows])
else:
    found = CrossEncoder(folder, device="cpu").predict([(row["text"], row["textPair"]) for row in rows])
    expected = np.array([row["sigmoid"] for row in rows])
print(f"{len(rows)} rows, largest difference {np.abs(found - expected).max():.1e}")

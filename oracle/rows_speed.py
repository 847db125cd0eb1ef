"""Reads a CSV file with datasets, splits it, and encodes every row with transformers' tokenizer. bench/rows.ts starts it.

    python oracle/rows_speed.py FILE MODEL THREADS
"""

import json
import os
import resource
import sys
import tempfile
import time

start = time.perf_counter()
file, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["RAYON_NUM_THREADS"] = str(threads)
os.environ["TOKENIZERS_PARALLELISM"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"

import datasets  # noqa: E402
import transformers  # noqa: E402

datasets.disable_progress_bars()
with tempfile.TemporaryDirectory() as cache:
    rows = datasets.load_dataset("csv", data_files=file, split="train", cache_dir=cache)
    parts = rows.train_test_split(test_size=0.1, seed=42)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    encoded = parts.map(lambda batch: tokenizer(batch["text"], truncation=True, max_length=128), batched=True)
    count = sum(len(part) for part in encoded.values())
    seconds = time.perf_counter() - start
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "memory": memory, "rowsPerSecond": count / seconds}))

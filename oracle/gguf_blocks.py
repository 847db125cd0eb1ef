"""Blocks of each of ggml's types as a GGUF file, and the numbers that the package `gguf` makes of them.

    python gguf_blocks.py ../test/fixtures/gguf
"""

import sys
from pathlib import Path

import numpy as np
import torch
from fixtures import write_tensors
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(1)

# Where the half-precision numbers of a block lie that no quantize of the package makes.
HALVES = {"Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]

writer = GGUFWriter(str(out / "blocks.gguf"), "llama")
writer.add_string("general.name", "blocks of each type, ünïcödé")
writer.add_array("test.numbers", [1, 2, 3])
writer.add_array("test.texts", ["a", "", "ß"])
writer.add_bool("test.bool", True)
writer.add_int64("test.int64", -5)
writer.add_float64("test.float64", 0.1)
expected = {}
for name in TYPES:
    kind = GGMLQuantizationType[name]
    size, width = GGML_QUANT_SIZES[kind]
    rows, columns = 3, max(64, size)
    values = (random.standard_normal((rows, columns)) * 0.1).astype(np.float32)
    # A block of zeros, and one with a number far from the others.
    values[0, :32] = 0
    values[1, 5] = -30
    if name in HALVES:
        stored = random.integers(0, 256, (rows, columns // size * width), dtype=np.uint8)
        for at in HALVES[name]:
            halves = (random.standard_normal((rows, columns // size)) * 0.01).astype(np.float16)
            # One that is so small that its exponent is 0.
            halves[0, 0] = 3e-7
            for block in range(columns // size):
                stored[:, block * width + at : block * width + at + 2] = halves[:, block : block + 1].view(np.uint8)
    else:
        stored = quantize(values, kind)
    if name == "BF16":
        stored = stored.view(np.uint8)
    writer.add_tensor(name, stored, raw_dtype=kind)
    expected[name] = torch.from_numpy(np.ascontiguousarray(dequantize(stored, kind).reshape(rows, columns)))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
write_tensors(out / "blocks.safetensors", expected)

"""sentence-transformers' side of bench/embed.ts: embeds texts, once for each line on stdin. Answers with the seconds and the process's peak
memory in bytes.

    python embed_speed.py MODEL BACKEND TEXTS.json THREADS

BACKEND is torch, which computes in float32, or onnx: the model is then exported and quantised for VNNI as sentence-transformers does it, which
needs optimum-onnx and an older transformers than requirements.txt (sentence-transformers 5.1.2, optimum-onnx 0.1.0).
"""

import json
import resource
import sys
import tempfile
import time

import torch
from sentence_transformers import SentenceTransformer

folder, backend, file, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
if backend == "torch":
    model = SentenceTransformer(folder, device="cpu").float()
else:
    import onnxruntime
    from sentence_transformers import export_dynamic_quantized_onnx_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    where = {"provider": "CPUExecutionProvider", "session_options": options}
    with tempfile.TemporaryDirectory() as exported:
        plain = SentenceTransformer(folder, device="cpu", backend="onnx", model_kwargs={**where, "export": True})
        plain.save_pretrained(exported)
        export_dynamic_quantized_onnx_model(plain, "avx512_vnni", exported)
        del plain
        kwargs = {**where, "file_name": "onnx/model_qint8_avx512_vnni.onnx"}
        model = SentenceTransformer(exported, device="cpu", backend="onnx", model_kwargs=kwargs)
with open(file) as texts:
    sentences = json.load(texts)

for _ in sys.stdin:
    start = time.perf_counter()
    model.encode(sentences, show_progress_bar=False)
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)

"""Files of torch.save, sound and hostile, with the values that the sound ones hold.

    python torch_files.py ../test/fixtures/torch-files
"""

import io
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from fixtures import write_tensors

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
generator = torch.Generator().manual_seed(7)
matrix = torch.randn(3, 4, generator=generator)

state = OrderedDict(
    encoder=torch.nn.Parameter(matrix.clone()),
    transposed=torch.randn(4, 3, generator=generator).t(),
    window=torch.arange(40, dtype=torch.float32).reshape(5, 8)[1:4, 2:7],
    permuted=torch.randn(2, 3, 4, generator=generator).permute(2, 0, 1),
    half=matrix.to(torch.float16),
    brain=matrix.to(torch.bfloat16),
    double=matrix.to(torch.float64),
    position_ids=torch.arange(6).expand((1, -1)),
    int32=torch.tensor([-5, 7], dtype=torch.int32),
    byte=torch.tensor([0, 255], dtype=torch.uint8),
    bool=torch.tensor([True, False]),
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3),
)
state["tied"] = state["encoder"].detach()
state._metadata = OrderedDict({"": {"version": 1}})
torch.save(state, out / "sound.bin")
torch.save(state, out / "legacy.bin", _use_new_zipfile_serialization=False)
torch.save(dict(state), out / "protocol4.bin", pickle_protocol=4)
write_tensors(out / "sound.safetensors", {name: tensor.float() for name, tensor in state.items()})

parts = {f"pytorch_model-0000{i}-of-00002.bin": {} for i in (1, 2)}
for i, (name, tensor) in enumerate(list(state.items())[:4]):
    list(parts.values())[i % 2][name] = tensor.detach().clone()
for name, tensors in parts.items():
    torch.save(tensors, out / name)
weights = {tensor: part for part, tensors in parts.items() for tensor in tensors}
(out / "pytorch_model.bin.index.json").write_text(
    str({"metadata": {}, "weight_map": weights}).replace("'", '"') + "\n", encoding="utf-8"
)


def archive(name, pickled, storage=bytes(16), data_name="archive/data/0", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(out / name, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr(data_name, storage)


def rebuild(length=4, offset=0, shape=(2, 2), strides=(2, 1)):
    """A state dictionary of one tensor "w", pickled by hand as torch.save does."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", length) if isinstance(value, Storage) else None

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, shape, strides, False, OrderedDict())

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"w": Tensor()})
    return buffer.getvalue()


class Command:
    def __reduce__(self):
        return os.system, ("touch hostile-pickle-was-run",)


class Evaluation:
    def __reduce__(self):
        return eval, ("__import__('os').remove('package.json')",)


archive("by-hand.bin", rebuild(), storage=struct.pack("<4f", 1, 2, 3, 4))
archive("hostile-command.bin", pickle.dumps({"w": Command()}, protocol=2))
archive("hostile-eval.bin", pickle.dumps({"w": Evaluation()}, protocol=4))
(out / "hostile-bare.bin").write_bytes(pickle.dumps(Command(), protocol=2))
archive("hostile-bomb.bin", rebuild(length=2**20, shape=(2**20,), strides=(1,)), bytes(2**22), compression=zipfile.ZIP_DEFLATED)
archive("hostile-climb.bin", rebuild(), data_name="archive/data/../../../0")
archive("hostile-absolute.bin", rebuild(), data_name="/etc/0")
archive("hostile-length.bin", rebuild(length=2**40, shape=(2**20, 2**20), strides=(2**20, 1)))
archive("hostile-offset.bin", rebuild(offset=1))
archive("hostile-stride.bin", rebuild(strides=(2, 2)))
archive("hostile-repeat.bin", rebuild(shape=(2**20, 2**20), strides=(0, 0)))

# A directory that claims more bytes for the storage than the file has.
whole = bytearray((out / "by-hand.bin").read_bytes())
for signature, field in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
    entry = whole.rfind(signature)
    struct.pack_into("<II", whole, entry + field, 2**24, 2**24)
(out / "hostile-directory.bin").write_bytes(whole)

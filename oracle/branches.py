"""A small ONNX file with branches in branches and recurrences, and what PyTorch's LSTM makes of it.

    python branches.py ../test/fixtures/onnx

Writes branches.onnx and branches.json.
"""

import json
import sys
from pathlib import Path

import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

WIDTH, SIZE = 3, 2
# By the input `mode`.
DIRECTIONS = {2: "bidirectional", 1: "reverse", 0: "forward"}


def module(direction):
    torch.manual_seed(len(direction))
    return torch.nn.LSTM(WIDTH, SIZE, bidirectional=direction == "bidirectional")


def projection():
    torch.manual_seed(WIDTH)
    return torch.randn(WIDTH, WIDTH)


def weights(lstm):
    """In ONNX's order of the gates (input, output, forget, cell), which is not PyTorch's (input, forget, cell, output)."""

    def ordered(tensor):
        i, f, c, o = tensor.detach().chunk(4)
        return torch.cat([i, o, f, c])

    ends = ["", "_reverse"][: 2 if lstm.bidirectional else 1]
    of = lambda name: torch.stack([ordered(getattr(lstm, f"{name}_l0{end}")) for end in ends])
    return of("weight_ih"), of("weight_hh"), torch.cat([of("bias_ih"), of("bias_hh")], 1)


def tensor(name, values, dtype=numpy.float32):
    return numpy_helper.from_array(numpy.asarray(values, dtype), name)


def value(name, shape=None, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def recurrence(direction, before=(), states=()):
    """A branch whose names are those of other branches, too. `before` are nodes that make the states."""
    node = helper.make_node("LSTM", ["projected", "weight", "recurrent", "bias", "", *states], ["each", "last", "cell"],
                            direction=direction, hidden_size=SIZE)  # fmt: skip
    mean = helper.make_node("ReduceMean", ["each"], ["mean"], axes=[1], keepdims=0)
    own = [tensor(name, each) for name, each in zip(["weight", "recurrent", "bias"], weights(module(direction)))]
    return helper.make_graph([*before, node, mean], direction, [], [value("mean"), value("cell")], own)


def doubled():
    """Nodes of states that are the input, or twice the input where there are several examples: by a branch of their own."""
    one = helper.make_graph([helper.make_node("Identity", ["state"], ["own"])], "one", [], [value("own")])
    several = helper.make_graph(
        [helper.make_node("Mul", ["state", "factor"], ["own"])], "several", [], [value("own")], [tensor("factor", 2)]
    )
    return [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "first"], ["batch"], axis=0),
        helper.make_node("Equal", ["batch", "first"], ["is one"]),
        helper.make_node("If", ["is one"], ["states"], "states", then_branch=one, else_branch=several),
    ]


def model():
    bidirectional = recurrence("bidirectional", doubled(), ["states", "states"])
    one_way = helper.make_graph(
        [
            helper.make_node("Equal", ["mode", "first"], ["is reverse"]),
            helper.make_node("If", ["is reverse"], ["mean", "cell"], "direction",
                             then_branch=recurrence("reverse"), else_branch=recurrence("forward")),  # fmt: skip
        ],
        "one way", [], [value("mean"), value("cell")],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "matrix"], ["projected"]),
        helper.make_node("Equal", ["mode", "two"], ["is bidirectional"]),
        helper.make_node("If", ["is bidirectional"], ["means", "cells"], "ways",
                         then_branch=bidirectional, else_branch=one_way),  # fmt: skip
    ]
    inputs = [
        value("x", ["sequence", "batch", WIDTH]),
        value("state", [2, "batch", SIZE]),
        value("mode", [], TensorProto.INT64),
    ]
    constants = [tensor("first", 1, numpy.int64), tensor("two", 2, numpy.int64), tensor("matrix", projection())]
    outputs = [value("means", ["sequence", "batch", SIZE]), value("cells", ["directions", "batch", SIZE])]
    graph = helper.make_graph(nodes, "branches", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def expected(mode, batch):
    direction = DIRECTIONS[mode]
    lstm = module(direction)
    torch.manual_seed(mode + batch)
    x, state = torch.randn(4, batch, WIDTH), torch.randn(2, batch, SIZE)
    initial = (state * (1 if batch == 1 else 2),) * 2 if direction == "bidirectional" else None
    projected = x @ projection()
    with torch.no_grad():
        each, (_, cells) = lstm(projected.flip(0) if direction == "reverse" else projected, initial)
    if direction == "reverse":
        each = each.flip(0)
    means = each.unflatten(2, (-1, SIZE)).mean(2)
    flat = lambda tensor: [round(number, 7) for number in tensor.flatten().tolist()]
    return {"mode": mode, "batch": batch, "x": flat(x), "state": flat(state), "means": flat(means), "cells": flat(cells)}


def main(folder):
    onnx.save(model(), folder / "branches.onnx")
    cases = [expected(mode, batch) for mode, batch in [(2, 1), (2, 3), (1, 2), (0, 2)]]
    (folder / "branches.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

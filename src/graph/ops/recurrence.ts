import { product, type Shape, sameShape, sum } from "../dimension.ts";
import type { Value } from "../graph.ts";
import { define, fail, requireType } from "./define.ts";

/** Direction in which a recurrence reads a sequence, as ONNX names it. */
export type Direction = "forward" | "reverse" | "bidirectional";

/** Operands of an LSTM: its input, weights, bias and initial state. */
export type LstmOperands = [x: Value, weight: Value, recurrent: Value, bias: Value, hidden: Value, cell: Value];

const LSTM = define<LstmOperands, { direction: Direction }>({
  name: "LSTM",
  infer(inputs, { direction }) {
    requireType("LSTM", inputs, ["float32"]);
    const [x, weight, recurrent, bias, hidden, cell] = inputs;
    const [length, batch, width] = x.shape;
    const size = recurrent.shape[2];
    const directions = direction === "bidirectional" ? 2 : 1;
    const state: Shape = [directions, batch!, size!];
    const fits =
      x.shape.length === 3 &&
      typeof size === "number" &&
      sameShape(weight.shape, [directions, 4 * size, width!]) &&
      sameShape(recurrent.shape, [directions, 4 * size, size]) &&
      sameShape(bias.shape, [directions, 8 * size]) &&
      sameShape(hidden.shape, state) &&
      sameShape(cell.shape, state);
    if (!fits) fail("LSTM", inputs, `takes [sequence, batch, in], and weights and states of ${directions} directions`);
    return [[length!, ...state], state, state].map((shape) => ({ dtype: x.dtype, shape }));
  },
  onnx({ inputs: [x, weight, recurrent, bias, hidden, cell], attributes: { direction }, outputs }, emitter) {
    const attributes = { direction, hidden_size: recurrent.shape[2] as number };
    // Between bias and states, ONNX takes the lengths of sequences; without them, all are of full length.
    emitter.emit("LSTM", [x, weight, recurrent, bias, "", hidden, cell], { attributes, outputs });
  },
  macs: ({ inputs: [x, , recurrent] }) => {
    const [directions, gates, size] = recurrent.shape;
    return [product(x.shape.slice(0, 2)), directions!, gates!, sum([x.shape[2]!, size!])];
  },
});

/**
 * Long short-term memory (Hochreiter and Schmidhuber, 1997), as ONNX's LSTM with the usual gates in the order input, output, forget, cell: `x
 * [sequence, batch, in]`, `weight [directions, 4 * size, in]`, `recurrent [directions, 4 * size, size]`, `bias [directions, 8 * size]` (of both
 * products), initial states `hidden` and `cell [directions, batch, size]`. float32 only; no gradient flows.
 * @returns hidden states `[sequence, directions, batch, size]`, and the last hidden state and cell of each direction
 */
export function lstm(operands: LstmOperands, direction: Direction = "forward"): readonly Value[] {
  return operands[0].graph.apply(LSTM, operands, { direction }).node!.outputs;
}

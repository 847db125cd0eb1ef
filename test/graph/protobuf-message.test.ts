import fc from "fast-check";
import protobuf from "protobufjs/light.js";
import { expect, test } from "vitest";
import { decodeMessage, encodeMessage, type ProtobufSchema } from "../../src/graph/protobuf-message.ts";

const schema: ProtobufSchema = {
  name: { type: "string", id: 7 },
  number: { type: "int64", id: 1 },
  small: { type: "int32", id: 2 },
  real: { type: "float", id: 3 },
  raw: { type: "bytes", id: 16 },
  list: { repeated: true, type: "int64", id: 5 },
  inner: { type: { text: { repeated: true, type: "string", id: 1 } }, id: 6 },
};
const Message = protobuf.Root.fromJSON({
  nested: {
    Inner: { fields: { text: { rule: "repeated", type: "string", id: 1 } } },
    Message: {
      fields: {
        name: { type: "string", id: 7 },
        number: { type: "int64", id: 1 },
        small: { type: "int32", id: 2 },
        real: { type: "float", id: 3 },
        raw: { type: "bytes", id: 16 },
        list: { rule: "repeated", type: "int64", id: 5, options: { packed: false } },
        inner: { type: "Inner", id: 6 },
      },
    },
  },
}).lookupType("Message");

const whole = fc.maxSafeInteger();
const some = (value: number) => value !== 0;
// protobufjs omits fields that are empty or 0.
const messages = fc.record(
  {
    name: fc.string({ unit: "binary", minLength: 1 }),
    number: whole.filter(some),
    small: fc.integer().filter(some),
    real: fc.float({ noNaN: true }).filter(some),
    raw: fc.uint8Array({ minLength: 1 }),
    list: fc.array(whole),
    inner: fc.record({ text: fc.array(fc.string()) }),
  },
  { requiredKeys: ["list"] },
);

test("encodes messages like protobufjs, and decodes them", () => {
  fc.assert(
    fc.property(messages, (message) => {
      const bytes = encodeMessage(schema, message);
      expect(Buffer.from(bytes)).toEqual(Buffer.from(Message.encode(message).finish()));
      const read = decodeMessage(schema, new Uint8Array(bytes));
      expect(read).toEqual({ ...message, ...(message.raw && { raw: new Uint8Array(message.raw) }) });
    }),
  );
});

test("skips fields that a schema lacks, and rejects malformed bytes", () => {
  const bytes = new Uint8Array(encodeMessage(schema, { name: "a", raw: Uint8Array.of(1, 2), real: 0.5, number: -3 }));
  expect(decodeMessage({ number: schema.number! }, bytes)).toEqual({ number: -3 });
  expect(() => decodeMessage(schema, bytes.subarray(0, bytes.length - 1))).toThrow();
  expect(() => decodeMessage({ number: { type: "string", id: 1 } }, bytes)).toThrow(
    'field 1 is written as no "number" is',
  );
});

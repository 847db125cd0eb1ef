import { type FileHandle, open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { makeFolder, writeFailure } from "../../files/atomic-file-node.ts";
import { encodeMessage, type ProtobufSchema } from "../../graph/protobuf-message.ts";
import type { LoggedRun, RunLog } from "./run-log.ts";
import { scalarsOf } from "./scalars.ts";

export const TENSORBOARD = "tensorboard";

/** `Event` of tensorflow/core/util/event.proto, with the fields that scalars need. */
export const EVENT: ProtobufSchema = {
  wallTime: { id: 1, type: "double" },
  step: { id: 2, type: "int64" },
  fileVersion: { id: 3, type: "string" },
  summary: {
    id: 5,
    type: {
      value: { id: 1, repeated: true, type: { tag: { id: 1, type: "string" }, simpleValue: { id: 2, type: "float" } } },
    },
  },
  sessionLog: { id: 7, type: { status: { id: 1, type: "int32" } } },
};

/** `SessionLog.START`: TensorBoard drops the values that an earlier file has from this step on. */
const START = 1;

/** Logs to event files of TensorBoard, one for each process of the run. */
export function tensorBoard({ directory }: Pick<LoggedRun, "directory">): RunLog {
  const now = (): number => Date.now() / 1000;
  const path = join(directory, TENSORBOARD, `events.out.tfevents.${Date.now()}.${hostname()}.${process.pid}`);
  let file: FileHandle | undefined;
  const write = async (event: object): Promise<void> => {
    try {
      await file!.appendFile(tfRecord(encodeMessage(EVENT, { wallTime: now(), ...event })));
    } catch (error) {
      throw writeFailure(path, error);
    }
  };
  return {
    async begin(step) {
      await makeFolder(join(directory, TENSORBOARD));
      file = await open(path, "a").catch((error: unknown) => {
        throw writeFailure(path, error);
      });
      await write({ fileVersion: "brain.Event:2" });
      if (step > 0) await write({ step, sessionLog: { status: START } });
    },
    async take(record) {
      const { step, values } = scalarsOf(record);
      const value = Object.entries(values).map(([tag, simpleValue]) => ({ tag, simpleValue }));
      await write({ step, summary: { value } });
    },
    async close() {
      await file?.close();
    },
  };
}

/** A record of TensorFlow's TFRecord format: its length and content, each with a masked CRC-32C; integers are little-endian. */
export function tfRecord(content: Uint8Array): Uint8Array {
  const record = Buffer.alloc(16 + content.length);
  record.writeBigUInt64LE(BigInt(content.length), 0);
  record.writeUInt32LE(maskedCrc(record.subarray(0, 8)), 8);
  record.set(content, 12);
  record.writeUInt32LE(maskedCrc(content), 12 + content.length);
  return record;
}

/** Rotated and shifted, because a checksum of data that holds checksums is weak. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C of each byte (polynomial 0x1EDC6F41, reflected). Node's `crc32` has another polynomial. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

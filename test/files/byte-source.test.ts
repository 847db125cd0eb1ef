import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fileSource, folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { type ModelFiles, memoryFiles, urlFiles } from "../../src/checkpoints/model-files.ts";
import { UserError } from "../../src/errors.ts";
import {
  type ByteSource,
  blobSource,
  bytesSource,
  readAll,
  readTensor,
  readText,
} from "../../src/files/byte-source.ts";
import { urlSource } from "../../src/files/url-source.ts";

/** Longer than the first request. */
const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 31) % 251);

/** Longer than a chunk of a file that is fetched whole. */
const large = Uint8Array.from({ length: 2 ** 20 + 5 }, (_, i) => (i * 31) % 251);

let directory: string;
let server: Server;
let url: string;
/** Requested ranges, in order. */
let asked: (string | undefined)[] = [];
let etag = '"1"';

const answers: Record<string, RequestListener> = {
  "/ranges": (request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const part = bytes.subarray(Number(first), Number(last) + 1);
    const range = `bytes ${first}-${Number(first) + part.length - 1}/${bytes.length}`;
    response.writeHead(206, { "Content-Range": range, ETag: etag, "Content-Length": part.length }).end(part);
  },
  "/whole": (_, response) => response.end(bytes),
  "/large": (_, response) => {
    response.write("x");
    response.end(large);
  },
  "/claims": (_, response) => response.writeHead(200, { "Content-Length": 2 ** 40 }).flushHeaders(),
  "/short": (_, response) => response.writeHead(206, { "Content-Range": "bytes 0-65535/200000" }).end("few"),
  "/hidden": (request, response) =>
    request.headers.range ? response.writeHead(206).end(bytes.subarray(0, 9)) : response.end(bytes),
  "/empty": (request, response) =>
    request.headers.range ? response.writeHead(416, { "Content-Range": "bytes */0" }).end() : response.end(),
  "/broken": (_, response) => response.writeHead(500).end(),
  "/cut": (_, response) => {
    response.writeHead(200, { "Content-Length": bytes.length });
    response.write(bytes.subarray(0, 1000), () => response.destroy());
  },
  "/folder/a%20name.json": (_, response) => response.end("[1]"),
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-bytes-"));
  await writeFile(join(directory, "file"), bytes);
  server = createServer((request, response) => {
    asked.push(request.headers.range);
    const answer = answers[request.url!];
    if (answer) answer(request, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

const sources: Record<string, () => Promise<ByteSource | undefined>> = {
  "bytes in memory": async () => bytesSource("memory", bytes),
  "bytes in pieces": async () => bytesSource("memory", bytes.subarray(0, 7), new Uint8Array(), bytes.subarray(7)),
  "a Blob": async () => blobSource("blob", new Blob([bytes])),
  "a file": () => fileSource(join(directory, "file")),
  "a URL with ranges": () => urlSource(`${url}/ranges`),
  "a URL that gives the whole": () => urlSource(`${url}/whole`),
  "a URL whose ranges' total may not be read": () => urlSource(`${url}/hidden`),
};

describe.each(Object.entries(sources))("%s", (_, open) => {
  test("reads any range, cut off at the end, into an array of the caller's own", async () => {
    const source = (await open())!;
    expect(source.size).toBe(bytes.length);
    for (const [start, end] of [
      [0, 8],
      [3, 20],
      [5, 5],
      [65_530, 65_540],
      [70_000, 199_999],
      [199_990, 300_000],
      [300_000, 300_001],
    ] as const) {
      const found = await source.read(start, end);
      expect(Buffer.compare(found, bytes.slice(start, end)), `${start}-${end}`).toBe(0);
      expect(found.byteOffset).toBe(0);
    }
    const first = await source.read(0, 4);
    first.fill(255);
    expect(await source.read(0, 4)).toEqual(bytes.slice(0, 4));
    expect(Buffer.compare(await readAll(source), bytes)).toBe(0);
  });
});

describe("a URL", () => {
  test("does not request the first bytes again", async () => {
    asked = [];
    const source = (await urlSource(`${url}/ranges`))!;
    await source.read(8, 60_000);
    await source.read(60_000, 65_536);
    await source.read(100_000, 100_004);
    expect(asked).toEqual(["bytes=0-65535", "bytes=100000-100003"]);
  });

  test("reads a file without ranges, of any length and in chunks of any size", async () => {
    const source = (await urlSource(`${url}/large`))!;
    expect(source.size).toBe(large.length + 1);
    const found = await readAll(source);
    expect(Buffer.compare(found.subarray(1), large)).toBe(0);
  });

  test("reads an empty file, and returns undefined for a missing one", async () => {
    expect((await urlSource(`${url}/empty`))!.size).toBe(0);
    expect(await urlSource(`${url}/nothing`)).toBeUndefined();
  });

  test.each<[string, string, number | undefined, RegExp]>([
    ["too long by its ranges", "/ranges", 199_999, /ranges has 200000 bytes, more than the 199999 that are allowed/],
    ["too long as it comes", "/whole", 199_999, /whole has more than the 199999 bytes that are allowed/],
    ["too long by its own word", "/claims", undefined, /claims has more than the 8589934592 bytes/],
    ["shorter than asked for", "/short", undefined, /asked for bytes 0 to 65536, the server gave 3/],
    ["an error of the server", "/broken", undefined, /cannot fetch .*broken: the server answers 500/],
    ["a connection that breaks off", "/cut", undefined, /cannot fetch .*cut: .*check the address and the connection/],
  ])("rejects %s", async (_, path, maxSize, message) => {
    const error = await urlSource(url + path, maxSize).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(message);
  });

  test("reports a file that changes while it is read, and a missing server", async () => {
    const source = (await urlSource(`${url}/ranges`))!;
    etag = '"2"';
    await expect(source.read(100_000, 100_004)).rejects.toThrow(/ranges changed while it was read/);
    await expect(urlSource("http://127.0.0.1:9/file")).rejects.toThrow(/cannot fetch http:\/\/127\.0\.0\.1:9\/file: /);
  });
});

test("opens files by name: below a URL, in memory, in a folder", async () => {
  await writeFile(join(directory, "a name.json"), "[1]");
  const places: ModelFiles[] = [
    urlFiles(`${url}/folder/`),
    urlFiles(`${url}/folder`),
    memoryFiles("memory", { "a name.json": new Blob(["[1]"]) }),
    memoryFiles("memory", { "a name.json": new TextEncoder().encode("[1]") }),
    folderFiles(directory),
  ];
  for (const files of places) {
    expect(await readText((await files.open("a name.json"))!)).toBe("[1]");
    for (const name of ["none", "toString", "a name.json/more"]) expect(await files.open(name), name).toBeUndefined();
  }
});

test("rejects a tensor of which a part is missing", async () => {
  const source = bytesSource("a.bin", bytes.subarray(0, 10));
  expect([...(await readTensor(source, "x", 4, 10))]).toEqual([...bytes.subarray(4, 10)]);
  const short = { ...source, read: async () => bytes.slice(0, 5) };
  await expect(readTensor(short, "x", 4, 10)).rejects.toThrow(/tensor "x" needs 6 bytes and only 5 are left/);
});

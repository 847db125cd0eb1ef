import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { memoryFiles } from "../../src/checkpoints/model-files.ts";
import { UserError } from "../../src/errors.ts";
import { decodePicture } from "../../src/inputs/decode-picture-node.ts";
import { readImageProcessor } from "../../src/inputs/image-processor.ts";
import { expectedPictures, madePicture, PICTURE_MODELS, pictureModel, savePicture } from "../support/pictures.ts";

const folder = mkdtempSync(join(tmpdir(), "aflora-pictures-"));
afterAll(() => rmSync(folder, { recursive: true }));

const processorOf = (settings: object) =>
  readImageProcessor(memoryFiles("made", { "preprocessor_config.json": Buffer.from(JSON.stringify(settings)) }));

// Bilinear; bicubic with a centre crop; CLIP's means; pictures larger and smaller than the model's.
test.each(PICTURE_MODELS)("converts pictures like the image processor of %s", async (name) => {
  const processor = (await readImageProcessor(folderFiles(pictureModel(name))))!;
  const { pixels } = expectedPictures(name);
  for (const [i, picture] of [madePicture(31, 22, 3), madePicture(12, 40, 5)].entries()) {
    const values = new Float32Array(3 * 16 * 16);
    processor.write(await processor.fit(picture, "made.png"), values);
    values.forEach((value, at) => {
      expect(Math.abs(value - pixels[i * values.length + at]!), `${i}, ${at}`).toBeLessThan(1e-5);
    });
  }
});

describe("a file's picture", () => {
  test("is decoded exactly, also with a palette, in grey and with transparency", async () => {
    const picture = madePicture(9, 5, 1);
    const path = join(folder, "plain.png");
    await savePicture(path, picture);
    expect(await decodePicture(path)).toEqual({ ...picture, data: Buffer.from(picture.data) });
    const grey = join(folder, "grey.png");
    await sharp(Buffer.from([0, 255, 7, 9]), { raw: { width: 2, height: 2, channels: 1 } }).toFile(grey);
    expect([...(await decodePicture(grey)).data]).toEqual([0, 255, 7, 9].flatMap((value) => [value, value, value]));
    const clear = join(folder, "clear.png");
    await sharp(Buffer.from([1, 2, 3, 0]), { raw: { width: 1, height: 1, channels: 4 } }).toFile(clear);
    expect([...(await decodePicture(clear)).data]).toEqual([1, 2, 3]);
  });

  test("is rotated by its EXIF orientation", async () => {
    const path = join(folder, "turned.jpg");
    const raw = { width: 16, height: 8, channels: 3 } as const;
    await sharp(Buffer.alloc(16 * 8 * 3, 90), { raw })
      .withMetadata({ orientation: 6 })
      .toFile(path);
    const { width, height } = await decodePicture(path);
    expect([width, height]).toEqual([8, 16]);
  });

  test("that is not a picture is rejected in one sentence", async () => {
    const broken = join(folder, "broken.jpg");
    writeFileSync(broken, "no picture");
    await expect(decodePicture(broken)).rejects.toThrow(
      /broken\.jpg is not a picture, or is damaged; JPEG, PNG, WebP, GIF, TIFF and AVIF can be read$/,
    );
    const whole = join(folder, "whole.png");
    await savePicture(whole, madePicture(60, 60, 3));
    writeFileSync(whole, readFileSync(whole).subarray(0, 3000));
    await expect(decodePicture(whole)).rejects.toThrow("whole.png is damaged or was cut off");
    const drawn = join(folder, "drawn.png");
    writeFileSync(drawn, '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    await expect(decodePicture(drawn)).rejects.toThrow("is of the format svg; JPEG");
    await expect(decodePicture(join(folder, "none.png"))).rejects.toThrow("there is no picture");
    await expect(decodePicture(folder)).rejects.toThrow("is a folder, not a picture");
    // A small file may have many pixels.
    const large = join(folder, "large.png");
    await sharp({ create: { width: 8200, height: 8200, channels: 3, background: "black" } }).toFile(large);
    await expect(decodePicture(large)).rejects.toThrow("8200 × 8200 pixels; a picture may have 67 million");
  });
});

test.each([
  [{ size: 16, do_pad: true }, "do_pad"],
  [{ size: { shortest_edge: 16 } }, "different sizes"],
  [{ size: 16, do_resize: false }, "different sizes"],
  [{ size: 16, resample: 0 }, "filter 0"],
  [{ size: 16, do_center_crop: true, crop_size: 20 }, "more out of a picture than it has"],
  [{ size: "large" }, "size"],
  [{ size: 1e9 }, "size"],
  [{ size: 16, image_mean: [0.5] }, "image_mean"],
])("rejects settings %j", async (settings, why) => {
  await expect(processorOf(settings)).rejects.toThrow(why);
  await expect(processorOf(settings)).rejects.toThrow("made/preprocessor_config.json");
});

test("rejects a picture that would become too long before resizing it", async () => {
  const processor = (await processorOf({ size: { shortest_edge: 20 }, do_center_crop: true, crop_size: 16 }))!;
  const long = { height: 200_000, width: 1, data: new Uint8Array(600_000) };
  await expect(processor.fit(long, "long.png")).rejects.toThrow("long.png has 1 × 200000 pixels");
  const short = { height: 40, width: 1, data: new Uint8Array(120) };
  expect(await processor.fit(short, "")).toMatchObject({ height: 16, width: 16 });
});

test("other events run while a large picture is resized", async () => {
  const processor = (await processorOf({ size: 64, resample: 3 }))!;
  const large = { height: 2000, width: 2000, data: new Uint8Array(12e6) };
  let ended = false;
  const resizing = processor.fit(large, "large.png").finally(() => {
    ended = true;
  });
  await new Promise((resolve) => setTimeout(resolve));
  expect(ended).toBe(false);
  await resizing;
});

test("one number sets both sides, and a folder may have no settings", async () => {
  const { height, width } = (await processorOf({ size: 20, crop_size: null, resample: 3 }))!;
  expect([height, width]).toEqual([20, 20]);
  expect(await readImageProcessor(memoryFiles("made", {}))).toBeUndefined();
});

test("an empty file, and a picture of one column of 70,000 pixels, are refused by their path", async () => {
  await expect(decodePicture("empty.png", new Uint8Array())).rejects.toThrow(
    new UserError("empty.png is empty; get the picture again, or remove it"),
  );
  const long = await sharp({ create: { width: 1, height: 70_000, channels: 3, background: "white" } })
    .png()
    .toBuffer();
  await expect(decodePicture("long.png", long)).rejects.toThrow(
    new UserError("long.png has 1 × 70000 pixels; a picture may have 67 million, and 65535 on a side: make it smaller"),
  );
});

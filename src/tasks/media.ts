/** Kinds of files whose paths may be the texts of examples. */
export const MEDIA = {
  pictures: {
    one: "picture",
    column: "image",
    formats: "JPEG, PNG, WebP, GIF, TIFF or AVIF",
    file: /\.(jpe?g|png|webp|gif|tiff?|avif)$/i,
  },
  sounds: { one: "sound", column: "audio", formats: "WAV", file: /\.wav$/i },
} as const;

/** Inputs of a model other than text. */
export type Media = keyof typeof MEDIA;

export const isMedia = (media: Media, path: string): boolean => MEDIA[media].file.test(path) && !/(^|\/)\./.test(path);

/** What examples' texts may be the paths of. */
export const MEDIA = {
  pictures: {
    one: "picture",
    column: "image",
    formats: "JPEG, PNG, WebP, GIF, TIFF or AVIF",
    file: /\.(jpe?g|png|webp|gif|tiff?|avif)$/i,
  },
  sounds: { one: "sound", column: "audio", formats: "WAV", file: /\.wav$/i },
} as const;

export type Media = keyof typeof MEDIA;

/** A heading's anchor, as GitHub makes it: lower case, hyphens for spaces, no other signs. */
export const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M} _-]/gu, "")
    .replaceAll(" ", "-");

/** Paths that different readers may take for different places. */

/** Letters, digits, `-`, `_` and `~`: encoded or not, they mean the same (RFC 3986 section 6.2.2.2). */
const ENCODED_PLAIN = "2d|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae]";
const UNUSUAL = new RegExp(`[\\\\;]|//|/\\.|%(?:2[ef]|5c|3b|${ENCODED_PLAIN})`, "i");
const ENCODED = new RegExp(`%(?:${ENCODED_PLAIN})`, "gi");

/** Has something that an endpoint may fold away: `//`, `/.`, `\`, `;`, or encoded what need not be or changes the path. */
export function isUnusualPath(path: string): boolean {
  return UNUSUAL.test(path);
}

/** The path as the most forgiving endpoint would read it. Used to compare only, never forwarded. */
export function normalPath(path: string): string {
  const decoded = path
    .replace(/%2e/gi, ".")
    .replace(/%3b/gi, ";")
    .replace(/%2f|%5c|\\/gi, "/")
    .replace(/;[^/]*/g, "")
    .replace(ENCODED, (encoded) => String.fromCharCode(Number.parseInt(encoded.slice(1), 16)));
  const segments: string[] = [];
  for (const segment of decoded.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") segments.pop();
    else segments.push(segment);
  }
  const trailing = segments.length > 0 && /\/\.{0,2}$/.test(decoded) ? "/" : "";
  return `/${segments.join("/")}${trailing}`;
}

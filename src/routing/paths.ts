/** Paths that different readers may take for different places. */

/** Has something that an endpoint may fold away: `//`, `/.`, `\`, `;`, or an encoded dot, slash or backslash. */
export function isUnusualPath(path: string): boolean {
  return /[\\;]|\/\/|\/\.|%(?:2[ef]|5c|3b)/i.test(path);
}

/** The path as the most forgiving endpoint would read it. Used to compare only, never forwarded. */
export function normalPath(path: string): string {
  const decoded = path
    .replace(/%2e/gi, ".")
    .replace(/%3b/gi, ";")
    .replace(/%2f|%5c|\\/gi, "/")
    .replace(/;[^/]*/g, "");
  const segments: string[] = [];
  for (const segment of decoded.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") segments.pop();
    else segments.push(segment);
  }
  const trailing = segments.length > 0 && /\/\.{0,2}$/.test(decoded) ? "/" : "";
  return `/${segments.join("/")}${trailing}`;
}

/** Cookies as text: finding and replacing one without touching the others. */

/** `header` (a Cookie header) with the value of `name` changed, wherever it stands. */
export function changeCookie(header: string, name: string, change: (value: string) => string): string {
  return header
    .split(";")
    .map((pair) => {
      const equals = pair.indexOf("=");
      if (equals < 0 || pair.slice(0, equals).trim() !== name) return pair;
      return pair.slice(0, equals + 1) + change(unquoted(pair.slice(equals + 1).trim()));
    })
    .join(";");
}

/** The value that a Set-Cookie header gives to the cookie `name`; undefined when it is about another. */
export function setCookieValue(line: string, name: string): string | undefined {
  const equals = line.indexOf("=");
  if (equals < 0 || line.slice(0, equals).trim() !== name) return undefined;
  return unquoted(line.slice(equals + 1, endOfPair(line)).trim());
}

/** A Set-Cookie header with another value, its attributes as they are. */
export function withSetCookieValue(line: string, value: string): string {
  return line.slice(0, line.indexOf("=") + 1) + value + line.slice(endOfPair(line));
}

function endOfPair(line: string): number {
  const semicolon = line.indexOf(";");
  return semicolon < 0 ? line.length : semicolon;
}

function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

/** What fields of a JSON answer must be: `database_connected: true`, `checks.queue: "< 95"`. */

type Expected = string | number | boolean | null;

/** Undefined when the field at the dotted `path` is as expected; otherwise what is wrong. */
export function failedAssertion(json: unknown, path: string, expected: Expected): string | undefined {
  const found = valueAt(json, path);
  if (found === undefined) return `json ${path}: expected ${expected}, but there is no such field`;
  const comparison = typeof expected === "string" ? /^(<=|>=|!=|<|>)\s*(.+)$/.exec(expected) : null;
  if (comparison === null) {
    return found === expected ? undefined : `json ${path}: expected ${JSON.stringify(expected)}, found ${shown(found)}`;
  }
  const [, operator, text] = comparison as unknown as [string, string, string];
  return compare(found, operator, text)
    ? undefined
    : `json ${path}: expected ${operator} ${text}, found ${shown(found)}`;
}

function compare(found: unknown, operator: string, text: string): boolean {
  if (operator === "!=") return String(found) !== text;
  const limit = Number(text);
  if (typeof found !== "number" || Number.isNaN(limit)) return false;
  switch (operator) {
    case "<":
      return found < limit;
    case "<=":
      return found <= limit;
    case ">":
      return found > limit;
    default:
      return found >= limit;
  }
}

function valueAt(json: unknown, path: string): unknown {
  let value = json;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

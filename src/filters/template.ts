/** Header values with placeholders, compiled to parts. */
import { EvenkeelError } from "../base/errors.ts";
import type { FilterContext } from "./definition.ts";

const PLACEHOLDERS: Readonly<Record<string, (context: FilterContext) => string>> = {
  "{client.ip}": (context) => context.clientIp,
  "{request.id}": (context) => context.requestId,
  "{host}": (context) => context.host,
  "{path}": (context) => context.path,
  "{route}": (context) => context.route,
  "{endpoint}": (context) => context.endpoint,
};

/**
 * Throws an EvenkeelError that lists the placeholders for one that does not exist, or that is not known yet when the
 * request is changed. `{` alone stays as it is.
 */
export function compileTemplate(text: string, when: "request" | "response"): (context: FilterContext) => string {
  const parts = text.split(/(\{[a-z.]+\})/).filter((part) => part !== "");
  for (const part of parts) {
    if (/^\{[a-z.]+\}$/.test(part) && PLACEHOLDERS[part] === undefined) {
      throw new EvenkeelError(`${part} is not known here; there are ${Object.keys(PLACEHOLDERS).join(", ")}`);
    }
  }
  if (when === "request" && parts.includes("{endpoint}")) {
    throw new EvenkeelError("{endpoint} is not chosen yet when the request is changed: use it in responseHeaders");
  }
  const writers = parts.map((part) => PLACEHOLDERS[part] ?? (() => part));
  if (writers.length === 1 && PLACEHOLDERS[text] === undefined) return () => text;
  return (context) => writers.map((write) => write(context)).join("");
}

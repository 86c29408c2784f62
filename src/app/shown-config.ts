/** A configuration as it may be shown: without what is secret. */
import { hideOutside } from "../config/substitute.ts";

const SECRET_KEYS = /token|secret|password|passphrase|hmac/i;
const SECRET_HEADERS = /^(authorization|proxy-authorization|cookie|set-cookie|x-api-key|x-auth-token)$/i;
/** In `redis://user:password@host`. */
const URL_PASSWORD = /^([a-z][a-z0-9+.-]*:\/\/[^/@\s:]*:)[^/@\s]+@/i;
const HIDDEN = "(hidden)";

/** `outside`: texts that came from the environment or from files, with what stands for each in the file. */
export function shownConfig(value: unknown, outside: ReadonlyMap<string, string>): unknown {
  if (typeof value === "string") return hideOutside(value, outside).replace(URL_PASSWORD, `$1${HIDDEN}@`);
  if (Array.isArray(value)) return value.map((item) => shownConfig(item, outside));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      if (key === "externalAccount") return [key, { ...(item as object), key: HIDDEN }];
      const isSecret = typeof item === "string" && (SECRET_KEYS.test(key) || SECRET_HEADERS.test(key));
      return [key, isSecret ? HIDDEN : shownConfig(item, outside)];
    }),
  );
}

/** Later than this no check is put off, whatever the endpoint asks for; milliseconds. */
const MAX_MS = 300_000;

/**
 * For how long an endpoint asks to be left alone (RFC 9110, section 10.2.3): seconds, or a date, which is compared with the
 * answer's own so that the two clocks need not agree. Undefined when it does not ask, or cannot be understood.
 */
export function retryAfter(value: string | undefined, date: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d{1,10}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.parse(date ?? "");
  return seconds > 0 ? Math.min(MAX_MS, seconds) : undefined;
}

/** Says in the log when certificates are about to expire, before clients say it. */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import type { Log } from "../observability/log.ts";
import type { Certificate } from "./certificate.ts";

const DAY_MS = 86_400_000;
const CHECK_EVERY_MS = 3_600_000;
/** A warning at each; the nearest last. */
const THRESHOLD_DAYS: readonly number[] = [30, 14, 7, 1];

export interface ExpiryWarningsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
}

export class ExpiryWarnings {
  readonly #options: ExpiryWarningsOptions;
  readonly #timer: Timer;
  #certificates: readonly Certificate[] = [];
  /** By fingerprint: the days left at the last warning, 0 once it has expired. */
  #said = new Map<string, number>();

  constructor(options: ExpiryWarningsOptions) {
    this.#options = options;
    this.#timer = options.timers.every(CHECK_EVERY_MS, () => this.#check());
  }

  /** Watches these from now on. What has been said of one is not said again. */
  watch(certificates: readonly Certificate[]): void {
    this.#certificates = certificates;
    const kept = certificates.map(({ fingerprint256 }) => fingerprint256);
    this.#said = new Map([...this.#said].filter(([fingerprint]) => kept.includes(fingerprint)));
    this.#check();
  }

  close(): void {
    this.#timer.stop();
  }

  #check(): void {
    const { clock, log } = this.#options;
    for (const certificate of this.#certificates) {
      const leftMs = certificate.notAfterMs - clock.wallNow();
      const reached = reachedThreshold(certificate, leftMs);
      const said = this.#said.get(certificate.fingerprint256) ?? Number.POSITIVE_INFINITY;
      if (reached === undefined || reached >= said) continue;
      this.#said.set(certificate.fingerprint256, reached);
      const fields = {
        certificate: certificate.from,
        names: certificate.names.join(" "),
        expires: new Date(certificate.notAfterMs).toISOString(),
      };
      if (reached === 0) log.error("a certificate has expired; clients refuse it", fields);
      else log.warn(`a certificate expires in ${daysText(leftMs)}`, fields);
    }
  }
}

/** The nearest threshold that has been passed. Certificates made for days are not warned of for all of their life. */
function reachedThreshold({ notBeforeMs, notAfterMs }: Certificate, leftMs: number): number | undefined {
  if (leftMs <= 0) return 0;
  const lifetimeMs = notAfterMs - notBeforeMs;
  return THRESHOLD_DAYS.filter((days) => leftMs <= days * DAY_MS && days * DAY_MS <= lifetimeMs / 3).at(-1);
}

function daysText(leftMs: number): string {
  const days = Math.ceil(leftMs / DAY_MS);
  return days === 1 ? "less than a day" : `${days} days`;
}

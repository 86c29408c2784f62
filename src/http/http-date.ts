/** The Date header (RFC 9110 section 6.6.1), formatted once a second. */
import type { Clock } from "../base/clock.ts";

export class HttpDate {
  readonly #clock: Clock;
  #second = -1;
  #line = "";

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The whole header line with its line break. */
  line(): string {
    const second = Math.floor(this.#clock.wallNow() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#line = `Date: ${new Date(second * 1_000).toUTCString()}\r\n`;
    }
    return this.#line;
  }
}

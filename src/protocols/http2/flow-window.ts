/** Flow control (RFC 9113 sections 5.2 and 6.9): what may be sent, and what the peer may send, per stream and connection. */
import { DEFAULT_WINDOW, MAX_WINDOW } from "./frames.ts";

/** What we may still send. */
export class SendWindow {
  /** Bytes. Below 0 after the peer has made its initial window smaller (section 6.9.2): then nothing until it is above. */
  available: number;

  constructor(initial: number = DEFAULT_WINDOW) {
    this.available = initial;
  }

  /** Takes `bytes` of DATA, which must not be more than `available`. */
  take(bytes: number): void {
    this.available -= bytes;
  }

  /** WINDOW_UPDATE. False when the window gets larger than a window may be: FLOW_CONTROL_ERROR. */
  add(increment: number): boolean {
    if (this.available + increment > MAX_WINDOW) return false;
    this.available += increment;
    return true;
  }

  /**
   * The peer's SETTINGS_INITIAL_WINDOW_SIZE went from `before` to `after`; for streams, never for the connection.
   * False as for `add`, then for the whole connection.
   */
  adjust(before: number, after: number): boolean {
    return this.add(after - before);
  }
}

/** What the peer may still send. Only what was passed on is given back, so that a slow reader slows its sender. */
export class ReceiveWindow {
  /** Bytes the peer may still send. */
  available: number;
  /** Bytes that were passed on but not given back yet. */
  #consumed = 0;
  #size: number;

  /** `size` is what the peer was told: SETTINGS_INITIAL_WINDOW_SIZE, or 65,535 for the connection. */
  constructor(size: number = DEFAULT_WINDOW) {
    this.available = size;
    this.#size = size;
  }

  get size(): number {
    return this.#size;
  }

  /** DATA came, `bytes` with its padding. False when it is more than the peer may send: FLOW_CONTROL_ERROR. */
  receive(bytes: number): boolean {
    // Frames without data are allowed also while a smaller SETTINGS_INITIAL_WINDOW_SIZE keeps the window below 0.
    if (bytes > this.available && bytes > 0) return false;
    this.available -= bytes;
    return true;
  }

  /**
   * `bytes` that were received are passed on or thrown away. Returns the increment for a WINDOW_UPDATE to send now, or 0:
   * updates wait until half of the window is consumed, which keeps them few and the sender going.
   */
  consume(bytes: number): number {
    this.#consumed += bytes;
    return this.#consumed * 2 >= this.#size ? this.#giveBack() : 0;
  }

  /** Makes the window larger. Returns the increment for a WINDOW_UPDATE to send now. A window is never made smaller. */
  grow(size: number): number {
    const increment = Math.max(0, Math.min(size, MAX_WINDOW) - this.#size);
    this.#size += increment;
    this.available += increment;
    return increment;
  }

  /** Our own SETTINGS_INITIAL_WINDOW_SIZE was acknowledged with another value; for streams. No update is sent for it. */
  adjust(size: number): void {
    this.available += size - this.#size;
    this.#size = size;
  }

  #giveBack(): number {
    const increment = this.#consumed;
    this.#consumed = 0;
    this.available += increment;
    return increment;
  }
}

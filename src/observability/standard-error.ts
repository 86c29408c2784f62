import { writeSync } from "node:fs";

/**
 * Never throws. When its reader has gone (EPIPE) or does not keep up (EAGAIN), what nobody reads is lost: that is no
 * reason to stop serving, nor to go on when told to stop.
 */
export function writeToStandardError(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // There is nobody left to tell.
  }
}

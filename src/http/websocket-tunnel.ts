/**
 * What is known of a WebSocket that runs through us: whether each side is between two frames, so that both can be told
 * when we have to leave (RFC 6455 section 7.4.1) instead of finding the connection gone.
 */
import type { Random } from "../base/random.ts";
import type { Head } from "../protocols/http1/head.ts";
import { FrameTracker } from "../protocols/websocket/frame-tracker.ts";
import type { RunningAttempt } from "./exchange.ts";

const FINAL_CLOSE = 0x88;
const MASKED = 0x80;
/** 1001, "going away". */
const STATUS = [0x03, 0xe9] as const;

export class WebSocketTunnel {
  readonly #toClient = new FrameTracker();
  readonly #toEndpoint = new FrameTracker();

  fromClient(bytes: Buffer, start: number, end: number): void {
    this.#toEndpoint.consume(bytes, start, end);
  }

  fromEndpoint(bytes: Buffer, start: number, end: number): void {
    this.#toClient.consume(bytes, start, end);
  }

  /** Tells the endpoint that we leave; returns how the client is told, where that is possible. */
  goodbye(attempt: RunningAttempt | undefined, random: Random): Buffer | undefined {
    const forEndpoint = this.closeForEndpoint(random);
    if (forEndpoint !== undefined) attempt?.onRequestBody(forEndpoint, 0, forEndpoint.length);
    return this.closeForClient();
  }

  /** The Close frame for the client; undefined where it could only do harm. */
  closeForClient(): Buffer | undefined {
    return mayClose(this.#toClient) ? Buffer.from([FINAL_CLOSE, STATUS.length, ...STATUS]) : undefined;
  }

  /** The Close frame for the endpoint, masked as all frames of clients are; undefined where it could only do harm. */
  closeForEndpoint(random: Random): Buffer | undefined {
    if (!mayClose(this.#toEndpoint)) return undefined;
    const mask = Array.from({ length: 4 }, () => random.below(256));
    const masked = STATUS.map((byte, index) => byte ^ (mask[index] as number));
    return Buffer.from([FINAL_CLOSE, MASKED | STATUS.length, ...mask, ...masked]);
  }
}

/** For a connection whose upgrade to a WebSocket the endpoint has agreed to in `head`; undefined for other protocols. */
export function webSocketTunnel(head: Head): WebSocketTunnel | undefined {
  if (head.status !== 101 || head.upgradeField < 0) return undefined;
  return head.value(head.upgradeField).toLowerCase() === "websocket" ? new WebSocketTunnel() : undefined;
}

function mayClose(tracker: FrameTracker): boolean {
  return tracker.betweenFrames && !tracker.closing;
}

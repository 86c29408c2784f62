/** What a stream knows of the connection that it belongs to. */
import type { Origin, Place } from "../../transport/origin.ts";
import type { HttpContext } from "../context.ts";
import type { ListenerSnapshot } from "../snapshot.ts";
import type { FrameOutput } from "./frame-output.ts";

export interface StreamConnection<Stream> {
  readonly context: HttpContext;
  readonly settings: ListenerSnapshot;
  readonly origin: Origin;
  readonly clientPort: number;
  /** What the client lets a new stream send. */
  readonly initialSendWindow: number;
  readonly output: FrameOutput;
  /** The client could send DATA if it wanted to: the window of all streams may be used up by others. */
  readonly mayReceive: boolean;
  ends(): { client: Place; local: Place };
  /** The stream has DATA that no window had room for. */
  waits(stream: Stream): void;
  /** `bytes` of what the client sent are passed on: it may send as many more. */
  giveBack(stream: Stream, bytes: number): void;
  reset(stream: Stream, code: number): void;
  /** Both directions have ended. */
  streamDone(stream: Stream): void;
}

/** Events as server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */
import type { Timers } from "../base/clock.ts";
import type { EvenkeelEvent, EventLog } from "../observability/event-log.ts";
import { problem } from "./problem.ts";

const MAX_WATCHERS = 64;
/** Sent when nothing happens, so that both sides notice when the other is gone, and nobody takes it for idle. */
const HEARTBEAT_MS = 4_000;
/** A watcher that does not read gets no more than this many events into memory. */
const MAX_UNREAD = 1_000;

export class EventStreams {
  readonly #events: EventLog;
  readonly #timers: Timers;
  readonly #open = new Set<() => void>();

  constructor(events: EventLog, timers: Timers) {
    this.#events = events;
    this.#timers = timers;
  }

  /** `lastId`: what the watcher has seen already; undefined for only what happens from now on. */
  open(lastId: number | undefined): Response {
    if (this.#open.size >= MAX_WATCHERS) return problem(503, `${MAX_WATCHERS} watchers are enough; close one`);
    let end = (): void => {};
    const body = new ReadableStream<string>(
      {
        start: (controller) => {
          end = this.#feed(controller, lastId);
        },
        cancel: () => end(),
      },
      { highWaterMark: MAX_UNREAD },
    );
    return new Response(body.pipeThrough(new TextEncoderStream()), {
      headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no" },
    });
  }

  close(): void {
    for (const end of [...this.#open]) end();
  }

  #feed(controller: ReadableStreamDefaultController<string>, lastId: number | undefined): () => void {
    const end = (): void => {
      if (!this.#open.delete(end)) return;
      stopWatching();
      heartbeat.stop();
      try {
        controller.close();
      } catch {
        // The watcher has closed it already.
      }
    };
    const send = (text: string): void => {
      if ((controller.desiredSize ?? 0) <= 0) return end();
      controller.enqueue(text);
    };
    const stopWatching = this.#events.watch((event) => send(eventText(event)));
    const heartbeat = this.#timers.every(HEARTBEAT_MS, () => send(": nothing new\n\n"));
    this.#open.add(end);
    const { events, missed } = this.#events.since(lastId ?? this.#events.lastId);
    send(": events of evenkeel\n\n");
    if (missed) send('event: missed\ndata: {"reason":"older events are not kept any longer"}\n\n');
    for (const event of events) send(eventText(event));
    return end;
  }
}

function eventText(event: EvenkeelEvent): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

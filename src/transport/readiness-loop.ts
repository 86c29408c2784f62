/**
 * Waits for descriptors that the runtime does not know, and for the runtime's own events at the same time: one epoll(7)
 * set holds both, the runtime's event loop being just another descriptor in it. While there is such a descriptor the
 * waiting is done here, and the runtime gets its turn whenever it has something to do, and a few hundred times a second
 * for its timers. (Linux.)
 */
import { dlopen, ptr } from "bun:ffi";
import { readdirSync, readlinkSync } from "node:fs";
import { EvenkeelError } from "../base/errors.ts";
import { closeDescriptor } from "./listening-socket.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
/** struct epoll_event is packed on x86 and nowhere else. */
const EVENT_WORDS = process.arch === "x64" ? 3 : 4;
const DATA_WORD = process.arch === "x64" ? 1 : 2;
const MAX_EVENTS = 256;
/** As long as the runtime's timers may be late. */
const TURN_MS = 5;
/** Rounds without a pause before the runtime gets its turn, whatever the clock says. */
const MAX_ROUNDS = 256;

const libc = dlopen("libc.so.6", {
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
}).symbols;

/** Whoever waits for a descriptor. */
export interface Watcher {
  /** There is something to read, or an error to be told of. Called again until it is taken. */
  onReady(): void;
}

export interface ReadinessLoopOptions {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Calls `run` once the runtime has dealt with the events that it has. */
  readonly afterEvents: (run: () => void) => void;
  /** Called when all watchers that were ready have been called. */
  readonly afterRound: () => void;
}

export class ReadinessLoop {
  readonly #options: ReadinessLoopOptions;
  readonly #watchers: (Watcher | undefined)[] = [];
  readonly #events = new Uint32Array(new ArrayBuffer(MAX_EVENTS * EVENT_WORDS * 4));
  readonly #change = new Uint32Array(new ArrayBuffer(EVENT_WORDS * 4));
  readonly #eventsAddress = ptr(this.#events);
  #descriptor = -1;
  #watched = 0;
  #scheduled = false;

  constructor(options: ReadinessLoopOptions) {
    this.#options = options;
  }

  /** Descriptors that are watched. */
  get size(): number {
    return this.#watched;
  }

  /** Calls `watcher` whenever `descriptor` has something to read. Throws an EvenkeelError when that is not possible. */
  watch(descriptor: number, watcher: Watcher): void {
    if (this.#descriptor < 0) this.#open();
    if (!this.#control(EPOLL_CTL_ADD, descriptor)) throw new EvenkeelError("cannot wait for a descriptor");
    this.#watchers[descriptor] = watcher;
    this.#watched++;
    this.#schedule();
  }

  /** To be called before the descriptor is closed. */
  unwatch(descriptor: number): void {
    if (this.#watchers[descriptor] === undefined) return;
    this.#watchers[descriptor] = undefined;
    this.#control(EPOLL_CTL_DEL, descriptor);
    if (--this.#watched === 0) this.#close();
  }

  #open(): void {
    const runtime = eventLoops();
    if (runtime.length === 0) throw new EvenkeelError("the event loop of the runtime cannot be found");
    this.#descriptor = libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#descriptor < 0) throw new EvenkeelError("cannot wait for descriptors: too many open files");
    for (const descriptor of runtime) this.#control(EPOLL_CTL_ADD, descriptor);
  }

  #close(): void {
    if (this.#descriptor >= 0) closeDescriptor(this.#descriptor);
    this.#descriptor = -1;
  }

  #control(operation: number, descriptor: number): boolean {
    this.#change[0] = EPOLLIN;
    this.#change[DATA_WORD] = descriptor;
    return libc.epoll_ctl(this.#descriptor, operation, descriptor, ptr(this.#change)) === 0;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.afterEvents(() => {
      this.#scheduled = false;
      try {
        this.#turn();
      } finally {
        // What one watcher throws must not end the wait of all.
        if (this.#watched > 0) this.#schedule();
      }
    });
  }

  #turn(): void {
    const { now, afterRound } = this.#options;
    const until = now() + TURN_MS;
    for (let round = 0; round < MAX_ROUNDS && this.#watched > 0; round++) {
      // Interrupted by a signal, out of time, or the runtime's turn: all the same.
      const count = libc.epoll_wait(this.#descriptor, this.#eventsAddress, MAX_EVENTS, TURN_MS);
      if (count <= 0) return;
      const forRuntime = this.#dispatch(count);
      afterRound();
      if (forRuntime || now() >= until) return;
    }
  }

  /** True when the runtime has something to do. */
  #dispatch(count: number): boolean {
    let forRuntime = false;
    for (let index = 0; index < count; index++) {
      const watcher = this.#watchers[this.#events[index * EVENT_WORDS + DATA_WORD] as number];
      // A descriptor that another watcher has closed meanwhile looks like the runtime's; an idle turn does no harm.
      if (watcher === undefined) forRuntime = true;
      else watcher.onReady();
    }
    return forRuntime;
  }
}

/** The descriptors that event loops of this process wait on. */
function eventLoops(): number[] {
  return readdirSync("/proc/self/fd").flatMap((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === "anon_inode:[eventpoll]" ? [Number(name)] : [];
    } catch {
      // The descriptor with which the folder is read.
      return [];
    }
  });
}

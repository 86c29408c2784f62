/** The listening sockets of all listeners: one per worker, kept open here whatever becomes of the workers. */
import { formatAddress, type HostPort, parseListenAddress } from "../base/address.ts";
import { EvenkeelError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import { tlsOf } from "../listeners/schema.ts";
import {
  assertNobodyListens,
  closeDescriptor,
  openDatagramSocket,
  openListeningSocket,
  portOf,
} from "../transport/listening-socket.ts";

import { attachSteering, detachSteering, type Steering } from "../transport/worker-steering.ts";

const LET_GO_MS = 500;
const LET_GO_STEP_MS = 25;

interface OpenListener {
  readonly address: string;
  readonly protocol: string;
  /** By worker. */
  readonly descriptors: readonly number[];
  /** What the kernel was told last; "" when that is not known. */
  steering: string;
}

/** Sockets that another evenkeel hands over: by address as written in the configuration, `udp ` before it for UDP. */
export type InheritedSockets = Readonly<Record<string, readonly number[]>>;

export class ListeningSockets {
  readonly #count: number;
  #open = new Map<string, OpenListener>();
  readonly #inherited: Map<string, readonly number[]>;

  constructor(workers: number, inherited: InheritedSockets = {}) {
    this.#count = Math.max(1, workers);
    this.#inherited = new Map(Object.entries(inherited));
  }

  /** Opens what `config` needs and is not open. `commit` makes it hold, `abort` closes it again. Throws, then nothing has changed. */
  prepare(config: Config): PreparedSockets {
    const added = new Map<string, OpenListener>();
    try {
      for (const [name, { address, protocol }] of Object.entries(config.listeners)) {
        const open = this.#open.get(name);
        // A worker cannot turn a listener that it has into one of another protocol: that takes a socket of its own.
        if (open?.address !== address || open.protocol !== protocol)
          added.set(name, this.#openListener(name, address, protocol));
      }
    } catch (error) {
      for (const listener of added.values()) closeAll(listener);
      throw error;
    }
    return {
      added: (worker) =>
        Object.fromEntries([...added].map(([name, { descriptors }]) => [name, descriptors[worker] as number])),
      abort: () => {
        for (const listener of added.values()) closeAll(listener);
      },
      commit: () => {
        for (const [name, listener] of this.#open) {
          if (config.listeners[name] !== undefined && !added.has(name)) added.set(name, listener);
          else closeAll(listener);
        }
        this.#open = added;
        // What another evenkeel handed over and this configuration does not use.
        for (const descriptors of this.#inherited.values())
          for (const descriptor of descriptors) closeDescriptor(descriptor);
        this.#inherited.clear();
        return [...this.#open].flatMap(([name, listener]) => {
          const wanted = steeringOf(config.listeners[name], listener.descriptors.length);
          return steer(listener, wanted) ? [] : [name];
        });
      },
    };
  }

  /** All sockets of one worker, by listener: for one that takes a dead worker's place. */
  of(worker: number): Record<string, number> {
    return Object.fromEntries([...this.#open].map(([name, { descriptors }]) => [name, descriptors[worker] as number]));
  }

  /** Everything that is open, by address: to hand over. */
  all(): InheritedSockets {
    return Object.fromEntries([...this.#open.values()].map((open) => [keyOf(open), open.descriptors]));
  }

  /** The port that a listener has got (it may have asked for any). */
  port(name: string): number {
    return portOf(this.#open.get(name)?.descriptors[0] ?? -1);
  }

  close(): void {
    for (const listener of this.#open.values()) closeAll(listener);
    this.#open.clear();
  }

  #openListener(name: string, address: string, protocol: string): OpenListener {
    const parsed = parseListenAddress(address) ?? { host: "::", port: 0 };
    const isOurs = protocol === "udp" || this.#hasPort(parsed.port);
    const key = keyOf({ address, protocol });
    const inherited = this.#inherited.get(key) ?? [];
    this.#inherited.delete(key);
    const descriptors = inherited.slice(0, this.#count);
    for (const surplus of inherited.slice(this.#count)) closeDescriptor(surplus);
    try {
      if (!isOurs && parsed.port !== 0) this.#assertFree(parsed);
      // All sockets of a listener have one port, also when the system chose it.
      let { port } = parsed;
      while (descriptors.length < this.#count) {
        descriptors.push(
          (protocol === "udp" ? openDatagramSocket : openListeningSocket)(numericHost(parsed.host), port),
        );
        port = portOf(descriptors[0] as number);
      }
    } catch (error) {
      for (const descriptor of descriptors) closeDescriptor(descriptor);
      throw cannotListen(`listeners.${name}`, parsed, error as Error);
    }
    return { address, protocol, descriptors, steering: "" };
  }

  /** Workers whose supervisor was killed need a moment to let go: at a start, when nothing waits for us yet, they get it. */
  #assertFree({ host, port }: HostPort): void {
    for (let waitedMs = 0; ; waitedMs += LET_GO_STEP_MS) {
      try {
        return assertNobodyListens(numericHost(host), port);
      } catch (error) {
        if (this.#open.size > 0 || waitedMs >= LET_GO_MS) throw error;
        Bun.sleepSync(LET_GO_STEP_MS);
      }
    }
  }

  /** A listener that is renamed, moved or handed over opens its sockets beside those it has had. */
  #hasPort(port: number): boolean {
    const addresses = [...[...this.#open.values()].map((listener) => listener.address), ...this.#inherited.keys()];
    return addresses.some((address) => parseListenAddress(address)?.port === port);
  }
}

/** What is said when an address cannot be had, with how to find out who has it. */
export function cannotListen(who: string, address: HostPort, cause: Error): EvenkeelError {
  const hint = `see who has it with: ss -ltnp 'sport = :${address.port}'`;
  return new EvenkeelError(`${who}: ${formatAddress(address)}: ${cause.message} (${hint})`, { cause });
}

export interface PreparedSockets {
  /** What is new, for one worker, by listener. */
  added(worker: number): Record<string, number>;
  /** Returns the listeners whose clients the kernel does not want to lead to the same worker. */
  commit(): string[];
  abort(): void;
}

/** How the clients of a listener are to be led to the same worker again; undefined when they need not be. */
function steeringOf(config: Config["listeners"][string] | undefined, sockets: number): Steering | undefined {
  const tls = tlsOf(config);
  if (config === undefined || config.protocol === "udp" || tls === undefined) return undefined;
  if (tls.steering === "off" || sockets < 2) return undefined;
  if (tls.steering === "on") return { sockets, loopback: true };
  const manyBehindOne =
    config.proxyProtocol !== undefined || (config.protocol === "http" && config.trustedProxies.length > 0);
  return manyBehindOne || !tls.sessionTickets ? undefined : { sockets, loopback: false };
}

/** The kernel keeps what was set last, with the sockets: that of another evenkeel as well. */
function steer(listener: OpenListener, wanted: Steering | undefined): boolean {
  const steering = JSON.stringify(wanted ?? "none");
  if (listener.steering === steering) return true;
  listener.steering = steering;
  const descriptor = listener.descriptors[0] as number;
  if (wanted !== undefined) return attachSteering(descriptor, wanted);
  detachSteering(descriptor);
  return true;
}

/** TCP and UDP have ports of their own. */
function keyOf({ address, protocol }: Pick<OpenListener, "address" | "protocol">): string {
  return protocol === "udp" ? `udp ${address}` : address;
}

/** What to listen on for a host that the configuration allows. */
export function numericHost(host: string): string {
  return host === "localhost" ? "127.0.0.1" : host;
}

function closeAll(listener: OpenListener): void {
  for (const descriptor of listener.descriptors) closeDescriptor(descriptor);
}

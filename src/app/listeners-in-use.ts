/** The listeners of one worker, those that a configuration has and those that it has no more, whose connections go on. */
import { afterEvents } from "../base/clock.ts";
import type { HttpContext } from "../http/context.ts";
import type { ListenerSnapshot } from "../http/snapshot.ts";
import type { ListenerContext } from "../listeners/arrivals.ts";
import { HttpListener } from "../listeners/http-listener.ts";
import type { ListenerConfig } from "../listeners/schema.ts";
import { TcpListener } from "../listeners/tcp-listener.ts";
import { UdpListener } from "../listeners/udp-listener.ts";
import type { TcpSnapshot } from "../tcp/snapshot.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import { DatagramEngine } from "../transport/datagram-engine.ts";
import type { UdpSnapshot } from "../udp/snapshot.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { DataPathOptions } from "./data-path.ts";

/** What listeners serve, by name. */
export interface Snapshots {
  readonly http: ReadonlyMap<string, ListenerSnapshot>;
  readonly tcp: ReadonlyMap<string, TcpSnapshot>;
  readonly udp: ReadonlyMap<string, UdpSnapshot>;
}

export type RunningListener = HttpListener | TcpListener | UdpListener;

export class ListenersInUse {
  readonly #options: DataPathOptions;
  readonly #context: HttpContext & ListenerContext;
  #listeners = new Map<string, RunningListener>();
  /** Removed by a reload; their connections are still open. */
  #leaving = new Set<RunningListener>();
  #handedOver = false;
  #datagrams: DatagramEngine | undefined;

  constructor(options: DataPathOptions, context: HttpContext & ListenerContext) {
    this.#options = options;
    this.#context = context;
  }

  /** The keys and certificates that a listener has now: what is resumed with them goes on. */
  tlsOf(name: string): ListenerTls | undefined {
    const listener = this.#listeners.get(name);
    return listener === undefined || listener instanceof UdpListener ? undefined : listener.settings.tls;
  }

  open(name: string, descriptor: number, config: ListenerConfig, snapshots: Snapshots): RunningListener {
    const { counters, clock } = this.#options;
    if (config.protocol === "udp") {
      this.#datagrams ??= new DatagramEngine({ now: () => clock.now(), afterEvents });
      return new UdpListener(descriptor, snapshots.udp.get(name)!, config.address, this.#context, this.#datagrams);
    }
    return config.protocol === "http"
      ? new HttpListener(descriptor, snapshots.http.get(name)!, config, this.#context, counters)
      : new TcpListener(descriptor, snapshots.tcp.get(name)!, config, this.#context, counters);
  }

  /** Serves `configs` with what was opened and what was there; listeners that are not in it leave. */
  commit(
    added: ReadonlyMap<string, RunningListener>,
    snapshots: Snapshots,
    configs: Readonly<Record<string, ListenerConfig>>,
    drainMs: number,
  ): void {
    for (const [name, listener] of added) {
      const replaced = this.#listeners.get(name);
      if (replaced !== undefined) this.#leave(replaced, drainMs);
      this.#listeners.set(name, listener);
    }
    for (const [name, listener] of this.#listeners) {
      if (serve(listener, name, snapshots, configs[name])) continue;
      this.#listeners.delete(name);
      this.#leave(listener, drainMs);
    }
    this.#endReplaced();
    // What was being prepared meanwhile.
    if (this.#handedOver) this.drain(true);
  }

  challengesChanged(): void {
    for (const listener of this.#listeners.values())
      if (!(listener instanceof UdpListener)) listener.challengesChanged();
  }

  /** `handedOver`: another process takes whoever comes now. */
  drain(handedOver: boolean): void {
    this.#handedOver ||= handedOver;
    for (const listener of this.#listeners.values()) {
      if (handedOver) listener.stop();
      listener.drain();
    }
  }

  get openConnections(): number {
    for (const listener of this.#leaving) if (listener.openConnections === 0) this.#leaving.delete(listener);
    return this.#all.reduce((open, listener) => open + listener.openConnections, 0);
  }

  /** Clients of UDP have no connection to the endpoint that could be closed. */
  endFlowsTo(endpoint: Endpoint): void {
    for (const listener of this.#all) if (listener instanceof UdpListener) listener.endFlowsTo(endpoint);
  }

  close(): void {
    for (const listener of this.#all) closeListener(listener);
    this.#listeners.clear();
    this.#leaving.clear();
  }

  get #all(): RunningListener[] {
    return [...this.#listeners.values(), ...this.#leaving];
  }

  #leave(listener: RunningListener, drainMs: number): void {
    // A UDP listener has one socket for all: without reading from it, those who are known could not go on.
    if (!(listener instanceof UdpListener)) listener.stop();
    listener.drain();
    this.#leaving.add(listener);
    this.#options.timers.after(drainMs, () => {
      if (this.#leaving.has(listener)) listener.closeConnections();
    });
  }

  /** Of two UDP sockets on one address, each gets some of the clients: one that begins nothing must not take any. */
  #endReplaced(): void {
    const addresses = [...this.#listeners.values()].flatMap((now) => (now instanceof UdpListener ? [now.address] : []));
    for (const old of this.#leaving)
      if (old instanceof UdpListener && addresses.includes(old.address)) old.closeConnections();
  }
}

export function closeListener(listener: RunningListener): void {
  listener.stop();
  listener.closeConnections();
}

/** Hands a listener its new settings; false when the configuration does not have it any more. */
function serve(
  listener: RunningListener,
  name: string,
  { http, tcp, udp }: Snapshots,
  config: ListenerConfig | undefined,
): boolean {
  if (config === undefined) return false;
  if (config.protocol === "udp") return serveDatagrams(listener, udp.get(name));
  const httpSettings = http.get(name);
  const tcpSettings = tcp.get(name);
  if (listener instanceof HttpListener && httpSettings !== undefined) listener.serve(httpSettings, config);
  else if (listener instanceof TcpListener && tcpSettings !== undefined) listener.serve(tcpSettings, config);
  else return false;
  return true;
}

function serveDatagrams(listener: RunningListener, settings: UdpSnapshot | undefined): boolean {
  if (!(listener instanceof UdpListener) || settings === undefined) return false;
  listener.serve(settings);
  return true;
}

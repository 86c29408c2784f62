/**
 * Sessions to come back with: spares both sides most of a handshake with an endpoint. To be fed by the `session` handler of
 * the runtime's sockets (`session(socket, bytes)`, not documented) and asked in `open`, for `socket.setSession`.
 */
const MOST_KEYS = 1_024;
/** TLS 1.3 gives two tickets a full handshake, and often none a resumed one (RFC 8446, appendix C.4). */
const MOST_PER_KEY = 4;

export class ClientSessions {
  readonly #byKey = new Map<string, Uint8Array[]>();

  /** `key` is whatever may share a session: endpoint and server name. One of these for each set of TLS settings. */
  keep(key: string, session: Uint8Array): void {
    const kept = this.#byKey.get(key) ?? [];
    kept.push(session);
    if (kept.length > MOST_PER_KEY) kept.shift();
    if (this.#byKey.has(key)) return;
    // The key that has been there longest makes room.
    if (this.#byKey.size >= MOST_KEYS) this.#byKey.delete(this.#byKey.keys().next().value as string);
    this.#byKey.set(key, kept);
  }

  /**
   * The newest, which is then gone from here unless it is the last: servers that want each used once only do a full
   * handshake when it comes again, and then give new ones. Nobody who could follow us by it sees these connections.
   */
  take(key: string): Uint8Array | undefined {
    const kept = this.#byKey.get(key);
    return kept !== undefined && kept.length > 1 ? kept.pop() : kept?.[0];
  }
}

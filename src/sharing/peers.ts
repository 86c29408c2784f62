/**
 * The other balancers, by what they have published. Whether one is still there is told by its numbers going on, measured
 * with the clock here: clocks of different machines are never compared.
 */
import { type Publication, readPublication } from "./publication.ts";

/** More balancers than this do not share limits in earnest. */
const MAX_PEERS = 64;
/** What a balancer has left behind is removed after this many times the time after which it is forgotten. */
const REMOVE_AFTER = 10;

interface Peer {
  sequence: number;
  changedMs: number;
  publication: Publication | undefined;
}

export class Peers {
  readonly #forgetAfterMs: number;
  readonly #peers = new Map<string, Peer>();

  constructor(forgetAfterMs: number) {
    this.#forgetAfterMs = forgetAfterMs;
  }

  /** All that is published now, by the id of the balancer, without one's own. Returns those that are long gone. */
  heard(published: ReadonlyMap<string, string>, nowMs: number): string[] {
    for (const id of this.#peers.keys()) if (!published.has(id)) this.#peers.delete(id);
    const gone: string[] = [];
    for (const [id, text] of published) {
      const peer = this.#peers.get(id) ?? this.#meet(id, nowMs);
      if (peer === undefined) continue;
      const publication = readPublication(text);
      if (publication !== undefined && publication.sequence !== peer.sequence) {
        peer.sequence = publication.sequence;
        peer.changedMs = nowMs;
      }
      peer.publication = publication;
      if (nowMs - peer.changedMs >= REMOVE_AFTER * this.#forgetAfterMs) gone.push(id);
    }
    return gone;
  }

  /** What those say that are still there. */
  present(nowMs: number): Publication[] {
    return [...this.#peers.values()].flatMap(({ publication, changedMs }) =>
      publication === undefined || nowMs - changedMs >= this.#forgetAfterMs ? [] : [publication],
    );
  }

  /** Forgets what was heard. */
  clear(): void {
    this.#peers.clear();
  }

  #meet(id: string, nowMs: number): Peer | undefined {
    if (this.#peers.size >= MAX_PEERS) return undefined;
    const peer: Peer = { sequence: -1, changedMs: nowMs, publication: undefined };
    this.#peers.set(id, peer);
    return peer;
  }
}

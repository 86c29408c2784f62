/**
 * Gets certificates, keeps them, and renews them when two thirds of their life are over. One process does this for all;
 * what it gets is handed on. A certificate in use stays in use whatever happens to its renewal.
 */
import { createPrivateKey } from "node:crypto";
import type { Clock, Timer, Timers } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import type { Log } from "../../observability/log.ts";
import { type Certificate, loadCertificate } from "../certificate.ts";
import { generateKey, keyToPem } from "../x509.ts";
import type { ChallengeResponder, ChallengeType } from "./challenges.ts";
import { obtainCertificate } from "./order.ts";
import { AcmeError } from "./problem.ts";
import { type AccountTerms, AcmeSession } from "./session.ts";
import type { AcmeStore } from "./store.ts";
import type { AcmeTransport } from "./transport.ts";

/** The share of a certificate's life after which it is renewed, and by how much of it that is brought forward at random. */
const RENEW_AFTER = 2 / 3;
const RENEW_JITTER = 1 / 30;
const FIRST_RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 6 * 3_600_000;
const RETRY_JITTER = 0.25;
/** An authority whose certificates are short-lived, or whose clock is not ours, is not asked more often than this. */
const SOONEST_RENEWAL_MS = 3_600_000;
/** Timers of the runtime hold 24 days at most, and the wall clock may be set: what is due is looked at this often. */
const LOOK_EVERY_MS = 3_600_000;

export interface AcmeCertificateRequest {
  readonly names: readonly string[];
  readonly challenge: ChallengeType;
}

export interface AcmeManagerOptions extends AccountTerms {
  readonly directoryUrl: string;
  readonly transport: AcmeTransport;
  readonly store: AcmeStore;
  readonly responder: ChallengeResponder;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Orders under way at the same time at most. */
  readonly maxOrders: number;
  /** Called with every certificate that is new here: read from the store, got or renewed. */
  readonly onCertificate: (names: readonly string[], certificate: Certificate) => void;
  /** Stands in for the real order in tests. */
  readonly obtain?: typeof obtainCertificate;
}

/** How one certificate is doing. */
export interface AcmeState {
  readonly names: readonly string[];
  /** `waiting` for its time, `queued` behind other orders, or `ordering` now. */
  readonly phase: "waiting" | "queued" | "ordering";
  readonly certificate: Certificate | undefined;
  /** Milliseconds since the Unix epoch of the next order. */
  readonly nextOrderMs: number;
  /** Orders that have failed since the last one that did not. */
  readonly failures: number;
  readonly lastError: string | undefined;
}

interface Entry {
  readonly request: AcmeCertificateRequest;
  certificate: Certificate | undefined;
  phase: AcmeState["phase"];
  nextOrderMs: number;
  failures: number;
  lastError: string | undefined;
  timer: Timer | undefined;
  gone: boolean;
}

export class AcmeManager {
  readonly #options: AcmeManagerOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #queue: Entry[] = [];
  readonly #stopping = new AbortController();
  #ordering = 0;
  #session: Promise<AcmeSession> | undefined;

  constructor(options: AcmeManagerOptions) {
    this.#options = options;
  }

  /** Keeps these certificates from now on, and no others. What the store has is handed on before this returns. */
  setRequests(requests: readonly AcmeCertificateRequest[]): void {
    const wanted = new Map(requests.map((request) => [keyOf(request), request]));
    for (const [key, entry] of this.#entries) {
      if (wanted.has(key)) continue;
      entry.gone = true;
      entry.timer?.stop();
      this.#entries.delete(key);
    }
    for (const [key, request] of wanted) if (!this.#entries.has(key)) this.#entries.set(key, this.#begin(request));
  }

  states(): AcmeState[] {
    return [...this.#entries.values()].map(
      ({ request, phase, certificate, nextOrderMs, failures, lastError }): AcmeState => ({
        names: request.names,
        phase,
        certificate,
        nextOrderMs,
        failures,
        lastError,
      }),
    );
  }

  /** Gives up what is under way. What has been got is kept. */
  close(): void {
    this.setRequests([]);
    this.#queue.length = 0;
    this.#stopping.abort(new AcmeError("evenkeel is stopping", { kind: "stopping" }));
  }

  #begin(request: AcmeCertificateRequest): Entry {
    const entry: Entry = {
      request,
      certificate: undefined,
      phase: "waiting",
      nextOrderMs: this.#options.clock.wallNow(),
      failures: 0,
      lastError: undefined,
      timer: undefined,
      gone: false,
    };
    const { store, directoryUrl, log } = this.#options;
    try {
      const pem = store.readCertificate(directoryUrl, request.names);
      if (pem !== undefined) this.#take(entry, this.#load(request.names, pem));
    } catch (error) {
      log.warn("a stored certificate cannot be used; a new one is ordered", { reason: (error as Error).message });
    }
    this.#schedule(entry);
    return entry;
  }

  #load(names: readonly string[], pem: string): Certificate {
    const path = this.#options.store.certificatePath(this.#options.directoryUrl, names);
    return loadCertificate({ certificatePem: pem, keyPem: pem, certificateFrom: path, keyFrom: path });
  }

  #take(entry: Entry, certificate: Certificate): void {
    entry.certificate = certificate;
    const lifetimeMs = certificate.notAfterMs - certificate.notBeforeMs;
    const share = RENEW_AFTER - RENEW_JITTER * this.#options.random.next();
    entry.nextOrderMs = Math.round(certificate.notBeforeMs + lifetimeMs * share);
    this.#options.onCertificate(entry.request.names, certificate);
  }

  #schedule(entry: Entry): void {
    if (entry.gone) return;
    entry.phase = "waiting";
    const { clock, timers } = this.#options;
    const leftMs = entry.nextOrderMs - clock.wallNow();
    entry.timer = timers.after(Math.min(LOOK_EVERY_MS, Math.max(0, leftMs)), () => {
      entry.timer = undefined;
      if (entry.nextOrderMs > clock.wallNow()) this.#schedule(entry);
      else this.#enqueue(entry);
    });
  }

  #enqueue(entry: Entry): void {
    entry.phase = "queued";
    this.#queue.push(entry);
    this.#orderNext();
  }

  #orderNext(): void {
    while (this.#ordering < this.#options.maxOrders) {
      const entry = this.#queue.shift();
      if (entry === undefined) return;
      if (entry.gone) continue;
      this.#ordering++;
      entry.phase = "ordering";
      void this.#order(entry).finally(() => {
        this.#ordering--;
        this.#schedule(entry);
        this.#orderNext();
      });
    }
  }

  async #order(entry: Entry): Promise<void> {
    const { store, directoryUrl, responder, clock, log, obtain = obtainCertificate } = this.#options;
    const { names, challenge } = entry.request;
    try {
      const session = await this.#currentSession();
      const pair = await this.#withAccount(session, () => obtain(session, names, challenge, responder));
      const pem = `${pair.keyPem}${pair.certificatePem}`;
      const certificate = this.#load(names, pem);
      checkNames(certificate, names);
      // An entry that has gone meanwhile may come back: what has been got is worth keeping.
      store.writeCertificate(directoryUrl, names, pem);
      if (entry.gone) return;
      entry.failures = 0;
      entry.lastError = undefined;
      this.#take(entry, certificate);
      entry.nextOrderMs = Math.max(entry.nextOrderMs, clock.wallNow() + SOONEST_RENEWAL_MS);
      log.info("a certificate was issued", {
        names: names.join(" "),
        expires: new Date(certificate.notAfterMs).toISOString(),
        renewal: new Date(entry.nextOrderMs).toISOString(),
      });
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#failed(entry, error as Error);
    }
  }

  #failed(entry: Entry, error: Error): void {
    const { clock, random, log } = this.#options;
    entry.failures++;
    entry.lastError = error.message;
    const backoffMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (entry.failures - 1));
    const jitter = 1 + RETRY_JITTER * (2 * random.next() - 1);
    const askedMs = error instanceof AcmeError ? (error.retryAfterMs ?? 0) : 0;
    entry.nextOrderMs = Math.round(clock.wallNow() + Math.max(askedMs, backoffMs * jitter));
    log.error("a certificate could not be got", {
      names: entry.request.names.join(" "),
      reason: error.message,
      next: new Date(entry.nextOrderMs).toISOString(),
      inUse: entry.certificate === undefined ? "none" : new Date(entry.certificate.notAfterMs).toISOString(),
    });
  }

  /** One session for all orders, so that there is one account; made anew after it could not be made. */
  #currentSession(): Promise<AcmeSession> {
    this.#session ??= this.#openSession().catch((error) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  async #openSession(): Promise<AcmeSession> {
    const { store, directoryUrl, transport, clock, timers, log } = this.#options;
    const stored = store.readAccount(directoryUrl);
    const accountKey = stored === undefined ? generateKey() : createPrivateKey(stored.keyPem);
    const session = new AcmeSession({
      directoryUrl,
      transport,
      clock,
      timers,
      accountKey,
      signal: this.#stopping.signal,
    });
    if (stored !== undefined) {
      session.useAccount(stored.url);
      return session;
    }
    const url = await session.createAccount(this.#options);
    store.writeAccount({ directory: directoryUrl, url, keyPem: keyToPem(accountKey) });
    log.info("an ACME account was made", { directory: directoryUrl, account: url });
    return session;
  }

  /** An authority may have forgotten an account: it is made again for the same key, once. */
  async #withAccount<Result>(session: AcmeSession, run: () => Promise<Result>): Promise<Result> {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof AcmeError) || error.kind !== "accountDoesNotExist") throw error;
    }
    const { store, directoryUrl } = this.#options;
    const url = await session.createAccount(this.#options);
    const stored = store.readAccount(directoryUrl);
    if (stored !== undefined) store.writeAccount({ ...stored, url });
    return run();
  }
}

function checkNames(certificate: Certificate, names: readonly string[]): void {
  const missing = names.filter((name) => !certificate.names.includes(name));
  if (missing.length > 0)
    throw new AcmeError(`order for ${names.join(", ")}: the certificate lacks ${missing.join(", ")}`, {
      kind: "malformed",
    });
}

function keyOf({ names, challenge }: AcmeCertificateRequest): string {
  return `${challenge} ${[...names].sort().join(" ")}`;
}

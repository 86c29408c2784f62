/** Certificates that come from an authority: those in the store at once, others as soon as they are issued. */
import type { Clock, Timers } from "../base/clock.ts";
import { at } from "../base/place.ts";
import type { Random } from "../base/random.ts";
import type { Log } from "../observability/log.ts";
import type { ChallengeResponder } from "../tls/acme/challenges.ts";
import { type AcmeCertificateRequest, AcmeManager } from "../tls/acme/manager.ts";
import { AcmeStore } from "../tls/acme/store.ts";
import { createTransport } from "../tls/acme/transport.ts";
import { readAuthorities } from "../tls/authority-files.ts";
import { type Certificate, loadCertificate } from "../tls/certificate.ts";
import type { AcmeConfig } from "../tls/schema.ts";
import { VERSION } from "./version.ts";

export interface AcmeCertificatesOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly responder: ChallengeResponder;
  /** A certificate was issued or renewed. */
  readonly onChange: () => void;
}

export class AcmeCertificates {
  readonly #options: AcmeCertificatesOptions;
  /** By authority and names: what there is, whether it is in use or not. */
  readonly #certificates = new Map<string, Certificate>();
  #manager: AcmeManager | undefined;
  /** What the manager was made with. */
  #managed = "";

  constructor(options: AcmeCertificatesOptions) {
    this.#options = options;
  }

  /** Throws an EvenkeelError placed at what would keep us from getting certificates. What is in use already goes on. */
  check(config: AcmeConfig): void {
    if (JSON.stringify(config) === this.#managed) return;
    openStore(config);
    authoritiesOf(config);
  }

  /** The certificate over these names, or undefined when there is none yet. Throws an EvenkeelError when the store cannot be used. */
  find(config: AcmeConfig, names: readonly string[]): Certificate | undefined {
    const key = keyOf(config.directory, names);
    const known = this.#certificates.get(key);
    if (known !== undefined) return known;
    const store = openStore(config);
    const path = store.certificatePath(config.directory, names);
    let stored: Certificate;
    try {
      const pem = store.readCertificate(config.directory, names);
      if (pem === undefined) return undefined;
      stored = loadCertificate({ certificatePem: pem, keyPem: pem, certificateFrom: path, keyFrom: path });
    } catch {
      // A damaged file is as good as none: the manager says so, and orders another.
      return undefined;
    }
    this.#certificates.set(key, stored);
    return stored;
  }

  /** Gets and renews these from now on, and no others. */
  keep(config: AcmeConfig | undefined, requests: readonly AcmeCertificateRequest[]): void {
    const wanted = JSON.stringify(config ?? null);
    if (wanted !== this.#managed) {
      this.#manager?.close();
      this.#manager = config === undefined ? undefined : this.#createManager(config);
      this.#managed = wanted;
    }
    this.#manager?.setRequests(requests);
  }

  close(): void {
    this.#manager?.close();
    this.#manager = undefined;
    this.#managed = "";
  }

  #createManager(config: AcmeConfig): AcmeManager {
    const { directory, email, acceptTerms, externalAccount, maxOrders } = config;
    const { clock, timers, random, log, responder } = this.#options;
    return new AcmeManager({
      directoryUrl: directory,
      transport: createTransport({
        timers,
        userAgent: `evenkeel/${VERSION}`,
        caPem: authoritiesOf(config),
      }),
      store: openStore(config),
      responder,
      clock,
      timers,
      random,
      log,
      maxOrders,
      acceptTerms,
      ...(email !== undefined && { email }),
      ...(externalAccount !== undefined && { externalAccount }),
      onCertificate: (names, certificate) => this.#take(keyOf(directory, names), certificate),
    });
  }

  #take(key: string, certificate: Certificate): void {
    const before = this.#certificates.get(key);
    this.#certificates.set(key, certificate);
    // What the store had is in use already.
    if (before?.fingerprint256 !== certificate.fingerprint256) this.#options.onChange();
  }
}

/** Whom to trust for the directory instead of the system's. Throws an EvenkeelError placed at the file that is wrong. */
export function authoritiesOf({ ca }: AcmeConfig): string | undefined {
  return ca && at(["ca"], () => readAuthorities(ca));
}

function openStore({ storage }: AcmeConfig): AcmeStore {
  return at(["storage"], () => new AcmeStore(storage));
}

function keyOf(directory: string, names: readonly string[]): string {
  return [directory, ...[...names].sort()].join(" ");
}

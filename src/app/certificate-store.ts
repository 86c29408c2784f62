/**
 * The certificates of all listeners, held by the supervisor and handed to workers: read from files and read again when
 * those change, made for development, or got from an authority.
 */
import type { Clock, Timers } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import { at } from "../base/place.ts";
import type { Random } from "../base/random.ts";
import type { Config } from "../config/schema.ts";
import { tlsOf } from "../listeners/schema.ts";
import type { Log } from "../observability/log.ts";
import type { CertificateSample } from "../observability/prometheus.ts";
import type { ChallengeResponder } from "../tls/acme/challenges.ts";
import type { AcmeCertificateRequest } from "../tls/acme/manager.ts";
import { type Certificate, loadCertificate } from "../tls/certificate.ts";
import { CertificateFiles, type CertificatePaths } from "../tls/certificate-files.ts";
import { ExpiryWarnings } from "../tls/expiry-warnings.ts";
import type { CertificateConfig } from "../tls/schema.ts";
import { createSelfSigned } from "../tls/self-signed.ts";
import { AcmeCertificates } from "./acme-certificates.ts";
import { certificateSamples } from "./certificate-samples.ts";

export interface CertificateStoreOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Shows an authority that names are ours. */
  readonly responder: ChallengeResponder;
  /** A certificate in use has been replaced: workers must be told. */
  readonly onChange: () => void;
}

type Certificates = Record<string, readonly Certificate[]>;

export class CertificateStore {
  readonly #options: CertificateStoreOptions;
  readonly #files: CertificateFiles;
  readonly #warnings: ExpiryWarnings;
  /** By their names. Made once, so that a reload does not give clients another one to distrust. */
  readonly #selfSigned = new Map<string, Certificate>();
  readonly #acme: AcmeCertificates;
  #loaded: Certificates = {};
  #inUse: Certificates = {};

  constructor(options: CertificateStoreOptions) {
    this.#options = options;
    const { clock, timers, log, onChange } = options;
    this.#acme = new AcmeCertificates(options);
    this.#files = new CertificateFiles({ clock, timers, log, onChange });
    this.#warnings = new ExpiryWarnings({ clock, timers, log });
  }

  /** What each listener shows, the default first. Throws an EvenkeelError placed at what is wrong. */
  load(config: Config): Certificates {
    const { acme } = config;
    if (acme !== undefined) at(["acme"], () => this.#acme.check(acme));
    const written = Object.entries(config.listeners).flatMap(([name, listener]) => {
      const tls = tlsOf(listener);
      return tls === undefined ? [] : [[name, tls.certificates] as const];
    });
    const files = written.flatMap(([name, certificates]) =>
      certificates.flatMap((each, index) =>
        pathsOf(each).map((paths) => ({ ...paths, place: ["listeners", name, "tls", "certificates", index] })),
      ),
    );
    this.#files.setFiles(files);
    const loaded = Object.fromEntries(
      written.map(([name, certificates]) => [name, certificates.flatMap((each) => this.#certificate(each, config))]),
    );
    this.#loaded = loaded;
    return loaded;
  }

  /** What was loaded is served now: from here on certificates are ordered, and their end is watched. */
  commit(config: Config): void {
    this.#inUse = this.#loaded;
    this.#warnings.watch(Object.values(this.#loaded).flat());
    const requests = acmeRequests(config);
    const waiting = requests.filter(({ names }) => config.acme && this.#acme.find(config.acme, names) === undefined);
    for (const { names } of waiting)
      this.#options.log.warn("a self-signed certificate stands in until one is issued", { names: names.join(" ") });
    this.#acme.keep(config.acme, requests);
  }

  /** For metrics: when the certificates of each listener expire. */
  get samples(): readonly CertificateSample[] {
    return certificateSamples(this.#inUse);
  }

  /** Orders no more certificates. */
  stopOrdering(): void {
    this.#acme.close();
  }

  close(): void {
    this.#acme.close();
    this.#files.close();
    this.#warnings.close();
  }

  #certificate(written: CertificateConfig, { acme }: Config): Certificate[] {
    if ("certificate" in written) return [this.#files.get(pathsOf(written)[0] as CertificatePaths) as Certificate];
    if ("selfSigned" in written) return [this.#makeSelfSigned(written.selfSigned.names)];
    if (acme === undefined) throw new EvenkeelError("a certificate with `acme` needs the `acme` block at the top");
    const { names } = written.acme;
    return [at(["acme"], () => this.#acme.find(acme, names)) ?? this.#makeSelfSigned(names)];
  }

  #makeSelfSigned(names: readonly string[]): Certificate {
    const key = names.join(" ");
    const known = this.#selfSigned.get(key);
    if (known !== undefined) return known;
    const from = `self-signed certificate for ${key}`;
    const pair = createSelfSigned(names, this.#options.clock.wallNow());
    const made = loadCertificate({ ...pair, certificateFrom: from, keyFrom: from });
    this.#selfSigned.set(key, made);
    return made;
  }
}

/** Every certificate that is to be got, once, also when several listeners show it. */
function acmeRequests(config: Config): AcmeCertificateRequest[] {
  const requests = Object.values(config.listeners).flatMap((listener) =>
    (tlsOf(listener)?.certificates ?? []).flatMap((written) => ("acme" in written ? [written.acme] : [])),
  );
  return [...new Map(requests.map((request) => [[...request.names].sort().join(" "), request])).values()];
}

function pathsOf(config: CertificateConfig): CertificatePaths[] {
  return "certificate" in config
    ? [{ certificate: config.certificate, key: config.key, passphrase: config.passphrase }]
    : [];
}

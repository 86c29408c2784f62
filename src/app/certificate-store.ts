/**
 * The certificates of all listeners, held by the supervisor and handed to workers: read from files and read again when
 * those change, made for development, or got from an authority.
 */
import type { Clock, Timers } from "../base/clock.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../observability/log.ts";
import { type Certificate, loadCertificate } from "../tls/certificate.ts";
import { CertificateFiles, type CertificatePaths } from "../tls/certificate-files.ts";
import { ExpiryWarnings } from "../tls/expiry-warnings.ts";
import type { CertificateConfig } from "../tls/schema.ts";
import { createSelfSigned } from "../tls/self-signed.ts";

export interface CertificateStoreOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
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
  #inUse: readonly Certificate[] = [];

  constructor(options: CertificateStoreOptions) {
    this.#options = options;
    const { clock, timers, log, onChange } = options;
    this.#files = new CertificateFiles({ clock, timers, log, onChange });
    this.#warnings = new ExpiryWarnings({ clock, timers, log });
  }

  /** What each listener shows, the default first. Throws an EvenkeelError that names the file that is wrong. */
  load(config: Config): Certificates {
    const written = Object.entries(config.listeners).flatMap(([name, listener]) =>
      listener.protocol === "udp" || listener.tls === undefined ? [] : [[name, listener.tls.certificates] as const],
    );
    this.#files.setFiles(written.flatMap(([, certificates]) => certificates.flatMap(pathsOf)));
    const loaded = Object.fromEntries(
      written.map(([name, certificates]) => [name, certificates.flatMap((each) => this.#certificate(each))]),
    );
    this.#inUse = Object.values(loaded).flat();
    this.#warnings.watch(this.#inUse);
    return loaded;
  }

  /** For metrics: when each certificate in use expires. */
  get inUse(): readonly Certificate[] {
    return this.#inUse;
  }

  close(): void {
    this.#files.close();
    this.#warnings.close();
  }

  #certificate(config: CertificateConfig): Certificate[] {
    if ("certificate" in config) return [this.#files.get(pathsOf(config)[0] as CertificatePaths) as Certificate];
    if ("selfSigned" in config) return [this.#makeSelfSigned(config.selfSigned.names)];
    return [];
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

function pathsOf(config: CertificateConfig): CertificatePaths[] {
  return "certificate" in config
    ? [{ certificate: config.certificate, key: config.key, passphrase: config.passphrase }]
    : [];
}

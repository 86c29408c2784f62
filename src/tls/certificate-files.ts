/** Certificates in files, read again when the files change. A change that does not hold up leaves the old one in use. */
import { readFileSync, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { Clock, Timer, Timers } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import { at, type Path } from "../base/place.ts";
import type { Log } from "../observability/log.ts";
import { type Certificate, certificateWarnings, loadCertificate } from "./certificate.ts";

const POLL_EVERY_MS = 5_000;
const LARGEST_FILE = 1_048_576;

/** Paths of PEM files; both may be the same file. */
export interface CertificatePaths {
  readonly certificate: string;
  readonly key: string;
  readonly passphrase?: string | undefined;
  /** Where in the configuration they stand, for messages. */
  readonly place?: Path;
}

export interface CertificateFilesOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** Called after files have changed and what they hold is good. */
  readonly onChange: () => void;
}

interface Watched {
  readonly paths: CertificatePaths;
  certificate: Certificate;
  /** What the files looked like when they were last read, good or not. */
  identity: string;
}

export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  readonly #timer: Timer;
  #watched = new Map<string, Watched>();

  constructor(options: CertificateFilesOptions) {
    this.#options = options;
    this.#timer = options.timers.every(POLL_EVERY_MS, () => {
      if (this.recheck()) options.onChange();
    });
  }

  /**
   * Reads these files and watches them from now on, and no others. Those that were watched before keep the last good
   * certificate; a new one that is not good throws an EvenkeelError, and nothing changes.
   */
  setFiles(files: readonly CertificatePaths[]): readonly Certificate[] {
    const next = new Map<string, Watched>();
    for (const paths of files) {
      const key = keyOf(paths);
      const known = next.get(key) ?? this.#watched.get(key);
      if (known !== undefined) this.#refresh(known);
      next.set(key, known ?? at(paths.place ?? [], () => this.#read(paths)));
    }
    this.#watched = next;
    return files.map((paths) => (next.get(keyOf(paths)) as Watched).certificate);
  }

  /** The certificate in use, or undefined for files that are not watched. */
  get(paths: CertificatePaths): Certificate | undefined {
    return this.#watched.get(keyOf(paths))?.certificate;
  }

  /** Looks at all files now; true when a certificate has been replaced. */
  recheck(): boolean {
    let changed = false;
    for (const watched of this.#watched.values()) changed = this.#refresh(watched) || changed;
    return changed;
  }

  close(): void {
    this.#timer.stop();
    this.#watched.clear();
  }

  #read(paths: CertificatePaths): Watched {
    const identity = identityOf(paths);
    const certificate = loadFiles(paths);
    this.#warn(certificate);
    return { paths, certificate, identity };
  }

  #refresh(watched: Watched): boolean {
    const { log } = this.#options;
    const identity = identityOf(watched.paths);
    if (identity === watched.identity) return false;
    watched.identity = identity;
    const before = watched.certificate;
    try {
      watched.certificate = loadFiles(watched.paths);
    } catch (error) {
      // Often the key has been written and the certificate not yet: the next change is looked at again.
      log.warn("a certificate was changed but cannot be used; the one from before stays", {
        certificate: watched.paths.certificate,
        reason: (error as Error).message,
      });
      return false;
    }
    const { certificatePem, keyPem, names, notAfterMs } = watched.certificate;
    if (certificatePem === before.certificatePem && keyPem === before.keyPem) return false;
    this.#warn(watched.certificate);
    log.info("a certificate was reloaded", {
      certificate: watched.paths.certificate,
      names: names.join(" "),
      expires: new Date(notAfterMs).toISOString(),
    });
    return true;
  }

  #warn(certificate: Certificate): void {
    for (const { message } of certificateWarnings(certificate, this.#options.clock.wallNow()))
      this.#options.log.warn(message);
  }
}

/** Reads one pair. Throws an EvenkeelError placed at `certificate` or `key` that names the file. */
export function loadFiles({ certificate, key, passphrase }: CertificatePaths): Certificate {
  return loadCertificate({
    certificatePem: at(["certificate"], () => readPemFile(certificate)),
    keyPem: at(["key"], () => readPemFile(key)),
    certificateFrom: certificate,
    keyFrom: key,
    ...(passphrase !== undefined && { passphrase }),
  });
}

/** A file of authorities, revocation lists, certificates or keys. Throws an EvenkeelError that says why it cannot be read. */
export function readPemFile(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > LARGEST_FILE) throw new EvenkeelError(`${path}: ${size} bytes; a PEM file here has 1 MiB at most`);
    return readFileSync(path, "latin1");
  } catch (error) {
    if (error instanceof EvenkeelError) throw error;
    throw new EvenkeelError(`${path}: ${explain(path, (error as { code?: string }).code)}`);
  }
}

function explain(path: string, code: string | undefined): string {
  // Often what is wrong is not the path but where it is taken from.
  const from = isAbsolute(path) ? "" : ` in ${process.cwd()}, where evenkeel was started`;
  if (code === "ENOENT") return `no such file${from}; give the path of a PEM file`;
  if (code === "EACCES") return "not readable for the user evenkeel runs as; change its owner or mode";
  if (code === "EISDIR") return "a folder; give the path of a PEM file";
  return `cannot be read (${code ?? "unknown reason"})`;
}

/** Differs when a file was written or replaced. A file that is not there is a state as well. */
function identityOf({ certificate, key }: CertificatePaths): string {
  return [certificate, key]
    .map((path) => {
      const stats = statSync(path, { throwIfNoEntry: false, bigint: true });
      return stats === undefined ? "none" : `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
    })
    .join("; ");
}

function keyOf({ certificate, key, passphrase }: CertificatePaths): string {
  return JSON.stringify([certificate, key, passphrase]);
}

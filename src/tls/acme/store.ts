/** Where accounts, keys and certificates are kept between runs: a folder for the owner alone, files written in one piece. */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { EvenkeelError } from "../../base/errors.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

const accountSchema = z.object({ directory: z.string(), url: z.string(), keyPem: z.string() });

/** An account with one authority. */
export type StoredAccount = z.output<typeof accountSchema>;

export class AcmeStore {
  readonly #folder: string;

  /** Makes the folder, or closes it to others when they could look in. Throws an EvenkeelError when that is not possible. */
  constructor(folder: string) {
    this.#folder = folder;
    try {
      for (const path of [folder, join(folder, "accounts"), join(folder, "certificates")]) {
        mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
        if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, FOLDER_MODE);
      }
    } catch (error) {
      throw new EvenkeelError(
        `${folder}: cannot keep ACME accounts and keys there (${(error as Error).message}); make a folder that belongs to evenkeel's user, or set acme.storage`,
      );
    }
  }

  /** The account with the authority at `directory`. Throws an EvenkeelError for a damaged file, which is not overwritten. */
  readAccount(directory: string): StoredAccount | undefined {
    const path = this.#accountPath(directory);
    const text = read(path);
    if (text === undefined) return undefined;
    try {
      return accountSchema.parse(JSON.parse(text));
    } catch {
      throw new EvenkeelError(`${path}: the ACME account is damaged; restore it, or remove it to have a new one made`);
    }
  }

  writeAccount(account: StoredAccount): void {
    write(this.#accountPath(account.directory), `${JSON.stringify(account, undefined, 2)}\n`);
  }

  /** One PEM text with the key and the chain: a pair can then not be torn apart. */
  readCertificate(directory: string, names: readonly string[]): string | undefined {
    return read(this.certificatePath(directory, names));
  }

  writeCertificate(directory: string, names: readonly string[], pem: string): void {
    write(this.certificatePath(directory, names), pem);
  }

  /** By authority and set of names, whatever their order. */
  certificatePath(directory: string, names: readonly string[]): string {
    const sorted = [...names].sort();
    const id = shortHash([directory, ...sorted].join(" "));
    const readable = (sorted[0] ?? "").replaceAll(/[^a-z0-9.-]/g, "_").slice(0, 100);
    return join(this.#folder, "certificates", `${readable}-${id}.pem`);
  }

  #accountPath(directory: string): string {
    return join(this.#folder, "accounts", `${new URL(directory).hostname}-${shortHash(directory)}.json`);
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return undefined;
    throw new EvenkeelError(`${path}: ${(error as Error).message}`);
  }
}

/** Either the old content is there or the new one, also after a power failure; never part of it, never for others to read. */
function write(path: string, content: string): void {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = openSync(temporary, "wx", FILE_MODE);
    try {
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    const folder = openSync(dirname(path), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // It was not made, or has been renamed already.
    }
    throw new EvenkeelError(`${path}: cannot be written: ${(error as Error).message}`);
  }
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

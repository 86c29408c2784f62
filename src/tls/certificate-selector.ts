/** Which certificate a client gets, by the name it asks for (SNI, RFC 6066, section 3). Compiled once; a lookup is two at most. */
import type { Certificate, KeyType } from "./certificate.ts";
import {
  createServerContext,
  type NativeContext,
  type ServerTlsSettings,
  settingsFingerprint,
} from "./secure-context.ts";
import { normalizeHostName } from "./subject-names.ts";

/** For clients that can take several: small and fast first. RSA last, for the oldest. */
const KEY_RANK: Readonly<Record<KeyType, number>> = { ecdsa: 0, ed25519: 1, rsa: 2 };

export interface SelectorOptions {
  /** The first is the default; where two have the same name and kind of key, the earlier one counts. */
  readonly certificates: readonly Certificate[];
  readonly settings: ServerTlsSettings;
  /** Refuse clients that ask for a name no certificate has, or for none. */
  readonly strictSni: boolean;
  /** Contexts that did not change are taken over: clients can resume their sessions over a reload. */
  readonly previous?: CertificateSelector | undefined;
}

export class CertificateSelector {
  /**
   * For clients that send no name (the runtime asks for none then), and the one that a listening socket is made with.
   * With strict SNI it has no certificate, so that a handshake without a name fails.
   */
  readonly defaultContext: NativeContext;
  readonly #fallback: NativeContext | undefined;
  readonly #exact = new Map<string, NativeContext>();
  /** By what stands behind the `*.`. */
  readonly #wildcard = new Map<string, NativeContext>();
  readonly #contexts = new Map<string, NativeContext>();

  /** Throws an EvenkeelError when a context cannot be made. */
  constructor({ certificates, settings, strictSni, previous }: SelectorOptions) {
    const common = settingsFingerprint(settings);
    const contextFor = (chosen: readonly Certificate[]): NativeContext => {
      const key = [common, ...chosen.map(({ fingerprint256 }) => fingerprint256)].join(" ");
      const known = this.#contexts.get(key) ?? previous?.contextOf(key) ?? createServerContext(chosen, settings);
      this.#contexts.set(key, known);
      return known;
    };
    const byName = group(certificates);
    for (const [name, chosen] of byName) {
      if (name.startsWith("*.")) this.#wildcard.set(name.slice(2), contextFor(chosen));
      else this.#exact.set(name, contextFor(chosen));
    }
    const first = certificates[0];
    const standard = first === undefined ? [] : (byName.get(first.names[0] ?? "") ?? [first]);
    this.defaultContext = contextFor(strictSni ? [] : standard);
    this.#fallback = strictSni ? undefined : this.defaultContext;
  }

  /** Exact name, then the wildcard over its parent, then the default; undefined when strict SNI wants a refusal. */
  select(serverName: string): NativeContext | undefined {
    return this.#exact.get(serverName) ?? this.#selectNormalized(normalizeHostName(serverName));
  }

  /** A context by what it was made of: for the selector that comes after this one. */
  contextOf(key: string): NativeContext | undefined {
    return this.#contexts.get(key);
  }

  /** Contexts there are; names share them. */
  get contexts(): number {
    return this.#contexts.size;
  }

  #selectNormalized(name: string): NativeContext | undefined {
    // A wildcard stands for exactly one label (RFC 9525, section 6.3): what is behind the first dot must match.
    return this.#exact.get(name) ?? this.#wildcard.get(name.slice(name.indexOf(".") + 1)) ?? this.#fallback;
  }
}

/** By name: the certificates a client may get, one for each kind of key, the preferred first. */
function group(certificates: readonly Certificate[]): Map<string, Certificate[]> {
  const byName = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    for (const name of certificate.names) {
      const chosen = byName.get(name) ?? [];
      if (chosen.some(({ keyType }) => keyType === certificate.keyType)) continue;
      chosen.push(certificate);
      byName.set(
        name,
        chosen.sort((one, other) => KEY_RANK[one.keyType] - KEY_RANK[other.keyType]),
      );
    }
  }
  return byName;
}

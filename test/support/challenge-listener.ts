import { ACME_TLS_PROTOCOL, type ChallengeTable } from "../../src/tls/acme/challenges.ts";
import { encodeProtocols } from "../../src/tls/secure-context.ts";
import { createSelfSigned } from "../../src/tls/self-signed.ts";

/** Shows the certificate of an open challenge, and nothing else. */
export function challengeListener(table: ChallengeTable, seen: string[]): { port: number; stop(force: boolean): void } {
  const socket = {
    serverName(_data: unknown, name: string) {
      const context = table.tlsContext(name);
      if (context !== undefined) seen.push(`tls-alpn-01 ${name}`);
      return context ?? false;
    },
    data() {},
    error() {},
  };
  const tls = { ...selfSignedTls(), ALPNProtocols: encodeProtocols([ACME_TLS_PROTOCOL]) };
  return Bun.listen({ hostname: "127.0.0.1", port: 0, tls, socket } as never);
}

function selfSignedTls(): { cert: string; key: string } {
  const { certificatePem, keyPem } = createSelfSigned(["unused.test"], Date.now());
  return { cert: certificatePem, key: keyPem };
}

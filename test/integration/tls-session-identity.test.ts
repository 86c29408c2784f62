/**
 * Why there are no sessions by TLS session (docs/guide/sessions.md): what the runtime tells of a session that a client comes
 * back with has, in TLS 1.3, nothing in common with what it told the time before. If a runtime changes that, this fails.
 */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createAuthority, hasOpenssl } from "../support/openssl.ts";

const SECRET_BYTES = 24;

interface Told {
  readonly reused: boolean;
  readonly session: Buffer;
}

interface TellingSocket {
  isSessionReused(): boolean;
  getSession(): Buffer;
  write(text: string): void;
  end(): void;
}

if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  const authority = createAuthority();
  afterAll(() => authority.remove());

  /** What is told of a client that comes and comes back three times, and of a stranger before and one after that. */
  async function tell(version: "-tls1_2" | "-tls1_3"): Promise<Told[]> {
    const told: Told[] = [];
    const { keyPem: key, certificatePem: cert } = authority.issue(`server${version}`, "DNS:localhost");
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      tls: { key, cert },
      socket: {
        data() {},
        handshake(socket) {
          const telling = socket as unknown as TellingSocket;
          told.push({ reused: telling.isSessionReused(), session: Buffer.from(telling.getSession()) });
          // The tickets go out with the first data.
          telling.write("welcome\n");
          telling.end();
        },
      },
    });
    const file = join(authority.folder, `session${version}.pem`);
    for (let time = 0; time < 6; time++) {
      const session = [0, 1, 5].includes(time) ? ["-sess_out", file] : ["-sess_in", file, "-sess_out", file];
      const args = ["s_client", "-connect", `127.0.0.1:${server.port}`, version, ...session, "-ign_eof"];
      await Bun.spawn(["openssl", ...args], { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited;
    }
    server.stop(true);
    return told;
  }

  /** Whether all of them have a piece as long as a secret, which no stranger's has: what is told has the time in it, too. */
  function shareSecret([first, ...others]: readonly Told[], strangers: readonly Told[]): boolean {
    if (first === undefined) return false;
    const pieces = first.session.length - SECRET_BYTES + 1;
    return Array.from({ length: pieces }, (_, at) => first.session.subarray(at, at + SECRET_BYTES)).some(
      (piece) =>
        others.every(({ session }) => session.includes(piece)) &&
        !strangers.some(({ session }) => session.includes(piece)),
    );
  }

  test.each([
    ["-tls1_2", true],
    ["-tls1_3", false],
  ] as const)("%s: something tells that it is the same session: %p", async (version, expected) => {
    const told = await tell(version);
    expect(told.map(({ reused }) => reused)).toEqual([false, false, true, true, true, false]);
    expect(shareSecret(told.slice(1, 5), [told[0] as Told, told[5] as Told])).toBe(expected);
  });
}

/** The first messages of real TLS clients, as they come over the wire. */
import { afterAll, expect, test } from "bun:test";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { MORE } from "../../src/protocols/outcome.ts";
import { type ClientHello, PLAIN_TEXT, parseClientHello } from "../../src/protocols/tls/client-hello.ts";
import { startCapture } from "../support/capture.ts";
import { everySplit, parsed } from "../support/every-split.ts";

const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;
const RECORD_HEADER_BYTES = 5;

const capture = startCapture((bytes) => parseClientHello(bytes, bytes.length) !== MORE);
afterAll(() => capture.stop());

/** The hello that `client` sends to the capture, the same however it is split. */
async function helloOf(client: () => Promise<unknown>): Promise<ClientHello & { readonly bytes: Buffer }> {
  const [bytes] = await Promise.all([capture.next(), client()]);
  return { ...parsed(everySplit(parseClientHello, bytes)), bytes };
}

/** Runs a client, whose connection the capture closes, to its end. */
async function run(...command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  await child.exited;
}

const connectNode = (options: ConnectionOptions) => (): Promise<void> =>
  new Promise((resolve) => {
    const socket = connectTls({ port: capture.port, host: "127.0.0.1", ...options });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });

/** The same message in records of at most `size` bytes. */
function recut(bytes: Buffer, size: number): Buffer {
  const message = bytes.subarray(RECORD_HEADER_BYTES);
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const fragment = message.subarray(at, at + size);
    parts.push(Buffer.from([22, 3, 1, fragment.length >>> 8, fragment.length & 0xff]), fragment);
  }
  return Buffer.concat(parts);
}

if (Bun.which("openssl") === null) console.log("skipped: openssl is not installed");
else {
  const client =
    (...options: string[]) =>
    (): Promise<void> =>
      run("openssl", "s_client", "-connect", `127.0.0.1:${capture.port}`, ...options);

  test("openssl, TLS 1.2 and 1.3", async () => {
    const alpn = ["-alpn", "h2,http/1.1"];
    const old = await helloOf(client("-tls1_2", "-servername", "Old.Example.Test", ...alpn));
    expect(old).toMatchObject({ serverName: "old.example.test", alpn: ["h2", "http/1.1"], legacyVersion: TLS_1_2 });
    expect(old.versions).toEqual([]);
    const current = await helloOf(client("-tls1_3", "-servername", "new.example.test", ...alpn));
    expect(current).toMatchObject({ serverName: "new.example.test", versions: [TLS_1_3], legacyVersion: TLS_1_2 });
    expect(current.length).toBe(current.bytes.length);
    const both = await helloOf(client("-noservername"));
    expect(both).toMatchObject({ serverName: "", alpn: [] });
    expect(both.versions).toContain(TLS_1_3);
    expect(both.versions).toContain(TLS_1_2);
  });

  test("openssl, with a message of several records", async () => {
    const names = Array.from({ length: 8 }, (_, index) => `protocol-${index}-${"x".repeat(200)}`);
    const hello = await helloOf(
      client("-servername", "long.test", "-alpn", names.join(","), "-max_send_frag", "512", "-split_send_frag", "512"),
    );
    expect(hello).toMatchObject({ serverName: "long.test", alpn: names });
    // The first record says that it is not all of it.
    expect(hello.bytes.readUInt16BE(3)).toBe(512);
    expect(hello.length).toBeGreaterThan(3 * 512);
  });
}

test("node:tls of this runtime, and its hello cut into records of any size", async () => {
  const options = { servername: "runtime.test", ALPNProtocols: ["http/1.1", "h2"] };
  const hello = await helloOf(connectNode(options));
  expect(hello).toMatchObject({ serverName: "runtime.test", alpn: ["http/1.1", "h2"] });
  expect(hello.versions).toContain(TLS_1_3);
  for (const size of [2, 3, 4, 63, 500]) {
    const bytes = recut(hello.bytes, size);
    const { serverName, alpn, versions, legacyVersion } = hello;
    const expected = { serverName, alpn, versions, legacyVersion, length: bytes.length };
    expect(parsed(everySplit(parseClientHello, bytes))).toEqual(expected);
  }
  const old = await helloOf(connectNode({ ...options, maxVersion: "TLSv1.2" }));
  expect(old).toMatchObject({ serverName: "runtime.test", legacyVersion: TLS_1_2 });
  expect(old.versions).not.toContain(TLS_1_3);
});

test("fetch of this runtime", async () => {
  const hello = await helloOf(() => fetch(`https://localhost:${capture.port}/`).catch(() => undefined));
  expect(hello.serverName).toBe("localhost");
  expect(hello.alpn).toContain("http/1.1");
  // By its address a server has no name, whatever the client puts there.
  const byAddress = await helloOf(() => fetch(`https://127.0.0.1:${capture.port}/`).catch(() => undefined));
  expect(byAddress.serverName).toBe("");
});

if (Bun.which("node") === null) console.log("skipped: node is not installed");
else {
  test("node:tls of node", async () => {
    const script = `const socket = require("node:tls").connect({ port: ${capture.port}, host: "127.0.0.1",
      servername: "node.test", ALPNProtocols: ["h2"] }); socket.on("error", () => {});`;
    const hello = await helloOf(() => run("node", "-e", script));
    expect(hello).toMatchObject({ serverName: "node.test", alpn: ["h2"] });
    expect(hello.versions).toContain(TLS_1_3);
  });
}

if (Bun.which("curl") === null) console.log("skipped: curl is not installed");
else {
  test("curl, with TLS and in plain text", async () => {
    const resolve = ["--resolve", `Curl.Test:${capture.port}:127.0.0.1`, "--noproxy", "*", "-sk", "--max-time", "10"];
    const hello = await helloOf(() => run("curl", ...resolve, "--http2", `https://Curl.Test:${capture.port}/`));
    expect(hello).toMatchObject({ serverName: "curl.test", alpn: ["h2", "http/1.1"] });
    const [bytes] = await Promise.all([
      capture.next(),
      run("curl", ...resolve, "-X", "PROPFIND", `http://Curl.Test:${capture.port}/`),
    ]);
    expect(everySplit(parseClientHello, bytes)).toBe(PLAIN_TEXT);
  });
}

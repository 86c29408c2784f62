/** PROXY protocol headers that real HAProxy and nginx write, and what they make of those written here. */
import { afterAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { ProxyAddresses, ProxyHeader } from "../../src/protocols/proxy-protocol/header.ts";
import { parseProxyHeader } from "../../src/protocols/proxy-protocol/parse.ts";
import {
  type OutgoingHeader,
  writeProxyHeaderV1,
  writeProxyHeaderV2,
} from "../../src/protocols/proxy-protocol/write.ts";
import { ByteWriter } from "../../src/transport/byte-writer.ts";
import { type Capture, startCapture } from "../support/capture.ts";
import { errorOf, everySplit, parsed } from "../support/every-split.ts";
import { sendRaw } from "../support/raw-client.ts";
import {
  haproxy,
  makeCertificate,
  nginx,
  nginxStreamModule,
  type RealProxy,
  startHaproxy,
  startNginx,
} from "../support/real-proxy.ts";

const BOTH = { v1: true, v2: true };
const PAYLOAD = "the connection's own bytes";
const HOST = "127.0.0.1";
const DEFAULTS = "defaults\n timeout client 30s\n timeout server 30s\n timeout connect 30s\n";
const CLIENT: ProxyAddresses = {
  sourceIp: "192.0.2.7",
  sourcePort: 40_001,
  destinationIp: "198.51.100.9",
  destinationPort: 8_443,
};
const CLIENT_IPV6: ProxyAddresses = { ...CLIENT, sourceIp: "2001:db8::7", destinationIp: "2001:db8:0:1::9" };

const opened: { stop(): void | Promise<void> }[] = [];
afterAll(async () => {
  for (const one of opened) await one.stop();
});

function keep<Kind extends { stop(): void | Promise<void> }>(one: Kind): Kind {
  opened.push(one);
  return one;
}

const startPayloadCapture = (): Capture => keep(startCapture((bytes) => bytes.includes(PAYLOAD)));

/** The header in front of the payload, the same however it is split. */
function headerOf(bytes: Buffer): ProxyHeader {
  const header = parsed(everySplit((beginning, end) => parseProxyHeader(beginning, end, BOTH), bytes.subarray(0, -1)));
  expect(bytes.toString("latin1", header.length)).toBe(PAYLOAD);
  return header;
}

function sendPayload(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", () => {});
    socket.on("connect", () => {
      const port = socket.localPort as number;
      socket.write(PAYLOAD, () => resolve(port));
    });
  });
}

/** Sends the payload to `port` over TCP and gives back what came out behind, with the addresses it should tell. */
async function through(port: number, capture: Capture): Promise<{ header: ProxyHeader; addresses: ProxyAddresses }> {
  const socket = connect(port, HOST);
  const sourcePort = await sendPayload(socket);
  const header = headerOf(await capture.next());
  socket.destroy();
  return { header, addresses: { sourceIp: HOST, sourcePort, destinationIp: HOST, destinationPort: port } };
}

function bytesOf(write: (writer: ByteWriter) => boolean): Buffer {
  const writer = new ByteWriter(16);
  expect(write(writer)).toBe(true);
  return Buffer.from(writer.bytes.subarray(0, writer.length));
}

const version1 = (addresses: ProxyAddresses | undefined): Buffer =>
  bytesOf((writer) => writeProxyHeaderV1(writer, addresses));
const version2 = (header: OutgoingHeader): Buffer => bytesOf((writer) => writeProxyHeaderV2(writer, header));

/** What the proxy at `port` answers to a request behind `header`; "" when it closes without an answer. */
async function answerTo(port: number, header: Buffer): Promise<string> {
  const request = Buffer.from("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  const { text } = await sendRaw(port, Buffer.concat([header, request]));
  const end = text.indexOf("\r\n\r\n");
  return /^HTTP\/1.1 200 /.test(text) ? text.slice(end + 4).trim() : "";
}

if (haproxy === null) console.log("skipped: haproxy is not installed");
else {
  test("what HAProxy sends, in versions 1 and 2", async () => {
    const capture = startPayloadCapture();
    const proxy = keep(
      startHaproxy([HOST, HOST, HOST], (binds) => {
        const options = ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"];
        const parts = options.map(
          (option, index) =>
            `listen l${index}\n mode tcp\n bind ${binds[index]}\n unique-id-format id-%cp\n server s ${HOST}:${capture.port} ${option}\n`,
        );
        return DEFAULTS + parts.join("");
      }),
    );
    const [plain, binary, full] = proxy.ports as [number, number, number];
    const first = await through(plain, capture);
    expect(first.header).toMatchObject({ version: 1, family: "ipv4", addresses: first.addresses });
    const second = await through(binary, capture);
    expect(second.header).toMatchObject({ version: 2, command: "proxy", transport: "stream", length: 28 });
    expect(second.header.addresses).toEqual(second.addresses);
    const third = await through(full, capture);
    expect(third.header.addresses).toEqual(third.addresses);
    expect(third.header.uniqueId?.toString()).toBe(`id-${third.addresses.sourcePort}`);
    expect(new Set(third.header.tlvs.map(({ type }) => type))).toEqual(new Set([3, 5]));
  });

  test("what HAProxy sends of TLS connections, and to check health", async () => {
    const capture = startPayloadCapture();
    const checks = keep(startCapture((bytes) => bytes.length >= 16));
    let hasCertificate = false;
    const proxy = keep(
      startHaproxy([HOST], ([bind], folder) => {
        const file = join(folder, "server.pem");
        hasCertificate = makeCertificate(file, "name.test");
        const tls = hasCertificate ? `ssl crt ${file} alpn h2,http/1.1` : "";
        const options = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c";
        return `${DEFAULTS}listen tls\n mode tcp\n bind ${bind} ${tls}
 server s ${HOST}:${capture.port} send-proxy-v2 proxy-v2-options ${options}
backend checked\n mode tcp\n server s ${HOST}:${checks.port} check inter 100 send-proxy-v2 check-send-proxy\n`;
      }),
    );
    const bytes = await checks.next();
    expect(parseProxyHeader(bytes, bytes.length, BOTH)).toMatchObject({ command: "local", addresses: undefined });
    if (!hasCertificate) {
      console.log("skipped: no certificate without openssl");
      return;
    }
    const socket = connectTls({
      port: proxy.ports[0] as number,
      host: HOST,
      servername: "name.test",
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: false,
      minVersion: "TLSv1.3",
    });
    socket.on("error", () => {});
    socket.on("secureConnect", () => socket.write(PAYLOAD));
    const header = headerOf(await capture.next());
    socket.destroy();
    expect(header).toMatchObject({ alpn: "http/1.1", authority: "name.test" });
    expect(header.addresses?.destinationPort).toBe(proxy.ports[0] as number);
    expect(header.ssl).toMatchObject({
      overTls: true,
      certificateOnConnection: false,
      version: "TLSv1.3",
      signatureAlgorithm: "RSA-SHA256",
      keyAlgorithm: "RSA2048",
    });
    expect(header.ssl?.cipher).toStartWith("TLS_");
    // Passed on, all of it is still there.
    const again = version2({ addresses: CLIENT, received: header.tlvs, checksum: true });
    expect(parsed(parseProxyHeader(again, again.length, BOTH))).toMatchObject({
      alpn: header.alpn,
      authority: header.authority,
      ssl: header.ssl,
    });
  });

  test("HAProxy believes what is written here", async () => {
    const proxy: RealProxy = keep(
      startHaproxy([HOST], ([bind]) => {
        const answer = "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]";
        return `${DEFAULTS}frontend f\n mode http\n bind ${bind} accept-proxy
 http-request return status 200 content-type text/plain lf-string "${answer}"\n`;
      }),
    );
    const port = proxy.ports[0] as number;
    const text = ({ sourceIp, sourcePort, destinationIp, destinationPort }: ProxyAddresses): string =>
      `${sourceIp} ${sourcePort} ${destinationIp} ${destinationPort}`;
    for (const addresses of [CLIENT, CLIENT_IPV6]) {
      expect(await answerTo(port, version1(addresses))).toBe(`${text(addresses)}`);
      expect(await answerTo(port, version2({ addresses }))).toBe(`${text(addresses)}`);
    }
    const everything: OutgoingHeader = {
      addresses: CLIENT_IPV6,
      authority: "name.test",
      uniqueId: Buffer.from("unique-7"),
      alpn: "h2",
      checksum: true,
      received: [{ type: 0xe0, value: Buffer.from("custom") }],
    };
    expect(await answerTo(port, version2(everything))).toBe(`${text(CLIENT_IPV6)} name.test unique-7`);
    expect(await answerTo(port, version1(undefined))).toStartWith(`${HOST} `);
    expect(await answerTo(port, version2({ addresses: undefined }))).toStartWith(`${HOST} `);
    const mixed = { ...CLIENT, destinationIp: "2001:db8::9" };
    expect(await answerTo(port, version1(mixed))).toStartWith("::ffff:192.0.2.7 40001 2001:db8::9 ");
    expect(await answerTo(port, version2({ addresses: mixed }))).toStartWith("::ffff:192.0.2.7 40001 2001:db8::9 ");
  });

  test("HAProxy and we refuse the same headers", async () => {
    const proxy = keep(
      startHaproxy(
        [HOST],
        ([bind]) => `${DEFAULTS}frontend f\n mode http\n bind ${bind} accept-proxy\n http-request return status 200\n`,
      ),
    );
    const good = version2({ addresses: CLIENT, authority: "a.test", uniqueId: Buffer.from("id"), checksum: true });
    const change = (at: number, byte: number): Buffer => Buffer.from(good).fill(byte, at, at + 1);
    const refused: Buffer[] = [
      change(good.length - 1, (good.at(-1) as number) ^ 1),
      change(12, 0x31),
      change(12, 0x22),
      change(30, 0xff),
      Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.9 65536 1\r\n"),
      Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.9 1\r\n"),
      Buffer.from("PROXY TCP4 192.0.2.256 198.51.100.9 1 2\r\n"),
      Buffer.from("PROXY TCP7 192.0.2.7 198.51.100.9 1 2\r\n"),
      Buffer.from("proxy TCP4 192.0.2.7 198.51.100.9 1 2\r\n"),
      Buffer.from(`PROXY UNKNOWN ${"x".repeat(200)}\r\n`),
      Buffer.alloc(0),
    ];
    for (const bytes of refused) {
      const whole = Buffer.concat([bytes, Buffer.from("GET / HTTP/1.1\r\n\r\n")]);
      const error = errorOf(parseProxyHeader(whole, whole.length, BOTH));
      expect([bytes.toString("latin1"), error === "parsed" || error === "more"]).toEqual([
        bytes.toString("latin1"),
        false,
      ]);
      expect(await answerTo(proxy.ports[0] as number, bytes)).toBe("");
    }
  });
}

if (nginx === null) console.log("skipped: nginx is not installed");
else {
  test("nginx believes what is written here", async () => {
    const variables = ["addr", "port", "server_addr", "server_port"].map((name) => `$proxy_protocol_${name}`);
    const proxy = keep(
      startNginx(
        [HOST],
        ([port]) => `events {} http { access_log off; server { listen ${HOST}:${port} proxy_protocol;
 location / { return 200 "${variables.join(" ")}"; } } }`,
      ),
    );
    const port = proxy.ports[0] as number;
    for (const addresses of [CLIENT, CLIENT_IPV6]) {
      const { sourceIp, sourcePort, destinationIp, destinationPort } = addresses;
      const expected = `${sourceIp} ${sourcePort} ${destinationIp} ${destinationPort}`;
      const everything = { addresses, authority: "name.test", alpn: "h2", checksum: true };
      expect(await answerTo(port, version1(addresses))).toBe(expected);
      expect(await answerTo(port, version2({ addresses }))).toBe(expected);
      expect(await answerTo(port, version2(everything))).toBe(expected);
    }
    expect(await answerTo(port, Buffer.alloc(0))).toBe("");
  });
}

if (nginx === null || nginxStreamModule === undefined) console.log("skipped: nginx has no stream module");
else {
  test("what nginx sends", async () => {
    const capture = startPayloadCapture();
    const proxy = keep(
      startNginx(
        [HOST],
        ([port]) => `load_module ${nginxStreamModule}; events {} stream {
 server { listen ${HOST}:${port}; proxy_pass ${HOST}:${capture.port}; proxy_protocol on; } }`,
      ),
    );
    const { header, addresses } = await through(proxy.ports[0] as number, capture);
    expect(header).toMatchObject({ version: 1, family: "ipv4", transport: "stream", addresses });
  });
}

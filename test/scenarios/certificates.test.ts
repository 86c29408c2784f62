/** Certificate files that change under a running program with several workers: nobody is disturbed, and nobody has to reload. */
import { afterEach, expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSelfSigned } from "../../src/tls/self-signed.ts";
import { startEvenkeel } from "../support/evenkeel.ts";
import { endAll, eventually, freePort, temporaryFolder } from "../support/process.ts";
import { tlsClient } from "../support/tls-client.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

afterEach(endAll);

test("a certificate that is replaced reaches all workers; a broken one reaches none", async () => {
  const folder = temporaryFolder();
  const [certificate, key] = [join(folder, "site.pem"), join(folder, "site.key")];
  const put = (path: string, text: string): void => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  const issue = (name: string): void => {
    const pair = createSelfSigned([name], Date.now());
    put(key, pair.keyPem);
    put(certificate, pair.certificatePem);
  };
  issue("one.test");
  const port = await freePort();
  const evenkeel = await startEvenkeel({
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, tls: { certificates: [{ certificate, key }] } } },
    routes: [{ respond: { body: "ok" } }],
  });
  const names = async (): Promise<Set<string>> => {
    const seen = new Set<string>();
    for (let connection = 0; connection < 10; connection++) {
      const client = await tlsClient(port);
      seen.add(client.certificateNames());
      client.end();
    }
    return seen;
  };
  const open = await tlsClient(port);
  expect(await names()).toEqual(new Set(["DNS:one.test"]));

  issue("two.test");
  await evenkeel.says("a certificate was reloaded");
  await eventually(async () => (await names()).has("DNS:two.test"), "the new certificate");
  expect(await names()).toEqual(new Set(["DNS:two.test"]));
  open.write(REQUEST);
  await open.until(() => open.text().endsWith("ok"));
  expect(open.text()).toStartWith("HTTP/1.1 200 ");

  put(certificate, "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n");
  await evenkeel.says("a certificate was changed but cannot be used");
  expect(await names()).toEqual(new Set(["DNS:two.test"]));
  open.destroy();
  expect(evenkeel.count("a worker ended")).toBe(0);
}, 60_000);

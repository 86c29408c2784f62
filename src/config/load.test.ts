import { expect, test } from "bun:test";
import { checkConfig } from "./load.ts";
import { parseSource, type Source } from "./source.ts";

test("what is found wrong later has its place in the file, and nothing that came from outside", () => {
  const text = `listeners:
  web:
    address: ":8443"
    tls:
      certificates:
        - certificate: site.pem
          key: "\${KEY_FILE}"
`;
  const environment = { KEY_FILE: "/secret/site.key" };
  const loaded = checkConfig(parseSource("evenkeel.yaml", text) as Source, environment);
  if (!loaded.ok) throw new Error("expected a good configuration");
  const certificate = ["listeners", "web", "tls", "certificates", 0];
  expect(loaded.problemAt("error", [...certificate, "certificate"], "site.pem: no such file")).toEqual({
    severity: "error",
    file: "evenkeel.yaml",
    line: 6,
    column: 24,
    path: "listeners.web.tls.certificates[0].certificate",
    message: "site.pem: no such file",
  });
  expect(loaded.problemAt("error", [...certificate, "key"], "/secret/site.key: no such file")).toMatchObject({
    line: 7,
    message: `\${KEY_FILE}: no such file`,
  });
  expect(loaded.problemAt("error", [...certificate, "key"], "no such file").message).toBe(
    `no such file (the value is from \${KEY_FILE})`,
  );
});

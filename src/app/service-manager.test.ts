import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sendDatagram } from "../transport/unix-datagram.ts";
import { ServiceManager } from "./service-manager.ts";

/** Prints each datagram as one line of JSON: neither Bun nor Node can receive them. */
const RECEIVER = `
import json, socket, sys
for path in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind("\\0" + path[1:] if path[0] == "@" else path)
    print("listening", flush=True)
    while True:
        text = s.recv(4096).decode()
        if text == "end": break
        print(json.dumps(text), flush=True)
`;

const folder = mkdtempSync(join(tmpdir(), "evenkeel-notify-"));
const path = join(folder, "socket");
const abstract = `@evenkeel-test-${process.pid}`;
const hasPython = Bun.which("python3") !== null;
if (!hasPython) console.log("skipped: python3 not installed");

afterAll(() => rmSync(folder, { recursive: true, force: true }));

if (hasPython)
  describe("the service manager is told", () => {
    let lines: AsyncIterator<string>;
    let receiver: Bun.Subprocess<"ignore", "pipe", "inherit">;
    beforeAll(() => {
      receiver = Bun.spawn(["python3", "-c", RECEIVER, path, abstract], { stdout: "pipe", stdin: "ignore" });
      lines = linesOf(receiver.stdout);
    });
    afterAll(() => receiver.kill("SIGKILL"));
    const next = async (): Promise<string> => (await lines.next()).value as string;

    test("of a start, a reload, a stop and a successor", async () => {
      expect(await next()).toBe("listening");
      const manager = new ServiceManager({ NOTIFY_SOCKET: path });
      manager.ready();
      expect(JSON.parse(await next())).toBe("READY=1\n");
      manager.reloading();
      expect(JSON.parse(await next())).toMatch(/^RELOADING=1\nMONOTONIC_USEC=\d+\n$/);
      manager.stopping();
      expect(JSON.parse(await next())).toBe("STOPPING=1\n");
      manager.replacedBy(1234);
      expect(JSON.parse(await next())).toBe("MAINPID=1234\nREADY=1\n");
      expect(sendDatagram(path, "end")).toBe(true);
    });

    test("on an abstract socket, too", async () => {
      expect(await next()).toBe("listening");
      new ServiceManager({ NOTIFY_SOCKET: abstract }).ready();
      expect(JSON.parse(await next())).toBe("READY=1\n");
    });
  });

test("nobody is told when nobody listens", () => {
  new ServiceManager({}).ready();
  new ServiceManager({ NOTIFY_SOCKET: join(folder, "none") }).ready();
  expect(sendDatagram(join(folder, "none"), "x")).toBe(false);
  expect(sendDatagram("", "x")).toBe(false);
  expect(sendDatagram("/x".repeat(80), "x")).toBe(false);
});

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const bytes of stream) {
    const parts = (rest + Buffer.from(bytes).toString()).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

/** TLS sessions over several workers: a client is led to the worker that knows it, also after a reload and a restart. */
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { endAll, eventually, freePort, havePrograms, temporaryFolder } from "../support/process.ts";

const CLIENTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
const RETURNS = 6;

if (havePrograms("openssl")) {
  describe("clients that come back", () => {
    afterEach(endAll);

    interface Setting {
      readonly evenkeel: Evenkeel;
      readonly config: (steering: "auto" | "on" | "off", body?: string) => ConfigInput;
      /** One handshake; whether a session was taken up again. */
      come(client: string, first: boolean): Promise<boolean>;
      /** Of all that come back, how many did not need a whole handshake. */
      resumed(): Promise<number>;
    }

    async function start(steering: "auto" | "on" | "off"): Promise<Setting> {
      const port = await freePort();
      const folder = temporaryFolder();
      const config: Setting["config"] = (mode, body = "ok") => ({
        workers: 3,
        listeners: {
          web: { address: `127.0.0.1:${port}`, tls: { certificates: [{ selfSigned: {} }], steering: mode } },
        },
        routes: [{ respond: { body } }],
      });
      const evenkeel = await startEvenkeel(config(steering));
      const come = (client: string, first: boolean): Promise<boolean> =>
        handshake(port, client, join(folder, client), first);
      const resumed = async (): Promise<number> => {
        let count = 0;
        for (const client of CLIENTS) {
          await come(client, true);
          for (let time = 0; time < RETURNS; time++) count += (await come(client, false)) ? 1 : 0;
        }
        return count;
      };
      return { evenkeel, config, come, resumed };
    }

    test("find their session, over reloads as well; a worker that was replaced knows nobody", async () => {
      const { evenkeel, config, come, resumed } = await start("on");
      expect(await resumed()).toBe(CLIENTS.length * RETURNS);
      expect(await evenkeel.reload(config("on", "changed"))).toBe(true);
      for (const client of CLIENTS) expect(await come(client, false)).toBe(true);

      const workers = evenkeel.workers();
      for (const worker of workers) process.kill(worker, "SIGKILL");
      await eventually(
        () => evenkeel.workers().length === 3 && evenkeel.workers().every((pid) => !workers.includes(pid)),
        "new workers",
      );
      for (const client of CLIENTS) {
        expect(await come(client, false)).toBe(false);
        expect(await come(client, true)).toBe(false);
        expect(await come(client, false)).toBe(true);
      }
      const metrics = await evenkeel.metrics();
      expect(metrics.sum("evenkeel_listener_tls_handshakes_total", 'result="resumed"')).toBeGreaterThanOrEqual(
        CLIENTS.length * (RETURNS + 2),
      );
    }, 60_000);

    test("are spread when they are not led, and led once the configuration says so", async () => {
      const { evenkeel, config, resumed } = await start("auto");
      // On loopback `auto` leaves it to the kernel: one in three finds its worker.
      const found = await resumed();
      console.log(`of ${CLIENTS.length * RETURNS} clients that come back, ${found} find their worker when not led`);
      expect(found).toBeLessThan(CLIENTS.length * RETURNS);
      expect(await evenkeel.reload(config("on"))).toBe(true);
      expect(await resumed()).toBe(CLIENTS.length * RETURNS);
      expect(await evenkeel.reload(config("off"))).toBe(true);
      expect(await resumed()).toBeLessThan(CLIENTS.length * RETURNS);
    }, 60_000);
  });
}

async function handshake(port: number, client: string, file: string, first: boolean): Promise<boolean> {
  const session = first ? ["-sess_out", file] : ["-sess_in", file];
  const args = ["-connect", `127.0.0.1:${port}`, "-bind", `${client}:0`, "-servername", "localhost", ...session];
  const process = Bun.spawn(["openssl", "s_client", ...args, "-ign_eof"], {
    stdin: new Blob(["GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]),
    stdout: "pipe",
    stderr: "ignore",
  });
  const output = await new Response(process.stdout).text();
  await process.exited;
  const state = /^(New|Reused), TLSv1/m.exec(output)?.[1];
  if (state === undefined) throw new Error(`no handshake: ${output}`);
  return state === "Reused";
}

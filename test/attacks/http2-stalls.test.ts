/** HTTP/2 clients that are slow, greedy or gone: each ends by our limits, costs bounded memory, and disturbs nobody. */
import { expect, test } from "bun:test";
import type { Socket } from "node:net";
import {
  ALL,
  data,
  END,
  FRAME,
  FrameClient,
  GET,
  H2_ERROR,
  headers,
  type Pair,
  POST,
  PREFACE,
  rstStream,
  SETTING,
  settings,
  windowUpdate,
} from "../support/http2-client.ts";
import { expectServed, MIB, netEndpoint, SHORT, serve, until, writeMuch } from "./harness.ts";

const LARGE: readonly Pair[] = [...GET.slice(0, 3), [":path", "/large"]];
const HEAD: readonly Pair[] = [[":method", "HEAD"], ...GET.slice(1)];
const STUCK: readonly Pair[] = [...POST.slice(0, 3), [":path", "/stuck"]];
const NO_LIMIT = { routes: [{ match: {}, pool: "app", maxBodySize: "0B" }] };
const NO_WINDOW = Buffer.concat([PREFACE, settings([SETTING.initialWindowSize, 0])]);

/** /large is 100 MiB, /stuck reads nothing and answers nothing, all else is answered `ok` once it is there as a whole. */
async function endpointOf(seen: { asked: number; written: number }): Promise<{ address: string }> {
  return await netEndpoint((socket: Socket) => {
    let rest = "";
    socket.on("data", (bytes) => {
      rest += bytes.toString("latin1");
      for (let request = whole(rest); request !== undefined; request = whole(rest)) {
        rest = rest.slice(request.length);
        seen.asked++;
        if (request.includes(" /large ")) {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${100 * MIB}\r\n\r\n`);
          writeMuch(socket, 100 * MIB);
          socket.on("drain", () => {
            seen.written = socket.bytesWritten;
          });
        } else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${request.startsWith("HEAD") ? "" : "ok"}`);
      }
      if (rest.includes(" /stuck ")) socket.pause();
    });
  });
}

function whole(text: string): string | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, end))?.[1] ?? 0);
  if (!/^transfer-encoding/im.test(text.slice(0, end)))
    return text.length < end + 4 + length ? undefined : text.slice(0, end + 4 + length);
  const last = text.indexOf("0\r\n\r\n", end + 2);
  return last < 0 ? undefined : text.slice(0, last + 5);
}

test("a download without a window ends at the write timeout, and its connection goes on", async () => {
  const seen = { asked: 0, written: 0 };
  const balancer = serve((await endpointOf(seen)).address, { timeouts: SHORT });
  const client = await FrameClient.open(balancer.port, { hello: NO_WINDOW, keepWindowsOpen: false });
  client.send(...Array.from({ length: 10 }, (_, index) => headers(1 + 2 * index, LARGE)));
  expect(await until(() => balancer.inFlight() === 10)).toBe(true);
  for (let probe = 0; probe < 5; probe++) await expectServed(balancer.port);
  expect(await until(() => balancer.inFlight() === 0)).toBe(true);
  await client.until(() => [1, 3, 5, 7, 9, 11, 13, 15, 17, 19].every((id) => client.isDone(id)));
  expect([...client.answers.values()].map(({ reset, received }) => [reset, received])).toEqual(
    Array.from({ length: 10 }, () => [H2_ERROR.cancel, 0]),
  );
  expect(seen.written).toBeLessThan(10 * 16 * MIB);
  client.send(headers(51, HEAD));
  await client.until(() => client.isDone(51));
  expect(client.answer(51).status).toBe(200);
});

test("the window of the whole connection used up: the same", async () => {
  const balancer = serve((await endpointOf({ asked: 0, written: 0 })).address, { timeouts: SHORT });
  const client = await FrameClient.open(balancer.port, { keepWindowsOpen: false });
  client.send(headers(1, LARGE), headers(3, LARGE), windowUpdate(1, 100 * MIB), windowUpdate(3, 100 * MIB));
  await client.until(() => client.isDone(1) && client.isDone(3));
  expect([client.answer(1).reset, client.answer(3).reset]).toEqual([H2_ERROR.cancel, H2_ERROR.cancel]);
  expect(client.answer(1).received + client.answer(3).received).toBe(65_535);
  expect(balancer.inFlight()).toBe(0);
});

test("windows that are opened byte by byte on 100 streams end in ENHANCE_YOUR_CALM, others unharmed", async () => {
  const balancer = serve((await endpointOf({ asked: 0, written: 0 })).address);
  const client = await FrameClient.open(balancer.port, { hello: NO_WINDOW, keepWindowsOpen: false, dropBodies: true });
  const streams = Array.from({ length: 100 }, (_, index) => 1 + 2 * index);
  client.send(...streams.map((id) => headers(id, LARGE)));
  for (let round = 0; round < 50 && !client.isOver; round++) {
    client.send(...streams.map((id) => windowUpdate(id, 1)));
    await expectServed(balancer.port);
  }
  await client.until(() => client.isOver);
  expect(client.goaway?.code).toBe(H2_ERROR.enhanceYourCalm);
});

test("answers without a body do not pile up before a client that reads nothing", async () => {
  const seen = { asked: 0, written: 0 };
  const large = `x-large: ${"v".repeat(4_000)}\r\n`;
  const endpoint = await netEndpoint((socket) => {
    socket.on("data", (bytes) => {
      const count = bytes.toString("latin1").split("\r\n\r\n").length - 1;
      seen.asked += count;
      socket.write(`HTTP/1.1 204 No Content\r\n${large}\r\n`.repeat(count));
    });
  });
  const balancer = serve(endpoint.address, { timeouts: { ...SHORT, write: "1s" } });
  const client = await FrameClient.open(balancer.port);
  await client.until(() => client.frames.length > 0);
  client.socket.pause();
  let sent = 0;
  const more = setInterval(() => {
    if (client.socket.writableLength > 65_536) return;
    client.send(...Array.from({ length: 60 }, (_, index) => headers(1 + 2 * (sent + index), HEAD)));
    sent += 60;
  }, 2);
  expect(await until(() => balancer.openConnections() === 0)).toBe(true);
  clearInterval(more);
  // 4 KB for each: what the kernel takes, and what was under way.
  expect(seen.asked).toBeLessThan(4_000);
  expect(balancer.inFlight()).toBe(0);
});

test("a client that reads nothing of large answers: back-pressure reaches the endpoint", async () => {
  const seen = { asked: 0, written: 0 };
  const balancer = serve((await endpointOf(seen)).address, { timeouts: SHORT });
  const hello = Buffer.concat([
    PREFACE,
    settings([SETTING.initialWindowSize, 2 ** 31 - 1]),
    windowUpdate(0, 2 ** 31 - 65_536),
  ]);
  const client = await FrameClient.open(balancer.port, { hello, keepWindowsOpen: false });
  client.socket.pause();
  client.send(headers(1, LARGE));
  expect(await until(() => balancer.inFlight() === 1)).toBe(true);
  expect(await until(() => balancer.openConnections() === 0)).toBe(true);
  expect(seen.written).toBeLessThan(32 * MIB);
});

test("an upload that stops gets 408 at the body timeout, and its connection goes on", async () => {
  const balancer = serve((await endpointOf({ asked: 0, written: 0 })).address, { timeouts: { ...SHORT, idle: "5s" } });
  const client = await FrameClient.open(balancer.port);
  client.send(headers(1, POST, ALL), data(1, "some"), headers(3, [...POST, ["content-length", "9"]], ALL));
  await client.until(() => client.answer(1).status > 0 && client.answer(3).status > 0);
  expect([client.answer(1).status, client.answer(3).status, client.goaway]).toEqual([408, 408, undefined]);
  expect(balancer.inFlight()).toBe(0);
  client.send(headers(5, GET));
  await client.until(() => client.isDone(5));
  expect(client.answer(5).status).toBe(200);
});

test("an endpoint that takes nothing holds up its upload only, and gives the window back when that is cancelled", async () => {
  const balancer = serve((await endpointOf({ asked: 0, written: 0 })).address, {}, NO_LIMIT);
  const client = await FrameClient.open(balancer.port);
  const piece = Buffer.alloc(16_384, "x");
  let stuck = 0;
  // Each round may leave at most one stream's window unread.
  for (let round = 0; round < 8; round++) {
    const id = 1 + 2 * round;
    let window = 262_144;
    let credited = 0;
    client.send(headers(id, STUCK, ALL));
    for (let sent = 0; sent < 400; sent++) {
      const given = client.windows.get(id) ?? 0;
      window += given - credited;
      credited = given;
      if (window < piece.length) {
        await Bun.sleep(5);
        if ((client.windows.get(id) ?? 0) > credited) continue;
        stuck++;
        break;
      }
      client.send(data(id, piece));
      window -= piece.length;
      if (sent % 8 === 0) await Bun.sleep(1);
    }
    client.send(rstStream(id, H2_ERROR.cancel));
  }
  expect(stuck).toBe(8);
  expect(await until(() => balancer.inFlight() === 0)).toBe(true);
  client.send(headers(101, POST, ALL));
  for (let sent = 0; sent < 10; sent++) client.send(data(101, piece));
  client.send(data(101, "", END));
  await client.until(() => client.isDone(101));
  expect([client.answer(101).status, client.goaway]).toEqual([200, undefined]);
}, 20_000);

test("requests on their way when the connection is told to end are answered; later ones are refused", async () => {
  const balancer = serve(
    (await endpointOf({ asked: 0, written: 0 })).address,
    { timeouts: { ...SHORT, body: "5s" } },
    NO_LIMIT,
  );
  const client = await FrameClient.open(balancer.port);
  client.send(headers(1, POST, ALL));
  expect(await until(() => balancer.inFlight() === 1)).toBe(true);
  balancer.dataPath.drain(false);
  await client.until(() => client.goaway !== undefined);
  expect(client.goaway).toEqual({ last: 2 ** 31 - 1, code: 0, text: "" });
  client.send(headers(3, GET));
  await client.until(() => client.isDone(3));
  expect(client.answer(3).status).toBe(200);
  await client.until(() => client.goaway?.last === 3);
  client.send(headers(5, GET), data(1, "x", END));
  await client.until(() => client.isDone(5) && client.isDone(1));
  expect([client.answer(5).reset, client.answer(1).status]).toEqual([H2_ERROR.refusedStream, 200]);
  await client.until(() => client.isOver);
});

test("idle connections end with GOAWAY at the idle timeout, PING or not", async () => {
  const balancer = serve((await endpointOf({ asked: 0, written: 0 })).address, {
    timeouts: { ...SHORT, idle: "300ms" },
  });
  const client = await FrameClient.open(balancer.port);
  client.send(headers(1, GET));
  await client.until(() => client.isOver);
  expect([client.answer(1).status, client.goaway?.code, client.goaway?.last]).toEqual([200, 0, 1]);
  expect(client.frames.at(-1)?.type).toBe(FRAME.goaway);
});

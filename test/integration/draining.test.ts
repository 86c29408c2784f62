/** What clients of HTTP/1.1 see when the process is about to leave: nothing that they were promised is taken back. */
import { afterEach, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { GET, ok, serve, settle, stopAll, use } from "../support/exchange-fixture.ts";
import { type EndpointSocket, response, startRawEndpoint } from "../support/raw-endpoint.ts";
import { eventually, tcpClient } from "../support/tcp.ts";

afterEach(stopAll);

const HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
const CLOSE = "Connection: close\r\n";

/** A client whose first request is with the endpoint, which answers nothing by itself. */
async function startHeld() {
  const clock = new FakeClock();
  const held: EndpointSocket[] = [];
  const endpoint = use(startRawEndpoint((socket, all) => void (all.endsWith("\r\n\r\n") && held.push(socket))));
  const balancer = serve([endpoint.address], {}, {}, clock);
  const client = await tcpClient(balancer.port);
  use({ stop: () => client.socket.destroy() });
  client.socket.write(GET);
  await settle();
  return { clock, balancer, client, answer: (text: string) => held.at(-1)?.write(text) };
}

test("an answer that has begun without `Connection: close` is not followed by the end", async () => {
  const { clock, balancer, client, answer } = await startHeld();
  answer(`${HEAD}ha`);
  await client.until(() => client.text().endsWith("ha"));
  balancer.dataPath.drain(true);
  answer("lf");
  await client.until(() => client.text().endsWith("half"));
  expect(client.text()).not.toContain(CLOSE);
  await settle();
  expect(client.ended()).toBe("");

  client.socket.write(GET);
  await settle();
  answer(response("last"));
  await client.until(() => client.text().endsWith("last"));
  expect(client.text()).toContain(CLOSE);
  client.socket.end();
  await client.closed;
  expect(balancer.openConnections()).toBe(0);
  expect(clock.now()).toBeLessThan(1_000);
});

test("nor does such a connection stay when nothing more comes", async () => {
  const { clock, balancer, client, answer } = await startHeld();
  answer(`${HEAD}ha`);
  await client.until(() => client.text().endsWith("ha"));
  balancer.dataPath.drain(true);
  answer("lf");
  await client.until(() => client.text().endsWith("half"));
  clock.advance(1_500);
  await client.until(() => client.ended() === "end");
});

test.each([
  ["HTTP/1.1", ""],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"],
])("who comes meanwhile and asks for nothing does not stay (%s)", async (_protocol, greeting) => {
  const clock = new FakeClock();
  const balancer = serve([ok().address], {}, {}, clock);
  balancer.dataPath.drain(false);
  const client = await tcpClient(balancer.port);
  use({ stop: () => client.socket.destroy() });
  client.socket.write(greeting, "latin1");
  await settle();
  expect(client.ended()).toBe("");
  clock.advance(1_500);
  await client.until(() => client.ended() === "end");
  client.socket.end();
  await eventually(() => balancer.openConnections() === 0, "the end of all");
});

test("an answer that has not begun says that it is the last", async () => {
  const { balancer, client, answer } = await startHeld();
  balancer.dataPath.drain(true);
  answer(response("only"));
  await client.until(() => client.ended() === "end");
  expect(client.text()).toContain(CLOSE);
  expect(client.text()).toEndWith("only");
});

/** A bug of ours in the middle of an exchange: it is told, that exchange ends, and nothing else suffers or stays. */
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import { ResponseRelay } from "../../src/http/response-relay.ts";
import { reportFaults } from "../../src/transport/faults.ts";
import { EndpointTable } from "../../src/upstreams/endpoint-table.ts";
import { GET, serve, stopAll, use } from "../support/exchange-fixture.ts";
import { startRawEndpoint } from "../support/raw-endpoint.ts";
import { eventually, type TcpClient, tcpClient } from "../support/tcp.ts";

const ANSWER = "\r\n\r\nok";
const told: string[] = [];

beforeEach(() => {
  told.length = 0;
  reportFaults((error) => void told.push(error.message));
});

afterEach(stopAll);

/** Throws at the nth call of a method, that once. */
function failAt(owner: object, method: string, nth: number): void {
  const real = Reflect.get(owner, method) as (...values: unknown[]) => unknown;
  let calls = 0;
  const spy = spyOn(owner as never, method as never).mockImplementation(function (this: unknown, ...values: unknown[]) {
    if (++calls === nth) throw new TypeError("what nobody thought of");
    return real.apply(this, values);
  } as never);
  use({ stop: () => spy.mockRestore() });
}

async function client(port: number): Promise<TcpClient> {
  const opened = await tcpClient(port);
  use({ stop: () => void opened.socket.destroy() });
  return opened;
}

/** Answers in two pieces. */
const inPieces = () =>
  use(
    startRawEndpoint((socket, _all, piece) => {
      if (!piece.endsWith("\r\n\r\n")) return;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
      setTimeout(() => socket.write("k"), 20);
    }),
  );

test.each([
  ["before an endpoint is asked", EndpointTable.prototype, "acquire", 1, "nothing"],
  ["with the head of an answer, which another attempt gets again", ResponseRelay.prototype, "feed", 1, "all"],
  ["in the middle of an answer", ResponseRelay.prototype, "feed", 2, "some"],
] as const)("%s", async (_where, owner, method, nth, received) => {
  const balancer = serve([inPieces().address]);
  const bystander = await client(balancer.port);
  failAt(owner, method, nth);

  const unlucky = await client(balancer.port);
  unlucky.socket.write(GET);
  await unlucky.until(() => unlucky.ended() !== "" || unlucky.text().endsWith(ANSWER));
  expect(unlucky.ended()).toBe(received === "all" ? "" : "reset");
  expect(unlucky.text() === "" ? "nothing" : unlucky.text().endsWith(ANSWER) ? "all" : "some").toBe(received);
  expect(told).toEqual(["what nobody thought of"]);
  unlucky.socket.destroy();

  bystander.socket.write(GET);
  await bystander.until(() => bystander.text().endsWith(ANSWER));
  bystander.socket.destroy();
  await eventually(() => balancer.inFlight() === 0 && balancer.openConnections() === 0, "everything to be given back");
  expect(told).toHaveLength(1);
});

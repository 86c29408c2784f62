/** Tables of what a client sends over HTTP/2, and what must come of it. */
import { expect, test } from "bun:test";
import { expectServed } from "../attacks/harness.ts";
import type { Balancer } from "./balancer.ts";
import { ALL, FrameClient, GET, headers, type Pair, POST } from "./http2-client.ts";

/** A name, and frames behind the preface. */
export type Case = readonly [string, ...Buffer[]];

export class Cases {
  readonly #balancer: () => Balancer;

  constructor(balancer: () => Balancer) {
    this.#balancer = balancer;
  }

  /** The connection ends with GOAWAY. */
  fatal(section: string, code: number, cases: readonly Case[]): void {
    for (const [name, ...send] of cases) {
      test(`${section}: ${name}`, async () => {
        const { port } = this.#balancer();
        const client = await FrameClient.open(port);
        client.send(...send);
        await client.until(() => client.isOver);
        expect(client.goaway?.code).toBe(code);
        await expectServed(port);
      });
    }
  }

  /** Stream 1 is reset, and the connection goes on: stream 11 is answered. */
  reset(section: string, code: number, cases: readonly Case[]): void {
    for (const [name, ...send] of cases) {
      test(`${section}: ${name}`, async () => {
        const client = await FrameClient.open(this.#balancer().port);
        client.send(...send, headers(11, GET));
        await client.until(() => client.isDone(11));
        expect(client.answers.get(1)?.reset).toBe(code);
        expect(client.answers.get(11)?.status).toBe(200);
        expect(client.goaway).toBeUndefined();
        expect(this.#balancer().inFlight()).toBe(0);
      });
    }
  }

  /** Stream 1 is answered all the same. */
  fine(section: string, cases: readonly Case[]): void {
    for (const [name, ...send] of cases) {
      test(`${section}: ${name}`, async () => {
        const client = await FrameClient.open(this.#balancer().port);
        client.send(...send);
        await client.until(() => client.isDone(1));
        expect(client.describe()).toBe("1:200 ended");
      });
    }
  }
}

export const get = headers(1, GET);
export const openPost = headers(1, POST, ALL);
/** Fields behind those of a request, without one of them, and with one replaced. */
export const withFields = (...pairs: readonly Pair[]): Buffer => headers(1, [...GET, ...pairs]);
export const without = (name: string): Pair[] => GET.filter(([key]) => key !== name);
export const replaced = (name: string, value: string): Pair[] =>
  GET.map(([key, before]): Pair => [key, key === name ? value : before]);

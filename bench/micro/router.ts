/** What finding a route costs, with ten routes and with ten thousand: `npx bun bench/micro/router.ts`. */
import type { RequestView } from "../../src/routing/request-view.ts";
import { compileRoutes } from "../../src/routing/router.ts";

const LOOKUPS = 2_000_000;
const ROUNDS = 7;

function view(path: string): RequestView {
  const nothing = (): undefined => undefined;
  return {
    method: "GET",
    scheme: "http",
    host: "example.com",
    path,
    query: "",
    clientIp: "192.0.2.1",
    tls: undefined,
    header: nothing,
    cookie: nothing,
    queryParameter: nothing,
  };
}

for (const count of [10, 100, 1_000, 10_000]) {
  const router = compileRoutes(
    Array.from({ length: count }, (_, index) => ({
      match: { pathPrefix: [`/service-${index}/v1`] },
      priority: 0,
      target: index,
    })),
  );
  const views = Array.from({ length: 64 }, (_, index) => view(`/service-${(index * 7_919) % count}/v1/users/42`));
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let found = 0;
    const started = performance.now();
    for (let lookup = 0; lookup < LOOKUPS; lookup++) found += router.match(views[lookup & 63] as RequestView) as number;
    rounds.push(((performance.now() - started) * 1_000_000) / LOOKUPS);
    if (Number.isNaN(found)) throw new Error("a route was not found");
  }
  rounds.sort((a, b) => a - b);
  console.log(`${String(count).padStart(6)} routes: ${(rounds[ROUNDS >> 1] as number).toFixed(0)} ns`);
}

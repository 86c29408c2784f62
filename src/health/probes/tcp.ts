import type { TcpCheck } from "../schema.ts";
import type { Probe } from "./definition.ts";
import { exchangeBytes } from "./exchange-bytes.ts";

/** Connects; sends and expects text when that is configured. */
export const tcpProbe: Probe<TcpCheck> = (target, config, { timers }) => {
  const { expect } = config;
  return exchangeBytes(
    target,
    config.send ?? "",
    (received, ended) => {
      if (expect === undefined || received.includes(expect)) return {};
      return ended
        ? { failed: `expected ${JSON.stringify(expect)}, got ${JSON.stringify(received.toString("latin1", 0, 80))}` }
        : undefined;
    },
    config.timeout,
    timers,
  );
};

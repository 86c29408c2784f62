import { datagramPools } from "../config/check-connections.ts";
import type { Config } from "../config/schema.ts";
import { type HealthConfig, healthSchema } from "../health/schema.ts";

/**
 * How the endpoints of a pool are checked. Connecting cannot fail for a service that merely answers 404 on /, so it is the
 * safe check when nothing is said.
 */
export function healthCheckOf(config: Config, pool: string): HealthConfig {
  const type = datagramPools(config).has(pool) ? "udp" : "tcp";
  return config.pools[pool]?.health ?? healthSchema.parse({ type });
}

/** What the schema of sessions cannot say: which settings go together. */
import { isStateless, type SessionsConfig } from "./schema.ts";

export interface SessionsFinding {
  readonly severity: "error" | "warning";
  /** Key below `sessions`; "" for all of it. */
  readonly key: string;
  readonly message: string;
}

const INSERT_ONLY = ["maxAge", "path", "domain", "httpOnly", "secure", "sameSite", "private"] as const;

export function checkSessions(config: SessionsConfig): SessionsFinding[] {
  if (config.type !== "cookie") return [];
  const findings: SessionsFinding[] = [];
  const error = (key: string, message: string): void => {
    findings.push({ severity: "error", key, message });
  };
  const { mode, name, secret } = config;
  if (mode !== "insert") {
    if (name === undefined) error("name", `mode ${mode} works on a cookie that the endpoints set: expected its name`);
    for (const key of INSERT_ONLY)
      if (config[key] !== undefined) error(key, `goes with mode insert; with ${mode} the endpoint sets the cookie`);
  }
  if (isStateless(config)) {
    for (const key of ["ttl", "redis"] as const)
      if (config[key] !== undefined) error(key, `goes with mode learn; with ${mode} the client carries all there is`);
    if (secret === undefined) {
      const message = "without a secret one is made at each start: cookies hold neither over a restart nor for another";
      findings.push({ severity: "warning", key: "", message: `${message} balancer` });
    }
  } else if (secret !== undefined) error("secret", "goes with the other modes; learn signs nothing");
  for (const message of prefixProblems(config)) error("name", message);
  if (config.sameSite === "none" && config.secure === false)
    error("sameSite", "browsers take none only with secure: true or auto");
  return findings;
}

/** Browsers refuse cookies whose name promises what their attributes do not keep (RFC 6265bis section 4.1.3). */
function prefixProblems({
  mode,
  name = "",
  secure,
  path = "/",
  domain,
}: SessionsConfig & { type: "cookie" }): string[] {
  if (mode !== "insert" || !/^__(host|secure)-/i.test(name)) return [];
  if (secure !== true) return [`${name} needs secure: true`];
  const isHost = /^__host-/i.test(name);
  return isHost && (path !== "/" || domain !== undefined) ? [`${name} needs path / and no domain`] : [];
}

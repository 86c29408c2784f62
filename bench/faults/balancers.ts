/** The three balancers, set as nearly alike as they allow: the same times, the same retries, the same number of failures that count. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, RunningProgram } from "../../test/support/process.ts";

/** To connect, and for the first byte of an answer; of each try. */
export const TIMEOUT_S = { connect: 1, answer: 2 };
export const RETRIES = 2;
/** Failures in a row, and how long they keep an endpoint out. */
export const FAILURES = 3;
export const OUT_S = 10;

const MAIN = join(import.meta.dir, "..", "..", "src", "cli", "main.ts");

export interface Scene {
  /** For configurations and whatever else they write. */
  readonly folder: string;
  readonly port: number;
  readonly adminPort: number;
  /** Ports of the endpoints on 127.0.0.1. */
  readonly endpoints: readonly number[];
}

export interface Balancer {
  readonly name: string;
  readonly program: string;
  start(scene: Scene): RunningProgram;
}

export const evenkeel: Balancer = {
  name: "evenkeel",
  program: process.execPath,
  start({ folder, port, adminPort, endpoints }) {
    const config = {
      workers: 1,
      listeners: { web: { address: `127.0.0.1:${port}` } },
      routes: [{ pool: "app", timeouts: { response: `${TIMEOUT_S.answer}s` } }],
      pools: {
        app: {
          endpoints: endpoints.map((endpoint) => `127.0.0.1:${endpoint}`),
          balance: "least-connections",
          health: {
            type: "http",
            interval: "1s",
            transitionInterval: "1s",
            timeout: "1s",
            unhealthyAfter: 2,
            healthyAfter: 2,
          },
          connections: { connectTimeout: `${TIMEOUT_S.connect}s` },
          retry: {
            attempts: RETRIES,
            on: ["connect-failure", "refused-stream", "reset", "timeout", "bad-answer", 503],
            // The others have no budget for retries: this one is not to be reached.
            budget: { minimum: 100 },
          },
          outlierDetection: {
            consecutiveServerErrors: FAILURES,
            consecutiveGatewayErrors: FAILURES,
            consecutiveConnectFailures: FAILURES,
            consecutiveTimeouts: FAILURES,
            baseEjection: `${OUT_S}s`,
            ejectionJitter: "0s",
          },
        },
      },
      admin: { address: `127.0.0.1:${adminPort}` },
      accessLog: false,
    };
    const file = join(folder, "evenkeel.json");
    writeFileSync(file, JSON.stringify(config));
    return new RunningProgram([process.execPath, MAIN, "run", "-c", file]);
  },
};

/** Active checks are not in the open version. */
export const nginx: Balancer = {
  name: "nginx",
  program: "nginx",
  start({ folder, port, endpoints }) {
    const servers = endpoints.map(
      (endpoint) => `server 127.0.0.1:${endpoint} max_fails=${FAILURES} fail_timeout=${OUT_S}s;`,
    );
    return startNginx(
      folder,
      `upstream app { least_conn; ${servers.join(" ")} keepalive 64; }
 server { listen 127.0.0.1:${port} backlog=4096; location / {
  proxy_pass http://app; proxy_connect_timeout ${TIMEOUT_S.connect}s; proxy_read_timeout ${TIMEOUT_S.answer}s;
  proxy_next_upstream error timeout invalid_header http_503; proxy_next_upstream_tries ${RETRIES + 1};
 } }`,
    );
  },
};

export const haproxy: Balancer = {
  name: "haproxy",
  program: "haproxy",
  start({ folder, port, endpoints }) {
    const check = `check inter 1s fall 2 rise 2 observe layer7 error-limit ${FAILURES} on-error mark-down`;
    return startHaproxy(
      folder,
      `  timeout connect ${TIMEOUT_S.connect}s
  timeout server ${TIMEOUT_S.answer}s
  timeout check 1s
  retries ${RETRIES}
  option redispatch 1
  retry-on conn-failure empty-response response-timeout junk-response 503
frontend web
  bind 127.0.0.1:${port} backlog 4096
  # As the others do it: what may take effect twice is not sent again once an endpoint may have seen it.
  http-request disable-l7-retry if METH_POST
  default_backend app
backend app
  balance leastconn
  option httpchk GET /
${endpoints.map((endpoint, index) => `  server s${index} 127.0.0.1:${endpoint} ${check}`).join("\n")}
`,
    );
  },
};

/** `http` is what stands in the block of that name besides what every nginx here needs. */
export function startNginx(folder: string, http: string): RunningProgram {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(" ");
  const config = `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err error;
events { worker_connections 8192; }
http { access_log off; ${temporary} keepalive_requests 1000000; proxy_http_version 1.1; proxy_set_header Connection "";
 ${http}
}
`;
  const file = join(folder, "nginx.conf");
  writeFileSync(file, config);
  return new RunningProgram(["nginx", "-c", file]);
}

/** `sections` begins within `defaults`. */
export function startHaproxy(folder: string, sections: string): RunningProgram {
  const config = `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout client 60s
  timeout http-keep-alive 60s
  http-reuse always
${sections}`;
  const file = join(folder, "haproxy.cfg");
  writeFileSync(file, config);
  return new RunningProgram(["haproxy", "-db", "-f", file]);
}

/** Until it has answered some requests in a row. */
export async function untilServing(program: RunningProgram, port: number): Promise<void> {
  let inARow = 0;
  await eventually(
    async () => {
      const status = await fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } }).then(
        (response) => response.status,
        () => 0,
      );
      inARow = status === 200 ? inARow + 1 : 0;
      return inARow >= 8;
    },
    () => `an answer of ${program.describe()}`,
  );
}
